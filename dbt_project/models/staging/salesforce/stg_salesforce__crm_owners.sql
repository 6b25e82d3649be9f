{{ config(enabled=provides('salesforce', 'crm_owners')) }}

-- People only: machines own records, too, but nobody's quota.
with final as (
    select
        source_relation,
        user_id,
        name,
        team,
        manager_id,
        _dlt_load_id,
        null as _slice
    from {{ source('raw_salesforce', 'users') }}
    where coalesce(user_type, 'Standard') = 'Standard'
)

{{ conform('crm_owners', 'final', provided={
    'owner_id': 'user_id',
    'name': 'name',
    'team': 'team',
    'manager_id': 'manager_id',
}) }}
