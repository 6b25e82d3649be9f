{{ config(enabled=provides('hubspot', 'crm_stage_history')) }}

-- The history of merged records is left out: a portal that is read after the merge no longer has it. A
-- manual forecast category stands above the computed one, so where a deal has both, the manual one's
-- changes count.
with contact_changes as (
    select * from {{ source('raw_hubspot', 'contacts_history') }}
),

deal_changes as (
    select * from {{ source('raw_hubspot', 'deals_history') }}
),

merged as (
    select * from {{ ref('stg_hubspot__merges') }}
),

manually_forecast as (
    select distinct
        source_relation,
        deal_id
    from deal_changes
    where field = 'manual_forecast_category'
),

changes as (
    select
        source_relation,
        change_id,
        'contacts' as vendor_type,
        'contact' as object_type,
        contact_id as object_id,
        field,
        coalesce(value, '') as value,
        changed_at,
        changed_by,
        _dlt_load_id
    from contact_changes
    where field in ('lifecycle_stage', 'lead_status', 'disqualified_reason', 'owner_id')
    union all
    select
        deal_changes.source_relation,
        deal_changes.change_id,
        'deals' as vendor_type,
        'opportunity' as object_type,
        deal_changes.deal_id as object_id,
        case
            when deal_changes.field = 'manual_forecast_category' then 'forecast_category'
            else deal_changes.field
        end as field,
        case
            when deal_changes.field = 'close_date' then substr(coalesce(deal_changes.value, ''), 1, 10)
            when deal_changes.field like '%forecast_category' then lower(coalesce(deal_changes.value, ''))
            else coalesce(deal_changes.value, '')
        end as value,
        deal_changes.changed_at,
        deal_changes.changed_by,
        deal_changes._dlt_load_id
    from deal_changes
    left join manually_forecast
        on
            deal_changes.source_relation = manually_forecast.source_relation
            and deal_changes.deal_id = manually_forecast.deal_id
    where
        deal_changes.field in ('stage', 'amount', 'close_date', 'owner_id', 'manual_forecast_category')
        or (deal_changes.field = 'forecast_category' and manually_forecast.deal_id is null)
),

final as (
    select
        changes.source_relation,
        changes.change_id,
        changes.object_type,
        changes.object_id,
        changes.field,
        lag(changes.value) over (
            partition by changes.source_relation, changes.object_type, changes.object_id, changes.field
            order by changes.changed_at, changes.change_id
        ) as from_value,
        changes.value as to_value,
        changes.changed_at,
        changes.changed_by,
        changes._dlt_load_id,
        null as _slice
    from changes
    left join merged
        on
            changes.source_relation = merged.source_relation
            and changes.vendor_type = merged.object_type
            and changes.object_id = merged.merged_id
    where merged.merged_id is null
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
