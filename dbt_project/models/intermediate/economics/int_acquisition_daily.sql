{# New customers by the credits of the conversion that made them customers, with what they have brought in
   since and what is expected of them: the base of lifetime value and payback. Margin is whole-life to as_of, on
   the day of the acquisition; unknown where a customer has only revenue. #}
with
acquisitions as (
    select
        conversions.conversion_id,
        conversions.converted_on,
        -- A customer of last week has had one month, not a fraction: a month is the least that is observed.
        case
            when {{ days_between('conversions.converted_at', as_of()) }} > 30.4375
                then {{ days_between('conversions.converted_at', as_of()) }} / 30.4375
            else 1.0
        end as months_observed,
        case
            when customers.customer_id is null then 0.0
            when customers.value_basis = 'gross_margin' then cast(customers.realised_value as double)
        end as gross_margin,
        case
            when customers.customer_id is null then 0.0
            when customers.value_basis = 'gross_margin' then cast(customers.lifetime_value as double)
        end as lifetime_value
    from {{ ref('fct_conversions') }} as conversions
    inner join {{ ref('conversion_types') }} as types
        on conversions.conversion_type = types.conversion_type and types.is_revenue
    left join {{ ref('customer_lifetime_value') }} as customers
        on conversions.customer_id = customers.customer_id
    where conversions.is_new_customer
),

credited as (
    select
        acquisitions.*,
        {%- for model in attribution_models() %}
        attribution.credit_{{ model }},
        {%- endfor %}
        attribution.touched_on,
        attribution.channel
    from acquisitions
    inner join {{ ref('fct_attribution') }} as attribution
        on acquisitions.conversion_id = attribution.conversion_id
),

final as (
    {%- for basis, date_column in [('conversion', 'converted_on'), ('touch', 'touched_on')] %}
    {%- set last_basis = loop.last %}
    {%- for model in attribution_models() %}
    select
        '{{ basis }}' as date_basis,
        {{ date_column }} as date,
        channel,
        '{{ model }}' as model,
        {{ exact_sum("credit_" ~ model) }} as new_customers,
        case
            when count(gross_margin) = count(*) then {{ exact_sum("credit_" ~ model ~ " * gross_margin") }}
        end as gross_margin,
        case
            when
                count(lifetime_value) = count(*)
                then {{ exact_sum("credit_" ~ model ~ " * lifetime_value") }}
        end as lifetime_value,
        {{ exact_sum("credit_" ~ model ~ " * months_observed") }} as customer_months
    from credited
    where credit_{{ model }} != 0
    group by {{ date_column }}, channel
    {%- if not (loop.last and last_basis) %}
    union all
    {%- endif %}
    {%- endfor %}
    {%- endfor %}
)

select
    date_basis,
    date,
    channel,
    model,
    new_customers,
    gross_margin,
    lifetime_value,
    customer_months
from final
