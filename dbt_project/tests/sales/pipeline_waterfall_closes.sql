-- Per row: start + lines = end, in amounts to the last digit and in deals. Per scope all_open: the end of a
-- period is the start of the next one (nothing, for a segment value without a row there).
with waterfall as (
    select * from {{ ref('pipeline_waterfall') }}
),

all_open as (
    select
        *,
        lead(start_amount) over following as next_start_amount,
        lead(start_count) over following as next_start_count,
        lead(period_start) over following as next_row_start,
        case period_grain
            {% for grain in report_grains() %}
            when '{{ grain }}' then {{ next_period_start(grain, 'period_start') }}
            {% endfor %}
        end as next_period_start
    from waterfall
    where pipeline_scope = 'all_open'
    window following as (partition by period_grain, segment, segment_value order by period_start)
)

select
    'the lines do not lead from start to end' as problem,
    pipeline_scope,
    period_grain,
    period_start,
    segment,
    segment_value
from waterfall
where
    start_amount
    {% for line, sign in waterfall_lines().items() %}
    {{ sign }} {{ line }}_amount
    {% endfor %}
    <> end_amount
    or start_count
    {% for line in counted_waterfall_lines() %}
    {{ waterfall_lines()[line] }} {{ line }}_count
    {% endfor %}
    <> end_count
union all
select
    'the next period does not start where this one ends' as problem,
    pipeline_scope,
    period_grain,
    period_start,
    segment,
    segment_value
from all_open
where
    is_complete
    and (
        end_amount <> case when next_row_start = next_period_start then next_start_amount else 0 end
        or end_count <> case when next_row_start = next_period_start then next_start_count else 0 end
    )
