{{ config(enabled=provides('ga4', 'control_totals')) }}

-- Three voices on the same days: the export's own rows, its rows without a client id, and the reporting
-- API's counts.
with events as (
    select * from {{ source('raw_ga4', 'events') }}
),

daily_report as (
    select * from {{ source('raw_ga4', 'daily_report') }}
),

counted as (
    select
        source_relation,
        cast(occurred_at as date) as date,
        count(client_id) as identified,
        count(*) - count(client_id) as unidentified,
        max(_dlt_load_id) as _dlt_load_id
    from events
    group by source_relation, cast(occurred_at as date)
),

reported as (
    select
        source_relation,
        date,
        sum(event_count) as events,
        sum(purchase_revenue) as purchase_revenue,
        max(_dlt_load_id) as _dlt_load_id
    from daily_report
    group by source_relation, date
),

final as (
    select source_relation, 'rows' as measure, date, identified as total, _dlt_load_id, null as _slice
    from counted
    union all
    select
        source_relation, 'rows_without_client_id' as measure, date, unidentified as total, _dlt_load_id,
        null as _slice
    from counted
    where unidentified > 0
    union all
    select source_relation, 'reported_events' as measure, date, events as total, _dlt_load_id, null as _slice
    from reported
    union all
    select
        source_relation, 'reported_purchase_revenue' as measure, date, purchase_revenue as total,
        _dlt_load_id, null as _slice
    from reported
)

{{ conform('control_totals', 'final', provided={
    'entity': "'web_events'",
    'measure': 'measure',
    'date': 'date',
    'total': 'total',
}) }}
