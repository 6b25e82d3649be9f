-- Each grain and segment of the revenue cohorts holds every counted payment of a known customer, once.
with payments as (
    select sum(amount) as amount
    from {{ ref('int_revenue_events') }}
    where
        is_counted and customer_id is not null and event_type != 'refund' and occurred_at <= {{ as_of() }}
    group by customer_id, order_id, occurred_on
),

expected as (
    select coalesce(sum(amount), 0) as total
    from payments
    where amount > 0
),

found as (
    select
        period_grain,
        segment,
        sum(revenue) as total
    from {{ ref('retention_cohorts') }}
    where basis = 'revenue'
    group by period_grain, segment
)

select
    found.period_grain,
    found.segment,
    found.total as in_cohorts,
    expected.total as in_revenue_events
from found
cross join expected
where found.total <> expected.total
