{{ config(enabled=provides('posthog', 'web_events'), meta={'slices_of': 'events'}) }}

{% set bots = "'bot|crawl|spider|slurp|headless|lighthouse|phantomjs|pingdom|monitor|scrap'" %}
{% set browser_side = ['web', 'posthog-ios', 'posthog-android', 'posthog-flutter', 'posthog-react-native'] %}
{% set address = "'^v1:[0-9a-f]{64}$'" %}
{% set tags = [
    'utm_source', 'utm_medium', 'utm_campaign', 'utm_content', 'utm_term', 'gclid', 'gbraid', 'wbraid', 'fbclid',
    'msclkid', 'ttclid', 'li_fat_id',
] %}
{% set agent = "lower(coalesce(known.raw_user_agent, '') || ' ' || coalesce(known.browser, ''))" %}
-- A visitor is the device (of the browser's library), else the anonymous id that an identification names,
-- else the distinct id itself. The user is whom the tool has identified; a server sends in a user's name,
-- unless it says that there is no profile. Events of visitors who refused cookies belong to nobody: they are
-- left out, and the control totals count them.
with ranked as (
    select
        events.*,
        row_number() over (
            partition by source_relation, event_uuid
            order by coalesce(ingested_at, occurred_at) desc, _slice desc
        ) as place
    from {{ source('raw_posthog', 'events') }} as events
    where not coalesce(cookieless_mode, false)
),

country_names as (
    select * from {{ ref('country_names') }}
),

known as (
    select
        *,
        event in ('$identify', '$create_alias', '$merge_dangerously') as is_identification,
        device_id is null
        and coalesce(lib, '') not in ({{ quoted_list(browser_side) }})
        and coalesce(process_person_profile, true) as is_in_a_users_name
    from ranked
    where place = 1
),

final as (
    select
        known.*,
        coalesce(
            known.device_id,
            case when known.event = '$create_alias' then known.alias end,
            case when known.is_identification then known.anon_distinct_id end,
            known.distinct_id
        ) as anonymous_id,
        case
            when known.user_id is not null then known.user_id
            when known.is_identification or known.is_identified then known.distinct_id
            when known.is_identified is null and known.is_in_a_users_name then known.distinct_id
        end as own_user_id,
        case known.event
            when '$pageview' then 'page_view'
            when '$screen' then 'screen_view'
            when '$pageleave' then 'page_leave'
            else regexp_replace(known.event, '^[$]', '')
        end as event_name,
        nullif(known.referrer, '$direct') as referrer_url,
        {% for name in tags -%}
        coalesce(known.{{ name }}, {{ decoded_url_parameter('known.current_url', name) }}) as own_{{ name }},
        {% endfor -%}
        coalesce(country_names.country, known.country_code) as country,
        coalesce({{ regex_matches(agent, bots) }}, false) as is_bot,
        {{ json_text('known._extra', 'properties') }} as properties
    from known
    left join country_names on lower(known.country_code) = country_names.name
)

{{ conform('web_events', 'final', provided={
    'event_id': 'event_uuid',
    'occurred_at': 'occurred_at',
    'anonymous_id': 'anonymous_id',
    'user_id': 'own_user_id',
    'email_hash': "coalesce(set_email_hash, set_once_email_hash, event_email_hash,
        case when " ~ regex_matches('own_user_id', address) ~ " then own_user_id end)",
    'email_domain': 'coalesce(email_domain, set_once_email_domain, event_email_domain)',
    'session_id': 'session_id',
    'event_name': 'event_name',
    'page_url': 'coalesce(current_url, screen_name)',
    'referrer_url': 'referrer_url',
    'utm_source': 'own_utm_source',
    'utm_medium': 'own_utm_medium',
    'utm_campaign': 'own_utm_campaign',
    'utm_content': 'own_utm_content',
    'utm_term': 'own_utm_term',
    'gclid': 'own_gclid',
    'gbraid': 'own_gbraid',
    'wbraid': 'own_wbraid',
    'fbclid': 'own_fbclid',
    'msclkid': 'own_msclkid',
    'ttclid': 'own_ttclid',
    'li_fat_id': 'own_li_fat_id',
    'device_category': 'lower(device_type)',
    'country': 'country',
    'is_bot': 'is_bot',
    'is_internal': 'coalesce(is_internal, false)',
    'consent_analytics': 'lower(consent_analytics)',
    'consent_ads': 'lower(consent_ads)',
    'order_id': 'order_id',
    'product_id': 'product_id',
    'value': 'value',
    'currency': 'upper(currency)',
    'referral_code': 'referral_code',
    'properties': 'properties',
}) }}
