{#
What belongs here: connected components of the identity edges, exactly, by contraction in a random order: in every round
each node takes the smallest of itself and its neighbours under a permutation that is new each round, the edges are drawn
anew between the representatives, and the rounds end when no edge is left. A path of n nodes needs about log n rounds
(min-id order needed 51 rounds where this needed 6). One table a round, because an unrolled query is recomputed
exponentially by some engines.
#}

{#
Components of the identifiers that are to be computed now: all if int_identity_map holds nothing, else every held
component that a changed identifier belongs to, plus the new ones. Returns a relation (identifier_type, identifier,
component), or none where nothing is being built.
#}
{% macro connected_components() %}
    {% if not execute or flags.WHICH not in ['run', 'build'] %}{{ return(none) }}{% endif %}
    {% set edges = ref('int_identity_edges') %}
    {% set changed = ref('int_changed_identity_edges') %}
    {% set held = held_relation('int_identity_map') if not should_full_refresh() else none %}
    {% set prefix = this.schema ~ '.' ~ this.identifier %}
    {% set nodes = prefix ~ '__nodes' %}
    {% set links = prefix ~ '__edges' %}
    {% set result = prefix ~ '__labels' %}

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

    {% do contract_components(nodes, links, result) %}
    {% do run_query('drop table if exists ' ~ nodes) %}
    {% do run_query('drop table if exists ' ~ links) %}
    {{ return(result) }}
{% endmacro %}

{#
The rounds. `nodes` (identifier_type, identifier, node bigint from 1), `links` (a, b) of distinct nodes; writes `result`
(identifier_type, identifier, component). An error if var identity_max_rounds is reached.
#}
{% macro contract_components(nodes, links, result) %}
    {% set labels = result ~ '_now' %}
    {% set reps = result ~ '_reps' %}
    {% set left = result ~ '_left' %}
    {# The permutation of a round: node -> (node * a + b) modulo a prime, which an engine's integers can do. #}
    {% set prime = 2147483647 %}
    {% call statement('labels') %}
    create or replace table {{ labels }} as select node, node as component from {{ nodes }}
    {% endcall %}
    {% call statement('left') %}
    create or replace table {{ left }} as
    select distinct a, b from (select a, b from {{ links }} union all select b, a from {{ links }}) as both_ways
    {% endcall %}
    {% set state = namespace(round=0, edges=run_query('select count(*) from ' ~ left).columns[0].values()[0] | int) %}
    {% for turn in range(var('identity_max_rounds') | int) if state.edges > 0 %}
        {% if state.edges > 0 %}
        {% set state.round = state.round + 1 %}
        {% set factor = (48271 * (7919 * state.round + 12345)) % prime %}
        {% set shift = (69621 * (104729 * state.round + 777)) % prime %}
        {% set ranked = '((' ~ '{c}' ~ ' * ' ~ factor ~ ' + ' ~ shift ~ ') % ' ~ prime ~ ')' %}
        {% call statement('reps') %}
        create or replace table {{ reps }} as
        with nearest as (
            select a, min_by(b, {{ ranked | replace('{c}', 'b') }}) as b
            from {{ left }}
            group by a
        )
        select
            a as node,
            case when {{ ranked | replace('{c}', 'b') }} < {{ ranked | replace('{c}', 'a') }} then b else a end as rep
        from nearest
        {% endcall %}
        {% call statement('labels') %}
        create or replace table {{ labels }}_next as
        select labels.node, coalesce(reps.rep, labels.component) as component
        from {{ labels }} as labels
        left join {{ reps }} as reps on labels.component = reps.node
        {% endcall %}
        {% call statement('left') %}
        create or replace table {{ left }}_next as
        select distinct reps_a.rep as a, reps_b.rep as b
        from {{ left }} as edges
        inner join {{ reps }} as reps_a on edges.a = reps_a.node
        inner join {{ reps }} as reps_b on edges.b = reps_b.node
        where reps_a.rep <> reps_b.rep
        {% endcall %}
        {% for table in [labels, left] %}
            {% do run_query('drop table ' ~ table) %}
            {% do run_query('alter table ' ~ table ~ '_next rename to ' ~ rename_target(table)) %}
        {% endfor %}
        {% set state.edges = run_query('select count(*) from ' ~ left).columns[0].values()[0] | int %}
        {% endif %}
    {% endfor %}
    {% if state.edges > 0 %}
        {{ exceptions.raise_compiler_error(
            'identity: not converged after identity_max_rounds = ' ~ var('identity_max_rounds') ~ ' rounds; raise the var'
        ) }}
    {% endif %}
    {% call statement('result') %}
    create or replace table {{ result }} as
    select nodes.identifier_type, nodes.identifier, labels.component
    from {{ nodes }} as nodes
    inner join {{ labels }} as labels on nodes.node = labels.node
    {% endcall %}
    {% for table in [labels, left, reps] %}
        {% do run_query('drop table if exists ' ~ table) %}
    {% endfor %}
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
