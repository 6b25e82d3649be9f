{#
What belongs here: how the seed conversion_rules decides which records are conversions. A rule is one or more rows
of one rule_id (all conditions must hold) over the fields of one source; the seed never holds SQL.
#}

{#
Does a row meet one condition? `fields` maps the names that users may write in the seed to SQL expressions over the
row; a name that is not among them matches nothing (a test on the seed refuses it). Texts compare without case.
#}
{% macro meets_condition(rule, fields) %}
{%- set field_value -%}
case {{ rule }}.field
{%- for name, expression in fields.items() %} when '{{ name }}' then cast({{ expression }} as {{ text_type() }}){% endfor %} end
{%- endset -%}
case {{ rule }}.operator
    when 'equals' then coalesce(lower({{ field_value }}) = lower({{ rule }}.value), false)
    when 'not_equals' then coalesce(lower({{ field_value }}), '') != lower({{ rule }}.value)
    when 'starts_with' then coalesce(lower({{ field_value }}) like concat(lower({{ rule }}.value), '%'), false)
    when 'contains' then coalesce(lower({{ field_value }}) like concat('%', lower({{ rule }}.value), '%'), false)
    when 'is_null' then {{ field_value }} is null
    when 'is_not_null' then {{ field_value }} is not null
    when 'greater_than'
        then coalesce(try_cast({{ field_value }} as double) > try_cast({{ rule }}.value as double), false)
    else false
end
{%- endmacro %}

{# One row per rule of `source` and row of `relation` (known by `keys`) that meets all of the rule's
   conditions. #}
{% macro matched_rules(source, relation, keys, fields) %}
select
    rules.rule_id,
    rules.conversion_type,
    {%- for key in keys %}
    subject_rows.{{ key }}{{ "," if not loop.last }}
    {%- endfor %}
from {{ relation }} as subject_rows
inner join {{ ref('conversion_rules') }} as rules
    on
        rules.source = '{{ source }}'
        and {{ meets_condition('rules', fields) }}
inner join (
    select
        rule_id,
        count(*) as conditions
    from {{ ref('conversion_rules') }}
    group by rule_id
) as needed
    on rules.rule_id = needed.rule_id
group by
    rules.rule_id,
    rules.conversion_type,
    needed.conditions
    {%- for key in keys %},
    subject_rows.{{ key }}
    {%- endfor %}
having count(*) = needed.conditions
{% endmacro %}
