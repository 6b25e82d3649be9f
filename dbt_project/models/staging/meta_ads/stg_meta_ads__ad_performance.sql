{{ config(enabled=provides('meta_ads', 'ad_performance')) }}

with insights as (
    select
        insights.*,
        {{ surrogate_key(['source_relation', 'date', 'campaign_id', 'ad_set_id', 'ad_id', 'country']) }}
            as insight_id
    from {{ source('raw_meta_ads', 'insights_by_country') }} as insights
),

accounts as (
    select * from {{ source('raw_meta_ads', 'accounts') }}
),

campaigns as (
    select * from {{ source('raw_meta_ads', 'campaigns') }}
),

ad_sets as (
    select * from {{ source('raw_meta_ads', 'ad_sets') }}
),

ads as (
    select * from {{ source('raw_meta_ads', 'ads') }}
),

-- The platform's claims: a list of actions a row, in which several types mean the same purchase.
action_entries as (
    select
        insight_id,
        'conversions' as figure,
        {{ explode_list(json_list('actions')) }} as entry
    from insights
    where actions is not null
    union all
    select
        insight_id,
        'conversions_value' as figure,
        {{ explode_list(json_list('action_values')) }} as entry
    from insights
    where action_values is not null
),

typed_entries as (
    select
        insight_id,
        figure,
        {{ json_text('entry', 'action_type') }} as action_type,
        try_cast({{ json_text('entry', 'value') }} as double) as value
    from action_entries
),

claims as (
    select
        typed_entries.insight_id,
        sum(case when typed_entries.figure = 'conversions' then typed_entries.value end) as conversions,
        sum(case when typed_entries.figure = 'conversions_value' then typed_entries.value end)
            as conversions_value
    from typed_entries
    inner join {{ ref('claimed_conversion_actions') }} as actions
        on typed_entries.action_type = actions.action_type and actions.counts
    group by typed_entries.insight_id
),

named as (
    select
        insights.source_relation,
        insights.date,
        insights.campaign_id,
        insights.ad_set_id,
        insights.ad_id,
        insights.country,
        insights.impressions,
        insights.inline_link_clicks,
        insights.spend,
        accounts.account_id,
        accounts.name as account_name,
        accounts.timezone_name,
        accounts.currency,
        campaigns.objective,
        insights._slice,
        coalesce(claims.conversions, 0) as conversions,
        coalesce(claims.conversions_value, 0) as conversions_value,
        -- The present names; what is gone altogether keeps the name that its report gave.
        coalesce(campaigns.name, insights.campaign_name) as campaign_name,
        coalesce(ad_sets.name, insights.ad_set_name) as ad_set_name,
        coalesce(ads.name, insights.ad_name) as ad_name,
        {{ newest_load('insights', ['accounts', 'campaigns', 'ad_sets', 'ads']) }} as _dlt_load_id
    from insights
    left join claims on insights.insight_id = claims.insight_id
    left join accounts on insights.source_relation = accounts.source_relation
    left join campaigns
        on insights.source_relation = campaigns.source_relation
            and insights.campaign_id = campaigns.campaign_id
    left join ad_sets
        on insights.source_relation = ad_sets.source_relation and insights.ad_set_id = ad_sets.ad_set_id
    left join ads
        on insights.source_relation = ads.source_relation and insights.ad_id = ads.ad_id
)

{{ conform('ad_performance', 'named', provided={
    'date': 'date',
    'account_id': 'account_id',
    'account_name': 'account_name',
    'account_time_zone': 'timezone_name',
    'campaign_id': 'campaign_id',
    'campaign_name': 'campaign_name',
    'objective': 'lower(objective)',
    'ad_group_id': 'ad_set_id',
    'ad_group_name': 'ad_set_name',
    'ad_id': 'ad_id',
    'ad_name': 'ad_name',
    'network_type': "'(not set)'",
    'country': 'country',
    'device': "'(not set)'",
    'impressions': 'impressions',
    'clicks': 'coalesce(inline_link_clicks, 0)',
    'spend': 'spend',
    'conversions': 'conversions',
    'conversions_value': 'conversions_value',
    'currency': 'upper(currency)',
}) }}
