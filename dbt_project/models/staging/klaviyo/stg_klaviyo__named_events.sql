{{ config(enabled=provides('klaviyo', 'email_events') or provides('klaviyo', 'consent_events')) }}

-- What an event is called stands in its metric, whom it concerns in its profile; mail has the address too.
with events as (
    select * from {{ source('raw_klaviyo', 'events') }}
),

metrics as (
    select * from {{ source('raw_klaviyo', 'metrics') }}
),

profiles as (
    select * from {{ source('raw_klaviyo', 'profiles') }}
)

select
    events.source_relation,
    events.event_id,
    events.occurred_at,
    events.profile_id,
    events.message_id,
    events.flow_id,
    events.campaign_name,
    events.url,
    lower(events.bounce_type) as bounce_type,
    metrics.name as metric,
    coalesce(events.recipient_email_hash, profiles.email_hash) as email_hash,
    case when events.recipient_email_hash is null then profiles.email_domain else events.email_domain end
        as email_domain,
    -- An open by a privacy proxy is one by a machine; scanners of mail are further ones.
    coalesce(events.is_machine_open, false) or coalesce(events.is_privacy_open, false) as is_machine_open,
    -- The moment of the sending and the message: the same flow may write to one person twice.
    coalesce(events.send_cohort, events.message_id) as sending,
    events._slice,
    greatest(
        events._dlt_load_id,
        coalesce(metrics._dlt_load_id, events._dlt_load_id),
        case
            when events.recipient_email_hash is null
                then coalesce(profiles._dlt_load_id, events._dlt_load_id)
            else events._dlt_load_id
        end
    ) as _dlt_load_id
from events
left join metrics
    on events.source_relation = metrics.source_relation and events.metric_id = metrics.metric_id
left join profiles
    on events.source_relation = profiles.source_relation and events.profile_id = profiles.profile_id
