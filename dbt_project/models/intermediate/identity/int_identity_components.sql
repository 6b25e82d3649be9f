{{ config(post_hook=[
    "drop table if exists {{ components_table('nodes') }}",
    "drop table if exists {{ components_table('labels') }}",
]) }}
{#
The components that this run computes: all of them, or those that a changed identifier touches (with all their edges).
connected_components() writes one table a round, so it runs here and not in int_identity_map, whose unit tests need none.
#}
{%- if connected_components() %}
with nodes as (
    select identifier_type, identifier, node from {{ components_table('nodes') }}
),

labels as (
    select node, component from {{ components_table('labels') }}
)
{%- else %}
with nodes as (
    select
        identifier_type_a as identifier_type,
        identifier_a as identifier,
        cast(null as bigint) as node
    from {{ ref('int_identity_edges') }}
    where 1 = 0
),

labels as (
    select
        node,
        node as component
    from nodes
)
{%- endif %}

-- depends_on: {{ ref('int_changed_identity_edges') }} {{ ref('int_identity_edges') }}
-- An identifier without edges is a component of its own; no number of a contracted component is negative.
select
    nodes.identifier_type,
    nodes.identifier,
    coalesce(labels.component, -nodes.node) as component
from nodes
left join labels on nodes.node = labels.node
