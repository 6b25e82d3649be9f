-- What people of the company did to reach somebody: no machine's e-mails, no tasks, nothing that came in.
with activities as (
    select * from {{ ref('int_crm_activities_unioned') }}
),

identity_map as (
    select
        identifier_type,
        identifier,
        person_id
    from {{ ref('int_identity_map') }}
),

-- What was done for a merged deal was done for the surviving one.
removals as (
    select
        source_relation,
        source_record_id,
        into_id
    from {{ ref('int_crm_removals') }}
    where object_type = 'opportunity'
)

select
    {{ surrogate_key(['activities.source_relation', 'activities.activity_id']) }} as activity_id,
    lower(activities.activity_type) as activity_type,
    activities.occurred_at,
    identity_map.person_id,
    case
        when activities.opportunity_id is not null
            then
                coalesce(
                    removals.into_id,
                    {{ surrogate_key(['activities.source_relation', 'activities.opportunity_id']) }}
                )
    end as opportunity_id,
    case
        when activities.owner_id is not null
            then {{ surrogate_key(['activities.source_relation', 'activities.owner_id']) }}
    end as owner_id
from activities
left join identity_map
    on
        identity_map.identifier_type = {{ identifier_type('crm_contact', 'activities.source_relation') }}
        and activities.contact_id = identity_map.identifier
left join removals
    on
        activities.source_relation = removals.source_relation
        and activities.opportunity_id = removals.source_record_id
where
    lower(activities.activity_type) in ('call', 'meeting', 'email', 'social_message')
    and coalesce(lower(trim(activities.direction)), 'outbound') <> 'inbound'
    and not coalesce(activities.is_automated, false)
    and activities.occurred_at <= {{ as_of() }}
