{# Exposure form: D,A,B,B,C,D,C,C becomes D,A,B,C,D,C. A path is a JSON array, so a channel's name may hold
   anything. path_id is its digest with the type: paths can be longer than what tools index. #}
with
touches as (
    select
        conversion_id,
        conversion_type,
        touchpoint_id,
        touch_position,
        touch_count,
        channel,
        days_to_conversion,
        lag(channel) over (partition by conversion_id order by touch_position) as previous_channel
    from {{ ref('fct_attribution') }}
),

steps as (
    select * from touches
    where previous_channel is null or channel != previous_channel
),

conversion_paths as (
    select
        conversion_id,
        conversion_type,
        {{ ordered_json_list('channel', 'touch_position') }} as path,
        count(*) as path_length,
        max(touch_count) as touch_count,
        max(days_to_conversion) as days_from_first_touch
    from steps
    group by conversion_id, conversion_type
),

final as (
    select
        paths.conversion_type,
        'exposure' as path_transform,
        paths.path,
        max(case when paths.touch_count = 0 then 0 else paths.path_length end) as path_length,
        count(*) as conversions,
        case when count(conversions.value) = count(*) then sum(conversions.value) end as value,
        case when count(conversions.value_net) = count(*) then sum(conversions.value_net) end as value_net,
        avg(cast(paths.touch_count as double)) as average_touches,
        avg(paths.days_from_first_touch) as average_days_from_first_touch
    from conversion_paths as paths
    inner join {{ ref('fct_conversions') }} as conversions
        on paths.conversion_id = conversions.conversion_id
    group by paths.conversion_type, paths.path
)

select
    {{ surrogate_key(['conversion_type', 'path_transform', 'path']) }} as path_id,
    conversion_type,
    path_transform,
    path,
    cast(path_length as bigint) as path_length,
    cast(conversions as bigint) as conversions,
    cast(value as decimal(19, 4)) as value,
    cast(value_net as decimal(19, 4)) as value_net,
    average_touches,
    average_days_from_first_touch
from final
