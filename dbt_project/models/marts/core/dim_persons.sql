{{ config(
    materialized='incremental',
    incremental_strategy='rewrite',
    on_schema_change='append_new_columns',
    meta={'rewrite': [{'changes': 'int_changed_profiles', 'keys': ['person_id']}]},
) }}
-- depends_on: {{ ref('int_changed_profiles') }}

with identity_map as (
    select * from {{ ref('int_identity_map') }}
    {% if is_rewrite() %}
    where person_id in (select changed.person_id from {{ ref('int_changed_profiles') }} as changed)
    {% endif %}
),

edges as (
    select * from {{ ref('int_identity_edges') }}
    where identifier_type_a = identifier_type_b and identifier_a = identifier_b
),

touchpoints as (
    select * from {{ ref('int_touchpoints') }}
    {% if is_rewrite() %}
    where person_id in (select changed.person_id from {{ ref('int_changed_profiles') }} as changed)
    {% endif %}
),

person_accounts as (
    select * from {{ ref('int_person_accounts') }}
),

profiles as (
    select * from {{ ref('int_person_profiles') }}
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
        profiles.contact_id,
        persons.user_id,
        profiles.email_domain,
        coalesce(profiles.contact_country, persons.country, profiles.revenue_country, '(not set)') as country,
        profiles.job_title,
        profiles.lifecycle_stage,
        profiles.owner_id,
        profiles.self_reported_source,
        persons.first_seen_at,
        persons.last_seen_at,
        {{ reporting_date('persons.first_seen_at') }} as first_seen_on,
        coalesce(persons.first_touch_channel, '(not set)') as first_touch_channel,
        persons.first_touch_campaign_id,
        coalesce(persons.touches, 0) as touches,
        coalesce(persons.identifiers, 0) as identifiers,
        coalesce(persons.cookies, 0) as cookies,
        coalesce(persons.is_known, false) as is_known,
        coalesce(profiles.is_customer, false) as is_customer,
        coalesce(persons.is_shared_device, false) as is_shared_device,
        coalesce(persons.is_bot, false) as is_bot,
        coalesce(persons.is_internal, false) as is_internal
    from persons
    left join person_accounts on persons.person_id = person_accounts.person_id
    left join profiles on persons.person_id = profiles.person_id
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
