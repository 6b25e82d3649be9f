with ad_performance as (
    select * from {{ ref('int_ad_performance_unioned') }}
),

campaigns as (
    select * from {{ ref('int_campaigns') }}
),

summed as (
    select
        source_relation,
        date,
        account_id,
        campaign_id,
        ad_group_id,
        ad_id,
        network_type,
        country,
        device,
        max(account_name) as account_name,
        max(ad_group_name) as ad_group_name,
        max(ad_name) as ad_name,
        upper(currency) as currency_original,
        cast(sum(impressions) as bigint) as impressions,
        cast(sum(clicks) as bigint) as clicks,
        cast(sum(spend) as decimal(19, 4)) as spend_original,
        sum(conversions) as conversions,
        cast(sum(conversions_value) as decimal(19, 4)) as conversions_value_original
    from ad_performance
    group by
        source_relation, date, account_id, campaign_id, ad_group_id, ad_id, network_type, country, device,
        upper(currency)
),

final as (
    select
        {{ surrogate_key([
            'summed.source_relation', 'summed.date', 'summed.account_id', 'summed.campaign_id', 'summed.ad_group_id',
            'summed.ad_id', 'summed.network_type', 'summed.country', 'summed.device', 'summed.currency_original',
        ]) }} as ad_performance_id,
        summed.date,
        summed.account_id as ad_account_id,
        coalesce(summed.account_name, '(not set)') as ad_account_name,
        campaigns.campaign_id,
        campaigns.campaign_name,
        campaigns.channel,
        coalesce(summed.ad_group_id, '(not set)') as ad_group_id,
        coalesce(summed.ad_group_name, '(not set)') as ad_group_name,
        coalesce(summed.ad_id, '(not set)') as ad_id,
        coalesce(summed.ad_name, '(not set)') as ad_name,
        coalesce(summed.network_type, '(not set)') as network_type,
        coalesce(summed.country, '(not set)') as country,
        coalesce(summed.device, '(not set)') as device,
        summed.impressions,
        summed.clicks,
        {{ in_reporting_currency('summed.spend_original', 'summed.currency_original') }} as spend,
        summed.spend_original,
        summed.conversions,
        {{ in_reporting_currency('summed.conversions_value_original', 'summed.currency_original') }}
            as conversions_value,
        summed.conversions_value_original,
        summed.currency_original,
        summed.source_relation
    from summed
    inner join campaigns
        on
            summed.source_relation = campaigns.source_relation
            and summed.campaign_id = campaigns.source_record_id
    {{ fx_join('summed.date', 'summed.currency_original') }}
)

select
    ad_performance_id,
    date,
    ad_account_id,
    ad_account_name,
    campaign_id,
    campaign_name,
    channel,
    ad_group_id,
    ad_group_name,
    ad_id,
    ad_name,
    network_type,
    country,
    device,
    impressions,
    clicks,
    spend,
    spend_original,
    conversions,
    conversions_value,
    conversions_value_original,
    currency_original,
    source_relation
from final
