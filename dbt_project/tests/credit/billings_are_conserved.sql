-- Conservation: channel_economics credits each model and date basis with all counted billings and refunds,
-- and int_revenue_events holds every line of its sources.
with
lines as (
    select
        coalesce(sum(case when event_type != 'refund' then cast(amount as double) else 0.0 end), 0.0)
            as billings,
        coalesce(sum(case when event_type = 'refund' then -cast(amount as double) else 0.0 end), 0.0)
            as refunded
    from {{ ref('int_revenue_events') }}
    where is_counted and occurred_at <= {{ as_of() }}
),

slices as (
    select
        concat(period_grain, ' ', date_basis, ' ', model) as slice,
        sum(cast(billings as double)) as billings,
        sum(cast(billings_refunded as double)) as refunded
    from {{ ref('channel_economics') }}
    group by period_grain, date_basis, model
)

select
    slices.slice,
    slices.billings,
    lines.billings as expected_billings,
    slices.refunded,
    lines.refunded as expected_refunded
from slices
cross join lines
where
    abs(slices.billings - lines.billings) > 0.01 + 1e-8 * abs(lines.billings)
    or abs(slices.refunded - lines.refunded) > 0.01 + 1e-8 * abs(lines.refunded)
union all
select
    'lines of the sources' as slice,
    (
        select cast(count(*) as double) from {{ ref('int_revenue_events') }}
        where not is_web_claim
    ) as billings,
    (select cast(count(*) as double) from {{ ref('int_revenue_events_unioned') }}) as expected_billings,
    0 as refunded,
    0 as expected_refunded
where
    (
        select count(*) from {{ ref('int_revenue_events') }}
        where not is_web_claim
    ) != (select count(*) from {{ ref('int_revenue_events_unioned') }})
