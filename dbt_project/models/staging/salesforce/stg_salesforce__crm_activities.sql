{{ config(enabled=provides('salesforce', 'crm_activities')) }}

-- Calls, e-mails and messages are tasks that are done. A call has no time but that of its task, which is made
-- as it begins; an e-mail has its own. Leads have no account that an activity could name: it is the one they
-- were matched with. Deleted activities are left out.
{% set messages = ['linkedin', 'social', 'message', 'sms', 'whatsapp'] %}
with leads as (
    select * from {{ source('raw_salesforce', 'leads') }}
),

emails as (
    select
        source_relation,
        task_id,
        bool_or(coalesce(is_incoming, false)) as is_incoming,
        bool_or(coalesce(is_bounced, false)) as is_bounced,
        min(sent_at) as sent_at
    from {{ source('raw_salesforce', 'email_messages') }}
    where task_id is not null and not coalesce(is_deleted, false)
    group by source_relation, task_id
),

tasks as (
    select
        tasks.*,
        case
            when lower(coalesce(subtype, '')) in ('email', 'listemail') or lower(coalesce(type, '')) = 'email'
                then 'email'
            when lower(coalesce(subtype, '')) = 'call' or lower(coalesce(type, '')) = 'call' then 'call'
            when lower(coalesce(type, '')) in ({{ quoted_list(messages) }}) then 'social_message'
            when lower(coalesce(type, '')) = 'meeting' then 'meeting'
            else 'task'
        end as activity_type
    from {{ source('raw_salesforce', 'tasks') }} as tasks
),

activities as (
    select
        tasks.source_relation,
        tasks.who_id,
        tasks.what_id,
        tasks.account_id,
        tasks.owner_id,
        tasks.creator_type,
        tasks.is_deleted,
        tasks._dlt_load_id,
        tasks.task_id as activity_id,
        tasks.activity_type,
        case tasks.activity_type
            when 'call'
                then nullif(nullif(lower(tasks.call_type), 'internal'), '')
            when 'email' then case when emails.is_incoming then 'inbound' else 'outbound' end
            when 'social_message' then 'outbound'
        end as direction,
        case tasks.activity_type
            when 'email' then coalesce(emails.sent_at, tasks.created_at)
            when 'task' then coalesce(tasks.completed_at, tasks.created_at)
            else tasks.created_at
        end as occurred_at,
        case when tasks.activity_type = 'task' then cast(tasks.due_on as timestamp) end as scheduled_for,
        case tasks.activity_type
            when 'call' then coalesce(tasks.call_result, tasks.status)
            when 'email' then case when emails.is_bounced then 'bounced' else 'sent' end
            when 'social_message' then tasks.type
            else tasks.status
        end as outcome
    from tasks
    left join emails on tasks.source_relation = emails.source_relation and tasks.task_id = emails.task_id
    union all
    select
        source_relation,
        who_id,
        what_id,
        account_id,
        owner_id,
        creator_type,
        is_deleted,
        _dlt_load_id,
        event_id as activity_id,
        'meeting' as activity_type,
        null as direction,
        coalesce(starts_at, created_at) as occurred_at,
        starts_at as scheduled_for,
        outcome
    from {{ source('raw_salesforce', 'events') }}
),

final as (
    select
        activities.source_relation,
        activities.activity_id,
        activities.activity_type,
        activities.direction,
        activities.occurred_at,
        activities.scheduled_for,
        activities.who_id,
        coalesce(activities.account_id, leads.account_id) as account_id,
        case when activities.what_id like '006%' then activities.what_id end as opportunity_id,
        activities.owner_id,
        replace(lower(activities.outcome), ' ', '_') as outcome,
        coalesce(activities.creator_type, 'Standard') in ('AutomatedProcess', 'CloudIntegrationUser')
            as is_automated,
        activities._dlt_load_id,
        null as _slice
    from activities
    left join leads
        on activities.source_relation = leads.source_relation and activities.who_id = leads.lead_id
    where not coalesce(activities.is_deleted, false)
)

{{ conform('crm_activities', 'final', provided={
    'activity_id': 'activity_id',
    'activity_type': 'activity_type',
    'direction': 'direction',
    'occurred_at': 'occurred_at',
    'scheduled_for': 'scheduled_for',
    'contact_id': 'who_id',
    'account_id': 'account_id',
    'opportunity_id': 'opportunity_id',
    'owner_id': 'owner_id',
    'outcome': 'outcome',
    'is_automated': 'is_automated',
}) }}
