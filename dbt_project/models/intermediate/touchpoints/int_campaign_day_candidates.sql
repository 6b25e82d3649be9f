{{ config(materialized='view') }}

with spend as (
    select
        campaign_id,
        date,
        cast(sum(spend) as decimal(19, 4)) as spend
    from {{ ref('fct_ad_performance_daily') }}
    group by campaign_id, date
),

tracked as (
    select
        campaign_id,
        date,
        count(*) as tracked_clicks
    from {{ ref('int_tracked_clicks') }}
    group by campaign_id, date
),

final as (
    select
        tracked.campaign_id,
        tracked.date,
        spend.spend,
        tracked.tracked_clicks
    from tracked
    inner join spend on tracked.campaign_id = spend.campaign_id and tracked.date = spend.date
)

select
    campaign_id,
    date,
    spend,
    tracked_clicks
from final
