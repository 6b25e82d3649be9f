{{ config(
    materialized='incremental',
    incremental_strategy='rewrite',
    on_schema_change='append_new_columns',
    meta={'rewrite': [
        {'changes': 'int_identity_candidates', 'keys': ['identifier_type', 'identifier']},
        {'changes': 'int_changed_identity_edges', 'keys': ['identifier_type', 'identifier']},
    ]},
) }}
-- depends_on: {{ ref('int_changed_identifiers') }} {{ ref('int_changed_identity_edges') }}

with candidates as (
    select * from {{ ref('int_identity_candidates') }}
)

select
    identifier_type,
    identifier,
    identifier_kind,
    source_relation,
    person_id,
    is_shared,
    first_seen_at
from candidates
