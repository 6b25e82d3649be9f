-- Conservation: every model's credits of every conversion add up to 1 within 1e-9, and no credit is negative.
with
sums as (
    {%- for model in attribution_models() %}
    select
        conversion_id,
        '{{ model }}' as model,
        sum(credit_{{ model }}) as credits,
        min(credit_{{ model }}) as least_credit
    from {{ ref('fct_attribution') }}
    group by conversion_id
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
)

select
    conversion_id,
    model,
    credits,
    least_credit
from sums
where not coalesce(abs(credits - 1) <= 1e-9 and least_credit >= 0, false)
