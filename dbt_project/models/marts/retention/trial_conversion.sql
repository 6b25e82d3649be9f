{#
Two starting points: a trial, and a product-qualified lead. What follows counts until the same person's next
start of the same kind: activation (an event of activation_events; who was active before is active from the
first moment), the first paid subscription, and for leads in the CRM the opportunity.
#}
{%- set segments = segment_columns(['channel', 'plan', 'country']) -%}
{%- set days = var('trial_conversion_days') -%}
with conversions as (
    select
        conversion_id,
        conversion_type,
        person_id,
        coalesce(account_id, person_id) as customer_id,
        converted_at,
        converted_on,
        product_id
    from {{ ref('fct_conversions') }}
    where conversion_type in ('trial', 'pql', 'subscription', 'opportunity')
),

activations as (
    select
        person_id,
        min(occurred_at) as activated_at
    from {{ ref('int_customer_events') }}
    where is_activation and person_id is not null
    group by person_id
),

persons as (
    select
        person_id,
        first_touch_channel,
        country
    from {{ ref('dim_persons') }}
),

plans as (
    select
        person_id,
        min_by(plan, {{ ordered_by(['valid_from', 'subscription_id']) }}) as plan
    from {{ ref('int_subscription_periods') }}
    where person_id is not null and valid_from <= {{ as_of() }}
    group by person_id
),

starts as (
    select
        conversion_id,
        conversion_type as starting_point,
        person_id,
        customer_id,
        converted_at as started_at,
        converted_on as started_on,
        product_id,
        coalesce(
            lead(converted_at) over (
                partition by conversion_type, coalesce(person_id, conversion_id)
                order by converted_at, conversion_id
            ),
            cast('9999-12-31' as timestamp)
        ) as next_started_at
    from conversions
    where conversion_type in ('trial', 'pql')
),

subscribed as (
    select
        starts.conversion_id,
        min(subscriptions.converted_at) as subscribed_at
    from starts
    inner join conversions as subscriptions
        on
            starts.person_id = subscriptions.person_id
            and starts.started_at <= subscriptions.converted_at
            and starts.next_started_at > subscriptions.converted_at
    where subscriptions.conversion_type = 'subscription'
    group by starts.conversion_id
),

opened as (
    select
        starts.conversion_id,
        min(opportunities.converted_at) as opened_at
    from starts
    inner join conversions as opportunities
        on
            starts.customer_id = opportunities.customer_id
            and starts.started_at <= opportunities.converted_at
            and starts.next_started_at > opportunities.converted_at
    where opportunities.conversion_type = 'opportunity'
    group by starts.conversion_id
),

followed as (
    select
        starts.starting_point,
        starts.started_on,
        {{ days_between('starts.started_at', as_of()) }} as days_had,
        activations.activated_at < starts.next_started_at as is_activated,
        case
            when activations.activated_at <= starts.started_at then 0.0
            else {{ days_between('starts.started_at', 'activations.activated_at') }}
        end as days_to_activate,
        subscribed.subscribed_at is not null as is_converted,
        {{ days_between('starts.started_at', 'subscribed.subscribed_at') }} as days_to_convert,
        opened.opened_at is not null as is_opportunity,
        coalesce(persons.first_touch_channel, '(not set)') as channel,
        coalesce(starts.product_id, plans.plan, '(not set)') as plan,
        coalesce(persons.country, '(not set)') as country
    from starts
    left join activations
        on starts.person_id = activations.person_id and starts.next_started_at > activations.activated_at
    left join subscribed on starts.conversion_id = subscribed.conversion_id
    left join opened on starts.conversion_id = opened.conversion_id
    left join persons on starts.person_id = persons.person_id
    left join plans on starts.person_id = plans.person_id
),

periods as (
    {{ in_periods('followed', 'started_on', segments) }}
),

counted as (
    select
        period_grain,
        period_start,
        starting_point,
        segment,
        segment_value,
        count(*) as started,
        sum(case when is_activated then 1 else 0 end) as activated,
        sum(case when is_converted then 1 else 0 end) as converted,
        sum(case when days_to_convert <= {{ days }} then 1 else 0 end) as converted_in_time,
        sum(case when is_opportunity then 1 else 0 end) as opportunities,
        sum(case when not is_converted and days_had <= {{ days }} then 1 else 0 end) as undecided,
        median(days_to_activate) as median_days_to_activate,
        median(days_to_convert) as median_days_to_convert,
        avg(days_to_convert) as average_days_to_convert,
        min(days_had) > {{ days }} as is_mature
    from periods
    group by period_grain, period_start, starting_point, segment, segment_value
)

select
    cast(period_grain as {{ text_type() }}) as period_grain,
    period_start,
    starting_point,
    cast(segment as {{ text_type() }}) as segment,
    cast(segment_value as {{ text_type() }}) as segment_value,
    cast(started as bigint) as started,
    cast(activated as bigint) as activated,
    cast(converted as bigint) as converted,
    cast(converted_in_time as bigint) as converted_in_time,
    cast(undecided as bigint) as undecided,
    cast(opportunities as bigint) as opportunities,
    {{ safe_divide('activated', 'started') }} as activation_rate,
    {{ safe_divide('converted', 'started') }} as conversion_rate,
    {{ wilson_bound('converted', 'started', 'low') }} as conversion_rate_low,
    {{ wilson_bound('converted', 'started', 'high') }} as conversion_rate_high,
    {{ safe_divide('converted_in_time', 'started') }} as conversion_rate_in_time,
    {{ safe_divide('opportunities', 'started') }} as opportunity_rate,
    median_days_to_activate,
    median_days_to_convert,
    average_days_to_convert,
    is_mature
from counted
