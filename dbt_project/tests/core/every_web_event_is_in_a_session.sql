-- Web events in = events of sessions out = events of visits among the touchpoints.
with events as (
    select count(*) as event_count from {{ ref('int_web_events_unioned') }}
),

sessions as (
    select
        coalesce(sum(events), 0) as event_count,
        count(*) as session_count
    from {{ ref('fct_sessions') }}
),

visits as (
    select count(*) as visit_count from {{ ref('fct_touchpoints') }}
    where touchpoint_type = 'web_session'
)

select
    events.event_count,
    sessions.event_count as in_sessions,
    sessions.session_count,
    visits.visit_count
from events
cross join sessions
cross join visits
where events.event_count != sessions.event_count or sessions.session_count != visits.visit_count
