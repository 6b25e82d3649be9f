{#- Tables and views on DuckDB, replaced in one statement. The adapter's own make a table of another name, rename the old one and the
    new one and drop the old one: four statements and four rendered macros, 15 ms of a model's 50 ms. Here the old table
    is gone when the new one is committed, and not before. -#}
{% materialization table, adapter='duckdb', supported_languages=['sql'] %}
    {%- set target = this.incorporate(type='table') -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {%- do drop_if_other_type(target) -%}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% call statement('main') -%}
        {{ or_replace(create_table_as(False, target, compiled_code, 'sql'), 'create table') }}
    {%- endcall %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}


{% materialization view, adapter='duckdb' %}
    {%- set target = this.incorporate(type='view') -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {%- do drop_if_other_type(target) -%}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% call statement('main') -%}
        {{ or_replace(get_create_view_as_sql(target, sql), 'create view') }}
    {%- endcall %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}


{#- A view cannot replace a table, nor the other way round. -#}
{% macro drop_if_other_type(target) %}
    {%- set present = load_cached_relation(target) -%}
    {%- if present is not none and present.type != target.type -%}
        {{ adapter.drop_relation(present) }}
    {%- endif -%}
{% endmacro %}


{#- The adapter's DDL, as a replacement of what is there. -#}
{% macro or_replace(ddl, statement) -%}
    {%- set start = modules.re.search('\\b' ~ statement.replace(' ', '\\s+') ~ '\\b', ddl).start() -%}
    {{ ddl[:start] }}create or replace{{ ddl[start + 6:] }}
{%- endmacro %}
