{#- From the first year of any fact to the end of the year after as_of. -#}
with first_days as (
    select min(date) as first_day from {{ ref('int_ad_performance_unioned') }}
    union all
    select cast(min(occurred_at) as date) as first_day from {{ ref('int_revenue_events_unioned') }}
    union all
    select cast(min(occurred_at) as date) as first_day from {{ ref('int_web_events_unioned') }}
    union all
    select cast(min(created_at) as date) as first_day from {{ ref('int_crm_contacts_unioned') }}
    union all
    select cast(min(created_at) as date) as first_day from {{ ref('int_crm_opportunities_unioned') }}
    union all
    select {{ as_of_date() }} as first_day
),

days as (
    {{ day_spine(
        "(select cast(date_trunc('year', min(first_day)) as date) from first_days)",
        add_days(add_months("date_trunc('year', " ~ as_of_date() ~ ")", 24), -1)
    ) }}
),

holidays as (
    select * from {{ ref('holidays') }}
    where country = '{{ var("holiday_country") }}'
),

final as (
    select
        days.date_day as date,
        cast(extract(year from days.date_day) as bigint) as year,
        cast(extract(quarter from days.date_day) as bigint) as quarter,
        cast(extract(month from days.date_day) as bigint) as month,
        cast(date_trunc('month', days.date_day) as date) as month_start,
        cast(extract(year from {{ add_days("date_trunc('week', days.date_day)", 3) }}) as bigint) as iso_year,
        cast(extract(week from days.date_day) as bigint) as iso_week,
        cast(date_trunc('week', days.date_day) as date) as week_start,
        {{ iso_weekday('days.date_day') }} as iso_weekday,
        cast(extract(year from {{ add_months(
            fiscal_quarter_start('days.date_day'), 0 if var('fiscal_year_start_month') | int == 1
            else 13 - var('fiscal_year_start_month') | int
        ) }}) as bigint) as fiscal_year,
        {{ fiscal_quarter_start('days.date_day') }} as fiscal_quarter_start,
        cast(
            extract(
                quarter from {{ add_months('days.date_day', 1 - var('fiscal_year_start_month') | int) }}
            ) as bigint
        ) as fiscal_quarter,
        {{ iso_weekday('days.date_day') }} >= 6 as is_weekend,
        holidays.holiday_date is not null as is_holiday,
        holidays.holiday
    from days
    left join holidays on days.date_day = holidays.holiday_date
)

select
    date,
    year,
    quarter,
    month,
    month_start,
    iso_year,
    iso_week,
    week_start,
    iso_weekday,
    fiscal_year,
    fiscal_quarter,
    fiscal_quarter_start,
    is_weekend,
    is_holiday,
    holiday
from final
