{{ config(enabled=provides('hubspot', 'crm_owners')) }}

-- The vendor's API names no managers.
with owners as (
    select
        source_relation,
        owner_id,
        trim(coalesce(first_name, '') || ' ' || coalesce(last_name, '')) as name,
        {{ json_list('teams') }} as teams,
        _dlt_load_id
    from {{ source('raw_hubspot', 'owners') }}
),

exploded as (
    select
        source_relation,
        owner_id,
        {{ explode_list('teams') }} as team
    from owners
),

primary_teams as (
    select
        source_relation,
        owner_id,
        max(
            case when {{ json_text('team', 'primary') }} = 'true' then {{ json_text('team', 'name') }} end
        ) as team
    from exploded
    group by source_relation, owner_id
),

final as (
    select
        owners.source_relation,
        owners.owner_id,
        nullif(owners.name, '') as name,
        primary_teams.team,
        owners._dlt_load_id,
        null as _slice
    from owners
    left join primary_teams
        on owners.source_relation = primary_teams.source_relation and owners.owner_id = primary_teams.owner_id
)

{{ conform('crm_owners', 'final', provided=['owner_id', 'name', 'team']) }}
