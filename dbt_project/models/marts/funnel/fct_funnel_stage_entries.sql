{#
A subject's (person's, opportunity's, account's) way through the stages of its own kind. What holds:
- A history (CRM) may go forward, back and forward again; every stint counts. A stage that an event opens is entered
  once, and only while the subject has not been further.
- A move over stages that were never reached adds an entry of no duration to each of them (is_skipped).
- `movement` says how a stint ended: forward, skipped (forward over stages never reached), regressed (to an earlier
  stage), re_entered (forward into a stage held before), lost; NULL while it lasts.
#}
with rules as (
    select * from {{ ref('funnels') }}
),

stages as (
    select distinct
        funnel,
        stage,
        stage_order,
        subject,
        counting_unit
    from rules
),

observations as (
    select * from {{ ref('int_funnel_observations') }}
),

opportunities as (
    select * from {{ ref('int_opportunities') }}
),

accounts as (
    select * from {{ ref('int_accounts') }}
),

persons as (
    select
        person_id,
        account_id,
        first_seen_at,
        first_touch_channel,
        country
    from {{ ref('dim_persons') }}
),

bands as (
    select * from {{ ref('deal_size_bands') }}
),

matches as (
    select
        rules.funnel,
        rules.stage,
        rules.stage_order,
        rules.subject,
        rules.requires_stage,
        case rules.subject
            when 'person' then observations.person_id
            when 'account' then coalesce(observations.account_id, observations.person_id)
            when 'opportunity' then observations.opportunity_id
        end as subject_id,
        coalesce(observations.account_id, observations.person_id) as account_key,
        observations.person_id,
        observations.occurred_at,
        observations.owner_id,
        observations.product,
        observations.source in ('revenue_events', 'subscriptions') as is_bought,
        observations.is_history and rules.subject <> 'account' as is_history,
        observations.is_inferred
    from rules
    inner join observations
        on rules.source = observations.source and rules.field = observations.field
    where {{ funnel_rule_matches('rules.operator', 'rules.value', 'observations.value') }}
),

-- A stage that requires another counts from that stage's first entry by the same person or account on.
required as (
    select
        funnel,
        stage,
        'person' as subject,
        person_id as subject_id,
        min(occurred_at) as reached_at
    from matches
    where requires_stage is null and person_id is not null
    group by funnel, stage, person_id
    union all
    select
        funnel,
        stage,
        'account' as subject,
        account_key as subject_id,
        min(occurred_at) as reached_at
    from matches
    where requires_stage is null and account_key is not null
    group by funnel, stage, account_key
),

allowed as (
    select matches.*
    from matches
    left join required
        on
            matches.funnel = required.funnel
            and matches.requires_stage = required.stage
            and matches.subject = required.subject
            and matches.subject_id = required.subject_id
    where
        matches.subject_id is not null
        and (matches.requires_stage is null or matches.occurred_at >= required.reached_at)
),

ranked as (
    select
        allowed.*,
        row_number() over (
            partition by funnel, subject, subject_id, stage, is_history order by occurred_at
        ) as match_number
    from allowed
),

-- Losing is no stage: it ends the stint of every funnel that reads the same record's mapped stage.
losses as (
    select distinct
        rules.funnel,
        rules.subject,
        case rules.subject when 'person' then observations.person_id else observations.opportunity_id end
            as subject_id,
        observations.occurred_at,
        observations.is_inferred
    from rules
    inner join observations
        on rules.source = observations.source and rules.field = observations.field
    where
        rules.field = 'funnel_stage'
        and rules.subject <> 'account'
        and observations.value = 'lost'
),

steps as (
    select
        funnel,
        subject,
        subject_id,
        stage,
        stage_order,
        occurred_at,
        owner_id,
        is_history,
        is_inferred
    from ranked
    where is_history or match_number = 1
    union all
    select
        funnel,
        subject,
        subject_id,
        'lost' as stage,
        cast(null as integer) as stage_order,
        occurred_at,
        cast(null as {{ text_type() }}) as owner_id,
        true as is_history,
        is_inferred
    from losses
    where subject_id is not null
),

-- Most subjects have made one step only (a visit): they need no ordering, and the windows below stay small.
step_counts as (
    select
        funnel,
        subject,
        subject_id,
        count(*) as steps
    from steps
    group by funnel, subject, subject_id
),

