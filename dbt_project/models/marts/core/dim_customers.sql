with
conversions as (
    select
        conversions.conversion_id,
        conversions.conversion_type,
        conversions.customer_id,
        conversions.person_id,
        conversions.account_id,
        conversions.converted_at,
        conversions.product_id,
        conversions.bookings,
        conversions.is_new_customer,
        row_number() over (
            partition by conversions.customer_id
            order by
                case when conversions.is_new_customer then 0 else 1 end,
                conversions.converted_at,
                conversions.conversion_id
        ) as customer_conversion_number
    from {{ ref('fct_conversions') }} as conversions
    inner join {{ ref('conversion_types') }} as types
        on conversions.conversion_type = types.conversion_type and types.is_revenue
    where conversions.customer_id is not null
),

by_conversion as (
    select
        customer_id,
        max(account_id) as account_id,
        min(converted_at) as first_purchase_at,
        max(converted_at) as latest_purchase_at,
        max(case when customer_conversion_number = 1 then conversion_id end) as first_conversion_id,
        max(case when customer_conversion_number = 1 then conversion_type end) as first_conversion_type,
        max(case when customer_conversion_number = 1 then product_id end) as first_product_id,
        max(case when customer_conversion_number = 1 then person_id end) as person_id,
        count(*) as conversions,
        case
            when count(case when conversion_type = 'won' and bookings is null then 1 end) = 0
                then coalesce(sum(bookings), 0)
        end as bookings
    from conversions
    group by customer_id
),

-- Customers may be billed without a conversion of ours (an invoice of a deal that was deleted).
by_billing as (
    select
        customer_id,
        max(account_id) as account_id,
        max(person_id) as person_id,
        min(case when event_type != 'refund' then occurred_at end) as first_billed_at,
        max(case when event_type != 'refund' then occurred_at end) as latest_billed_at,
        max(case when event_type != 'refund' and amount > 0 then occurred_at end) as latest_paid_at,
        count(distinct case when event_type != 'refund' then order_id end) as orders,
        case
            when count(amount) = count(*)
                then sum(case when event_type != 'refund' then amount else 0 end)
        end
            as billings,
        case
            when count(amount) = count(*)
                then sum(case when event_type = 'refund' then -amount else 0 end)
        end
            as billings_refunded,
        max(country) as country
    from {{ ref('int_revenue_events') }}
    where is_counted and customer_id is not null and occurred_at <= {{ as_of() }}
    group by customer_id
    having count(case when event_type != 'refund' then 1 end) > 0
),

current_subscriptions as (
    select
        customer_id,
        sum(mrr) as current_mrr
    from {{ ref('int_subscription_periods') }}
    where
        is_paid
        and customer_id is not null
        and valid_from <= {{ as_of() }}
        and (valid_to is null or valid_to > {{ as_of() }})
    group by customer_id
),

first_touches as (
    select
        conversion_id,
        max(channel) as channel
    from {{ ref('fct_attribution') }}
    where credit_first_touch = 1
    group by conversion_id
),

joined as (
    select
        coalesce(by_conversion.customer_id, by_billing.customer_id) as customer_id,
        coalesce(by_conversion.account_id, by_billing.account_id) as account_id,
        coalesce(by_conversion.person_id, by_billing.person_id) as person_id,
        case
            when
                by_billing.first_billed_at is null
                or by_conversion.first_purchase_at <= by_billing.first_billed_at
                then by_conversion.first_purchase_at
            else by_billing.first_billed_at
        end as first_purchase_at,
        case
            when
                by_billing.latest_billed_at is null
                or by_conversion.latest_purchase_at >= by_billing.latest_billed_at
                then by_conversion.latest_purchase_at
            else by_billing.latest_billed_at
        end as latest_purchase_at,
        by_conversion.first_conversion_id,
        by_conversion.first_conversion_type,
        by_conversion.first_product_id,
        coalesce(by_conversion.conversions, 0) as conversions,
        coalesce(by_billing.orders, 0) as orders,
        case when by_conversion.customer_id is null then 0 else by_conversion.bookings end as bookings,
        case when by_billing.customer_id is null then 0 else by_billing.billings end as billings,
        case
            when by_billing.customer_id is null then 0
            else by_billing.billings_refunded
        end as billings_refunded,
        by_billing.latest_paid_at,
        by_billing.country as billing_country
    from by_conversion
    full outer join by_billing
        on by_conversion.customer_id = by_billing.customer_id
),

final as (
    select
        joined.*,
        coalesce(accounts.country, persons.country, joined.billing_country, '(not set)') as country,
        coalesce(first_touches.channel, '(unattributed)') as first_touch_channel,
        coalesce(current_subscriptions.current_mrr, 0) as current_mrr,
        coalesce(
            current_subscriptions.current_mrr > 0
            or {{ days_between('joined.latest_paid_at', as_of()) }} <= {{ var('customer_active_days') }},
            false
        ) as is_active
    from joined
    left join {{ ref('dim_accounts') }} as accounts
        on joined.account_id = accounts.account_id
    left join {{ ref('dim_persons') }} as persons
        on joined.person_id = persons.person_id
    left join first_touches
        on joined.first_conversion_id = first_touches.conversion_id
    left join current_subscriptions
        on joined.customer_id = current_subscriptions.customer_id
)

select
    customer_id,
    case when account_id is not null then 'account' else 'person' end as customer_type,
    account_id,
    person_id,
    country,
    first_touch_channel,
    first_purchase_at,
    {{ reporting_date('first_purchase_at') }} as first_purchase_on,
    latest_purchase_at,
    first_conversion_id,
    first_conversion_type,
    first_product_id,
    cast(conversions as bigint) as conversions,
    cast(orders as bigint) as orders,
    cast(bookings as decimal(19, 4)) as bookings,
    cast(billings as decimal(19, 4)) as billings,
    cast(billings_refunded as decimal(19, 4)) as billings_refunded,
    cast(current_mrr as decimal(19, 4)) as current_mrr,
    is_active
from final
