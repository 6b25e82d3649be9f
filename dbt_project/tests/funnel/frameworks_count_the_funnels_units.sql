-- A framework stage that is one funnel stage, counted in the same unit, has that stage's counts; all grains
-- and segments of a framework stage add up to the same.
with summary as (
    select * from {{ ref('funnel_framework_summary') }}
),

totals as (
    select
        framework,
        framework_stage,
        funnel,
        counting_unit,
        period_grain,
        segment,
        sum(entered) as entered,
        sum(advanced) as advanced
    from summary
    group by framework, framework_stage, funnel, counting_unit, period_grain, segment
),

sole_stages as (
    select
        frameworks.framework,
        frameworks.framework_stage,
        frameworks.funnel,
        min(frameworks.stage) as stage
    from {{ ref('funnel_frameworks') }} as frameworks
    group by frameworks.framework, frameworks.framework_stage, frameworks.funnel
    having count(*) = 1
),

stage_totals as (
    select
        funnel,
        stage,
        counting_unit,
        sum(entered) as entered,
        sum(advanced) as advanced
    from {{ ref('funnel_stage_conversion') }}
    where period_grain = 'month' and segment = 'all'
    group by funnel, stage, counting_unit
)

select
    totals.framework,
    totals.framework_stage,
    totals.funnel,
    totals.period_grain,
    totals.segment,
    'the same in every grain and segment' as expectation
from totals
inner join totals as monthly
    on
        totals.framework = monthly.framework
        and totals.framework_stage = monthly.framework_stage
        and totals.funnel = monthly.funnel
        and monthly.period_grain = 'month'
        and monthly.segment = 'all'
where totals.entered <> monthly.entered or totals.advanced <> monthly.advanced
union all
select
    totals.framework,
    totals.framework_stage,
    totals.funnel,
    totals.period_grain,
    totals.segment,
    'as funnel_stage_conversion says' as expectation
from totals
inner join sole_stages
    on
        totals.framework = sole_stages.framework
        and totals.framework_stage = sole_stages.framework_stage
        and totals.funnel = sole_stages.funnel
inner join stage_totals
    on
        sole_stages.funnel = stage_totals.funnel
        and sole_stages.stage = stage_totals.stage
        and totals.counting_unit = stage_totals.counting_unit
where totals.entered <> stage_totals.entered or totals.advanced > stage_totals.advanced
