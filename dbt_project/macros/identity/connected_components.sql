{#
What belongs here: connected components of the identity edges, exactly, by contraction in a random order: in every round
the nodes are numbered anew by a permutation, each takes the smallest number of itself and its neighbours, the edges are
drawn between the numbers that were taken, and the rounds end when no edge is left. A path of n nodes needs about log n
rounds (min-id order needed 51 rounds where this needed 6). Each round has fewer nodes than the one before, and labels are
handed back from the last round to the first, so that all rounds together cost about twice the first. One table a round,
because an unrolled query is recomputed exponentially by some engines.
#}

{#
Components of the identifiers that are to be computed now: all if int_identity_map holds nothing, else every held
component that a changed identifier belongs to, plus the new ones. Writes two tables, named by `components_table`: `nodes`
(identifier_type, identifier, node) and `labels` (node, component; a node without edges has none). Returns whether it did:
it does nothing where nothing is being built.
#}
{% macro connected_components() %}
    {% if not execute or flags.WHICH not in ['run', 'build'] %}{{ return(false) }}{% endif %}
    {% set edges = ref('int_identity_edges') %}
    {% set changed = ref('int_changed_identity_edges') %}
    {% set held = held_relation('int_identity_map') if not should_full_refresh() else none %}
    {% set nodes = components_table('nodes') %}
    {% set links = components_table('edges') %}

    {% call statement('identity_nodes') %}
    create or replace table {{ nodes }} as
    with identifiers as (
        select identifier_type_a as identifier_type, identifier_a as identifier
        from {{ edges }}
        where identifier_type_a = identifier_type_b and identifier_a = identifier_b
    ),
    {% if held is not none %}
    touched as (
        select distinct map.person_id
        from {{ held }} as map
        inner join {{ changed }} as changed
            on map.identifier_type = changed.identifier_type and map.identifier = changed.identifier
    ),
    scope as (
        select map.identifier_type, map.identifier
        from {{ held }} as map
        inner join touched on map.person_id = touched.person_id
        union
        select identifier_type, identifier from {{ changed }}
    ),
    {% endif %}
    chosen as (
        select identifiers.identifier_type, identifiers.identifier
        from identifiers
        {% if held is not none %}
        inner join scope
            on identifiers.identifier_type = scope.identifier_type and identifiers.identifier = scope.identifier
        {% endif %}
    )
    select
        identifier_type,
        identifier,
        cast({{ any_number('identifier_type, identifier') }} as bigint) as node
    from chosen
    {% endcall %}

    {% call statement('identity_edges') %}
    create or replace table {{ links }} as
    select a.node as a, b.node as b
    from {{ edges }} as edges
    inner join {{ nodes }} as a on edges.identifier_type_a = a.identifier_type and edges.identifier_a = a.identifier
    inner join {{ nodes }} as b on edges.identifier_type_b = b.identifier_type and edges.identifier_b = b.identifier
    -- An identifier's row with itself joins nothing: it is half of the rows.
    where edges.is_used
        and (edges.identifier_type_a <> edges.identifier_type_b or edges.identifier_a <> edges.identifier_b)
    {% endcall %}

    {% do contract_components(links, components_table('labels')) %}
    {% do run_query('drop table if exists ' ~ links) %}
    {{ return(true) }}
{% endmacro %}

{# A working table of the model that is being built. #}
{% macro components_table(name) %}{{ return(this.schema ~ '.' ~ this.identifier ~ '__' ~ name) }}{% endmacro %}

{#
The rounds. `links` (a, b) of distinct nodes, bigint from 1; writes `labels` (node, component) of all nodes that have a link.
An error if var identity_max_rounds is reached.
#}
{% macro contract_components(links, labels) %}
    {# The permutation of a round: node -> (node * a + b) modulo a prime, which an engine's integers can do. #}
    {% set prime = 2147483647 %}
    {% set state = namespace(round=0, links=links, left=run_query('select count(*) from ' ~ links).columns[0].values()[0] | int) %}
    {% for turn in range(1, (var('identity_max_rounds') | int) + 1) if state.left > 0 %}
        {% if state.left > 0 %}
        {% set state.round = turn %}
        {% set factor = (48271 * (7919 * turn + 12345)) % prime %}
        {% set shift = (69621 * (104729 * turn + 777)) % prime %}
        {% set number = '((' ~ '{c}' ~ ' * ' ~ factor ~ ' + ' ~ shift ~ ') % ' ~ prime ~ ')' %}
        {% set taken = labels ~ '_taken_' ~ turn %}
        {% set left = labels ~ '_left_' ~ turn %}
        {% call statement('taken') %}
        create or replace table {{ taken }} as
        select a as node, least(min({{ number | replace('{c}', 'b') }}), {{ number | replace('{c}', 'a') }}) as component
        from (select a, b from {{ state.links }} union all select b as a, a as b from {{ state.links }}) as both_ways
        group by a
        {% endcall %}
        {% call statement('left') %}
        create or replace table {{ left }} as
        select distinct
            least(taken_a.component, taken_b.component) as a,
            greatest(taken_a.component, taken_b.component) as b
        from {{ state.links }} as links
        inner join {{ taken }} as taken_a on links.a = taken_a.node
        inner join {{ taken }} as taken_b on links.b = taken_b.node
        where taken_a.component <> taken_b.component
        {% endcall %}
        {% if turn > 1 %}{% do run_query('drop table ' ~ state.links) %}{% endif %}
        {% set state.links = left %}
        {% set state.left = run_query('select count(*) from ' ~ left).columns[0].values()[0] | int %}
        {% endif %}
    {% endfor %}
    {% if state.left > 0 %}
        {{ exceptions.raise_compiler_error(
            'identity: not converged after identity_max_rounds = ' ~ var('identity_max_rounds') ~ ' rounds; raise the var'
        ) }}
    {% endif %}

    {# Each round numbers anew, so that a number of one round may stand for another component in another: the round is part
    of a component's name. #}
    {% set rounds = (var('identity_max_rounds') | int) + 1 %}
    {% call statement('labels') %}
    create or replace table {{ labels }} as
    select cast(null as bigint) as node, cast(null as bigint) as component where 1 = 0
    {% endcall %}
    {% for turn in range(state.round, 0, -1) %}
        {% set taken = labels ~ '_taken_' ~ turn %}
        {% call statement('handed_back') %}
        create or replace table {{ labels }}_next as
        select
            taken.node,
            coalesce(labels.component, taken.component * {{ rounds }} + {{ turn }}) as component
        from {{ taken }} as taken
        left join {{ labels }} as labels on taken.component = labels.node
        {% endcall %}
        {% do run_query('drop table ' ~ taken) %}
        {% do run_query('drop table ' ~ labels) %}
        {% do run_query('alter table ' ~ labels ~ '_next rename to ' ~ rename_target(labels)) %}
    {% endfor %}
    {% if state.round > 0 %}{% do run_query('drop table ' ~ state.links) %}{% endif %}
    {% do log('identity: ' ~ state.round ~ ' rounds') %}
{% endmacro %}

{# What a table is renamed to: the bare name on DuckDB, the qualified one on Spark. #}
{% macro rename_target(table) %}{{ return(adapter.dispatch('rename_target', 'funnelhouse')(table)) }}{% endmacro %}
{% macro default__rename_target(table) %}{{ return(table.split('.') | last) }}{% endmacro %}
{% macro spark__rename_target(table) %}{{ return(table) }}{% endmacro %}

{# A number for each row, from 1, whichever: engines that can number without sorting do (a sort of 4 million texts took half
of the whole computation). #}
{% macro any_number(order_by) %}{{ return(adapter.dispatch('any_number', 'funnelhouse')(order_by)) }}{% endmacro %}
{% macro default__any_number(order_by) %}{{ return('row_number() over ()') }}{% endmacro %}
{% macro spark__any_number(order_by) %}{{ return('row_number() over (order by ' ~ order_by ~ ')') }}{% endmacro %}
