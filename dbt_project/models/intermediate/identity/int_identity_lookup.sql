{{ config(
    materialized='incremental',
    incremental_strategy='rewrite',
    on_schema_change='append_new_columns',
    meta={'rewrite': [{
        'changes': 'int_changed_identifiers',
        'keys': {
            'identifier_kind': "split_part(changed.identifier_type, ':', 1)",
            'identifier': 'changed.identifier',
        },
    }]},
) }}
-- depends_on: {{ ref('int_changed_identifiers') }}
-- Identifiers by their native value, for records of one system that name another's: only where one relation
-- holds them.
with map as (
    select * from {{ ref('int_identity_map') }}
),

final as (
    select
        identifier_kind,
        identifier,
        min(person_id) as person_id,
        min(source_relation) as source_relation
    from map
    {%- if is_rewrite() %}
    where
        (identifier_kind, identifier) in (
            select
                split_part(changed.identifier_type, ':', 1) as identifier_kind,
                changed.identifier
            from {{ ref('int_changed_identifiers') }} as changed
        )
    {%- endif %}
    group by identifier_kind, identifier
    having count(*) = 1
)

select
    identifier_kind,
    identifier,
    person_id,
    source_relation
from final
