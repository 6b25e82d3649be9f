{{ config(enabled=provides('files', 'crm_stage_history')) }}

-- A record that several files hold counts as the last of them says.
with ranked as (
    select
        records.*,
        row_number() over (
            partition by source_relation, change_id
            order by _slice desc, _line desc
        ) as place
    from {{ source('raw_files', 'crm_stage_history') }} as records
),

final as (
    select * from ranked
    where place = 1
)

{{ conform('crm_stage_history', 'final', provided=[
    'change_id',
    'object_type',
    'object_id',
    'field',
    'from_value',
    'to_value',
    'changed_at',
    'changed_by',
]) }}
