-- Conservation: every slice of channel_economics (grain, date basis, model) has all costs, all new customers
-- with all they have brought, all wins with their bookings, and all MQLs.
with
expected as (
    select
        (select sum(amount) from {{ ref('int_costs_daily') }}) as other_cost,
        sum(case when types.is_revenue and conversions.is_new_customer then 1 else 0 end) as new_customers,
        sum(
            case
                when
                    types.is_revenue
                    and conversions.is_new_customer
                    and customers.value_basis = 'gross_margin'
                    then cast(customers.realised_value as double)
                else 0.0
            end
        ) as gross_margin,
        sum(case when conversions.conversion_type = 'won' then 1 else 0 end) as wins,
        sum(case when conversions.conversion_type = 'won' then cast(conversions.value as double) else 0.0 end)
            as bookings,
        sum(case when conversions.conversion_type = 'mql' then 1 else 0 end) as mqls
    from {{ ref('fct_conversions') }} as conversions
    inner join {{ ref('conversion_types') }} as types
        on conversions.conversion_type = types.conversion_type
    left join {{ ref('customer_lifetime_value') }} as customers
        on conversions.customer_id = customers.customer_id
),

slices as (
    select
        concat(period_grain, ' ', date_basis, ' ', model) as slice,
        sum(cast(loaded_cost - media_spend as double)) as other_cost,
        sum(new_customers) as new_customers,
        sum(cast(gross_margin_to_date as double)) as gross_margin,
        sum(wins) as wins,
        sum(cast(bookings as double)) as bookings,
        sum(mqls) as mqls
    from {{ ref('channel_economics') }}
    group by period_grain, date_basis, model
)

select
    slices.*,
    expected.other_cost as expected_other_cost,
    expected.new_customers as expected_new_customers,
    expected.gross_margin as expected_gross_margin,
    expected.wins as expected_wins,
    expected.bookings as expected_bookings,
    expected.mqls as expected_mqls
from slices
cross join expected
where
    -- Amounts are rounded to a ten-thousandth in each of some thousand rows.
    abs(slices.other_cost - coalesce(expected.other_cost, 0)) > 1
    or abs(slices.new_customers - expected.new_customers) > 1e-6
    or abs(slices.gross_margin - expected.gross_margin) > 1
    or abs(slices.wins - expected.wins) > 1e-6
    or abs(slices.bookings - expected.bookings) > 1
    or abs(slices.mqls - expected.mqls) > 1e-6
