{# What belongs here: the arithmetic that the models of lifetime value share. #}

{# Months that count where a rate decays with age: (1 - exp(-d t)) / d, and t itself where d is 0. #}
{% macro aged_months(months, decay="coalesce(decays.decay, 0.0)") -%}
case when {{ decay }} = 0 then {{ months }} else (1 - exp(-{{ decay }} * {{ months }})) / {{ decay }} end
{%- endmacro %}
