{#
Value is gross margin where every line of the customer has one (its own cost, else the seed's margin of the
business), else revenue, and value_basis says which. Expected margin is expected revenue times the margin that
the business's lines had.

The interval is that of a lognormal with the mean and variance of the expected value (the parts of a customer
are independent), from 0 where nothing at all is likelier than what lies below it. z is the normal quantile of
lifetime_interval_level, by the approximation 26.2.23 of Abramowitz and Stegun (error below 0.00045).
#}
{%- set streams = {'shop': 'purchases', 'saas': 'subscription', 'b2b': 'contract'} -%}
with customers as (
    select * from {{ ref('dim_customers') }}
),

traits as (
    select * from {{ ref('int_customer_traits') }}
),

lines as (
    select * from {{ ref('int_revenue_margins') }}
),

fits as (
    select * from {{ ref('int_lifetime_fits') }}
),

realised as (
    select
        customer_id,
        sum(amount) as revenue,
        case when count(gross_margin) = count(*) then sum(gross_margin) end as gross_margin
    from lines
    group by customer_id
),

-- What a unit of revenue left, as far as known at the moment of the fit.
margin_rates as (
    select
        fits.fit,
        fits.business,
        case
            when count(lines.gross_margin) = count(*)
                then cast(sum(lines.gross_margin) as double) / nullif(cast(sum(lines.amount) as double), 0)
        end as margin_rate
    from fits
    inner join lines on fits.business = lines.business and lines.occurred_at <= fits.cutoff_at
    group by fits.fit, fits.business
),

forecasts as (
    select
        fit, customer_id, 'shop' as business, horizon_months, expected_revenue, variance_of_revenue,
        probability_of_none
    from {{ ref('int_lifetime_purchases') }}
    union all
    select
        fit, customer_id, 'saas' as business, horizon_months, expected_revenue, variance_of_revenue,
        probability_of_none
    from {{ ref('int_lifetime_subscriptions') }}
    union all
    select
        fit, customer_id, 'b2b' as business, horizon_months, expected_revenue, variance_of_revenue,
        probability_of_none
    from {{ ref('int_lifetime_contracts') }}
),

-- What came after the backtest's moment: lines of orders and contracts, paid time of subscriptions.
outcomes as (
    select
        lines.customer_id,
        lines.business,
        cast(lines.amount as double) as revenue
    from lines
    inner join fits
        on lines.business = fits.business and fits.fit = 'backtest' and lines.occurred_at > fits.cutoff_at
    where lines.business != 'saas'
    union all
    select
        periods.customer_id,
        'saas' as business,
        cast(periods.mrr as double)
        * {{ months_between(
            'greatest(periods.valid_from, fits.cutoff_at)',
            'least(coalesce(periods.valid_to, ' ~ as_of() ~ '), ' ~ as_of() ~ ')'
        ) }} as revenue
    from {{ ref('int_subscription_periods') }} as periods
    inner join fits on fits.business = 'saas' and fits.fit = 'backtest'
    where
        periods.is_paid
        and periods.valid_from < {{ as_of() }}
        and (periods.valid_to > fits.cutoff_at or periods.valid_to is null)
),

outcome_totals as (
    select
        customer_id,
        business,
        sum(revenue) as revenue
    from outcomes
    group by customer_id, business
),

valued as (
    select
        forecasts.fit,
        forecasts.customer_id,
        sum(forecasts.expected_revenue) as expected_revenue,
        case
            when count(margin_rates.margin_rate) = count(*)
                then sum(forecasts.expected_revenue * margin_rates.margin_rate)
        end as expected_margin,
        sum(forecasts.variance_of_revenue) as variance_of_revenue,
        case
            when count(margin_rates.margin_rate) = count(*)
                then sum(forecasts.variance_of_revenue * margin_rates.margin_rate * margin_rates.margin_rate)
        end as variance_of_margin,
        exp(sum(ln(greatest(forecasts.probability_of_none, 1e-300)))) as probability_of_none,
        max(forecasts.horizon_months) as horizon_months,
        {%- for business, stream in streams.items() %}
        sum(case when forecasts.business = '{{ business }}' then forecasts.expected_revenue else 0.0 end)
            as expected_revenue_{{ stream }},
        {%- endfor %}
        count(*) as methods,
        max(forecasts.business) as method_business,
        sum(coalesce(outcome_totals.revenue, 0.0)) as outcome_revenue,
        case
            when count(margin_rates.margin_rate) = count(*)
                then sum(coalesce(outcome_totals.revenue, 0.0) * margin_rates.margin_rate)
        end as outcome_margin
    from forecasts
    left join margin_rates
        on forecasts.fit = margin_rates.fit and forecasts.business = margin_rates.business
    left join outcome_totals
        on
            forecasts.customer_id = outcome_totals.customer_id
            and forecasts.business = outcome_totals.business
    group by forecasts.fit, forecasts.customer_id
),

joined as (
    select
        customers.customer_id,
        customers.customer_type,
        traits.business_model,
        traits.channel as first_touch_channel,
        traits.country,
        traits.plan,
        customers.first_purchase_on,
        coalesce(realised.revenue, cast(0 as decimal(19, 4))) as realised_revenue,
        case when realised.customer_id is null then cast(0 as decimal(19, 4)) else realised.gross_margin end
            as realised_gross_margin,
        coalesce(present.expected_revenue, 0.0) as expected_revenue,
        case when present.customer_id is null then 0.0 else present.expected_margin end as expected_margin,
        coalesce(present.variance_of_revenue, 0.0) as variance_of_revenue,
        case when present.customer_id is null then 0.0 else present.variance_of_margin end
            as variance_of_margin,
        coalesce(present.probability_of_none, 1.0) as probability_of_none,
        {%- for stream in streams.values() %}
        coalesce(present.expected_revenue_{{ stream }}, 0.0) as expected_revenue_{{ stream }},
        {%- endfor %}
        case
            when present.customer_id is null then 'none'
            when present.methods > 1 then 'combined'
            when present.method_business = 'shop' then 'gamma_poisson'
            when present.method_business = 'saas' then 'kaplan_meier'
            else 'renewal_rate'
        end as method,
        backtest.horizon_months as backtest_months,
        backtest.expected_revenue as backtest_expected_revenue,
        backtest.expected_margin as backtest_expected_margin,
        backtest.variance_of_revenue as backtest_variance_of_revenue,
        backtest.variance_of_margin as backtest_variance_of_margin,
        backtest.probability_of_none as backtest_probability_of_none,
        backtest.outcome_revenue,
        backtest.outcome_margin
    from customers
    inner join traits on customers.customer_id = traits.customer_id
    left join realised on customers.customer_id = realised.customer_id
    left join valued as present on customers.customer_id = present.customer_id and present.fit = 'present'
    left join valued as backtest
        on customers.customer_id = backtest.customer_id and backtest.fit = 'backtest'
),

-- One basis for all figures of a customer.
based as (
    select
        *,
        realised_gross_margin is not null
        and expected_margin is not null
        and (backtest_months is null or backtest_expected_margin is not null) as has_margin
    from joined
),

measured as (
    select
        *,
        case when has_margin then realised_gross_margin else realised_revenue end as realised_value,
        case when has_margin then expected_margin else expected_revenue end as expected_value,
        case when has_margin then variance_of_margin else variance_of_revenue end as variance,
        case when has_margin then backtest_expected_margin else backtest_expected_revenue end
            as backtest_expected_value,
        case when has_margin then backtest_variance_of_margin else backtest_variance_of_revenue end
            as backtest_variance,
        case when has_margin then outcome_margin else outcome_revenue end as backtest_actual_value
    from based
),

final as (
    select
        *,
        {{ lognormal_bound('expected_value', 'variance', 'probability_of_none', 'low') }} as expected_low,
        {{ lognormal_bound('expected_value', 'variance', 'probability_of_none', 'high') }} as expected_high,
        {{ lognormal_bound(
            'backtest_expected_value', 'backtest_variance', 'backtest_probability_of_none', 'low'
        ) }} as backtest_low,
        {{ lognormal_bound(
            'backtest_expected_value', 'backtest_variance', 'backtest_probability_of_none', 'high'
        ) }} as backtest_high
    from measured
)

select
    customer_id,
    customer_type,
    business_model,
    first_touch_channel,
    country,
    plan,
    first_purchase_on,
    case when has_margin then 'gross_margin' else 'revenue' end as value_basis,
    method,
    cast(realised_revenue as decimal(19, 4)) as realised_revenue,
    cast(realised_gross_margin as decimal(19, 4)) as realised_gross_margin,
    cast(realised_value as decimal(19, 4)) as realised_value,
    cast({{ var('lifetime_horizon_months') }} as bigint) as horizon_months,
    {{ to_money('expected_value') }} as expected_value,
    {{ to_money('expected_low') }} as expected_low,
    {{ to_money('expected_high') }} as expected_high,
    sqrt(variance) as expected_standard_deviation,
    1 - probability_of_none as probability_of_any,
    {{ to_money('expected_revenue') }} as expected_revenue,
    {%- for stream in streams.values() %}
    {{ to_money('expected_revenue_' ~ stream) }} as expected_revenue_{{ stream }},
    {%- endfor %}
    cast(realised_value + {{ to_money('expected_value') }} as decimal(19, 4)) as lifetime_value,
    backtest_months,
    {{ to_money('backtest_expected_value') }} as backtest_expected_value,
    {{ to_money('backtest_low') }} as backtest_low,
    {{ to_money('backtest_high') }} as backtest_high,
    {{ to_money('backtest_actual_value') }} as backtest_actual_value,
    -- Half a ten-thousandth: amounts are rounded.
    backtest_actual_value >= backtest_low - 0.00005 and backtest_actual_value <= backtest_high + 0.00005
        as is_backtest_within_interval
from final
