{{ config(enabled=provides('linkedin_ads', 'ad_performance')) }}

-- Entities are named by URNs (urn:li:sponsoredCreative:123); the unified tables keep the number at the end.
with creative_days as (
    select
        creative_days.*,
        split_part(creative, ':', 4) as creative_id
    from {{ source('raw_linkedin_ads', 'creative_analytics') }} as creative_days
),

accounts as (
    select * from {{ source('raw_linkedin_ads', 'accounts') }}
),

campaign_groups as (
    select * from {{ source('raw_linkedin_ads', 'campaign_groups') }}
),

campaigns as (
    select
        campaigns.*,
        split_part(campaign_group, ':', 4) as campaign_group_id
    from {{ source('raw_linkedin_ads', 'campaigns') }} as campaigns
),

creatives as (
    select
        creatives.*,
        split_part(creative, ':', 4) as creative_id,
        split_part(campaign, ':', 4) as campaign_id
    from {{ source('raw_linkedin_ads', 'creatives') }} as creatives
),

named as (
    select
        creative_days.source_relation,
        creative_days.date,
        creative_days.creative_id,
        creative_days.impressions,
        creative_days.landing_page_clicks,
        creative_days.cost,
        creative_days.conversions,
        creative_days.leads,
        creative_days.conversions_value,
        creative_days._slice,
        creatives.name as creative_name,
        creatives.campaign_id,
        campaigns.name as campaign_name,
        campaigns.campaign_group_id,
        campaign_groups.name as campaign_group_name,
        coalesce(campaigns.objective, campaign_groups.objective) as objective,
        accounts.account_id,
        accounts.name as account_name,
        accounts.currency,
        {{ newest_load('creative_days', ['creatives', 'campaigns', 'campaign_groups', 'accounts']) }}
            as _dlt_load_id
    from creative_days
    left join accounts on creative_days.source_relation = accounts.source_relation
    left join creatives
        on
            creative_days.source_relation = creatives.source_relation
            and creative_days.creative_id = creatives.creative_id
    left join campaigns
        on creatives.source_relation = campaigns.source_relation
            and creatives.campaign_id = campaigns.campaign_id
    left join campaign_groups
        on
            campaigns.source_relation = campaign_groups.source_relation
            and campaigns.campaign_group_id = campaign_groups.campaign_group_id
)

{{ conform('ad_performance', 'named', provided={
    'date': 'date',
    'account_id': 'account_id',
    'account_name': 'account_name',
    'account_time_zone': "'UTC'",
    'campaign_id': "coalesce(campaign_group_id, '(not set)')",
    'campaign_name': 'campaign_group_name',
    'objective': 'lower(objective)',
    'ad_group_id': "coalesce(campaign_id, '(not set)')",
    'ad_group_name': 'campaign_name',
    'ad_id': 'creative_id',
    'ad_name': 'creative_name',
    'network_type': "'linkedin'",
    'country': "'(not set)'",
    'device': "'(not set)'",
    'impressions': 'impressions',
    'clicks': 'landing_page_clicks',
    'spend': 'cost',
    'conversions': 'coalesce(conversions, 0) + coalesce(leads, 0)',
    'conversions_value': 'conversions_value',
    'currency': 'upper(currency)',
}) }}
