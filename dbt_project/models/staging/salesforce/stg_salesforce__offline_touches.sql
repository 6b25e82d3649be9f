{{ config(enabled=provides('salesforce', 'offline_touches')) }}

-- Members of campaigns that take place in the world. Those of mailings and advertisements are left out: the
-- tools that send and show them tell what happened. A response has a day but no time: it is the member's own
-- time where the member was added that day.
{% set types = {
    'conference': 'event', 'trade show': 'event', 'event': 'event', 'seminar': 'event',
    'seminar / conference': 'event', 'webinar': 'webinar', 'direct mail': 'direct_mail',
    'partners': 'partner_referral', 'referral program': 'partner_referral',
} %}
with members as (
    select * from {{ source('raw_salesforce', 'campaign_members') }}
    where not coalesce(is_deleted, false)
),

campaigns as (
    select * from {{ source('raw_salesforce', 'campaigns') }}
),

final as (
    select
        members.source_relation,
        members.member_id,
        case
            when members.responded_on <> cast(members.created_at as date)
                then cast(members.responded_on as timestamp)
            else members.created_at
        end as occurred_at,
        case lower(campaigns.type)
            {% for type, ours in types.items() -%}
            when '{{ type }}' then '{{ ours }}'
            {% endfor -%}
            else coalesce(replace(lower(campaigns.type), ' ', '_'), 'offline')
        end as touch_type,
        coalesce(members.contact_id, members.lead_id) as contact_id,
        members.campaign_id,
        campaigns.name as campaign_name,
        replace(lower(members.status), ' ', '_') as status,
        members._dlt_load_id,
        null as _slice
    from members
    left join campaigns
        on
            members.source_relation = campaigns.source_relation
            and members.campaign_id = campaigns.campaign_id
    where
        coalesce(lower(campaigns.type), '')
        not in ('email', 'advertisement', 'banner ads', 'telemarketing', 'public relations')
)

{{ conform('offline_touches', 'final', provided={
    'touch_id': 'member_id',
    'occurred_at': 'occurred_at',
    'touch_type': 'touch_type',
    'contact_id': 'contact_id',
    'campaign_id': 'campaign_id',
    'campaign_name': 'campaign_name',
    'status': 'status',
}) }}
