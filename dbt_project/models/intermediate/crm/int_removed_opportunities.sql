-- What a system tells only from the removal on (created and removed in one moment) was never seen open.
with opportunities as (
    select * from {{ ref('int_crm_opportunities_unioned') }}
),

removals as (
    select * from {{ ref('int_crm_removals') }}
    where object_type = 'opportunity'
),

final as (
    select
        removals.removed_id as opportunity_id,
        opportunities.pipeline,
        opportunities.opportunity_type,
        opportunities.stage,
        opportunities.amount as amount_original,
        upper(opportunities.currency) as currency_original,
        opportunities.created_at,
        opportunities.close_date,
        opportunities.closed_at,
        opportunities.owner_id as owner_source_id,
        opportunities.forecast_category,
        opportunities.updated_at,
        removals.removed_at,
        removals.reason as removed_reason,
        opportunities.source_relation,
        opportunities.opportunity_id as source_record_id
    from opportunities
    inner join removals
        on
            opportunities.source_relation = removals.source_relation
            and opportunities.opportunity_id = removals.source_record_id
    where opportunities.created_at < removals.removed_at
)

select
    opportunity_id,
    pipeline,
    opportunity_type,
    stage,
    amount_original,
    currency_original,
    created_at,
    close_date,
    closed_at,
    owner_source_id,
    forecast_category,
    updated_at,
    removed_at,
    removed_reason,
    source_relation,
    source_record_id
from final
