{{ config(enabled=provides('google_ads', 'ad_performance')) }}

-- Ads' rows as they are, and the rest of each campaign that no ad accounts for: Performance Max has no ad
-- groups and no ads, so that its whole spend is such a rest. Together they are the campaigns' totals, to
-- the micro.
with ad_rows as (
    select * from {{ source('raw_google_ads', 'ad_performance') }}
),

campaign_rows as (
    select * from {{ source('raw_google_ads', 'campaign_performance') }}
),

customers as (
    select * from {{ source('raw_google_ads', 'customers') }}
),

campaigns as (
    select * from {{ source('raw_google_ads', 'campaigns') }}
),

ad_groups as (
    select * from {{ source('raw_google_ads', 'ad_groups') }}
),

ads as (
    select * from {{ source('raw_google_ads', 'ads') }}
),

ad_totals as (
    select
        source_relation,
        date,
        campaign_id,
        network_type,
        device,
        sum(impressions) as impressions,
        sum(clicks) as clicks,
        sum(cost_micros) as cost_micros,
        sum(conversions) as conversions,
        sum(conversions_value) as conversions_value,
        max(_dlt_load_id) as _dlt_load_id
    from ad_rows
    group by source_relation, date, campaign_id, network_type, device
),

campaign_rests as (
    select
        coalesce(campaign_rows.source_relation, ad_totals.source_relation) as source_relation,
        coalesce(campaign_rows.date, ad_totals.date) as date,
        coalesce(campaign_rows.campaign_id, ad_totals.campaign_id) as campaign_id,
        coalesce(campaign_rows.network_type, ad_totals.network_type) as network_type,
        coalesce(campaign_rows.device, ad_totals.device) as device,
        coalesce(campaign_rows.impressions, 0) - coalesce(ad_totals.impressions, 0) as impressions,
        coalesce(campaign_rows.clicks, 0) - coalesce(ad_totals.clicks, 0) as clicks,
        coalesce(campaign_rows.cost_micros, 0) - coalesce(ad_totals.cost_micros, 0) as cost_micros,
        -- Conversions are fractions: their sums differ in the last digits.
        round(coalesce(campaign_rows.conversions, 0) - coalesce(ad_totals.conversions, 0), 6) as conversions,
        round(coalesce(campaign_rows.conversions_value, 0) - coalesce(ad_totals.conversions_value, 0), 4)
            as conversions_value,
        greatest(
            coalesce(campaign_rows._dlt_load_id, ad_totals._dlt_load_id),
            coalesce(ad_totals._dlt_load_id, campaign_rows._dlt_load_id)
        ) as _dlt_load_id
    from campaign_rows
    full outer join ad_totals
        on
            campaign_rows.source_relation = ad_totals.source_relation
            and campaign_rows.date = ad_totals.date
            and campaign_rows.campaign_id = ad_totals.campaign_id
            and campaign_rows.network_type = ad_totals.network_type
            and campaign_rows.device = ad_totals.device
),

performance as (
    select
        source_relation,
        date,
        campaign_id,
        ad_group_id,
        ad_id,
        network_type,
        device,
        impressions,
        clicks,
        cost_micros,
        conversions,
        conversions_value,
        _dlt_load_id
    from ad_rows
    union all
    select
        source_relation,
        date,
        campaign_id,
        '(not set)' as ad_group_id,
        '(not set)' as ad_id,
        network_type,
        device,
        impressions,
        clicks,
        cost_micros,
        conversions,
        conversions_value,
        _dlt_load_id
    from campaign_rests
    where impressions <> 0 or clicks <> 0 or cost_micros <> 0 or conversions <> 0 or conversions_value <> 0
),

named as (
    select
        performance.source_relation,
        performance.date,
        performance.campaign_id,
        performance.ad_group_id,
        performance.ad_id,
        performance.network_type,
        performance.device,
        performance.impressions,
        performance.clicks,
        performance.cost_micros,
        performance.conversions,
        performance.conversions_value,
        customers.customer_id,
        customers.descriptive_name,
        customers.time_zone,
        customers.currency_code,
        campaigns.name as campaign_name,
        campaigns.channel_type,
        ad_groups.name as ad_group_name,
        ads.name as ad_name,
        cast(performance.date as {{ text_type() }}) as _slice,
        {{ newest_load('performance', ['customers', 'campaigns', 'ad_groups', 'ads']) }} as _dlt_load_id
    from performance
    left join customers on performance.source_relation = customers.source_relation
    left join campaigns
        on performance.source_relation = campaigns.source_relation
            and performance.campaign_id = campaigns.campaign_id
    left join ad_groups
        on performance.source_relation = ad_groups.source_relation
            and performance.ad_group_id = ad_groups.ad_group_id
    left join ads
        on
            performance.source_relation = ads.source_relation
            and performance.ad_group_id = ads.ad_group_id
            and performance.ad_id = ads.ad_id
)

{{ conform('ad_performance', 'named', provided={
    'date': 'date',
    'account_id': 'customer_id',
    'account_name': 'descriptive_name',
    'account_time_zone': 'time_zone',
    'campaign_id': 'campaign_id',
    'campaign_name': 'campaign_name',
    'objective': 'lower(channel_type)',
    'ad_group_id': "coalesce(ad_group_id, '(not set)')",
    'ad_group_name': 'ad_group_name',
    'ad_id': "coalesce(ad_id, '(not set)')",
    'ad_name': 'ad_name',
    'network_type': "coalesce(lower(network_type), '(not set)')",
    'country': "'(not set)'",
    'device': "coalesce(lower(device), '(not set)')",
    'impressions': 'impressions',
    'clicks': 'clicks',
    'spend': 'cast(cost_micros as decimal(18, 0)) * cast(0.000001 as decimal(7, 6))',
    'conversions': 'conversions',
    'conversions_value': 'conversions_value',
    'currency': 'upper(currency_code)',
}) }}
