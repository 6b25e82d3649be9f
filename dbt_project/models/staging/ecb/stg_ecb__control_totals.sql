{{ config(enabled=provides('ecb', 'control_totals')) }}

-- Rows per day, as they lie in raw.
with rates as (
    select * from {{ source('raw_ecb', 'rates') }}
),

final as (
    select
        source_relation,
        date,
        count(*) as total,
        max(_dlt_load_id) as _dlt_load_id,
        null as _slice
    from rates
    group by source_relation, date
)

{{ conform('control_totals', 'final', provided={
    'entity': "'fx_rates'",
    'measure': "'rows'",
    'date': 'date',
    'total': 'total',
}) }}
