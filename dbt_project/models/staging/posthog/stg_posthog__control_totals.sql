{{ config(enabled=provides('posthog', 'control_totals')) }}

-- Events per day, each counted once, on its day as it arrived last; those of visitors whom the tool must not
-- recognise are counted apart.
with events as (
    select
        source_relation,
        event_uuid,
        coalesce(cookieless_mode, false) as is_cookieless,
        cast(max_by(occurred_at, coalesce(ingested_at, occurred_at)) over (
            partition by source_relation, event_uuid
        ) as date) as date,
        _dlt_load_id
    from {{ source('raw_posthog', 'events') }}
),

final as (
    select
        source_relation,
        case when is_cookieless then 'rows_without_visitor' else 'rows' end as measure,
        date,
        count(distinct event_uuid) as total,
        max(_dlt_load_id) as _dlt_load_id,
        null as _slice
    from events
    group by source_relation, is_cookieless, date
)

{{ conform('control_totals', 'final', provided={
    'entity': "'web_events'",
    'measure': 'measure',
    'date': 'date',
    'total': 'total',
}) }}
