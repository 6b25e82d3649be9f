{# Costs know no model and no date basis: a channel's costs of a period stand in each slice (date_basis,
   model) once. Everything else is attributed. Division by nothing gives NULL, never 0. #}
with
media as (
    select
        date,
        coalesce(channel, '(not set)') as channel,
        case when count(spend) = count(*) then sum(cast(spend as double)) end as media_spend,
        0.0 as other_cost
    from {{ ref('fct_ad_performance_daily') }}
    group by date, coalesce(channel, '(not set)')
    union all
    select
        date,
        channel,
        0.0 as media_spend,
        amount as other_cost
    from {{ ref('int_costs_daily') }}
),

slices as (
    select
        bases.date_basis,
        models.model
    from (
        select 'conversion' as date_basis
        union all
        select 'touch' as date_basis
    ) as bases
    cross join (
        {%- for model in attribution_models() %}
        select '{{ model }}' as model
        {%- if not loop.last %}
        union all
        {%- endif %}
        {%- endfor %}
    ) as models
),

{#- The measures of all inputs, in order; each input fills its own and leaves the others 0. #}
{%- set measures = [
    'media_spend', 'other_cost', 'leads', 'mqls', 'sqls', 'pqls', 'opportunities', 'wins', 'purchases',
    'trials', 'subscriptions', 'pipeline', 'bookings', 'order_value', 'new_mrr', 'billings', 'billings_refunded',
    'new_customers', 'gross_margin', 'lifetime_value', 'customer_months'
] %}
{%- set counted = {
    'leads': 'lead', 'mqls': 'mql', 'sqls': 'sql', 'pqls': 'pql', 'opportunities': 'opportunity',
    'wins': 'won', 'purchases': 'purchase', 'trials': 'trial', 'subscriptions': 'subscription'
} %}
{%- set acquired = ['new_customers', 'gross_margin', 'lifetime_value', 'customer_months'] %}
{%- set valued = {
    'pipeline': 'opportunity', 'bookings': 'won', 'order_value': 'purchase', 'new_mrr': 'subscription'
} %}

{%- set attributed = {} %}
{%- for measure, conversion_type in counted.items() %}
    {%- do attributed.update({
        measure: "case when conversion_type = '" ~ conversion_type ~ "' then conversions else 0.0 end"
    }) %}
{%- endfor %}
{%- for measure, conversion_type in valued.items() %}
    {%- do attributed.update({
        measure: "case when conversion_type = '" ~ conversion_type ~ "' then cast(value as double) else 0.0 end"
    }) %}
{%- endfor %}

daily as (
    select
        slices.date_basis,
        slices.model,
        {%- for measure in measures %}
        {{ 'media.' ~ measure if measure in ['media_spend', 'other_cost'] else '0.0' }} as {{ measure }},
        {%- endfor %}
        media.date,
        media.channel
    from media
    cross join slices
    union all
    select
        date_basis,
        model,
        {%- for measure in measures %}
        {{ attributed.get(measure, '0.0') }} as {{ measure }},
        {%- endfor %}
        date,
        channel
    from {{ ref('int_attribution_daily') }}
    union all
    select
        date_basis,
        model,
        {%- for measure in measures %}
        {{ measure if measure in ['billings', 'billings_refunded'] else '0.0' }} as {{ measure }},
        {%- endfor %}
        date,
        channel
    from {{ ref('int_billing_daily') }}
    union all
    select
        date_basis,
        model,
        {%- for measure in measures %}
        {{ measure if measure in acquired else '0.0' }} as {{ measure }},
        {%- endfor %}
        date,
        channel
    from {{ ref('int_acquisition_daily') }}
),

-- A sum over something unknown is unknown.
daily_totals as (
    select
        date_basis,
        model,
        {%- for measure in measures %}
        case when count({{ measure }}) = count(*) then {{ exact_sum(measure) }} end as {{ measure }},
        {%- endfor %}
        date,
        channel
    from daily
    group by date_basis, model, date, channel
),

periods as (
    {%- for grain in ['week', 'month', 'fiscal_quarter'] %}
    select
        '{{ grain }}' as period_grain,
        {{ period_start(grain, 'date') }} as period_start,
        {%- for measure in measures %}
        case when count({{ measure }}) = count(*) then {{ exact_sum(measure) }} end as {{ measure }},
        {%- endfor %}
        date_basis,
        channel,
        model
    from daily_totals
    group by {{ period_start(grain, 'date') }}, date_basis, channel, model
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

final as (
    select
        *,
        media_spend + other_cost as loaded_cost,
        case period_grain
            when 'week' then {{ add_days('period_start', 7) }}
            when 'month' then {{ add_months('period_start', 1) }}
            else {{ add_months('period_start', 3) }}
        end as period_end
    from periods
)

select
    period_grain,
    period_start,
    date_basis,
    channel,
    model,
    {{ to_money('media_spend') }} as media_spend,
    {{ to_money('loaded_cost') }} as loaded_cost,
    leads,
    mqls,
    sqls,
    pqls,
    opportunities,
    wins,
    purchases,
    trials,
    subscriptions,
    new_customers,
    {{ to_money('pipeline') }} as pipeline,
    {{ to_money('bookings') }} as bookings,
    {{ to_money('billings') }} as billings,
    {{ to_money('billings_refunded') }} as billings_refunded,
    {{ to_money('new_mrr') }} as new_mrr,
    {{ to_money(safe_divide('bookings', 'wins')) }} as average_sale_value,
    {{ to_money(safe_divide('order_value', 'purchases')) }} as average_order_value,
    {{ to_money(safe_divide('media_spend', 'leads')) }} as cost_per_lead,
    {{ to_money(safe_divide('media_spend', 'mqls')) }} as cost_per_mql,
    {{ to_money(safe_divide('media_spend', 'sqls')) }} as cost_per_sql,
    {{ to_money(safe_divide('media_spend', 'opportunities')) }} as cost_per_opportunity,
    {{ to_money(safe_divide('media_spend', 'wins')) }} as cost_per_win,
    {{ to_money(safe_divide('media_spend', 'new_customers')) }} as cac_media,
    {{ to_money(safe_divide('loaded_cost', 'new_customers')) }} as cac_loaded,
    {{ safe_divide('billings', 'media_spend') }} as roas,
    {{ to_money('gross_margin') }} as gross_margin_to_date,
    customer_months,
    -- CAC over the margin that one new customer brings in a month.
    case
        when gross_margin > 0 and new_customers > 0
            then loaded_cost / new_customers / (gross_margin / customer_months)
    end as payback_months,
    {{ to_money(safe_divide('gross_margin', 'new_customers')) }} as realised_ltv,
    {{ safe_divide('gross_margin', 'loaded_cost') }} as realised_ltv_to_cac,
    {{ to_money(safe_divide('lifetime_value', 'new_customers')) }} as ltv,
    {{ safe_divide('lifetime_value', 'loaded_cost') }} as ltv_to_cac,
    {{ date_diff_days('period_end', as_of_date()) }} >= {{ var('economics_mature_after_days') }}
        as is_mature
from final
