{#
What a deal that is open on a forecast date is worth. Its chance is the share of won among the deals closed in the
year (var forecast_history_days) before that date that reached the same stage of the same pipeline and opportunity type and stayed there as long; where there are
few such deals, the rate leans on the next coarser one (var forecast_prior_deals; at the top on one half). Nothing that
happened on the forecast date or later is used for it, so that a forecast of a past day is what that day could know.
A CRM that was filled with living and won deals knows no lost ones from before: rates are measured from the first lost
deal on. A deal without an amount counts with the mean of the won deals of its type.
#}
{% set bands = var('forecast_age_bands') | sort %}
{# Groups of like deals, from the coarsest to the finest. #}
{% set levels = [
    ('any_deals', []),
    ('type_deals', ['pipeline', 'opportunity_type']),
    ('stage_deals', ['pipeline', 'opportunity_type', 'stage']),
    ('age_deals', ['pipeline', 'opportunity_type', 'stage', 'age_band']),
] %}
{% set before_forecast %}
forecast_dates.forecast_date > by_day.closed_on
        and {{ add_days('forecast_dates.forecast_date', -var('forecast_history_days')) }} <= by_day.closed_on
{%- endset %}

with states as (
    select * from {{ ref('int_opportunity_states') }}
    where valid_from <= {{ as_of() }}
),

daily as (
    select * from {{ ref('fct_pipeline_daily') }}
),

-- The day of as_of, and the first of every month.
forecast_dates as (
    select distinct date as forecast_date
    from daily
    where date = {{ as_of_date() }} or extract(day from date) = 1
),

-- A closed deal and how it ended: it closed when it was last open.
endings as (
    select
        opportunity_id,
        coalesce(max(pipeline), '(not set)') as pipeline,
        coalesce(max(opportunity_type), '(not set)') as opportunity_type,
        max_by(outcome, state_number) as outcome,
        max_by(amount, state_number) as amount,
        max(case when is_open then valid_to end) as closed_at
    from states
    group by opportunity_id
),

first_losses as (
    select min(closed_at) as first_lost_at
    from endings
    where outcome = 'lost'
),

-- How long it stayed in each stage at the longest, and the bands of age that it so reached.
stays as (
    select
        states.opportunity_id,
        coalesce(states.pipeline, '(not set)') as pipeline,
        coalesce(states.opportunity_type, '(not set)') as opportunity_type,
        states.stage,
        {{ reporting_date('endings.closed_at') }} as closed_on,
        case when endings.outcome = 'won' then 1 else 0 end as is_won,
        max(
            {{ date_diff_days(reporting_date('states.stage_entered_at'), reporting_date('states.valid_to')) }}
        ) as days_in_stage
    from states
    inner join endings on states.opportunity_id = endings.opportunity_id
    inner join first_losses on endings.closed_at >= first_losses.first_lost_at
    where states.is_open and endings.outcome in ('won', 'lost')
    group by
        states.opportunity_id,
        states.pipeline,
        states.opportunity_type,
        states.stage,
        endings.closed_at,
        endings.outcome
),

reached as (
    {% for band in bands %}
    select
        stays.*,
        {{ band }} as age_band
    from stays
    {% if not loop.first %}where days_in_stage >= {{ band }}{% endif %}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

-- Added up by day of closing first: then the forecast dates meet days, not deals.
{% for level, keys in levels %}
{{ level }} as (
    select
        forecast_dates.forecast_date,
        {% for key in keys %}
        by_day.{{ key }},
        {% endfor %}
        sum(by_day.deals) as deals,
        sum(by_day.won) as won
    from forecast_dates
    inner join (
        select
            closed_on,
            {% for key in keys %}
            {{ key }},
            {% endfor %}
            count(distinct opportunity_id) as deals,
            count(distinct case when is_won = 1 then opportunity_id end) as won
        from reached
        group by {{ (['closed_on'] + keys) | join(', ') }}
    ) as by_day on {{ before_forecast }}
    group by
        {% for key in keys %}
        by_day.{{ key }},
        {% endfor %}
        forecast_dates.forecast_date
),

{% endfor %}
mean_amounts as (
    select
        forecast_dates.forecast_date,
        by_day.pipeline,
        by_day.opportunity_type,
        {{ to_money('cast(sum(by_day.amount) as double) / sum(by_day.deals)') }} as mean_amount
    from forecast_dates
    inner join (
        select
            {{ reporting_date('closed_at') }} as closed_on,
            pipeline,
            opportunity_type,
            sum(amount) as amount,
            count(amount) as deals
        from endings
        where outcome = 'won' and amount is not null and closed_at is not null
        group by {{ reporting_date('closed_at') }}, pipeline, opportunity_type
    ) as by_day on {{ before_forecast }}
    group by forecast_dates.forecast_date, by_day.pipeline, by_day.opportunity_type
),

open_deals as (
    select
        daily.date as forecast_date,
        daily.opportunity_id,
        coalesce(daily.pipeline, '(not set)') as pipeline,
        daily.opportunity_type,
        daily.owner_id,
        daily.stage,
        daily.days_in_stage,
        daily.amount,
        daily.close_date,
        daily.probability as crm_probability,
        case
            {% for band in bands | reverse %}
            when {{ 'daily.days_in_stage >= ' ~ band if not loop.last else 'true' }} then {{ band }}
            {% endfor %}
        end as age_band,
        0.5 as win_rate
    from daily
    inner join forecast_dates on daily.date = forecast_dates.forecast_date
),

{% for level, keys in levels %}
with_{{ level }} as (
    select
        before.forecast_date,
        before.opportunity_id,
        before.pipeline,
        before.opportunity_type,
        before.owner_id,
        before.stage,
        before.days_in_stage,
        before.age_band,
        before.amount,
        before.close_date,
        before.crm_probability,
        {% if not loop.first %}before.any_deals_known,{% endif %}
        cast(coalesce({{ level }}.deals, 0) as bigint) as {{ level }}_known,
        coalesce(
            (
                coalesce(cast({{ level }}.won as double), 0)
                + {{ var('forecast_prior_deals') }} * before.win_rate
            ) / nullif(coalesce(cast({{ level }}.deals as double), 0) + {{ var('forecast_prior_deals') }}, 0),
            before.win_rate
        ) as win_rate
    from {{ 'open_deals' if loop.first else 'with_' ~ levels[loop.index0 - 1][0] }} as before
    left join {{ level }}
        on
            before.forecast_date = {{ level }}.forecast_date
            {% for key in keys %}
            and before.{{ key }} = {{ level }}.{{ key }}
            {% endfor %}
),

{% endfor %}
final as (
    select
        rated.*,
        coalesce(rated.amount, mean_amounts.mean_amount, 0) as forecast_amount
    from with_{{ levels[-1][0] }} as rated
    left join mean_amounts
        on
            rated.forecast_date = mean_amounts.forecast_date
            and rated.pipeline = mean_amounts.pipeline
            and rated.opportunity_type = mean_amounts.opportunity_type
)

select
    forecast_date,
    opportunity_id,
    pipeline,
    opportunity_type,
    owner_id,
    stage,
    days_in_stage,
    cast(age_band as bigint) as age_band,
    amount,
    forecast_amount,
    close_date,
    greatest(coalesce(close_date, forecast_date), forecast_date) as expected_on,
    crm_probability,
    any_deals_known as closed_deals,
    age_deals_known as similar_deals,
    win_rate
from final
