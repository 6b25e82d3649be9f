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
        min(framework_stage) as framework_stage,
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
        framework_stages.framework_stage,
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
        framework_stages.framework_stage,
        framework_stages.funnel,
        framework_stages.next_order,
        framework_stages.counting_unit,
        framework_stages.counting_units
),

-- Numbers stand for names where there is a row for each entry: a third of the memory.
places as (
    select
        *,
        cast(row_number() over (order by framework, funnel, framework_order) as integer) as place,
        cast(dense_rank() over (order by framework, funnel) as integer) as framework_of_funnel
    from counting
),

stage_places as (
    select
        frameworks.stage,
        places.funnel,
        places.place,
        places.framework_of_funnel,
        places.framework_order,
        places.counting_unit
    from frameworks
    inner join places
        on
            frameworks.framework = places.framework
            and frameworks.framework_order = places.framework_order
            and frameworks.funnel = places.funnel
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

first_channels as (
    select
        first_touch_channel,
        cast(row_number() over (order by first_touch_channel) as integer) as channel_number
    from (select distinct entries.first_touch_channel from entries) as seen
),

-- Each entry under each framework; both keys of the unit, as its own framework stage and an earlier one may
-- differ.
placed as (
    select
        stage_places.place,
        stage_places.framework_of_funnel,
        stage_places.framework_order,
        stage_places.counting_unit,
        case
            when stage_places.counting_unit = 'account' then entries.account_unit_id
            else entries.subject_id
        end as counting_unit_id,
        entries.subject,
        entries.subject_id,
        entries.account_unit_id,
        entries.stage_order,
        entries.entry_number,
        entries.entered_at,
        entries.entered_on,
        entries.is_subject_lost,
        first_channels.channel_number
    from entries
    inner join stage_places on entries.funnel = stage_places.funnel and entries.stage = stage_places.stage
    inner join first_channels on entries.first_touch_channel = first_channels.first_touch_channel
    where not entries.is_only_entry
),

{% set first_entry = ordered_by(['entered_at', 'subject_id', 'channel_number']) %}
first_entries as (
    select
        place,
        framework_of_funnel,
        framework_order,
        counting_unit,
        counting_unit_id,
        min(entered_at) as entered_at,
        min(entered_on) as entered_on,
        -- Lost are those whose subjects in the furthest stage all are.
        max(case when not is_subject_lost then stage_order end) as furthest_open,
        max(stage_order) as furthest,
        -- The entries of a unit that is no account are one subject's, who has one first channel.
        coalesce(
            min_by(channel_number, {{ first_entry }}) filter (where counting_unit = 'account'),
            min(channel_number)
        ) as channel_number
    from placed
    group by place, framework_of_funnel, framework_order, counting_unit, counting_unit_id
),

-- What a unit reached after the first framework stage, in its own terms and in its account's, where some
-- framework stage of the funnel counts in these terms.
reached as (
    select
        placed.framework_of_funnel,
        placed.framework_order,
        placed.subject as counting_unit,
        placed.subject_id as counting_unit_id,
        placed.entered_at
    from placed
    where
        placed.framework_order > 1
        and placed.subject <> 'account'
        and placed.framework_of_funnel in (
            select places.framework_of_funnel from places
            where places.counting_unit <> 'account'
        )
    union all
    select
        placed.framework_of_funnel,
        placed.framework_order,
        'account' as counting_unit,
        placed.account_unit_id as counting_unit_id,
        placed.entered_at
    from placed
    where
        placed.framework_order > 1
        and placed.framework_of_funnel in (
            select places.framework_of_funnel from places
            where places.counting_unit = 'account'
        )
),

advances as (
    select
        first_entries.place,
        first_entries.counting_unit_id,
        min(reached.entered_at) as advanced_at
    from first_entries
    inner join reached
        on
            first_entries.framework_of_funnel = reached.framework_of_funnel
            and first_entries.counting_unit = reached.counting_unit
            and first_entries.counting_unit_id = reached.counting_unit_id
            and first_entries.framework_order < reached.framework_order
            and first_entries.entered_at <= reached.entered_at
    group by first_entries.place, first_entries.counting_unit_id
),

first_days as (
    select
        first_entries.place,
        first_entries.entered_on,
        first_entries.channel_number,
        count(*) as entered,
        count(advances.advanced_at) as advanced,
        {% set days_to_advance = days_between('first_entries.entered_at', 'advances.advanced_at') %}
        sum(case when {{ days_to_advance }} <= 30 then 1 else 0 end) as advanced_within_30d,
        sum(case when {{ days_to_advance }} <= 90 then 1 else 0 end) as advanced_within_90d,
        sum(
            case
                when
                    advances.advanced_at is null
                    and coalesce(first_entries.furthest_open < first_entries.furthest, true)
                    then 1
                else 0
            end
        ) as lost
    from first_entries
    left join advances
        on
            first_entries.place = advances.place
            and first_entries.counting_unit_id = advances.counting_unit_id
    group by first_entries.place, first_entries.entered_on, first_entries.channel_number
),

-- Counts add up from day to period and from all segments to one.
daily as (
    select
        places.framework,
        places.framework_order,
        places.framework_stage,
        places.funnel,
        places.counting_unit,
        places.next_order,
        single_days.entered_on,
        single_days.first_touch_channel,
        single_days.entered,
        0 as advanced,
        0 as advanced_within_30d,
        0 as advanced_within_90d,
        0 as lost
    from single_days
    inner join stage_places
        on single_days.funnel = stage_places.funnel and single_days.stage = stage_places.stage
    inner join places on stage_places.place = places.place
    union all
    select
        places.framework,
        places.framework_order,
        places.framework_stage,
        places.funnel,
        places.counting_unit,
        places.next_order,
        first_days.entered_on,
        first_channels.first_touch_channel,
        first_days.entered,
        first_days.advanced,
        first_days.advanced_within_30d,
        first_days.advanced_within_90d,
        first_days.lost
    from first_days
    inner join places on first_days.place = places.place
    inner join first_channels on first_days.channel_number = first_channels.channel_number
),

periods as (
    {{ in_periods('daily', 'entered_on', segments) }}
),

re_entries as (
    select
        places.framework,
        places.framework_order,
        places.framework_stage,
        places.funnel,
        places.counting_unit,
        places.next_order,
        placed.counting_unit_id,
        placed.entered_on,
        first_channels.first_touch_channel
    from placed
    inner join places on placed.place = places.place
    inner join first_channels on placed.channel_number = first_channels.channel_number
    where placed.entry_number > 1
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
