{{ config(enabled=provides('shopify', 'revenue_events')) }}

-- Amounts after discount, without tax and shipping, in the shop's own currency. Where prices include tax, so
-- do discounts and refunds: the line's tax is taken off. Shipping stands on an order's first line. A piece
-- costs what it costs now: the API knows no other. Goods that did not come back on the shelf keep their cost.
with orders as (
    select * from {{ ref('stg_shopify__orders') }}
),

order_lines as (
    select * from {{ source('raw_shopify', 'order_lines') }}
    where not coalesce(is_gift_card, false)
),

variants as (
    select * from {{ source('raw_shopify', 'variants') }}
),

customers as (
    select * from {{ source('raw_shopify', 'customers') }}
),

refunds as (
    select * from {{ source('raw_shopify', 'refunds') }}
),

refund_lines as (
    select * from {{ source('raw_shopify', 'refund_lines') }}
),

refund_adjustments as (
    select * from {{ source('raw_shopify', 'refund_adjustments') }}
),

lines as (
    select
        order_lines.source_relation,
        order_lines.order_id,
        order_lines.line_id,
        coalesce(order_lines.sku, order_lines.variant_id) as product_id,
        order_lines.title,
        order_lines.quantity,
        order_lines.original_total - coalesce(order_lines.discount, 0)
        - case when orders.taxes_included then coalesce(order_lines.tax, 0) else 0 end
            as amount,
        order_lines.original_total - coalesce(order_lines.discount, 0)
        + case when orders.taxes_included then 0 else coalesce(order_lines.tax, 0) end
            as amount_with_tax,
        coalesce(order_lines.discount, 0) as discount,
        coalesce(order_lines.tax, 0) as tax,
        orders.taxes_included,
        order_lines.currency,
        case when variants.unit_cost_currency = order_lines.currency then variants.unit_cost end as unit_cost,
        row_number() over (
            partition by order_lines.source_relation, order_lines.order_id
            order by order_lines.position, order_lines.line_id
        ) as place,
        greatest(
            order_lines._dlt_load_id, coalesce(variants._dlt_load_id, order_lines._dlt_load_id)
        ) as _dlt_load_id
    from order_lines
    inner join orders
        on
            order_lines.source_relation = orders.source_relation
            and order_lines.order_id = orders.order_id
    left join variants
        on
            order_lines.source_relation = variants.source_relation
            and order_lines.variant_id = variants.variant_id
),

line_events as (
    select
        lines.source_relation,
        lines.order_id,
        'line-' || lines.line_id as event_id,
        'order' as event_type,
        orders.ordered_at as occurred_at,
        lines.product_id,
        lines.title as product_name,
        lines.quantity,
        lines.amount,
        case
            when lines.taxes_included and lines.amount_with_tax <> 0
                then {{ to_money(
                    'cast(lines.discount as double) * cast(lines.amount as double)'
                    ~ ' / cast(lines.amount_with_tax as double)'
                ) }}
            else lines.discount
        end as discount_amount,
        lines.tax as tax_amount,
        case when lines.place = 1 then coalesce(orders.shipping, 0) else 0 end as shipping_amount,
        lines.unit_cost * lines.quantity as cost_amount,
        lines.currency,
        lines._dlt_load_id
    from lines
    inner join orders
        on lines.source_relation = orders.source_relation and lines.order_id = orders.order_id
),

refund_line_events as (
    select
        refunds.source_relation,
        refunds.order_id,
        'refund-line-' || refund_lines.refund_line_id as event_id,
        'refund' as event_type,
        refunds.created_at as occurred_at,
        lines.product_id,
        lines.title as product_name,
        refund_lines.quantity,
        case when lines.taxes_included then coalesce(refund_lines.tax, 0) else 0 end - refund_lines.subtotal
            as amount,
        null as discount_amount,
        -coalesce(refund_lines.tax, 0) as tax_amount,
        null as shipping_amount,
        case when refund_lines.restocked then -lines.unit_cost * refund_lines.quantity else 0 end
            as cost_amount,
        refund_lines.currency,
        greatest(refunds._dlt_load_id, refund_lines._dlt_load_id, lines._dlt_load_id) as _dlt_load_id
    from refund_lines
    inner join refunds
        on
            refund_lines.source_relation = refunds.source_relation
            and refund_lines.refund_id = refunds.refund_id
    inner join lines
        on refund_lines.source_relation = lines.source_relation and refund_lines.line_id = lines.line_id
),

