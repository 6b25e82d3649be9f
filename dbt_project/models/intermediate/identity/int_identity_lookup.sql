-- Identifiers by their native value, for records of one system that name another's: only where one relation
-- holds them.
with map as (
    select * from {{ ref('int_identity_map') }}
),

final as (
    select
        identifier_kind,
        identifier,
        min(person_id) as person_id,
        min(source_relation) as source_relation
    from map
    group by identifier_kind, identifier
    having count(*) = 1
)

select
    identifier_kind,
    identifier,
    person_id,
    source_relation
from final
