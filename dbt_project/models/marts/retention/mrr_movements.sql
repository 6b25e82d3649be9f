{#
MRR at the last moment of a month, paid subscriptions only (valid_to is exclusive), against the month before.
The present month ends at as_of. Rates are those of each subscription's first day, so an exchange rate moves
nothing.
#}
with subscriptions as (
    select
        coalesce(customer_id, subscription_id) as customer_id,
        valid_from,
        valid_to,
        mrr
    from {{ ref('int_subscription_periods') }}
    where is_paid and valid_from < {{ as_of() }}
),

bounds as (
    select
        coalesce(min({{ reporting_date('valid_from') }}), {{ as_of_date() }}) as first_day,
        {{ as_of_date() }} as last_day
    from subscriptions
),

days as (
    {{ day_spine('(select first_day from bounds)', '(select last_day from bounds)') }}
),

months as (
    select
        {{ period_start('month', 'date_day') }} as month_start,
        least(
            max({{ to_utc(
                'cast(' ~ add_months(period_start('month', 'date_day'), 1) ~ ' as timestamp)',
                "'" ~ var('reporting_time_zone') ~ "'"
            ) }}),
            {{ as_of() }}
        ) as ends_at,
        max({{ add_months(period_start('month', 'date_day'), 1) }}) <= {{ as_of_date() }} as is_complete
    from days
    group by {{ period_start('month', 'date_day') }}
),

customers as (
    select
        customer_id,
        min(valid_from) as first_paid_at
    from subscriptions
    group by customer_id
),

closings as (
    select
        customers.customer_id,
        months.month_start,
        months.is_complete,
        cast(coalesce(sum(subscriptions.mrr), 0) as decimal(19, 4)) as closing_mrr
    from customers
    inner join months on customers.first_paid_at < months.ends_at
    left join subscriptions
        on
            customers.customer_id = subscriptions.customer_id
            and subscriptions.valid_from < months.ends_at
            and (subscriptions.valid_to >= months.ends_at or subscriptions.valid_to is null)
    group by customers.customer_id, months.month_start, months.is_complete
),

openings as (
    select
        closings.*,
        coalesce(
            lag(closing_mrr) over (partition by customer_id order by month_start), cast(0 as decimal(19, 4))
        ) as opening_mrr,
        coalesce(
            max(closing_mrr) over (
                partition by customer_id order by month_start rows between unbounded preceding and 1 preceding
            ), 0
        ) > 0 as was_customer_before
    from closings
),

final as (
    select
        openings.*,
        case
            when opening_mrr = 0 and was_customer_before then 'reactivation'
            when opening_mrr = 0 then 'new'
            when closing_mrr = 0 then 'churned'
            when closing_mrr > opening_mrr then 'expansion'
            when closing_mrr < opening_mrr then 'contraction'
            else 'unchanged'
        end as movement,
        closing_mrr - opening_mrr as change_in_mrr
    from openings
    where opening_mrr <> 0 or closing_mrr <> 0
)

select
    customer_id,
    month_start as month,
    movement,
    opening_mrr,
    {% for movement in ['new', 'expansion', 'contraction', 'churned', 'reactivation'] %}
    cast(case when movement = '{{ movement }}' then change_in_mrr else 0 end as decimal(19, 4))
        as {{ movement }}_mrr,
    {% endfor %}
    closing_mrr,
    is_complete
from final
