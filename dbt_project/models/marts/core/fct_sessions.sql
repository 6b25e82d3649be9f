{{ config(
    materialized='incremental',
    incremental_strategy='rewrite',
    on_schema_change='append_new_columns',
    meta={'rewrite': [{
        'changes': 'int_changed_visitors',
        'keys': ['source_relation', 'anonymous_id'],
        'since': 'started_at',
    }]},
) }}
{%- set web_events = ref('int_session_candidates') if is_rewrite() else ref('int_web_events_sessionized') %}
-- depends_on: {{ ref('int_changed_visitors') }} {{ ref('int_session_candidates') }}

with source_categories as (
    select * from {{ ref('source_categories') }}
),

utm_repairs as (
    select * from {{ ref('utm_repairs') }}
),

click_id_types as (
    select * from {{ ref('click_id_types') }}
),

campaign_keys as (
    select * from {{ ref('int_campaign_keys') }}
),

channels as (
    select * from {{ ref('channels') }}
),

sessions as (
    select
        session_id,
        source_relation,
        anonymous_id,
        min(occurred_at) as started_at,
        max(occurred_at) as ended_at,
        max(case when event_number = 1 then person_id end) as first_person_id,
        max_by(person_id, event_number) as last_person_id,
        min(user_id) as user_id,
        count(*) as events,
        count(case when event_name in ('page_view', 'screen_view') then 1 end) as pages,
        max(case when event_number = 1 then page_url end) as landing_page_url,
        max_by(page_url, event_number) filter (where page_url is not null) as exit_page_url,
        min_by(referrer_url, event_number) filter (where referrer_url is not null) as referrer_url,
        -- The session's campaign is that of its first tagged event.
        min(event_number) filter (
            where coalesce(utm_source, utm_medium, utm_campaign, click_id) is not null
        ) as tagged_event_number,
        min_by(device_category, event_number) filter (where device_category is not null) as device,
        min_by(country, event_number) filter (where country is not null) as country,
        max_by(consent_analytics, event_number) filter (where consent_analytics is not null)
            as consent_analytics,
        max_by(consent_ads, event_number) filter (where consent_ads is not null) as consent_ads,
        bool_or(is_bot) as is_bot,
        bool_or(is_internal) as is_internal,
        bool_or(event_name in ({{ quoted_list(var('session_conversion_events')) }})) as is_converted
    from {{ web_events }}
    group by session_id, source_relation, anonymous_id
),

tagged_events as (
    select
        session_id,
        event_number,
        utm_source,
        utm_medium,
        utm_campaign,
        utm_content,
        utm_term,
        click_id,
        click_id_type,
        page_url
    from {{ web_events }}
    where coalesce(utm_source, utm_medium, utm_campaign, click_id) is not null
),

tags as (
    select
        events.session_id,
        nullif(lower(trim(events.utm_source)), '') as written_source,
        nullif(lower(trim(events.utm_medium)), '') as written_medium,
        nullif(trim(events.utm_campaign), '(not set)') as utm_campaign,
        events.utm_content,
        events.utm_term,
        events.click_id,
        events.click_id_type,
        -- A platform may put its campaign's id beside a click id that it reports to nobody.
        coalesce(
            {%- for name in var('campaign_id_parameters') %}
            case
                when events.page_url like '%{{ name }}=%' then {{ url_parameter('events.page_url', name) }}
            end,
            {%- endfor %}
            cast(null as {{ text_type() }})
        ) as campaign_number
    from tagged_events as events
    inner join sessions
        on events.session_id = sessions.session_id and events.event_number = sessions.tagged_event_number
),

hosts as (
    select
        *,
        {{ url_host('landing_page_url') }} as landing_host,
        {{ url_host('referrer_url') }} as any_referrer_host
    from sessions
),

gathered as (
    select
        hosts.*,
        coalesce(source_repairs.meant, tags.written_source) as utm_source,
        coalesce(medium_repairs.meant, tags.written_medium) as utm_medium,
        tags.utm_campaign,
        tags.utm_content,
        tags.utm_term,
        tags.click_id,
        tags.click_id_type,
        {{ matching_name('tags.utm_campaign') }} as campaign_key,
        {{ matching_name('tags.campaign_number') }} as campaign_number_key,
        -- A referrer on the landing page's own site is no referrer.
        case
            when hosts.any_referrer_host is null or hosts.any_referrer_host = hosts.landing_host then null
            when
                split_part(hosts.any_referrer_host, '.', -1) = split_part(hosts.landing_host, '.', -1)
                and split_part(hosts.any_referrer_host, '.', -2) = split_part(hosts.landing_host, '.', -2)
                then null
            else hosts.any_referrer_host
        end as referrer_host
    from hosts
    left join tags on hosts.session_id = tags.session_id
    left join utm_repairs as source_repairs
        on source_repairs.field = 'source' and source_repairs.written = tags.written_source
    left join utm_repairs as medium_repairs
        on medium_repairs.field = 'medium' and medium_repairs.written = tags.written_medium
),

