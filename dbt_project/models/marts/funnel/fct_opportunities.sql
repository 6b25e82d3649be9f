{#
sourced_by: what the CRM's field says, else what the last eligible touch before the creation was (seed
sourcing_rules), else sales: somebody must have opened it.
#}
with opportunities as (
    select * from {{ ref('int_opportunities') }}
),

opportunity_persons as (
    select
        opportunity_id,
        person_id
    from {{ ref('int_opportunity_persons') }}
),

persons as (
    select
        person_id,
        account_id,
        country
    from {{ ref('dim_persons') }}
),

accounts as (
    select
        account_id,
        nullif(country, '(not set)') as country
    from {{ ref('dim_accounts') }}
),

owners as (
    select
        owner_id,
        team
    from {{ ref('dim_owners') }}
),

touches as (
    select
        touchpoint_id,
        person_id,
        occurred_at,
        channel,
        is_marketing,
        is_credit_eligible
    from {{ ref('fct_touchpoints') }}
),

sourcing_rules as (
    select
        channel,
        sourced_by
    from {{ ref('sourcing_rules') }}
),

bands as (
    select * from {{ ref('deal_size_bands') }}
),

-- The persons of a deal are all persons of its account, and its own contacts.
buyers as (
    select
        opportunities.opportunity_id,
        opportunities.created_at,
        coalesce(opportunities.closed_at, {{ as_of() }}) as influenced_until,
        persons.person_id
    from opportunities
    inner join persons on opportunities.account_id = persons.account_id
    union
    select
        opportunities.opportunity_id,
        opportunities.created_at,
        coalesce(opportunities.closed_at, {{ as_of() }}) as influenced_until,
        opportunity_persons.person_id
    from opportunities
    inner join opportunity_persons on opportunities.opportunity_id = opportunity_persons.opportunity_id
),

deal_touches as (
    select
        buyers.opportunity_id,
        touches.touchpoint_id,
        touches.occurred_at,
        touches.channel,
        touches.is_marketing,
        touches.is_credit_eligible,
        touches.occurred_at <= buyers.created_at as is_before_creation,
        {{ days_between('touches.occurred_at', 'buyers.created_at') }} as days_before_creation,
        touches.occurred_at <= buyers.influenced_until as is_before_close
    from buyers
    inner join touches on buyers.person_id = touches.person_id
),

last_touches as (
    select
        opportunity_id,
        touchpoint_id,
        channel,
        is_marketing,
        row_number()
            over (partition by opportunity_id order by occurred_at desc, touchpoint_id desc)
            as touch_rank
    from deal_touches
    where
        is_credit_eligible
        and is_before_creation
        and days_before_creation <= {{ var('attribution_lookback_days')['opportunity'] }}
),

influence as (
    select
        opportunity_id,
        min(case when is_credit_eligible then occurred_at end) as first_touch_at,
        cast(
            sum(
                case
                    when is_marketing and days_before_creation <= {{ var('marketing_influence_days') }} then 1
                    else 0
                end
            ) as bigint
        ) as marketing_touches
    from deal_touches
    where is_before_close
    group by opportunity_id
),

sourced as (
    select
        opportunities.*,
        bands.band as deal_size_band,
        last_touches.touchpoint_id as sourcing_touchpoint_id,
        last_touches.channel as sourcing_channel,
        case
            when opportunities.sourced_by_crm in ({{ quoted_list(opportunity_sources()) }})
                then opportunities.sourced_by_crm
            when last_touches.touchpoint_id is not null
                then coalesce(
                        sourcing_rules.sourced_by,
                        case when last_touches.is_marketing then 'marketing' else 'sales' end
                    )
            when opportunities.opportunity_type in ('renewal', 'expansion') then 'success'
            else 'sales'
        end as sourced_by,
        case
            when
                opportunities.sourced_by_crm in ({{ quoted_list(opportunity_sources()) }})
                then 'crm_field'
            when last_touches.touchpoint_id is not null then 'last_touch_before_creation'
            when opportunities.opportunity_type in ('renewal', 'expansion') then 'opportunity_type'
            else 'no_touch'
        end as sourced_rule,
        coalesce(influence.marketing_touches, 0) as marketing_touches,
        influence.first_touch_at,
        coalesce(accounts.country, persons.country, '(not set)') as country,
        coalesce(owners.team, '(not set)') as team
    from opportunities
    left join bands
        on
            opportunities.amount >= coalesce(bands.amount_from, 0)
            and opportunities.amount < coalesce(bands.amount_to, 99999999999999)
    left join last_touches
        on opportunities.opportunity_id = last_touches.opportunity_id and last_touches.touch_rank = 1
    left join sourcing_rules on last_touches.channel = sourcing_rules.channel
    left join influence on opportunities.opportunity_id = influence.opportunity_id
    left join accounts on opportunities.account_id = accounts.account_id
    left join persons on opportunities.person_id = persons.person_id
    left join owners on opportunities.owner_id = owners.owner_id
)

select
    opportunity_id,
    account_id,
    person_id,
    main_contact_id,
    contact_count,
    name,
    pipeline,
    stage,
    coalesce(opportunity_type, '(not set)') as opportunity_type,
    owner_id,
    team,
    country,
    amount,
    amount_original,
    arr,
    arr_original,
    currency_original,
    coalesce(deal_size_band, '(not set)') as deal_size_band,
    created_at,
    created_on,
    close_date,
    closed_at,
    case when closed_at is not null then {{ reporting_date('closed_at') }} end as closed_on,
    is_closed,
    is_won,
    won_reason,
    lost_reason,
    competitor,
    probability,
    forecast_category,
    next_step,
    contract_start,
    contract_end,
    renewed_opportunity_id,
    partner_account_id,
    sourced_by,
    cast(sourced_rule as {{ text_type() }}) as sourced_rule,
    sourcing_touchpoint_id,
    sourcing_channel,
    marketing_touches > 0 as is_marketing_influenced,
    marketing_touches,
    first_touch_at,
    greatest({{ days_between('created_at', 'closed_at') }}, 0.0) as days_to_close,
    {{ days_between('first_touch_at', 'closed_at') }} as days_to_close_from_first_touch,
    source_relation,
    source_record_id
from sourced
