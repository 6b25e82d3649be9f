{{ config(enabled=provides('shopify', 'control_totals')) }}

-- Amounts are counted on the orders' own subtotals, not on their lines (but for the tax inside prices and for
-- gift cards, which only lines tell); what went back, and rows, are counted as staged.
with orders as (
    select * from {{ ref('stg_shopify__orders') }}
),

order_lines as (
    select * from {{ source('raw_shopify', 'order_lines') }}
),

revenue_events as (
    select * from {{ ref('stg_shopify__revenue_events') }}
),

checkouts as (
    select * from {{ source('raw_shopify', 'abandoned_checkouts') }}
    where {{ "1 = 1" if provides('shopify', 'web_events') else "1 = 0" }}
),

inside_prices as (
    select
        source_relation,
        order_id,
        sum(case when not coalesce(is_gift_card, false) then coalesce(tax, 0) else 0 end) as tax,
        sum(
            case when coalesce(is_gift_card, false) then original_total - coalesce(discount, 0) else 0 end
        ) as gift_cards
    from order_lines
    group by source_relation, order_id
),

amounts as (
    select
        orders.source_relation,
        cast(orders.ordered_at as date) as date,
        orders.currency,
        orders.subtotal - inside_prices.gift_cards
        - case when orders.taxes_included then inside_prices.tax else 0 end
            as amount,
        orders._dlt_load_id
    from orders
    inner join inside_prices
        on orders.source_relation = inside_prices.source_relation and orders.order_id = inside_prices.order_id
    union all
    select
        source_relation,
        cast(occurred_at as date) as date,
        currency,
        amount,
        _load_id as _dlt_load_id
    from revenue_events
    where event_type <> 'order'
),

final as (
    select
        source_relation, 'revenue_events' as entity, 'amount' as measure, date, currency,
        sum(amount) as total, max(_dlt_load_id) as _dlt_load_id, null as _slice
    from amounts
    group by source_relation, date, currency
    union all
    select
        source_relation, 'revenue_events' as entity, 'rows' as measure, cast(occurred_at as date) as date,
        null as currency, count(*) as total, max(_load_id) as _dlt_load_id, null as _slice
    from revenue_events
    group by source_relation, cast(occurred_at as date)
    union all
    select
        source_relation, 'web_events' as entity, 'rows' as measure, cast(created_at as date) as date,
        null as currency, count(*) as total, max(_dlt_load_id) as _dlt_load_id, null as _slice
    from checkouts
    group by source_relation, cast(created_at as date)
)

{{ conform('control_totals', 'final', provided=['entity', 'measure', 'date', 'currency', 'total']) }}
