{#
Who was active when. A customer is active in a period with a positive payment or a paid day of a subscription;
a user with an event under a user id. Refunds stand in their own period, beside the revenue; those of the
period's own orders, whenever they came, beside them. A credit within an invoice (a change of plan) makes the
payment smaller; an invoice that is negative as a whole gives money back.
#}
{% set grains = report_grains() %}

with payments_and_refunds as (
    select
        customer_id,
        occurred_on,
        ordered_on,
        sum(amount) as amount
    from {{ ref('int_revenue_margins') }}
    group by customer_id, order_id, occurred_on, ordered_on, event_type = 'refund'
),

subscriptions as (
    select
        customer_id,
        {{ reporting_date('valid_from') }} as paid_from,
        coalesce({{ reporting_date('valid_to') }}, {{ add_days(as_of_date(), 1) }}) as paid_until
    from {{ ref('int_subscription_periods') }}
    where is_paid and customer_id is not null and valid_from <= {{ as_of() }}
),

uses as (
    select distinct
        person_id,
        {{ reporting_date('occurred_at') }} as used_on
    from {{ ref('int_web_events_sessionized') }}
    where
        person_id is not null and user_id is not null
        and not coalesce(is_bot, false) and not coalesce(is_internal, false)
        and occurred_at <= {{ as_of() }}
),

payments as (
    select
        customer_id,
        occurred_on,
        sum(case when amount > 0 then amount else 0 end) as revenue,
        sum(case when amount < 0 then -amount else 0 end) as refunds,
        cast(0 as decimal(19, 4)) as refunds_of_orders,
        max(case when amount > 0 then 1 else 0 end) as has_payment
    from payments_and_refunds
    group by customer_id, occurred_on
    union all
    select
        customer_id,
        ordered_on as occurred_on,
        cast(0 as decimal(19, 4)) as revenue,
        cast(0 as decimal(19, 4)) as refunds,
        sum(-amount) as refunds_of_orders,
        0 as has_payment
    from payments_and_refunds
    where amount < 0 and ordered_on is not null
    group by customer_id, ordered_on
),

bounds as (
    select
        coalesce(min(first_day), {{ as_of_date() }}) as first_day,
        {{ as_of_date() }} as last_day
    from (
        select min(paid_from) as first_day
        from subscriptions
    ) as starts
),

days as (
    {{ day_spine('(select first_day from bounds)', '(select last_day from bounds)') }}
),

periods as (
    {% for grain in grains %}
    select
        '{{ grain }}' as period_grain,
        {{ period_start(grain, 'date_day') }} as period_start,
        min(date_day) as first_day,
        max(date_day) as last_day
    from days
    group by {{ period_start(grain, 'date_day') }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

activity as (
    {% for grain in grains %}
    select
        '{{ grain }}' as period_grain,
        'customer' as subject,
        customer_id as subject_id,
        {{ period_start(grain, 'occurred_on') }} as period_start,
        revenue,
        refunds,
        refunds_of_orders,
        has_payment as is_active
    from payments
    union all
    select
        '{{ grain }}' as period_grain,
        'user' as subject,
        person_id as subject_id,
        {{ period_start(grain, 'used_on') }} as period_start,
        cast(0 as decimal(19, 4)) as revenue,
        cast(0 as decimal(19, 4)) as refunds,
        cast(0 as decimal(19, 4)) as refunds_of_orders,
        1 as is_active
    from uses
    union all
    {% endfor %}
    select
        periods.period_grain,
        'customer' as subject,
        subscriptions.customer_id as subject_id,
        periods.period_start,
        cast(0 as decimal(19, 4)) as revenue,
        cast(0 as decimal(19, 4)) as refunds,
        cast(0 as decimal(19, 4)) as refunds_of_orders,
        1 as is_active
    from subscriptions
    inner join periods
        on
            subscriptions.paid_from <= periods.last_day
            and subscriptions.paid_until > periods.first_day
            and subscriptions.paid_until > subscriptions.paid_from
)

select
    period_grain,
    subject,
    subject_id,
    period_start,
    cast(sum(revenue) as decimal(19, 4)) as revenue,
    cast(sum(refunds) as decimal(19, 4)) as refunds,
    cast(sum(refunds_of_orders) as decimal(19, 4)) as refunds_of_orders,
    max(is_active) = 1 as is_active
from activity
group by period_grain, subject, subject_id, period_start
