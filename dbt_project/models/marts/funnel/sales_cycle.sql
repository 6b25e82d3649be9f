{% set grains = report_grains() %}

with opportunities as (
    select * from {{ ref('fct_opportunities') }}
    where is_closed and closed_at <= {{ as_of() }}
),

segmented as (
    {% for segment, expression in deal_segments().items() %}
    select
        '{{ segment }}' as segment,
        coalesce({{ expression }}, '(not set)') as segment_value,
        closed_on,
        case when is_won then 'won' else 'lost' end as outcome,
        amount,
        days_to_close,
        days_to_close_from_first_touch
    from opportunities
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

in_periods as (
    {% for grain in grains %}
    select
        '{{ grain }}' as period_grain,
        {{ period_start(grain, 'closed_on') }} as period_start,
        segmented.*
    from segmented
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
)

select
    cast(period_grain as {{ text_type() }}) as period_grain,
    period_start,
    cast(segment as {{ text_type() }}) as segment,
    segment_value,
    outcome,
    cast(count(*) as bigint) as deals,
    cast(sum(amount) as decimal(19, 4)) as amount,
    percentile_cont(0.5) within group (order by days_to_close) as median_days_from_creation,
    percentile_cont(0.9) within group (order by days_to_close) as p90_days_from_creation,
    cast(count(days_to_close_from_first_touch) as bigint) as deals_with_touch,
    percentile_cont(0.5) within group (order by days_to_close_from_first_touch)
        as median_days_from_first_touch,
    percentile_cont(0.9) within group (order by days_to_close_from_first_touch)
        as p90_days_from_first_touch
from in_periods
group by period_grain, period_start, segment, segment_value, outcome
