{{ config(
    materialized='incremental',
    incremental_strategy='rewrite',
    on_schema_change='append_new_columns',
    meta={'rewrite': [{'changes': 'int_changed_touchpoints', 'keys': ['touchpoint_id']}]},
) }}
-- depends_on: {{ ref('int_changed_touchpoints') }}

with touchpoints as (
    select *
    from {{ ref('int_touchpoints') }}
    {% if is_rewrite() %}
    where touchpoint_id in (select changed.touchpoint_id from {{ ref('int_changed_touchpoints') }} as changed)
    {% endif %}
),

tracked_clicks as (
    select * from {{ ref('int_tracked_clicks') }}
),

campaign_days as (
    select * from {{ ref('int_campaign_days') }}
),

-- A day's spend over its tracked clicks, in equal parts that add up to it exactly: each is the difference of
-- two rounded running totals.
shares as (
    select
        tracked_clicks.touchpoint_id,
        campaign_days.spend,
        campaign_days.tracked_clicks,
        row_number() over (
            partition by tracked_clicks.campaign_id, tracked_clicks.date
            order by tracked_clicks.occurred_at, tracked_clicks.touchpoint_id
        ) as place
    from tracked_clicks
    inner join campaign_days
        on tracked_clicks.campaign_id = campaign_days.campaign_id and tracked_clicks.date = campaign_days.date
),

final as (
    select
        touchpoints.*,
        cast(
            cast(cast(shares.spend as double) * shares.place / shares.tracked_clicks as decimal(19, 4))
            - cast(
                cast(shares.spend as double) * (shares.place - 1) / shares.tracked_clicks as decimal(19, 4)
            )
            as decimal(19, 4)
        ) as allocated_spend
    from touchpoints
    left join shares on touchpoints.touchpoint_id = shares.touchpoint_id
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
    touch_number,
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
    allocated_spend,
    source_relation,
    source_record_id
from final
order by occurred_at
