{#
Retention of recurring revenue. Net and gross revenue retention leave new and reactivated revenue out: of a
month, its opening MRR with expansion (net only), contraction and churn; of twelve months, the MRR that the
customers of a year ago still have, at most what they had then for gross; who churned and came back counts as
gone.
#}
with movements as (
    select * from {{ ref('mrr_movements') }}
),

-- Of several endings in a month the last one says why.
endings as (
    select
        coalesce(customer_id, subscription_id) as customer_id,
        {{ period_start('month', reporting_date('valid_to')) }} as month,
        max_by(
            case when is_involuntary then 1 else 0 end, {{ ordered_by(['valid_to', 'subscription_id']) }}
        ) = 1 as is_involuntary
    from {{ ref('int_subscription_periods') }}
    where is_paid and valid_to is not null
    group by coalesce(customer_id, subscription_id), {{ period_start('month', reporting_date('valid_to')) }}
),

flagged as (
    select
        movements.*,
        movements.movement = 'churned' as is_churned,
        movements.movement = 'churned' and coalesce(endings.is_involuntary, false) as is_churned_involuntarily
    from movements
    left join endings
        on movements.customer_id = endings.customer_id and movements.month = endings.month
),

months as (
    select
        month,
        is_complete,
        cast(sum(case when opening_mrr > 0 then 1 else 0 end) as bigint) as opening_customers,
        cast(sum(case when movement = 'new' then 1 else 0 end) as bigint) as new_customers,
        cast(sum(case when movement = 'reactivation' then 1 else 0 end) as bigint) as reactivated_customers,
        cast(sum(case when is_churned then 1 else 0 end) as bigint) as churned_customers,
        cast(sum(case when is_churned_involuntarily then 1 else 0 end) as bigint)
            as churned_customers_involuntary,
        cast(sum(case when closing_mrr > 0 then 1 else 0 end) as bigint) as closing_customers,
        cast(sum(opening_mrr) as decimal(19, 4)) as opening_mrr,
        cast(sum(new_mrr) as decimal(19, 4)) as new_mrr,
        cast(sum(expansion_mrr) as decimal(19, 4)) as expansion_mrr,
        cast(sum(contraction_mrr) as decimal(19, 4)) as contraction_mrr,
        cast(sum(churned_mrr) as decimal(19, 4)) as churned_mrr,
        cast(
            sum(case when is_churned_involuntarily then churned_mrr else 0 end) as decimal(19, 4)
        ) as churned_mrr_involuntary,
        cast(sum(reactivation_mrr) as decimal(19, 4)) as reactivation_mrr,
        cast(sum(closing_mrr) as decimal(19, 4)) as closing_mrr
    from flagged
    group by month, is_complete
),

year_ago as (
    select
        customer_id,
        {{ add_months('month', 12) }} as month,
        month as base_month,
        closing_mrr as base_mrr
    from movements
    where closing_mrr > 0
),

returns as (
    select
        year_ago.customer_id,
        year_ago.month
    from year_ago
    inner join movements
        on
            year_ago.customer_id = movements.customer_id
            and year_ago.base_month < movements.month
            and year_ago.month >= movements.month
            and movements.movement = 'reactivation'
    group by year_ago.customer_id, year_ago.month
),

kept as (
    select
        year_ago.month,
        year_ago.base_mrr,
        case
            when returns.customer_id is null then coalesce(movements.closing_mrr, cast(0 as decimal(19, 4)))
            else cast(0 as decimal(19, 4))
        end as kept_mrr
    from year_ago
    left join movements
        on year_ago.customer_id = movements.customer_id and year_ago.month = movements.month
    left join returns
        on year_ago.customer_id = returns.customer_id and year_ago.month = returns.month
),

year_kept as (
    select
        month,
        count(*) as base_customers,
        sum(case when kept_mrr > 0 then 1 else 0 end) as kept_customers,
        sum(case when kept_mrr > 0 then 0 else base_mrr end) as churned_mrr,
        sum(base_mrr) as base_mrr,
        sum(kept_mrr) as kept_mrr,
        sum(least(kept_mrr, base_mrr)) as kept_mrr_at_most
    from kept
    group by month
)

select
    months.month,
    months.is_complete,
    months.opening_customers,
    months.new_customers,
    months.reactivated_customers,
    months.churned_customers,
    months.churned_customers - months.churned_customers_involuntary as churned_customers_voluntary,
    months.churned_customers_involuntary,
    months.closing_customers,
    {{ safe_divide('months.churned_customers', 'months.opening_customers') }} as customer_churn_rate,
    {{ safe_divide(
        'months.churned_customers - months.churned_customers_involuntary', 'months.opening_customers'
    ) }} as customer_churn_rate_voluntary,
    {{ safe_divide('months.churned_customers_involuntary', 'months.opening_customers') }}
        as customer_churn_rate_involuntary,
    months.opening_mrr,
    months.new_mrr,
    months.expansion_mrr,
    months.contraction_mrr,
    months.churned_mrr,
    cast(months.churned_mrr - months.churned_mrr_involuntary as decimal(19, 4)) as churned_mrr_voluntary,
    months.churned_mrr_involuntary,
    months.reactivation_mrr,
    months.closing_mrr,
    {{ safe_divide('-months.churned_mrr', 'months.opening_mrr') }} as revenue_churn_rate,
    {{ safe_divide('months.churned_mrr_involuntary - months.churned_mrr', 'months.opening_mrr') }}
        as revenue_churn_rate_voluntary,
    {{ safe_divide('-months.churned_mrr_involuntary', 'months.opening_mrr') }}
        as revenue_churn_rate_involuntary,
    {{ safe_divide(
        '(months.opening_mrr + months.expansion_mrr + months.contraction_mrr + months.churned_mrr)',
        'months.opening_mrr'
    ) }} as net_revenue_retention,
    {{ safe_divide(
        '(months.opening_mrr + months.contraction_mrr + months.churned_mrr)', 'months.opening_mrr'
    ) }} as gross_revenue_retention,
    {{ safe_divide(
        'year_kept.base_customers - year_kept.kept_customers', 'year_kept.base_customers'
    ) }} as customer_churn_rate_12m,
    {{ safe_divide('year_kept.churned_mrr', 'year_kept.base_mrr') }} as revenue_churn_rate_12m,
    {{ safe_divide('year_kept.kept_mrr', 'year_kept.base_mrr') }} as net_revenue_retention_12m,
    {{ safe_divide('year_kept.kept_mrr_at_most', 'year_kept.base_mrr') }} as gross_revenue_retention_12m
from months
left join year_kept on months.month = year_kept.month
