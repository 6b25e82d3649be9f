{{ config(materialized='view') }}
-- Touchpoints that stand in records and not in streams of events: offline touches, sales activities, ad
-- clicks.
with offline_touches as (
    select * from {{ ref('int_offline_touches_unioned') }}
),

-- An activity that does not say who sought whom was ours.
activities as (
    select
        source_relation,
        activity_id,
        lower(activity_type) as activity_type,
        occurred_at,
        contact_id,
        lower(trim(outcome)) as outcome,
        coalesce(is_automated, false) as is_automated,
        coalesce(lower(trim(direction)), 'outbound') as direction
    from {{ ref('int_crm_activities_unioned') }}
    where lower(activity_type) <> 'task'
),

ad_clicks as (
    select * from {{ ref('int_ad_clicks_unioned') }}
    where clicked_at is not null
),

identity_lookup as (
    select * from {{ ref('int_identity_lookup') }}
),

identity_map as (
    select * from {{ ref('int_identity_map') }}
),

types as (
    select * from {{ ref('touchpoint_type_channels') }}
),

outcomes as (
    select * from {{ ref('activity_outcomes') }}
),

campaigns as (
    select * from {{ ref('int_campaigns') }}
),

sessions as (
    select
        click_id,
        click_id_type,
        min_by(session_id, {{ ordered_by(['started_at', 'session_id']) }}) as session_id,
        min_by(person_id, {{ ordered_by(['started_at', 'session_id']) }}) as person_id,
        min_by(anonymous_id, {{ ordered_by(['started_at', 'session_id']) }}) as anonymous_id
    from {{ ref('fct_sessions') }}
    where click_id is not null
    group by click_id, click_id_type
),

offline as (
    select
        {{ surrogate_key(["'offline'", 'offline_touches.source_relation', 'offline_touches.touch_id']) }}
            as touchpoint_id,
        cast(null as {{ text_type() }}) as parent_touchpoint_id,
        coalesce(contacts.person_id, emails.person_id) as person_id,
        cast(null as {{ text_type() }}) as anonymous_id,
        offline_touches.occurred_at,
        types.touchpoint_type,
        cast(null as {{ text_type() }}) as session_id,
        types.channel,
        types.medium,
        lower(offline_touches.touch_type) as source,
        coalesce(offline_touches.campaign_name, '(not set)') as campaign,
        case
            when offline_touches.campaign_id is not null
                then {{ surrogate_key(['offline_touches.source_relation', 'offline_touches.campaign_id']) }}
        end as campaign_id,
        cast(null as {{ text_type() }}) as ad_id,
        cast(null as {{ text_type() }}) as click_id_type,
        types.direction,
        types.is_paid,
        types.funnel_position,
        case
            when
                lower(offline_touches.status) in ('no_show', 'canceled', 'cancelled', 'declined')
                then 'did not attend'
        end as own_reason,
        offline_touches.source_relation,
        offline_touches.touch_id as source_record_id
    from offline_touches
    left join types as known on lower(offline_touches.touch_type) = known.touchpoint_type
    inner join types on types.touchpoint_type = coalesce(known.touchpoint_type, 'offline')
    left join identity_lookup as contacts
        on contacts.identifier_kind = 'crm_contact' and offline_touches.contact_id = contacts.identifier
    left join identity_map as emails
        on emails.identifier_type = 'email' and offline_touches.email_hash = emails.identifier
),

