{#
recovered: a purchase within cart_recovery_days after the cart was left; lost: none in that time; open: the
time is not over. The touch that recovered a cart is the last one between leaving and buying that is eligible
for credit, direct visits only where there is no other.
#}
with carts as (
    select * from {{ ref('int_carts') }}
    where abandoned_at is not null
),

judged as (
    select
        *,
        case
            when {{ days_between('abandoned_at', 'purchased_at') }} <= {{ var('cart_recovery_days') }}
                then 'recovered'
            when {{ days_between('abandoned_at', as_of()) }} > {{ var('cart_recovery_days') }} then 'lost'
            else 'open'
        end as status
    from carts
),

touches as (
    select
        judged.cart_id,
        touchpoints.touchpoint_id,
        touchpoints.touchpoint_type,
        touchpoints.channel,
        touchpoints.campaign,
        row_number() over (
            partition by judged.cart_id
            order by
                case when touchpoints.is_direct then 1 else 0 end asc,
                touchpoints.occurred_at desc,
                touchpoints.touchpoint_id asc
        ) as place
    from judged
    inner join {{ ref('fct_touchpoints') }} as touchpoints
        on
            judged.person_id = touchpoints.person_id
            and judged.abandoned_at < touchpoints.occurred_at
            and judged.purchased_at >= touchpoints.occurred_at
    where judged.status = 'recovered' and touchpoints.is_credit_eligible
),

persons as (
    select
        person_id,
        account_id,
        country,
        first_touch_channel,
        is_known
    from {{ ref('dim_persons') }}
),

orders as (
    select
        conversion_id,
        value
    from {{ ref('fct_conversions') }}
    where conversion_type = 'purchase'
)

select
    judged.cart_id,
    judged.person_id,
    coalesce(persons.account_id, judged.person_id) as customer_id,
    coalesce(persons.country, '(not set)') as country,
    coalesce(persons.first_touch_channel, '(not set)') as first_touch_channel,
    coalesce(persons.is_known, false) as is_known,
    judged.started_at,
    judged.abandoned_at,
    {{ reporting_date('judged.abandoned_at') }} as abandoned_on,
    case when judged.has_checkout then 'checkout' else 'cart' end as furthest_step,
    judged.events,
    judged.value,
    judged.status,
    case when judged.status = 'recovered' then judged.purchased_at end as recovered_at,
    case
        when judged.status = 'recovered' then {{ days_between('judged.abandoned_at', 'judged.purchased_at') }}
    end as days_to_recovery,
    case when judged.status = 'recovered' then judged.conversion_id end as recovered_conversion_id,
    cast(
        case when judged.status = 'recovered' then coalesce(orders.value, judged.value) end as decimal(19, 4)
    ) as recovered_value,
    touches.touchpoint_id as recovered_by_touchpoint_id,
    case when judged.status = 'recovered' then coalesce(touches.touchpoint_type, '(none)') end
        as recovered_by_touchpoint_type,
    case when judged.status = 'recovered' then coalesce(touches.channel, '(none)') end
        as recovered_by_channel,
    case when judged.status = 'recovered' then coalesce(touches.campaign, '(none)') end
        as recovered_by_campaign
from judged
left join touches on judged.cart_id = touches.cart_id and touches.place = 1
left join persons on judged.person_id = persons.person_id
left join orders on judged.conversion_id = orders.conversion_id
