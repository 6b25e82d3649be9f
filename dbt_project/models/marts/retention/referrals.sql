{#
Invitations and sign-ups are events with a referral_code; a person's sign-up with a code counts once. A sign-
up converts with the person's first trial, purchase, subscription or won deal within referral_conversion_days.
k is sign-ups per active user of the period: invitations per active user times sign-ups per invitation.
#}
with events as (
    select
        coalesce(person_id, anonymous_id) as visitor_id,
        person_id,
        is_invite,
        referral_code,
        occurred_at
    from {{ ref('int_customer_events') }}
    where is_invite or is_referral_sign_up
),

invites as (
    select
        {{ reporting_date('occurred_at') }} as occurred_on,
        visitor_id
    from events
    where is_invite
),

codes as (
    select
        referral_code,
        min(occurred_at) as invited_at
    from events
    where is_invite
    group by referral_code
),

sign_ups as (
    select
        visitor_id,
        person_id,
        referral_code,
        min(occurred_at) as signed_up_at
    from events
    where not is_invite
    group by visitor_id, person_id, referral_code
),

outcomes as (
    select
        person_id,
        conversion_type,
        converted_at
    from {{ ref('fct_conversions') }}
    where conversion_type in ('trial', 'purchase', 'subscription', 'won') and person_id is not null
),

followed as (
    select
        sign_ups.visitor_id,
        sign_ups.referral_code,
        {{ reporting_date('sign_ups.signed_up_at') }} as occurred_on,
        {{ days_between('sign_ups.signed_up_at', as_of()) }} as days_had,
        max(case when codes.invited_at <= sign_ups.signed_up_at then 1 else 0 end) as has_invite,
        max(case when outcomes.person_id is not null then 1 else 0 end) as is_converted,
        max(case when outcomes.conversion_type != 'trial' then 1 else 0 end) as is_paying
    from sign_ups
    left join codes on sign_ups.referral_code = codes.referral_code
    left join outcomes
        on
            sign_ups.person_id = outcomes.person_id
            and sign_ups.signed_up_at <= outcomes.converted_at
            and {{ days_between('sign_ups.signed_up_at', 'outcomes.converted_at') }}
            <= {{ var('referral_conversion_days') }}
    group by sign_ups.visitor_id, sign_ups.referral_code, sign_ups.signed_up_at
),

bounds as (
    select
        coalesce(min(occurred_on), {{ as_of_date() }}) as first_day,
        {{ as_of_date() }} as last_day
    from (
        select occurred_on from invites
        union all
        select occurred_on from followed
    ) as days_of_events
),

days as (
    {{ day_spine('(select first_day from bounds)', '(select last_day from bounds)') }}
),

counted as (
    {%- for grain in report_grains() %}
    select
        '{{ grain }}' as period_grain,
        {{ period_start(grain, 'date_day') }} as period_start,
        0 as invites,
        cast(null as {{ text_type() }}) as inviter,
        0 as sign_ups,
        0 as sign_ups_with_invite,
        0 as converted,
        0 as paying,
        0 as undecided
    from days
    union all
    select
        '{{ grain }}' as period_grain,
        {{ period_start(grain, 'occurred_on') }} as period_start,
        1 as invites,
        visitor_id as inviter,
        0 as sign_ups,
        0 as sign_ups_with_invite,
        0 as converted,
        0 as paying,
        0 as undecided
    from invites
    union all
    select
        '{{ grain }}' as period_grain,
        {{ period_start(grain, 'occurred_on') }} as period_start,
        0 as invites,
        cast(null as {{ text_type() }}) as inviter,
        1 as sign_ups,
        has_invite as sign_ups_with_invite,
        is_converted as converted,
        is_paying as paying,
        case
            when is_converted = 0 and days_had <= {{ var('referral_conversion_days') }} then 1 else 0
        end as undecided
    from followed
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}
),

totals as (
    select
        period_grain,
        period_start,
        sum(invites) as invites,
        count(distinct inviter) as inviters,
        sum(sign_ups) as sign_ups,
        sum(sign_ups_with_invite) as sign_ups_with_invite,
        sum(converted) as converted,
        sum(paying) as paying,
        sum(undecided) as undecided
    from counted
    group by period_grain, period_start
),

users as (
    select
        period_grain,
        period_start,
        count(*) as active_users
    from {{ ref('int_customer_periods') }}
    where subject = 'user' and is_active
    group by period_grain, period_start
),

final as (
    select
        totals.*,
        coalesce(users.active_users, 0) as active_users,
        {{ period_is_complete('totals.period_grain', 'totals.period_start') }} as is_complete
    from totals
    left join users
        on totals.period_grain = users.period_grain and totals.period_start = users.period_start
)

select
    cast(period_grain as {{ text_type() }}) as period_grain,
    period_start,
    cast(invites as bigint) as invites,
    cast(inviters as bigint) as inviters,
    cast(sign_ups as bigint) as sign_ups,
    cast(sign_ups_with_invite as bigint) as sign_ups_with_invite,
    cast(converted as bigint) as converted,
    cast(paying as bigint) as paying,
    cast(undecided as bigint) as undecided,
    cast(active_users as bigint) as active_users,
    {{ safe_divide('invites', 'active_users') }} as invites_per_user,
    {{ safe_divide('sign_ups', 'invites') }} as sign_ups_per_invite,
    {{ safe_divide('sign_ups', 'active_users') }} as k_factor,
    {{ safe_divide('converted', 'sign_ups') }} as conversion_rate,
    is_complete
from final
