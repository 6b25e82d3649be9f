{#
The web and product events that the reports on customers look at, in one pass over all events: what fills a cart, what
activates a user, invitations and sign-ups by invitation. Bots and our own visits are left out; amounts are converted.
#}
with events as (
    select
        source_relation,
        event_id,
        person_id,
        anonymous_id,
        occurred_at,
        event_name in ({{ quoted_list(var('cart_events')) }}) as is_cart,
        event_name in ({{ quoted_list(var('checkout_events')) }}) as is_checkout,
        event_name in ({{ quoted_list(var('activation_events')) }}) as is_activation,
        referral_code is not null and event_name in ({{ quoted_list(var('referral_invite_events')) }})
            as is_invite,
        referral_code is not null and event_name in ({{ quoted_list(var('referral_sign_up_events')) }})
            as is_referral_sign_up,
        referral_code,
        value,
        currency
    from {{ ref('int_web_events_sessionized') }}
    where
        event_name in (
            {{ quoted_list(
                var('cart_events') + var('checkout_events') + var('activation_events')
                + var('referral_invite_events') + var('referral_sign_up_events')
            ) }}
        )
        and not coalesce(is_bot, false)
        and not coalesce(is_internal, false)
        and occurred_at <= {{ as_of() }}
)

select
    events.source_relation,
    events.event_id,
    events.person_id,
    events.anonymous_id,
    events.occurred_at,
    events.is_cart or events.is_checkout as is_cart,
    events.is_checkout,
    events.is_activation,
    events.is_invite,
    events.is_referral_sign_up,
    events.referral_code,
    case
        when events.currency is null then events.value
        else {{ in_reporting_currency('events.value', 'events.currency') }}
    end as value
from events
{{ fx_join(reporting_date('events.occurred_at'), 'events.currency') }}
