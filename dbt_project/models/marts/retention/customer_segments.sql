{#
Quintiles are of the customers with the same business model: a contract of 20,000 says nothing about what a
lamp buyer is. Equal values have equal scores, those of the lowest of them: 1 + the whole part of 5 x
(customers with less) / customers. Segments are named by the first rule of customer_segment_rules.csv that
holds.
#}
with customers as (
    select
        customer_id,
        customer_type,
        latest_purchase_at,
        orders,
        conversions,
        current_mrr,
        is_active
    from {{ ref('dim_customers') }}
),

traits as (
    select
        customer_id,
        business_model,
        channel,
        country,
        plan
    from {{ ref('int_customer_traits') }}
),

payments as (
    select
        customer_id,
        max(case when event_type != 'refund' and amount > 0 then occurred_at end) as latest_paid_at,
        count(distinct case when event_type != 'refund' and amount > 0 then order_id end) as paid_orders,
        sum(amount) as net_revenue
    from {{ ref('int_revenue_margins') }}
    group by customer_id
),

-- Who never paid counts by what he bought.
measured as (
    select
        customers.customer_id,
        customers.customer_type,
        customers.current_mrr,
        customers.is_active,
        traits.business_model,
        traits.channel,
        traits.country,
        traits.plan,
        {{ reporting_date('coalesce(payments.latest_paid_at, customers.latest_purchase_at)') }} as latest_on,
        case
            when coalesce(payments.paid_orders, 0) > 0 then payments.paid_orders else customers.conversions
        end as frequency,
        case
            when payments.customer_id is null then cast(0 as decimal(19, 4)) else payments.net_revenue
        end as monetary_value
    from customers
    inner join traits on customers.customer_id = traits.customer_id
    left join payments on customers.customer_id = payments.customer_id
),

ranked as (
    select
        *,
        greatest({{ date_diff_days('latest_on', as_of_date()) }}, 0) as recency_days,
        count(*) over (partition by business_model) as customers,
        rank() over (partition by business_model order by latest_on) as recency_rank,
        rank() over (partition by business_model order by frequency) as frequency_rank,
        rank() over (partition by business_model order by monetary_value nulls first) as monetary_rank
    from measured
),

scored as (
    select
        *,
        cast(1 + floor(cast(5 * (recency_rank - 1) as double) / customers) as bigint) as recency_score,
        cast(1 + floor(cast(5 * (frequency_rank - 1) as double) / customers) as bigint) as frequency_score,
        cast(1 + floor(cast(5 * (monetary_rank - 1) as double) / customers) as bigint) as monetary_score
    from ranked
),

scores as (
    select distinct
        recency_score,
        frequency_score,
        monetary_score
    from scored
),

named as (
    select
        scores.recency_score,
        scores.frequency_score,
        scores.monetary_score,
        min_by(rules.segment, rules.rule_order) as segment
    from scores
    inner join {{ ref('customer_segment_rules') }} as rules
        on
            scores.recency_score >= rules.recency_min and scores.recency_score <= rules.recency_max
            and scores.frequency_score >= rules.frequency_min
            and scores.frequency_score <= rules.frequency_max
            and scores.monetary_score >= rules.monetary_min and scores.monetary_score <= rules.monetary_max
    group by scores.recency_score, scores.frequency_score, scores.monetary_score
)

select
    scored.customer_id,
    scored.customer_type,
    scored.business_model,
    scored.channel as first_touch_channel,
    scored.country,
    scored.plan,
    scored.latest_on as latest_purchase_on,
    scored.recency_days,
    cast(scored.frequency as bigint) as frequency,
    cast(scored.monetary_value as decimal(19, 4)) as monetary_value,
    scored.recency_score,
    scored.frequency_score,
    scored.monetary_score,
    cast(
        100 * scored.recency_score + 10 * scored.frequency_score + scored.monetary_score as {{ text_type() }}
    ) as rfm_score,
    named.segment,
    scored.current_mrr,
    scored.is_active
from scored
left join named
    on
        scored.recency_score = named.recency_score
        and scored.frequency_score = named.frequency_score
        and scored.monetary_score = named.monetary_score
