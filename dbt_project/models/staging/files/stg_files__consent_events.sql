{{ config(enabled=provides('files', 'consent_events')) }}

-- A record that several files hold counts as the last of them says.
with ranked as (
    select
        records.*,
        row_number() over (
            partition by source_relation, consent_event_id
            order by _slice desc, _line desc
        ) as place
    from {{ source('raw_files', 'consent_events') }} as records
),

final as (
    select * from ranked
    where place = 1
)

{{ conform('consent_events', 'final', provided=[
    'consent_event_id',
    'occurred_at',
    'identifier_type',
    'identifier',
    'purpose',
    'state',
]) }}
