-- depends_on: {{ ref('int_changed_campaign_keys') }}
{%- set held_sessions = held_relation('fct_sessions') if not should_full_refresh() else none -%}
-- Visitors whose sessions are cut anew: their events changed, the person behind them did, or a campaign they
-- name did.
with changed_events as (
    select * from {{ ref('int_changed_web_events') }}
),

changed_identifiers as (
    select * from {{ ref('int_changed_identifiers') }}
),

visitors as (
    select * from {{ ref('int_visitor_identifiers') }}
),

changes as (
    select
        source_relation,
        anonymous_id
    from changed_events
    union
    select
        visitors.source_relation,
        visitors.anonymous_id
    from visitors
    inner join changed_identifiers
        on
            changed_identifiers.identifier = visitors.anonymous_id
            and changed_identifiers.identifier_type
            = {{ identifier_type('cookie', 'visitors.source_relation') }}
    union
    select
        visitors.source_relation,
        visitors.anonymous_id
    from visitors
    inner join changed_identifiers
        on changed_identifiers.identifier = visitors.user_id
            and changed_identifiers.identifier_type = 'user_id'
    union
    select
        visitors.source_relation,
        visitors.anonymous_id
    from visitors
    inner join changed_identifiers
        on changed_identifiers.identifier = visitors.email_hash
            and changed_identifiers.identifier_type = 'email'
    {%- if held_sessions is not none %}
    union
    select
        sessions.source_relation,
        sessions.anonymous_id
    from {{ held_sessions }} as sessions
    inner join {{ ref('int_changed_campaign_keys') }} as changed_campaign_keys
        on
            changed_campaign_keys.key_type = 'campaign'
            and changed_campaign_keys.campaign_key = sessions.campaign_key
    union
    select
        sessions.source_relation,
        sessions.anonymous_id
    from {{ held_sessions }} as sessions
    inner join {{ ref('int_changed_campaign_keys') }} as changed_campaign_keys
        on
            changed_campaign_keys.key_type = sessions.click_id_type
            and changed_campaign_keys.campaign_key = sessions.click_id
    {%- endif %}
),

final as (
    select source_relation, anonymous_id from changes
    union
    {{ carried_over(['source_relation', 'anonymous_id']) }}
)

select
    source_relation,
    anonymous_id,
    cast('{{ batch_mark() }}' as {{ text_type() }}) as batch_mark
from final
