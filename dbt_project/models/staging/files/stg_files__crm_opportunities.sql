{{ config(enabled=provides('files', 'crm_opportunities')) }}

-- A record that several files hold counts as the last of them says.
with ranked as (
    select
        records.*,
        row_number() over (
            partition by source_relation, opportunity_id
            order by _slice desc, _line desc
        ) as place
    from {{ source('raw_files', 'crm_opportunities') }} as records
),

final as (
    select * from ranked
    where place = 1
)

{{ conform('crm_opportunities', 'final', provided=[
    'opportunity_id',
    'account_id',
    'name',
    'pipeline',
    'stage',
    'amount',
    'arr',
    'currency',
    'created_at',
    'close_date',
    'closed_at',
    'is_closed',
    'is_won',
    'won_reason',
    'lost_reason',
    'competitor',
    'owner_id',
    'probability',
    'forecast_category',
    'next_step',
    'opportunity_type',
    'contract_start',
    'contract_end',
    'renewed_opportunity_id',
    'sourced_by',
    'partner_account_id',
    'updated_at',
    'is_deleted',
    'deleted_at',
    'merged_into_id',
    'merged_at',
]) }}
