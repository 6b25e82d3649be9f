{{ config(enabled=provides('hubspot', 'crm_opportunity_contacts')) }}

with links as (
    select * from {{ ref('stg_hubspot__links') }}
    where from_type = 'deals' and to_type = 'contacts'
),

deals as (
    select * from {{ source('raw_hubspot', 'deals') }}
),

merged as (
    select * from {{ ref('stg_hubspot__merges') }}
    where object_type = 'deals'
),

final as (
    select
        links.source_relation,
        links.from_id,
        links.to_id,
        links.label,
        links.is_primary,
        deals._dlt_load_id,
        null as _slice
    from links
    inner join deals on links.source_relation = deals.source_relation and links.from_id = deals.deal_id
    left join merged on links.source_relation = merged.source_relation and links.from_id = merged.merged_id
    where merged.merged_id is null
)

{{ conform('crm_opportunity_contacts', 'final', provided={
    'opportunity_id': 'from_id',
    'contact_id': 'to_id',
    'role': 'label',
    'is_primary': 'is_primary',
}) }}
