{{ config(enabled=provides('salesforce', 'crm_opportunities')) }}

-- The record keeps one close date: expected while it is open, actual afterwards. closed_at is the moment at
-- which it entered the stage where it stands, from the history of its stages; without one, the close date.
-- What other systems call a pipeline is here the record type; an org without any has renewals and the rest.
with opportunities as (
    select * from {{ source('raw_salesforce', 'opportunities') }}
),

savings as (
    select
        source_relation,
        opportunity_id,
        stage,
        created_at,
        lag(stage) over (
            partition by source_relation, opportunity_id order by created_at, history_id
        ) as stage_before
    from {{ source('raw_salesforce', 'opportunity_history') }}
),

entered as (
    select
        opportunities.source_relation,
        opportunities.opportunity_id,
        max(savings.created_at) as entered_at
    from opportunities
    inner join savings
        on
            opportunities.source_relation = savings.source_relation
            and opportunities.opportunity_id = savings.opportunity_id
            and opportunities.stage = savings.stage
            and coalesce(savings.stage_before, '') <> savings.stage
    group by opportunities.source_relation, opportunities.opportunity_id
),

final as (
    select
        opportunities.source_relation,
        opportunities.opportunity_id,
        opportunities.account_id,
        opportunities.name,
        lower(
            coalesce(
                opportunities.record_type,
                case when lower(opportunities.type) like '%renewal%' then 'renewals' else 'sales' end
            )
        ) as pipeline,
        opportunities.stage,
        opportunities.amount,
        opportunities.arr,
        upper(opportunities.currency) as currency,
        opportunities.created_at,
        opportunities.close_date,
        case
            when opportunities.is_closed
                then coalesce(entered.entered_at, cast(opportunities.close_date as timestamp))
        end as closed_at,
        coalesce(opportunities.is_closed, false) as is_closed,
        coalesce(opportunities.is_won, false) as is_won,
        opportunities.won_reason,
        opportunities.lost_reason,
        opportunities.competitor,
        opportunities.owner_id,
        opportunities.probability / 100.0 as probability,
        replace(lower(opportunities.forecast_category), ' ', '_') as forecast_category,
        opportunities.next_step,
        case
            when lower(opportunities.type) like '%renewal%' then 'renewal'
            when lower(opportunities.type) like '%existing%' or lower(opportunities.type) like '%expansion%'
                then 'expansion'
            when lower(opportunities.type) like '%new%' then 'new_business'
            else lower(opportunities.type)
        end as opportunity_type,
        opportunities.contract_start,
        opportunities.contract_end,
        opportunities.renewed_opportunity_id,
        lower(opportunities.sourced_by) as sourced_by,
        opportunities.partner_account_id,
        opportunities.modified_at,
        coalesce(opportunities.is_deleted, false) as is_deleted,
        case when opportunities.is_deleted then opportunities.modified_at end as deleted_at,
        opportunities._dlt_load_id,
        null as _slice
    from opportunities
    left join entered
        on
            opportunities.source_relation = entered.source_relation
            and opportunities.opportunity_id = entered.opportunity_id
)

{{ conform('crm_opportunities', 'final', provided={
    'opportunity_id': 'opportunity_id',
    'account_id': 'account_id',
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
    'renewed_opportunity_id': 'renewed_opportunity_id',
    'sourced_by': 'sourced_by',
    'partner_account_id': 'partner_account_id',
    'updated_at': 'modified_at',
    'is_deleted': 'is_deleted',
    'deleted_at': 'deleted_at',
}) }}
