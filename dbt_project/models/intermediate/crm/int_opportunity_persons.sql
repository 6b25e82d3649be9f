with links as (
    select * from {{ ref('int_crm_opportunity_contacts_unioned') }}
),

removals as (
    select * from {{ ref('int_crm_removals') }}
),

contacts as (
    select * from {{ ref('int_contacts') }}
),

identity_map as (
    select
        identifier_type,
        identifier,
        person_id
    from {{ ref('int_identity_map') }}
),

-- A link of a merged record belongs to the survivor; a link of a deleted record is gone.
resolved as (
    select
        links.source_relation,
        case
            when deals.removed_id is not null then deals.into_id
            else {{ surrogate_key(['links.source_relation', 'links.opportunity_id']) }}
        end as opportunity_id,
        case
            when people.removed_id is not null then people.into_source_record_id
            else links.contact_id
        end as contact_source_record_id,
        links.role,
        coalesce(links.is_primary, false) as is_primary,
        links.added_at
    from links
    left join removals as deals
        on
            links.source_relation = deals.source_relation
            and links.opportunity_id = deals.source_record_id
            and deals.object_type = 'opportunity'
    left join removals as people
        on
            links.source_relation = people.source_relation
            and links.contact_id = people.source_record_id
            and people.object_type = 'contact'
),

ranked as (
    select
        resolved.opportunity_id,
        contacts.contact_id,
        coalesce(identity_map.person_id, contacts.contact_id) as person_id,
        contacts.account_id as contact_account_id,
        resolved.role,
        resolved.is_primary,
        resolved.added_at,
        row_number() over (
            partition by resolved.opportunity_id, contacts.contact_id
            order by resolved.is_primary desc, resolved.added_at asc nulls last, resolved.role asc nulls last
        ) as duplicate_number,
        row_number() over (
            partition by resolved.opportunity_id
            order by
                resolved.is_primary desc, resolved.added_at asc nulls last,
                contacts.created_at asc, contacts.contact_id asc, resolved.role asc nulls last
        ) as contact_rank
    from resolved
    inner join contacts
        on
            resolved.source_relation = contacts.source_relation
            and resolved.contact_source_record_id = contacts.source_record_id
    left join identity_map
        on
            identity_map.identifier_type = {{ identifier_type('crm_contact', 'contacts.source_relation') }}
            and contacts.source_record_id = identity_map.identifier
    where resolved.opportunity_id is not null
)

select
    opportunity_id,
    contact_id,
    person_id,
    contact_account_id,
    role,
    is_primary,
    contact_rank = 1 as is_main,
    added_at
from ranked
where duplicate_number = 1
