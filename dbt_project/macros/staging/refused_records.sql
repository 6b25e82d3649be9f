{# The canonical rows of a system's quarantine: every raw dataset has that table, in one shape. #}
{% macro refused_records(system) -%}
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
    from {{ source('raw_' ~ system, '_quarantine') }}
)

{{ conform('quarantined_records', 'quarantine', provided=[
    'quarantine_id',
    'resource',
    'reason',
    'first_seen_at',
    'last_seen_at',
]) }}
{%- endmacro %}
