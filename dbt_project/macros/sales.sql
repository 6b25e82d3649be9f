{# What belongs here: what the reports on deals share: segments, statistics of forecasts. #}

{# Segments of reports on opportunities: name -> column of fct_opportunities (team: of dim_owners). #}
{% macro deal_segments() %}
    {{ return({
        'all': "'all'", 'pipeline': 'pipeline', 'opportunity_type': 'opportunity_type',
        'deal_size_band': 'deal_size_band', 'sourced_by': 'sourced_by', 'channel': 'sourcing_channel',
        'country': 'country', 'owner': 'owner_id', 'team': 'team',
    }) }}
{% endmacro %}

{# The few by which a pipeline is steered. #}
{% macro pipeline_segments() %}
    {{ return({
        'all': "'all'", 'pipeline': 'pipeline', 'opportunity_type': 'opportunity_type', 'owner': 'owner_id',
        'team': 'team',
    }) }}
{% endmacro %}

{# By what a forecast is split. #}
{% macro forecast_segments() %}
    {{ return({'all': "'all'", 'pipeline': 'pipeline', 'opportunity_type': 'opportunity_type', 'team': 'team'}) }}
{% endmacro %}

{# Periods of quotas and forecasts, with their months. #}
{% macro forecast_grains() %}{{ return({'month': 1, 'fiscal_quarter': 3}) }}{% endmacro %}

{# Lines of the waterfall between start and end, with their sign. #}
{% macro waterfall_lines() %}
    {{ return({
        'created': '+', 'reopened': '+', 'pulled_in': '+', 'increased': '+', 'decreased': '-', 'pushed_out': '-',
        'lost': '-', 'won': '-', 'removed': '-', 'exchange_effect': '+', 'transferred_in': '+', 'transferred_out': '-',
    }) }}
{% endmacro %}

{# Those lines that also move a deal in or out, and so have a count beside the amount. #}
{% macro counted_waterfall_lines() %}
    {{ return([
        'created', 'reopened', 'pulled_in', 'pushed_out', 'lost', 'won', 'removed', 'transferred_in', 'transferred_out',
    ]) }}
{% endmacro %}

{# How many periods (month, fiscal_quarter) the period of a date lies after that of another. #}
{% macro periods_between(grain, earlier, later) -%}
cast(
    {{ date_diff_months(period_start(grain, earlier), period_start(grain, later)) }}
    / {{ forecast_grains()[grain] }} as bigint
)
{%- endmacro %}

{# What a quota may ask for: each is measured in quota_attainment. #}
{% macro quota_metrics() %}
    {{ return([
        'bookings', 'new_business_bookings', 'expansion_bookings', 'renewal_bookings', 'arr', 'deals_won',
        'pipeline_created', 'opportunities_created', 'meetings_held',
    ]) }}
{% endmacro %}

{# Who may source an opportunity. #}
{% macro opportunity_sources() %}{{ return(['marketing', 'sales', 'partner', 'product', 'success']) }}{% endmacro %}
