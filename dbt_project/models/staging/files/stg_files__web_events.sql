{{ config(enabled=provides('files', 'web_events')) }}

-- A record that several files hold counts as the last of them says.
with ranked as (
    select
        records.*,
        row_number() over (
            partition by source_relation, event_id
            order by _slice desc, _line desc
        ) as place
    from {{ source('raw_files', 'web_events') }} as records
),

final as (
    select * from ranked
    where place = 1
)

{{ conform('web_events', 'final', provided=[
    'event_id',
    'occurred_at',
    'anonymous_id',
    'user_id',
    'email_hash',
    'email_domain',
    'session_id',
    'event_name',
    'page_url',
    'referrer_url',
    'utm_source',
    'utm_medium',
    'utm_campaign',
    'utm_content',
    'utm_term',
    'gclid',
    'gbraid',
    'wbraid',
    'fbclid',
    'msclkid',
    'ttclid',
    'li_fat_id',
    'device_category',
    'country',
    'is_bot',
    'is_internal',
    'consent_analytics',
    'consent_ads',
    'order_id',
    'product_id',
    'value',
    'currency',
    'referral_code',
    'properties',
]) }}
