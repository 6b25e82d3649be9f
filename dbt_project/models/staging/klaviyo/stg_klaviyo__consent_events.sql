{{ config(enabled=provides('klaviyo', 'consent_events')) }}

-- Consent by address where there is one, else by profile.
with events as (
    select * from {{ ref('stg_klaviyo__named_events') }}
),

final as (
    select
        source_relation,
        event_id,
        occurred_at,
        case when email_hash is null then 'subscriber_id' else 'email' end as identifier_type,
        coalesce(email_hash, profile_id) as identifier,
        case metric when 'Subscribed to Email Marketing' then 'granted' else 'withdrawn' end as state,
        _slice,
        _dlt_load_id
    from events
    where
        metric in (
            'Subscribed to Email Marketing', 'Unsubscribed from Email Marketing', 'Unsubscribed'
        )
)

{{ conform('consent_events', 'final', provided={
    'consent_event_id': 'event_id',
    'occurred_at': 'occurred_at',
    'identifier_type': 'identifier_type',
    'identifier': 'identifier',
    'purpose': "'marketing_email'",
    'state': 'state',
}) }}
