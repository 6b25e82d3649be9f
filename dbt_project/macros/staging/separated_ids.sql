{# Ids in one text with `;` between them as a JSON list; NULL where there is none. #}
{% macro separated_ids(text) -%}
case
    when {{ text }} is not null
        then '["' || replace(replace(replace({{ text }}, '"', ''), ' ', ''), ';', '","') || '"]'
end
{%- endmacro %}
