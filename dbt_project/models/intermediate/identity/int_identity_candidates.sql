-- The computed components with their persons: the person's id derives from the component's earliest-seen
-- identifier.
with components as (
    select * from {{ ref('int_identity_components') }}
),

seen as (
    select
        identifier_type_a as identifier_type,
        identifier_a as identifier,
        first_seen_at,
        not is_used as is_shared
    from {{ ref('int_identity_edges') }}
    where identifier_type_a = identifier_type_b and identifier_a = identifier_b
),

ranked as (
    select
        components.identifier_type,
        components.identifier,
        components.component,
        seen.first_seen_at,
        seen.is_shared,
        row_number() over (
            partition by components.component
            order by seen.first_seen_at nulls last, components.identifier, components.identifier_type
        ) as place
    from components
    inner join seen
        on components.identifier_type = seen.identifier_type and components.identifier = seen.identifier
),

persons as (
    select
        component,
        {{ surrogate_key(['identifier_type', 'identifier']) }} as person_id
    from ranked
    where place = 1
),

final as (
    select
        ranked.identifier_type,
        ranked.identifier,
        split_part(ranked.identifier_type, ':', 1) as identifier_kind,
        case
            when ranked.identifier_type like '%:%'
                then substr(ranked.identifier_type, length(split_part(ranked.identifier_type, ':', 1)) + 2)
        end as source_relation,
        persons.person_id,
        ranked.is_shared,
        ranked.first_seen_at
    from ranked
    inner join persons on ranked.component = persons.component
)

select
    identifier_type,
    identifier,
    identifier_kind,
    source_relation,
    person_id,
    is_shared,
    first_seen_at
from final
