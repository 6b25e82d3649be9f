{{ config(enabled=provides('hubspot', 'crm_contacts')) }}

-- A merged contact is the same stub whether it was loaded before the merge or never seen: its id, the
-- moment of the merge and the survivor.
with contacts as (
    select * from {{ source('raw_hubspot', 'contacts') }}
),

merged as (
    select * from {{ ref('stg_hubspot__merges') }}
    where object_type = 'contacts'
),

choices as (
    select * from {{ ref('stg_hubspot__link_choices') }}
    where from_type = 'contacts'
),

country_names as (
    select * from {{ ref('country_names') }}
),

records as (
    select
        contacts.source_relation,
        contacts.contact_id,
        contacts.email_hash,
        contacts.email_domain,
        contacts.phone_hash,
        choices.company_id,
        contacts.created_at,
        contacts.modified_at,
        contacts.lifecycle_stage,
        contacts.lead_status,
        contacts.disqualified_reason,
        contacts.owner_id,
        contacts.original_source,
        contacts.self_reported_source,
        coalesce(country_names.country, contacts.country) as country,
        contacts.job_title,
        {{ separated_ids('contacts.client_ids') }} as anonymous_ids,
        contacts.user_id,
        coalesce(contacts.archived, false) as is_deleted,
        cast(null as {{ text_type() }}) as merged_into_id,
        contacts.properties,
        contacts._dlt_load_id
    from contacts
    left join merged
        on contacts.source_relation = merged.source_relation and contacts.contact_id = merged.merged_id
    left join choices
        on contacts.source_relation = choices.source_relation and contacts.contact_id = choices.from_id
    left join country_names on lower(contacts.country) = country_names.name
    where merged.merged_id is null
    union all
    select
        source_relation,
        merged_id as contact_id,
        {% for name in ['email_hash', 'email_domain', 'phone_hash', 'company_id'] -%}
        null as {{ name }},
        {% endfor -%}
        merged_at as created_at,
        merged_at as modified_at,
        {% for name in [
            'lifecycle_stage', 'lead_status', 'disqualified_reason', 'owner_id', 'original_source',
            'self_reported_source', 'country', 'job_title', 'anonymous_ids', 'user_id',
        ] -%}
        null as {{ name }},
        {% endfor -%}
        true as is_deleted,
        into_id as merged_into_id,
        null as properties,
        _dlt_load_id
    from merged
),

final as (
    select *, null as _slice from records
)

{{ conform('crm_contacts', 'final', provided={
    'contact_id': 'contact_id',
    'record_type': "'contact'",
    'email_hash': 'email_hash',
    'email_domain': 'email_domain',
    'phone_hash': 'phone_hash',
    'account_id': 'company_id',
    'created_at': 'created_at',
    'updated_at': 'modified_at',
    'lifecycle_stage': 'lifecycle_stage',
    'lead_status': 'lead_status',
    'disqualified_reason': 'disqualified_reason',
    'owner_id': 'owner_id',
    'original_source': 'original_source',
    'self_reported_source': 'self_reported_source',
    'country': 'country',
    'job_title': 'job_title',
    'anonymous_ids': 'anonymous_ids',
    'user_id': 'user_id',
    'is_deleted': 'is_deleted',
    'merged_into_id': 'merged_into_id',
    'attributes': 'properties',
}) }}
