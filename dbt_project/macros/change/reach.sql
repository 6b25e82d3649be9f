{#
What belongs here: how far back a run must look. Whatever reads or deletes rows of events says so in a literal, so that
an engine skips the rest of a long history by the bounds that it keeps of each block of rows.
#}

{#
Providers of an entity whose rows of a slice follow from the raw rows of the same slice alone (their staging model says
so: meta.slices_of names the raw table), with the slices that were loaded since the last publication: {system: [slice]}.
#}
{% macro reloaded_slices(entity) %}
    {% set found = {} %}
    {% if execute %}
    {% for node in graph.nodes.values() if node.resource_type == 'model' and node.name.startswith('stg_')
        and node.name.endswith('__' ~ entity) and node.config.get('meta', {}).get('slices_of') %}
        {% set system = node.name[4:-(entity | length + 2)] %}
        {% set log = adapter.get_relation(database=target.database, schema='raw_' ~ system, identifier='_slices') %}
        {% if log is not none %}
            {% set rows = run_query(
                "select distinct slice from " ~ log ~ " where resource = '" ~ node.config.meta['slices_of']
                ~ "' and _dlt_load_id > '" ~ batch_mark() ~ "' order by slice"
            ) %}
            {% do found.update({system: rows.columns[0].values() | list}) %}
        {% endif %}
    {% endfor %}
    {% endif %}
    {{ return(found) }}
{% endmacro %}

{# Rows of those slices, and all rows of the providers that have none: what a daily run must compare. #}
{% macro in_reach(entity, alias) %}
    {% set branches = [] %}
    {% set others = [] %}
    {% for system, slices in reloaded_slices(entity).items() %}
        {% set its = alias ~ ".source_relation like '" ~ system ~ ":%'" %}
        {% if slices %}
            {% do branches.append('(' ~ its ~ ' and ' ~ alias ~ '._slice in (' ~ quoted_list(slices) ~ '))') %}
        {% endif %}
        {% do others.append('not ' ~ its) %}
    {% endfor %}
    {% if not others %}{{ return('1 = 1') }}{% endif %}
    {% if providers(entity) | length > others | length %}
        {% do branches.append('(' ~ others | join(' and ') ~ ')') %}
    {% endif %}
    {{ return('(' ~ branches | join(' or ') ~ ')' if branches else '1 = 0') }}
{% endmacro %}

{#
No row of a visitor in the change set `changes` is older: what the visitors' table holds of them, before or after it is
rewritten, and the changed events themselves (rows that are gone included). A SQL timestamp. The two tables are no
refs: int_changed_visitors comes after both.
#}
{% macro visitors_since(changes) %}
    {% set rows = run_query(
        'select cast(min(seen_at) as ' ~ text_type() ~ ') from ('
        ~ ' select min(visitors.first_seen_at) as seen_at from ' ~ held_relation('int_visitor_identifiers')
        ~ ' as visitors inner join ' ~ changes ~ ' as changed on visitors.source_relation = changed.source_relation'
        ~ ' and visitors.anonymous_id = changed.anonymous_id'
        ~ ' union all select min(occurred_at) as seen_at from ' ~ held_relation('int_changed_web_events') ~ ') as bounds'
    ) if execute else none %}
    {% set moment = rows.columns[0].values()[0] if rows and rows.rows | length > 0 else none %}
    {{ return("cast('" ~ (moment or '9999-12-31 00:00:00') ~ "' as timestamp)") }}
{% endmacro %}

{# Rows of these visitors only, and none of before they came. #}
{% macro of_changed_visitors(alias) -%}
({{ alias }}.source_relation, {{ alias }}.anonymous_id) in (
            select
                changed.source_relation,
                changed.anonymous_id
            from {{ ref('int_changed_visitors') }} as changed
        )
        and {{ alias }}.occurred_at >= {{ visitors_since(ref('int_changed_visitors')) }}
{%- endmacro %}
