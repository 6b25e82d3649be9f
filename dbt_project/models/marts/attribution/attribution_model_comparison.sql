{# The models side by side for one period, channel and conversion type, and beside them what others say: the
   ad platforms' own claims (they overlap, so they are never added to ours), what the customers themselves
   answered, and what incrementality tests found. Claims and tests know no conversion type: they repeat on
   each type's row. #}
with
daily as (
    select
        date,
        {%- for model in attribution_models() %}
        sum(case when model = '{{ model }}' then conversions else 0.0 end) as conversions_{{ model }},
        sum(case when model = '{{ model }}' then cast(value as double) else 0.0 end) as value_{{ model }},
        {%- endfor %}
        -- A value without an exchange rate leaves its sum unknown; so it is with spend and claims.
        count(case when value is null then 1 end) as unknown_values,
        channel,
        conversion_type
    from {{ ref('int_attribution_daily') }}
    where date_basis = 'conversion'
    group by date, channel, conversion_type
),

claims as (
    select
        date,
        coalesce(channel, '(not set)') as channel,
        split_part(source_relation, ':', 1) as platform,
        sum(cast(spend as double)) as spend,
        sum(conversions) as claimed_conversions,
        sum(cast(conversions_value as double)) as claimed_value,
        count(case when spend is null and spend_original is not null then 1 end) as unknown_spend,
        count(case when conversions_value is null and conversions_value_original is not null then 1 end)
            as unknown_claims
    from {{ ref('fct_ad_performance_daily') }}
    group by date, coalesce(channel, '(not set)'), split_part(source_relation, ':', 1)
),

-- What a person said: the survey's answer first, else the CRM's field. Patterns of the seed are looked for
-- in the answer; of several the first of the seed's own order counts.
answers as (
    select
        coalesce(by_email.person_id, by_contact.person_id) as person_id,
        lower(responses.answer) as answer,
        1 as source_order,
        responses.occurred_at as answered_at
    from {{ ref('int_survey_responses_unioned') }} as responses
    left join {{ ref('int_identity_lookup') }} as by_email
        on by_email.identifier_kind = 'email' and by_email.identifier = responses.email_hash
    left join {{ ref('int_identity_lookup') }} as by_contact
        on by_contact.identifier_kind = 'crm_contact' and by_contact.identifier = responses.contact_id
    where lower(responses.survey) = 'how_did_you_hear' and responses.answer is not null
    union all
    select
        identity_map.person_id,
        lower(contacts.self_reported_source) as answer,
        2 as source_order,
        contacts.created_at as answered_at
    from {{ ref('int_contacts') }} as contacts
    inner join {{ ref('int_identity_map') }} as identity_map
        on
            identity_map.identifier_type = {{ identifier_type('crm_contact', 'contacts.source_relation') }}
            and identity_map.identifier = contacts.source_record_id
    where contacts.self_reported_source is not null
),

ranked_answers as (
    select
        answers.person_id,
        coalesce(patterns.channel, '(other)') as channel,
        row_number() over (
            partition by answers.person_id
            order by answers.source_order, answers.answered_at, answers.answer, patterns.pattern_order
        ) as answer_rank
    from answers
    left join {{ ref('self_reported_sources') }} as patterns
        on answers.answer like concat('%', lower(patterns.pattern), '%')
    where answers.person_id is not null
),

self_reported as (
    select
        conversions.converted_on as date,
        ranked_answers.channel,
        conversions.conversion_type,
        cast(count(*) as double) as conversions
    from {{ ref('fct_conversions') }} as conversions
    inner join ranked_answers
        on conversions.person_id = ranked_answers.person_id and ranked_answers.answer_rank = 1
    group by conversions.converted_on, ranked_answers.channel, conversions.conversion_type
),

first_party as (
    select
        coalesce(daily.date, self_reported.date) as date,
        coalesce(daily.channel, self_reported.channel) as channel,
        coalesce(daily.conversion_type, self_reported.conversion_type) as conversion_type,
        {%- for model in attribution_models() %}
        coalesce(daily.conversions_{{ model }}, 0.0) as conversions_{{ model }},
        coalesce(daily.value_{{ model }}, 0.0) as value_{{ model }},
        {%- endfor %}
        coalesce(daily.unknown_values, 0) as unknown_values,
        coalesce(self_reported.conversions, 0.0) as self_reported_conversions
    from daily
    full outer join self_reported
        on
            daily.date = self_reported.date
            and daily.channel = self_reported.channel
            and daily.conversion_type = self_reported.conversion_type
),

-- A test names a channel as its author wrote it.
tests as (
    select
        coalesce(channels.channel, trim(found.channel)) as channel,
        found.date_from,
        found.date_to,
        found.incremental_conversions,
        found.ci_low,
        found.ci_high,
        {{ date_diff_days('found.date_from', 'found.date_to') }} + 1 as days
    from {{ ref('int_incrementality_tests_unioned') }} as found
    left join {{ ref('channels') }} as channels
        on lower(trim(found.channel)) = lower(channels.channel)
),

test_days as (
    select
        tests.channel,
        dates.date_day as date,
        cast(tests.incremental_conversions as double) / tests.days as incremental_conversions,
        cast(tests.ci_low as double) / tests.days as incremental_ci_low,
        cast(tests.ci_high as double) / tests.days as incremental_ci_high
    from tests
    inner join (
        {{ day_spine(
            "(select coalesce(min(date_from), cast('2000-01-01' as date)) from tests)",
            "(select coalesce(max(date_to), cast('2000-01-01' as date)) from tests)"
        ) }}
    ) as dates
        on dates.date_day between tests.date_from and tests.date_to
),

{%- for grain in ['week', 'month', 'fiscal_quarter'] %}

attributed_{{ grain }} as (
    select
        {{ period_start(grain, 'date') }} as period_start,
        channel,
        conversion_type,
        {%- for model in attribution_models() %}
        sum(conversions_{{ model }}) as conversions_{{ model }},
        sum(value_{{ model }}) as value_{{ model }},
        {%- endfor %}
        sum(unknown_values) as unknown_values,
        sum(self_reported_conversions) as self_reported_conversions
    from first_party
    group by {{ period_start(grain, 'date') }}, channel, conversion_type
),

claims_{{ grain }} as (
    select
        {{ period_start(grain, 'date') }} as period_start,
        channel,
        sum(spend) as spend,
        sum(claimed_conversions) as claimed_conversions,
        sum(claimed_value) as claimed_value,
        count(distinct case when claimed_conversions > 0 then platform end) as claiming_platforms,
        sum(unknown_spend) as unknown_spend,
        sum(unknown_claims) as unknown_claims
    from claims
    group by {{ period_start(grain, 'date') }}, channel
),

tests_{{ grain }} as (
    select
        {{ period_start(grain, 'date') }} as period_start,
        channel,
        sum(incremental_conversions) as incremental_conversions,
        sum(incremental_ci_low) as incremental_ci_low,
        sum(incremental_ci_high) as incremental_ci_high
    from test_days
    group by {{ period_start(grain, 'date') }}, channel
),

-- Spend and tests without a conversion keep their row, on every type.
others_{{ grain }} as (
    select
        coalesce(claimed.period_start, tested.period_start) as period_start,
        coalesce(claimed.channel, tested.channel) as channel,
        types.conversion_type,
        claimed.spend,
        claimed.claimed_conversions,
        claimed.claimed_value,
        claimed.claiming_platforms,
        claimed.unknown_spend,
        claimed.unknown_claims,
        tested.incremental_conversions,
        tested.incremental_ci_low,
        tested.incremental_ci_high
    from claims_{{ grain }} as claimed
    full outer join tests_{{ grain }} as tested
        on claimed.period_start = tested.period_start and claimed.channel = tested.channel
    cross join {{ ref('conversion_types') }} as types
),
{%- endfor %}

final as (
    {%- for grain in ['week', 'month', 'fiscal_quarter'] %}
    select
        '{{ grain }}' as period_grain,
        coalesce(attributed.period_start, others.period_start) as period_start,
        coalesce(attributed.channel, others.channel) as channel,
        coalesce(attributed.conversion_type, others.conversion_type) as conversion_type,
        {%- for model in attribution_models() %}
        coalesce(attributed.conversions_{{ model }}, 0.0) as conversions_{{ model }},
        case
            when coalesce(attributed.unknown_values, 0) = 0 then coalesce(attributed.value_{{ model }}, 0.0)
        end as value_{{ model }},
        {%- endfor %}
        case when coalesce(others.unknown_spend, 0) = 0 then coalesce(others.spend, 0.0) end as spend,
        others.claimed_conversions,
        case when others.unknown_claims = 0 then others.claimed_value end as claimed_value,
        others.claiming_platforms,
        coalesce(attributed.self_reported_conversions, 0.0) as self_reported_conversions,
        others.incremental_conversions,
        others.incremental_ci_low,
        others.incremental_ci_high
    from attributed_{{ grain }} as attributed
    full outer join others_{{ grain }} as others
        on
            attributed.period_start = others.period_start
            and attributed.channel = others.channel
            and attributed.conversion_type = others.conversion_type
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
)

select
    period_grain,
    period_start,
    channel,
    conversion_type,
    {%- for model in attribution_models() %}
    conversions_{{ model }},
    {{ to_money('value_' ~ model) }} as value_{{ model }},
    {%- endfor %}
    cast(spend as decimal(19, 4)) as spend,
    claimed_conversions,
    cast(claimed_value as decimal(19, 4)) as claimed_value,
    cast(claiming_platforms as bigint) as claiming_platforms,
    self_reported_conversions,
    incremental_conversions,
    incremental_ci_low,
    incremental_ci_high
from final
