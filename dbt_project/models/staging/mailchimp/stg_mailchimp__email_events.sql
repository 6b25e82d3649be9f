{{ config(enabled=provides('mailchimp', 'email_events')) }}

-- There is no event "delivered": what was sent and did not bounce is taken as delivered at the sending
-- time. A machine open is one that the vendor marks as fetched by a mail client's proxy (is_proxy_open in
-- the open details), and where it does not say, one from the network of Apple's proxy.
with campaigns as (
    select * from {{ source('raw_mailchimp', 'campaigns') }}
),

sent_to as (
    select * from {{ source('raw_mailchimp', 'sent_to') }}
),

activity as (
    select
        source_relation,
        campaign_id,
        email_id,
        email_hash,
        email_domain,
        action,
        occurred_at,
        bounce_type,
        url,
        ip_network,
        cast(occurred_at as {{ text_type() }}) || ' ' || cast(nth as {{ text_type() }}) as activity_id,
        _dlt_load_id
    from {{ source('raw_mailchimp', 'email_activity') }}
),

open_details as (
    select
        source_relation,
        campaign_id,
        email_id,
        opened_at,
        bool_or(is_proxy_open) as is_proxy_open,
        max(_dlt_load_id) as _dlt_load_id
    from {{ source('raw_mailchimp', 'open_details') }}
    group by source_relation, campaign_id, email_id, opened_at
),

unsubscribes as (
    select * from {{ source('raw_mailchimp', 'unsubscribes') }}
),

abuse_reports as (
    select * from {{ source('raw_mailchimp', 'abuse_reports') }}
),

sent as (
    select
        sent_to.source_relation,
        sent_to.campaign_id,
        sent_to.email_id,
        sent_to.email_hash,
        sent_to.email_domain,
        sent_to.status,
        campaigns.send_time,
        greatest(sent_to._dlt_load_id, campaigns._dlt_load_id) as _dlt_load_id
    from sent_to
    inner join campaigns
        on sent_to.source_relation = campaigns.source_relation and sent_to.campaign_id = campaigns.campaign_id
),

bounces as (
    select
        source_relation,
        campaign_id,
        email_id,
        email_hash,
        email_domain,
        bounce_type,
        occurred_at,
        activity_id,
        _dlt_load_id
    from activity
    where action = 'bounce'
),

occurrences as (
    select
        source_relation, 'sent' as event_type, campaign_id, email_id, email_hash, email_domain,
        send_time as occurred_at,
        '' as detail, cast(null as {{ text_type() }}) as url, cast(null as {{ text_type() }}) as bounce_type,
        cast(null as boolean) as is_machine_open, _dlt_load_id
    from sent
    union all
    select
        source_relation, 'delivered' as event_type, campaign_id, email_id, email_hash, email_domain,
        send_time as occurred_at, '' as detail, null as url, null as bounce_type, null as is_machine_open,
        _dlt_load_id
    from sent
    where status = 'sent'
    union all
    select
        source_relation, 'bounced' as event_type, campaign_id, email_id, email_hash, email_domain,
        occurred_at,
        activity_id as detail, null as url, bounce_type, null as is_machine_open, _dlt_load_id
    from bounces
    union all
    -- A bounce whose moment the activity does not tell.
    select
        sent.source_relation, 'bounced' as event_type, sent.campaign_id, sent.email_id, sent.email_hash,
        sent.email_domain, sent.send_time as occurred_at, '' as detail, null as url,
        sent.status as bounce_type,
        null as is_machine_open, sent._dlt_load_id
    from sent
    left join bounces
        on
            sent.source_relation = bounces.source_relation
            and sent.campaign_id = bounces.campaign_id
            and sent.email_id = bounces.email_id
    where sent.status in ('hard', 'soft') and bounces.email_id is null
    union all
    select
        activity.source_relation, 'opened' as event_type, activity.campaign_id, activity.email_id,
        activity.email_hash,
        activity.email_domain, activity.occurred_at, activity.activity_id as detail, null as url,
        null as bounce_type,
        coalesce(open_details.is_proxy_open, activity.ip_network like '17.%', false) as is_machine_open,
        {{ newest_load('activity', ['open_details']) }} as _dlt_load_id
    from activity
    left join open_details
        on
            activity.source_relation = open_details.source_relation
            and activity.campaign_id = open_details.campaign_id
            and activity.email_id = open_details.email_id
            and activity.occurred_at = open_details.opened_at
    where activity.action = 'open'
    union all
    select
        source_relation, 'clicked' as event_type, campaign_id, email_id, email_hash, email_domain,
        occurred_at,
        activity_id as detail, url, null as bounce_type, null as is_machine_open, _dlt_load_id
    from activity
    where action = 'click'
    union all
    select
        source_relation, 'unsubscribed' as event_type, campaign_id, email_id, email_hash, email_domain,
        occurred_at,
        '' as detail, null as url, null as bounce_type, null as is_machine_open, _dlt_load_id
    from unsubscribes
    union all
    select
        source_relation, 'complained' as event_type, campaign_id, email_id, email_hash, email_domain,
        occurred_at,
        abuse_report_id as detail, null as url, null as bounce_type, null as is_machine_open, _dlt_load_id
    from abuse_reports
),

final as (
    select
        occurrences.source_relation,
        occurrences.event_type,
        occurrences.campaign_id,
        occurrences.email_id,
        occurrences.email_hash,
        occurrences.email_domain,
        occurrences.occurred_at,
        occurrences.url,
        occurrences.bounce_type,
        occurrences.is_machine_open,
        coalesce(campaigns.title, campaigns.subject_line) as campaign_name,
        {{ surrogate_key([
            'occurrences.event_type', 'occurrences.campaign_id', 'occurrences.email_id', 'occurrences.detail',
        ]) }} as event_id,
        occurrences.campaign_id as _slice,
        {{ newest_load('occurrences', ['campaigns']) }} as _dlt_load_id
    from occurrences
    left join campaigns
        on
            occurrences.source_relation = campaigns.source_relation
            and occurrences.campaign_id = campaigns.campaign_id
)

{{ conform('email_events', 'final', provided={
    'event_id': 'event_id',
    'occurred_at': 'occurred_at',
    'event_type': 'event_type',
    'campaign_id': 'campaign_id',
    'campaign_name': 'campaign_name',
    'recipient_email_hash': 'email_hash',
    'email_domain': 'email_domain',
    'subscriber_id': 'email_id',
    'url': 'url',
    'bounce_type': 'bounce_type',
    'is_machine_open': 'is_machine_open',
}) }}
