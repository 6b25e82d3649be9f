{{ config(materialized='view') }}

with links as (
    select * from {{ ref('int_identity_links') }}
),

shared as (
    select * from {{ ref('int_identity_shared_identifiers') }}
),

final as (
    select
        links.*,
        shared_a.identifier is null and shared_b.identifier is null as is_used
    from links
    left join shared as shared_a
        on links.identifier_type_a = shared_a.identifier_type and links.identifier_a = shared_a.identifier
    left join shared as shared_b
        on links.identifier_type_b = shared_b.identifier_type and links.identifier_b = shared_b.identifier
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
from final
