with owners as (
    select * from {{ ref('int_crm_owners_unioned') }}
),

keyed as (
    select
        {{ surrogate_key(['source_relation', 'owner_id']) }} as owner_id,
        coalesce(name, '(not set)') as owner_name,
        coalesce(team, '(not set)') as team,
        case
            when manager_id is not null then {{ surrogate_key(['source_relation', 'manager_id']) }}
        end as manager_id,
        source_relation,
        owner_id as source_record_id
    from owners
),

final as (
    select
        keyed.*,
        managers.owner_name as manager_name
    from keyed
    left join keyed as managers on keyed.manager_id = managers.owner_id
)

select
    owner_id,
    owner_name,
    team,
    manager_id,
    manager_name,
    source_relation,
    source_record_id
from final
