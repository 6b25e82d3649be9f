{#
A subject's (person's, opportunity's, account's) way through the stages of its own kind. What holds:
- A history (CRM) may go forward, back and forward again; every stint counts. A stage that an event opens is entered
  once, and only while the subject has not been further.
- A move over stages that were never reached adds an entry of no duration to each of them (is_skipped).
- `movement` says how a stint ended: forward, skipped (forward over stages never reached), regressed (to an earlier
  stage), re_entered (forward into a stage held before), lost; NULL while it lasts.
- Where the funnel goes on with subjects of another kind (persons, then opportunities), the stint in the last stage of
  the one kind ends when the account's next subject of the other kind starts; the stages before that start are skipped.
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
requirements as (
    select distinct
        funnel,
        requires_stage as stage
    from rules
    where requires_stage is not null
),

required as (
    {% for subject, key in [('person', 'person_id'), ('account', 'account_key')] %}
    select
        matches.funnel,
        matches.stage,
        '{{ subject }}' as subject,
        matches.{{ key }} as subject_id,
        min(matches.occurred_at) as reached_at
    from matches
    inner join requirements
        on matches.funnel = requirements.funnel and matches.stage = requirements.stage
    where matches.requires_stage is null and matches.{{ key }} is not null
    group by matches.funnel, matches.stage, matches.{{ key }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

allowed as (
    select matches.*
    from matches
    where subject_id is not null and requires_stage is null
    union all
    select matches.*
    from matches
    inner join required
        on
            matches.funnel = required.funnel
            and matches.requires_stage = required.stage
            and matches.subject = required.subject
            and matches.subject_id = required.subject_id
            and matches.occurred_at >= required.reached_at
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
    from allowed
    where is_history
    union all
    select
        funnel,
        subject,
        subject_id,
        stage,
        stage_order,
        min(occurred_at) as occurred_at,
        min_by(owner_id, {{ ordered_by(['occurred_at', 'owner_id']) }}) as owner_id,
        false as is_history,
        bool_and(is_inferred) as is_inferred
    from allowed
    where not is_history
    group by funnel, subject, subject_id, stage, stage_order
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

-- Where the funnel goes on with subjects of another kind.
boundaries as (
    select
        stages.funnel,
        stages.stage,
        stages.stage_order,
        stages.subject,
        following.subject as next_subject
    from stages
    inner join stages as following
        on stages.funnel = following.funnel and stages.stage_order + 1 = following.stage_order
    where stages.subject <> following.subject
),

account_units as (
    select
        'person' as subject,
        person_id as subject_id,
        coalesce(account_id, person_id) as account_unit_id
    from persons
    union all
    select
        'opportunity' as subject,
        opportunities.opportunity_id as subject_id,
        coalesce(
            opportunities.account_id,
            persons.account_id,
            opportunities.person_id,
            opportunities.opportunity_id
        )
            as account_unit_id
    from opportunities
    left join persons on opportunities.person_id = persons.person_id
),

-- The start of each subject that a boundary leads to.
starts as (
    select
        firsts.funnel,
        firsts.subject,
        firsts.subject_id,
        firsts.stage,
        firsts.stage_order,
        firsts.occurred_at as started_at,
        firsts.is_inferred,
        boundaries.stage as boundary_stage,
        boundaries.stage_order as boundary_order,
        boundaries.subject as boundary_subject,
        coalesce(account_units.account_unit_id, firsts.subject_id) as account_unit_id
    from (
        select
            steps.*,
            row_number() over (
                partition by funnel, subject, subject_id
                order by occurred_at asc, stage_order asc, is_inferred asc
            ) as start_number
        from steps
        where stage <> 'lost' and subject <> 'person'
    ) as firsts
    inner join boundaries
        on
            firsts.funnel = boundaries.funnel
            and firsts.subject = boundaries.next_subject
            and firsts.stage_order > boundaries.stage_order
    left join account_units
        on firsts.subject = account_units.subject and firsts.subject_id = account_units.subject_id
    where firsts.start_number = 1
),

-- A start with stages left out between it and a boundary that the account had reached.
late_starts as (
    select
        starts.funnel,
        starts.subject,
        starts.subject_id,
        max(starts.boundary_order) as reached_order
    from starts
    inner join steps
        on
            starts.funnel = steps.funnel
            and starts.boundary_stage = steps.stage
            and starts.started_at >= steps.occurred_at
    left join account_units
        on steps.subject = account_units.subject and steps.subject_id = account_units.subject_id
    where
        starts.stage_order > starts.boundary_order + 1
        and starts.account_unit_id = coalesce(account_units.account_unit_id, steps.subject_id)
    group by starts.funnel, starts.subject, starts.subject_id
),

-- Most subjects have made one step only (a visit): they need no ordering, and the windows below stay small.
step_counts as (
    select
        counted.funnel,
        counted.subject,
        counted.subject_id,
        late_starts.reached_order,
        counted.steps = 1 and late_starts.reached_order is null as is_single
    from (
        select
            funnel,
            subject,
            subject_id,
            count(*) as steps
        from steps
        group by funnel, subject, subject_id
    ) as counted
    left join late_starts
        on
            counted.funnel = late_starts.funnel
            and counted.subject = late_starts.subject
            and counted.subject_id = late_starts.subject_id
),

ordered as (
    select
        steps.*,
        step_counts.reached_order,
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
            and not step_counts.is_single
),

furthest as (
    select
        ordered.*,
        coalesce(
            max(stage_order) over (
                partition by funnel, subject, subject_id order by step_number
                rows between unbounded preceding and 1 preceding
            ),
            case when stage <> 'lost' then reached_order end
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

singles as (
    select steps.*
    from steps
    inner join step_counts
        on
            steps.funnel = step_counts.funnel
            and steps.subject = step_counts.subject
            and steps.subject_id = step_counts.subject_id
            and step_counts.is_single
    where steps.stage <> 'lost'
),

-- The stints at a boundary that their subject itself has not ended, and the start that ended them.
crossings as (
    select
        held.funnel,
        held.subject,
        held.subject_id,
        min(starts.started_at) as exited_at,
        {% set earliest = ordered_by(['starts.started_at', 'starts.stage_order', 'starts.subject_id']) %}
        min_by(starts.stage, {{ earliest }}) as next_stage,
        min_by(
            case when starts.stage_order = starts.boundary_order + 1 then 'forward' else 'skipped' end,
            {{ earliest }}
        ) as movement,
        min_by(starts.is_inferred, {{ earliest }}) as is_exit_inferred
    from (
        select
            funnel,
            subject,
            subject_id,
            stage,
            occurred_at
        from moved
        where movement is null
        union all
        select
            funnel,
            subject,
            subject_id,
            stage,
            occurred_at
        from singles
    ) as held
    left join account_units
        on held.subject = account_units.subject and held.subject_id = account_units.subject_id
    inner join starts
        on
            held.funnel = starts.funnel
            and held.stage = starts.boundary_stage
            and held.subject = starts.boundary_subject
            and coalesce(account_units.account_unit_id, held.subject_id) = starts.account_unit_id
            and held.occurred_at <= starts.started_at
    group by held.funnel, held.subject, held.subject_id
),

entries as (
    select
        moved.funnel,
        moved.subject,
        moved.subject_id,
        moved.stage,
        moved.stage_order,
        moved.occurred_at as entered_at,
        coalesce(moved.exited_at, crossings.exited_at) as exited_at,
        coalesce(moved.next_stage, crossings.next_stage) as next_stage,
        coalesce(moved.movement, crossings.movement) as movement,
        moved.owner_id,
        false as is_skipped,
        moved.is_inferred,
        moved.is_inferred or coalesce(moved.is_exit_inferred, crossings.is_exit_inferred, false)
            as has_inferred_hours
    from moved
    left join crossings
        on
            moved.movement is null
            and moved.funnel = crossings.funnel
            and moved.subject = crossings.subject
            and moved.subject_id = crossings.subject_id
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
        ) = 'lost' as is_subject_lost,
        false as is_single
    from entries
    union all
    select
        singles.funnel,
        singles.subject,
        singles.subject_id,
        singles.stage,
        singles.stage_order,
        singles.occurred_at as entered_at,
        crossings.exited_at,
        crossings.next_stage,
        crossings.movement,
        singles.owner_id,
        false as is_skipped,
        singles.is_inferred,
        singles.is_inferred or coalesce(crossings.is_exit_inferred, false) as has_inferred_hours,
        1 as entry_number,
        false as is_subject_lost,
        true as is_single
    from singles
    left join crossings
        on
            singles.funnel = crossings.funnel
            and singles.subject = crossings.subject
            and singles.subject_id = crossings.subject_id
),

other_units as (
    select account_unit_id
    from account_units
    where subject <> 'person'
    union
    select subject_id as account_unit_id
    from steps
    where subject = 'account'
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
        numbered.is_single
        and numbered.subject = 'person'
        and persons.account_id is null
        and other_units.account_unit_id is null as is_only_entry,
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
    left join other_units on numbered.subject_id = other_units.account_unit_id
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
    case
        when exited_at is not null and not is_skipped then {{ hours_between('entered_at', 'exited_at') }}
    end as hours_in_stage,
    has_inferred_hours,
    is_skipped,
    is_inferred,
    is_subject_lost,
    is_only_entry,
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
