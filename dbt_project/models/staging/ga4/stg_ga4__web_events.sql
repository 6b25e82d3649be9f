{{ config(enabled=provides('ga4', 'web_events'), meta={'slices_of': 'events'}) }}

{% set bots = "'bot|crawl|spider|slurp|headless|lighthouse|phantomjs|pingdom|monitor|scrap'" %}
-- Events without a client id (consent refused under consent mode, no cookie) belong to nobody and are left
-- out; the control totals count them apart. E-mail addresses do not occur in this export: the vendor
-- forbids them.
with events as (
    select * from {{ source('raw_ga4', 'events') }}
    where client_id is not null
),

country_names as (
    select * from {{ ref('country_names') }}
),

final as (
    select
        source_relation,
        event_id,
        occurred_at,
        client_id,
        user_id,
        event_name,
        page_location,
        page_referrer,
        device_category,
        coalesce(country_names.country, events.country) as country,
        analytics_storage,
        ads_storage,
        currency,
        referral_code,
        traffic_type,
        event_params,
        case when ga_session_id is not null then client_id || '.' || ga_session_id end as session_id,
        coalesce(manual_source, {{ decoded_url_parameter('page_location', 'utm_source') }}) as utm_source,
        coalesce(manual_medium, {{ decoded_url_parameter('page_location', 'utm_medium') }}) as utm_medium,
        coalesce(manual_campaign_name, {{ decoded_url_parameter('page_location', 'utm_campaign') }})
            as utm_campaign,
        coalesce(manual_content, {{ decoded_url_parameter('page_location', 'utm_content') }}) as utm_content,
        coalesce(manual_term, {{ decoded_url_parameter('page_location', 'utm_term') }}) as utm_term,
        coalesce(gclid, {{ decoded_url_parameter('page_location', 'gclid') }}) as gclid,
        {% for name in ['gbraid', 'wbraid', 'fbclid', 'msclkid', 'ttclid', 'li_fat_id'] -%}
        {{ decoded_url_parameter('page_location', name) }} as {{ name }},
        {% endfor -%}
        coalesce(transaction_id, param_transaction_id) as order_id,
        item_id,
        coalesce(purchase_revenue, param_value) as event_value,
        coalesce(
            {{ regex_matches("lower(coalesce(user_agent, '') || ' ' || coalesce(browser, ''))", bots) }},
            false
        ) as is_bot,
        _slice,
        _dlt_load_id
    from events
    left join country_names on lower(events.country) = country_names.name
)

{{ conform('web_events', 'final', provided={
    'event_id': 'event_id',
    'occurred_at': 'occurred_at',
    'anonymous_id': 'client_id',
    'user_id': 'user_id',
    'session_id': 'session_id',
    'event_name': 'event_name',
    'page_url': 'page_location',
    'referrer_url': 'page_referrer',
    'utm_source': 'utm_source',
    'utm_medium': 'utm_medium',
    'utm_campaign': 'utm_campaign',
    'utm_content': 'utm_content',
    'utm_term': 'utm_term',
    'gclid': 'gclid',
    'gbraid': 'gbraid',
    'wbraid': 'wbraid',
    'fbclid': 'fbclid',
    'msclkid': 'msclkid',
    'ttclid': 'ttclid',
    'li_fat_id': 'li_fat_id',
    'device_category': 'device_category',
    'country': 'country',
    'is_bot': 'is_bot',
    'is_internal': "coalesce(traffic_type = 'internal', false)",
    'consent_analytics': "case lower(analytics_storage) when 'yes' then 'granted' when 'no'
        then 'denied' end",
    'consent_ads': "case lower(ads_storage) when 'yes' then 'granted' when 'no' then 'denied' end",
    'order_id': 'order_id',
    'product_id': 'item_id',
    'value': 'event_value',
    'currency': 'upper(currency)',
    'referral_code': 'referral_code',
    'properties': 'event_params',
}) }}
