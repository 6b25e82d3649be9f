with opportunities as (
    select * from {{ ref('int_crm_opportunities_unioned') }}
),

removals as (
    select * from {{ ref('int_crm_removals') }}
),

mapping as (
    select
        lower(pipeline) as pipeline,
        lower(crm_stage) as crm_stage,
        funnel_stage
    from {{ ref('crm_stage_mapping') }}
    where object_type = 'opportunity'
),

main_contacts as (
    select
        opportunity_id,
        contact_id,
        person_id,
        contact_account_id
    from {{ ref('int_opportunity_persons') }}
    where is_main
),

contact_counts as (
    select
        opportunity_id,
        cast(count(*) as bigint) as contact_count
    from {{ ref('int_opportunity_persons') }}
    group by opportunity_id
),

dated as (
    select
        opportunities.*,
        {{ surrogate_key(['opportunities.source_relation', 'opportunities.opportunity_id']) }}
            as opportunity_key,
        {{ reporting_date('opportunities.created_at') }} as created_on
    from opportunities
    left join removals
        on
            opportunities.source_relation = removals.source_relation
            and opportunities.opportunity_id = removals.source_record_id
            and removals.object_type = 'opportunity'
    where removals.removed_id is null
),

-- Some systems write 50 for one half: where a source has any probability above 1, all of its are per cent.
scales as (
    select
        source_relation,
        case when max(probability) > 1 then 100.0 else 1.0 end as probability_scale
    from dated
    group by source_relation
),

-- What a system does not say about closing follows from the stage's mapping.
closing as (
    select
        dated.*,
        coalesce(
            dated.is_closed, mapping.funnel_stage in ('won', 'lost', 'renewed'), false
        ) as closed_flag,
        coalesce(dated.is_won, mapping.funnel_stage in ('won', 'renewed'), false) as won_flag
    from dated
    left join mapping
        on
            coalesce(lower(dated.pipeline), '') = coalesce(mapping.pipeline, '')
            and lower(dated.stage) = mapping.crm_stage
),

final as (
    select
        closing.opportunity_key as opportunity_id,
        coalesce(
            case
                when account_removals.removed_id is not null then account_removals.into_id
                when closing.account_id is not null
                    then {{ surrogate_key(['closing.source_relation', 'closing.account_id']) }}
            end,
            main_contacts.contact_account_id
        ) as account_id,
        main_contacts.contact_id as main_contact_id,
        main_contacts.person_id,
        coalesce(contact_counts.contact_count, 0) as contact_count,
        closing.name,
        closing.pipeline,
        closing.stage,
        closing.opportunity_type,
        {{ in_reporting_currency('closing.amount', 'closing.currency') }} as amount,
        closing.amount as amount_original,
        {{ in_reporting_currency('closing.arr', 'closing.currency') }} as arr,
        closing.arr as arr_original,
        upper(closing.currency) as currency_original,
        closing.created_at,
        closing.created_on,
        closing.close_date,
        case
            when
                closing.closed_flag
                then coalesce(closing.closed_at, cast(closing.close_date as timestamp), closing.updated_at)
        end as closed_at,
        closing.closed_flag as is_closed,
        closing.closed_flag and closing.won_flag as is_won,
        closing.won_reason,
        closing.lost_reason,
        closing.competitor,
        case
            when closing.owner_id is not null
                then {{ surrogate_key(['closing.source_relation', 'closing.owner_id']) }}
        end as owner_id,
        closing.owner_id as owner_source_id,
        closing.probability / scales.probability_scale as probability,
        closing.forecast_category,
        closing.next_step,
        closing.contract_start,
        closing.contract_end,
        case
            when closing.renewed_opportunity_id is not null
                then {{ surrogate_key(['closing.source_relation', 'closing.renewed_opportunity_id']) }}
        end as renewed_opportunity_id,
        lower(closing.sourced_by) as sourced_by_crm,
        case
            when closing.partner_account_id is not null
                then {{ surrogate_key(['closing.source_relation', 'closing.partner_account_id']) }}
        end as partner_account_id,
        closing.updated_at,
        closing.source_relation,
        closing.opportunity_id as source_record_id
    from closing
    inner join scales on closing.source_relation = scales.source_relation
    left join removals as account_removals
        on
            closing.source_relation = account_removals.source_relation
            and closing.account_id = account_removals.source_record_id
            and account_removals.object_type = 'account'
    left join main_contacts on closing.opportunity_key = main_contacts.opportunity_id
    left join contact_counts on closing.opportunity_key = contact_counts.opportunity_id
    {{ fx_join('closing.created_on', 'closing.currency') }}
)

select
    opportunity_id,
    account_id,
    main_contact_id,
    person_id,
    contact_count,
    name,
    pipeline,
    stage,
    opportunity_type,
    amount,
    amount_original,
    arr,
    arr_original,
    currency_original,
    created_at,
    created_on,
    close_date,
    closed_at,
    case when is_won then closed_at end as won_at,
    is_closed,
    is_won,
    won_reason,
    lost_reason,
    competitor,
    owner_id,
    owner_source_id,
    probability,
    forecast_category,
    next_step,
    contract_start,
    contract_end,
    renewed_opportunity_id,
    sourced_by_crm,
    partner_account_id,
    updated_at,
    source_relation,
    source_record_id
from final
