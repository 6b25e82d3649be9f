{{ config(materialized='view') }}
-- What a visitor did inside a session that is a touchpoint of its own kind: it belongs to the session, which
-- earns the credit.
with web_events as (
    select * from {{ ref('int_web_events_sessionized') }}
),

web_touch_events as (
    select * from {{ ref('web_touch_events') }}
),

sessions as (
    select * from {{ ref('fct_sessions') }}
)

select
    {{ surrogate_key([
        'web_touch_events.touchpoint_type', 'web_events.source_relation', 'web_events.event_id',
    ]) }} as touchpoint_id,
    {{ surrogate_key(["'web_session'", 'web_events.session_id']) }} as parent_touchpoint_id,
    web_events.person_id,
    web_events.anonymous_id,
    web_events.occurred_at,
    web_touch_events.touchpoint_type,
    web_events.session_id,
    sessions.channel,
    sessions.medium,
    sessions.source,
    sessions.campaign,
    sessions.content,
    sessions.term,
    sessions.campaign_id,
    sessions.ad_id,
    sessions.click_id_type,
    {{ url_path('web_events.page_url') }} as landing_page,
    sessions.referrer_host,
    sessions.country,
    sessions.device,
    'inbound' as direction,
    sessions.is_paid,
    types.funnel_position,
    coalesce(web_events.consent_analytics, sessions.consent_analytics) as own_consent,
    case when sessions.is_bot then 'bot' when sessions.is_internal then 'internal traffic' end as own_reason,
    web_events.source_relation,
    web_events.event_id as source_record_id
from web_events
inner join web_touch_events on web_events.event_name = web_touch_events.event_name
inner join sessions on web_events.session_id = sessions.session_id
left join
    {{ ref('touchpoint_type_channels') }} as types
    on web_touch_events.touchpoint_type = types.touchpoint_type