sales as (
    select
        {{ surrogate_key(["'activity'", 'activities.source_relation', 'activities.activity_id']) }}
            as touchpoint_id,
        cast(null as {{ text_type() }}) as parent_touchpoint_id,
        contacts.person_id,
        cast(null as {{ text_type() }}) as anonymous_id,
        activities.occurred_at,
        types.touchpoint_type,
        cast(null as {{ text_type() }}) as session_id,
        case
            when activities.direction = 'inbound'
                then coalesce(nullif(types.inbound_channel, ''), types.channel)
            else types.channel
        end as channel,
        types.medium,
        'sales' as source,
        '(not set)' as campaign,
        cast(null as {{ text_type() }}) as campaign_id,
        cast(null as {{ text_type() }}) as ad_id,
        cast(null as {{ text_type() }}) as click_id_type,
        activities.direction,
        types.is_paid,
        types.funnel_position,
        case
            when activities.is_automated then 'automated'
            when activities.direction <> 'inbound' and not coalesce(outcomes.is_answered, false)
                then 'unanswered outbound'
        end as own_reason,
        activities.source_relation,
        activities.activity_id as source_record_id
    from activities
    inner join types
        on
            types.touchpoint_type = case
                when activities.activity_type = 'social_message' then 'social_message'
                else 'crm_' || activities.activity_type
            end
    left join outcomes on activities.outcome = outcomes.outcome
    left join identity_map as contacts
        on
            contacts.identifier_type = {{ identifier_type('crm_contact', 'activities.source_relation') }}
            and activities.contact_id = contacts.identifier
),

clicks as (
    select
        {{ surrogate_key([
            "'ad_click'", 'ad_clicks.source_relation', 'ad_clicks.click_id_type', 'ad_clicks.click_id',
        ]) }} as touchpoint_id,
        case
            when
                sessions.session_id is not null
                then {{ surrogate_key(["'web_session'", 'sessions.session_id']) }}
        end as parent_touchpoint_id,
        coalesce(
            sessions.person_id,
            {{ surrogate_key(["'ad_click'", 'ad_clicks.click_id_type', 'ad_clicks.click_id']) }}
        ) as person_id,
        sessions.anonymous_id,
        ad_clicks.clicked_at as occurred_at,
        'ad_click' as touchpoint_type,
        sessions.session_id,
        coalesce(campaigns.channel, 'Paid Other') as channel,
        coalesce(click_id_types.paid_medium, 'cpc') as medium,
        coalesce(click_id_types.source, '(not set)') as source,
        coalesce(campaigns.campaign_name, '(not set)') as campaign,
        campaigns.campaign_id,
        nullif(ad_clicks.ad_id, '(not set)') as ad_id,
        lower(ad_clicks.click_id_type) as click_id_type,
        'inbound' as direction,
        true as is_paid,
        campaigns.funnel_position,
        cast(null as {{ text_type() }}) as own_reason,
        ad_clicks.source_relation,
        ad_clicks.click_id as source_record_id
    from ad_clicks
    left join sessions
        on ad_clicks.click_id = sessions.click_id and lower(ad_clicks.click_id_type) = sessions.click_id_type
    left join campaigns
        on
            campaigns.campaign_kind = 'ads'
            and ad_clicks.source_relation = campaigns.source_relation
            and ad_clicks.campaign_id = campaigns.source_record_id
    left join
        {{ ref('click_id_types') }} as click_id_types
        on lower(ad_clicks.click_id_type) = click_id_types.click_id_type
),

records as (
    select * from offline
    union all
    select * from sales
    union all
    select * from clicks
)

-- A record that names no person we know is no touchpoint of a person; source_reconciliation counts it.
select
    touchpoint_id,
    parent_touchpoint_id,
    person_id,
    anonymous_id,
    occurred_at,
    touchpoint_type,
    session_id,
    channel,
    medium,
    source,
    campaign,
    '(not set)' as content,
    '(not set)' as term,
    campaign_id,
    ad_id,
    click_id_type,
    cast(null as {{ text_type() }}) as landing_page,
    cast(null as {{ text_type() }}) as referrer_host,
    '(not set)' as country,
    '(not set)' as device,
    direction,
    is_paid,
    funnel_position,
    cast(null as {{ text_type() }}) as own_consent,
    own_reason,
    source_relation,
    source_record_id
from records
where person_id is not null
