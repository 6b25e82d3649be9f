{% set segments = funnel_segments() %}

with entries as (
    select * from {{ ref('fct_funnel_stage_entries') }}
    where not is_only_entry
),

only_entries as (
    select * from {{ ref('fct_funnel_stage_entries') }}
    where is_only_entry
),

targets as (
    select * from {{ ref('stage_targets') }}
),

last_stages as (
    select
        funnel,
        max(stage_order) as last_order
    from {{ ref('funnels') }}
    group by funnel
),

-- What a subject spent in a stage over all its stints; unknown while there, or with inferred dates.
hours as (
    select
        funnel,
        subject,
        subject_id,
        stage,
        case
            when bool_or(not is_skipped and (exited_at is null or has_inferred_hours)) then null
            else sum(hours_in_stage)
        end as hours_in_stage
    from entries
    group by funnel, subject, subject_id, stage
),

-- One row per counting unit and stage: its first entry. A unit is lost when all its subjects there are.
unit_entries as (
    select
        entries.*,
        row_number() over (
            partition by funnel, stage, counting_unit_id
            order by entered_at, is_skipped, funnel_stage_entry_id
        ) as unit_entry_number,
        min(case when is_subject_lost then 1 else 0 end) over (
            partition by funnel, stage, counting_unit_id
        ) = 1 as is_unit_lost
    from entries
),

first_entries as (
    select
        unit_entries.funnel,
        unit_entries.stage,
        unit_entries.stage_order,
        unit_entries.subject,
        unit_entries.counting_unit,
        unit_entries.counting_unit_id,
        unit_entries.entered_at,
        unit_entries.entered_on,
        unit_entries.is_unit_lost,
        unit_entries.owner_id,
        unit_entries.first_touch_channel,
        unit_entries.country,
        unit_entries.product,
        unit_entries.deal_size_band,
        hours.hours_in_stage
    from unit_entries
    left join hours
        on
            unit_entries.funnel = hours.funnel
            and unit_entries.subject = hours.subject
            and unit_entries.subject_id = hours.subject_id
            and unit_entries.stage = hours.stage
    where unit_entries.unit_entry_number = 1
),

-- What a unit reached, in its own terms: a person's stages for persons, and so on; everything for an account.
reached as (
    select
        funnel,
        subject as counting_unit,
        subject_id as counting_unit_id,
        stage_order,
        entered_at
    from entries
    where subject <> 'account'
    union all
    select
        funnel,
        'account' as counting_unit,
        account_unit_id as counting_unit_id,
        stage_order,
        entered_at
    from entries
),

advances as (
    select
        first_entries.funnel,
        first_entries.stage,
        first_entries.counting_unit_id,
        min(reached.entered_at) as advanced_at
    from first_entries
    inner join reached
        on
            first_entries.funnel = reached.funnel
            and first_entries.counting_unit = reached.counting_unit
            and first_entries.counting_unit_id = reached.counting_unit_id
            and first_entries.stage_order < reached.stage_order
            and first_entries.entered_at <= reached.entered_at
    group by first_entries.funnel, first_entries.stage, first_entries.counting_unit_id
),

facts as (
    select
        first_entries.funnel,
        first_entries.stage,
        first_entries.stage_order,
        first_entries.counting_unit,
        first_entries.counting_unit_id,
        first_entries.entered_on,
        first_entries.owner_id,
        first_entries.first_touch_channel,
        first_entries.country,
        first_entries.product,
        first_entries.deal_size_band,
        1 as is_entry,
        case when advances.advanced_at is not null then 1 else 0 end as is_advanced,
        case
            when {{ days_between('first_entries.entered_at', 'advances.advanced_at') }} <= 30 then 1
            else 0
        end as is_advanced_30d,
        case
            when {{ days_between('first_entries.entered_at', 'advances.advanced_at') }} <= 90 then 1
            else 0
        end as is_advanced_90d,
        case when advances.advanced_at is null and first_entries.is_unit_lost then 1 else 0 end as is_lost,
        first_entries.hours_in_stage
    from first_entries
    left join advances
        on
            first_entries.funnel = advances.funnel
            and first_entries.stage = advances.stage
            and first_entries.counting_unit_id = advances.counting_unit_id
    union all
    select
        funnel,
        stage,
        stage_order,
        counting_unit,
        counting_unit_id,
        entered_on,
        owner_id,
        first_touch_channel,
        country,
        product,
        deal_size_band,
        0 as is_entry,
        0 as is_advanced,
        0 as is_advanced_30d,
        0 as is_advanced_90d,
        0 as is_lost,
        cast(null as double) as hours_in_stage
    from entries
    where entry_number > 1
    union all
    select
        funnel,
        stage,
        stage_order,
        counting_unit,
        counting_unit_id,
        entered_on,
        owner_id,
        first_touch_channel,
        country,
        product,
        deal_size_band,
        1 as is_entry,
        0 as is_advanced,
        0 as is_advanced_30d,
        0 as is_advanced_90d,
        0 as is_lost,
        cast(null as double) as hours_in_stage
    from only_entries
),

