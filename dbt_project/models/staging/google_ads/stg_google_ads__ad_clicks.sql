{{ config(enabled=provides('google_ads', 'ad_clicks')) }}

-- The API gives a click's day, not its moment.
with clicks as (
    select * from {{ source('raw_google_ads', 'clicks') }}
),

customers as (
    select * from {{ source('raw_google_ads', 'customers') }}
),

final as (
    select
        clicks.source_relation,
        clicks.gclid,
        customers.customer_id,
        max(clicks.campaign_id) as campaign_id,
        max(clicks.ad_group_id) as ad_group_id,
        max(regexp_replace(clicks.ad_resource, '^.*~', '')) as ad_id,
        max(cast(clicks.date as {{ text_type() }})) as _slice,
        max(clicks._dlt_load_id) as _dlt_load_id
    from clicks
    left join customers on clicks.source_relation = customers.source_relation
    group by clicks.source_relation, clicks.gclid, customers.customer_id
)

{{ conform('ad_clicks', 'final', provided={
    'click_id': 'gclid',
    'click_id_type': "'gclid'",
    'account_id': 'customer_id',
    'campaign_id': 'campaign_id',
    'ad_group_id': 'ad_group_id',
    'ad_id': 'ad_id',
}) }}
