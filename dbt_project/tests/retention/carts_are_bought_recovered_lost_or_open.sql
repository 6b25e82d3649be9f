-- Every cart event of a visitor is in one cart, and every cart that was left is recovered, lost or open.
with events as (
    select count(*) as events
    from {{ ref('int_web_events_sessionized') }}
    where
        event_name in ({{ quoted_list(var('cart_events')) }})
        and not coalesce(is_bot, false)
        and not coalesce(is_internal, false)
        and occurred_at <= {{ as_of() }}
),

carts as (
    select
        coalesce(sum(events), 0) as events,
        count(abandoned_at) as abandoned
    from {{ ref('int_carts') }}
),

statuses as (
    select
        count(*) as rows_in_mart,
        count(case when status = 'recovered' then 1 end)
        + count(case when status = 'lost' then 1 end)
        + count(case when status = 'open' then 1 end) as with_status
    from {{ ref('abandoned_carts') }}
)

select
    events.events,
    carts.events as events_in_carts,
    carts.abandoned,
    statuses.rows_in_mart,
    statuses.with_status
from events
cross join carts
cross join statuses
where
    events.events <> carts.events
    or carts.abandoned <> statuses.rows_in_mart
    or carts.abandoned <> statuses.with_status
