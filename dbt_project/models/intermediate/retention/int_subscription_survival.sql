{#
How long subscriptions live, at each moment of int_lifetime_fits: Kaplan and Meier's product limit (1958) by
plan over whole months. A spell that ended counts in the month nearest to its length (the first at least), one
that goes on until the last month that it has completed. A system may have forgotten the subscriptions that
ended before its records begin: a spell is at risk only since the first ending that the data shows (delayed
entry). Months with fewer than lifetime_min_at_risk spells at risk say too little: from the first of them on
the plan's mean hazard holds, events over months lived, with half an event of all plans' mean beside the
plan's own (a plan that nobody left is not for ever).
#}
with fits as (
    select * from {{ ref('int_lifetime_fits') }}
    where business = 'saas'
),

records as (
    select
        fits.fit,
        min(spells.ended_at) as first_ending_at
    from {{ ref('int_subscription_spells') }} as spells
    inner join fits on spells.ended_at <= fits.cutoff_at
    group by fits.fit
),

spells as (
    select
        fits.fit,
        spells.plan,
        coalesce(spells.ended_at <= fits.cutoff_at, false) as is_ended,
        greatest(
            coalesce(round({{ months_between('spells.started_at', 'records.first_ending_at') }}) - 1, 0.0),
            0.0
        ) as months_unseen,
        case
            when spells.ended_at <= fits.cutoff_at
                then greatest(round({{ months_between('spells.started_at', 'spells.ended_at') }}), 1.0)
            else floor({{ months_between('spells.started_at', 'fits.cutoff_at') }})
        end as months_lived
    from {{ ref('int_subscription_spells') }} as spells
    inner join fits on spells.started_at <= fits.cutoff_at
    left join records on fits.fit = records.fit
),

totals as (
    select
        fit,
        (sum(case when is_ended then 1 else 0 end) + 0.5)
        / nullif(sum(greatest(months_lived - months_unseen, 0.0)), 0) as hazard
    from spells
    group by fit
),

plans as (
    select
        spells.fit,
        spells.plan,
        max(spells.months_lived) as longest,
        coalesce(
            (sum(case when spells.is_ended then 1 else 0 end) + 0.5)
            / nullif(
                sum(greatest(spells.months_lived - spells.months_unseen, 0.0)) + 0.5 / max(totals.hazard), 0
            ),
            0.0
        ) as hazard
    from spells
    inner join totals on spells.fit = totals.fit
    group by spells.fit, spells.plan
),

months as (
    {{ number_spine(
        1,
        '(select cast(coalesce(max(longest), 0) as bigint) from plans)'
        ~ ' + (select cast(ceil(coalesce(max(horizon_months), 0)) as bigint) from fits) + 1'
    ) }}
),

at_risk as (
    select
        plans.fit,
        plans.plan,
        plans.hazard,
        months.n as month_of_life,
        count(spells.months_lived) as at_risk,
        sum(case when spells.is_ended and spells.months_lived = months.n then 1 else 0 end) as ended
    from plans
    cross join months
    left join spells
        on
            plans.fit = spells.fit
            and plans.plan = spells.plan
            and months.n <= spells.months_lived
            and months.n > spells.months_unseen
    group by plans.fit, plans.plan, plans.hazard, months.n
),

hazards as (
    select
        *,
        at_risk >= {{ var('lifetime_min_at_risk') }} as is_observed,
        case
            when at_risk >= {{ var('lifetime_min_at_risk') }}
                then cast(ended as double) / cast(at_risk as double)
            else 1 - exp(-hazard)
        end as ending_rate
    from at_risk
),

-- A product is the exponential of a sum of logarithms; where everybody left, it is 0 from there on.
final as (
    select
        *,
        max(case when ending_rate >= 1 then 1 else 0 end) over (
            partition by fit, plan order by month_of_life rows between unbounded preceding and current row
        ) as is_over,
        exp(
            sum(case when ending_rate < 1 then ln(1 - ending_rate) else 0.0 end) over (
                partition by fit, plan order by month_of_life rows between unbounded preceding and current row
            )
        ) as product
    from hazards
)

select
    fit,
    plan,
    month_of_life,
    cast(at_risk as bigint) as at_risk,
    cast(ended as bigint) as ended,
    is_observed,
    round(ending_rate, 12) as ending_rate,
    case when is_over = 1 then 0.0 else round(product, 12) end as survival
from final
