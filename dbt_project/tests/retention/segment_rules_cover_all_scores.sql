-- Each of the 125 combinations of scores has a rule.
with scores as (
    {{ number_spine(1, 5) }}
)

select
    recency.n as recency_score,
    frequency.n as frequency_score,
    monetary.n as monetary_score
from scores as recency
cross join scores as frequency
cross join scores as monetary
left join {{ ref('customer_segment_rules') }} as rules
    on
        recency.n >= rules.recency_min and recency.n <= rules.recency_max
        and frequency.n >= rules.frequency_min and frequency.n <= rules.frequency_max
        and monetary.n >= rules.monetary_min and monetary.n <= rules.monetary_max
where rules.rule_order is null
