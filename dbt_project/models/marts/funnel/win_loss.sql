{% set grains = report_grains() %}

with opportunities as (
    select
        opportunities.*,
        case when is_won then 'won' else 'lost' end as outcome,
        coalesce(case when is_won then won_reason else lost_reason end, '(not set)') as reason
    from {{ ref('fct_opportunities') }} as opportunities
    where is_closed and closed_at <= {{ as_of() }}
),

segmented as (
    {% for segment, expression in deal_segments().items() %}
    select
        '{{ segment }}' as segment,
        coalesce({{ expression }}, '(not set)') as segment_value,
        closed_on,
        outcome,
        reason,
        coalesce(competitor, '(not set)') as competitor,
        amount
    from opportunities
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

counted as (
    {% for grain in grains %}
    select
        '{{ grain }}' as period_grain,
        {{ period_start(grain, 'closed_on') }} as period_start,
        segment,
        segment_value,
        competitor,
        outcome,
        reason,
        cast(count(*) as bigint) as deals,
        cast(coalesce(sum(amount), 0) as decimal(19, 4)) as amount
    from segmented
    group by
        {{ period_start(grain, 'closed_on') }},
        segment,
        segment_value,
        competitor,
        outcome,
        reason
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
)

select
    cast(period_grain as {{ text_type() }}) as period_grain,
    period_start,
    cast(segment as {{ text_type() }}) as segment,
    segment_value,
    competitor,
    outcome,
    reason,
    deals,
    amount,
    {{ safe_divide(
        'deals', 'sum(deals) over (partition by period_grain, period_start, segment, segment_value, outcome)'
    ) }} as share_of_outcome,
    {{ safe_divide(
        "sum(case when outcome = 'won' then deals else 0 end) over "
        ~ "(partition by period_grain, period_start, segment, segment_value, competitor)",
        'sum(deals) over (partition by period_grain, period_start, segment, segment_value, competitor)'
    ) }} as win_rate_against_competitor
from counted
