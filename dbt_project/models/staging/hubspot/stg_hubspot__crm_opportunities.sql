{{ config(enabled=provides('hubspot', 'crm_opportunities')) }}

-- The vendor keeps one close date: expected while the deal is open, actual afterwards. closed_at is the
-- moment at which the deal entered the closing stage where it stands, from its history; without one, the
-- close date.
with deals as (
    select * from {{ source('raw_hubspot', 'deals') }}
),

stage_changes as (
    select * from {{ source('raw_hubspot', 'deals_history') }}
    where field = 'stage'
),

merged as (
    select * from {{ ref('stg_hubspot__merges') }}
    where object_type = 'deals'
),

company_merges as (
    select * from {{ ref('stg_hubspot__merges') }}
    where object_type = 'companies'
),

choices as (
    select * from {{ ref('stg_hubspot__link_choices') }}
    where from_type = 'deals'
),

entered as (
    select
        deals.source_relation,
        deals.deal_id,
        max(stage_changes.changed_at) as entered_at
    from deals
    inner join stage_changes
        on
            deals.source_relation = stage_changes.source_relation
            and deals.deal_id = stage_changes.deal_id
            and deals.stage = stage_changes.value
    group by deals.source_relation, deals.deal_id
),

records as (
    select
        deals.source_relation,
        deals.deal_id,
        choices.company_id,
        deals.name,
        deals.pipeline,
        deals.stage,
        deals.amount,
        deals.arr,
        upper(deals.currency) as currency,
        deals.created_at,
        cast(deals.close_date as date) as close_date,
        case when deals.is_closed then coalesce(entered.entered_at, deals.close_date) end as closed_at,
        coalesce(deals.is_closed, false) as is_closed,
        coalesce(deals.is_won, false) as is_won,
        deals.won_reason,
        deals.lost_reason,
        deals.competitor,
        deals.owner_id,
        deals.probability,
        lower(coalesce(deals.manual_forecast_category, deals.forecast_category)) as forecast_category,
        deals.next_step,
        case lower(deals.deal_type)
            when 'newbusiness' then 'new_business'
            when 'existingbusiness' then 'expansion'
            when 'renewal' then 'renewal'
            else lower(deals.deal_type)
        end as opportunity_type,
        cast(deals.contract_start as date) as contract_start,
        cast(deals.contract_end as date) as contract_end,
        coalesce(renewed.into_id, deals.renewed_deal_id) as renewed_deal_id,
        lower(deals.sourced_by) as sourced_by,
        coalesce(company_merges.into_id, deals.partner_company_id) as partner_company_id,
        deals.modified_at,
        coalesce(deals.archived, false) as is_deleted,
        deals.archived_at,
        cast(null as {{ text_type() }}) as merged_into_id,
        cast(null as timestamp) as merged_at,
        deals._dlt_load_id
    from deals
    left join merged
        on deals.source_relation = merged.source_relation and deals.deal_id = merged.merged_id
    left join merged as renewed
        on deals.source_relation = renewed.source_relation and deals.renewed_deal_id = renewed.merged_id
    left join company_merges
        on
            deals.source_relation = company_merges.source_relation
            and deals.partner_company_id = company_merges.merged_id
    left join choices
        on deals.source_relation = choices.source_relation and deals.deal_id = choices.from_id
    left join entered
        on deals.source_relation = entered.source_relation and deals.deal_id = entered.deal_id
    where merged.merged_id is null
    union all
    select
        source_relation,
        merged_id as deal_id,
        null as company_id,
        null as name,
        null as pipeline,
        '(merged)' as stage,
        null as amount,
        null as arr,
        null as currency,
        merged_at as created_at,
        null as close_date,
        null as closed_at,
        false as is_closed,
        false as is_won,
        {% for name in ['won_reason', 'lost_reason', 'competitor', 'owner_id', 'probability',
            'forecast_category',
            'next_step', 'opportunity_type', 'contract_start', 'contract_end', 'renewed_deal_id',
            'sourced_by',
            'partner_company_id'] -%}
        null as {{ name }},
        {% endfor -%}
        merged_at as modified_at,
        true as is_deleted,
        merged_at as archived_at,
        into_id as merged_into_id,
        merged_at,
        _dlt_load_id
    from merged
),

final as (
    select *, null as _slice from records
)

{{ conform('crm_opportunities', 'final', provided={
    'opportunity_id': 'deal_id',
    'account_id': 'company_id',
    'name': 'name',
    'pipeline': 'pipeline',
    'stage': 'stage',
    'amount': 'amount',
    'arr': 'arr',
    'currency': 'currency',
    'created_at': 'created_at',
    'close_date': 'close_date',
    'closed_at': 'closed_at',
    'is_closed': 'is_closed',
    'is_won': 'is_won',
    'won_reason': 'won_reason',
    'lost_reason': 'lost_reason',
    'competitor': 'competitor',
    'owner_id': 'owner_id',
    'probability': 'probability',
    'forecast_category': 'forecast_category',
    'next_step': 'next_step',
    'opportunity_type': 'opportunity_type',
    'contract_start': 'contract_start',
    'contract_end': 'contract_end',
    'renewed_opportunity_id': 'renewed_deal_id',
    'sourced_by': 'sourced_by',
    'partner_account_id': 'partner_company_id',
    'updated_at': 'modified_at',
    'is_deleted': 'is_deleted',
    'deleted_at': 'archived_at',
    'merged_into_id': 'merged_into_id',
    'merged_at': 'merged_at',
}) }}
