{# The followed fields, and where a record says their present value. #}
{% set contact_fields = {
    'lifecycle_stage': 'lifecycle_stage', 'lead_status': 'lead_status',
    'disqualified_reason': 'disqualified_reason', 'owner_id': 'owner_source_id',
} %}
{% set opportunity_fields = {
    'stage': 'stage', 'amount': 'amount_original', 'close_date': 'close_date', 'owner_id': 'owner_source_id',
    'forecast_category': 'forecast_category', 'currency': 'currency_original',
} %}
{# Removed opportunities have a type of their own, so that nobody counts them who does not ask for them. #}
{% set opportunity_records = {
    'opportunity': 'opportunities', 'removed_opportunity': 'removed_opportunities',
} %}

with history as (
    select * from {{ ref('int_crm_stage_history_unioned') }}
),

contacts as (
    select * from {{ ref('int_contacts') }}
),

opportunities as (
    select * from {{ ref('int_opportunities') }}
),

removed_opportunities as (
    select * from {{ ref('int_removed_opportunities') }}
),

mapping as (
    select
        object_type,
        field,
        lower(pipeline) as pipeline,
        lower(crm_stage) as crm_stage,
        crm_stage_order,
        funnel_stage
    from {{ ref('crm_stage_mapping') }}
),

-- Each record x followed field, with its present value.
present as (
    {% for field, column in contact_fields.items() %}
    select
        'contact' as object_type,
        contact_id as object_id,
        source_relation,
        source_record_id,
        cast(null as {{ text_type() }}) as pipeline,
        created_at,
        updated_at,
        cast(null as timestamp) as closed_at,
        '{{ field }}' as field,
        {{ column }} as present_value
    from contacts
    union all
    {% endfor %}
    {% for object_type, records in opportunity_records.items() %}
    {% set is_last_type = loop.last %}
    {% for field, column in opportunity_fields.items() %}
    select
        '{{ object_type }}' as object_type,
        opportunity_id as object_id,
        source_relation,
        source_record_id,
        pipeline,
        created_at,
        updated_at,
        closed_at,
        '{{ field }}' as field,
        cast({{ column }} as {{ text_type() }}) as present_value
    from {{ records }}
    {% if not (loop.last and is_last_type) %}union all{% endif %}
    {% endfor %}
    {% endfor %}
),

given as (
    select
        present.object_type,
        present.object_id,
        present.source_relation,
        present.source_record_id,
        present.pipeline,
        present.field,
        present.created_at,
        history.change_id,
        history.from_value,
        history.to_value,
        history.changed_at,
        history.changed_by,
        row_number() over (
            partition by present.object_type, present.object_id, present.field
            order by history.changed_at, history.change_id
        ) as change_number
    from history
    inner join present
        on
            history.object_type = replace(present.object_type, 'removed_', '')
            and history.source_relation = present.source_relation
            and history.object_id = present.source_record_id
            and history.field = present.field
),

-- The first value that a history says it replaced held since the record's creation.
before_given as (
    select
        object_type,
        object_id,
        source_relation,
        source_record_id,
        pipeline,
        field,
        {{ surrogate_key(['object_type', 'object_id', 'field', "'before'"]) }} as change_id,
        from_value as to_value,
        created_at as changed_at,
        true as is_inferred
    from given
    where change_number = 1 and from_value is not null and created_at < changed_at
),

without_history as (
    select present.*
    from present
    left join given
        on
            present.object_type = given.object_type
            and present.object_id = given.object_id
            and present.field = given.field
            and given.change_number = 1
    where given.object_id is null and present.present_value is not null
),

first_stages as (
    select
        pipeline,
        crm_stage,
        row_number() over (partition by pipeline order by crm_stage_order) as stage_rank
    from mapping
    where object_type = 'opportunity' and field = 'stage'
),

-- No history at all: an opportunity began in its pipeline's first stage and came to the present one when it
-- closed, else when it was last updated; any other field has its present value since the creation.
inferred as (
    select
        without_history.object_type,
        without_history.object_id,
        without_history.source_relation,
        without_history.source_record_id,
        without_history.pipeline,
        without_history.field,
        {{ surrogate_key([
            'without_history.object_type', 'without_history.object_id', 'without_history.field', "'first'"
        ]) }} as change_id,
        case
            when without_history.object_type <> 'contact' and without_history.field = 'stage'
                then coalesce(first_stages.crm_stage, without_history.present_value)
            else without_history.present_value
        end as to_value,
        without_history.created_at as changed_at,
        true as is_inferred
    from without_history
    left join first_stages
        on
            coalesce(lower(without_history.pipeline), '') = coalesce(first_stages.pipeline, '')
            and first_stages.stage_rank = 1
    union all
    select
        object_type,
        object_id,
        source_relation,
        source_record_id,
        pipeline,
        field,
        {{ surrogate_key(['object_type', 'object_id', 'field', "'present'"]) }} as change_id,
        present_value as to_value,
        greatest(created_at, coalesce(closed_at, updated_at, created_at)) as changed_at,
        true as is_inferred
    from without_history
    where object_type <> 'contact' and field = 'stage'
),

told as (
    select
        object_type,
        object_id,
        source_relation,
        source_record_id,
        pipeline,
        field,
        change_id,
        to_value,
        changed_at,
        cast(null as {{ text_type() }}) as changed_by,
        is_inferred
    from before_given
    union all
    select
        object_type,
        object_id,
        source_relation,
        source_record_id,
        pipeline,
        field,
        change_id,
        to_value,
        changed_at,
        changed_by,
        false as is_inferred
    from given
    union all
    select
        object_type,
        object_id,
        source_relation,
        source_record_id,
        pipeline,
        field,
        change_id,
        to_value,
        changed_at,
        cast(null as {{ text_type() }}) as changed_by,
        is_inferred
    from inferred
),

-- What happened to a lead before it was converted is its contact's past.
all_changes as (
    select
        told.object_type,
        coalesce(contacts.continued_as_contact_id, told.object_id) as object_id,
        told.source_relation,
        told.source_record_id,
        told.pipeline,
        told.field,
        told.change_id,
        told.to_value,
        told.changed_at,
        told.changed_by,
        told.is_inferred
    from told
    left join contacts
        on told.object_type = 'contact' and told.object_id = contacts.contact_id
),

previous as (
    select
        all_changes.*,
        lag(to_value) over (
            partition by object_type, object_id, field
            order by changed_at asc, is_inferred desc, change_id asc
        ) as previous_value,
        row_number() over (
            partition by object_type, object_id, field
            order by changed_at asc, is_inferred desc, change_id asc
        ) as change_number
    from all_changes
),

-- A value that is set to itself is no change.
changes as (
    select
        previous.*,
        lead(changed_at) over (
            partition by object_type, object_id, field
            order by changed_at asc, is_inferred desc, change_id asc
        ) as changed_until
    from previous
    where change_number = 1 or lower(coalesce(previous_value, '')) <> lower(coalesce(to_value, ''))
),

final as (
    select
        {{ surrogate_key(['changes.source_relation', 'changes.change_id']) }} as stage_change_id,
        changes.object_type,
        changes.object_id,
        changes.pipeline,
        changes.field,
        changes.previous_value as from_value,
        changes.to_value,
        mapping.funnel_stage,
        changes.changed_at,
        changes.changed_until,
        changes.changed_by,
        changes.is_inferred,
        changes.source_relation,
        changes.source_record_id
    from changes
    left join mapping
        on
            replace(changes.object_type, 'removed_', '') = mapping.object_type
            and changes.field = mapping.field
            and lower(changes.to_value) = mapping.crm_stage
            and coalesce(mapping.pipeline, coalesce(lower(changes.pipeline), ''))
            = coalesce(lower(changes.pipeline), '')
)

select
    stage_change_id,
    object_type,
    object_id,
    pipeline,
    field,
    from_value,
    to_value,
    funnel_stage,
    changed_at,
    changed_until,
    changed_by,
    is_inferred,
    source_relation,
    source_record_id
from final
