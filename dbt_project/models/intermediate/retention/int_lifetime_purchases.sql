{#
Expected value of customers who buy without a contract, in closed form, at each moment of int_lifetime_fits.

How often. Purchases after the first are Poisson; each customer has a rate of his own, and the rates are gamma
distributed over the customers (the negative binomial model: Ehrenberg 1959; Morrison and Schmittlein 1988).
Rates fall with the time since the first purchase by one factor for all, exp(-d) a month, so that T months
count as E = (1 - exp(-d T)) / d (T itself where d is 0, the plain model). d is the slope of the log of the
purchases per customer-month over the months of age, by least squares weighted with the purchases of the
month; it is no less than 0. Then by the method of moments: m = sum(x) / sum(E) is the mean rate, and what the
squared deviations of the x repeats from m E have beyond the Poisson's m E is the variance v of the rates
times E^2. A customer's rate given x and E is (m^2 + x v) / (m + E v): the (r + x) / (alpha + E) of the gamma
with mean m and variance v. The next h months count as exp(-d T) (1 - exp(-d h)) / d; the number of purchases
in them is negative binomial.

How much. The mean order is weighted with the mean of all orders by its credibility (Buhlmann 1967, Buhlmann
and Straub 1970): Z = n a / (n a + w) for n orders, the variance w within customers and a between them.
#}
with fits as (
    select * from {{ ref('int_lifetime_fits') }}
    where business = 'shop'
),

lines as (
    select * from {{ ref('int_revenue_margins') }}
    where business = 'shop'
),

-- Refunds known by then belong to their order.
orders as (
    select
        fits.fit,
        fits.cutoff_at,
        fits.horizon_months,
        lines.customer_id,
        lines.order_id,
        lines.ordered_at,
        sum(lines.amount) as order_value
    from lines
    inner join fits on lines.occurred_at <= fits.cutoff_at
    where lines.ordered_at <= fits.cutoff_at
    group by
        fits.fit, fits.cutoff_at, fits.horizon_months, lines.customer_id, lines.order_id, lines.ordered_at
),

first_orders as (
    select
        fit,
        customer_id,
        max(cutoff_at) as cutoff_at,
        max(horizon_months) as horizon_months,
        min(ordered_at) as first_at,
        cast(count(*) as double) as orders,
        cast(count(*) - 1 as double) as repeats,
        cast(sum(order_value) as double) as total_value,
        cast(sum(order_value) as double) / cast(count(*) as double) as mean_value,
        cast(sum(cast(cast(order_value as double) * cast(order_value as double) as decimal(34, 6))) as double)
            as squared_value
    from orders
    group by fit, customer_id
),

observed as (
    select
        *,
        {{ months_between('first_at', 'cutoff_at') }} as months_observed,
        floor({{ months_between('first_at', 'cutoff_at') }}) as whole_months
    from first_orders
),

ages as (
    select
        fit,
        whole_months as age,
        count(*) as customers,
        sum(months_observed - whole_months) as started_months
    from observed
    group by fit, whole_months
),

repeats_by_age as (
    select
        orders.fit,
        floor({{ months_between('observed.first_at', 'orders.ordered_at') }}) as age,
        cast(count(*) as double) as repeats
    from orders
    inner join observed on orders.fit = observed.fit and orders.customer_id = observed.customer_id
    where orders.ordered_at > observed.first_at
    group by orders.fit, floor({{ months_between('observed.first_at', 'orders.ordered_at') }})
),

-- Customer-months in a month of age: a whole one of all who are older, the started one of those in it.
rates_by_age as (
    select
        repeats_by_age.fit,
        repeats_by_age.age,
        repeats_by_age.repeats,
        ln(
            repeats_by_age.repeats
            / nullif(
                sum(case when ages.age > repeats_by_age.age then ages.customers else ages.started_months end),
                0
            )
        ) as log_rate
    from repeats_by_age
    inner join ages on repeats_by_age.fit = ages.fit and repeats_by_age.age <= ages.age
    group by repeats_by_age.fit, repeats_by_age.age, repeats_by_age.repeats
),

-- Sums of doubles over all customers depend on the order of the rows in their last digits: what is fitted is
-- rounded where it arises, so that what follows for a customer does not.
decays as (
    select
        fit,
        round(greatest(
            coalesce(
                -(sum(repeats) * sum(repeats * age * log_rate) - sum(repeats * age) * sum(repeats * log_rate))
                / nullif(
                    sum(repeats) * sum(repeats * age * age) - sum(repeats * age) * sum(repeats * age), 0
                ),
                0.0
            ),
            0.0
        ), 12) as decay
    from rates_by_age
    where log_rate is not null
    group by fit
),

customers as (
    select
        observed.*,
        coalesce(decays.decay, 0.0) as decay,
        {{ aged_months('observed.months_observed') }} as exposure,
        exp(-coalesce(decays.decay, 0.0) * observed.months_observed)
        * {{ aged_months('observed.horizon_months') }} as horizon_exposure
    from observed
    left join decays on observed.fit = decays.fit
),

means as (
    select
        fit,
        count(*) as customers,
        sum(orders) as orders,
        round(coalesce(sum(repeats) / nullif(sum(exposure), 0), 0.0), 12) as rate_mean,
        round(sum(total_value) / sum(orders), 10) as value_mean,
        round(
            greatest(sum(squared_value - orders * mean_value * mean_value), 0.0)
            / nullif(sum(orders) - count(*), 0), 10
        ) as value_within
    from customers
    group by fit
),

moments as (
    select
        customers.fit,
        round(greatest(
            coalesce(
                (
                    sum(
                        (customers.repeats - means.rate_mean * customers.exposure)
                        * (customers.repeats - means.rate_mean * customers.exposure)
                    )
                    - sum(means.rate_mean * customers.exposure)
                ) / nullif(sum(customers.exposure * customers.exposure), 0),
                0.0
            ),
            0.0
        ), 12) as rate_variance,
        round(greatest(
            coalesce(
                (
                    sum(
                        customers.orders * (customers.mean_value - means.value_mean)
                        * (customers.mean_value - means.value_mean)
                    )
                    - max(means.customers - 1) * max(means.value_within)
                )
                / nullif(
                    sum(customers.orders)
                    - sum(customers.orders * customers.orders) / sum(customers.orders), 0
                ),
                0.0
            ),
            0.0
        ), 10) as value_between
    from customers
    inner join means on customers.fit = means.fit
    group by customers.fit
),

estimates as (
    select
        customers.*,
        means.rate_mean,
        moments.rate_variance,
        means.value_mean,
        means.value_within,
        moments.value_between,
        coalesce(
            (means.rate_mean * means.rate_mean + customers.repeats * moments.rate_variance)
            / nullif(means.rate_mean + customers.exposure * moments.rate_variance, 0),
            0.0
        ) as monthly_rate,
        coalesce(
            moments.rate_variance
            / nullif(means.rate_mean + customers.exposure * moments.rate_variance, 0),
            0.0
        ) as rate_spread,
        coalesce(
            customers.orders * moments.value_between
            / nullif(customers.orders * moments.value_between + means.value_within, 0),
            0.0
        ) as credibility
    from customers
    inner join means on customers.fit = means.fit
    inner join moments on customers.fit = moments.fit
),

forecasts as (
    select
        *,
        horizon_exposure * monthly_rate as expected_orders,
        horizon_exposure * monthly_rate * (1 + horizon_exposure * rate_spread) as variance_of_orders,
        credibility * mean_value + (1 - credibility) * value_mean as expected_order_value
    from estimates
)

select
    fit,
    customer_id,
    orders,
    horizon_months,
    {%- for column in [
        'months_observed', 'decay', 'exposure', 'horizon_exposure', 'rate_mean', 'rate_variance',
        'monthly_rate', 'credibility', 'expected_orders', 'expected_order_value'
    ] %}
    round({{ column }}, 10) as {{ column }},
    {%- endfor %}
    round(expected_orders * expected_order_value, 10) as expected_revenue,
    round(
        expected_orders * coalesce(value_within, 0.0)
        + variance_of_orders * expected_order_value * expected_order_value
        + (variance_of_orders + expected_orders * expected_orders) * (1 - credibility) * value_between,
        10
    ) as variance_of_revenue,
    -- ((alpha + E) / (alpha + E + H)) ^ (r + x), and its limit where all rates are equal.
    round(
        case
            when rate_spread > 0 then power(1 + horizon_exposure * rate_spread, -monthly_rate / rate_spread)
            else exp(-expected_orders)
        end,
        12
    ) as probability_of_none
from forecasts
