{{ config(enabled=provides('salesforce', 'crm_accounts')) }}

-- A website is typed with or without its scheme.
with accounts as (
    select
        accounts.*,
        case
            when website like '%://%' then {{ url_host('website') }}
            else {{ url_host("'https://' || website") }}
        end as domain
    from {{ source('raw_salesforce', 'accounts') }} as accounts
),

owners as (
    select * from {{ ref('stg_salesforce__crm_owners') }}
),

country_names as (
    select * from {{ ref('country_names') }}
),

final as (
    select
        accounts.source_relation,
        accounts.account_id,
        accounts.name,
        accounts.domain,
        lower(accounts.industry) as industry,
        accounts.employee_count,
        coalesce(country_names.country, accounts.country) as country,
        owners.owner_id,
        coalesce(accounts.is_partner, false) as is_partner,
        accounts.created_at,
        accounts.modified_at,
        coalesce(accounts.is_deleted, false) as is_deleted,
        case when accounts.is_deleted then accounts.modified_at end as deleted_at,
        accounts.merged_into_id,
        case when accounts.merged_into_id is not null then accounts.modified_at end as merged_at,
        accounts._dlt_load_id,
        null as _slice
    from accounts
    left join owners
        on accounts.source_relation = owners.source_relation and accounts.owner_id = owners.owner_id
    left join country_names on lower(accounts.country) = country_names.name
)

{{ conform('crm_accounts', 'final', provided={
    'account_id': 'account_id',
    'name': 'name',
    'domain': 'domain',
    'industry': 'industry',
    'employee_count': 'employee_count',
    'country': 'country',
    'owner_id': 'owner_id',
    'is_partner': 'is_partner',
    'created_at': 'created_at',
    'updated_at': 'modified_at',
    'is_deleted': 'is_deleted',
    'deleted_at': 'deleted_at',
    'merged_into_id': 'merged_into_id',
    'merged_at': 'merged_at',
}) }}
