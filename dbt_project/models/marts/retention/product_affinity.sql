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

all_orders as (
    select
        count(distinct order_id) as orders,
        greatest(
            {{ var('affinity_min_orders') }}, {{ var('affinity_min_support') }} * count(distinct order_id)
        ) as enough
    from baskets
),

-- A pair of numbers is found, grouped and counted in a fraction of the time that two names take.
products as (
    select
        product_id,
        count(*) as orders,
        row_number() over (order by product_id) as product_number
    from baskets
    group by product_id
    having count(*) >= (select enough from all_orders)
),

order_numbers as (
    select
        order_id,
        row_number() over (order by order_id) as order_number
    from baskets
    group by order_id
),

frequent as (
    select
        order_numbers.order_number,
        products.product_number
    from baskets
    inner join products on baskets.product_id = products.product_id
    inner join order_numbers on baskets.order_id = order_numbers.order_id
),

pairs as (
    select
        one.product_number,
        other.product_number as other_product_number,
        count(*) as orders_with_both
    from frequent as one
    inner join frequent as other
        on one.order_number = other.order_number and one.product_number < other.product_number
    group by one.product_number, other.product_number
    having count(*) >= (select enough from all_orders)
),

both_ways as (
    select
        product_number,
        other_product_number,
        orders_with_both
    from pairs
    union all
    select
        other_product_number as product_number,
        product_number as other_product_number,
        orders_with_both
    from pairs
)

select
    products.product_id,
    other_products.product_id as other_product_id,
    coalesce(names.product_name, products.product_id) as product_name,
    coalesce(other_names.product_name, other_products.product_id) as other_product_name,
    all_orders.orders,
    products.orders as orders_with_product,
    other_products.orders as orders_with_other,
    both_ways.orders_with_both,
    {{ safe_divide('both_ways.orders_with_both', 'all_orders.orders') }} as support,
    {{ safe_divide('both_ways.orders_with_both', 'products.orders') }} as confidence,
    cast(both_ways.orders_with_both as double) * all_orders.orders
    / (cast(products.orders as double) * other_products.orders) as lift
from both_ways
inner join products on both_ways.product_number = products.product_number
inner join products as other_products on both_ways.other_product_number = other_products.product_number
left join names on products.product_id = names.product_id
left join names as other_names on other_products.product_id = other_names.product_id
cross join all_orders
