{#
What belongs here: the one way in which a table of this project changes in part. A model with
incremental_strategy 'rewrite' names in meta.rewrite a change set (a model) and the columns that it shares with it:
rows of this table whose key stands in the change set are deleted, the recomputed rows are inserted, in one
transaction. The model's own SQL restricts itself to the same change set where is_rewrite() is true.
#}

{# True where the model runs on what it already holds. A wrapper, so that unit tests can override one name. #}
{% macro is_rewrite() %}{{ return(is_incremental()) }}{% endmacro %}

{% macro get_incremental_rewrite_sql(arg_dict) %}
    {% set target = arg_dict['target_relation'] %}
    {% set columns = arg_dict['dest_columns'] | map(attribute='quoted') | join(', ') %}
    {% for rewrite in config.get('meta', {}).get('rewrite', []) %}
    delete from {{ target }} as held
    where exists (
        select 1
        from {{ ref(rewrite['changes']) }} as changed
        where
            {% for key in rewrite['keys'] -%}
            changed.{{ key }} = held.{{ key }}{% if not loop.last %} and {% endif %}
            {%- endfor %}
    );
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

{# A change set's rows of an earlier attempt on the same mark: a failed or killed run loses nothing. #}
{% macro carried_over(columns) -%}
    select {{ columns | join(', ') }}
    {%- set held = adapter.get_relation(database=this.database, schema=this.schema, identifier=this.identifier) if execute else none %}
    {%- if held is not none %}
    from {{ held }}
    where batch_mark = '{{ batch_mark() }}'
    {%- else %}
    from changes
    where 1 = 0
    {%- endif %}
{%- endmacro %}
