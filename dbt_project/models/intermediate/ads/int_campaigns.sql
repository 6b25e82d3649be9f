with ad_performance as (
    select * from {{ ref('int_ad_performance_unioned') }}
),

email_events as (
    select * from {{ ref('int_email_events_unioned') }}
    where campaign_id is not null
),

offline_touches as (
    select * from {{ ref('int_offline_touches_unioned') }}
    where campaign_id is not null
),

networks as (
    select
        source_relation,
        campaign_id,
        network_type,
        row_number() over (
            partition by source_relation, campaign_id
            order by sum(spend) desc, network_type
        ) as place
    from ad_performance
    group by source_relation, campaign_id, network_type
),

ad_campaigns as (
    select
        source_relation,
        campaign_id,
        'ads' as campaign_kind,
        max_by(campaign_name, {{ ordered_by(['date', 'campaign_name']) }}) as campaign_name,
        max_by(account_id, {{ ordered_by(['date', 'account_id']) }}) as account_id,
        max_by(account_name, {{ ordered_by(['date', 'account_name']) }}) as account_name,
        max_by(account_time_zone, {{ ordered_by(['date', 'account_time_zone']) }}) as account_time_zone,
        max_by(objective, {{ ordered_by(['date', 'objective']) }}) as objective,
        max_by(currency, {{ ordered_by(['date', 'currency']) }}) as currency,
        min(date) as first_date,
        max(date) as last_date
    from ad_performance
    group by source_relation, campaign_id
),

other_campaigns as (
    select
        source_relation,
        campaign_id,
        'email' as campaign_kind,
        max(campaign_name) as campaign_name,
        cast({{ reporting_date('min(occurred_at)') }} as date) as first_date,
        cast({{ reporting_date('max(occurred_at)') }} as date) as last_date
    from email_events
    group by source_relation, campaign_id

    union all

    select
        source_relation,
        campaign_id,
        'offline' as campaign_kind,
        max(campaign_name) as campaign_name,
        cast({{ reporting_date('min(occurred_at)') }} as date) as first_date,
        cast({{ reporting_date('max(occurred_at)') }} as date) as last_date
    from offline_touches
    group by source_relation, campaign_id
),

offline_types as (
    select
        source_relation,
        campaign_id,
        min(lower(touch_type)) as touch_type
    from offline_touches
    group by source_relation, campaign_id
),

campaigns as (
    select
        ad_campaigns.source_relation,
        ad_campaigns.campaign_id,
        ad_campaigns.campaign_kind,
        ad_campaigns.campaign_name,
        ad_campaigns.account_id,
        ad_campaigns.account_name,
        ad_campaigns.account_time_zone,
        ad_campaigns.objective,
        ad_campaigns.currency,
        nullif(networks.network_type, '(not set)') as network_type,
        ad_campaigns.first_date,
        ad_campaigns.last_date
    from ad_campaigns
    left join networks
        on
            ad_campaigns.source_relation = networks.source_relation
            and ad_campaigns.campaign_id = networks.campaign_id
            and networks.place = 1
    union all
    select
        other_campaigns.source_relation,
        other_campaigns.campaign_id,
        other_campaigns.campaign_kind,
        other_campaigns.campaign_name,
        null as account_id,
        null as account_name,
        null as account_time_zone,
        null as objective,
        null as currency,
        null as network_type,
        other_campaigns.first_date,
        other_campaigns.last_date
    from other_campaigns
),

named as (
    select
        *,
        coalesce(account_name, '') || ' ' || coalesce(campaign_name, '') as all_names
    from campaigns
),

channel_matches as (
    select
        campaigns.source_relation,
        campaigns.campaign_id,
        min_by(rules.channel, rules.rule_order) as channel
    from named as campaigns
    inner join {{ ref('network_channels') }} as rules
        on
            campaigns.campaign_kind = 'ads'
            and {{ regex_matches("lower(campaigns.network_type)", "coalesce(rules.network_pattern, '')") }}
            and {{ regex_matches("lower(campaigns.objective)", "coalesce(rules.objective_pattern, '')") }}
            and {{ regex_matches("lower(campaigns.all_names)", "coalesce(rules.name_pattern, '')") }}
    group by campaigns.source_relation, campaigns.campaign_id
),

with_channel as (
    select
        campaigns.*,
        coalesce(channel_matches.channel, types.channel, 'Unassigned') as channel
    from campaigns
    left join channel_matches
        on
            campaigns.source_relation = channel_matches.source_relation
            and campaigns.campaign_id = channel_matches.campaign_id
    left join offline_types
        on
            campaigns.campaign_kind = 'offline'
            and campaigns.source_relation = offline_types.source_relation
            and campaigns.campaign_id = offline_types.campaign_id
    left join {{ ref('touchpoint_type_channels') }} as known
        on offline_types.touch_type = known.touchpoint_type
    left join {{ ref('touchpoint_type_channels') }} as types
        on
            types.touchpoint_type = case
                when campaigns.campaign_kind = 'email' then 'email_click'
                when campaigns.campaign_kind = 'offline' then coalesce(known.touchpoint_type, 'offline')
            end
),

intents as (
    select
        with_channel.source_relation,
        with_channel.campaign_id,
        with_channel.campaign_kind,
        min_by(rules.intent, rules.rule_order) as intent,
        min_by(rules.initiative, rules.rule_order) as initiative,
        min_by(rules.funnel_position, rules.rule_order) as funnel_position
    from with_channel
    inner join {{ ref('campaign_rules') }} as rules
        on
            {{ regex_matches("lower(with_channel.campaign_name)", "coalesce(rules.name_pattern, '')") }}
            and {{ regex_matches("lower(with_channel.channel)", "coalesce(rules.channel_pattern, '')") }}
    group by with_channel.source_relation, with_channel.campaign_id, with_channel.campaign_kind
),

final as (
    select
        {{ surrogate_key(['with_channel.source_relation', 'with_channel.campaign_id']) }} as campaign_id,
        with_channel.campaign_kind,
        coalesce(with_channel.campaign_name, '(not set)') as campaign_name,
        with_channel.account_id as ad_account_id,
        with_channel.account_name as ad_account_name,
        with_channel.account_time_zone,
        with_channel.objective,
        with_channel.network_type,
        with_channel.currency,
        with_channel.channel,
        intents.intent,
        intents.initiative,
        intents.funnel_position,
        with_channel.first_date,
        with_channel.last_date,
        with_channel.source_relation,
        with_channel.campaign_id as source_record_id,
        row_number() over (
            partition by with_channel.source_relation, with_channel.campaign_id
            order by with_channel.campaign_kind
        ) as place
    from with_channel
    left join intents
        on
            with_channel.source_relation = intents.source_relation
            and with_channel.campaign_id = intents.campaign_id
            and with_channel.campaign_kind = intents.campaign_kind
)

select
    campaign_id,
    campaign_kind,
    campaign_name,
    ad_account_id,
    ad_account_name,
    account_time_zone,
    objective,
    network_type,
    currency,
    channel,
    intent,
    initiative,
    funnel_position,
    first_date,
    last_date,
    source_relation,
    source_record_id
from final
where place = 1
