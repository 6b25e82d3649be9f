{{ config(enabled=provides('google_ads', 'quarantined_records')) }}

with quarantine as (
    select
        source_relation,
        quarantine_id,
        resource,
        reason,
        first_seen_at,
        last_seen_at,
        cast(null as {{ text_type() }}) as _slice,
        cast(null as {{ text_type() }}) as _dlt_load_id
    from {{ source('raw_google_ads', '_quarantine') }}
)

{{ conform('quarantined_records', 'quarantine', provided=[
    'quarantine_id',
    'resource',
    'reason',
    'first_seen_at',
    'last_seen_at',
]) }}
