{{ config(enabled=provides('salesforce', 'crm_contacts')) }}

-- Leads and contacts. A converted lead keeps its record: the contact that it became stands beside it. A lead
-- that waits in a queue has no owner.
with leads as (
    select * from {{ source('raw_salesforce', 'leads') }}
),

contacts as (
    select * from {{ source('raw_salesforce', 'contacts') }}
),

-- The lead itself knows the day of its conversion only.
conversions as (
    select
        source_relation,
        lead_id,
        max(changed_at) as converted_at
    from {{ source('raw_salesforce', 'lead_history') }}
    where field = 'leadConverted'
    group by source_relation, lead_id
),

owners as (
    select * from {{ ref('stg_salesforce__crm_owners') }}
),

country_names as (
    select * from {{ ref('country_names') }}
),

records as (
    select
        leads.source_relation,
        leads.lead_id as contact_id,
        'lead' as record_type,
        leads.converted_contact_id,
        case
            when leads.is_converted
                then coalesce(conversions.converted_at, cast(leads.converted_on as timestamp))
        end as converted_at,
        coalesce(leads.account_id, leads.converted_account_id) as account_id,
        leads.status as lead_status,
        leads.email_hash,
        leads.email_domain,
        leads.phone_hash,
        leads.created_at,
        leads.modified_at,
        leads.lifecycle_stage,
        leads.disqualified_reason,
        leads.owner_id,
        leads.lead_source,
        leads.self_reported_source,
        leads.country,
        leads.job_title,
        leads.client_ids,
        leads.user_id,
        leads.is_deleted,
        leads.merged_into_id,
        leads.attributes,
        leads._dlt_load_id
    from leads
    left join conversions
        on leads.source_relation = conversions.source_relation and leads.lead_id = conversions.lead_id
    union all
    select
        source_relation,
        contact_id,
        'contact' as record_type,
        cast(null as {{ text_type() }}) as converted_contact_id,
        cast(null as timestamp) as converted_at,
        account_id,
        cast(null as {{ text_type() }}) as lead_status,
        email_hash,
        email_domain,
        phone_hash,
        created_at,
        modified_at,
        lifecycle_stage,
        disqualified_reason,
        owner_id,
        lead_source,
        self_reported_source,
        country,
        job_title,
        client_ids,
        user_id,
        is_deleted,
        merged_into_id,
        attributes,
        _dlt_load_id
    from contacts
),

final as (
    select
        records.source_relation,
        records.contact_id,
        records.record_type,
        records.converted_contact_id,
        records.converted_at,
        records.email_hash,
        records.email_domain,
        records.phone_hash,
        records.account_id,
        records.created_at,
        records.modified_at,
        records.lifecycle_stage,
        records.lead_status,
        records.disqualified_reason,
        owners.owner_id,
        records.lead_source,
        records.self_reported_source,
        coalesce(country_names.country, records.country) as country,
        records.job_title,
        {{ separated_ids('records.client_ids') }} as anonymous_ids,
        records.user_id,
        coalesce(records.is_deleted, false) as is_deleted,
        records.merged_into_id,
        records.attributes,
        records._dlt_load_id,
        null as _slice
    from records
    left join owners
        on records.source_relation = owners.source_relation and records.owner_id = owners.owner_id
    left join country_names on lower(records.country) = country_names.name
)

{{ conform('crm_contacts', 'final', provided={
    'contact_id': 'contact_id',
    'record_type': 'record_type',
    'converted_contact_id': 'converted_contact_id',
    'converted_at': 'converted_at',
    'email_hash': 'email_hash',
    'email_domain': 'email_domain',
    'phone_hash': 'phone_hash',
    'account_id': 'account_id',
    'created_at': 'created_at',
    'updated_at': 'modified_at',
    'lifecycle_stage': 'lifecycle_stage',
    'lead_status': 'lead_status',
    'disqualified_reason': 'disqualified_reason',
    'owner_id': 'owner_id',
    'original_source': 'lead_source',
    'self_reported_source': 'self_reported_source',
    'country': 'country',
    'job_title': 'job_title',
    'anonymous_ids': 'anonymous_ids',
    'user_id': 'user_id',
    'is_deleted': 'is_deleted',
    'merged_into_id': 'merged_into_id',
    'attributes': 'attributes',
}) }}
