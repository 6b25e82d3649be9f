{{ config(enabled=provides('files', 'crm_activities')) }}

-- A record that several files hold counts as the last of them says.
with ranked as (
    select
        records.*,
        row_number() over (
            partition by source_relation, activity_id
            order by _slice desc, _line desc
        ) as place
    from {{ source('raw_files', 'crm_activities') }} as records
),

final as (
    select * from ranked
    where place = 1
)

{{ conform('crm_activities', 'final', provided=[
    'activity_id',
    'activity_type',
    'direction',
    'occurred_at',
    'scheduled_for',
    'contact_id',
    'account_id',
    'opportunity_id',
    'owner_id',
    'outcome',
    'is_automated',
]) }}
