-- Both reports have each customer exactly once, in a segment; what it has brought is the sum of its lines.
with customers as (
    select customer_id from {{ ref('dim_customers') }}
),

revenue as (
    select
        customer_id,
        sum(amount) as revenue
    from {{ ref('int_revenue_events') }}
    where is_counted and customer_id is not null and occurred_at <= {{ as_of() }}
    group by customer_id
),

margins as (
    select
        customer_id,
        case when count(gross_margin) = count(*) then sum(gross_margin) end as gross_margin
    from {{ ref('int_revenue_margins') }}
    group by customer_id
),

checked as (
    select
        coalesce(customers.customer_id, lifetime.customer_id, segments.customer_id) as customer_id,
        case
            when customers.customer_id is null then 'no customer'
            when lifetime.customer_id is null then 'no lifetime value'
            when segments.segment is null then 'no segment'
            when lifetime.realised_revenue <> coalesce(revenue.revenue, 0)
                then 'realised revenue is not that of the lines'
            when
                lifetime.value_basis = 'gross_margin'
                and lifetime.realised_value <> coalesce(margins.gross_margin, 0)
                then 'realised value is not the margin of the lines'
            when lifetime.value_basis = 'revenue' and lifetime.realised_value <> lifetime.realised_revenue
                then 'realised value is not the revenue'
        end as problem
    from customers
    full outer join {{ ref('customer_lifetime_value') }} as lifetime
        on customers.customer_id = lifetime.customer_id
    full outer join {{ ref('customer_segments') }} as segments
        on coalesce(customers.customer_id, lifetime.customer_id) = segments.customer_id
    left join revenue on customers.customer_id = revenue.customer_id
    left join margins on customers.customer_id = margins.customer_id
)

select * from checked
where problem is not null
