{#
What it is worth to close each stage's gap. For a stage s, over its latest mature monthly cohorts:
    gap            = benchmark - conversion rate (0 where the rate is better), the benchmark being the target of seed
                     stage_targets, else the median of the funnel's own mature monthly rates (trailing_median)
    extra advances = gap x units that entered, per month
    expected wins  = extra advances x the rates of the stages between the next one and the next sale (win_stage)
    expected value = expected wins x the mean value of a conversion of the sale's type
A segment's own rate is held against the whole funnel's benchmark, rates to the sale and value: few units make poor rates.
#}
{% set trailing = var('bottleneck_trailing_months') %}
{% set recent = var('bottleneck_cohort_months') %}

with conversion as (
    select * from {{ ref('funnel_stage_conversion') }}
    where period_grain = 'month' and is_mature and segment <> 'deal_size_band' and entered > 0
),

rules as (
    select * from {{ ref('funnels') }}
),

stages as (
    select
        funnel,
        stage,
        cast(min(stage_order) as bigint) as stage_order,
        min(win_conversion_type) as win_conversion_type
    from rules
    group by funnel, stage
),

values_of_wins as (
    select
        conversion_type,
        avg(cast(value as double)) as value_per_win,
        min(
            case
                when bookings is not null then 'bookings'
                when mrr is not null then 'mrr'
                else 'billings'
            end
        ) as value_basis
    from {{ ref('fct_conversions') }}
    where converted_on >= {{ add_months(as_of_date(), '-' ~ trailing) }} and value > 0
    group by conversion_type
),

cohorts as (
    select
        funnel,
        stage,
        period_start,
        entered,
        advanced,
        conversion_rate,
        row_number() over (partition by funnel, stage order by period_start desc) as cohort_number
    from conversion
    where segment = 'all'
),

trailing_rates as (
    select
        funnel,
        stage,
        {{ safe_divide('sum(advanced)', 'sum(entered)') }} as trailing_rate,
        percentile_cont(0.5) within group (order by conversion_rate) as trailing_median
    from cohorts
    where cohort_number <= {{ trailing }}
    group by funnel, stage
),

windows as (
    select
        funnel,
        stage,
        min(period_start) as first_cohort,
        max(period_start) as last_cohort,
        cast(count(*) as bigint) as cohort_months
    from cohorts
    where cohort_number <= {{ recent }}
    group by funnel, stage
),

-- The next sale after each stage, and the share of units in the next stage that get there.
next_sales as (
    select
        stages.funnel,
        stages.stage,
        stages.stage_order,
        min(later.stage_order) as win_order
    from stages
    inner join stages as later
        on stages.funnel = later.funnel and stages.stage_order < later.stage_order
    where later.win_conversion_type is not null
    group by stages.funnel, stages.stage, stages.stage_order
),

ways as (
    select
        next_sales.funnel,
        next_sales.stage,
        max(next_sales.win_order) as win_order,
        case
            when count(between_stages.stage) > count(trailing_rates.trailing_rate) then null
            when min(trailing_rates.trailing_rate) = 0 then 0.0
            else coalesce(exp(sum(ln(nullif(trailing_rates.trailing_rate, 0)))), 1.0)
        end as win_rate_from_next_stage
    from next_sales
    left join stages as between_stages
        on
            next_sales.funnel = between_stages.funnel
            and next_sales.stage_order < between_stages.stage_order
            and next_sales.win_order > between_stages.stage_order
    left join trailing_rates
        on between_stages.funnel = trailing_rates.funnel and between_stages.stage = trailing_rates.stage
    group by next_sales.funnel, next_sales.stage
),

measured as (
    select
        conversion.funnel,
        conversion.segment,
        conversion.segment_value,
        conversion.stage,
        conversion.stage_order,
        conversion.counting_unit,
        max(windows.first_cohort) as first_cohort,
        max(windows.last_cohort) as last_cohort,
        max(windows.cohort_months) as cohort_months,
        cast(sum(conversion.entered) as bigint) as entered,
        cast(sum(conversion.advanced) as bigint) as advanced,
        max(conversion.target) as target
    from conversion
    inner join windows
        on
            conversion.funnel = windows.funnel
            and conversion.stage = windows.stage
            and conversion.period_start between windows.first_cohort and windows.last_cohort
    group by
        conversion.funnel,
        conversion.segment,
        conversion.segment_value,
        conversion.stage,
        conversion.stage_order,
        conversion.counting_unit
),

compared as (
    select
        measured.*,
        following.stage as next_stage,
        {{ safe_divide('measured.advanced', 'measured.entered') }} as conversion_rate,
        {{ wilson_bound('measured.advanced', 'measured.entered', 'low') }} as conversion_rate_low,
        {{ wilson_bound('measured.advanced', 'measured.entered', 'high') }} as conversion_rate_high,
        trailing_rates.trailing_median,
        coalesce(measured.target, trailing_rates.trailing_median) as benchmark,
        case when measured.target is not null then 'target' else 'trailing_median' end as benchmark_source,
        win_stages.stage as win_stage,
        ways.win_rate_from_next_stage,
        values_of_wins.value_per_win,
        values_of_wins.value_basis
    from measured
    inner join stages as following
        on measured.funnel = following.funnel and measured.stage_order + 1 = following.stage_order
    left join trailing_rates
        on measured.funnel = trailing_rates.funnel and measured.stage = trailing_rates.stage
    left join ways on measured.funnel = ways.funnel and measured.stage = ways.stage
    left join stages as win_stages
        on ways.funnel = win_stages.funnel and ways.win_order = win_stages.stage_order
    left join values_of_wins on win_stages.win_conversion_type = values_of_wins.conversion_type
),

gaps as (
    select
        compared.*,
        greatest(benchmark - conversion_rate, 0.0) as gap,
        greatest(trailing_median - conversion_rate, 0.0) as gap_to_trailing_median,
        benchmark > conversion_rate_high as is_beyond_chance,
        greatest(benchmark - conversion_rate, 0.0) * entered / cohort_months as extra_advances_per_month
    from compared
),

valued as (
    select
        gaps.*,
        extra_advances_per_month * win_rate_from_next_stage as expected_wins_per_month,
        {{ to_money('extra_advances_per_month * win_rate_from_next_stage * value_per_win') }}
            as expected_value_per_month
    from gaps
)

select
    funnel,
    cast(segment as {{ text_type() }}) as segment,
    segment_value,
    stage,
    stage_order,
    next_stage,
    row_number() over (
        partition by funnel, segment, segment_value
        order by
            expected_value_per_month desc nulls last,
            expected_wins_per_month desc nulls last,
            gap desc,
            stage_order asc
    ) as bottleneck_rank,
    counting_unit,
    first_cohort,
    last_cohort,
    cohort_months,
    entered,
    advanced,
    conversion_rate,
    conversion_rate_low,
    conversion_rate_high,
    target,
    trailing_median,
    benchmark,
    cast(benchmark_source as {{ text_type() }}) as benchmark_source,
    gap,
    gap_to_trailing_median,
    is_beyond_chance,
    extra_advances_per_month,
    win_stage,
    win_rate_from_next_stage,
    {{ to_money('value_per_win') }} as value_per_win,
    cast(value_basis as {{ text_type() }}) as value_basis,
    expected_wins_per_month,
    expected_value_per_month
from valued
