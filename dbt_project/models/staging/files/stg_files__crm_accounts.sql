{{ config(enabled=provides('files', 'crm_accounts')) }}

-- A record that several files hold counts as the last of them says.
with ranked as (
    select
        records.*,
        row_number() over (
            partition by source_relation, account_id
            order by _slice desc, _line desc
        ) as place
    from {{ source('raw_files', 'crm_accounts') }} as records
),

final as (
    select * from ranked
    where place = 1
)

{{ conform('crm_accounts', 'final', provided=[
    'account_id',
    'name',
    'domain',
    'industry',
    'employee_count',
    'country',
    'owner_id',
    'is_partner',
    'created_at',
    'updated_at',
    'is_deleted',
    'deleted_at',
    'merged_into_id',
    'merged_at',
]) }}
