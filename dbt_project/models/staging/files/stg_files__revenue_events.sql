{{ config(enabled=provides('files', 'revenue_events')) }}

-- A record that several files hold counts as the last of them says.
with ranked as (
    select
        records.*,
        row_number() over (
            partition by source_relation, revenue_event_id
            order by _slice desc, _line desc
        ) as place
    from {{ source('raw_files', 'revenue_events') }} as records
),

final as (
    select * from ranked
    where place = 1
)

{{ conform('revenue_events', 'final', provided=[
    'revenue_event_id',
    'occurred_at',
    'event_type',
    'customer_id',
    'customer_email_hash',
    'email_domain',
    'user_id',
    'anonymous_id',
    'order_id',
    'original_order_id',
    'product_id',
    'product_name',
    'quantity',
    'amount',
    'discount_amount',
    'tax_amount',
    'shipping_amount',
    'cost_amount',
    'currency',
    'country',
    'subscription_id',
    'opportunity_id',
    'is_test',
]) }}
