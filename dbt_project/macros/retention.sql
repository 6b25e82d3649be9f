{# What belongs here: the arithmetic that the models of retention share: decays, intervals, segments, complete periods. #}

{# Segments of a report: name -> expression; `all`, and columns by their own names. A macro so that a test can ask for one. #}
{% macro segment_columns(names) %}
    {%- set segments = {'all': "'all'"} -%}
    {%- for name in names %}{% do segments.update({name: name}) %}{% endfor -%}
    {{ return(segments) }}
{% endmacro %}

{# Whether the period that starts on a date ended before the day of as_of. #}
{% macro period_is_complete(grain, start) -%}
case {{ grain }}
    {%- for name in report_grains() %}
    when '{{ name }}' then {{ next_period_start(name, start) }} <= {{ as_of_date() }}
    {%- endfor %}
end
{%- endmacro %}

{# Months that count where a rate decays with age: (1 - exp(-d t)) / d, and t itself where d is 0. #}
{% macro aged_months(months, decay="coalesce(decays.decay, 0.0)") -%}
case when {{ decay }} = 0 then {{ months }} else (1 - exp(-{{ decay }} * {{ months }})) / {{ decay }} end
{%- endmacro %}

{#
The normal quantile of the upper end of the interval of lifetime_interval_level (Abramowitz and Stegun 26.2.23; its error is
below 0.00045).
#}
{% macro interval_quantile() -%}
{%- set t = 'sqrt(-2 * ln(' ~ (1 - (var('lifetime_interval_level') | float)) / 2 ~ '))' -%}
({{ t }} - (2.515517 + 0.802853 * {{ t }} + 0.010328 * power({{ t }}, 2))
    / (1 + 1.432788 * {{ t }} + 0.189269 * power({{ t }}, 2) + 0.001308 * power({{ t }}, 3)))
{%- endmacro %}

{#
A bound of the interval of a value that is 0 with a chance and has a mean and a variance: the lognormal's with the same mean
and variance, and 0 for the low one where the chance of nothing is the tail or more. NULL where the mean is.
#}
{% macro lognormal_bound(mean, variance, none_chance, side) -%}
{%- set tail = (1 - (var('lifetime_interval_level') | float)) / 2 -%}
case
    when {{ mean }} is null then null
    when {{ mean }} <= 0 then 0.0
    {%- if side == 'low' %}
    when {{ none_chance }} >= {{ tail }} then 0.0
    {%- endif %}
    else {{ mean }} / sqrt(1 + {{ variance }} / ({{ mean }} * {{ mean }}))
        * exp({{ '-' if side == 'low' else '' }}{{ interval_quantile() }} * sqrt(ln(1 + {{ variance }} / ({{ mean }} * {{ mean }}))))
end
{%- endmacro %}
