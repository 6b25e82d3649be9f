-- Conservation: every model's credits of every conversion add up to 1 within 1e-9, and no credit is
-- negative.
select
    conversion_id
    {%- for model in attribution_models() %},
    sum(credit_{{ model }}) as credit_{{ model }}
    {%- endfor %}
from {{ ref('fct_attribution') }}
group by conversion_id
having
    {%- for model in attribution_models() %}
    {% if not loop.first %}or {% endif %}not coalesce(abs(sum(credit_{{ model }}) - 1) <= 1e-9, false)
    or min(credit_{{ model }}) < 0
    {%- endfor %}
