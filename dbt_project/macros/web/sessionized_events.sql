{#
What belongs here: how the events of visitors are cut into sessions and given their persons.
#}

{#
Common table expressions and the select over them: each row of `web_events` (a relation, or the name of an expression
before) with its session, its number therein and its person. `web_events` is read wide and narrow, each time by its name:
a common table expression with two readers is written out whole, so give it a large table itself.
#}
{% macro sessionized_events(web_events) -%}
identity_map as (
    select * from {{ ref('int_identity_map') }}
),

tagged as (
    select
        source_relation,
        event_id,
        occurred_at,
        anonymous_id,
        user_id,
        email_hash,
        session_id,
        event_name,
        page_url,
        referrer_url,
        {{ campaign_tags() }},
        device_category,
        country,
        coalesce(is_bot, false) as is_bot,
        coalesce(is_internal, false) as is_internal,
        lower(consent_analytics) as consent_analytics,
        lower(consent_ads) as consent_ads,
        order_id,
        product_id,
        value,
        currency,
        referral_code,
        properties
    from {{ web_events }}
),

without_session as (
    select
        source_relation,
        anonymous_id,
        event_id,
        occurred_at,
        user_id,
        email_hash,
        {{ campaign_tags() }}
    from {{ web_events }}
    where session_id is null
),

-- Windows run over narrow rows, and the cutting only over events that no tool gave a session id: sorting
-- whole events took several times as long.
cut_events as (
    select
        source_relation,
        anonymous_id,
        event_id,
        occurred_at,
        user_id,
        email_hash,
        case
            when coalesce(utm_source, utm_medium, utm_campaign, click_id) is not null
                then
                    coalesce(lower(utm_source), '') || chr(31) || coalesce(lower(utm_medium), '') || chr(31)
                    || coalesce(lower(utm_campaign), '') || chr(31) || coalesce(click_id, '')
        end as campaign_signature
    from without_session
),

signature_groups as (
    select
        *,
        lag(occurred_at) over (
            partition by source_relation, anonymous_id
            order by occurred_at, event_id
        ) as previous_at,
        count(campaign_signature) over (
            partition by source_relation, anonymous_id
            order by occurred_at, event_id
            rows between unbounded preceding and current row
        ) as signature_number
    from cut_events
),

signatures as (
    select
        *,
        max(campaign_signature) over (
            partition by source_relation, anonymous_id, signature_number
        ) as latest_signature
    from signature_groups
),

starts as (
    select
        *,
        case
            when previous_at is null then 1
            when {{ seconds_between('previous_at', 'occurred_at') }} > 60 * {{ var('session_gap_minutes') }}
                then 1
            when
                campaign_signature is not null
                and campaign_signature <> coalesce(
                    lag(latest_signature) over (
                        partition by source_relation, anonymous_id
                        order by occurred_at, event_id
                    ), ''
                )
                then 1
            else 0
        end as is_start
    from signatures
),

numbered as (
    select
        *,
        sum(is_start) over (
            partition by source_relation, anonymous_id
            order by occurred_at, event_id
            rows between unbounded preceding and current row
        ) as cut_number
    from starts
),

keyed as (
    select
        source_relation,
        anonymous_id,
        event_id,
        occurred_at,
        user_id,
        email_hash,
        'tool' || chr(31) || session_id as session_key
    from {{ web_events }}
    where session_id is not null
    union all
    select
        source_relation,
        anonymous_id,
        event_id,
        occurred_at,
        user_id,
        email_hash,
        'cut' || chr(31) || first_value(event_id) over (
            partition by source_relation, anonymous_id, cut_number
            order by occurred_at, event_id
        ) as session_key
    from numbered
),

identified as (
    select
        source_relation,
        anonymous_id,
        event_id,
        occurred_at,
        user_id,
        email_hash,
        {{ surrogate_key(['source_relation', 'anonymous_id', 'session_key']) }} as own_session_id
    from keyed
),

placed as (
    select
        source_relation,
        event_id,
        own_session_id,
        row_number() over (
            partition by own_session_id
            order by occurred_at, event_id
        ) as event_number
    from identified
),

shared_cookies as (
    select
        source_relation,
        identifier
    from identity_map
    where identifier_kind = 'cookie' and is_shared
),

-- Who was logged in at any time of a session on a shared device.
session_owners as (
    select
        identified.own_session_id,
        min(identified.user_id) as session_user_id,
        min(identified.email_hash) as session_email_hash
    from identified
    inner join shared_cookies
        on
            identified.source_relation = shared_cookies.source_relation
            and identified.anonymous_id = shared_cookies.identifier
    group by identified.own_session_id
),

final as (
    select
        tagged.*,
        placed.own_session_id,
        placed.event_number,
        -- A shared cookie joins nobody: its events belong to whoever is logged in.
        case
            when cookies.is_shared
                then coalesce(users.person_id, session_users.person_id, emails.person_id, cookies.person_id)
            else cookies.person_id
        end as person_id
    from tagged
    inner join placed
        on tagged.source_relation = placed.source_relation and tagged.event_id = placed.event_id
    inner join identity_map as cookies
        on
            cookies.identifier_kind = 'cookie'
            and tagged.anonymous_id = cookies.identifier
            and tagged.source_relation = cookies.source_relation
    left join session_owners on placed.own_session_id = session_owners.own_session_id
    left join identity_map as users
        on
            cookies.is_shared
            and users.identifier_kind = 'user_id'
            and tagged.user_id = users.identifier
    left join identity_map as session_users
        on
            session_users.identifier_kind = 'user_id'
            and session_owners.session_user_id = session_users.identifier
    left join identity_map as emails
        on
            emails.identifier_kind = 'email'
            and session_owners.session_email_hash = emails.identifier
)

select
    source_relation,
    event_id,
    occurred_at,
    anonymous_id,
    user_id,
    email_hash,
    person_id,
    own_session_id as session_id,
    event_number,
    event_name,
    page_url,
    referrer_url,
    utm_source,
    utm_medium,
    utm_campaign,
    utm_content,
    utm_term,
    click_id,
    click_id_type,
    device_category,
    country,
    is_bot,
    is_internal,
    consent_analytics,
    consent_ads,
    order_id,
    product_id,
    value,
    currency,
    referral_code,
    properties
from final
{%- endmacro %}
