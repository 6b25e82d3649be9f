{{ config(enabled=provides('salesforce', 'crm_stage_history')) }}

-- Of opportunities, each saving that changed the stage, the amount or the close date holds all three: what
-- differs from the saving before is the change. Other fields, and those of leads and contacts, have a row a
-- change; a change of owner has two, one with names and one with ids. What a record began with is in no such
-- row: it is the first one's old value.
{% set saved = {
    'stage': 'stage', 'amount': 'cast(amount as ' ~ text_type() ~ ')',
    'close_date': 'cast(close_date as ' ~ text_type() ~ ')',
} %}
{% set tracked = {
    'lead': ('lead_history', 'lead_id', 'contact', {
        'lifecycle_stage': 'lifecycle_stage', 'status': 'lead_status',
        'disqualified_reason': 'disqualified_reason', 'owner_id': 'owner_id',
    }),
    'contact': ('contact_history', 'contact_id', 'contact', {
        'lifecycle_stage': 'lifecycle_stage', 'disqualified_reason': 'disqualified_reason',
        'owner_id': 'owner_id',
    }),
    'opportunity': ('opportunity_field_history', 'opportunity_id', 'opportunity', {
        'owner_id': 'owner_id', 'forecast_category': 'forecast_category',
    }),
} %}
with savings as (
    select * from {{ source('raw_salesforce', 'opportunity_history') }}
),

owners as (
    select * from {{ ref('stg_salesforce__crm_owners') }}
),

values_saved as (
    {% for field, value in saved.items() -%}
    select
        source_relation,
        opportunity_id,
        history_id,
        created_at,
        changed_by,
        _dlt_load_id,
        '{{ field }}' as field,
        coalesce({{ value }}, '') as to_value,
        lag(coalesce({{ value }}, '')) over (
            partition by source_relation, opportunity_id order by created_at, history_id
        ) as from_value
    from savings
    {% if not loop.last %}union all{% endif %}
    {% endfor -%}
),

changes as (
    select
        source_relation,
        history_id || ':' || field as change_id,
        'opportunity' as object_type,
        opportunity_id as object_id,
        field,
        from_value,
        to_value,
        created_at as changed_at,
        changed_by,
        _dlt_load_id
    from values_saved
    where from_value is null or from_value <> to_value
    {% for history, id, object_type, fields in tracked.values() -%}
    union all
    select
        changes.source_relation,
        changes.change_id,
        '{{ object_type }}' as object_type,
        changes.{{ id }} as object_id,
        case changes.field
            {% for name, ours in fields.items() -%}
            when '{{ name }}' then '{{ ours }}'
            {% endfor -%}
        end as field,
        case changes.field
            when 'owner_id' then old_owners.owner_id
            when 'forecast_category' then replace(lower(changes.old_value), ' ', '_')
            else changes.old_value
        end as from_value,
        coalesce(
            case changes.field
                when 'owner_id' then new_owners.owner_id
                when 'forecast_category' then replace(lower(changes.new_value), ' ', '_')
                else changes.new_value
            end,
            ''
        ) as to_value,
        changes.changed_at,
        changes.changed_by,
        changes._dlt_load_id
    from {{ source('raw_salesforce', history) }} as changes
    left join owners as old_owners
        on
            changes.source_relation = old_owners.source_relation
            and changes.old_value = old_owners.owner_id
    left join owners as new_owners
        on
            changes.source_relation = new_owners.source_relation
            and changes.new_value = new_owners.owner_id
    where
        changes.field in ('{{ fields | join("', '") }}')
        and (changes.field <> 'owner_id' or changes.data_type = 'EntityId')
    {% endfor -%}
),

final as (
    select *, null as _slice from changes
)

{{ conform('crm_stage_history', 'final', provided=[
    'change_id',
    'object_type',
    'object_id',
    'field',
    'from_value',
    'to_value',
    'changed_at',
    'changed_by',
]) }}
