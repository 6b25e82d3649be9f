{%- set held = held_relation('int_identity_map') if not should_full_refresh() else none -%}
-- Identifiers whose person or shared state changes with this run, with the person before and after.
-- Identifiers that vanished are among the changed ends of edges and have no candidate.
with candidates as (
    select * from {{ ref('int_identity_candidates') }}
),

held as (
    {%- if held is none %}
    select * from candidates where 1 = 0
    {%- else %}
    select * from {{ held }}
    {%- endif %}
),

changed_ends as (
    select * from {{ ref('int_changed_identity_edges') }}
),

differing as (
    select
        candidates.identifier_type,
        candidates.identifier,
        held.person_id as old_person_id,
        candidates.person_id as new_person_id
    from candidates
    left join held
        on candidates.identifier_type = held.identifier_type and candidates.identifier = held.identifier
    where
        {% if held is none %}1 = 0{% else %}held.person_id is null
        or held.person_id <> candidates.person_id
        or held.is_shared <> candidates.is_shared{% endif %}
),

vanished as (
    select
        held.identifier_type,
        held.identifier,
        held.person_id as old_person_id,
        cast(null as {{ text_type() }}) as new_person_id
    from held
    inner join changed_ends
        on held.identifier_type = changed_ends.identifier_type and held.identifier = changed_ends.identifier
    left join candidates
        on held.identifier_type = candidates.identifier_type and held.identifier = candidates.identifier
    where candidates.identifier is null
),

changes as (
    select identifier_type, identifier, old_person_id, new_person_id from differing
    union
    select identifier_type, identifier, old_person_id, new_person_id from vanished
),

final as (
    select identifier_type, identifier, old_person_id, new_person_id from changes
    union
    {{ carried_over(['identifier_type', 'identifier', 'old_person_id', 'new_person_id']) }}
)

select
    identifier_type,
    identifier,
    old_person_id,
    new_person_id,
    cast('{{ batch_mark() }}' as {{ text_type() }}) as batch_mark
from final
