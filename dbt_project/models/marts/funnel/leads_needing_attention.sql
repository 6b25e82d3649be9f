{#
What somebody should look at now, one row per record and reason. Each CTE of a reason has the same columns; `since` is
the moment from which on the reason holds.
#}
{% set quiet_days = var('hot_without_activity_days') %}
{% set no_text = 'cast(null as ' ~ text_type() ~ ')' %}

with opportunities as (
    select * from {{ ref('fct_opportunities') }}
),

entries as (
    select * from {{ ref('fct_funnel_stage_entries') }}
),

handoffs as (
    select * from {{ ref('int_handoffs') }}
),

activities as (
    select * from {{ ref('int_owner_activities') }}
),

scores as (
    select * from {{ ref('lead_scores') }}
),

owners as (
    select
        owner_id,
        owner_name
    from {{ ref('dim_owners') }}
),

targets as (
    select * from {{ ref('stage_targets') }}
    where sla_hours is not null
),

handoff_stages as (
    select * from {{ ref('handoff_stages') }}
),

open_deals as (
    select * from opportunities
    where not is_closed
),

-- Where a deal or a person stands, and since when.
stints as (
    select
        entries.subject,
        entries.subject_id,
        entries.funnel,
        entries.stage,
        entries.entered_at
    from entries
    left join open_deals on entries.opportunity_id = open_deals.opportunity_id
    where
        entries.exited_at is null
        and not entries.is_skipped
        and (
            entries.subject = 'person'
            or (entries.subject = 'opportunity' and open_deals.opportunity_id is not null)
        )
),

-- What has been done for a person; for a deal also what was done for its main person.
efforts as (
    select
        'person' as subject,
        person_id as subject_id,
        occurred_at
    from activities
    where person_id is not null
    union all
    select
        'opportunity' as subject,
        opportunity_id as subject_id,
        occurred_at
    from activities
    where opportunity_id is not null
    union all
    select
        'opportunity' as subject,
        open_deals.opportunity_id as subject_id,
        activities.occurred_at
    from activities
    inner join open_deals on activities.person_id = open_deals.person_id
),

last_efforts as (
    select
        subject,
        subject_id,
        max(occurred_at) as last_activity_at
    from efforts
    group by subject, subject_id
),

-- A hand-over that nobody has touched, and any other stage with a service level that nobody has worked in.
sla_breached as (
    select
        'person' as subject,
        person_id as subject_id,
        funnel,
        stage,
        'sla_breached' as reason,
        min(sla_due_at) as since
    from handoffs
    where is_passed and outcome = 'open' and worked_at is null and sla_due_at < {{ as_of() }}
    group by person_id, funnel, stage
    union all
    select
        stints.subject,
        stints.subject_id,
        stints.funnel,
        stints.stage,
        'sla_breached' as reason,
        {{ add_seconds('stints.entered_at', 'targets.sla_hours * 3600') }} as since
    from stints
    inner join targets on stints.funnel = targets.funnel and stints.stage = targets.stage
    left join handoff_stages
        on stints.funnel = handoff_stages.funnel and stints.stage = handoff_stages.stage
    left join last_efforts
        on stints.subject = last_efforts.subject and stints.subject_id = last_efforts.subject_id
    where
        handoff_stages.stage is null
        and {{ add_seconds('stints.entered_at', 'targets.sla_hours * 3600') }} < {{ as_of() }}
        and coalesce(last_efforts.last_activity_at < stints.entered_at, true)
),

won_hours as (
    select
        entries.funnel,
        entries.stage,
        entries.subject_id,
        sum(entries.hours_in_stage) as hours_in_stage
    from entries
    inner join opportunities on entries.opportunity_id = opportunities.opportunity_id
    where opportunities.is_won and entries.hours_in_stage is not null and not entries.has_inferred_hours
    group by entries.funnel, entries.stage, entries.subject_id
),

patience as (
    select
        funnel,
        stage,
        percentile_cont(0.9) within group (order by hours_in_stage) as p90_hours
    from won_hours
    group by funnel, stage
),

stale as (
    select
        stints.subject,
        stints.subject_id,
        stints.funnel,
        stints.stage,
        'stale' as reason,
        {{ add_seconds('stints.entered_at', 'patience.p90_hours * 3600') }} as since
    from stints
    inner join patience on stints.funnel = patience.funnel and stints.stage = patience.stage
    where
        stints.subject = 'opportunity'
        and {{ hours_between('stints.entered_at', as_of()) }} > patience.p90_hours
),

-- The other reasons of deals hold whatever pipeline they are in.
deal_reasons as (
    select
        opportunity_id,
        'past_close_date' as reason,
        {{ to_utc(
            "cast(" ~ add_days('close_date', 1) ~ " as timestamp)", "'" ~ var('reporting_time_zone') ~ "'"
        ) }} as since
    from open_deals
    where close_date < {{ as_of_date() }}
    union all
    select
        opportunity_id,
        'no_next_step' as reason,
        cast(null as timestamp) as since
    from open_deals
    where coalesce(trim(next_step), '') = ''
    union all
    select
        opportunity_id,
        'single_contact' as reason,
        created_at as since
    from open_deals
    where contact_count <= 1
),

deal_stints as (
    select
        subject_id as opportunity_id,
        max_by(funnel, {{ ordered_by(['entered_at', 'funnel']) }}) as funnel,
        max_by(stage, {{ ordered_by(['entered_at', 'funnel']) }}) as stage,
        max(entered_at) as entered_at
    from stints
    where subject = 'opportunity'
    group by subject_id
),

deals as (
    select
        'opportunity' as subject,
        deal_reasons.opportunity_id as subject_id,
        deal_stints.funnel,
        coalesce(deal_stints.stage, open_deals.stage) as stage,
        deal_reasons.reason,
        coalesce(deal_reasons.since, deal_stints.entered_at, open_deals.created_at) as since
    from deal_reasons
    inner join open_deals on deal_reasons.opportunity_id = open_deals.opportunity_id
    left join deal_stints on deal_reasons.opportunity_id = deal_stints.opportunity_id
),

lost_persons as (
    select
        subject_id as person_id
    from entries
    where subject = 'person' and is_subject_lost
    group by subject_id
),

hot as (
    select
        'person' as subject,
        scores.person_id as subject_id,
        {{ no_text }} as funnel,
        scores.lifecycle_stage as stage,
        'hot_without_activity' as reason,
        greatest(
            scores.last_engaged_at,
            coalesce(
                {{ add_seconds('last_efforts.last_activity_at', quiet_days ~ ' * 86400.0') }},
                scores.last_engaged_at
            )
        ) as since
    from scores
    left join last_efforts
        on last_efforts.subject = 'person' and scores.person_id = last_efforts.subject_id
    left join lost_persons on scores.person_id = lost_persons.person_id
    where
        scores.is_hot
        and not scores.is_customer
        and lost_persons.person_id is null
        and coalesce(
            {{ days_between('last_efforts.last_activity_at', as_of()) }} > {{ quiet_days }},
            true
        )
),

reasons as (
    {% for relation in ['sla_breached', 'stale', 'deals', 'hot'] %}
    select
        subject,
        subject_id,
        funnel,
        stage,
        reason,
        since
    from {{ relation }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

described as (
    select
        reasons.subject,
        reasons.subject_id,
        reasons.funnel,
        reasons.stage,
        reasons.reason,
        reasons.since,
        case when reasons.subject = 'person' then reasons.subject_id else open_deals.person_id end
            as person_id,
        coalesce(open_deals.account_id, scores.account_id) as account_id,
        open_deals.opportunity_id,
        open_deals.name as opportunity_name,
        open_deals.amount,
        open_deals.close_date,
        scores.lead_score,
        coalesce(open_deals.owner_id, scores.owner_id) as owner_id,
        case
            when open_deals.opportunity_id is not null
                then
                    {{ crm_record_url(
                        'opportunity', 'open_deals.source_relation', 'open_deals.source_record_id'
                    ) }}
            else scores.crm_url
        end as crm_url
    from reasons
    left join open_deals
        on reasons.subject = 'opportunity' and reasons.subject_id = open_deals.opportunity_id
    left join scores
        on coalesce(open_deals.person_id, reasons.subject_id) = scores.person_id
    where open_deals.opportunity_id is not null or scores.person_id is not null
)

select
    {{ surrogate_key(['described.subject', 'described.subject_id', 'described.funnel', 'described.reason']) }}
        as attention_id,
    cast(described.subject as {{ text_type() }}) as subject,
    described.subject_id,
    described.person_id,
    described.account_id,
    described.opportunity_id,
    described.opportunity_name,
    cast(described.reason as {{ text_type() }}) as reason,
    described.since,
    {{ days_between('described.since', as_of()) }} as days_since,
    described.owner_id,
    coalesce(owners.owner_name, '(not set)') as owner_name,
    described.funnel,
    described.stage,
    described.amount,
    described.close_date,
    described.lead_score,
    described.crm_url
from described
left join owners on described.owner_id = owners.owner_id
