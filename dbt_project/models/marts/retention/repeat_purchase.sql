{#
Orders of customers without a contract (no subscription, no deal). Step n is from the n-th to the next order;
step 1 is the repeat purchase. A rate within some days counts only customers who have had that time: who
ordered less than that before as_of is in neither part.
#}
{#- Days; they are columns of the contract. -#}
{%- set windows = [30, 90, 180] -%}
{%- set segments = segment_columns(['channel', 'country', 'first_product']) -%}
with lines as (
    select * from {{ ref('int_revenue_margins') }}
    where business = 'shop' and event_type != 'refund'
),

traits as (
    select * from {{ ref('int_customer_traits') }}
),

orders as (
    select
        customer_id,
        order_id,
        min(occurred_at) as ordered_at,
        sum(amount) as order_value
    from lines
    group by customer_id, order_id
),

numbered as (
    select
        customer_id,
        ordered_at,
        order_value,
        row_number() over (partition by customer_id order by ordered_at, order_id) as order_number,
        min(ordered_at) over (partition by customer_id) as first_at,
        lead(ordered_at) over (partition by customer_id order by ordered_at, order_id) as next_at,
        lead(order_value) over (partition by customer_id order by ordered_at, order_id) as next_value
    from orders
),

steps as (
    select
        numbered.customer_id,
        numbered.order_number,
        numbered.order_value,
        numbered.next_value,
        numbered.next_at is not null as is_followed,
        {{ reporting_date('numbered.first_at') }} as first_on,
        {{ days_between('numbered.ordered_at', 'numbered.next_at') }} as days_to_next,
        {{ days_between('numbered.ordered_at', as_of()) }} as days_had,
        coalesce(traits.channel, '(not set)') as channel,
        coalesce(traits.country, '(not set)') as country,
        coalesce(traits.first_product, '(not set)') as first_product
    from numbered
    left join traits on numbered.customer_id = traits.customer_id
    where numbered.order_number <= {{ var('repeat_purchase_max_order') }}
),

periods as (
    {{ in_periods('steps', 'first_on', segments) }}
),

counted as (
    select
        period_grain,
        period_start as cohort_period,
        segment,
        segment_value,
        order_number,
        count(*) as customers,
        sum(case when is_followed then 1 else 0 end) as repeaters,
        {%- for days in windows %}
        sum(case when days_had >= {{ days }} then 1 else 0 end) as customers_{{ days }}d,
        sum(case when days_had >= {{ days }} and days_to_next <= {{ days }} then 1 else 0 end)
            as repeaters_{{ days }}d,
        {%- endfor %}
        avg(days_to_next) as average_days_to_next,
        median(days_to_next) as median_days_to_next,
        min(days_had) as days_had,
        sum(order_value) as order_value,
        sum(next_value) as next_value
    from periods
    group by period_grain, period_start, order_number, segment, segment_value
)

select
    cast(period_grain as {{ text_type() }}) as period_grain,
    cohort_period,
    cast(segment as {{ text_type() }}) as segment,
    cast(segment_value as {{ text_type() }}) as segment_value,
    order_number as step,
    cast(customers as bigint) as customers,
    cast(repeaters as bigint) as repeaters,
    {{ safe_divide('repeaters', 'customers') }} as repeat_rate,
    {{ wilson_bound('repeaters', 'customers', 'low') }} as repeat_rate_low,
    {{ wilson_bound('repeaters', 'customers', 'high') }} as repeat_rate_high,
    {%- for days in windows %}
    cast(customers_{{ days }}d as bigint) as customers_{{ days }}d,
    cast(repeaters_{{ days }}d as bigint) as repeaters_{{ days }}d,
    {{ safe_divide('repeaters_' ~ days ~ 'd', 'customers_' ~ days ~ 'd') }} as repeat_rate_{{ days }}d,
    {%- endfor %}
    average_days_to_next,
    median_days_to_next,
    {{ to_money(safe_divide('order_value', 'customers')) }} as average_order_value,
    {{ to_money(safe_divide('next_value', 'repeaters')) }} as average_next_order_value,
    days_had >= {{ windows | max }} as is_mature
from counted
