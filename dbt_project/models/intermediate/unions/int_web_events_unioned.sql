{{ config(
    materialized='incremental',
    incremental_strategy='rewrite',
    on_schema_change='append_new_columns',
    meta={'rewrite': [{'changes': 'int_changed_web_events', 'keys': ['source_relation', 'event_id'], 'entity': 'web_events'}]},
) }}
-- depends_on: {{ ref('int_changed_web_events') }}
{{ changed_rows('web_events') }}
