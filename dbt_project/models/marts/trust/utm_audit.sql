{# Where tags and spend do not meet, month by month, over the last utm_audit_days (var): older links cannot be
   mended any more, and the audit stays quick whatever lies before. #}
{%- set last_date = as_of_date() %}
{%- set first_date = period_start('month', add_days(last_date, -(var('utm_audit_days') | int))) %}
{%- set fields = ['utm_source', 'utm_medium', 'utm_campaign', 'utm_content', 'utm_term'] %}
with
sessions as (
    select
        {{ period_start('month', 'sessions.started_on') }} as month,
        sessions.campaign_id,
        sessions.channel,
        sessions.is_paid,
        sessions.source,
        sessions.medium,
        sessions.campaign,
        count(*) as sessions
    from {{ ref('fct_sessions') }} as sessions
    where
        sessions.started_on between {{ first_date }} and {{ last_date }}
        and not sessions.is_bot
        and not sessions.is_internal
        and (sessions.is_paid or sessions.campaign_id is not null)
    group by
        {{ period_start('month', 'sessions.started_on') }}, sessions.campaign_id, sessions.channel,
        sessions.is_paid, sessions.source, sessions.medium, sessions.campaign
),

spend as (
    select
        {{ period_start('month', 'ads.date') }} as month,
        ads.campaign_id,
        max(ads.campaign_name) as campaign_name,
        max(ads.channel) as channel,
        sum(ads.clicks) as clicks,
        sum(ads.spend_original) as spend_original,
        sum(ads.spend) as spend
    from {{ ref('fct_ad_performance_daily') }} as ads
    where ads.date between {{ first_date }} and {{ last_date }}
    group by {{ period_start('month', 'ads.date') }}, ads.campaign_id
    having sum(ads.spend_original) > 0
),

-- Media that is paid for otherwise (commissions, sponsorships) is spend too.
paid_otherwise as (
    select distinct
        channel,
        {{ period_start('month', 'period_start') }} as first_month,
        {{ period_start('month', 'period_end') }} as last_month
    from {{ ref('int_costs_unioned') }}
    where
        channel is not null
        and amount > 0
        and lower(cost_type) in ({{ quoted_list(var('media_cost_types')) }})
),

spend_without_sessions as (
    select
        'spend_without_tagged_sessions' as finding,
        spend.month,
        'spend_without_tagged_sessions' as rule_id,
        spend.campaign_id,
        spend.campaign_name,
        spend.channel,
        cast(null as {{ text_type() }}) as field,
        cast(null as {{ text_type() }}) as written_value,
        cast(null as {{ text_type() }}) as suggested_value,
        cast(null as {{ text_type() }}) as utm_source,
        cast(null as {{ text_type() }}) as utm_medium,
        cast(null as {{ text_type() }}) as utm_campaign,
        0 as sessions,
        spend.clicks,
        spend.spend,
        'Clicks were paid for, but no visit names this campaign: tag its links' as message
    from spend
    left join sessions on spend.month = sessions.month and spend.campaign_id = sessions.campaign_id
    where sessions.campaign_id is null and spend.clicks > 0
),

sessions_without_spend as (
    select
        'tagged_sessions_without_spend' as finding,
        sessions.month,
        'tagged_sessions_without_spend' as rule_id,
        sessions.campaign_id,
        campaigns.campaign_name,
        sessions.channel,
        cast(null as {{ text_type() }}) as field,
        cast(null as {{ text_type() }}) as written_value,
        cast(null as {{ text_type() }}) as suggested_value,
        sessions.source as utm_source,
        sessions.medium as utm_medium,
        sessions.campaign as utm_campaign,
        sessions.sessions,
        0 as clicks,
        cast(0 as decimal(19, 4)) as spend,
        'Visits say that they were paid for, but no spend of that month is known: connect the account'
        || ' or mend the tags' as message
    from sessions
    left join spend on sessions.month = spend.month and sessions.campaign_id = spend.campaign_id
    left join {{ ref('int_campaigns') }} as campaigns on sessions.campaign_id = campaigns.campaign_id
    where
        sessions.is_paid
        and spend.campaign_id is null
        and not exists (
            select 1
            from paid_otherwise
            where
                paid_otherwise.channel = sessions.channel
                and sessions.month between paid_otherwise.first_month and paid_otherwise.last_month
        )
),

-- As written, of each visit's tagged events.
written as (
    select
        {{ period_start('month', reporting_date('events.occurred_at')) }} as month,
        {%- for field in fields %}
        events.{{ field }},
        {%- endfor %}
        count(distinct events.session_id) as sessions
    from {{ ref('int_web_events_sessionized') }} as events
    where
        coalesce(events.utm_source, events.utm_medium, events.utm_campaign) is not null
        and not events.is_bot
        and not events.is_internal
        and events.occurred_at >= {{ add_days(first_date, -1) }}
        and {{ reporting_date('events.occurred_at') }} between {{ first_date }} and {{ last_date }}
    group by
        {{ period_start('month', reporting_date('events.occurred_at')) }},
    {%- for field in fields %}
    events.{{ field }}{{ ',' if not loop.last }}
    {%- endfor %}
),

valued as (
    {%- for field in fields %}
    select
        month,
        '{{ field }}' as field,
        coalesce({{ field }}, '') as written_value,
        coalesce(lower(trim(utm_medium)), '') as medium,
        sum(sessions) as sessions
    from written
    group by month, coalesce({{ field }}, ''), coalesce(lower(trim(utm_medium)), '')
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

repaired as (
    select
        valued.*,
        repairs.meant,
        coalesce(repairs.meant, replace(lower(trim(valued.written_value)), ' ', '_')) as better_value
    from valued
    left join {{ ref('utm_repairs') }} as repairs
        on
            valued.field = 'utm_' || repairs.field
            and lower(trim(valued.written_value)) = repairs.written
),

-- Values that differ only in what stands between their letters and digits: the one most used was meant.
spellings as (
    select
        field,
        lower(trim(written_value)) as spelling,
        replace(replace(replace(replace(lower(trim(written_value)), ' ', ''), '-', ''), '_', ''), '.', '')
            as bare_value,
        sum(sessions) as sessions
    from valued
    where trim(written_value) <> ''
    group by field, lower(trim(written_value))
),

near_duplicates as (
    select
        field,
        spelling,
        sessions,
        first_value(spelling) over (
            partition by field, bare_value
            order by sessions desc, spelling asc
        ) as most_used
    from spellings
    where bare_value <> ''
),

violations as (
    select
        repaired.month,
        rules.rule_id,
        repaired.field,
        repaired.written_value,
        repaired.better_value,
        rules.message,
        repaired.sessions
    from repaired
    inner join {{ ref('utm_naming_rules') }} as rules
        on
            repaired.field = rules.field
            and {{ regex_matches('repaired.medium', "coalesce(rules.medium_pattern, '')") }}
            and {{ regex_matches('repaired.written_value', 'rules.pattern') }} <> rules.must_match
    union all
    select
        month,
        'misspelt' as rule_id,
        field,
        written_value,
        better_value,
        'Seed utm_repairs knows this as a misspelling' as message,
        sessions
    from repaired
    where meant is not null
    union all
    select
        valued.month,
        'near_duplicate' as rule_id,
        valued.field,
        valued.written_value,
        near_duplicates.most_used as better_value,
        'Nearly another value: one campaign or source becomes two' as message,
        valued.sessions
    from valued
    inner join near_duplicates
        on
            valued.field = near_duplicates.field
            and lower(trim(valued.written_value)) = near_duplicates.spelling
            and near_duplicates.spelling <> near_duplicates.most_used
),

findings as (
    select * from spend_without_sessions
    union all
    select * from sessions_without_spend
    union all
    select
        'naming_violation' as finding,
        month,
        rule_id,
        cast(null as {{ text_type() }}) as campaign_id,
        cast(null as {{ text_type() }}) as campaign_name,
        cast(null as {{ text_type() }}) as channel,
        field,
        coalesce(nullif(written_value, ''), '(not set)') as written_value,
        min(case when better_value <> written_value and better_value <> '' then better_value end)
            as suggested_value,
        cast(null as {{ text_type() }}) as utm_source,
        cast(null as {{ text_type() }}) as utm_medium,
        cast(null as {{ text_type() }}) as utm_campaign,
        sum(sessions) as sessions,
        0 as clicks,
        cast(0 as decimal(19, 4)) as spend,
        min(message) as message
    from violations
    group by month, rule_id, field, written_value
)

select
    {{ surrogate_key([
        'finding', 'month', 'rule_id', 'campaign_id', 'channel', 'field', 'written_value', 'utm_source',
        'utm_medium', 'utm_campaign',
    ]) }} as utm_audit_id,
    finding,
    cast(month as date) as period_start,
    rule_id,
    campaign_id,
    campaign_name,
    channel,
    field,
    written_value,
    suggested_value,
    utm_source,
    utm_medium,
    utm_campaign,
    cast(sessions as bigint) as sessions,
    cast(clicks as bigint) as clicks,
    cast(spend as decimal(19, 4)) as spend,
    message
from findings
