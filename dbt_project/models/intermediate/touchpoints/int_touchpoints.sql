{{ config(
    materialized='incremental',
    incremental_strategy='rewrite',
    on_schema_change='append_new_columns',
    meta={'rewrite': [{'changes': 'int_changed_persons', 'keys': ['person_id']}]},
) }}
{%- set sources = [
    ref('int_touchpoints_web_sessions'), ref('int_touchpoints_web_interactions'), ref('int_touchpoints_email'),
    ref('int_touchpoints_records'),
] %}
-- depends_on: {{ ref('int_changed_persons') }}

with touches as (
    {% for source_relation in sources -%}
    select *
    from {{ source_relation }}
    {% if is_rewrite() %}
    where person_id in (select changed.person_id from {{ ref('int_changed_persons') }} as changed)
    {% endif %}
    {%- if not loop.last %}
    union all
    {% endif -%}
    {%- endfor %}
),

person_accounts as (
    select * from {{ ref('int_person_accounts') }}
),

consent_states as (
    select * from {{ ref('int_consent_states') }}
),

types as (
    select
        touchpoint_type,
        is_marketing,
        nullif(funnel_position, '') as funnel_position,
        nullif(consent_purpose, '') as consent_purpose
    from {{ ref('touchpoint_type_channels') }}
),

channels as (
    select * from {{ ref('channels') }}
),

-- The visit that a clicked e-mail opened: the person's first e-mail session within a session's gap of the
-- click. Its channel may be another (a campaign named after a shop comes before Email in the channel rules).
email_visits as (
    select
        clicks.touchpoint_id,
        min_by(
            visits.touchpoint_id, {{ ordered_by(['visits.occurred_at', 'visits.touchpoint_id']) }}
        ) as visit_touchpoint_id
    from touches as clicks
    inner join touches as visits
        on
            clicks.person_id = visits.person_id
            and visits.touchpoint_type = 'web_session'
            and (
                visits.channel = clicks.channel
                or replace(replace(replace(visits.medium, '-', ''), '_', ''), ' ', '') = clicks.medium
            )
            and visits.occurred_at >= {{ add_seconds('clicks.occurred_at', -60) }}
            and visits.occurred_at
            <= {{ add_seconds('clicks.occurred_at', (var('session_gap_minutes') | int) * 60) }}
    where clicks.touchpoint_type = 'email_click'
    group by clicks.touchpoint_id
),

consented as (
    select
        touches.*,
        coalesce(touches.parent_touchpoint_id, email_visits.visit_touchpoint_id) as parent_id,
        types.is_marketing as type_is_marketing,
        types.funnel_position as type_funnel_position,
        case
            when types.consent_purpose is null then coalesce(touches.own_consent, 'not needed')
            when touches.own_consent = 'denied' then 'denied'
            else coalesce(consent_states.consent_state, touches.own_consent, 'unknown')
        end as consent_state
    from touches
    inner join types on touches.touchpoint_type = types.touchpoint_type
    left join email_visits on touches.touchpoint_id = email_visits.touchpoint_id
    left join consent_states
        on
            touches.person_id = consent_states.person_id
            and types.consent_purpose = consent_states.purpose
            and touches.occurred_at >= consent_states.valid_from
            and touches.occurred_at < consent_states.valid_to
),

judged as (
    select
        *,
        coalesce(
            own_reason,
            {% if var('require_consent') -%}
            case when consent_state in ('denied', 'withdrawn') then 'no consent' end,
            {% endif -%}
            case when parent_id is not null then 'part of a visit' end
        ) as ineligible_reason
    from consented
),

-- Numbered over narrow rows: sorting whole touches took several times as long.
numbered as (
    select
        touchpoint_id,
        row_number() over (partition by person_id order by occurred_at, touchpoint_id) as touch_number
    from touches
),

final as (
    select
        judged.touchpoint_id,
        judged.parent_id as parent_touchpoint_id,
        judged.person_id,
        person_accounts.account_id,
        judged.anonymous_id,
        judged.occurred_at,
        {{ reporting_date('judged.occurred_at') }} as occurred_on,
        judged.touchpoint_type,
        judged.session_id,
        judged.channel,
        judged.medium,
        judged.source,
        judged.campaign,
        judged.content,
        judged.term,
        judged.campaign_id,
        judged.ad_id,
        judged.click_id_type,
        judged.landing_page,
        judged.referrer_host,
        judged.country,
        judged.device,
        judged.direction,
        judged.is_paid,
        judged.channel = 'Direct' as is_direct,
        judged.type_is_marketing and coalesce(channels.is_marketing, true) as is_marketing,
        judged.ineligible_reason is null as is_credit_eligible,
        judged.ineligible_reason,
        coalesce(judged.funnel_position, judged.type_funnel_position, channels.funnel_position, 'tofu')
            as funnel_position,
        judged.consent_state,
        cast(numbered.touch_number as bigint) as touch_number,
        judged.own_reason,
        judged.source_relation,
        judged.source_record_id
    from judged
    inner join numbered on judged.touchpoint_id = numbered.touchpoint_id
    left join person_accounts on judged.person_id = person_accounts.person_id
    left join channels on judged.channel = channels.channel
)

select
    touchpoint_id,
    parent_touchpoint_id,
    person_id,
    account_id,
    anonymous_id,
    occurred_at,
    occurred_on,
    touchpoint_type,
    session_id,
    channel,
    medium,
    source,
    campaign,
    content,
    term,
    campaign_id,
    ad_id,
    click_id_type,
    landing_page,
    referrer_host,
    country,
    device,
    direction,
    is_paid,
    is_direct,
    is_marketing,
    is_credit_eligible,
    ineligible_reason,
    funnel_position,
    consent_state,
    touch_number,
    own_reason,
    source_relation,
    source_record_id
from final
