with
identifiers as (
    select
        coalesce(identifier_kind, '(not set)') as identifier_kind,
        coalesce(source_relation, '(all)') as source_relation,
        person_id,
        coalesce(is_shared, false) as is_shared,
        -- A person is named by one of its identifiers; every other one was joined to it.
        {{ surrogate_key(['identifier_type', 'identifier']) }} <> person_id as is_merged,
        count(*) over (partition by person_id) as person_identifiers
    from {{ ref('int_identity_map') }}
),

rows_by_kind as (
    select
        identifier_kind,
        source_relation,
        person_id,
        is_shared,
        is_merged,
        person_identifiers
    from identifiers
    union all
    select
        '(all)' as identifier_kind,
        '(all)' as source_relation,
        person_id,
        is_shared,
        is_merged,
        person_identifiers
    from identifiers
),

final as (
    select
        identifier_kind,
        source_relation,
        count(*) as identifiers,
        count(distinct person_id) as persons,
        count(case when is_merged then 1 end) as merged_identifiers,
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
    cast(merged_identifiers as bigint) as merged_identifiers,
    cast(shared_identifiers as bigint) as shared_identifiers,
    cast(linked_identifiers as bigint) as linked_identifiers,
    {{ safe_divide('linked_identifiers', 'identifiers') }} as linked_rate,
    {{ safe_divide('identifiers', 'persons') }} as identifiers_per_person,
    cast(coalesce(largest_person_identifiers, 0) as bigint) as largest_person_identifiers
from final
