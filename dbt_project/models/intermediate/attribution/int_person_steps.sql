-- depends_on: {{ ref('int_changed_persons') }}
{{
    config(
        materialized='incremental',
        incremental_strategy='rewrite',
        on_schema_change='append_new_columns',
        meta={'rewrite': [{'changes': 'int_changed_persons', 'keys': ['person_id']}]},
    )
}}
{# What the Markov chains see of a person who does not convert. #}
with
{{ steps_to_last_touch('person_id', ref('int_changed_persons') if is_rewrite() else none) }}

select
    person_id,
    month,
    within_days,
    previous_within_days,
    previous_channel,
    channel,
    next_channel
from steps
