{# The one place where credits become counts and values: every report in long form adds up these rows. Values
   are summed as double and rounded once, here. #}
with
credits as (
    select
        attribution.conversion_id,
        attribution.conversion_type,
        attribution.converted_on,
        -- What nobody touched has no touch date: it keeps the conversion's on both bases.
        attribution.touched_on,
        attribution.channel,
        coalesce(attribution.campaign_id, '(not set)') as campaign_id,
        {%- for model in attribution_models() %}
        attribution.credit_{{ model }},
        {%- endfor %}
        conversions.is_new_customer,
        cast(conversions.value as double) as value,
        cast(conversions.value_net as double) as value_net
    from {{ ref('fct_attribution') }} as attribution
    inner join {{ ref('fct_conversions') }} as conversions
        on attribution.conversion_id = conversions.conversion_id
),

dated as (
    {%- for basis, date_column in [('conversion', 'converted_on'), ('touch', 'touched_on')] %}
    select
        '{{ basis }}' as date_basis,
        {{ date_column }} as date,
        channel,
        campaign_id,
        conversion_type,
        is_new_customer,
        {%- for model in attribution_models() %}
        sum(credit_{{ model }}) as conversions_{{ model }},
        sum(credit_{{ model }} * value) as value_{{ model }},
        sum(credit_{{ model }} * value_net) as value_net_{{ model }},
        {%- endfor %}
        count(*) = count(value) as has_all_values
    from credits
    group by {{ date_column }}, channel, campaign_id, conversion_type, is_new_customer
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

final as (
    {%- for model in attribution_models() %}
    select
        date_basis,
        date,
        channel,
        campaign_id,
        conversion_type,
        is_new_customer,
        '{{ model }}' as model,
        conversions_{{ model }} as conversions,
        {{ to_money('case when has_all_values then value_' ~ model ~ ' end') }} as value,
        {{ to_money('case when has_all_values then value_net_' ~ model ~ ' end') }} as value_net
    from dated
    where conversions_{{ model }} != 0
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
)

select
    date_basis,
    date,
    channel,
    campaign_id,
    conversion_type,
    is_new_customer,
    model,
    conversions,
    value,
    value_net
from final
