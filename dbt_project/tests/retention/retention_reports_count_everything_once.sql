-- Each grain and segment of a report holds everything it reports on, once: first orders, starts, answers,
-- invitations; and each contract with an end is due once.
with found as (
    select 'repeat_purchase' as report, period_grain || ' ' || segment as slice, sum(customers) as total
    from {{ ref('repeat_purchase') }}
    where step = 1
    group by period_grain, segment
    union all
    select 'trial_conversion' as report, period_grain || ' ' || segment as slice, sum(started) as total
    from {{ ref('trial_conversion') }}
    group by period_grain, segment
    union all
    select 'customer_feedback' as report, period_grain || ' ' || segment as slice, sum(responses) as total
    from {{ ref('customer_feedback') }}
    group by period_grain, segment
    union all
    select 'referrals' as report, period_grain as slice, sum(invites) as total
    from {{ ref('referrals') }}
    group by period_grain
    union all
    select 'renewals' as report, 'contracts' as slice, sum(amount_due) as total
    from {{ ref('renewals') }}
    where renewal_type = 'contract'
),

expected as (
    select 'repeat_purchase' as report, count(distinct customer_id) as total
    from {{ ref('int_revenue_margins') }}
    where business = 'shop' and event_type != 'refund'
    union all
    select 'trial_conversion' as report, count(*) as total
    from {{ ref('fct_conversions') }}
    where conversion_type in ('trial', 'pql')
    union all
    select 'customer_feedback' as report, count(*) as total
    from {{ ref('int_survey_responses_unioned') }}
    where occurred_at <= {{ as_of() }}
    union all
    select 'referrals' as report, count(*) as total
    from {{ ref('int_web_events_sessionized') }}
    where
        event_name in ({{ quoted_list(var('referral_invite_events')) }})
        and referral_code is not null
        and not coalesce(is_bot, false)
        and not coalesce(is_internal, false)
        and occurred_at <= {{ as_of() }}
    union all
    select 'renewals' as report, sum(amount) as total
    from {{ ref('int_opportunities') }}
    where is_won and won_at <= {{ as_of() }} and created_at <= {{ as_of() }} and contract_end is not null
)

select
    found.report,
    found.slice,
    found.total,
    expected.total as expected_total
from found
inner join expected on found.report = expected.report
where coalesce(found.total, 0) <> coalesce(expected.total, 0)
