{{ config(enabled=provides('stripe', 'control_totals')) }}

-- Amounts are counted on the invoices' own totals, not on their lines; what went back is counted as staged.
with invoices as (
    select * from {{ source('raw_stripe', 'invoices') }}
    where status = 'paid' and paid_at is not null
),

revenue_events as (
    select * from {{ ref('stg_stripe__revenue_events') }}
),

subscriptions as (
    select * from {{ ref('stg_stripe__subscriptions') }}
),

amounts as (
    select
        source_relation,
        cast(paid_at as date) as date,
        upper(currency) as currency,
        {{ minor_units_as_money('coalesce(total_excluding_tax, total - coalesce(tax, 0))', 'currency') }}
            as amount,
        _dlt_load_id
    from invoices
    union all
    select
        source_relation,
        cast(occurred_at as date) as date,
        currency,
        amount,
        _load_id as _dlt_load_id
    from revenue_events
    where event_type <> 'invoice'
),

final as (
    select
        source_relation, 'revenue_events' as entity, 'amount' as measure, date, currency,
        sum(amount) as total,
        max(_dlt_load_id) as _dlt_load_id, null as _slice
    from amounts
    group by source_relation, date, currency
    union all
    select
        source_relation, 'revenue_events' as entity, 'rows' as measure, cast(occurred_at as date) as date,
        null as currency, count(*) as total, max(_load_id) as _dlt_load_id, null as _slice
    from revenue_events
    group by source_relation, cast(occurred_at as date)
    union all
    select
        source_relation, 'subscriptions' as entity, 'rows' as measure, cast(valid_from as date) as date,
        null as currency, count(*) as total, max(_load_id) as _dlt_load_id, null as _slice
    from subscriptions
    group by source_relation, cast(valid_from as date)
)

{{ conform('control_totals', 'final', provided=['entity', 'measure', 'date', 'currency', 'total']) }}
