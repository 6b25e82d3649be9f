{{ config(enabled=provides('files', 'email_events')) }}

-- A record that several files hold counts as the last of them says.
with ranked as (
    select
        records.*,
        row_number() over (
            partition by source_relation, event_id
            order by _slice desc, _line desc
        ) as place
    from {{ source('raw_files', 'email_events') }} as records
),

final as (
    select * from ranked
    where place = 1
)

{{ conform('email_events', 'final', provided=[
    'event_id',
    'occurred_at',
    'event_type',
    'campaign_id',
    'campaign_name',
    'recipient_email_hash',
    'email_domain',
    'subscriber_id',
    'url',
    'bounce_type',
    'is_machine_open',
]) }}
