{#
The control totals of an advertising platform, from its CTE `spend` (source_relation, date, currency, total,
_dlt_load_id: what the platform itself says that was spent) and the rows a day of its staging.
#}
{% macro ad_control_totals(system) -%}
rows_a_day as (
    select
        source_relation,
        date,
        count(*) as total,
        max(_load_id) as _dlt_load_id
    from {{ ref('stg_' ~ system ~ '__ad_performance') }}
    group by source_relation, date
),

final as (
    select
        source_relation,
        'spend' as measure,
        date,
        currency,
        total,
        _dlt_load_id,
        null as _slice
    from spend
    union all
    select
        source_relation,
        'rows' as measure,
        date,
        null as currency,
        total,
        _dlt_load_id,
        null as _slice
    from rows_a_day
)

{{ conform('control_totals', 'final', provided={
    'entity': "'ad_performance'",
    'measure': 'measure',
    'date': 'date',
    'currency': 'currency',
    'total': 'total',
}) }}
{%- endmacro %}
