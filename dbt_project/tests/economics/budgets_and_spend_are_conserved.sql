-- Conservation: in every grain the pacing report holds all budgets, and all spend of complete days.
with
budgets as (
    select
        budgets.channel,
        sum(cast({{ in_reporting_currency('budgets.amount', 'budgets.currency') }} as double)) as total
    from {{ ref('budgets') }} as budgets
    {{ fx_join('least(budgets.period_start, ' ~ as_of_date() ~ ')', 'budgets.currency') }}
    group by budgets.channel
),

spend as (
    select
        coalesce(channel, '(not set)') as channel,
        sum(cast(spend as double)) as total
    from {{ ref('fct_ad_performance_daily') }}
    where date < {{ as_of_date() }}
    group by coalesce(channel, '(not set)')
),

pacing as (
    select
        period_grain,
        channel,
        sum(cast(budget as double)) as budget,
        sum(cast(spend_to_date as double)) as spend
    from {{ ref('budget_pacing') }}
    group by period_grain, channel
)

select
    pacing.period_grain,
    pacing.channel,
    pacing.budget,
    budgets.total as budget_in_seed,
    pacing.spend,
    spend.total as spend_of_ads
from pacing
left join budgets
    on pacing.channel = budgets.channel
left join spend
    on pacing.channel = spend.channel
where
    abs(pacing.budget - coalesce(budgets.total, 0)) > 0.01
    or abs(pacing.spend - coalesce(spend.total, 0)) > 0.01
