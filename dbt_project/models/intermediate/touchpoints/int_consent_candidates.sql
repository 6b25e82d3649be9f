{{ config(materialized='view') }}
-- What each person said when, by purpose, from consent records that name an identifier.
with consent_events as (
    select * from {{ ref('int_consent_events_unioned') }}
),

identity_lookup as (
    select * from {{ ref('int_identity_lookup') }}
),

named as (
    select
        source_relation,
        consent_event_id,
        occurred_at,
        lower(purpose) as purpose,
        lower(state) as consent_state,
        identifier,
        case lower(identifier_type)
            when 'email' then 'email'
            when 'email_hash' then 'email'
            when 'cookie' then 'cookie'
            when 'anonymous_id' then 'cookie'
            when 'client_id' then 'cookie'
            when 'user_id' then 'user_id'
            when 'contact_id' then 'crm_contact'
            when 'crm_contact' then 'crm_contact'
            when 'subscriber_id' then 'email_subscriber'
            when 'customer_id' then 'billing_customer'
        end as identifier_kind
    from consent_events
),

ranked as (
    select
        identity_lookup.person_id,
        named.purpose,
        named.occurred_at,
        named.consent_state,
        -- Two answers of one moment: the stricter counts.
        row_number() over (
            partition by identity_lookup.person_id, named.purpose, named.occurred_at
            order by
                case named.consent_state when 'withdrawn' then 1 when 'denied' then 2 else 3 end,
                named.consent_event_id
        ) as place
    from named
    inner join identity_lookup
        on named.identifier_kind = identity_lookup.identifier_kind
            and named.identifier = identity_lookup.identifier
),

final as (
    select
        person_id,
        purpose,
        occurred_at as valid_from,
        coalesce(
            lead(occurred_at) over (partition by person_id, purpose order by occurred_at),
            cast('9999-12-31 00:00:00' as timestamp)
        ) as valid_to,
        consent_state
    from ranked
    where place = 1
)

select
    person_id,
    purpose,
    valid_from,
    valid_to,
    consent_state
from final
