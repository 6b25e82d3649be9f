{#
A meeting belongs to the day for which it was scheduled. booked = held + missed + canceled + upcoming.
#}
{% set grains = report_grains() %}

with activities as (
    select * from {{ ref('int_crm_activities_unioned') }}
),

outcomes as (
    select * from {{ ref('activity_outcomes') }}
),

owners as (
    select * from {{ ref('dim_owners') }}
),

described as (
    select
        case
            when activities.owner_id is not null
                then {{ surrogate_key(['activities.source_relation', 'activities.owner_id']) }}
            else '(not set)'
        end as owner_id,
        activities.activity_type,
        coalesce(activities.direction, '') as direction,
        coalesce(activities.is_automated, false) as is_automated,
        coalesce(outcomes.is_answered, false) as is_answered,
        case
            when activities.activity_type <> 'meeting' then null
            when outcomes.meeting_result is not null and outcomes.meeting_result <> ''
                then outcomes.meeting_result
            when coalesce(activities.scheduled_for, activities.occurred_at) > {{ as_of() }} then 'upcoming'
            else 'held'
        end as meeting_result,
        case
            when activities.activity_type = 'meeting'
                then coalesce(activities.scheduled_for, activities.occurred_at)
            else activities.occurred_at
        end as counted_at
    from activities
    left join outcomes on lower(activities.outcome) = outcomes.outcome
),

dated as (
    select
        described.*,
        {{ reporting_date('counted_at') }} as counted_on
    from described
    where activity_type = 'meeting' or counted_at <= {{ as_of() }}
),

counted as (
    {% for grain in grains %}
    select
        '{{ grain }}' as period_grain,
        {{ period_start(grain, 'counted_on') }} as period_start,
        owner_id,
        sum(case when activity_type = 'call' then 1 else 0 end) as calls,
        sum(case when activity_type = 'call' and is_answered then 1 else 0 end) as connects,
        sum(case when activity_type = 'meeting' then 1 else 0 end) as meetings_booked,
        {% for result in ['held', 'missed', 'canceled', 'upcoming'] %}
        sum(case when meeting_result = '{{ result }}' then 1 else 0 end) as meetings_{{ result }},
        {% endfor %}
        sum(
            case
                when activity_type = 'email' and direction = 'outbound' and not is_automated then 1
                else 0
            end
        ) as emails_sent,
        sum(case when activity_type = 'email' and direction = 'inbound' then 1 else 0 end) as emails_received,
        sum(case when activity_type = 'social_message' then 1 else 0 end) as social_messages,
        sum(case when activity_type = 'task' and is_answered then 1 else 0 end) as tasks_done
    from dated
    group by {{ period_start(grain, 'counted_on') }}, owner_id
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
)

select
    cast(counted.period_grain as {{ text_type() }}) as period_grain,
    counted.period_start,
    counted.owner_id,
    coalesce(owners.owner_name, '(not set)') as owner_name,
    coalesce(owners.team, '(not set)') as team,
    {% for measure in [
        'calls', 'connects', 'meetings_booked', 'meetings_held', 'meetings_missed', 'meetings_canceled',
        'meetings_upcoming', 'emails_sent', 'emails_received', 'social_messages', 'tasks_done',
    ] %}
    cast(counted.{{ measure }} as bigint) as {{ measure }},
    {% endfor %}
    {{ safe_divide('counted.connects', 'counted.calls') }} as connect_rate,
    {{ safe_divide('counted.meetings_held', 'counted.meetings_held + counted.meetings_missed') }} as show_rate
from counted
left join owners on counted.owner_id = owners.owner_id
