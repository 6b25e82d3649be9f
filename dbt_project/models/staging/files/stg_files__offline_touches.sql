{{ config(enabled=provides('files', 'offline_touches')) }}

-- A record that several files hold counts as the last of them says.
with ranked as (
    select
        records.*,
        row_number() over (
            partition by source_relation, touch_id
            order by _slice desc, _line desc
        ) as place
    from {{ source('raw_files', 'offline_touches') }} as records
),

final as (
    select * from ranked
    where place = 1
)

{{ conform('offline_touches', 'final', provided=[
    'touch_id',
    'occurred_at',
    'touch_type',
    'contact_id',
    'email_hash',
    'email_domain',
    'account_id',
    'campaign_id',
    'campaign_name',
    'status',
]) }}