matched as (
    select
        gathered.*,
        referrer_categories.source_category as referrer_category,
        click_id_types.source as click_source,
        case
            when coalesce(clicked.campaign_id, numbered.campaign_id, named.campaign_id) is not null
                then click_id_types.paid_medium
            else click_id_types.free_medium
        end as click_medium,
        coalesce(clicked.campaign_id, numbered.campaign_id, named.campaign_id) as matched_campaign_id,
        coalesce(clicked.channel, numbered.channel, named.channel) as campaign_channel,
        coalesce(clicked.funnel_position, numbered.funnel_position, named.funnel_position)
            as campaign_funnel_position,
        clicked.ad_id
    from gathered
    left join click_id_types on gathered.click_id_type = click_id_types.click_id_type
    left join campaign_keys as clicked
        on gathered.click_id_type = clicked.key_type and gathered.click_id = clicked.campaign_key
    left join campaign_keys as numbered
        on numbered.key_type = 'campaign' and gathered.campaign_number_key = numbered.campaign_key
    left join campaign_keys as named
        on named.key_type = 'campaign' and gathered.campaign_key = named.campaign_key
    left join source_categories as referrer_categories
        on gathered.referrer_host = referrer_categories.source
),

sourced as (
    select
        *,
        case
            when
                coalesce(utm_source, utm_medium) is not null
                then coalesce(utm_source, click_source, referrer_host)
            when click_id is not null then click_source
            when referrer_host is not null then referrer_host
        end as source,
        case
            when coalesce(utm_source, utm_medium) is not null then coalesce(utm_medium, click_medium)
            when click_id is not null then click_medium
            when referrer_host is not null
                then
                    case referrer_category
                        when 'search' then 'organic'
                        when 'social' then 'social'
                        when 'video' then 'video'
                        when 'ai_assistant' then 'ai-assistant'
                        else 'referral'
                    end
        end as medium
    from matched
),

-- The rules run over distinct combinations: a few hundred, however many sessions there are.
combinations as (
    select distinct
        coalesce(sourced.source, '') as source,
        coalesce(sourced.medium, '') as medium,
        coalesce(lower(sourced.utm_campaign), '') as campaign,
        coalesce(source_categories.source_category, '') as source_category
    from sourced
    left join source_categories on sourced.source = source_categories.source
),

classified as (
    {{ classify_channels('combinations') }}
),

channeled as (
    select
        sourced.*,
        classified.channel as rule_channel,
        case
            -- A visit of a known ad campaign takes the campaign's channel (its network), unless its own tags
            -- say that it was no ad.
            when
                sourced.campaign_channel is not null
                and (sourced.click_id is not null or coalesce(rule_channels.is_paid, false))
                then sourced.campaign_channel
            else classified.channel
        end as channel
    from sourced
    inner join classified
        on
            coalesce(sourced.source, '') = classified.source
            and coalesce(sourced.medium, '') = classified.medium
            and coalesce(lower(sourced.utm_campaign), '') = classified.campaign
    left join channels as rule_channels on classified.channel = rule_channels.channel
),

final as (
    select
        channeled.session_id,
        channeled.source_relation,
        channeled.anonymous_id,
        channeled.last_person_id as person_id,
        channeled.user_id,
        channeled.started_at,
        channeled.ended_at,
        {{ reporting_date('channeled.started_at') }} as started_on,
        {{ seconds_between('channeled.started_at', 'channeled.ended_at') }} as duration_seconds,
        cast(channeled.events as bigint) as events,
        cast(channeled.pages as bigint) as pages,
        channeled.channel,
        coalesce(channeled.source, '(direct)') as source,
        coalesce(channeled.medium, '(none)') as medium,
        coalesce(channeled.utm_campaign, '(not set)') as campaign,
        coalesce(channeled.utm_content, '(not set)') as content,
        coalesce(channeled.utm_term, '(not set)') as term,
        channeled.campaign_key,
        case
            when
                channeled.click_id is not null or coalesce(channels.is_paid, false)
                then channeled.matched_campaign_id
        end as campaign_id,
        channeled.ad_id,
        channeled.click_id,
        channeled.click_id_type,
        channeled.landing_host,
        {{ url_path('channeled.landing_page_url') }} as landing_page,
        {{ url_path('channeled.exit_page_url') }} as exit_page,
        channeled.referrer_host,
        coalesce(channeled.device, '(not set)') as device,
        coalesce(channeled.country, '(not set)') as country,
        coalesce(channels.is_paid, false) as is_paid,
        channeled.channel = 'Direct' as is_direct,
        channeled.is_bot,
        channeled.is_internal,
        channeled.is_converted,
        channeled.consent_analytics,
        channeled.consent_ads,
        coalesce(
            case when channels.is_paid then channeled.campaign_funnel_position end, channels.funnel_position
        ) as funnel_position
    from channeled
    left join channels on channeled.channel = channels.channel
)

select
    session_id,
    source_relation,
    anonymous_id,
    person_id,
    user_id,
    started_at,
    ended_at,
    started_on,
    duration_seconds,
    events,
    pages,
    channel,
    source,
    medium,
    campaign,
    content,
    term,
    campaign_key,
    campaign_id,
    ad_id,
    click_id,
    click_id_type,
    landing_host,
    landing_page,
    exit_page,
    referrer_host,
    device,
    country,
    is_paid,
    is_direct,
    is_bot,
    is_internal,
    is_converted,
    consent_analytics,
    consent_ads,
    funnel_position
from final
