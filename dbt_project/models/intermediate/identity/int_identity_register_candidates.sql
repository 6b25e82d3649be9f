-- The fresh content of int_identity_register: the records of all systems but web and e-mail tools that carry
-- identifiers, once per set of identifiers.
with contacts as (
    select * from {{ ref('int_crm_contacts_unioned') }}
),

revenue_events as (
    select * from {{ ref('int_revenue_events_unioned') }}
),

subscriptions as (
    select * from {{ ref('int_subscriptions_unioned') }}
),

offline_touches as (
    select * from {{ ref('int_offline_touches_unioned') }}
),

survey_responses as (
    select * from {{ ref('int_survey_responses_unioned') }}
),

activities as (
    select * from {{ ref('int_crm_activities_unioned') }}
),

contact_cookies as (
    select
        source_relation,
        contact_id,
        created_at,
        {{ explode_list(json_list('anonymous_ids')) }} as anonymous_id
    from contacts
    where anonymous_ids is not null
),

-- Cookies and contacts that another system names: the relation that holds them, if exactly one does.
cookie_homes as (
    select
        anonymous_id,
        min(source_relation) as home
    from {{ ref('int_visitor_identifiers') }}
    where
        anonymous_id in (select revenue_events.anonymous_id from revenue_events)
        or anonymous_id in (select contact_cookies.anonymous_id from contact_cookies)
    group by anonymous_id
    having count(distinct source_relation) = 1
),

contact_homes as (
    select
        contact_id,
        min(source_relation) as home
    from contacts
    group by contact_id
    having count(distinct source_relation) = 1
),

-- A purchase that the web saw and the order that billing booked under the same number are one person's.
web_orders as (
    select
        source_relation,
        anonymous_id,
        lower(trim(order_id)) as order_key,
        min(occurred_at) as occurred_at
    from {{ ref('int_web_events_unioned') }}
    where
        event_name = 'purchase'
        and lower(trim(order_id)) in (select lower(trim(revenue_events.order_id)) from revenue_events)
    group by source_relation, anonymous_id, lower(trim(order_id))
),

final as (
    select
        {{ record_of({
            'source_relation': 'source_relation',
            'first_seen_at': 'created_at',
            'last_seen_at': 'coalesce(updated_at, created_at)',
            'user_id': 'user_id',
            'email_hash': 'email_hash',
            'contact_home': 'source_relation',
            'contact_id': 'contact_id',
            'other_contact_id': 'merged_into_id',
        }) }}
    from contacts

    union all

    select
        {{ record_of({
            'source_relation': 'source_relation',
            'first_seen_at': 'created_at',
            'last_seen_at': 'coalesce(converted_at, created_at)',
            'contact_home': 'source_relation',
            'contact_id': 'contact_id',
            'other_contact_id': 'converted_contact_id',
        }) }}
    from contacts
    where converted_contact_id is not null

    union all

    select
        {{ record_of({
            'source_relation': 'contact_cookies.source_relation',
            'first_seen_at': 'contact_cookies.created_at',
            'last_seen_at': 'contact_cookies.created_at',
            'cookie_home': 'coalesce(cookie_homes.home, contact_cookies.source_relation)',
            'anonymous_id': 'contact_cookies.anonymous_id',
            'contact_home': 'contact_cookies.source_relation',
            'contact_id': 'contact_cookies.contact_id',
        }) }}
    from contact_cookies
    left join cookie_homes on contact_cookies.anonymous_id = cookie_homes.anonymous_id
    where contact_cookies.anonymous_id is not null

    union all

    select
        {{ record_of({
            'source_relation': 'revenue_events.source_relation',
            'first_seen_at': 'min(revenue_events.occurred_at)',
            'last_seen_at': 'max(revenue_events.occurred_at)',
            'cookie_home': 'coalesce(cookie_homes.home, revenue_events.source_relation)',
            'anonymous_id': 'revenue_events.anonymous_id',
            'user_id': 'revenue_events.user_id',
            'email_hash': 'revenue_events.customer_email_hash',
            'customer_id': 'revenue_events.customer_id',
        }) }}
    from revenue_events
    left join cookie_homes on revenue_events.anonymous_id = cookie_homes.anonymous_id
    group by
        revenue_events.source_relation,
        coalesce(cookie_homes.home, revenue_events.source_relation),
        revenue_events.anonymous_id,
        revenue_events.user_id,
        revenue_events.customer_email_hash,
        revenue_events.customer_id

    union all

    select
        {{ record_of({
            'source_relation': 'revenue_events.source_relation',
            'first_seen_at': 'min(web_orders.occurred_at)',
            'last_seen_at': 'max(web_orders.occurred_at)',
            'cookie_home': 'web_orders.source_relation',
            'anonymous_id': 'web_orders.anonymous_id',
            'user_id': 'revenue_events.user_id',
            'email_hash': 'revenue_events.customer_email_hash',
            'customer_id': 'revenue_events.customer_id',
        }) }}
    from revenue_events
    inner join web_orders on lower(trim(revenue_events.order_id)) = web_orders.order_key
    where revenue_events.event_type = 'order'
    group by
        revenue_events.source_relation,
        web_orders.source_relation,
        web_orders.anonymous_id,
        revenue_events.user_id,
        revenue_events.customer_email_hash,
        revenue_events.customer_id

    union all

    select
        {{ record_of({
            'source_relation': 'source_relation',
            'first_seen_at': 'min(valid_from)',
            'last_seen_at': 'max(valid_from)',
            'user_id': 'user_id',
            'email_hash': 'customer_email_hash',
            'customer_id': 'customer_id',
        }) }}
    from subscriptions
    group by
        source_relation,
        user_id,
        customer_email_hash,
        customer_id

    union all

    select
        {{ record_of({
            'source_relation': 'offline_touches.source_relation',
            'first_seen_at': 'min(offline_touches.occurred_at)',
            'last_seen_at': 'max(offline_touches.occurred_at)',
            'email_hash': 'offline_touches.email_hash',
            'contact_home': 'coalesce(contact_homes.home, offline_touches.source_relation)',
            'contact_id': 'offline_touches.contact_id',
        }) }}
    from offline_touches
    left join contact_homes on offline_touches.contact_id = contact_homes.contact_id
    group by
        offline_touches.source_relation,
        offline_touches.email_hash,
        coalesce(contact_homes.home, offline_touches.source_relation),
        offline_touches.contact_id

    union all

    select
        {{ record_of({
            'source_relation': 'survey_responses.source_relation',
            'first_seen_at': 'min(survey_responses.occurred_at)',
            'last_seen_at': 'max(survey_responses.occurred_at)',
            'email_hash': 'survey_responses.email_hash',
            'contact_home': 'coalesce(contact_homes.home, survey_responses.source_relation)',
            'contact_id': 'survey_responses.contact_id',
        }) }}
    from survey_responses
    left join contact_homes on survey_responses.contact_id = contact_homes.contact_id
    group by
        survey_responses.source_relation,
        survey_responses.email_hash,
        coalesce(contact_homes.home, survey_responses.source_relation),
        survey_responses.contact_id

    union all

    select
        {{ record_of({
            'source_relation': 'source_relation',
            'first_seen_at': 'min(occurred_at)',
            'last_seen_at': 'max(occurred_at)',
            'contact_home': 'source_relation',
            'contact_id': 'contact_id',
        }) }}
    from activities
    where contact_id is not null
    group by
        source_relation,
        contact_id
)

select {{ record_columns() | join(', ') }}
from final
