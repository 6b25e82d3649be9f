{{ config(materialized='view') }}
-- What a visit may carry that names one advertising campaign: its name, its id, or one click. A key that two
-- campaigns share names neither.
with campaigns as (
    select * from {{ ref('int_campaigns') }}
    where campaign_kind = 'ads'
),

ad_clicks as (
    select * from {{ ref('int_ad_clicks_unioned') }}
),

aliases as (
    select * from {{ ref('campaign_aliases') }}
),

keys as (
    {% for joined_hyphens in [false, true] -%}
    select
        'campaign' as key_type,
        {{ matching_name('campaign_name', joined_hyphens) }} as campaign_key,
        campaign_id,
        channel,
        funnel_position,
        cast(null as {{ text_type() }}) as ad_id
    from campaigns
    union
    {% endfor -%}
    select
        'campaign' as key_type,
        {{ matching_name('aliases.utm_campaign') }} as campaign_key,
        campaigns.campaign_id,
        campaigns.channel,
        campaigns.funnel_position,
        cast(null as {{ text_type() }}) as ad_id
    from aliases
    inner join campaigns on lower(trim(aliases.campaign_name)) = lower(trim(campaigns.campaign_name))
    union
    select
        'campaign' as key_type,
        {{ matching_name('source_record_id') }} as campaign_key,
        campaign_id,
        channel,
        funnel_position,
        cast(null as {{ text_type() }}) as ad_id
    from campaigns
    union
    select
        lower(ad_clicks.click_id_type) as key_type,
        ad_clicks.click_id as campaign_key,
        campaigns.campaign_id,
        campaigns.channel,
        campaigns.funnel_position,
        nullif(ad_clicks.ad_id, '(not set)') as ad_id
    from ad_clicks
    inner join campaigns
        on
            ad_clicks.source_relation = campaigns.source_relation
            and ad_clicks.campaign_id = campaigns.source_record_id
),

final as (
    select
        key_type,
        campaign_key,
        min(campaign_id) as campaign_id,
        min(channel) as channel,
        min(funnel_position) as funnel_position,
        min(ad_id) as ad_id
    from keys
    where campaign_key is not null
    group by key_type, campaign_key
    having count(distinct campaign_id) = 1
)

select
    key_type,
    campaign_key,
    campaign_id,
    channel,
    funnel_position,
    ad_id
from final
