{# What became of the mail: every recipient event counts on its own day. Where a campaign's tool reports no
   deliveries, what was sent and did not bounce was delivered, on the day of the sending. Value is credited by
   the model of var email_credit_model to the click, or to the visit that the click opened. #}
{%- set credit = 'attribution.credit_' ~ var('email_credit_model') %}
{%- set counts = {
    'lead': 'credited_leads', 'opportunity': 'credited_opportunities', 'won': 'credited_wins',
    'purchase': 'credited_purchases', 'subscription': 'credited_subscriptions',
} %}
{%- set amounts = {
    'purchase': 'value', 'opportunity': 'pipeline', 'won': 'bookings', 'subscription': 'mrr',
} %}
with
events as (
    select
        source_relation,
        event_id,
        coalesce(campaign_id, '(not set)') as campaign_id,
        {{ reporting_date('occurred_at') }} as date,
        coalesce(nullif(lower(trim(email_domain)), ''), '(not set)') as recipient_domain,
        recipient_email_hash,
        occurred_at,
        lower(trim(event_type)) as event_type,
        lower(trim(bounce_type)) as bounce_type,
        coalesce(is_machine_open, false) as is_machine_open
    from {{ ref('int_email_events_unioned') }}
),

campaigns as (
    select
        source_relation,
        source_record_id,
        campaign_id,
        campaign_name
    from {{ ref('int_campaigns') }}
    where campaign_kind = 'email'
),

counted as (
    select
        source_relation,
        campaign_id,
        date,
        recipient_domain,
        count(case when event_type = 'sent' then 1 end) as sent,
        count(case when event_type = 'delivered' then 1 end) as delivered,
        count(case when event_type = 'bounced' then 1 end) as bounced,
        count(case when event_type = 'bounced' and bounce_type = 'hard' then 1 end) as bounced_hard,
        count(case when event_type = 'bounced' and bounce_type = 'soft' then 1 end) as bounced_soft,
        count(case when event_type = 'opened' and not is_machine_open then 1 end) as opened,
        count(case when event_type = 'opened' and is_machine_open then 1 end) as opened_by_machine,
        count(case when event_type = 'clicked' then 1 end) as clicked,
        count(case when event_type = 'unsubscribed' then 1 end) as unsubscribed,
        count(case when event_type = 'complained' then 1 end) as complained,
        count(
            case
                when event_type not in (
                        'sent', 'delivered', 'bounced', 'opened', 'clicked', 'unsubscribed', 'complained'
                    )
                    then 1
            end
        ) as other_events
    from events
    group by source_relation, campaign_id, date, recipient_domain
),

silent_campaigns as (
    select
        source_relation,
        campaign_id
    from counted
    group by source_relation, campaign_id
    having sum(delivered) = 0
),

-- A recipient's bounces belong to the latest sendings to it.
silent_events as (
    select
        events.source_relation,
        events.campaign_id,
        events.date,
        events.recipient_domain,
        events.event_type,
        count(case when events.event_type = 'bounced' then 1 end) over (
            partition by events.source_relation, events.campaign_id, events.recipient_email_hash
        ) as bounces,
        row_number() over (
            partition by
                events.source_relation, events.campaign_id, events.recipient_email_hash, events.event_type
            order by events.occurred_at desc, events.event_id desc
        ) as latest_number
    from events
    inner join silent_campaigns
        on events.source_relation = silent_campaigns.source_relation
            and events.campaign_id = silent_campaigns.campaign_id
    where events.event_type in ('sent', 'bounced')
),

not_bounced as (
    select
        source_relation,
        campaign_id,
        date,
        recipient_domain,
        count(*) as delivered
    from silent_events
    where event_type = 'sent' and latest_number > bounces
    group by source_relation, campaign_id, date, recipient_domain
),

-- A visit that several clicks opened is the first one's.
earning_clicks as (
    select
        coalesce(parent_touchpoint_id, touchpoint_id) as touchpoint_id,
        min_by(source_relation, {{ ordered_by(['occurred_at', 'touchpoint_id']) }}) as source_relation,
        min_by(source_record_id, {{ ordered_by(['occurred_at', 'touchpoint_id']) }}) as event_id
    from {{ ref('fct_touchpoints') }}
    where touchpoint_type = 'email_click'
    group by coalesce(parent_touchpoint_id, touchpoint_id)
),

credited as (
    select
        {%- for type, name in counts.items() %}
        sum(
            case when attribution.conversion_type = '{{ type }}' then {{ credit }} else 0.0 end
        )
            as {{ name }},
        {%- endfor %}
        {%- for type, name in amounts.items() %}
        sum(
            case
                when
                    attribution.conversion_type = '{{ type }}'
                    then {{ credit }} * cast(attribution.value as double)
                else 0.0
            end
        ) as {{ name }},
        -- A value without an exchange rate leaves the sum unknown.
        count(case when attribution.conversion_type = '{{ type }}' and attribution.value is null then 1 end)
            as {{ name }}_unknown,
        {%- endfor %}
        events.source_relation,
        events.campaign_id,
        events.date,
        events.recipient_domain
    from earning_clicks
    inner join {{ ref('fct_attribution') }} as attribution
        on earning_clicks.touchpoint_id = attribution.touchpoint_id
    inner join events
        on
            earning_clicks.source_relation = events.source_relation
            and earning_clicks.event_id = events.event_id
    group by events.source_relation, events.campaign_id, events.date, events.recipient_domain
),

final as (
    select
        {%- for name in counts.values() %}
        coalesce(credited.{{ name }}, 0.0) as {{ name }},
        {%- endfor %}
        {%- for name in amounts.values() %}
        case when coalesce(credited.{{ name }}_unknown, 0) = 0 then coalesce(credited.{{ name }}, 0.0) end
            as {{ name }},
        {%- endfor %}
        counted.*,
        coalesce(campaigns.campaign_id, '(not set)') as campaign_key,
        coalesce(campaigns.campaign_name, '(not set)') as campaign_name,
        case
            when silent_campaigns.campaign_id is null then counted.delivered
            else coalesce(not_bounced.delivered, 0)
        end as delivered_or_not_bounced
    from counted
    left join campaigns
        on
            counted.source_relation = campaigns.source_relation
            and counted.campaign_id = campaigns.source_record_id
    left join silent_campaigns
        on
            counted.source_relation = silent_campaigns.source_relation
            and counted.campaign_id = silent_campaigns.campaign_id
    {%- for joined in ['not_bounced', 'credited'] %}
    left join {{ joined }}
        on
            counted.source_relation = {{ joined }}.source_relation
            and counted.campaign_id = {{ joined }}.campaign_id
            and counted.date = {{ joined }}.date
            and counted.recipient_domain = {{ joined }}.recipient_domain
    {%- endfor %}
)

select
    source_relation,
    campaign_key as campaign_id,
    campaign_name,
    date,
    recipient_domain,
    cast(sent as bigint) as sent,
    cast(delivered_or_not_bounced as bigint) as delivered,
    cast(bounced as bigint) as bounced,
    cast(bounced_hard as bigint) as bounced_hard,
    cast(bounced_soft as bigint) as bounced_soft,
    cast(opened as bigint) as opened,
    cast(opened_by_machine as bigint) as opened_by_machine,
    cast(clicked as bigint) as clicked,
    cast(unsubscribed as bigint) as unsubscribed,
    cast(complained as bigint) as complained,
    cast(other_events as bigint) as other_events,
    credited_leads,
    credited_opportunities,
    credited_wins,
    credited_purchases,
    credited_subscriptions,
    {{ to_money('value') }} as value,
    {{ to_money('pipeline') }} as pipeline,
    {{ to_money('bookings') }} as bookings,
    {{ to_money('mrr') }} as mrr
from final
