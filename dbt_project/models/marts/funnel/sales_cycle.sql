with closed_deals as (
    select
        opportunities.*,
        case when is_won then 'won' else 'lost' end as outcome
    from {{ ref('fct_opportunities') }} as opportunities
    where is_closed and closed_at <= {{ as_of() }}
),

periods as (
    {{ in_periods('closed_deals', 'closed_on', deal_segments()) }}
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
from periods
group by period_grain, period_start, segment, segment_value, outcome
