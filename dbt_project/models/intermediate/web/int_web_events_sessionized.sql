{{ config(
    materialized='incremental',
    incremental_strategy='rewrite',
    on_schema_change='append_new_columns',
    meta={'rewrite': [{
        'changes': 'int_changed_visitors',
        'keys': ['source_relation', 'anonymous_id'],
        'since': 'occurred_at',
    }]},
) }}
-- depends_on: {{ ref('int_changed_visitors') }} {{ ref('int_session_candidates') }}
{% if is_rewrite() -%}
select * from {{ ref('int_session_candidates') }}  -- noqa: AM04
{%- else -%}
with {{ sessionized_events(ref('int_web_events_unioned')) }}
{%- endif %}
