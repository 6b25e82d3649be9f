{#
By what customers are told apart in the reports of retention. A customer's business: contract where a deal was
billed or won, subscription where one was ever paid, else purchases.
#}
with customers as (
    select * from {{ ref('dim_customers') }}
),

plans as (
    select
        customer_id,
        min_by(plan, {{ ordered_by(['valid_from', 'subscription_id']) }}) as first_plan,
        max_by(plan, {{ ordered_by(['valid_from', 'subscription_id']) }}) as latest_plan
    from {{ ref('int_subscription_periods') }}
    where is_paid and customer_id is not null and valid_from <= {{ as_of() }}
    group by customer_id
),

products as (
    select
        product_id,
        max(product_name) as product_name
    from {{ ref('int_revenue_margins') }}
    where product_id is not null
    group by product_id
),

billed as (
    select
        customer_id,
        max(case when business = 'b2b' then 1 else 0 end) as has_contract
    from {{ ref('int_revenue_margins') }}
    group by customer_id
)

select
    customers.customer_id,
    customers.customer_type,
    case
        when billed.has_contract = 1 or customers.first_conversion_type = 'won' then 'contract'
        when plans.customer_id is not null then 'subscription'
        else 'purchases'
    end as business_model,
    customers.first_touch_channel as channel,
    coalesce(plans.first_plan, '(not set)') as plan,
    coalesce(plans.latest_plan, '(not set)') as latest_plan,
    customers.country,
    coalesce(products.product_name, customers.first_product_id, '(not set)') as first_product
from customers
left join plans on customers.customer_id = plans.customer_id
left join products on customers.first_product_id = products.product_id
left join billed on customers.customer_id = billed.customer_id
