{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='append_new_columns',
    full_refresh=false,
) }}
-- A log of what changed, so the one table that a rebuild does not repeat; a rebuild keeps it.

with changed as (
    select distinct
        old_person_id,
        new_person_id
    from {{ ref('int_changed_identifiers') }}
    where old_person_id is not null and new_person_id is not null and old_person_id <> new_person_id
),

targets as (
    select
        old_person_id,
        count(*) as new_persons
    from changed
    group by old_person_id
),

sources as (
    select
        new_person_id,
        count(*) as old_persons
    from changed
    group by new_person_id
),

final as (
    select
        changed.old_person_id,
        changed.new_person_id,
        case
            when targets.new_persons > 1 then 'split'
            when sources.old_persons > 1 or still_used.person_id is not null then 'merged'
            else 'earlier evidence'
        end as reason,
        {{ as_of() }} as redirected_at
    from changed
    inner join targets on changed.old_person_id = targets.old_person_id
    inner join sources on changed.new_person_id = sources.new_person_id
    left join (
        select distinct map.person_id
        from {{ ref('int_identity_map') }} as map
        left join {{ ref('int_changed_identifiers') }} as moved
            on
                map.identifier_type = moved.identifier_type
                and map.identifier = moved.identifier
        where moved.identifier is null
    ) as still_used on changed.new_person_id = still_used.person_id
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
