with closed_deals as (
    select
        opportunities.*,
        case when is_won then 'won' else 'lost' end as outcome,
        coalesce(case when is_won then won_reason else lost_reason end, '(not set)') as reason
    from {{ ref('fct_opportunities') }} as opportunities
    where is_closed and closed_at <= {{ as_of() }}
),

periods as (
    {{ in_periods('closed_deals', 'closed_on', deal_segments()) }}
),

counted as (
    select
        period_grain,
        period_start,
        segment,
        segment_value,
        coalesce(competitor, '(not set)') as competitor,
        outcome,
        reason,
        cast(count(*) as bigint) as deals,
        cast(coalesce(sum(amount), 0) as decimal(19, 4)) as amount
    from periods
    group by
        period_grain, period_start, segment, segment_value, coalesce(competitor, '(not set)'), outcome,
        reason
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
