{{ config(enabled=provides('klaviyo', 'email_events')) }}

-- There is no event "sent": mail that is received was sent and delivered, and mail that bounces was sent.
-- Where a bounce follows on mail that had been received, it was not delivered after all. A flow with all its
-- messages is one campaign. Who leaves without a mailing is no recipient's event.
with events as (
    select * from {{ ref('stg_klaviyo__named_events') }}
),

messages as (
    select * from {{ source('raw_klaviyo', 'campaign_messages') }}
),

campaigns as (
    select * from {{ source('raw_klaviyo', 'campaigns') }}
),

flows as (
    select * from {{ source('raw_klaviyo', 'flows') }}
),

received as (
    select * from events
    where metric = 'Received Email'
),

bounced as (
    select * from events
    where metric = 'Bounced Email'
),

bounced_sendings as (
    select
        source_relation,
        profile_id,
        sending,
        max(_dlt_load_id) as _dlt_load_id
    from bounced
    group by source_relation, profile_id, sending
),

received_sendings as (
    select
        source_relation,
        profile_id,
        sending,
        max(_dlt_load_id) as _dlt_load_id
    from received
    group by source_relation, profile_id, sending
),

first_bounces as (
    select
        bounced.*,
        row_number() over (
            partition by source_relation, profile_id, sending
            order by occurred_at, event_id
        ) as place
    from bounced
),

occurrences as (
    select
        source_relation, event_id, 'sent' as event_type, occurred_at, profile_id, message_id, flow_id,
        campaign_name, email_hash, email_domain, url, bounce_type, is_machine_open, _slice, _dlt_load_id
    from received
    union all
    select
        first_bounces.source_relation, first_bounces.event_id, 'sent' as event_type,
        first_bounces.occurred_at, first_bounces.profile_id, first_bounces.message_id, first_bounces.flow_id,
        first_bounces.campaign_name, first_bounces.email_hash, first_bounces.email_domain,
        first_bounces.url, first_bounces.bounce_type, first_bounces.is_machine_open, first_bounces._slice,
        first_bounces._dlt_load_id
    from first_bounces
    left join received_sendings
        on
            first_bounces.source_relation = received_sendings.source_relation
            and first_bounces.profile_id = received_sendings.profile_id
            and first_bounces.sending = received_sendings.sending
    where first_bounces.place = 1 and received_sendings.sending is null
    union all
    select
        received.source_relation, received.event_id, 'delivered' as event_type, received.occurred_at,
        received.profile_id, received.message_id, received.flow_id, received.campaign_name,
        received.email_hash, received.email_domain, received.url, received.bounce_type,
        received.is_machine_open, received._slice, received._dlt_load_id
    from received
    left join bounced_sendings
        on
            received.source_relation = bounced_sendings.source_relation
            and received.profile_id = bounced_sendings.profile_id
            and received.sending = bounced_sendings.sending
    where bounced_sendings.sending is null
    union all
    select
        source_relation, event_id,
        case metric
            when 'Bounced Email' then 'bounced'
            when 'Opened Email' then 'opened'
            when 'Clicked Email' then 'clicked'
            when 'Marked Email as Spam' then 'complained'
            else 'unsubscribed'
        end as event_type,
        occurred_at, profile_id, message_id, flow_id, campaign_name, email_hash, email_domain, url,
        bounce_type, is_machine_open, _slice, _dlt_load_id
    from events
    where
        metric in ('Bounced Email', 'Opened Email', 'Clicked Email', 'Marked Email as Spam')
        or (
            metric in ('Unsubscribed from Email Marketing', 'Unsubscribed')
            and coalesce(message_id, flow_id) is not null
        )
),

final as (
    select
        occurrences.source_relation,
        occurrences.event_type,
        occurrences.occurred_at,
        occurrences.profile_id,
        occurrences.email_hash,
        occurrences.email_domain,
        occurrences.url,
        occurrences._slice,
        {{ surrogate_key(['occurrences.event_type', 'occurrences.event_id']) }} as event_id,
        case when occurrences.event_type = 'bounced' then occurrences.bounce_type end as bounce_type,
        case when occurrences.event_type = 'opened' then occurrences.is_machine_open end as is_machine_open,
        -- Old messages have their campaign's own id.
        coalesce(occurrences.flow_id, messages.campaign_id, occurrences.message_id) as campaign_id,
        coalesce(flows.name, campaigns.name, occurrences.campaign_name) as campaign_name,
        {{ newest_load('occurrences', ['messages', 'campaigns', 'flows']) }} as _dlt_load_id
    from occurrences
    left join messages
        on
            occurrences.source_relation = messages.source_relation
            and occurrences.message_id = messages.message_id
    left join campaigns
        on
            occurrences.source_relation = campaigns.source_relation
            and coalesce(messages.campaign_id, occurrences.message_id) = campaigns.campaign_id
    left join flows
        on occurrences.source_relation = flows.source_relation and occurrences.flow_id = flows.flow_id
)

{{ conform('email_events', 'final', provided={
    'event_id': 'event_id',
    'occurred_at': 'occurred_at',
    'event_type': 'event_type',
    'campaign_id': 'campaign_id',
    'campaign_name': 'campaign_name',
    'recipient_email_hash': 'email_hash',
    'email_domain': 'email_domain',
    'subscriber_id': 'profile_id',
    'url': 'url',
    'bounce_type': 'bounce_type',
    'is_machine_open': 'is_machine_open',
}) }}
