{# Nothing is left out in silence: a record of a touch that is in no touchpoint is counted here, with the
   reason. #}
with
touchpoints as (
    select touchpoint_id from {{ ref('fct_touchpoints') }}
),

types as (
    select touchpoint_type from {{ ref('touchpoint_type_channels') }}
),

offline as (
    select
        source_relation,
        'offline_touches' as entity,
        {{ surrogate_key(["'offline'", 'source_relation', 'touch_id']) }} as touchpoint_id,
        occurred_at,
        true as is_touch
    from {{ ref('int_offline_touches_unioned') }}
),

activities as (
    select
        activities.source_relation,
        'crm_activities' as entity,
        {{ surrogate_key(["'activity'", 'activities.source_relation', 'activities.activity_id']) }}
            as touchpoint_id,
        activities.occurred_at,
        types.touchpoint_type is not null as is_touch
    from {{ ref('int_crm_activities_unioned') }} as activities
    left join types
        on
            types.touchpoint_type = case
                when lower(activities.activity_type) = 'social_message' then 'social_message'
                else 'crm_' || lower(activities.activity_type)
            end
),

clicks as (
    select
        source_relation,
        'ad_clicks' as entity,
        {{ surrogate_key(["'ad_click'", 'source_relation', 'click_id_type', 'click_id']) }} as touchpoint_id,
        clicked_at as occurred_at,
        true as is_touch
    from {{ ref('int_ad_clicks_unioned') }}
),

records as (
    select * from offline
    union all
    select * from activities
    union all
    select * from clicks
),

left_out as (
    select
        records.source_relation,
        records.entity,
        case
            when not records.is_touch then 'this kind of record is no touch'
            when records.occurred_at is null then 'only the day is known: it tells a visit its campaign'
            when records.occurred_at > {{ as_of() }} then 'lies after the moment of the run'
            else 'names nobody that we know'
        end as reason
    from records
    left join touchpoints on records.touchpoint_id = touchpoints.touchpoint_id
    where touchpoints.touchpoint_id is null
)

select
    source_relation,
    entity,
    reason,
    cast(count(*) as bigint) as records
from left_out
group by source_relation, entity, reason
