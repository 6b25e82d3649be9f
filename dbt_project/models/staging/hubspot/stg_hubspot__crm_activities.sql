{{ config(enabled=provides('hubspot', 'crm_activities')) }}

-- A task's own time is when it was done, else when it was made; its due time is what it was scheduled for.
-- An activity with several people counts for the primary, else the oldest of them. Archived activities are
-- left out.
{% set outcomes = {
    'f240bbac-87c9-4f6e-bf70-924b57d47db7': 'connected',
    '9d9162e7-6cf3-4944-bf63-4dff82258764': 'busy',
    'a4c4c377-d246-4b32-a13b-75a56a4cd0ff': 'left_live_message',
    'b2cf5968-551e-4856-9783-52b3da59a7d0': 'left_voicemail',
    '73a0d17f-1163-4015-bdd5-ec830791da20': 'no_answer',
    '17b47fee-58de-441e-a44c-c6300d46f273': 'wrong_number',
} %}
with choices as (
    select * from {{ ref('stg_hubspot__link_choices') }}
),

activities as (
    select
        source_relation, activity_id, 'calls' as vendor_type, 'call' as activity_type,
        lower(direction) as direction,
        coalesce(occurred_at, created_at) as occurred_at, cast(null as timestamp) as scheduled_for, owner_id,
        case disposition
            {% for guid, outcome in outcomes.items() -%}
            when '{{ guid }}' then '{{ outcome }}'
            {% endfor -%}
            else lower(coalesce(disposition, status))
        end as outcome,
        object_source, object_source_label, archived, _dlt_load_id
    from {{ source('raw_hubspot', 'calls') }}
    union all
    select
        source_relation, activity_id, 'meetings' as vendor_type, 'meeting' as activity_type,
        null as direction,
        coalesce(starts_at, occurred_at, created_at) as occurred_at,
        coalesce(starts_at, occurred_at) as scheduled_for,
        owner_id, lower(outcome) as outcome, object_source, object_source_label, archived, _dlt_load_id
    from {{ source('raw_hubspot', 'meetings') }}
    union all
    select
        source_relation, activity_id, 'emails' as vendor_type, 'email' as activity_type,
        case when direction = 'EMAIL' then 'outbound' when direction is not null
                then 'inbound'
        end as direction,
        coalesce(occurred_at, created_at) as occurred_at, null as scheduled_for, owner_id,
        lower(status) as outcome,
        object_source, object_source_label, archived, _dlt_load_id
    from {{ source('raw_hubspot', 'emails') }}
    union all
    select
        source_relation, activity_id, 'tasks' as vendor_type, 'task' as activity_type, null as direction,
        coalesce(completed_at, created_at) as occurred_at, occurred_at as scheduled_for, owner_id,
        lower(status) as outcome, object_source, object_source_label, archived, _dlt_load_id
    from {{ source('raw_hubspot', 'tasks') }}
    union all
    select
        source_relation, activity_id, 'communications' as vendor_type, 'social_message' as activity_type,
        'outbound' as direction, coalesce(occurred_at, created_at) as occurred_at, null as scheduled_for,
        owner_id,
        lower(channel_type) as outcome, object_source, object_source_label, archived, _dlt_load_id
    from {{ source('raw_hubspot', 'communications') }}
),

final as (
    select
        activities.source_relation,
        activities.activity_id,
        activities.activity_type,
        activities.direction,
        activities.occurred_at,
        activities.scheduled_for,
        choices.contact_id,
        choices.company_id,
        choices.deal_id,
        activities.owner_id,
        activities.outcome,
        upper(coalesce(activities.object_source, '') || ' ' || coalesce(activities.object_source_label, ''))
        like '%AUTOMATION%' as is_automated,
        activities._dlt_load_id,
        null as _slice
    from activities
    left join choices
        on
            activities.source_relation = choices.source_relation
            and activities.vendor_type = choices.from_type
            and activities.activity_id = choices.from_id
    where not coalesce(activities.archived, false)
)

{{ conform('crm_activities', 'final', provided={
    'activity_id': 'activity_id',
    'activity_type': 'activity_type',
    'direction': 'direction',
    'occurred_at': 'occurred_at',
    'scheduled_for': 'scheduled_for',
    'contact_id': 'contact_id',
    'account_id': 'company_id',
    'opportunity_id': 'deal_id',
    'owner_id': 'owner_id',
    'outcome': 'outcome',
    'is_automated': 'is_automated',
}) }}
