-- depends_on: {{ ref('int_changed_identity_edges') }}
with candidate_edges as (
    select * from {{ ref('int_identity_candidate_edges') }}
)

select
    identifier_type_a,
    identifier_a,
    identifier_type_b,
    identifier_b,
    source_relation,
    first_seen_at,
    last_seen_at,
    is_used
from candidate_edges
