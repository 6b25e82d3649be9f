{#
Expected value of customers with a paid subscription, at each moment of int_lifetime_fits: their MRR of that
moment, for each month of the horizon times the chance that a spell of that plan and age lives to its end
(int_subscription_survival: S(a + k) / S(a)). Price changes, pauses and returns are not foreseen. The months
lived are an integer from 0 to h, whose second moment is the sum of (2 k - 1) P(at least k).
#}
with fits as (
    select * from {{ ref('int_lifetime_fits') }}
    where business = 'saas'
),

survival as (
    select
        fit,
        plan,
        month_of_life,
        survival
    from {{ ref('int_subscription_survival') }}
),

spells as (
    select
        fits.fit,
        fits.cutoff_at,
        fits.horizon_months,
        spells.customer_id,
        spells.plan,
        cast(floor({{ months_between('spells.started_at', 'fits.cutoff_at') }}) as bigint) as months_lived
    from {{ ref('int_subscription_spells') }} as spells
    inner join fits
        on
            spells.started_at <= fits.cutoff_at
            and (spells.ended_at > fits.cutoff_at or spells.ended_at is null)
),

recurring as (
    select
        fits.fit,
        coalesce(periods.customer_id, periods.subscription_id) as customer_id,
        sum(cast(periods.mrr as double)) as mrr
    from {{ ref('int_subscription_periods') }} as periods
    inner join fits
        on
            periods.valid_from <= fits.cutoff_at
            and (periods.valid_to > fits.cutoff_at or periods.valid_to is null)
    where periods.is_paid
    group by fits.fit, coalesce(periods.customer_id, periods.subscription_id)
),

alive as (
    select
        spells.*,
        coalesce(survival.survival, 1.0) as survived,
        coalesce(recurring.mrr, 0.0) as mrr
    from spells
    left join survival
        on
            spells.fit = survival.fit
            and spells.plan = survival.plan
            and spells.months_lived = survival.month_of_life
    left join recurring on spells.fit = recurring.fit and spells.customer_id = recurring.customer_id
),

-- The last month of a horizon counts with its part.
months as (
    select
        alive.fit,
        alive.customer_id,
        alive.plan,
        alive.months_lived,
        alive.mrr,
        alive.horizon_months,
        survival.month_of_life - alive.months_lived as month_ahead,
        least(alive.horizon_months - (survival.month_of_life - alive.months_lived - 1), 1.0)
            as share_of_month,
        survival.survival / nullif(alive.survived, 0) as chance
    from alive
    inner join survival
        on
            alive.fit = survival.fit
            and alive.plan = survival.plan
            and alive.months_lived < survival.month_of_life
            and alive.months_lived + ceil(alive.horizon_months) >= survival.month_of_life
),

final as (
    select
        fit,
        customer_id,
        plan,
        months_lived,
        horizon_months,
        mrr,
        coalesce(sum(share_of_month * chance), 0.0) as expected_months,
        coalesce(sum(share_of_month * (2 * month_ahead - 1) * chance), 0.0) as squared_months,
        coalesce(max(case when month_ahead = 1 then chance end), 0.0) as chance_of_first
    from months
    group by fit, customer_id, plan, months_lived, horizon_months, mrr
)

select
    fit,
    customer_id,
    plan,
    months_lived,
    horizon_months,
    mrr,
    round(expected_months, 10) as expected_months,
    round(mrr * expected_months, 10) as expected_revenue,
    round(mrr * mrr * greatest(squared_months - expected_months * expected_months, 0.0), 10)
        as variance_of_revenue,
    round(1 - chance_of_first, 12) as probability_of_none
from final
