{#
What a line of revenue leaves: by its own cost where the source gives one, else by the margin of the business
that the line belongs to (seed gross_margins). Without either the margin is unknown, and consumers must speak
of revenue.
#}
with lines as (
    select
        revenue_event_id,
        customer_id,
        order_id,
        event_type,
        occurred_at,
        occurred_on,
        product_id,
        product_name,
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

orders as (
    select
        order_id,
        min(occurred_at) as ordered_at,
        min(occurred_on) as ordered_on
    from lines
    where event_type != 'refund'
    group by order_id
)

select
    lines.revenue_event_id,
    lines.customer_id,
    lines.order_id,
    lines.business,
    lines.event_type,
    lines.occurred_at,
    lines.occurred_on,
    orders.ordered_at,
    orders.ordered_on,
    lines.product_id,
    lines.product_name,
    lines.amount,
    case
        when lines.cost_amount is not null then cast(lines.amount - lines.cost_amount as decimal(19, 4))
        else {{ to_money(
            'cast(lines.amount as double) * cast(gross_margins.gross_margin as double)'
        ) }}
    end as gross_margin
from lines
left join orders on lines.order_id = orders.order_id
left join {{ ref('gross_margins') }} as gross_margins on lines.business = gross_margins.business
