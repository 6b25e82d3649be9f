{{ config(
    materialized='incremental',
    incremental_strategy='rewrite',
    on_schema_change='append_new_columns',
    meta={'rewrite': [{'changes': 'int_changed_email_events', 'keys': ['source_relation', 'event_id']}]},
) }}
-- depends_on: {{ ref('int_changed_email_events') }}
{{ changed_rows('email_events') }}
