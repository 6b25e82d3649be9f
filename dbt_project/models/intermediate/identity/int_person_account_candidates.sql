{{ config(materialized='view') }}
-- Each person's account: the CRM's association first (the contact changed last decides), else the domain of
-- one of the person's e-mails, unless many unrelated people share that domain.
with identity_map as (
    select * from {{ ref('int_identity_map') }}
),

contacts as (
    select * from {{ ref('int_contacts') }}
),

accounts as (
    select * from {{ ref('int_accounts') }}
),

email_addresses as (
    select * from {{ ref('int_email_addresses') }}
),

free_mail_domains as (
    select * from {{ ref('free_mail_domains') }}
),

crm_matches as (
    select
        identity_map.person_id,
        contacts.account_id,
        row_number() over (
            partition by identity_map.person_id
            order by
                case when contacts.continued_as_contact_id is null then 0 else 1 end,
                coalesce(contacts.updated_at, contacts.created_at) desc,
                contacts.contact_id
        ) as place
    from contacts
    inner join accounts on contacts.account_id = accounts.account_id
    inner join identity_map
        on
            contacts.source_record_id = identity_map.identifier
            and identity_map.identifier_type
            = {{ identifier_type('crm_contact', 'contacts.source_relation') }}
),

account_domains as (
    select
        lower(domain) as domain,
        min(account_id) as account_id
    from accounts
    where domain is not null
    group by lower(domain)
    having count(*) = 1
),

domain_matches as (
    select
        identity_map.person_id,
        min(account_domains.account_id) as account_id
    from identity_map
    inner join email_addresses
        on identity_map.identifier_kind = 'email' and identity_map.identifier = email_addresses.email_hash
    inner join account_domains on email_addresses.email_domain = account_domains.domain
    left join free_mail_domains on email_addresses.email_domain = free_mail_domains.email_domain
    where free_mail_domains.email_domain is null
    group by identity_map.person_id
),

final as (
    select
        coalesce(crm_matches.person_id, domain_matches.person_id) as person_id,
        coalesce(crm_matches.account_id, domain_matches.account_id) as account_id,
        case when crm_matches.account_id is not null then 'crm' else 'email_domain' end
            as account_match_method
    from (select person_id, account_id from crm_matches where place = 1) as crm_matches
    full outer join domain_matches on crm_matches.person_id = domain_matches.person_id
)

select
    person_id,
    account_id,
    account_match_method
from final
