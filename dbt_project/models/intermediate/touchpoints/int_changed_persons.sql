{%- set held_touchpoints = held_relation('int_touchpoints') if not should_full_refresh() else none -%}
{%- set record_types = [
    'ad_click', 'event', 'webinar', 'direct_mail', 'partner_referral', 'crm_campaign', 'offline', 'crm_call', 'crm_meeting',
    'crm_email', 'social_message',
] -%}
{%- set record_columns = [
    'touchpoint_id', 'person_id', 'occurred_at', 'touchpoint_type', 'session_id', 'channel', 'medium', 'source', 'campaign',
    'campaign_id', 'ad_id', 'click_id_type', 'direction', 'own_reason',
] -%}
-- depends_on: {{ ref('int_touchpoints_records') }}
-- Persons whose touchpoints are written anew, old and new ids alike: their identity, their events, their
-- records, their consent or their account changed.
with changed_identifiers as (
    select * from {{ ref('int_changed_identifiers') }}
),

changed_visitors as (
    select * from {{ ref('int_changed_visitors') }}
),

changed_email_events as (
    select * from {{ ref('int_changed_email_events') }}
),

identity_map as (
    select * from {{ ref('int_identity_map') }}
),

visitors as (
    select * from {{ ref('int_visitor_identifiers') }}
),

changed_natives as (
    select
        {{ identifier_type('cookie', 'source_relation') }} as identifier_type,
        anonymous_id as identifier
    from changed_visitors
    union
    select
        'user_id' as identifier_type,
        visitors.user_id as identifier
    from visitors
    inner join changed_visitors
        on
            visitors.source_relation = changed_visitors.source_relation
            and visitors.anonymous_id = changed_visitors.anonymous_id
    union
    select
        'email' as identifier_type,
        visitors.email_hash as identifier
    from visitors
    inner join changed_visitors
        on
            visitors.source_relation = changed_visitors.source_relation
            and visitors.anonymous_id = changed_visitors.anonymous_id
    union
    select
        'user_id' as identifier_type,
        user_id as identifier
    from {{ ref('int_changed_web_events') }}
    union
    select
        'email' as identifier_type,
        email_hash as identifier
    from {{ ref('int_changed_web_events') }}
    union
    select
        'email' as identifier_type,
        recipient_email_hash as identifier
    from changed_email_events
    union
    select
        {{ identifier_type('email_subscriber', 'source_relation') }} as identifier_type,
        subscriber_id as identifier
    from changed_email_events
),

changed_consents as (
    {{ differing_rows(
        ref('int_consent_candidates'), 'int_consent_states',
        ['person_id', 'purpose', 'valid_from', 'valid_to', 'consent_state'],
    ) }}
),

changed_accounts as (
    {{ differing_rows(
        ref('int_person_account_candidates'), 'int_person_accounts', ['person_id', 'account_id', 'account_match_method'],
    ) }}
),

changed_records as (
    {%- if held_touchpoints is none %}
    select person_id from changed_consents where 1 = 0
    {%- else %}
    select person_id
    from (
        select {{ record_columns | join(', ') }} from {{ ref('int_touchpoints_records') }}
        except
        select {{ record_columns | join(', ') }} from {{ held_touchpoints }}
        where touchpoint_type in ({{ quoted_list(record_types) }})
    ) as arrived
    union
    select person_id
    from (
        select {{ record_columns | join(', ') }} from {{ held_touchpoints }}
        where touchpoint_type in ({{ quoted_list(record_types) }})
        except
        select {{ record_columns | join(', ') }} from {{ ref('int_touchpoints_records') }}
    ) as gone
    {%- endif %}
),

changes as (
    select old_person_id as person_id from changed_identifiers
    union
    select new_person_id as person_id from changed_identifiers
    union
    select identity_map.person_id
    from identity_map
    inner join changed_natives
        on
            identity_map.identifier_type = changed_natives.identifier_type
            and identity_map.identifier = changed_natives.identifier
    union
    select person_id from changed_consents
    union
    select person_id from changed_accounts
    union
    select person_id from changed_records
),

final as (
    select person_id from changes where person_id is not null
    union
    {{ carried_over(['person_id']) }}
)

select
    person_id,
    cast('{{ batch_mark() }}' as {{ text_type() }}) as batch_mark
from final
