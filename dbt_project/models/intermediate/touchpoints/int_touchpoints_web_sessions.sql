{{ config(materialized='view') }}

with sessions as (
    select * from {{ ref('fct_sessions') }}
)

select
    {{ surrogate_key(["'web_session'", 'session_id']) }} as touchpoint_id,
    cast(null as {{ text_type() }}) as parent_touchpoint_id,
    person_id,
    anonymous_id,
    started_at as occurred_at,
    'web_session' as touchpoint_type,
    session_id,
    channel,
    medium,
    source,
    campaign,
    content,
    term,
    campaign_id,
    ad_id,
    click_id_type,
    landing_page,
    referrer_host,
    country,
    device,
    'inbound' as direction,
    is_paid,
    funnel_position,
    consent_analytics as own_consent,
    case when is_bot then 'bot' when is_internal then 'internal traffic' end as own_reason,
    source_relation,
    session_id as source_record_id
from sessions
