{{ config(
    materialized='incremental',
    incremental_strategy='rewrite',
    on_schema_change='append_new_columns',
    meta={'rewrite': [
        {
            'changes': 'int_changed_identity_records',
            'keys': {'identifier_type_a': 'changed.identifier_type', 'identifier_a': 'changed.identifier'},
        },
        {
            'changes': 'int_changed_identity_records',
            'keys': {'identifier_type_b': 'changed.identifier_type', 'identifier_b': 'changed.identifier'},
        },
    ]},
) }}
-- depends_on: {{ ref('int_changed_identity_edges') }}, {{ ref('int_changed_identity_records') }}
with candidate_edges as (
    select * from {{ ref('int_identity_candidate_edges') }}
)

select
    identifier_type_a,
    identifier_a,
    identifier_type_b,
    identifier_b,
    source_relation,
    first_seen_at,
    last_seen_at,
    is_used
from candidate_edges
