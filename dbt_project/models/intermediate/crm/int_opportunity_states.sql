{#
The life of an opportunity as a chain of states, removed opportunities included. What holds:
- A stage closes a deal if crm_stage_mapping says won, renewed or lost; for the stage where a record stands today,
  its own is_closed and is_won decide (from closed_at on, where the stage does not say it).
- A record's present value that its history does not end with holds since the record's last update.
- Every amount has the rate of the deal's creation date, whenever it changed: movements show sales, not exchange
  rates. Only a changed currency moves the rate.
- The chain is not bounded by as_of: what the CRM told a minute after as_of is here, and its readers leave it out.
#}
{% set fields = ['stage', 'amount', 'close_date', 'owner_id', 'forecast_category', 'currency'] %}

with opportunities as (
    select * from {{ ref('int_opportunities') }}
),

removed as (
    select * from {{ ref('int_removed_opportunities') }}
),

changes as (
    select
        object_id as opportunity_id,
        field,
        to_value,
        funnel_stage,
        changed_at,
        changed_until,
        from_value is null as is_first
    from {{ ref('int_crm_stage_changes') }}
    where
        object_type in ('opportunity', 'removed_opportunity')
        and field in ({{ quoted_list(fields) }})
),

records as (
    select
        opportunity_id,
        pipeline,
        opportunity_type,
        created_at,
        closed_at,
        updated_at,
        case when is_won then 'won' when is_closed then 'lost' else 'open' end as outcome,
        cast(null as timestamp) as removed_at,
        {% for column in ['amount_original', 'close_date', 'owner_source_id', 'forecast_category',
            'currency_original'] %}
        cast({{ column }} as {{ text_type() }}) as {{ column }},
        {% endfor %}
        source_relation
    from opportunities
    union all
    select
        opportunity_id,
        pipeline,
        opportunity_type,
        created_at,
        closed_at,
        updated_at,
        cast(null as {{ text_type() }}) as outcome,
        removed_at,
        {% for column in ['amount_original', 'close_date', 'owner_source_id', 'forecast_category',
            'currency_original'] %}
        cast(null as {{ text_type() }}) as {{ column }},
        {% endfor %}
        source_relation
    from removed
),

followed as (
    select
        changes.opportunity_id,
        changes.field,
        coalesce(changes.to_value, '') as value,
        case
            when changes.field = 'stage' and changes.is_first then records.created_at
            else greatest(changes.changed_at, records.created_at)
        end as changed_at,
        changes.changed_until,
        case
            when changes.funnel_stage in ('won', 'renewed') then 'won'
            when changes.funnel_stage = 'lost' then 'lost'
            else 'open'
        end as stage_outcome,
        records.outcome,
        records.closed_at,
        records.updated_at,
        records.created_at,
        case changes.field
            when 'amount' then records.amount_original
            when 'close_date' then records.close_date
            when 'owner_id' then records.owner_source_id
            when 'forecast_category' then records.forecast_category
            when 'currency' then records.currency_original
        end as present_value
    from changes
    inner join records on changes.opportunity_id = records.opportunity_id
),

-- One row per thing that happened; step orders what happened in one moment.
happenings as (
    select
        opportunity_id,
        changed_at,
        1 as step,
        changed_until,
        field,
        value
    from followed
    union all
    select
        opportunity_id,
        greatest(changed_at, coalesce(updated_at, changed_at)) as changed_at,
        2 as step,
        cast(null as timestamp) as changed_until,
        field,
        present_value as value
    from followed
    where
        changed_until is null
        and present_value is not null
        and case field
            when 'amount'
                then coalesce(
                        try_cast(value as decimal(19, 4)) <> try_cast(present_value as decimal(19, 4)), true
                    )
            when 'stage' then false
            else lower(value) <> lower(present_value)
        end
    union all
    select
        opportunity_id,
        changed_at,
        1 as step,
        changed_until,
        'outcome' as field,
        case when changed_until is null and outcome = 'open' then 'open' else stage_outcome end as value
    from followed
    where field = 'stage'
    union all
    select
        opportunity_id,
        greatest(changed_at, coalesce(closed_at, changed_at)) as changed_at,
        2 as step,
        cast(null as timestamp) as changed_until,
        'outcome' as field,
        outcome as value
    from followed
    where field = 'stage' and changed_until is null and outcome <> 'open' and outcome <> stage_outcome
    union all
    select
        opportunity_id,
        removed_at as changed_at,
        3 as step,
        cast(null as timestamp) as changed_until,
        'outcome' as field,
        'removed' as value
    from records
    where removed_at is not null
),

-- The last value of each field in each moment.
moments as (
    {% set latest = ordered_by(['step', "coalesce(changed_until, cast('9999-12-31' as timestamp))"]) %}
    select
        {% for field in fields + ['outcome'] %}
        max_by(value, {{ latest }}) filter (where field = '{{ field }}') as {{ field }},
        {% endfor %}
        opportunity_id,
        changed_at
    from happenings
    group by opportunity_id, changed_at
),

filled as (
    select
        opportunity_id,
        changed_at as valid_from,
        lead(changed_at) over (partition by opportunity_id order by changed_at) as valid_to,
        {% for field in fields + ['outcome'] %}
        {{ last_known(field) }} over (
            partition by opportunity_id order by changed_at
            rows between unbounded preceding and current row
        ) as {{ field }},
        {% endfor %}
        {{ last_known('case when stage is not null then changed_at end') }} over (
            partition by opportunity_id order by changed_at
            rows between unbounded preceding and current row
        ) as stage_entered_at
    from moments
),

-- Nothing comes after a removal.
valued as (
    select
        filled.opportunity_id,
        records.pipeline,
        records.opportunity_type,
        records.source_relation,
        records.created_at,
        {{ reporting_date('records.created_at') }} as created_on,
        filled.valid_from,
        case when filled.outcome <> 'removed' then filled.valid_to end as valid_to,
        filled.stage,
        filled.stage_entered_at,
        filled.outcome,
        try_cast(nullif(filled.amount, '') as decimal(19, 4)) as amount_original,
        upper(nullif(filled.currency, '')) as currency_original,
        try_cast(substr(nullif(filled.close_date, ''), 1, 10) as date) as close_date,
        case
            when nullif(filled.owner_id, '') is not null
                then {{ surrogate_key(['records.source_relation', 'filled.owner_id']) }}
        end as owner_id,
        lower(nullif(filled.forecast_category, '')) as forecast_category
    from filled
    inner join records on filled.opportunity_id = records.opportunity_id
    where records.removed_at is null or filled.valid_from <= records.removed_at
),

final as (
    select
        valued.*,
        row_number() over (partition by valued.opportunity_id order by valued.valid_from) as state_number,
        {{ reporting_date('valued.valid_from') }} as valid_from_on,
        valued.outcome = 'open' as is_open,
        case
            when valued.currency_original = '{{ var("reporting_currency") }}' then cast(1 as decimal(18, 8))
            else cast(fx.rate as decimal(18, 8))
        end as rate,
        {{ in_reporting_currency('valued.amount_original', 'valued.currency_original') }} as amount
    from valued
    {{ fx_join('valued.created_on', 'valued.currency_original') }}
)

select
    opportunity_id,
    cast(state_number as bigint) as state_number,
    pipeline,
    opportunity_type,
    created_at,
    created_on,
    valid_from,
    valid_to,
    valid_from_on,
    stage,
    stage_entered_at,
    outcome,
    is_open,
    amount,
    amount_original,
    currency_original,
    rate,
    close_date,
    owner_id,
    forecast_category,
    source_relation
from final
