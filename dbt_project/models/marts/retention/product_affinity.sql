{#
Products bought in one order, both ways round: confidence depends on the direction, support and lift do not.
Of n orders with a product, a hold the first, b the second and c both: support c / n, confidence c / a, lift c
n / (a b).
#}
with lines as (
    select * from {{ ref('int_revenue_events') }}
    where
        is_counted and event_type != 'refund' and product_id is not null
        and subscription_id is null and not is_deal_billing
        and occurred_at <= {{ as_of() }}
),

baskets as (
    select distinct
        order_id,
        product_id
    from lines
),

names as (
    select
        product_id,
        max(product_name) as product_name
    from lines
    group by product_id
),

products as (
    select
        product_id,
        count(*) as orders
    from baskets
    group by product_id
    having count(*) >= {{ var('affinity_min_orders') }}
),

all_orders as (
    select count(distinct order_id) as orders
    from baskets
),

frequent as (
    select
        baskets.order_id,
        baskets.product_id
    from baskets
    inner join products on baskets.product_id = products.product_id
),

pairs as (
    select
        one.product_id,
        other.product_id as other_product_id,
        count(*) as orders_with_both
    from frequent as one
    inner join frequent as other on one.order_id = other.order_id and one.product_id < other.product_id
    group by one.product_id, other.product_id
    having count(*) >= {{ var('affinity_min_orders') }}
),

both_ways as (
    select
        product_id,
        other_product_id,
        orders_with_both
    from pairs
    union all
    select
        other_product_id as product_id,
        product_id as other_product_id,
        orders_with_both
    from pairs
)

select
    both_ways.product_id,
    both_ways.other_product_id,
    coalesce(names.product_name, both_ways.product_id) as product_name,
    coalesce(other_names.product_name, both_ways.other_product_id) as other_product_name,
    all_orders.orders,
    products.orders as orders_with_product,
    other_products.orders as orders_with_other,
    both_ways.orders_with_both,
    {{ safe_divide('both_ways.orders_with_both', 'all_orders.orders') }} as support,
    {{ safe_divide('both_ways.orders_with_both', 'products.orders') }} as confidence,
    cast(both_ways.orders_with_both as double) * all_orders.orders
    / (cast(products.orders as double) * other_products.orders) as lift
from both_ways
inner join products on both_ways.product_id = products.product_id
inner join products as other_products on both_ways.other_product_id = other_products.product_id
left join names on both_ways.product_id = names.product_id
left join names as other_names on both_ways.other_product_id = other_names.product_id
cross join all_orders
