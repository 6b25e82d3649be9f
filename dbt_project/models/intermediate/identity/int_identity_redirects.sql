{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='append_new_columns',
    full_refresh=false,
) }}
-- A log of what changed, so the one table that a rebuild does not repeat; a rebuild keeps it.

with moved as (
    select
        identifier_type,
        identifier,
        old_person_id,
        new_person_id
    from {{ ref('int_changed_identifiers') }}
    where old_person_id is null or old_person_id <> new_person_id
),

changed as (
    select
        old_person_id,
        new_person_id,
        count(*) over (partition by old_person_id) as new_persons,
        count(*) over (partition by new_person_id) as old_persons
    from (
        select distinct
            old_person_id,
            new_person_id
        from moved
        where old_person_id is not null and new_person_id is not null
    ) as pairs
),

-- Who is still there: an old person who is has lost only a part; a new person who holds identifiers that did
-- not move was there before.
remaining as (
    select
        map.person_id,
        bool_or(moved.identifier is null) as was_there_before
    from {{ ref('int_identity_map') }} as map
    left join moved
        on
            map.identifier_type = moved.identifier_type
            and map.identifier = moved.identifier
    where
        map.person_id in (select changed.old_person_id from changed)
        or map.person_id in (select changed.new_person_id from changed)
    group by map.person_id
),

final as (
    select
        changed.old_person_id,
        changed.new_person_id,
        case
            when changed.new_persons > 1 or old_person.person_id is not null then 'split'
            when changed.old_persons > 1 or coalesce(new_person.was_there_before, false) then 'merged'
            else 'earlier evidence'
        end as reason,
        {{ as_of() }} as redirected_at
    from changed
    left join remaining as old_person on changed.old_person_id = old_person.person_id
    left join remaining as new_person on changed.new_person_id = new_person.person_id
    {% if is_rewrite() %}
    where not exists (
            select 1
            from {{ this }} as known
            where known.old_person_id = changed.old_person_id and known.new_person_id = changed.new_person_id
        )
    {% endif %}
)

select
    old_person_id,
    new_person_id,
    reason,
    redirected_at
from final
