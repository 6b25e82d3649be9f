with
identifiers as (
    select
        coalesce(identifier_kind, '(not set)') as identifier_kind,
        coalesce(source_relation, '(all)') as source_relation,
        person_id,
        coalesce(is_shared, false) as is_shared
    from {{ ref('int_identity_map') }}
),

sizes as (
    select
        person_id,
        count(*) as identifiers,
        count(distinct identifier_kind) as kinds
    from identifiers
    where person_id is not null
    group by person_id
),

rows_by_kind as (
    select
        identifiers.identifier_kind,
        identifiers.source_relation,
        identifiers.person_id,
        identifiers.is_shared,
        sizes.identifiers as person_identifiers
    from identifiers
    left join sizes
        on identifiers.person_id = sizes.person_id
    union all
    select
        '(all)' as identifier_kind,
        '(all)' as source_relation,
        identifiers.person_id,
        identifiers.is_shared,
        sizes.identifiers as person_identifiers
    from identifiers
    left join sizes
        on identifiers.person_id = sizes.person_id
),

final as (
    select
        identifier_kind,
        source_relation,
        count(*) as identifiers,
        count(distinct person_id) as persons,
        count(case when is_shared then 1 end) as shared_identifiers,
        count(case when person_identifiers > 1 then 1 end) as linked_identifiers,
        max(person_identifiers) as largest_person_identifiers
    from rows_by_kind
    group by identifier_kind, source_relation
)

select
    identifier_kind,
    source_relation,
    cast(identifiers as bigint) as identifiers,
    cast(persons as bigint) as persons,
    cast(shared_identifiers as bigint) as shared_identifiers,
    cast(linked_identifiers as bigint) as linked_identifiers,
    {{ safe_divide('linked_identifiers', 'identifiers') }} as linked_rate,
    {{ safe_divide('identifiers', 'persons') }} as identifiers_per_person,
    cast(coalesce(largest_person_identifiers, 0) as bigint) as largest_person_identifiers
from final
