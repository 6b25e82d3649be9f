with identity_map as (
    select * from {{ ref('int_identity_map') }}
),

edges as (
    select * from {{ ref('int_identity_edges') }}
    where identifier_type_a = identifier_type_b and identifier_a = identifier_b
),

touchpoints as (
    select * from {{ ref('int_touchpoints') }}
),

person_accounts as (
    select * from {{ ref('int_person_accounts') }}
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

seen as (
    select
        identity_map.person_id,
        min(identity_map.first_seen_at) as first_seen_at,
        max(edges.last_seen_at) as last_seen_at,
        cast(count(*) as bigint) as identifiers,
        cast(
            count(
                distinct case when identity_map.identifier_kind = 'cookie' then identity_map.identifier end
            ) as bigint
        ) as cookies,
        min(case when identity_map.identifier_kind = 'user_id' then identity_map.identifier end) as user_id,
        bool_or(
            identity_map.identifier_kind in (
                'user_id', 'email', 'crm_contact', 'billing_customer', 'email_subscriber'
            )
        )
            as is_known,
        bool_or(identity_map.is_shared) as is_shared_device
    from identity_map
    inner join edges
        on
            identity_map.identifier_type = edges.identifier_type_a
            and identity_map.identifier = edges.identifier_a
    group by identity_map.person_id
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

-- Bots and the company's own people have touches, but none that says where a customer came from.
touch_facts as (
    select
        person_id,
        cast(count(*) as bigint) as touches,
        min_by(channel, touch_number) filter (where own_reason is null) as first_touch_channel,
        min_by(campaign_id, touch_number) filter (where own_reason is null and campaign_id is not null)
            as first_touch_campaign_id,
        max_by(country, touch_number) filter (where country <> '(not set)') as country,
        bool_or(own_reason = 'bot') as is_bot,
        bool_or(own_reason = 'internal traffic') as is_internal,
        min(occurred_at) as first_touch_at
    from touchpoints
    group by person_id
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

persons as (
    select
        coalesce(seen.person_id, touch_facts.person_id) as person_id,
        coalesce(seen.first_seen_at, touch_facts.first_touch_at) as first_seen_at,
        coalesce(seen.last_seen_at, touch_facts.first_touch_at) as last_seen_at,
        seen.identifiers,
        seen.cookies,
        seen.user_id,
        seen.is_known,
        seen.is_shared_device,
        touch_facts.touches,
        touch_facts.first_touch_channel,
        touch_facts.first_touch_campaign_id,
        touch_facts.country,
        touch_facts.is_bot,
        touch_facts.is_internal
    from seen
    full outer join touch_facts on seen.person_id = touch_facts.person_id
),

final as (
    select
        persons.person_id,
        person_accounts.account_id,
        person_accounts.account_match_method,
        ranked_contacts.contact_id,
        persons.user_id,
        domains.email_domain,
        coalesce(ranked_contacts.country, persons.country, revenue_countries.country, '(not set)') as country,
        ranked_contacts.job_title,
        ranked_contacts.lifecycle_stage,
        ranked_contacts.owner_id,
        ranked_contacts.self_reported_source,
        persons.first_seen_at,
        persons.last_seen_at,
        {{ reporting_date('persons.first_seen_at') }} as first_seen_on,
        coalesce(persons.first_touch_channel, '(not set)') as first_touch_channel,
        persons.first_touch_campaign_id,
        coalesce(persons.touches, 0) as touches,
        coalesce(persons.identifiers, 0) as identifiers,
        coalesce(persons.cookies, 0) as cookies,
        coalesce(persons.is_known, false) as is_known,
        buyers.person_id is not null as is_customer,
        coalesce(persons.is_shared_device, false) as is_shared_device,
        coalesce(persons.is_bot, false) as is_bot,
        coalesce(persons.is_internal, false) as is_internal
    from persons
    left join person_accounts on persons.person_id = person_accounts.person_id
    left join domains on persons.person_id = domains.person_id
    left join ranked_contacts on persons.person_id = ranked_contacts.person_id and ranked_contacts.place = 1
    left join buyers on persons.person_id = buyers.person_id
    left join revenue_countries on persons.person_id = revenue_countries.person_id
)

select
    person_id,
    account_id,
    account_match_method,
    contact_id,
    user_id,
    email_domain,
    country,
    job_title,
    lifecycle_stage,
    owner_id,
    self_reported_source,
    first_seen_at,
    last_seen_at,
    first_seen_on,
    first_touch_channel,
    first_touch_campaign_id,
    touches,
    identifiers,
    cookies,
    is_known,
    is_customer,
    is_shared_device,
    is_bot,
    is_internal
from final
