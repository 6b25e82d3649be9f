{# Six ways to read the same conversions, left to right; on D,A,B,B,C,D,C,C:
   unique                          D,A,B,B,C,D,C,C   as it is
   exposure                        D,A,B,C,D,C       touches in a row in one channel are one step
   first                           D,A,B,C           the first touch of each channel
   frequency                       D(2),A(1),B(2),C(3)
   remove_if_not_all               without the channels of var path_removed_channels, unless nothing would be left
   remove_if_last_and_not_all      without them at the end of the path, unless nothing would be left
   A path is a JSON array, so a channel's name may hold anything; path_id is its digest with type and
   transform, because paths can be longer than what tools index. #}
with
touches as (
    select
        conversion_id,
        conversion_type,
        touch_position,
        touch_count,
        channel,
        days_to_conversion,
        coalesce(channel in ({{ quoted_list(var('path_removed_channels')) }}), false) as is_removed
    from {{ ref('fct_attribution') }}
),

placed as (
    select
        *,
        lag(channel) over (partition by conversion_id order by touch_position) as previous_channel,
        min(touch_position) over (partition by conversion_id, channel) as first_position,
        count(*) over (partition by conversion_id, channel) as channel_touches,
        max(case when not is_removed then touch_position end)
            over (partition by conversion_id)
            as last_kept_position
    from touches
),

steps as (
    {%- set transforms = {
        'unique': '1 = 1',
        'exposure': 'previous_channel is null or channel <> previous_channel',
        'first': 'touch_position = first_position',
        'frequency': 'touch_position = first_position',
        'remove_if_not_all': 'not is_removed or last_kept_position is null',
        'remove_if_last_and_not_all': 'touch_position <= coalesce(last_kept_position, touch_position)',
    } %}
    {%- for transform, condition in transforms.items() %}
    select
        conversion_id,
        conversion_type,
        '{{ transform }}' as path_transform,
        touch_position,
        channel,
        case when touch_count = 0 then 0 else channel_touches end as channel_touches
    from placed
    where {{ condition }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

paths as (
    select
        conversion_id,
        conversion_type,
        path_transform,
        {{ ordered_json_list('channel', 'touch_position') }} as path,
        {{ ordered_text('channel', 'touch_position') }} as path_text,
        count(*) as path_length
    from steps
    where path_transform <> 'frequency'
    group by conversion_id, conversion_type, path_transform
    union all
    select
        conversion_id,
        conversion_type,
        path_transform,
        {{ ordered_json_list(
            named_struct({'channel': 'channel', 'touches': 'channel_touches'}), 'touch_position'
        ) }} as path,
        {{ ordered_text(
            "channel || '(' || cast(channel_touches as " ~ text_type() ~ ") || ')'", 'touch_position'
        ) }} as path_text,
        count(*) as path_length
    from steps
    where path_transform = 'frequency'
    group by conversion_id, conversion_type, path_transform
),

conversions as (
    select
        attributed.conversion_id,
        attributed.touch_count,
        attributed.days_from_first_touch,
        conversions.value,
        conversions.value_net
    from (
        select
            conversion_id,
            max(touch_count) as touch_count,
            max(days_to_conversion) as days_from_first_touch
        from touches
        group by conversion_id
    ) as attributed
    inner join {{ ref('fct_conversions') }} as conversions
        on attributed.conversion_id = conversions.conversion_id
),

final as (
    select
        paths.conversion_type,
        paths.path_transform,
        paths.path,
        min(paths.path_text) as path_text,
        max(case when conversions.touch_count = 0 then 0 else paths.path_length end) as path_length,
        count(*) as conversions,
        case when count(conversions.value) = count(*) then sum(conversions.value) end as value,
        case when count(conversions.value_net) = count(*) then sum(conversions.value_net) end as value_net,
        cast(sum(conversions.touch_count) as double) / count(conversions.touch_count) as average_touches,
        -- Added up as decimals, whatever the order of the rows.
        cast(sum(cast(conversions.days_from_first_touch as decimal(18, 9))) as double)
        / count(conversions.days_from_first_touch) as average_days_from_first_touch
    from paths
    inner join conversions
        on paths.conversion_id = conversions.conversion_id
    group by paths.conversion_type, paths.path_transform, paths.path
)

select
    {{ surrogate_key(['conversion_type', 'path_transform', 'path']) }} as path_id,
    conversion_type,
    path_transform,
    path,
    path_text,
    cast(path_length as bigint) as path_length,
    cast(conversions as bigint) as conversions,
    cast(value as decimal(19, 4)) as value,
    cast(value_net as decimal(19, 4)) as value_net,
    average_touches,
    average_days_from_first_touch
from final
