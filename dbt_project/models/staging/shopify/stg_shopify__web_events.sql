{{ config(enabled=provides('shopify', 'web_events')) }}

-- The site's cookie, where the shop writes it into the cart, else the customer.
with checkouts as (
    select * from {{ source('raw_shopify', 'abandoned_checkouts') }}
),

final as (
    select
        source_relation,
        'checkout-' || checkout_id as event_id,
        created_at as occurred_at,
        coalesce(
            {{ json_text('attributes', var('order_attributes')['anonymous_id']) }},
            'customer-' || customer_id,
            'checkout-' || checkout_id
        ) as anonymous_id,
        {{ json_text('attributes', var('order_attributes')['user_id']) }} as user_id,
        email_hash,
        email_domain,
        country,
        subtotal as value,
        upper(currency) as currency,
        _dlt_load_id,
        null as _slice
    from checkouts
)

{{ conform('web_events', 'final', provided={
    'event_id': 'event_id',
    'occurred_at': 'occurred_at',
    'anonymous_id': 'anonymous_id',
    'user_id': 'user_id',
    'email_hash': 'email_hash',
    'email_domain': 'email_domain',
    'event_name': "'" ~ var('checkout_events')[0] ~ "'",
    'country': 'country',
    'value': 'value',
    'currency': 'currency',
}) }}
