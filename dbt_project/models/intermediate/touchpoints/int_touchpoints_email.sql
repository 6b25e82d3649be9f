{{ config(materialized='view') }}

with email_events as (
    select * from {{ ref('int_email_events_unioned') }}
    where lower(event_type) in ('opened', 'clicked')
),

identity_map as (
    select * from {{ ref('int_identity_map') }}
),

types as (
    select * from {{ ref('touchpoint_type_channels') }}
)

select
    {{ surrogate_key(['types.touchpoint_type', 'email_events.source_relation', 'email_events.event_id']) }}
        as touchpoint_id,
    cast(null as {{ text_type() }}) as parent_touchpoint_id,
    coalesce(addresses.person_id, subscribers.person_id) as person_id,
    cast(null as {{ text_type() }}) as anonymous_id,
    email_events.occurred_at,
    types.touchpoint_type,
    cast(null as {{ text_type() }}) as session_id,
    types.channel,
    types.medium,
    'email' as source,
    coalesce(email_events.campaign_name, '(not set)') as campaign,
    '(not set)' as content,
    '(not set)' as term,
    case
        when email_events.campaign_id is not null
            then {{ surrogate_key(['email_events.source_relation', 'email_events.campaign_id']) }}
    end as campaign_id,
    cast(null as {{ text_type() }}) as ad_id,
    cast(null as {{ text_type() }}) as click_id_type,
    {{ url_path('email_events.url') }} as landing_page,
    cast(null as {{ text_type() }}) as referrer_host,
    '(not set)' as country,
    '(not set)' as device,
    types.direction,
    types.is_paid,
    types.funnel_position,
    cast(null as {{ text_type() }}) as own_consent,
    case
        when coalesce(email_events.is_machine_open, false) then 'machine open'
        {% if not var('email_opens_are_eligible') -%}
        when types.touchpoint_type = 'email_open' then 'e-mail open'
        {%- endif %}
    end as own_reason,
    email_events.source_relation,
    email_events.event_id as source_record_id
from email_events
inner join types
    on types.touchpoint_type
        = case lower(email_events.event_type) when 'opened' then 'email_open' else 'email_click' end
left join identity_map as addresses
    on addresses.identifier_type = 'email' and email_events.recipient_email_hash = addresses.identifier
left join identity_map as subscribers
    on
        subscribers.identifier_type
        = {{ identifier_type('email_subscriber', 'email_events.source_relation') }}
        and email_events.subscriber_id = subscribers.identifier
