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
        sum(cast(spend as double)) as spend,
        sum(conversions) as claimed_conversions,
        sum(cast(conversions_value as double)) as claimed_value
    from {{ ref('fct_ad_performance_daily') }}
    group by date, coalesce(channel, '(not set)')
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
        coalesce(self_reported.conversions, 0.0) as self_reported_conversions
    from daily
    full outer join self_reported
        on
            daily.date = self_reported.date
            and daily.channel = self_reported.channel
            and daily.conversion_type = self_reported.conversion_type
),

tests as (
    select
        channel,
        date_from,
        date_to,
        incremental_conversions,
        ci_low,
        ci_high,
        {{ date_diff_days('date_from', 'date_to') }} + 1 as days
    from {{ ref('int_incrementality_tests_unioned') }}
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
        sum(claimed_value) as claimed_value
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

-- Spend without a conversion keeps its row, on every type.
claims_by_type_{{ grain }} as (
    select
        claims_{{ grain }}.period_start,
        claims_{{ grain }}.channel,
        types.conversion_type,
        claims_{{ grain }}.spend,
        claims_{{ grain }}.claimed_conversions,
        claims_{{ grain }}.claimed_value
    from claims_{{ grain }}
    cross join {{ ref('conversion_types') }} as types
),
{%- endfor %}

final as (
    {%- for grain in ['week', 'month', 'fiscal_quarter'] %}
    select
        '{{ grain }}' as period_grain,
        coalesce(attributed.period_start, claimed.period_start) as period_start,
        coalesce(attributed.channel, claimed.channel) as channel,
        coalesce(attributed.conversion_type, claimed.conversion_type) as conversion_type,
        {%- for model in attribution_models() %}
        coalesce(attributed.conversions_{{ model }}, 0.0) as conversions_{{ model }},
        coalesce(attributed.value_{{ model }}, 0.0) as value_{{ model }},
        {%- endfor %}
        coalesce(claimed.spend, 0.0) as spend,
        claimed.claimed_conversions,
        claimed.claimed_value,
        coalesce(attributed.self_reported_conversions, 0.0) as self_reported_conversions,
        tests.incremental_conversions,
        tests.incremental_ci_low,
        tests.incremental_ci_high
    from attributed_{{ grain }} as attributed
    full outer join claims_by_type_{{ grain }} as claimed
        on
            attributed.period_start = claimed.period_start
            and attributed.channel = claimed.channel
            and attributed.conversion_type = claimed.conversion_type
    left join tests_{{ grain }} as tests
        on
            coalesce(attributed.period_start, claimed.period_start) = tests.period_start
            and coalesce(attributed.channel, claimed.channel) = tests.channel
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
    self_reported_conversions,
    incremental_conversions,
    incremental_ci_low,
    incremental_ci_high
from final
