{{ config(enabled=provides('files', 'crm_opportunity_contacts')) }}

-- A record that several files hold counts as the last of them says.
with ranked as (
    select
        records.*,
        row_number() over (
            partition by source_relation, opportunity_id, contact_id
            order by _slice desc, _line desc
        ) as place
    from {{ source('raw_files', 'crm_opportunity_contacts') }} as records
),

final as (
    select * from ranked
    where place = 1
)

{{ conform('crm_opportunity_contacts', 'final', provided=[
    'opportunity_id',
    'contact_id',
    'role',
    'is_primary',
    'added_at',
]) }}
