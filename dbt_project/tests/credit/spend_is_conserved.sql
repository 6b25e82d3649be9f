-- Conservation: spend of the ads table stands exactly once in each slice of each report.
with
spend as (
    select coalesce(sum(spend), 0) as total
    from {{ ref('fct_ad_performance_daily') }}
),

slices as (
    {%- for report in ['attribution_channels', 'attribution_campaigns'] %}
    select
        '{{ report }}' as report,
        concat(date_basis, ' ', conversion_type, ' ', model) as slice,
        sum(spend) as total
    from {{ ref(report) }}
    group by date_basis, conversion_type, model
    union all
    {%- endfor %}
    select
        'channel_economics' as report,
        concat(period_grain, ' ', date_basis, ' ', model) as slice,
        sum(media_spend) as total
    from {{ ref('channel_economics') }}
    group by period_grain, date_basis, model
    union all
    select
        'attribution_model_comparison' as report,
        concat(period_grain, ' ', conversion_type) as slice,
        sum(spend) as total
    from {{ ref('attribution_model_comparison') }}
    group by period_grain, conversion_type
)

select
    slices.report,
    slices.slice,
    slices.total,
    spend.total as expected
from slices
cross join spend
where
    -- The two period reports add up doubles and round once a row.
    abs(slices.total - spend.total)
    > case when slices.report like 'attribution_c%' then 0 else 0.01 end
