with contacts as (
    select * from {{ ref('int_crm_contacts_unioned') }}
),

removals as (
    select * from {{ ref('int_crm_removals') }}
),

-- A lead that was converted lives on as a contact: the one that stands today. Where several became the same
-- one, the first is its past.
heirs as (
    select
        leads.source_relation,
        leads.contact_id,
        leads.created_at,
        case
            when removals.removed_id is not null then removals.into_id
            else {{ surrogate_key(['leads.source_relation', 'leads.converted_contact_id']) }}
        end as heir_id
    from contacts as leads
    inner join contacts as converted
        on
            leads.source_relation = converted.source_relation
            and leads.converted_contact_id = converted.contact_id
    left join removals
        on
            leads.source_relation = removals.source_relation
            and leads.converted_contact_id = removals.source_record_id
            and removals.object_type = 'contact'
    where leads.converted_contact_id <> leads.contact_id
),

pasts as (
    select
        source_relation,
        contact_id,
        heir_id,
        row_number() over (partition by heir_id order by created_at, contact_id) as place
    from heirs
    where heir_id is not null
),

final as (
    select
        {{ surrogate_key(['contacts.source_relation', 'contacts.contact_id']) }} as contact_id,
        coalesce(contacts.record_type, 'contact') as record_type,
        case
            when contacts.converted_contact_id is not null
                then {{ surrogate_key(['contacts.source_relation', 'contacts.converted_contact_id']) }}
        end as converted_contact_id,
        contacts.converted_at,
        pasts.heir_id as continued_as_contact_id,
        contacts.email_hash,
        contacts.email_domain,
        contacts.phone_hash,
        case
            when account_removals.removed_id is not null then account_removals.into_id
            when contacts.account_id is not null
                then {{ surrogate_key(['contacts.source_relation', 'contacts.account_id']) }}
        end as account_id,
        contacts.created_at,
        contacts.updated_at,
        contacts.lifecycle_stage,
        contacts.lead_status,
        contacts.disqualified_reason,
        case
            when contacts.owner_id is not null
                then {{ surrogate_key(['contacts.source_relation', 'contacts.owner_id']) }}
        end as owner_id,
        contacts.owner_id as owner_source_id,
        contacts.original_source,
        contacts.self_reported_source,
        contacts.country,
        contacts.job_title,
        contacts.anonymous_ids,
        contacts.user_id,
        contacts.attributes,
        contacts.source_relation,
        contacts.contact_id as source_record_id
    from contacts
    left join pasts
        on
            contacts.source_relation = pasts.source_relation
            and contacts.contact_id = pasts.contact_id
            and pasts.place = 1
    left join removals
        on
            contacts.source_relation = removals.source_relation
            and contacts.contact_id = removals.source_record_id
            and removals.object_type = 'contact'
    left join removals as account_removals
        on
            contacts.source_relation = account_removals.source_relation
            and contacts.account_id = account_removals.source_record_id
            and account_removals.object_type = 'account'
    where removals.removed_id is null
)

select
    contact_id,
    record_type,
    converted_contact_id,
    converted_at,
    continued_as_contact_id,
    email_hash,
    email_domain,
    phone_hash,
    account_id,
    created_at,
    updated_at,
    lifecycle_stage,
    lead_status,
    disqualified_reason,
    owner_id,
    owner_source_id,
    original_source,
    self_reported_source,
    country,
    job_title,
    anonymous_ids,
    user_id,
    attributes,
    source_relation,
    source_record_id
from final
