with quotes as (
    select
        date,
        upper(currency_from) as currency_from,
        upper(currency_to) as currency_to,
        -- Two sources of one pair: the first by name, so that a day has one rate.
        min_by(rate, source_relation) as rate
    from {{ ref('int_fx_rates_unioned') }}
    where rate > 0
    group by date, upper(currency_from), upper(currency_to)
),

pairs as (
    select
        date,
        currency_from,
        currency_to,
        cast(rate as double) as rate,
        'direct' as method,
        1 as preference
    from quotes
    union all
    select
        date,
        currency_to as currency_from,
        currency_from as currency_to,
        1.0 / cast(rate as double) as rate,
        'inverse' as method,
        2 as preference
    from quotes
),

triangulated as (
    select
        first_legs.date,
        first_legs.currency_from,
        second_legs.currency_to,
        first_legs.rate * second_legs.rate as rate,
        'triangulated' as method,
        2 + first_legs.preference + second_legs.preference as preference
    from pairs as first_legs
    inner join pairs as second_legs
        on
            first_legs.date = second_legs.date
            and first_legs.currency_to = '{{ var("fx_pivot_currency") }}'
            and second_legs.currency_from = '{{ var("fx_pivot_currency") }}'
),

into_reporting as (
    select * from pairs where currency_to = '{{ var("reporting_currency") }}'
    union all
    select * from triangulated where currency_to = '{{ var("reporting_currency") }}'
),

ranked as (
    select
        *,
        row_number() over (partition by date, currency_from order by preference) as place
    from into_reporting
    where currency_from <> '{{ var("reporting_currency") }}'
),

chosen as (
    select
        date as rate_date,
        currency_from,
        cast(rate as decimal(18, 8)) as rate,
        method,
        lead(date) over (partition by currency_from order by date) as next_rate_date
    from ranked
    where place = 1
),

days as (
    {{ day_spine(
        "(select coalesce(min(date), " ~ as_of_date() ~ ") from quotes)",
        "(select greatest(max(date_end), " ~ as_of_date() ~ ") from (select max(date) as date_end from quotes) as ends)"
    ) }}
),

final as (
    select
        days.date_day as date,
        chosen.currency_from,
        chosen.rate,
        chosen.rate_date,
        chosen.method
    from days
    inner join chosen
        on
            days.date_day >= chosen.rate_date
            and days.date_day < coalesce(chosen.next_rate_date, cast('9999-12-31' as date))
            and days.date_day <= {{ add_days('chosen.rate_date', var('fx_max_carried_days')) }}

    union all

    select
        date_day as date,
        '{{ var("reporting_currency") }}' as currency_from,
        cast(1 as decimal(18, 8)) as rate,
        date_day as rate_date,
        'same' as method
    from days
)

select
    date,
    currency_from,
    rate,
    rate_date,
    method
from final
