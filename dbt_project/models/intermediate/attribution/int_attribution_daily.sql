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
        conversions.is_new_customer,
        cast(conversions.value as double) as value,
        cast(conversions.value_net as double) as value_net,
        {%- for model in attribution_models() %}
        attribution.credit_{{ model }}{{ "," if not loop.last }}
        {%- endfor %}
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
        case when count(value) = count(*) then sum(credit_{{ model }} * value) end as value_{{ model }},
        case when count(value_net) = count(*) then sum(credit_{{ model }} * value_net) end
            as value_net_{{ model }}{{ "," if not loop.last }}
        {%- endfor %}
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
        cast(value_{{ model }} as decimal(19, 4)) as value,
        cast(value_net_{{ model }} as decimal(19, 4)) as value_net
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
