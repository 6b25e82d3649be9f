-- In every grain and segment the hand-overs of all periods are the entries into the stages of handoff_stages.
with due as (
    select
        handoff_stages.handoff_type,
        count(*) as entries
    from {{ ref('fct_funnel_stage_entries') }} as entries
    inner join {{ ref('handoff_stages') }} as handoff_stages
        on entries.funnel = handoff_stages.funnel and entries.stage = handoff_stages.stage
    where entries.subject = 'person' and not entries.is_skipped
    group by handoff_stages.handoff_type
),

reported as (
    select
        handoff_type,
        period_grain,
        segment,
        sum(qualified) as qualified
    from {{ ref('handoff_alignment') }}
    group by handoff_type, period_grain, segment
)

select
    due.handoff_type,
    reported.period_grain,
    reported.segment,
    due.entries,
    reported.qualified
from due
left join reported on due.handoff_type = reported.handoff_type
where reported.qualified is null or reported.qualified <> due.entries
