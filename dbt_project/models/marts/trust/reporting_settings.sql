{# What every figure of the published file stands on, for those who read nothing else. #}
with
final as (
    select
        cast({{ as_of() }} as timestamp) as as_of,
        {{ as_of_date() }} as as_of_date,
        '{{ var("reporting_currency") }}' as reporting_currency,
        '{{ var("reporting_time_zone") }}' as reporting_time_zone,
        {{ var("fiscal_year_start_month") }} as fiscal_year_start_month
)

select
    as_of,
    as_of_date,
    reporting_currency,
    reporting_time_zone,
    cast(fiscal_year_start_month as bigint) as fiscal_year_start_month
from final
