{{ config(enabled=provides('files', 'costs')) }}

-- A record that several files hold counts as the last of them says.
with ranked as (
    select
        records.*,
        row_number() over (
            partition by source_relation, period_start, period_end, cost_type, channel, campaign_id
            order by _slice desc, _line desc
        ) as place
    from {{ source('raw_files', 'costs') }} as records
),

final as (
    select * from ranked
    where place = 1
)

{{ conform('costs', 'final', provided=[
    'period_start',
    'period_end',
    'cost_type',
    'amount',
    'currency',
    'channel',
    'campaign_id',
]) }}