-- Skipped stages count as reached, never in hours.
stage_hours as (
    select
        funnel,
        stage,
        percentile_cont(0.9) within group (order by hours_in_stage) as p90_hours
    from first_entries
    where hours_in_stage is not null
    group by funnel, stage
),

-- Counts add up from day to period and from all segments to one, so they are added up by day and all segments
-- first; only what has hours, and what came back, goes through every period and segment row by row.
daily as (
    select
        funnel,
        stage,
        stage_order,
        counting_unit,
        entered_on,
        owner_id,
        first_touch_channel,
        country,
        product,
        deal_size_band,
        sum(is_entry) as entered,
        sum(is_advanced) as advanced,
        sum(is_advanced_30d) as advanced_within_30d,
        sum(is_advanced_90d) as advanced_within_90d,
        sum(is_lost) as lost
    from facts
    group by
        funnel,
        stage,
        stage_order,
        counting_unit,
        entered_on,
        owner_id,
        first_touch_channel,
        country,
        product,
        deal_size_band
),

daily_details as (
    select
        funnel,
        stage,
        counting_unit,
        entered_on,
        owner_id,
        first_touch_channel,
        country,
        product,
        deal_size_band,
        case when is_entry = 0 then counting_unit_id end as recycled_unit_id,
        hours_in_stage
    from facts
    where is_entry = 0 or hours_in_stage is not null
),

periods as (
    {{ in_periods('daily', 'entered_on', segments) }}
),

counted as (
    select
        period_grain,
        period_start,
        funnel,
        stage,
        stage_order,
        segment,
        segment_value,
        counting_unit,
        cast(sum(entered) as bigint) as entered,
        cast(sum(advanced) as bigint) as advanced,
        cast(sum(advanced_within_30d) as bigint) as advanced_within_30d,
        cast(sum(advanced_within_90d) as bigint) as advanced_within_90d,
        cast(sum(lost) as bigint) as lost
    from periods
    group by period_grain, period_start, funnel, stage, stage_order, segment, segment_value, counting_unit
),

period_details as (
    {{ in_periods('daily_details', 'entered_on', segments) }}
),

detailed as (
    select
        period_grain,
        period_start,
        funnel,
        stage,
        segment,
        segment_value,
        counting_unit,
        count(distinct recycled_unit_id) as recycled,
        {{ percentiles('hours_in_stage', [0.5, 0.9]) }} as hours_in_stage
    from period_details
    group by period_grain, period_start, funnel, stage, segment, segment_value, counting_unit
),

rated as (
    select
        counted.*,
        coalesce(detailed.recycled, 0) as recycled,
        {{ list_element('detailed.hours_in_stage', 1) }} as median_hours_in_stage,
        {{ list_element('detailed.hours_in_stage', 2) }} as p90_hours_in_stage,
        counted.entered - counted.advanced - counted.lost as open_units,
        counted.stage_order < last_stages.last_order as has_next_stage,
        case counted.period_grain
            when 'week' then {{ add_days('counted.period_start', 7) }}
            when 'month' then {{ add_months('counted.period_start', 1) }}
            else {{ add_months('counted.period_start', 3) }}
        end as period_end,
        stage_hours.p90_hours,
        cast(targets.target_rate as double) as target_rate
    from counted
    left join detailed
        on
            counted.period_grain = detailed.period_grain
            and counted.period_start = detailed.period_start
            and counted.funnel = detailed.funnel
            and counted.stage = detailed.stage
            and counted.segment = detailed.segment
            and counted.segment_value = detailed.segment_value
            and counted.counting_unit = detailed.counting_unit
    inner join last_stages on counted.funnel = last_stages.funnel
    left join stage_hours on counted.funnel = stage_hours.funnel and counted.stage = stage_hours.stage
    left join targets on counted.funnel = targets.funnel and counted.stage = targets.stage
)

select
    cast(period_grain as {{ text_type() }}) as period_grain,
    period_start,
    funnel,
    stage,
    stage_order,
    cast(segment as {{ text_type() }}) as segment,
    segment_value,
    counting_unit,
    entered,
    recycled,
    advanced,
    advanced_within_30d,
    advanced_within_90d,
    lost,
    open_units as open,
    case when has_next_stage then {{ safe_divide('advanced', 'entered') }} end as conversion_rate,
    case when has_next_stage then {{ wilson_bound('advanced', 'entered', 'low') }} end as conversion_rate_low,
    case when has_next_stage then {{ wilson_bound('advanced', 'entered', 'high') }} end
        as conversion_rate_high,
    median_hours_in_stage,
    p90_hours_in_stage,
    coalesce(
        {{ hours_between(
            to_utc('cast(period_end as timestamp)', "'" ~ var('reporting_time_zone') ~ "'"), as_of()
        ) }} >= p90_hours,
        false
    ) as is_mature,
    target_rate as target,
    case
        when has_next_stage then {{ safe_divide(safe_divide('advanced', 'entered'), 'target_rate') }}
    end as attainment
from rated
