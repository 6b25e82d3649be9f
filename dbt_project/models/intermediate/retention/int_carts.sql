{#
One cart: what a visitor (the person, else the cookie) put together, until a purchase or until
cart_recovery_days pass without an event. Purchases are those of fct_conversions, which know of other devices;
of visitors without a person, the web's own. A cart is abandoned after its first event that nothing follows
within cart_abandoned_after_hours, and is worth what the checkout last said, else all that was added, up to
that moment.
#}
with events as (
    select * from {{ ref('int_customer_events') }}
    where is_cart
),

purchases as (
    select
        person_id as visitor_id,
        person_id,
        converted_at,
        conversion_id,
        conversion_id as step_id
    from {{ ref('fct_conversions') }}
    where conversion_type = 'purchase' and person_id is not null
    union all
    select
        {{ surrogate_key(['source_relation', 'anonymous_id']) }} as visitor_id,
        cast(null as {{ text_type() }}) as person_id,
        occurred_at as converted_at,
        cast(null as {{ text_type() }}) as conversion_id,
        source_relation || ' ' || event_id as step_id
    from {{ ref('int_web_conversion_events') }}
    where conversion_type = 'purchase' and person_id is null and occurred_at <= {{ as_of() }}
),

steps as (
    select
        coalesce(person_id, {{ surrogate_key(['source_relation', 'anonymous_id']) }}) as visitor_id,
        person_id,
        occurred_at,
        source_relation || ' ' || event_id as step_id,
        false as is_purchase,
        is_checkout,
        cast(null as {{ text_type() }}) as conversion_id,
        value
    from events
    union all
    select
        visitor_id,
        person_id,
        converted_at as occurred_at,
        step_id,
        true as is_purchase,
        false as is_checkout,
        conversion_id,
        cast(null as decimal(19, 4)) as value
    from purchases
),

sequenced as (
    select
        *,
        lag(occurred_at) over (partition by visitor_id order by occurred_at, is_purchase, step_id)
            as previous_at,
        lag(is_purchase) over (partition by visitor_id order by occurred_at, is_purchase, step_id)
            as previous_is_purchase,
        coalesce(
            lead(occurred_at) over (partition by visitor_id order by occurred_at, is_purchase, step_id),
            {{ as_of() }}
        ) as next_at
    from steps
),

numbered as (
    select
        *,
        sum(
            case
                when previous_at is null or previous_is_purchase then 1
                when {{ days_between('previous_at', 'occurred_at') }} > {{ var('cart_recovery_days') }} then 1
                else 0
            end
        ) over (
            partition by visitor_id order by occurred_at, is_purchase, step_id
            rows between unbounded preceding and current row
        ) as cart_number,
        case
            when
                not is_purchase
                and {{ hours_between('occurred_at', 'next_at') }} > {{ var('cart_abandoned_after_hours') }}
                then occurred_at
        end as left_at
    from sequenced
),

placed as (
    select
        *,
        min(left_at) over (partition by visitor_id, cart_number) as abandoned_at
    from numbered
),

valued as (
    select
        *,
        case when not is_purchase and (abandoned_at is null or occurred_at <= abandoned_at) then value end
            as value_then
    from placed
),

final as (
    select
        visitor_id,
        cart_number,
        max(person_id) as person_id,
        min(case when not is_purchase then occurred_at end) as started_at,
        min(abandoned_at) as abandoned_at,
        max(case when is_purchase then occurred_at end) as purchased_at,
        max(conversion_id) as conversion_id,
        sum(case when not is_purchase then 1 else 0 end) as events,
        max(
            case when is_checkout and (abandoned_at is null or occurred_at <= abandoned_at) then 1 else 0 end
        ) = 1 as has_checkout,
        coalesce(
            max_by(
                value_then,
                case
                    when is_checkout and value_then is not null
                        then {{ ordered_by(['occurred_at', 'step_id']) }}
                end
            ),
            sum(case when not is_checkout then value_then end)
        ) as value
    from valued
    group by visitor_id, cart_number
)

select
    {{ surrogate_key(['visitor_id', 'started_at']) }} as cart_id,
    visitor_id,
    person_id,
    started_at,
    abandoned_at,
    purchased_at,
    conversion_id,
    cast(events as bigint) as events,
    has_checkout,
    cast(value as decimal(19, 4)) as value
from final
where events > 0
