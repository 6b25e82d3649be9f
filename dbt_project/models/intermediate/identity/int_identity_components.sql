{{ config(post_hook='drop table if exists {{ this.schema }}.{{ this.identifier }}__labels') }}
{#
The components that this run computes: all of them, or those that a changed identifier touches (with all their edges).
connected_components() writes one table a round, so it runs here and not in int_identity_map, whose unit tests need none.
#}
{%- set scope = connected_components() -%}
with components as (
    {%- if scope is none %}
    select
        cast(null as {{ text_type() }}) as identifier_type,
        cast(null as {{ text_type() }}) as identifier,
        cast(null as bigint) as component
    from {{ ref('int_identity_edges') }}
    where 1 = 0
    {%- else %}
    select identifier_type, identifier, component from {{ scope }}
    {%- endif %}
)

-- depends_on: {{ ref('int_changed_identity_edges') }} {{ ref('int_identity_edges') }}
select
    identifier_type,
    identifier,
    component
from components
