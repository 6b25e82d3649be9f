{#
What belongs here: how a web event names its campaign: the UTM tags and the click id of its own columns, else of its
page's URL. Gives the columns utm_source to utm_term, click_id and click_id_type of a select list. What only says
that there is no value (var tags_without_value: `unknown`, `undefined` …) is none: NULL, as an absent tag is.
#}
{% macro campaign_tags() -%}
{#- One pass per value: a list of texts compared in lower case cost four times as much. -#}
{%- set without_value = [] -%}
{%- for value in var('tags_without_value') -%}
{%- do without_value.append(value | replace('(', '[(]') | replace(')', '[)]') | replace('.', '[.]')) -%}
{%- endfor -%}
{%- set click_ids = ['gclid', 'gbraid', 'wbraid', 'msclkid', 'fbclid', 'ttclid', 'li_fat_id'] -%}
{%- for name in ['utm_source', 'utm_medium', 'utm_campaign', 'utm_content', 'utm_term'] -%}
nullif(
    regexp_replace(
        coalesce(
            nullif({{ name }}, ''),
            case when page_url like '%{{ name }}=%' then {{ url_parameter('page_url', name) }} end
        ),
        '(?i)^ *({{ without_value | join('|') }}|) *$', ''
    ), ''
) as {{ name }},
{% endfor -%}
coalesce(
    {%- for name in click_ids %}
    nullif({{ name }}, ''),
    case when page_url like '%{{ name }}=%' then {{ url_parameter('page_url', name) }} end
    {%- if not loop.last %},{% endif %}
    {%- endfor %}
) as click_id,
case
    {%- for name in click_ids %}
    when
        nullif({{ name }}, '') is not null
        or (page_url like '%{{ name }}=%' and {{ url_parameter('page_url', name) }} is not null)
        then '{{ name }}'
    {%- endfor %}
end as click_id_type
{%- endmacro %}