ordered as (
    select
        steps.*,
        row_number() over (
            partition by steps.funnel, steps.subject, steps.subject_id
            order by
                steps.occurred_at asc,
                steps.stage_order asc nulls last,
                steps.is_inferred asc,
                steps.owner_id asc nulls last
        ) as step_number
    from steps
    inner join step_counts
        on
            steps.funnel = step_counts.funnel
            and steps.subject = step_counts.subject
            and steps.subject_id = step_counts.subject_id
            and step_counts.steps > 1
),

furthest as (
    select
        ordered.*,
        max(stage_order) over (
            partition by funnel, subject, subject_id order by step_number
            rows between unbounded preceding and 1 preceding
        ) as furthest_before
    from ordered
),

previous as (
    select
        furthest.*,
        lag(stage) over (partition by funnel, subject, subject_id order by step_number) as previous_stage
    from furthest
    where
        -- An event does not take anybody back, and only what is in the funnel can be lost.
        (is_history and stage <> 'lost')
        or (stage <> 'lost' and (furthest_before is null or stage_order > furthest_before))
        or (stage = 'lost' and furthest_before is not null)
),

sequenced as (
    select
        previous.*,
        lead(stage) over (partition by funnel, subject, subject_id order by step_number) as next_stage,
        lead(stage_order) over (partition by funnel, subject, subject_id order by step_number) as next_order,
        lead(occurred_at) over (partition by funnel, subject, subject_id order by step_number) as exited_at,
        lead(is_inferred) over (partition by funnel, subject, subject_id order by step_number)
            as is_exit_inferred
    from previous
    where previous_stage is null or previous_stage <> stage
),

moved as (
    select
        sequenced.*,
        case
            when next_stage is null then null
            when next_stage = 'lost' then 'lost'
            when next_order < stage_order then 'regressed'
            when next_order <= furthest_before then 're_entered'
            when next_order > greatest(stage_order, coalesce(furthest_before, stage_order)) + 1 then 'skipped'
            else 'forward'
        end as movement
    from sequenced
    where stage <> 'lost'
),

skipped as (
    select
        sequenced.funnel,
        sequenced.subject,
        sequenced.subject_id,
        stages.stage,
        stages.stage_order,
        sequenced.occurred_at,
        sequenced.owner_id,
        sequenced.is_inferred,
        lead(stages.stage, 1, sequenced.stage) over (
            partition by sequenced.funnel, sequenced.subject, sequenced.subject_id, sequenced.stage_order
            order by stages.stage_order
        ) as next_stage
    from sequenced
    inner join stages
        on
            sequenced.funnel = stages.funnel
            and sequenced.subject = stages.subject
            and sequenced.furthest_before < stages.stage_order
            and sequenced.stage_order > stages.stage_order
    where sequenced.stage <> 'lost'
),

entries as (
    select
        funnel,
        subject,
        subject_id,
        stage,
        stage_order,
        occurred_at as entered_at,
        exited_at,
        next_stage,
        movement,
        case
            when exited_at is not null then {{ hours_between('occurred_at', 'exited_at') }}
        end as hours_in_stage,
        owner_id,
        false as is_skipped,
        is_inferred,
        is_inferred or coalesce(is_exit_inferred, false) as has_inferred_hours
    from moved
    union all
    select
        funnel,
        subject,
        subject_id,
        stage,
        stage_order,
        occurred_at as entered_at,
        occurred_at as exited_at,
        next_stage,
        'skipped' as movement,
        cast(null as double) as hours_in_stage,
        owner_id,
        true as is_skipped,
        is_inferred,
        true as has_inferred_hours
    from skipped
),

-- Numbered while the rows are narrow.
numbered as (
    select
        entries.*,
        row_number() over (
            partition by funnel, subject, subject_id, stage order by entered_at asc, is_skipped desc
        ) as entry_number,
        last_value(coalesce(movement, '(in stage)')) over (
            partition by funnel, subject, subject_id
            order by entered_at asc, is_skipped desc, stage_order asc
            rows between unbounded preceding and unbounded following
        ) = 'lost' as is_subject_lost
    from entries
    union all
    select
        steps.funnel,
        steps.subject,
        steps.subject_id,
        steps.stage,
        steps.stage_order,
        steps.occurred_at as entered_at,
        cast(null as timestamp) as exited_at,
        cast(null as {{ text_type() }}) as next_stage,
        cast(null as {{ text_type() }}) as movement,
        cast(null as double) as hours_in_stage,
        steps.owner_id,
        false as is_skipped,
        steps.is_inferred,
        steps.is_inferred as has_inferred_hours,
        1 as entry_number,
        false as is_subject_lost
    from steps
    inner join step_counts
        on
            steps.funnel = step_counts.funnel
            and steps.subject = step_counts.subject
            and steps.subject_id = step_counts.subject_id
            and step_counts.steps = 1
    where steps.stage <> 'lost'
),

