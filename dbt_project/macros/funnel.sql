{#
What belongs here: how the funnel's seeds are read (entry rules), and what the reports on funnels and cohorts share:
statistics, periods, segments.
#}

{#
What an entry rule of funnels.csv may name: sources (kinds of canonical records) and their fields. `none` instead of a
list: the field is the record's own (a survey's name). Extend here and in int_funnel_observations together.
#}
{% macro funnel_sources() %}
    {{ return({
        'sessions': ['channel'],
        'web_events': ['event_name'],
        'referrals': ['sign_up_number'],
        'crm_contacts': ['funnel_stage', 'lifecycle_stage', 'lead_status'],
        'crm_opportunities': ['funnel_stage', 'stage', 'won_number'],
        'revenue_events': ['order_number', 'payment_number'],
        'subscriptions': ['is_paid', 'plan', 'change'],
        'survey_responses': none,
    }) }}
{% endmacro %}

{# What a rule of lead_score_rules.csv or qualification_fields.csv may name: the same for lead_scores; `none`: any field. #}
{% macro lead_score_sources() %}
    {{ return({
        'contacts': ['job_title', 'country', 'email_kind', 'lifecycle_stage', 'lead_status', 'original_source'],
        'accounts': ['industry', 'employee_count', 'country'],
        'attributes': none,
        'opportunity_roles': ['role'],
        'touchpoints': ['touchpoint_type', 'channel'],
        'conversions': ['conversion_type'],
    }) }}
{% endmacro %}

{# Where a person opens a record of the CRM: the template of var crm_record_urls for the record's system, else NULL. #}
{% macro crm_record_url(object_type, source_relation, record_id) -%}
case split_part({{ source_relation }}, ':', 1)
    {%- for system, templates in var('crm_record_urls').items() %}
    when '{{ system }}'
        then
            replace(
                replace('{{ templates[object_type] }}', '[account]', split_part({{ source_relation }}, ':', 3)),
                '[id]', {{ record_id }}
            )
    {%- endfor %}
    else cast(null as {{ text_type() }})
end
{%- endmacro %}

{# Values of crm_stage_mapping.funnel_stage that are no stage of a funnel. #}
{% macro funnel_outcomes() %}{{ return(['lost', '(ignored)']) }}{% endmacro %}

{# 'a', 'b', 'c' of a list of names. #}
{% macro quoted_list(names) -%}
{%- for name in names -%}'{{ name }}'{% if not loop.last %}, {% endif %}{%- endfor -%}
{%- endmacro %}

{# Does an observed value satisfy a rule? Text is compared without case; `in` takes values separated by |. #}
{% macro funnel_rule_matches(operator, rule_value, observed) -%}
case {{ operator }}
    when '=' then lower({{ observed }}) = lower({{ rule_value }})
    when 'in' then instr('|' || lower({{ rule_value }}) || '|', '|' || lower({{ observed }}) || '|') > 0
    when '>=' then try_cast({{ observed }} as double) >= try_cast({{ rule_value }} as double)
    when 'is_not_null' then {{ observed }} is not null
    else false
end
{%- endmacro %}

{# Bounds of the 95 % Wilson interval of `successes` out of `trials`: NULL at 0 trials, exactly 0 and 1 at the ends. #}
{% macro wilson_bound(successes, trials, side) -%}
{%- set z = 1.959963984540054 -%}
{%- set k = 'cast(' ~ successes ~ ' as double)' -%}
{%- set n = 'cast(' ~ trials ~ ' as double)' -%}
case
    when {{ trials }} > 0 and {{ successes }} = {{ '0' if side == 'low' else trials }} then {{ '0.0' if side == 'low' else '1.0' }}
    when {{ trials }} > 0
        then (
            {{ k }} / {{ n }} + {{ z * z }} / (2 * {{ n }})
            {{ '-' if side == 'low' else '+' }} {{ z }} * sqrt(
                ({{ k }} / {{ n }}) * (1 - {{ k }} / {{ n }}) / {{ n }} + {{ z * z }} / (4 * {{ n }} * {{ n }})
            )
        ) / (1 + {{ z * z }} / {{ n }})
end
{%- endmacro %}

{# The periods of reports. A macro so that a unit test can ask for one. #}
{% macro report_grains() %}{{ return(['week', 'month', 'fiscal_quarter']) }}{% endmacro %}

{#
The rows of a CTE once for every period of a report and every segment: period_grain, period_start (of `date_column`), segment
and segment_value ('(not set)' where unknown) before their own columns. `segments` maps names to SQL over the rows.
#}
{% macro in_periods(rows, date_column, segments) -%}
    {%- for grain in report_grains() %}
    {%- set last_grain = loop.last %}
    {%- for segment, expression in segments.items() %}
    select
        '{{ grain }}' as period_grain,
        {{ period_start(grain, date_column) }} as period_start,
        '{{ segment }}' as segment,
        coalesce({{ expression }}, '(not set)') as segment_value,
        {{ rows }}.*
    from {{ rows }}
    {%- if not (last_grain and loop.last) %}
    union all
    {%- endif %}
    {%- endfor %}
    {%- endfor %}
{%- endmacro %}

{# First day of the period after the one that starts on a date. #}
{% macro next_period_start(grain, start) -%}
{%- if grain == 'week' -%}
{{ add_days(start, 7) }}
{%- else -%}
{{ add_months(start, 1 if grain == 'month' else 3) }}
{%- endif -%}
{%- endmacro %}

{# Segments of the reports: name -> column, or expression, of what is counted. #}
{% macro funnel_segments() %}
    {{ return({
        'all': "'all'", 'channel': 'first_touch_channel', 'country': 'country', 'owner': 'owner_id',
        'product': 'product', 'deal_size_band': 'deal_size_band',
    }) }}
{% endmacro %}
{% macro framework_segments() %}
    {{ return({'all': "'all'", 'channel': 'first_touch_channel'}) }}
{% endmacro %}
{% macro cohort_segments() %}
    {{ return({
        'all': "'all'", 'channel': 'channel', 'plan': 'plan', 'country': 'country', 'first_product': 'first_product',
    }) }}
{% endmacro %}
