{{ config(enabled=provides('shopify', 'revenue_events')) }}

-- People and web tools write an order's name without the sign that it may begin with.
with orders as (
    select * from {{ source('raw_shopify', 'orders') }}
),

final as (
    select
        source_relation,
        order_id,
        case when substr(name, 1, 1) = '#' then substr(name, 2) else name end as order_number,
        coalesce(processed_at, created_at) as ordered_at,
        coalesce(taxes_included, false) as taxes_included,
        upper(currency) as currency,
        subtotal,
        shipping,
        customer_id,
        email_hash,
        email_domain,
        country,
        {{ json_text('attributes', var('order_attributes')['anonymous_id']) }} as anonymous_id,
        {{ json_text('attributes', var('order_attributes')['user_id']) }} as user_id,
        coalesce(test, false) as is_test,
        _dlt_load_id
    from orders
    where
        -- Nothing was paid, and nothing will be.
        not coalesce(financial_status in ('VOIDED', 'EXPIRED'), false)
        and not coalesce(cancelled_at is not null and financial_status in ('PENDING', 'AUTHORIZED'), false)
)

select
    source_relation,
    order_id,
    order_number,
    ordered_at,
    taxes_included,
    currency,
    subtotal,
    shipping,
    customer_id,
    email_hash,
    email_domain,
    country,
    anonymous_id,
    user_id,
    is_test,
    _dlt_load_id
from final
