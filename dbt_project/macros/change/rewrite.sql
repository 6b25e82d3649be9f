{#
What belongs here: the one way in which a table of this project changes in part. A model with
incremental_strategy 'rewrite' names in meta.rewrite a change set (a model) and the columns that it shares with it:
rows of this table whose key stands in the change set are deleted, the recomputed rows are inserted, in one
transaction. The model's own SQL restricts itself to the same change set where is_rewrite() is true.
`keys` lists columns of the same name, or maps this table's columns to SQL over `changed`. Two bounds spare a scan of all
rows: `entity` (the rows in reach of the entity's reloaded slices) and `since` (the column that is not older than what
changed visitors have done).
#}

{# True where the model runs on what it already holds. A wrapper, so that unit tests can override one name. #}
{% macro is_rewrite() %}{{ return(is_incremental()) }}{% endmacro %}

{% macro get_incremental_rewrite_sql(arg_dict) %}
    {% set target = arg_dict['target_relation'] %}
    {% set columns = arg_dict['dest_columns'] | map(attribute='quoted') | join(', ') %}
    {% for rewrite in config.get('meta', {}).get('rewrite', []) %}
    {% set keys = rewrite['keys'] %}
    delete from {{ target }} as held
    where exists (
        select 1
        from {{ ref(rewrite['changes']) }} as changed
        where
            {% for key in keys -%}
            {{ keys[key] if keys is mapping else 'changed.' ~ key }} = held.{{ key }}{% if not loop.last %} and {% endif %}
            {%- endfor %}
    )
    {%- if rewrite.get('entity') %} and {{ in_reach(rewrite['entity'], 'held') }}{% endif %}
    {%- if rewrite.get('since') %} and held.{{ rewrite['since'] }} >= {{ visitors_since(ref(rewrite['changes'])) }}{% endif %};
    {% endfor %}
    insert into {{ target }} ({{ columns }})
    select {{ columns }} from {{ arg_dict['temp_relation'] }};
{% endmacro %}

{# The relation of a model as it stands before this run, or none. Not a ref: it may be built after the asking model. #}
{% macro held_relation(model_name) %}
    {% if not execute %}{{ return(none) }}{% endif %}
    {% for node in graph.nodes.values() %}
        {% if node.name == model_name and node.resource_type == 'model' %}
            {{ return(adapter.get_relation(database=node.database, schema=node.schema, identifier=node.alias or node.name)) }}
        {% endif %}
    {% endfor %}
    {{ return(none) }}
{% endmacro %}

{# A change set's rows of an earlier attempt on the same mark: a failed or killed run loses nothing. One that another
   version of the project has left, with other columns, carries nothing: after a change of version the run is a full one. #}
{% macro carried_over(columns) -%}
    select {{ columns | join(', ') }}
    {%- set held = adapter.get_relation(database=this.database, schema=this.schema, identifier=this.identifier) if execute else none %}
    {%- set known = adapter.get_columns_in_relation(held) | map(attribute='name') | list if held is not none else [] %}
    {%- if held is not none and columns | reject('in', known) | list | length == 0 %}
    from {{ held }}
    where batch_mark = '{{ batch_mark() }}'
    {%- else %}
    from changes
    where 1 = 0
    {%- endif %}
{%- endmacro %}
