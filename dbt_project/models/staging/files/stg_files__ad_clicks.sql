{{ config(enabled=provides('files', 'ad_clicks')) }}

-- A record that several files hold counts as the last of them says.
with ranked as (
    select
        records.*,
        row_number() over (
            partition by source_relation, click_id, click_id_type
            order by _slice desc, _line desc
        ) as place
    from {{ source('raw_files', 'ad_clicks') }} as records
),

final as (
    select * from ranked
    where place = 1
)

{{ conform('ad_clicks', 'final', provided=[
    'click_id',
    'click_id_type',
    'clicked_at',
    'account_id',
    'campaign_id',
    'ad_group_id',
    'ad_id',
]) }}
