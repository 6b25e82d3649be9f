{# An entity's staging in the canonical shape: a record that several files hold counts as the last of them says. #}
{% macro filed_records(system, entity) -%}
with ranked as (
    select
        records.*,
        row_number() over (
            partition by source_relation, {{ var('canonical_entities')[entity]['key'] | join(', ') }}
            order by _slice desc, _line desc
        ) as place
    from {{ source('raw_' ~ system, entity) }} as records
),

final as (
    select * from ranked
    where place = 1
)

{{ conform(entity, 'final', provided=canonical_names(entity)) }}
{%- endmacro %}
