{#
Who is a detractor, passive or promoter stands in the seed survey_types.csv. The net score is the share of
promoters less that of detractors, from -100 to 100; its interval is the normal one, with the variance p + d -
(p - d)^2 of one answer.
#}
{%- set segments = segment_columns(['channel', 'country', 'plan', 'business_model']) -%}
with responses as (
    select * from {{ ref('int_survey_responses') }}
),

traits as (
    select * from {{ ref('int_customer_traits') }}
),

persons as (
    select
        person_id,
        first_touch_channel,
        country
    from {{ ref('dim_persons') }}
),

described as (
    select
        responses.survey_response_id,
        responses.occurred_on,
        coalesce(responses.survey, '(not set)') as survey,
        responses.score,
        responses.answer,
        responses.opinion,
        coalesce(responses.person_id, responses.survey_response_id) as respondent,
        coalesce(traits.channel, persons.first_touch_channel, '(not set)') as channel,
        coalesce(traits.country, persons.country, '(not set)') as country,
        coalesce(traits.latest_plan, '(not set)') as plan,
        coalesce(traits.business_model, '(no customer)') as business_model
    from responses
    left join traits on responses.customer_id = traits.customer_id
    left join persons on responses.person_id = persons.person_id
),

periods as (
    {{ in_periods('described', 'occurred_on', segments) }}
),

counted as (
    select
        period_grain,
        period_start,
        survey,
        segment,
        segment_value,
        count(*) as responses,
        count(distinct respondent) as respondents,
        count(score) as scores,
        count(answer) as answers,
        avg(score) as average_score,
        median(score) as median_score,
        count(opinion) as opinions,
        sum(case when opinion = 'promoter' then 1 else 0 end) as promoters,
        sum(case when opinion = 'passive' then 1 else 0 end) as passives,
        sum(case when opinion = 'detractor' then 1 else 0 end) as detractors
    from periods
    group by period_grain, period_start, survey, segment, segment_value
),

rated as (
    select
        *,
        {{ safe_divide('promoters - detractors', 'opinions') }} as net_share,
        {{ safe_divide('promoters + detractors', 'opinions') }} as decided_share,
        {{ period_is_complete('period_grain', 'period_start') }} as is_complete
    from counted
),

final as (
    select
        *,
        1.959963984540054 * sqrt(greatest(decided_share - net_share * net_share, 0.0) / nullif(opinions, 0))
            as margin_of_error
    from rated
)

select
    cast(period_grain as {{ text_type() }}) as period_grain,
    period_start,
    survey,
    cast(segment as {{ text_type() }}) as segment,
    cast(segment_value as {{ text_type() }}) as segment_value,
    cast(responses as bigint) as responses,
    cast(respondents as bigint) as respondents,
    cast(answers as bigint) as answers,
    average_score,
    median_score,
    cast(promoters as bigint) as promoters,
    cast(passives as bigint) as passives,
    cast(detractors as bigint) as detractors,
    100 * net_share as net_score,
    case when opinions > 0 then greatest(100 * (net_share - margin_of_error), -100.0) end as net_score_low,
    case when opinions > 0 then least(100 * (net_share + margin_of_error), 100.0) end as net_score_high,
    is_complete
from final
