-- Every CRM person has one score whose reasons add up to it; every open deal with a gap stands in
-- leads_needing_attention once for it, and no closed deal does.
with attention as (
    select * from {{ ref('leads_needing_attention') }}
),

scores as (
    select
        person_id,
        lead_score,
        reasons
    from {{ ref('lead_scores') }}
),

deals as (
    select * from {{ ref('fct_opportunities') }}
),

contact_persons as (
    select person_id
    from {{ ref('dim_persons') }}
    where contact_id is not null and not is_internal
),

given_reasons as (
    select
        person_id,
        {{ explode_list(json_list('reasons')) }} as reason
    from scores
),

points as (
    select
        person_id,
        sum(cast(trim(split_part(reason, ':', 2)) as bigint)) as points
    from given_reasons
    group by person_id
),

gaps as (
    select
        opportunity_id,
        'single_contact' as reason
    from deals
    where not is_closed and contact_count <= 1
    union all
    select
        opportunity_id,
        'no_next_step' as reason
    from deals
    where not is_closed and trim(coalesce(next_step, '')) = ''
    union all
    select
        opportunity_id,
        'past_close_date' as reason
    from deals
    where not is_closed and close_date < {{ as_of_date() }}
)

select
    coalesce(contact_persons.person_id, scores.person_id) as record_id,
    'a CRM person has no score, or a score has no person' as problem
from contact_persons
full outer join scores on contact_persons.person_id = scores.person_id
where contact_persons.person_id is null or scores.person_id is null
union all
select
    scores.person_id as record_id,
    'reasons do not add up to the score' as problem
from scores
left join points on scores.person_id = points.person_id
where scores.lead_score <> coalesce(points.points, 0)
union all
select
    coalesce(gaps.opportunity_id, attention.subject_id) as record_id,
    'gap of an open deal is missing, or stands for a deal without it' as problem
from gaps
full outer join (
    select
        subject_id,
        reason
    from attention
    where reason in ('single_contact', 'no_next_step', 'past_close_date')
) as attention
    on gaps.opportunity_id = attention.subject_id and gaps.reason = attention.reason
where gaps.opportunity_id is null or attention.subject_id is null
union all
select
    attention.subject_id as record_id,
    'closed deal' as problem
from attention
inner join deals on attention.opportunity_id = deals.opportunity_id
where deals.is_closed
