{{ config(enabled=provides('files', 'crm_owners')) }}

-- A record that several files hold counts as the last of them says.
with ranked as (
    select
        records.*,
        row_number() over (
            partition by source_relation, owner_id
            order by _slice desc, _line desc
        ) as place
    from {{ source('raw_files', 'crm_owners') }} as records
),

final as (
    select * from ranked
    where place = 1
)

{{ conform('crm_owners', 'final', provided=[
    'owner_id',
    'name',
    'team',
    'manager_id',
]) }}
