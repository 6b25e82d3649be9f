{{ config(enabled=provides('klaviyo', 'control_totals')) }}

-- Rows per day as staged.
with rows_a_day as (
    {% for entity in ['email_events', 'consent_events'] if provides('klaviyo', entity) -%}
    select
        source_relation,
        '{{ entity }}' as entity,
        cast(occurred_at as date) as date,
        count(*) as total,
        max(_load_id) as _dlt_load_id
    from {{ ref('stg_klaviyo__' ~ entity) }}
    group by source_relation, cast(occurred_at as date)
    {% if not loop.last %}union all{% endif %}
    {% endfor -%}
),

final as (
    select
        source_relation,
        entity,
        date,
        total,
        _dlt_load_id,
        null as _slice
    from rows_a_day
)

{{ conform('control_totals', 'final', provided={
    'entity': 'entity',
    'measure': "'rows'",
    'date': 'date',
    'total': 'total',
}) }}