-- What a subject is segmented by: the same in all its stages.
products as (
    select
        funnel,
        subject,
        subject_id,
        product
    from (
        select
            funnel,
            subject,
            subject_id,
            product,
            row_number() over (
                partition by funnel, subject, subject_id order by is_bought desc, occurred_at asc, product asc
            ) as product_rank
        from allowed
        where product is not null
    ) as ranked_products
    where product_rank = 1
),

account_persons as (
    select
        account_id,
        first_touch_channel,
        country,
        row_number() over (partition by account_id order by first_seen_at, person_id) as person_rank
    from persons
    where account_id is not null
),

described as (
    select
        numbered.*,
        stages.counting_unit,
        case when numbered.subject = 'person' then numbered.subject_id else opportunities.person_id end
            as person_id,
        case numbered.subject
            when 'person' then persons.account_id
            when 'opportunity' then coalesce(opportunities.account_id, deal_persons.account_id)
            when 'account' then accounts.account_id
        end as account_id,
        case when numbered.subject = 'opportunity' then numbered.subject_id end as opportunity_id,
        coalesce(
            persons.first_touch_channel, account_firsts.first_touch_channel, deal_persons.first_touch_channel
        ) as first_touch_channel,
        coalesce(
            persons.country,
            deal_accounts.country,
            accounts.country,
            account_firsts.country,
            deal_persons.country
        )
            as country,
        products.product,
        bands.band as deal_size_band,
        coalesce(numbered.owner_id, accounts.owner_id) as stage_owner_id
    from numbered
    inner join stages on numbered.funnel = stages.funnel and numbered.stage = stages.stage
    left join persons on numbered.subject_id = persons.person_id and numbered.subject in ('person', 'account')
    left join
        opportunities
        on numbered.subject_id = opportunities.opportunity_id and numbered.subject = 'opportunity'
    left join persons as deal_persons on opportunities.person_id = deal_persons.person_id
    left join accounts on numbered.subject_id = accounts.account_id and numbered.subject = 'account'
    left join accounts as deal_accounts on opportunities.account_id = deal_accounts.account_id
    left join account_persons as account_firsts
        on
            coalesce(opportunities.account_id, accounts.account_id) = account_firsts.account_id
            and account_firsts.person_rank = 1
    left join products
        on
            numbered.funnel = products.funnel
            and numbered.subject = products.subject
            and numbered.subject_id = products.subject_id
    left join bands
        on
            opportunities.amount >= coalesce(bands.amount_from, 0)
            and opportunities.amount < coalesce(bands.amount_to, 99999999999999)
)

select
    {{ surrogate_key(['funnel', 'subject', 'subject_id', 'stage', 'entry_number']) }}
        as funnel_stage_entry_id,
    cast(funnel as {{ text_type() }}) as funnel,
    cast(subject as {{ text_type() }}) as subject,
    subject_id,
    person_id,
    account_id,
    opportunity_id,
    cast(stage as {{ text_type() }}) as stage,
    cast(stage_order as bigint) as stage_order,
    cast(entry_number as bigint) as entry_number,
    entered_at,
    {{ reporting_date('entered_at') }} as entered_on,
    exited_at,
    next_stage,
    movement,
    hours_in_stage,
    has_inferred_hours,
    is_skipped,
    is_inferred,
    is_subject_lost,
    cast(counting_unit as {{ text_type() }}) as counting_unit,
    case counting_unit
        when 'account' then coalesce(account_id, person_id, subject_id)
        else subject_id
    end as counting_unit_id,
    coalesce(account_id, person_id, subject_id) as account_unit_id,
    stage_owner_id as owner_id,
    coalesce(first_touch_channel, '(not set)') as first_touch_channel,
    coalesce(country, '(not set)') as country,
    coalesce(product, '(not set)') as product,
    coalesce(deal_size_band, '(not set)') as deal_size_band
from described
order by subject_id  -- the rows of a subject beside each other: a fifth of the table's size
