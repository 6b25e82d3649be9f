{#
Expected value of customers under contract, at each moment of int_lifetime_fits: what is signed and not billed
yet, and the amount of each contract that can still be renewed times the chance of its renewals within the
horizon. The chance of a renewal is (renewed + 1) / (decided + 2) over the contracts decided by then, of all
customers (Laplace's rule of succession); one that was renewed j - 1 times before is renewed with chance p^j.
The number of renewals is an integer from 0 to K, whose second moment is the sum of (2 j - 1) p^j; both sums
are closed.
#}
with fits as (
    select
        fit,
        cutoff_at,
        horizon_months,
        {{ reporting_date('cutoff_at') }} as cutoff_on
    from {{ ref('int_lifetime_fits') }}
    where business = 'b2b'
),

contracts as (
    select
        renewals.customer_id,
        renewals.opportunity_id,
        renewals.signed_at,
        renewals.due_on,
        renewals.status,
        renewals.decided_on,
        cast(renewals.amount_due as double) as amount,
        greatest({{ date_diff_months('renewals.term_start', 'renewals.due_on') }}, 1) as term_months
    from {{ ref('renewals') }} as renewals
    where
        renewals.renewal_type = 'contract'
        and renewals.customer_id is not null
        and renewals.amount_due is not null
),

billed as (
    select
        fits.fit,
        lines.billing_reference as opportunity_id,
        sum(cast(lines.amount as double)) as billed
    from {{ ref('int_revenue_events') }} as lines
    inner join fits on lines.occurred_at <= fits.cutoff_at
    where lines.is_counted and lines.is_deal_billing
    group by fits.fit, lines.billing_reference
),

-- What was known of a contract at that moment.
known as (
    select
        fits.fit,
        fits.cutoff_at,
        fits.horizon_months,
        contracts.customer_id,
        contracts.amount,
        contracts.term_months,
        contracts.due_on,
        case
            when contracts.status = 'renewed' and contracts.decided_on <= fits.cutoff_on then 'renewed'
            when contracts.status = 'lost' and contracts.decided_on <= fits.cutoff_on then 'ended'
            when {{ add_days('contracts.due_on', var('renewal_grace_days')) }} < fits.cutoff_on then 'ended'
            else 'open'
        end as status,
        case
            when
                {{ days_between('contracts.signed_at', 'fits.cutoff_at') }}
                <= {{ var('lifetime_billing_delay_days') }}
                then greatest(contracts.amount - coalesce(billed.billed, 0.0), 0.0)
            else 0.0
        end as unbilled
    from contracts
    inner join fits on contracts.signed_at <= fits.cutoff_at
    left join billed on fits.fit = billed.fit and contracts.opportunity_id = billed.opportunity_id
),

rates as (
    select
        fit,
        (sum(case when status = 'renewed' then 1 else 0 end) + 1.0)
        / (sum(case when status != 'open' then 1 else 0 end) + 2.0) as renewal_rate
    from known
    group by fit
),

renewable as (
    select
        known.*,
        rates.renewal_rate,
        floor(
            (
                known.horizon_months
                - {{ months_between('known.cutoff_at', 'cast(known.due_on as timestamp)') }}
            ) / known.term_months
        ) + 1 as terms_in_horizon
    from known
    inner join rates on known.fit = rates.fit
),

chained as (
    select
        *,
        case when status = 'open' then greatest(terms_in_horizon, 0.0) else 0.0 end as most_renewals
    from renewable
),

forecasts as (
    select
        *,
        renewal_rate * (1 - power(renewal_rate, most_renewals)) / (1 - renewal_rate) as expected_renewals,
        2 * renewal_rate
        * (
            1 - (most_renewals + 1) * power(renewal_rate, most_renewals)
            + most_renewals * power(renewal_rate, most_renewals + 1)
        )
        / ((1 - renewal_rate) * (1 - renewal_rate))
        - renewal_rate * (1 - power(renewal_rate, most_renewals)) / (1 - renewal_rate) as squared_renewals
    from chained
)

select
    fit,
    customer_id,
    max(horizon_months) as horizon_months,
    max(renewal_rate) as renewal_rate,
    round(sum(unbilled), 10) as unbilled,
    round(sum(expected_renewals), 10) as expected_renewals,
    round(sum(unbilled + amount * expected_renewals), 10) as expected_revenue,
    round(
        sum(amount * amount * greatest(squared_renewals - expected_renewals * expected_renewals, 0.0)), 10
    ) as variance_of_revenue,
    round(
        min(case when unbilled > 0 then 0.0 else 1.0 end)
        * power(1 - max(renewal_rate), sum(case when most_renewals > 0 then 1 else 0 end)),
        12
    ) as probability_of_none
from forecasts
group by fit, customer_id
