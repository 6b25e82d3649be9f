{#
What became of each hand-over until the person was handed over again: the first of accepted, rejected (lost) and recycled
(moved back) decides. Business hours are the open hours of the owner's market between two moments: seed business_hours
in the market's own time zone, without the holidays of the country of that name.
#}
with handoff_stages as (
    select * from {{ ref('handoff_stages') }}
),

entries as (
    select * from {{ ref('fct_funnel_stage_entries') }}
    where subject = 'person'
),

persons as (
    select
        person_id,
        contact_id,
        country,
        owner_id
    from {{ ref('dim_persons') }}
),

owners as (
    select
        owner_id,
        team
    from {{ ref('dim_owners') }}
),

team_markets as (
    select * from {{ ref('team_markets') }}
),

targets as (
    select * from {{ ref('stage_targets') }}
),

activities as (
    select * from {{ ref('int_owner_activities') }}
),

business_hours as (
    select * from {{ ref('business_hours') }}
),

markets as (
    select distinct market
    from business_hours
),

holidays as (
    select distinct
        holiday_date,
        country
    from {{ ref('holidays') }}
),

contact_persons as (
    select
        contacts.contact_id,
        identity_map.person_id
    from {{ ref('int_contacts') }} as contacts
    inner join {{ ref('int_identity_map') }} as identity_map
        on
            contacts.source_record_id = identity_map.identifier
            and identity_map.identifier_type
            = {{ identifier_type('crm_contact', 'contacts.source_relation') }}
),

reasons as (
    select
        contact_persons.person_id,
        changes.to_value as reason,
        changes.changed_at
    from {{ ref('int_crm_stage_changes') }} as changes
    inner join contact_persons on changes.object_id = contact_persons.contact_id
    where
        changes.object_type = 'contact'
        and changes.field = 'disqualified_reason'
        and changes.to_value <> ''
        and changes.changed_at <= {{ as_of() }}
),

handed as (
    select
        entries.funnel_stage_entry_id as handoff_id,
        handoff_stages.handoff_type,
        entries.funnel,
        entries.stage,
        handoff_stages.accepted_funnel,
        handoff_stages.accepted_stage,
        entries.subject_id as person_id,
        entries.account_id,
        persons.contact_id,
        coalesce(entries.owner_id, persons.owner_id) as owner_id,
        entries.first_touch_channel as channel,
        persons.country,
        entries.entered_at as handed_at,
        entries.entered_on as handed_on,
        lead(entries.entered_at) over (
            partition by handoff_stages.handoff_type, entries.subject_id
            order by entries.entered_at, entries.funnel, entries.stage
        ) as next_handed_at
    from entries
    inner join handoff_stages
        on entries.funnel = handoff_stages.funnel and entries.stage = handoff_stages.stage
    left join persons on entries.subject_id = persons.person_id
    where not entries.is_skipped
),

decisions as (
    select
        funnel,
        stage,
        subject_id as person_id,
        'accepted' as outcome,
        1 as outcome_order,
        entered_at as decided_at
    from entries
    union all
    select
        funnel,
        cast(null as {{ text_type() }}) as stage,
        subject_id as person_id,
        case movement when 'lost' then 'rejected' else 'recycled' end as outcome,
        2 as outcome_order,
        exited_at as decided_at
    from entries
    where movement in ('lost', 'regressed')
),

decided as (
    select
        handed.handoff_id,
        decisions.outcome,
        decisions.decided_at,
        row_number() over (
            partition by handed.handoff_id order by decisions.decided_at, decisions.outcome_order
        ) as decision_number
    from handed
    inner join decisions
        on
            handed.person_id = decisions.person_id
            and handed.accepted_funnel = decisions.funnel
            and (decisions.stage is null or handed.accepted_stage = decisions.stage)
            and handed.handed_at <= decisions.decided_at
            and (handed.next_handed_at is null or decisions.decided_at < handed.next_handed_at)
),

responses as (
    select
        handed.handoff_id,
        min(activities.occurred_at) as first_response_at
    from handed
    inner join activities
        on
            handed.person_id = activities.person_id
            and handed.handed_at <= activities.occurred_at
            and (handed.next_handed_at is null or activities.occurred_at < handed.next_handed_at)
    group by handed.handoff_id
),

given_reasons as (
    select
        handed.handoff_id,
        min_by(reasons.reason, {{ ordered_by(['reasons.changed_at', 'reasons.reason']) }}) as reason
    from handed
    inner join reasons
        on
            handed.person_id = reasons.person_id
            and handed.handed_at <= reasons.changed_at
            and (handed.next_handed_at is null or reasons.changed_at < handed.next_handed_at)
    group by handed.handoff_id
),

described as (
    select
        handed.*,
        coalesce(team_markets.market, markets.market, '{{ var("holiday_country") }}') as market,
        decided.outcome,
        decided.decided_at,
        responses.first_response_at,
        least(
            coalesce(responses.first_response_at, decided.decided_at),
            coalesce(decided.decided_at, responses.first_response_at)
        ) as worked_at,
        given_reasons.reason,
        targets.sla_hours
    from handed
    left join owners on handed.owner_id = owners.owner_id
    left join team_markets on owners.team = team_markets.team
    left join markets on handed.country = markets.market
    left join decided on handed.handoff_id = decided.handoff_id and decided.decision_number = 1
    left join responses on handed.handoff_id = responses.handoff_id
    left join given_reasons on handed.handoff_id = given_reasons.handoff_id
    left join targets on handed.funnel = targets.funnel and handed.stage = targets.stage
),

days as (
    {{ day_spine(
        "(select " ~ add_days("coalesce(min(handed_on), " ~ as_of_date() ~ ")", -1) ~ " from handed)",
        add_days(as_of_date(), 1)
    ) }}
),

open_hours as (
    select
        business_hours.market,
        {{ to_utc(
            "cast(concat(cast(days.date_day as " ~ text_type() ~ "), ' ', business_hours.opens_at) as timestamp)",
            "business_hours.time_zone"
        ) }} as opens_at,
        {{ to_utc(
            "cast(concat(cast(days.date_day as " ~ text_type() ~ "), ' ', business_hours.closes_at) as timestamp)",
            "business_hours.time_zone"
        ) }} as closes_at
    from days
    inner join business_hours on {{ iso_weekday('days.date_day') }} = business_hours.iso_weekday
    left join holidays
        on days.date_day = holidays.holiday_date and business_hours.market = holidays.country
    where holidays.holiday_date is null
),

response_hours as (
    select
        described.handoff_id,
        sum(
            {{ hours_between(
                'greatest(open_hours.opens_at, described.handed_at)',
                'least(open_hours.closes_at, described.first_response_at)'
            ) }}
        ) as business_hours
    from described
    inner join open_hours
        on
            described.market = open_hours.market
            and described.handed_at < open_hours.closes_at
            and described.first_response_at > open_hours.opens_at
    group by described.handoff_id
)

select
    described.handoff_id,
    described.handoff_type,
    described.funnel,
    described.stage,
    described.person_id,
    described.account_id,
    described.contact_id,
    described.owner_id,
    described.channel,
    described.market,
    described.handed_at,
    described.handed_on,
    described.contact_id is not null as is_passed,
    coalesce(described.outcome, 'open') as outcome,
    described.decided_at,
    case when described.outcome = 'rejected' then coalesce(described.reason, '(not set)') end
        as rejection_reason,
    described.first_response_at,
    {{ hours_between('described.handed_at', 'described.first_response_at') }} as speed_to_lead_hours,
    case
        when described.first_response_at is not null then coalesce(response_hours.business_hours, 0.0)
    end as speed_to_lead_business_hours,
    described.worked_at,
    described.sla_hours,
    {{ add_seconds('described.handed_at', 'described.sla_hours * 3600') }} as sla_due_at
from described
left join response_hours on described.handoff_id = response_hours.handoff_id
