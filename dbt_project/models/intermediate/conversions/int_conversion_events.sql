{# Everything that a rule of conversion_rules calls a conversion, before repeats of the same conversion are
   joined (fct_conversions does that): one row per rule and record, in the terms of conversions. #}
with
contacts as (
    select
        contacts.contact_id,
        contacts.source_relation,
        identity_map.person_id
    from {{ ref('int_contacts') }} as contacts
    left join {{ ref('int_identity_map') }} as identity_map
        on
            identity_map.identifier_type = {{ identifier_type('crm_contact', 'contacts.source_relation') }}
            and identity_map.identifier = contacts.source_record_id
),

stage_changes as (
    select
        changes.stage_change_id,
        changes.field,
        changes.from_value,
        changes.to_value,
        changes.funnel_stage,
        changes.changed_at,
        changes.is_inferred,
        contacts.source_relation,
        contacts.person_id,
        lag(changes.funnel_stage) over (
            partition by changes.object_id, changes.field order by changes.changed_at, changes.stage_change_id
        ) as previous_funnel_stage
    from {{ ref('int_crm_stage_changes') }} as changes
    inner join contacts
        on changes.object_id = contacts.contact_id
    where changes.object_type = 'contact'
),

-- Two CRM stages may map to one funnel stage: moving between them is no new entry.
stage_entries as (
    select * from stage_changes
    where coalesce(funnel_stage, '') != coalesce(previous_funnel_stage, '')
),

matched_stage_entries as (
    {{ matched_rules(
        'contact_stage_changes', 'stage_entries',
        ['stage_change_id', 'source_relation', 'person_id', 'changed_at', 'is_inferred'],
        {
            'field': 'subject_rows.field',
            'from_value': 'subject_rows.from_value',
            'to_value': 'subject_rows.to_value',
            'funnel_stage': 'subject_rows.funnel_stage',
        }
    ) }}
),

opportunities as (
    select
        opportunity_id,
        source_relation,
        account_id,
        person_id,
        pipeline,
        opportunity_type,
        created_at,
        closed_at,
        is_won,
        amount,
        amount_original,
        currency_original
    from {{ ref('int_opportunities') }}
),

matched_creations as (
    {{ matched_rules('opportunity_creations', 'opportunities', ['opportunity_id'], {
        'opportunity_id': 'subject_rows.opportunity_id',
        'opportunity_type': 'subject_rows.opportunity_type',
        'pipeline': 'subject_rows.pipeline',
        'amount': 'subject_rows.amount',
    }) }}
),

closed_opportunities as (
    select * from opportunities
    where closed_at is not null
),

matched_closings as (
    {{ matched_rules('opportunity_closings', 'closed_opportunities', ['opportunity_id'], {
        'opportunity_id': 'subject_rows.opportunity_id',
        'opportunity_type': 'subject_rows.opportunity_type',
        'pipeline': 'subject_rows.pipeline',
        'is_won': 'subject_rows.is_won',
        'amount': 'subject_rows.amount',
    }) }}
),

opportunity_events as (
    select
        matched_creations.rule_id,
        matched_creations.conversion_type,
        'opportunity_creations' as source,
        opportunities.created_at as occurred_at,
        opportunities.*
    from matched_creations
    inner join opportunities
        on matched_creations.opportunity_id = opportunities.opportunity_id
    union all
    select
        matched_closings.rule_id,
        matched_closings.conversion_type,
        'opportunity_closings' as source,
        closed_opportunities.closed_at as occurred_at,
        closed_opportunities.*
    from matched_closings
    inner join closed_opportunities
        on matched_closings.opportunity_id = closed_opportunities.opportunity_id
),

revenue_lines as (
    select * from {{ ref('int_revenue_events') }}
    where is_counted and event_type in ('order', 'invoice')
),

matched_lines as (
    {{ matched_rules('revenue_lines', 'revenue_lines', ['revenue_event_id'], {
        'event_type': 'subject_rows.event_type',
        'product_id': 'subject_rows.product_id',
        'country': 'subject_rows.country',
        'subscription_id': 'subject_rows.subscription_id',
        'opportunity_id': 'case when subject_rows.is_deal_billing then subject_rows.billing_reference end',
        'amount': 'subject_rows.amount',
    }) }}
),

order_lines as (
    select
        matched_lines.rule_id,
        matched_lines.conversion_type,
        revenue_lines.order_id,
        revenue_lines.occurred_at,
        revenue_lines.person_id,
        revenue_lines.account_id,
        revenue_lines.product_id,
        revenue_lines.amount,
        revenue_lines.amount_original,
        revenue_lines.currency_original,
        revenue_lines.source_relation,
        revenue_lines.order_number,
        revenue_lines.source_record_id,
        row_number() over (
            partition by matched_lines.conversion_type, revenue_lines.order_id
            order by
                revenue_lines.amount desc, revenue_lines.product_id asc, revenue_lines.revenue_event_id asc
        ) as line_rank
    from matched_lines
    inner join revenue_lines
        on matched_lines.revenue_event_id = revenue_lines.revenue_event_id
),

order_events as (
    select
        conversion_type,
        order_id,
        min(rule_id) as rule_id,
        min(occurred_at) as occurred_at,
        max(person_id) as person_id,
        max(account_id) as account_id,
        max(case when line_rank = 1 then product_id end) as product_id,
        -- One line without a rate makes the order's value unknown, not smaller.
        case when count(amount) = count(*) then sum(amount) end as value,
        case when count(distinct currency_original) = 1 then sum(amount_original) end as value_original,
        case when count(distinct currency_original) = 1 then max(currency_original) end as currency_original,
        min(source_relation) as source_relation,
        coalesce(min(order_number), min(source_record_id)) as source_record_id
    from order_lines
    group by conversion_type, order_id
),

subscription_rows as (
    select
        subscription_id,
        source_relation,
        source_record_id,
        person_id,
        account_id,
        plan,
        mrr,
        mrr_original,
        currency_original,
        valid_from,
        trial_start,
        is_paid,
        row_number() over (partition by subscription_id, is_paid order by valid_from) as version_number,
        row_number() over (
            partition by subscription_id
            order by case when trial_start is null then 1 else 0 end, trial_start, valid_from
        ) as trial_number
    from {{ ref('int_subscription_periods') }}
),

subscription_starts as (
    select * from subscription_rows
    where is_paid and version_number = 1
),

subscription_trials as (
    select * from subscription_rows
    where trial_start is not null and trial_number = 1
),

matched_starts as (
    {{ matched_rules('subscription_starts', 'subscription_starts', ['subscription_id'], {
        'subscription_id': 'subject_rows.subscription_id',
        'plan': 'subject_rows.plan',
        'mrr': 'subject_rows.mrr',
    }) }}
),

matched_trials as (
    {{ matched_rules('subscription_trials', 'subscription_trials', ['subscription_id'], {
        'subscription_id': 'subject_rows.subscription_id',
        'plan': 'subject_rows.plan',
    }) }}
),

web as (
    select
        events.rule_id,
        events.conversion_type,
        events.source_relation,
        events.event_id,
        events.occurred_at,
        events.person_id,
        events.product_id,
        events.value as value_original,
        upper(events.currency) as currency_original,
        case
            when coalesce(events.value, 0) = 0 then cast(0 as decimal(19, 4))
            else {{ in_reporting_currency('events.value', 'events.currency') }}
        end as value
    from {{ ref('int_web_conversion_events') }} as events
    {{ fx_join(reporting_date('events.occurred_at'), 'events.currency') }}
    -- Web purchases come through int_revenue_events, where claims of the same order meet.
    where events.conversion_type != 'purchase'
),

final as (
    select
        conversion_type,
        rule_id,
        'web_events' as source,
        source_relation,
        event_id as source_record_id,
        occurred_at,
        person_id,
        cast(null as {{ text_type() }}) as account_id,
        value,
        value_original,
        currency_original,
        cast(null as {{ text_type() }}) as opportunity_id,
        cast(null as {{ text_type() }}) as opportunity_type,
        cast(null as timestamp) as opportunity_created_at,
        cast(null as {{ text_type() }}) as subscription_id,
        cast(null as {{ text_type() }}) as order_id,
        product_id,
        false as is_inferred
    from web
    union all
    select
        conversion_type,
        rule_id,
        'contact_stage_changes' as source,
        source_relation,
        stage_change_id as source_record_id,
        changed_at as occurred_at,
        person_id,
        cast(null as {{ text_type() }}) as account_id,
        cast(0 as decimal(19, 4)) as value,
        cast(null as decimal(19, 4)) as value_original,
        cast(null as {{ text_type() }}) as currency_original,
        cast(null as {{ text_type() }}) as opportunity_id,
        cast(null as {{ text_type() }}) as opportunity_type,
        cast(null as timestamp) as opportunity_created_at,
        cast(null as {{ text_type() }}) as subscription_id,
        cast(null as {{ text_type() }}) as order_id,
        cast(null as {{ text_type() }}) as product_id,
        is_inferred
    from matched_stage_entries
    union all
    select
        conversion_type,
        rule_id,
        source,
        source_relation,
        opportunity_id as source_record_id,
        occurred_at,
        person_id,
        account_id,
        case when amount_original is null then cast(0 as decimal(19, 4)) else amount end as value,
        amount_original as value_original,
        currency_original,
        opportunity_id,
        opportunity_type,
        created_at as opportunity_created_at,
        cast(null as {{ text_type() }}) as subscription_id,
        cast(null as {{ text_type() }}) as order_id,
        cast(null as {{ text_type() }}) as product_id,
        false as is_inferred
    from opportunity_events
    union all
    select
        conversion_type,
        rule_id,
        'revenue_lines' as source,
        source_relation,
        source_record_id,
        occurred_at,
        person_id,
        account_id,
        value,
        value_original,
        currency_original,
        cast(null as {{ text_type() }}) as opportunity_id,
        cast(null as {{ text_type() }}) as opportunity_type,
        cast(null as timestamp) as opportunity_created_at,
        cast(null as {{ text_type() }}) as subscription_id,
        order_id,
        product_id,
        false as is_inferred
    from order_events
    -- An order of a negative total corrects the books: it stays in billings, and is no conversion.
    where value is null or value >= 0
    union all
    select
        matched_starts.conversion_type,
        matched_starts.rule_id,
        'subscription_starts' as source,
        starts.source_relation,
        starts.source_record_id,
        starts.valid_from as occurred_at,
        starts.person_id,
        starts.account_id,
        starts.mrr as value,
        starts.mrr_original as value_original,
        starts.currency_original,
        cast(null as {{ text_type() }}) as opportunity_id,
        cast(null as {{ text_type() }}) as opportunity_type,
        cast(null as timestamp) as opportunity_created_at,
        starts.subscription_id,
        cast(null as {{ text_type() }}) as order_id,
        starts.plan as product_id,
        false as is_inferred
    from matched_starts
    inner join subscription_starts as starts
        on matched_starts.subscription_id = starts.subscription_id
    union all
    select
        matched_trials.conversion_type,
        matched_trials.rule_id,
        'subscription_trials' as source,
        trials.source_relation,
        trials.source_record_id,
        trials.trial_start as occurred_at,
        trials.person_id,
        trials.account_id,
        cast(0 as decimal(19, 4)) as value,
        cast(null as decimal(19, 4)) as value_original,
        cast(null as {{ text_type() }}) as currency_original,
        cast(null as {{ text_type() }}) as opportunity_id,
        cast(null as {{ text_type() }}) as opportunity_type,
        cast(null as timestamp) as opportunity_created_at,
        trials.subscription_id,
        cast(null as {{ text_type() }}) as order_id,
        trials.plan as product_id,
        false as is_inferred
    from matched_trials
    inner join subscription_trials as trials
        on matched_trials.subscription_id = trials.subscription_id
)

select
    conversion_type,
    rule_id,
    source,
    source_relation,
    source_record_id,
    occurred_at,
    person_id,
    account_id,
    cast(value as decimal(19, 4)) as value,
    cast(value_original as decimal(19, 4)) as value_original,
    currency_original,
    opportunity_id,
    opportunity_type,
    opportunity_created_at,
    subscription_id,
    order_id,
    product_id,
    is_inferred
from final
