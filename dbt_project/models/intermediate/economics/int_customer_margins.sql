{# What each customer has brought in so far, after refunds: revenue, and gross margin from the lines' own
   cost where it is known, else by the margin of the business that the line belongs to (seed gross_margins).
   A business without a margin leaves the gross margin unknown: consumers must then speak of revenue. #}
with
lines as (
    select
        customer_id,
        occurred_at,
        amount,
        cost_amount,
        case
            when is_deal_billing then 'b2b'
            when subscription_id is not null then 'saas'
            else 'shop'
        end as business
    from {{ ref('int_revenue_events') }}
    where is_counted and customer_id is not null and occurred_at <= {{ as_of() }}
),

margins as (
    select
        lines.customer_id,
        lines.occurred_at,
        lines.amount,
        case
            when lines.cost_amount is not null
                then cast(lines.amount as double) - cast(lines.cost_amount as double)
            else cast(lines.amount as double) * cast(gross_margins.gross_margin as double)
        end as gross_margin
    from lines
    left join {{ ref('gross_margins') }} as gross_margins
        on lines.business = gross_margins.business
),

final as (
    select
        customer_id,
        min(occurred_at) as first_billed_at,
        case when count(amount) = count(*) then sum(amount) end as revenue,
        case when count(gross_margin) = count(*) then sum(gross_margin) end as gross_margin
    from margins
    group by customer_id
)

select
    customer_id,
    first_billed_at,
    cast(revenue as decimal(19, 4)) as revenue,
    cast(gross_margin as decimal(19, 4)) as gross_margin
from final
