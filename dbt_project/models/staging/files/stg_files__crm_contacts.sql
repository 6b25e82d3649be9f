{{ config(enabled=provides('files', 'crm_contacts')) }}

-- A record that several files hold counts as the last of them says.
with ranked as (
    select
        records.*,
        row_number() over (
            partition by source_relation, contact_id
            order by _slice desc, _line desc
        ) as place
    from {{ source('raw_files', 'crm_contacts') }} as records
),

final as (
    select * from ranked
    where place = 1
)

{{ conform('crm_contacts', 'final', provided=[
    'contact_id',
    'record_type',
    'converted_contact_id',
    'converted_at',
    'email_hash',
    'email_domain',
    'phone_hash',
    'account_id',
    'created_at',
    'updated_at',
    'lifecycle_stage',
    'lead_status',
    'disqualified_reason',
    'owner_id',
    'original_source',
    'self_reported_source',
    'country',
    'job_title',
    'anonymous_ids',
    'user_id',
    'is_deleted',
    'merged_into_id',
    'attributes',
]) }}
