{{ config(enabled=provides('hubspot', 'crm_accounts')) }}

with companies as (
    select * from {{ source('raw_hubspot', 'companies') }}
),

merged as (
    select * from {{ ref('stg_hubspot__merges') }}
    where object_type = 'companies'
),

country_names as (
    select * from {{ ref('country_names') }}
),

records as (
    select
        companies.source_relation,
        companies.company_id,
        companies.name,
        lower(companies.domain) as domain,
        lower(companies.industry) as industry,
        companies.employee_count,
        coalesce(country_names.country, companies.country) as country,
        companies.owner_id,
        coalesce(companies.is_partner, false) as is_partner,
        companies.created_at,
        companies.modified_at,
        coalesce(companies.archived, false) as is_deleted,
        companies.archived_at,
        cast(null as {{ text_type() }}) as merged_into_id,
        cast(null as timestamp) as merged_at,
        companies._dlt_load_id
    from companies
    left join merged
        on companies.source_relation = merged.source_relation and companies.company_id = merged.merged_id
    left join country_names on lower(companies.country) = country_names.name
    where merged.merged_id is null
    union all
    select
        source_relation,
        merged_id as company_id,
        null as name,
        null as domain,
        null as industry,
        null as employee_count,
        null as country,
        null as owner_id,
        false as is_partner,
        merged_at as created_at,
        merged_at as modified_at,
        true as is_deleted,
        merged_at as archived_at,
        into_id as merged_into_id,
        merged_at,
        _dlt_load_id
    from merged
),

final as (
    select *, null as _slice from records
)

{{ conform('crm_accounts', 'final', provided={
    'account_id': 'company_id',
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
    'deleted_at': 'archived_at',
    'merged_into_id': 'merged_into_id',
    'merged_at': 'merged_at',
}) }}
