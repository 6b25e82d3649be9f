{# What content brings: how often somebody came in through it, and the conversions that it influenced. A
   conversion counts once for each piece of content among its eligible touches, so that influence does not add
   up over content: attribution_channels shares it out. #}
{#- A page is written the same way wherever it comes from: host and path, lower case, no slash at the end. #}
{%- set page -%}
case
    when sessions.landing_page is null then '(not set)'
    else
        coalesce(lower(sessions.landing_host), '')
        || coalesce(nullif(regexp_replace(lower(sessions.landing_page), '/+$', ''), ''), '/')
end
{%- endset %}
{%- set counted = ['lead', 'mql', 'opportunity', 'won', 'purchase', 'trial', 'subscription'] %}
{%- set amounts = ['pipeline', 'bookings', 'billings', 'mrr'] %}
with
map_rules as (
    select
        rule_order,
        touchpoint_type,
        coalesce(pattern, '') as pattern,
        content_type,
        topic,
        funnel_position
    from {{ ref('content_map') }}
),

entries as (
    select
        'web_session' as touchpoint_type,
        {{ page }} as content,
        sessions.started_on as date,
        count(*) as entries,
        count(case when sessions.is_converted then 1 end) as converted_entries
    from {{ ref('fct_sessions') }} as sessions
    where not sessions.is_bot and not sessions.is_internal
    group by {{ page }}, sessions.started_on
    union all
    select
        touchpoint_type,
        campaign as content,
        occurred_on as date,
        count(*) as entries,
        cast(0 as bigint) as converted_entries
    from {{ ref('fct_touchpoints') }}
    where
        touchpoint_type in (
            select map_rules.touchpoint_type from map_rules where map_rules.touchpoint_type <> 'web_session'
        )
        and coalesce(ineligible_reason, '') <> 'did not attend'
    group by touchpoint_type, campaign, occurred_on
),

influences as (
    select distinct
        attribution.conversion_id,
        touchpoints.touchpoint_type,
        case
            when touchpoints.touchpoint_type = 'web_session' then {{ page }} else touchpoints.campaign
        end as content
    from {{ ref('fct_attribution') }} as attribution
    inner join {{ ref('fct_touchpoints') }} as touchpoints
        on attribution.touchpoint_id = touchpoints.touchpoint_id
    left join {{ ref('fct_sessions') }} as sessions
        on touchpoints.touchpoint_type = 'web_session' and touchpoints.session_id = sessions.session_id
    where touchpoints.touchpoint_type in (select map_rules.touchpoint_type from map_rules)
),

pieces as (
    select touchpoint_type, content from entries
    union
    select touchpoint_type, content from influences
),

described as (
    select
        pieces.touchpoint_type,
        pieces.content,
        min_by(map_rules.content_type, map_rules.rule_order) as content_type,
        min_by(map_rules.topic, map_rules.rule_order) as topic,
        min_by(map_rules.funnel_position, map_rules.rule_order) as funnel_position
    from pieces
    inner join map_rules
        on
            pieces.touchpoint_type = map_rules.touchpoint_type
            and {{ regex_matches('lower(pieces.content)', 'map_rules.pattern') }}
    group by pieces.touchpoint_type, pieces.content
),

-- Pages that no rule knows are one line, however many a site has.
mapped as (
    select
        pieces.touchpoint_type,
        pieces.content as written_content,
        case
            when described.content is not null or pieces.content = '(not set)' then pieces.content
            else '(other)'
        end as content,
        coalesce(described.content_type, '(other)') as content_type,
        coalesce(described.topic, '(other)') as topic,
        coalesce(described.funnel_position, '(not set)') as funnel_position
    from pieces
    left join described
        on pieces.touchpoint_type = described.touchpoint_type and pieces.content = described.content
),

entered as (
    select
        mapped.touchpoint_type,
        mapped.content,
        mapped.content_type,
        mapped.topic,
        mapped.funnel_position,
        entries.date,
        sum(entries.entries) as entries,
        sum(entries.converted_entries) as converted_entries
    from entries
    inner join mapped
        on entries.touchpoint_type = mapped.touchpoint_type and entries.content = mapped.written_content
    group by
        mapped.touchpoint_type,
        mapped.content,
        mapped.content_type,
        mapped.topic,
        mapped.funnel_position,
        entries.date
),

influenced as (
    select
        {%- for type in counted %}
        count(case when conversions.conversion_type = '{{ type }}' then 1 end) as {{ type }}_conversions,
        {%- endfor %}
        {%- for amount in amounts %}
        sum(conversions.{{ amount }}) as {{ amount }},
        {%- endfor %}
        count(case when conversions.value is null then 1 end) as without_rate,
        count(*) as conversions,
        once.touchpoint_type,
        once.content,
        once.content_type,
        once.topic,
        once.funnel_position,
        conversions.converted_on as date
    from (
        select distinct
            influences.conversion_id,
            mapped.touchpoint_type,
            mapped.content,
            mapped.content_type,
            mapped.topic,
            mapped.funnel_position
        from influences
        inner join mapped
            on
                influences.touchpoint_type = mapped.touchpoint_type
                and influences.content = mapped.written_content
    ) as once
    inner join {{ ref('fct_conversions') }} as conversions
        on once.conversion_id = conversions.conversion_id
    group by
        once.touchpoint_type, once.content, once.content_type, once.topic, once.funnel_position,
        conversions.converted_on
),

daily as (
    select
        {%- for type in counted %}
        0 as {{ type }}_conversions,
        {%- endfor %}
        {%- for amount in amounts %}
        cast(0 as decimal(38, 4)) as {{ amount }},
        {%- endfor %}
        0 as without_rate,
        0 as conversions,
        entries,
        converted_entries,
        touchpoint_type,
        content,
        content_type,
        topic,
        funnel_position,
        date
    from entered
    union all
    select
        {%- for type in counted %}
        {{ type }}_conversions,
        {%- endfor %}
        {%- for amount in amounts %}
        coalesce({{ amount }}, 0) as {{ amount }},
        {%- endfor %}
        without_rate,
        conversions,
        0 as entries,
        0 as converted_entries,
        touchpoint_type,
        content,
        content_type,
        topic,
        funnel_position,
        date
    from influenced
),

final as (
    {%- for grain in ['week', 'month', 'fiscal_quarter'] %}
    select
        {%- for type in counted %}
        sum({{ type }}_conversions) as {{ type }}_conversions,
        {%- endfor %}
        {%- for amount in amounts %}
        case when sum(without_rate) = 0 then sum({{ amount }}) end as {{ amount }},
        {%- endfor %}
        '{{ grain }}' as period_grain,
        {{ period_start(grain, 'date') }} as period_start,
        touchpoint_type,
        content,
        content_type,
        topic,
        funnel_position,
        sum(entries) as entries,
        sum(converted_entries) as converted_entries,
        sum(conversions) as conversions
    from daily
    group by
        {{ period_start(grain, 'date') }}, touchpoint_type, content, content_type, topic, funnel_position
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
)

select
    period_grain,
    period_start,
    touchpoint_type,
    content,
    content_type,
    topic,
    funnel_position,
    cast(entries as bigint) as entries,
    cast(converted_entries as bigint) as converted_entries,
    cast(conversions as bigint) as conversions_influenced,
    cast(lead_conversions as bigint) as leads_influenced,
    cast(mql_conversions as bigint) as mqls_influenced,
    cast(opportunity_conversions as bigint) as opportunities_influenced,
    cast(won_conversions as bigint) as wins_influenced,
    cast(purchase_conversions as bigint) as purchases_influenced,
    cast(trial_conversions as bigint) as trials_influenced,
    cast(subscription_conversions as bigint) as subscriptions_influenced,
    cast(pipeline as decimal(19, 4)) as pipeline_influenced,
    cast(bookings as decimal(19, 4)) as bookings_influenced,
    cast(billings as decimal(19, 4)) as billings_influenced,
    cast(mrr as decimal(19, 4)) as mrr_influenced
from final
