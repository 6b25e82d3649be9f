{#
One unbroken time of a customer with paid subscriptions. Versions of one customer that overlap or follow each
other within subscription_gap_days are one spell, whatever the subscription: a new plan is no end. The plan is
that of the spell's first day.
#}
with versions as (
    select
        coalesce(customer_id, subscription_id) as customer_id,
        subscription_id,
        plan,
        valid_from,
        coalesce(valid_to, cast('9999-12-31' as timestamp)) as valid_to
    from {{ ref('int_subscription_periods') }}
    where is_paid and valid_from <= {{ as_of() }} and (valid_to > valid_from or valid_to is null)
),

reached as (
    select
        *,
        max(valid_to) over (
            partition by customer_id order by valid_from, subscription_id
            rows between unbounded preceding and 1 preceding
        ) as paid_until
    from versions
),

numbered as (
    select
        *,
        sum(
            case
                when paid_until is null then 1
                when {{ days_between('paid_until', 'valid_from') }} > {{ var('subscription_gap_days') }}
                    then 1
                else 0
            end
        ) over (
            partition by customer_id order by valid_from, subscription_id
            rows between unbounded preceding and current row
        ) as spell_number
    from reached
),

final as (
    select
        customer_id,
        cast(spell_number as bigint) as spell_number,
        min_by(plan, {{ ordered_by(['valid_from', 'subscription_id']) }}) as plan,
        min(valid_from) as started_at,
        max(valid_to) as ends_at
    from numbered
    group by customer_id, spell_number
)

select
    customer_id,
    spell_number,
    coalesce(plan, '(not set)') as plan,
    started_at,
    case when ends_at <= {{ as_of() }} then ends_at end as ended_at
from final
