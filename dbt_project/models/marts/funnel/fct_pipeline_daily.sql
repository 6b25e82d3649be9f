{#
A state is exploded into the days at whose end it held: linear in the rows that come out, whatever the number of
deals. The day of as_of is shown as it stands at as_of.
#}
with states as (
    select * from {{ ref('int_opportunity_states') }}
    where is_open and valid_from <= {{ as_of() }}
),

probabilities as (
    select
        lower(pipeline) as pipeline,
        lower(crm_stage) as crm_stage,
        probability
    from {{ ref('crm_stage_mapping') }}
    where object_type = 'opportunity' and field = 'stage'
),

bounded as (
    select
        states.*,
        case
            when states.valid_to is null or states.valid_to > {{ as_of() }} then {{ as_of_date() }}
            else {{ add_days(reporting_date('states.valid_to'), -1) }}
        end as last_day
    from states
),

days as (
    select
        opportunity_id,
        pipeline,
        opportunity_type,
        owner_id,
        stage,
        {{ reporting_date('stage_entered_at') }} as stage_entered_on,
        created_on,
        amount,
        amount_original,
        currency_original,
        close_date,
        forecast_category,
        source_relation,
        {{ explode_days('valid_from_on', 'last_day') }} as date
    from bounded
    where valid_from_on <= last_day
)

select
    days.date,
    days.opportunity_id,
    days.pipeline,
    coalesce(days.opportunity_type, '(not set)') as opportunity_type,
    days.owner_id,
    days.stage,
    days.stage_entered_on,
    {{ date_diff_days('days.stage_entered_on', 'days.date') }} as days_in_stage,
    days.created_on,
    {{ date_diff_days('days.created_on', 'days.date') }} as age_days,
    days.amount,
    days.amount_original,
    days.currency_original,
    days.close_date,
    coalesce(days.close_date < days.date, false) as is_overdue,
    days.forecast_category,
    probabilities.probability,
    days.source_relation
from days
left join probabilities
    on
        coalesce(lower(days.pipeline), '') = coalesce(probabilities.pipeline, '')
        and lower(days.stage) = probabilities.crm_stage