adjustment_events as (
    select
        refunds.source_relation,
        refunds.order_id,
        'refund-' || refund_adjustments.kind || '-' || refund_adjustments.adjustment_id as event_id,
        'refund' as event_type,
        refunds.created_at as occurred_at,
        null as product_id,
        null as product_name,
        null as quantity,
        case when refund_adjustments.kind = 'shipping' then 0 else refund_adjustments.amount end as amount,
        null as discount_amount,
        case
            when refund_adjustments.kind = 'shipping' then -coalesce(refund_adjustments.tax, 0)
            else coalesce(refund_adjustments.tax, 0)
        end as tax_amount,
        case when refund_adjustments.kind = 'shipping' then -refund_adjustments.amount end as shipping_amount,
        null as cost_amount,
        refund_adjustments.currency,
        greatest(refunds._dlt_load_id, refund_adjustments._dlt_load_id) as _dlt_load_id
    from refund_adjustments
    inner join refunds
        on
            refund_adjustments.source_relation = refunds.source_relation
            and refund_adjustments.refund_id = refunds.refund_id
),

events as (
    {% set columns = [
        'source_relation', 'order_id', 'event_id', 'event_type', 'occurred_at', 'product_id', 'product_name',
        'quantity', 'amount', 'discount_amount', 'tax_amount', 'shipping_amount', 'cost_amount', 'currency',
        '_dlt_load_id',
    ] -%}
    {% for branch in ['line_events', 'refund_line_events', 'adjustment_events'] -%}
    select
        {{ columns | join(',\n        ') }}
    from {{ branch }}
    {% if not loop.last %}union all{% endif %}
    {% endfor -%}
),

final as (
    select
        events.source_relation,
        events.event_id,
        events.event_type,
        events.occurred_at,
        orders.customer_id,
        coalesce(orders.email_hash, customers.email_hash) as email_hash,
        case
            when orders.email_hash is not null then orders.email_domain else customers.email_domain
        end as email_domain,
        case when events.event_type = 'order' then orders.user_id end as user_id,
        case when events.event_type = 'order' then orders.anonymous_id end as anonymous_id,
        case when events.event_type = 'order' then orders.order_number end as order_id,
        case when events.event_type = 'refund' then orders.order_number end as original_order_id,
        events.product_id,
        events.product_name,
        events.quantity,
        events.amount,
        events.discount_amount,
        events.tax_amount,
        events.shipping_amount,
        events.cost_amount,
        upper(events.currency) as currency,
        coalesce(orders.country, customers.country) as country,
        orders.is_test,
        greatest(
            events._dlt_load_id,
            orders._dlt_load_id,
            coalesce(customers._dlt_load_id, orders._dlt_load_id)
        ) as _dlt_load_id,
        null as _slice
    from events
    inner join orders
        on events.source_relation = orders.source_relation and events.order_id = orders.order_id
    left join customers
        on orders.source_relation = customers.source_relation and orders.customer_id = customers.customer_id
)

{{ conform('revenue_events', 'final', provided={
    'revenue_event_id': 'event_id',
    'occurred_at': 'occurred_at',
    'event_type': 'event_type',
    'customer_id': 'customer_id',
    'customer_email_hash': 'email_hash',
    'email_domain': 'email_domain',
    'user_id': 'user_id',
    'anonymous_id': 'anonymous_id',
    'order_id': 'order_id',
    'original_order_id': 'original_order_id',
    'product_id': 'product_id',
    'product_name': 'product_name',
    'quantity': 'quantity',
    'amount': 'amount',
    'discount_amount': 'discount_amount',
    'tax_amount': 'tax_amount',
    'shipping_amount': 'shipping_amount',
    'cost_amount': 'cost_amount',
    'currency': 'currency',
    'country': 'country',
    'is_test': 'is_test',
}) }}
