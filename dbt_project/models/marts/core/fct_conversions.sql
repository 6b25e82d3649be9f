{# Candidates of the same conversion are joined here: a person's candidates of one type are one conversion
   while less than repeat_after_days (seed conversion_types) lie between each and the one before. 0: every
   candidate counts (the claims of one order have met in int_revenue_events); empty: once in a life. #}
with
candidates as (
    select
        events.*,
        types.type_order,
        types.anchor,
        types.is_revenue,
        types.repeat_after_days,
        coalesce(
            events.person_id,
            {{ surrogate_key(['events.source', 'events.source_relation', 'events.source_record_id']) }}
        ) as subject_key
    from {{ ref('int_conversion_events') }} as events
    inner join {{ ref('conversion_types') }} as types
        on events.conversion_type = types.conversion_type
    where events.occurred_at <= {{ as_of() }}
),

sequenced as (
    select
        *,
        lag(occurred_at) over (
            partition by conversion_type, subject_key
            order by occurred_at, source, source_relation, source_record_id
        ) as previous_at
    from candidates
),

numbered as (
    select
        *,
        sum(
            case
                when previous_at is null or repeat_after_days = 0 then 1
                when {{ days_between('previous_at', 'occurred_at') }} > repeat_after_days then 1
                else 0
            end
        ) over (
            partition by conversion_type, subject_key
            order by occurred_at, source, source_relation, source_record_id
            rows between unbounded preceding and current row
        ) as conversion_number
    from sequenced
),

claims as (
    select
        *,
        row_number() over (
            partition by conversion_type, subject_key, conversion_number
            order by occurred_at, source, source_relation, source_record_id
        ) as claim_number,
        count(*) over (partition by conversion_type, subject_key, conversion_number) as claims
    from numbered
),

conversions as (
    select
        case
            when claims.order_id is not null
                then {{ surrogate_key(['claims.conversion_type', 'claims.order_id']) }}
            else {{ surrogate_key([
                'claims.conversion_type', 'claims.source', 'claims.source_relation', 'claims.source_record_id'
            ]) }}
        end as conversion_id,
        claims.person_id,
        coalesce(claims.account_id, members.account_id) as account_id,
        coalesce(claims.account_id, members.account_id, claims.person_id) as customer_id,
        claims.conversion_type,
        claims.type_order,
        claims.is_revenue,
        claims.occurred_at as converted_at,
        case
            when claims.anchor = 'opportunity_creation'
                then coalesce(claims.opportunity_created_at, claims.occurred_at)
            else claims.occurred_at
        end as anchor_at,
        claims.value,
        claims.value_original,
        claims.currency_original,
        claims.opportunity_id,
        claims.opportunity_type,
        claims.subscription_id,
        claims.order_id,
        claims.product_id,
        claims.rule_id,
        claims.claims,
        claims.is_inferred,
        claims.source_relation,
        claims.source_record_id
    from claims
    left join {{ ref('int_person_accounts') }} as members
        on claims.person_id = members.person_id
    where claims.claim_number = 1
),

first_revenue as (
    select
        customer_id,
        conversion_id,
        converted_at,
        row_number() over (
            partition by customer_id order by converted_at, type_order, conversion_id
        ) as revenue_number
    from conversions
    where is_revenue and customer_id is not null
),

billed as (
    select
        billing_reference,
        sum(case when event_type != 'refund' then amount else 0 end) as billings,
        sum(case when event_type = 'refund' then -amount else 0 end) as billings_refunded,
        count(*) = count(amount) as has_all_rates
    from {{ ref('int_revenue_events') }}
    where is_counted and occurred_at <= {{ as_of() }}
    group by billing_reference
),

final as (
    select
        conversions.*,
        {{ reporting_date('conversions.converted_at') }} as converted_on,
        case
            when conversions.customer_id is null then false
            when conversions.is_revenue
                then coalesce(first_revenue.conversion_id = conversions.conversion_id, false)
            else first_revenue.converted_at is null or conversions.converted_at <= first_revenue.converted_at
        end as is_new_customer,
        case
            when billed.billing_reference is null then 0
            when billed.has_all_rates then billed.billings
        end as billings,
        case
            when billed.billing_reference is null then 0
            when billed.has_all_rates then billed.billings_refunded
        end
            as billings_refunded
    from conversions
    left join first_revenue
        on conversions.customer_id = first_revenue.customer_id and first_revenue.revenue_number = 1
    left join billed
        on
            billed.billing_reference = case conversions.conversion_type
                when 'purchase' then conversions.order_id
                when 'subscription' then conversions.subscription_id
                when 'won' then conversions.opportunity_id
            end
)

select
    conversion_id,
    person_id,
    account_id,
    customer_id,
    conversion_type,
    converted_at,
    converted_on,
    anchor_at,
    value,
    cast(
        case when conversion_type = 'purchase' then billings_refunded else 0 end as decimal(19, 4)
    ) as value_refunded,
    cast(
        value - case when conversion_type = 'purchase' then billings_refunded else 0 end as decimal(19, 4)
    ) as value_net,
    value_original,
    currency_original,
    is_new_customer,
    opportunity_type,
    product_id,
    cast(case when conversion_type = 'opportunity' then value end as decimal(19, 4)) as pipeline,
    cast(case when conversion_type = 'won' then value end as decimal(19, 4)) as bookings,
    cast(
        case when conversion_type in ('purchase', 'subscription', 'won') then billings end as decimal(19, 4)
    ) as billings,
    cast(
        case when conversion_type in ('purchase', 'subscription', 'won') then billings_refunded end
        as decimal(19, 4)
    ) as billings_refunded,
    cast(case when conversion_type = 'subscription' then value end as decimal(19, 4)) as mrr,
    opportunity_id,
    subscription_id,
    order_id,
    rule_id,
    claims,
    is_inferred,
    source_relation,
    source_record_id
from final
