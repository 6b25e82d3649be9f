{# Costs that are no media spend, spread evenly over the days of their period, at the rate of the period's
   first day. A cost without channel takes its campaign's; a cost without either is shared over the channels
   by their media spend of that month (no media spend that month: `(not set)`). #}
with
costs as (
    select
        costs.source_relation,
        costs.period_start,
        costs.period_end,
        costs.cost_type,
        coalesce(costs.channel, campaigns.channel) as channel,
        {{ in_reporting_currency('costs.amount', 'costs.currency') }} as amount
    from {{ ref('int_costs_unioned') }} as costs
    left join (
        select
            source_record_id,
            max(channel) as channel
        from {{ ref('dim_campaigns') }}
        group by source_record_id
        having count(*) = 1
    ) as campaigns
        on costs.campaign_id = campaigns.source_record_id
    {{ fx_join('costs.period_start', 'costs.currency') }}
),


days as (
    {{ day_spine(
        "(select coalesce(min(period_start), cast('2000-01-01' as date)) from costs)",
        "(select coalesce(max(period_end), cast('2000-01-01' as date)) from costs)"
    ) }}
),

daily as (
    select
        days.date_day as date,
        costs.cost_type,
        costs.channel,
        cast(costs.amount as double)
        / cast({{ date_diff_days('costs.period_start', 'costs.period_end') }} + 1 as double) as amount
    from costs
    inner join days
        on days.date_day between costs.period_start and costs.period_end
),

media as (
    select
        {{ period_start('month', 'date') }} as month,
        channel,
        sum(cast(spend as double)) as spend
    from {{ ref('fct_ad_performance_daily') }}
    where spend > 0
    group by {{ period_start('month', 'date') }}, channel
),

media_shares as (
    select
        month,
        channel,
        spend / sum(spend) over (partition by month) as share_of_spend
    from media
),

final as (
    select
        daily.date,
        daily.cost_type,
        coalesce(daily.channel, media_shares.channel, '(not set)') as channel,
        daily.channel is null as is_shared,
        sum(
            daily.amount
            * case when daily.channel is null then coalesce(media_shares.share_of_spend, 1.0) else 1.0 end
        ) as amount
    from daily
    left join media_shares
        on daily.channel is null and {{ period_start('month', 'daily.date') }} = media_shares.month
    group by
        daily.date,
        daily.cost_type,
        coalesce(daily.channel, media_shares.channel, '(not set)'),
        daily.channel is null
)

select
    date,
    cost_type,
    channel,
    is_shared,
    amount
from final
