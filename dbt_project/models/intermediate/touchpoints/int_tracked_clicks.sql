{{ config(materialized='view') }}
-- The visits (or clicks that no visit joins) that an advertising campaign's spend of a day bought, by the
-- account's day.
with touchpoints as (
    select * from {{ ref('int_touchpoints') }}
    where
        campaign_id is not null
        and is_paid
        and touchpoint_type in ('web_session', 'ad_click')
        and parent_touchpoint_id is null
        and own_reason is null
),

campaigns as (
    select * from {{ ref('int_campaigns') }}
)

select
    touchpoints.touchpoint_id,
    touchpoints.person_id,
    touchpoints.campaign_id,
    touchpoints.occurred_at,
    {{ account_date('touchpoints.occurred_at', 'campaigns.account_time_zone') }} as date
from touchpoints
inner join campaigns on touchpoints.campaign_id = campaigns.campaign_id
