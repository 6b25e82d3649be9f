-- What a campaign's day with tracked clicks cost is shared out whole, to the last decimal.
with shares as (
    select
        tracked_clicks.campaign_id,
        tracked_clicks.date,
        sum(touchpoints.allocated_spend) as allocated_spend
    from {{ ref('int_tracked_clicks') }} as tracked_clicks
    inner join {{ ref('fct_touchpoints') }} as touchpoints
        on tracked_clicks.touchpoint_id = touchpoints.touchpoint_id
    group by tracked_clicks.campaign_id, tracked_clicks.date
)

select
    campaign_days.campaign_id,
    campaign_days.date,
    campaign_days.spend,
    shares.allocated_spend
from {{ ref('int_campaign_days') }} as campaign_days
left join shares on campaign_days.campaign_id = shares.campaign_id and campaign_days.date = shares.date
where coalesce(campaign_days.spend, 0) != coalesce(shares.allocated_spend, 0)
