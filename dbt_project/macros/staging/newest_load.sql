{# The newest load that had a part in a row: a record that changed (a renamed campaign) changes rows of old days too. #}
{% macro newest_load(rows, joined) -%}
greatest(
    {{ rows }}._dlt_load_id
    {%- for name in joined %},
    coalesce({{ name }}._dlt_load_id, {{ rows }}._dlt_load_id)
    {%- endfor %}
)
{%- endmacro %}
