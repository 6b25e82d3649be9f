-- depends_on: {{ ref('int_changed_credits') }}
{{
    config(
        materialized='incremental',
        incremental_strategy='rewrite',
        on_schema_change='append_new_columns',
        meta={'rewrite': [{'changes': 'int_changed_credits', 'keys': ['conversion_id']}]},
    )
}}
{# Each model is an expression over a touch's place on its path. What a path or its channels add up to comes
   from aggregates that are joined back, not from windows, which would sort the wide rows. Weights are added up
   as decimals, so that every run gives the same digits. #}
with
windows as (
    select
        conversion_id,
        converted_at,
        lead_created_at,
        opportunity_created_at,
        closed_at,
        value
    from {{ ref('int_conversion_windows') }}
    {%- if is_rewrite() %}
    where conversion_id in (select changed.conversion_id from {{ ref('int_changed_credits') }} as changed)
    {%- endif %}
),

paths as (
    select
        windows.conversion_id,
        windows.converted_at,
        windows.value,
        max(touches.touched_at) as last_touched_at,
        coalesce(
            max(case when not touches.is_direct then touches.touch_position end), max(touches.touch_count)
        ) as last_non_direct_position,
        -- A milestone's touch is the last one at or before it; 0 where it is absent, or lies before the path.
        {%- for milestone in ['lead_created', 'opportunity_created', 'closed'] %}
        count(case when touches.touched_at <= windows.{{ milestone }}_at then 1 end)
            as {{ milestone }}_position,
        {%- endfor %}
        1 as first_touch_position
    from {{ ref('int_conversion_touches') }} as touches
    inner join windows
        on touches.conversion_id = windows.conversion_id
    group by windows.conversion_id, windows.converted_at, windows.value
),

fits as (
    select
        conversion_type,
        month,
        channel,
        cast(removal_effect as decimal(19, 18)) as removal_effect,
        fit_hash
    from {{ ref('attribution_markov_channels') }}
),

channels as (
    select
        touches.conversion_id,
        touches.channel,
        max(fits.removal_effect) as removal_effect,
        max(fits.fit_hash) as fit_hash,
        count(*) as channel_touches
    from {{ ref('int_conversion_touches') }} as touches
    inner join windows
        on touches.conversion_id = windows.conversion_id
    left join fits
        on
            touches.conversion_type = fits.conversion_type
            and {{ period_start('month', 'touches.converted_on') }} = fits.month
            and touches.channel = fits.channel
    group by touches.conversion_id, touches.channel
),

path_channels as (
    select
        conversion_id,
        count(*) as channel_count,
        sum(removal_effect) as removal_effect
    from channels
    group by conversion_id
),

path_weights as (
    select
        paths.conversion_id,
        sum(cast({{ decay_weight('touches.touched_at', 'paths.last_touched_at') }} as decimal(19, 18)))
            as decay_weight
    from {{ ref('int_conversion_touches') }} as touches
    inner join paths
        on touches.conversion_id = paths.conversion_id
    group by paths.conversion_id
),

positioned as (
    select
        touches.*,
        paths.converted_at,
        paths.value,
        paths.last_non_direct_position,
        paths.first_touch_position,
        paths.lead_created_position,
        paths.opportunity_created_position,
        paths.closed_position,
        {{ days_between('touches.touched_at', 'paths.converted_at') }} as days_to_conversion,
        {{ decay_weight('touches.touched_at', 'paths.last_touched_at') }} as decay_weight,
        cast(path_weights.decay_weight as double) as path_decay_weight,
        channels.fit_hash,
        channels.channel_touches,
        path_channels.channel_count,
        cast(channels.removal_effect as double) as removal_effect,
        cast(path_channels.removal_effect as double) as path_removal_effect
    from {{ ref('int_conversion_touches') }} as touches
    inner join paths
        on touches.conversion_id = paths.conversion_id
    inner join path_weights
        on touches.conversion_id = path_weights.conversion_id
    inner join channels
        on touches.conversion_id = channels.conversion_id and touches.channel = channels.channel
    inner join path_channels
        on touches.conversion_id = path_channels.conversion_id
),

credited as (
    select
        *,
        case when touch_position = 1 then 1.0 else 0.0 end as credit_first_touch,
        case when touch_position = touch_count then 1.0 else 0.0 end as credit_last_touch,
        case when touch_position = last_non_direct_position then 1.0 else 0.0 end as credit_last_non_direct,
        1.0 / cast(touch_count as double) as credit_linear,
        {#- Two touches share what first and last hold, in proportion. -#}
        {%- set first = var('position_based_first_weight') %}
        {%- set last = var('position_based_last_weight') %}
        case
            when touch_count = 1 then 1.0
            when touch_count = 2 and touch_position = 1
                then {{ first }} / cast({{ first }} + {{ last }} as double)
            when touch_count = 2 then {{ last }} / cast({{ first }} + {{ last }} as double)
            when touch_position = 1 then {{ first }}
            when touch_position = touch_count then {{ last }}
            else (1.0 - {{ first }} - {{ last }}) / cast(touch_count - 2 as double)
        end as credit_position_based,
        decay_weight / path_decay_weight as credit_time_decay,
        {%- for model, weights in var('milestone_weights').items() %}
        {{ milestone_credit(weights) }} as credit_{{ model }},
        {%- endfor %}
        case
            when channel_count > 1 and path_removal_effect > 0.0
                then removal_effect / path_removal_effect / cast(channel_touches as double)
            else 1.0 / cast(channel_count * channel_touches as double)
        end as credit_markov,
        -- Exact for the game in which a set of channels earns the conversions whose channels lie in it.
        1.0 / cast(channel_count * channel_touches as double) as credit_shapley
    from positioned
    where touch_count > 0
),

final as (
    select
        conversion_id,
        touchpoint_id,
        conversion_type,
        converted_at,
        converted_on,
        touch_person_id,
        touched_at,
        touched_on,
        channel,
        campaign_id,
        touch_position,
        touch_count,
        days_to_conversion,
        value,
        {%- for model in attribution_models() %}
        credit_{{ model }},
        {%- endfor %}
        case when channel_count > 1 then fit_hash end as fit_hash,
        window_hash
    from credited
    union all
    select
        touches.conversion_id,
        touches.touchpoint_id,
        touches.conversion_type,
        windows.converted_at,
        touches.converted_on,
        touches.touch_person_id,
        touches.touched_at,
        touches.touched_on,
        touches.channel,
        touches.campaign_id,
        touches.touch_position,
        touches.touch_count,
        cast(null as double) as days_to_conversion,
        windows.value,
        {%- for model in attribution_models() %}
        1.0 as credit_{{ model }},
        {%- endfor %}
        cast(null as {{ text_type() }}) as fit_hash,
        touches.window_hash
    from {{ ref('int_conversion_touches') }} as touches
    inner join windows
        on touches.conversion_id = windows.conversion_id
    where touches.touch_count = 0
)

select
    conversion_id,
    touchpoint_id,
    conversion_type,
    converted_at,
    converted_on,
    touch_person_id,
    touched_at,
    touched_on,
    channel,
    campaign_id,
    cast(touch_position as bigint) as touch_position,
    cast(touch_count as bigint) as touch_count,
    days_to_conversion,
    value,
    {%- for model in attribution_models() %}
    cast(credit_{{ model }} as double) as credit_{{ model }},
    {%- endfor %}
    fit_hash,
    window_hash
from final
