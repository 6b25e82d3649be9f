-- In every grain and segment the first entries of all periods together are the distinct units of the stage.
with units as (
    select
        funnel,
        stage,
        count(distinct counting_unit_id) as units
    from {{ ref('fct_funnel_stage_entries') }}
    group by funnel, stage
),

counted as (
    select
        funnel,
        stage,
        period_grain,
        segment,
        sum(entered) as entered
    from {{ ref('funnel_stage_conversion') }}
    group by funnel, stage, period_grain, segment
)

select
    units.funnel,
    units.stage,
    counted.period_grain,
    counted.segment,
    units.units,
    counted.entered
from units
left join counted on units.funnel = counted.funnel and units.stage = counted.stage
where counted.entered is null or counted.entered <> units.units
