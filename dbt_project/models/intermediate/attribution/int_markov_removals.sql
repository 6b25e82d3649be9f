{{ config(post_hook=markov_clean_up()) }}
{# markov_removals() writes one table a round, so it runs here; what follows from it is plain SQL. #}
-- depends_on: {{ ref('int_markov_transitions') }}
with
removals as (
    {{ markov_removals(ref('int_markov_transitions')) }}
)

select
    conversion_type,
    month,
    channel,
    kept_conversions
from removals
