{{ config(materialized='view') }}
-- What records say of a person (CRM, billing, e-mail addresses): the fresh content of int_person_profiles.
with identity_map as (
    select * from {{ ref('int_identity_map') }}
),

email_addresses as (
    select * from {{ ref('int_email_addresses') }}
),

contacts as (
    select * from {{ ref('int_contacts') }}
),

free_mail_domains as (
    select * from {{ ref('free_mail_domains') }}
),

-- A business domain says more about a person than a free mailbox.
domains as (
    select
        identity_map.person_id,
        min_by(
            email_addresses.email_domain,
            case when free_mail_domains.email_domain is null then '0' else '1' end
            || email_addresses.email_domain
        ) as email_domain
    from identity_map
    inner join email_addresses
        on identity_map.identifier_kind = 'email' and identity_map.identifier = email_addresses.email_hash
    left join free_mail_domains on email_addresses.email_domain = free_mail_domains.email_domain
    where email_addresses.email_domain is not null
    group by identity_map.person_id
),

ranked_contacts as (
    select
        identity_map.person_id,
        contacts.contact_id,
        contacts.country,
        contacts.job_title,
        contacts.lifecycle_stage,
        contacts.owner_id,
        contacts.self_reported_source,
        row_number() over (
            partition by identity_map.person_id
            order by
                case when contacts.continued_as_contact_id is null then 0 else 1 end,
                coalesce(contacts.updated_at, contacts.created_at) desc,
                contacts.contact_id
        ) as place
    from contacts
    inner join identity_map
        on
            contacts.source_record_id = identity_map.identifier
            and identity_map.identifier_type
            = {{ identifier_type('crm_contact', 'contacts.source_relation') }}
),

buyers as (
    select identity_map.person_id
    from {{ ref('int_revenue_events_unioned') }} as revenue_events
    inner join identity_map
        on
            revenue_events.customer_id = identity_map.identifier
            and identity_map.identifier_type
            = {{ identifier_type('billing_customer', 'revenue_events.source_relation') }}
    where revenue_events.amount > 0 and not coalesce(revenue_events.is_test, false)
    union
    select identity_map.person_id
    from {{ ref('int_revenue_events_unioned') }} as revenue_events
    inner join identity_map
        on
            revenue_events.customer_email_hash = identity_map.identifier
            and identity_map.identifier_type = 'email'
    where revenue_events.amount > 0 and not coalesce(revenue_events.is_test, false)
),

revenue_countries as (
    select
        identity_map.person_id,
        max_by(
            revenue_events.country, {{ ordered_by(['revenue_events.occurred_at', 'revenue_events.country']) }}
        ) as country
    from {{ ref('int_revenue_events_unioned') }} as revenue_events
    inner join identity_map
        on
            revenue_events.customer_id = identity_map.identifier
            and identity_map.identifier_type
            = {{ identifier_type('billing_customer', 'revenue_events.source_relation') }}
    where revenue_events.country is not null
    group by identity_map.person_id
),

profiled as (
    select person_id from domains
    union
    select person_id from ranked_contacts
    union
    select person_id from buyers
    union
    select person_id from revenue_countries
),

final as (
    select
        profiled.person_id,
        ranked_contacts.contact_id,
        domains.email_domain,
        ranked_contacts.country as contact_country,
        revenue_countries.country as revenue_country,
        ranked_contacts.job_title,
        ranked_contacts.lifecycle_stage,
        ranked_contacts.owner_id,
        ranked_contacts.self_reported_source,
        buyers.person_id is not null as is_customer
    from profiled
    left join domains on profiled.person_id = domains.person_id
    left join ranked_contacts on profiled.person_id = ranked_contacts.person_id and ranked_contacts.place = 1
    left join buyers on profiled.person_id = buyers.person_id
    left join revenue_countries on profiled.person_id = revenue_countries.person_id
)

select
    person_id,
    contact_id,
    email_domain,
    contact_country,
    revenue_country,
    job_title,
    lifecycle_stage,
    owner_id,
    self_reported_source,
    is_customer
from final
