{#
funnel_stage_conversion over the stages of a framework (seed funnel_frameworks): a unit enters a framework stage with
its first entry into any of the funnel stages in it, and advances with its first entry into one of a later framework
stage. Counted are the funnel stages' own units where they agree and the next framework stage has such subjects
too, else accounts.
#}
{% set segments = framework_segments() %}

with rules as (
    select distinct
        funnel,
        stage,
        subject,
        counting_unit
    from {{ ref('funnels') }}
),

frameworks as (
    select
        funnel_frameworks.framework,
        funnel_frameworks.framework_order,
        funnel_frameworks.framework_stage,
        rules.funnel,
        rules.stage,
        rules.subject,
        rules.counting_unit
    from {{ ref('funnel_frameworks') }} as funnel_frameworks
    inner join rules
        on funnel_frameworks.funnel = rules.funnel and funnel_frameworks.stage = rules.stage
),

framework_stages as (
    select
        framework,
        framework_order,
        funnel,
        min(counting_unit) as counting_unit,
        count(distinct counting_unit) as counting_units,
        lead(framework_order) over (partition by framework, funnel order by framework_order) as next_order
    from frameworks
    group by framework, framework_order, funnel
),

counting as (
    select
        framework_stages.framework,
        framework_stages.framework_order,
        framework_stages.funnel,
        framework_stages.next_order,
        case
            when framework_stages.counting_units > 1 then 'account'
            when framework_stages.next_order is not null and count(following.stage) = 0 then 'account'
            else framework_stages.counting_unit
        end as counting_unit
    from framework_stages
    left join frameworks as following
        on
            framework_stages.framework = following.framework
            and framework_stages.funnel = following.funnel
            and framework_stages.next_order = following.framework_order
            and framework_stages.counting_unit = following.subject
    group by
        framework_stages.framework,
        framework_stages.framework_order,
        framework_stages.funnel,
        framework_stages.next_order,
        framework_stages.counting_unit,
        framework_stages.counting_units
),

entries as (
    select
        funnel,
        stage,
        stage_order,
        subject,
        subject_id,
        account_unit_id,
        entry_number,
        entered_at,
        entered_on,
        is_subject_lost,
        is_only_entry,
        first_touch_channel
    from {{ ref('fct_funnel_stage_entries') }}
),

-- Most units have made one entry only (a visit): they are counted by day before they meet the frameworks (a
-- fifth of the time on 276,000 entries).
single_days as (
    select
        funnel,
        stage,
        entered_on,
        first_touch_channel,
        count(*) as entered
    from entries
    where is_only_entry
    group by funnel, stage, entered_on, first_touch_channel
),

-- Each entry under each framework; both keys of the unit, as its own framework stage and an earlier one may
-- differ.
placed as (
    select
        frameworks.framework,
        frameworks.framework_order,
        frameworks.framework_stage,
        entries.funnel,
        counting.counting_unit,
        counting.next_order,
        case when counting.counting_unit = 'account' then entries.account_unit_id else entries.subject_id end
            as counting_unit_id,
        entries.subject,
        entries.subject_id,
        entries.account_unit_id,
        entries.stage_order,
        entries.entry_number,
        entries.entered_at,
        entries.entered_on,
        entries.is_subject_lost,
        entries.first_touch_channel
    from entries
    inner join frameworks on entries.funnel = frameworks.funnel and entries.stage = frameworks.stage
    inner join counting
        on
            frameworks.framework = counting.framework
            and frameworks.framework_order = counting.framework_order
            and frameworks.funnel = counting.funnel
    where not entries.is_only_entry
),

{% set first_entry = ordered_by(['entered_at', 'subject_id', 'first_touch_channel']) %}
first_entries as (
    select
        framework,
        framework_order,
        framework_stage,
        funnel,
        counting_unit,
        counting_unit_id,
        max(next_order) as next_order,
        min(entered_at) as entered_at,
        min(entered_on) as entered_on,
        -- Lost are those whose subjects in the furthest stage all are.
        max_by(
            is_subject_lost, {{ ordered_by(['stage_order', 'case when is_subject_lost then 0 else 1 end']) }}
        ) as is_unit_lost,
        min_by(first_touch_channel, {{ first_entry }}) as first_touch_channel
    from placed
    group by framework, framework_order, framework_stage, funnel, counting_unit, counting_unit_id
),

-- What a unit reached after the first framework stage, in its own terms and in its account's.
reached as (
    select
        framework,
        framework_order,
        funnel,
        subject as counting_unit,
        subject_id as counting_unit_id,
        entered_at
    from placed
    where framework_order > 1 and subject <> 'account'
    union all
    select
        framework,
        framework_order,
        funnel,
        'account' as counting_unit,
        account_unit_id as counting_unit_id,
        entered_at
    from placed
    where framework_order > 1
),

advances as (
    select
        first_entries.framework,
        first_entries.framework_order,
        first_entries.funnel,
        first_entries.counting_unit_id,
        min(reached.entered_at) as advanced_at
    from first_entries
    inner join reached
        on
            first_entries.framework = reached.framework
            and first_entries.funnel = reached.funnel
            and first_entries.counting_unit = reached.counting_unit
            and first_entries.counting_unit_id = reached.counting_unit_id
            and first_entries.framework_order < reached.framework_order
            and first_entries.entered_at <= reached.entered_at
    group by
        first_entries.framework,
        first_entries.framework_order,
        first_entries.funnel,
        first_entries.counting_unit_id
),

-- Counts add up from day to period and from all segments to one.
daily as (
    select
        frameworks.framework,
        frameworks.framework_order,
        frameworks.framework_stage,
        frameworks.funnel,
        counting.counting_unit,
        counting.next_order,
        single_days.entered_on,
        single_days.first_touch_channel,
        single_days.entered,
        0 as advanced,
        0 as advanced_within_30d,
        0 as advanced_within_90d,
        0 as lost
    from single_days
    inner join frameworks on single_days.funnel = frameworks.funnel and single_days.stage = frameworks.stage
    inner join counting
        on
            frameworks.framework = counting.framework
            and frameworks.framework_order = counting.framework_order
            and frameworks.funnel = counting.funnel
    union all
    select
        first_entries.framework,
        first_entries.framework_order,
        first_entries.framework_stage,
        first_entries.funnel,
        first_entries.counting_unit,
        first_entries.next_order,
        first_entries.entered_on,
        first_entries.first_touch_channel,
        count(*) as entered,
        count(advances.advanced_at) as advanced,
        {% set days_to_advance = days_between('first_entries.entered_at', 'advances.advanced_at') %}
        sum(case when {{ days_to_advance }} <= 30 then 1 else 0 end) as advanced_within_30d,
        sum(case when {{ days_to_advance }} <= 90 then 1 else 0 end) as advanced_within_90d,
        sum(case when advances.advanced_at is null and first_entries.is_unit_lost then 1 else 0 end) as lost
    from first_entries
    left join advances
        on
            first_entries.framework = advances.framework
            and first_entries.framework_order = advances.framework_order
            and first_entries.funnel = advances.funnel
            and first_entries.counting_unit_id = advances.counting_unit_id
    group by
        first_entries.framework,
        first_entries.framework_order,
        first_entries.framework_stage,
        first_entries.funnel,
        first_entries.counting_unit,
        first_entries.next_order,
        first_entries.entered_on,
        first_entries.first_touch_channel
),

periods as (
    {{ in_periods('daily', 'entered_on', segments) }}
),

re_entries as (
    select * from placed
    where entry_number > 1
),

returns as (
    {{ in_periods('re_entries', 'entered_on', segments) }}
),

{% set keys = [
    'period_grain', 'period_start', 'segment', 'segment_value', 'framework', 'framework_order', 'framework_stage',
    'funnel', 'counting_unit', 'next_order',
] | join(', ') %}
counted as (
    select
        {{ keys }},
        cast(sum(entered) as bigint) as entered,
        cast(sum(recycled) as bigint) as recycled,
        cast(sum(advanced) as bigint) as advanced,
        cast(sum(advanced_within_30d) as bigint) as advanced_within_30d,
        cast(sum(advanced_within_90d) as bigint) as advanced_within_90d,
        cast(sum(lost) as bigint) as lost
    from (
        select
            {{ keys }},
            entered,
            0 as recycled,
            advanced,
            advanced_within_30d,
            advanced_within_90d,
            lost
        from periods
        union all
        select
            {{ keys }},
            0 as entered,
            count(distinct counting_unit_id) as recycled,
            0 as advanced,
            0 as advanced_within_30d,
            0 as advanced_within_90d,
            0 as lost
        from returns
        group by {{ keys }}
    ) as both_counts
    group by {{ keys }}
)

select
    cast(period_grain as {{ text_type() }}) as period_grain,
    period_start,
    framework,
    framework_stage,
    cast(framework_order as bigint) as framework_order,
    funnel,
    cast(segment as {{ text_type() }}) as segment,
    coalesce(segment_value, '(not set)') as segment_value,
    cast(counting_unit as {{ text_type() }}) as counting_unit,
    entered,
    recycled,
    advanced,
    advanced_within_30d,
    advanced_within_90d,
    lost,
    entered - advanced - lost as open,
    case when next_order is not null then {{ safe_divide('advanced', 'entered') }} end as conversion_rate,
    case when next_order is not null then {{ wilson_bound('advanced', 'entered', 'low') }} end
        as conversion_rate_low,
    case when next_order is not null then {{ wilson_bound('advanced', 'entered', 'high') }} end
        as conversion_rate_high
from counted
