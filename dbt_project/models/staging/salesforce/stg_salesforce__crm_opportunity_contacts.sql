{{ config(enabled=provides('salesforce', 'crm_opportunity_contacts')) }}

-- A contact may have several roles in one opportunity: the first one counts, primary if any of them is.
with roles as (
    select * from {{ source('raw_salesforce', 'opportunity_contact_roles') }}
    where not coalesce(is_deleted, false) and contact_id is not null
),

final as (
    select
        source_relation,
        opportunity_id,
        contact_id,
        min_by(lower(role), {{ ordered_by(['created_at', 'role_id']) }}) as role,
        bool_or(coalesce(is_primary, false)) as is_primary,
        min(created_at) as created_at,
        max(_dlt_load_id) as _dlt_load_id,
        null as _slice
    from roles
    group by source_relation, opportunity_id, contact_id
)

{{ conform('crm_opportunity_contacts', 'final', provided={
    'opportunity_id': 'opportunity_id',
    'contact_id': 'contact_id',
    'role': 'role',
    'is_primary': 'is_primary',
    'added_at': 'created_at',
}) }}
