{{ config(enabled=provides('files', 'ad_performance')) }}

-- A record that several files hold counts as the last of them says.
with ranked as (
    select
        records.*,
        row_number() over (
            partition by
                source_relation, date, account_id, campaign_id, ad_group_id, ad_id, network_type,
                country, device
            order by _slice desc, _line desc
        ) as place
    from {{ source('raw_files', 'ad_performance') }} as records
),

final as (
    select * from ranked
    where place = 1
)

{{ conform('ad_performance', 'final', provided=[
    'date',
    'account_id',
    'account_name',
    'account_time_zone',
    'campaign_id',
    'campaign_name',
    'objective',
    'ad_group_id',
    'ad_group_name',
    'ad_id',
    'ad_name',
    'network_type',
    'country',
    'device',
    'impressions',
    'clicks',
    'spend',
    'conversions',
    'conversions_value',
    'currency',
]) }}
