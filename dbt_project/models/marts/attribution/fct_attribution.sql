-- depends_on: {{ ref('int_changed_credits') }}
{{
    config(
        materialized='incremental',
        incremental_strategy='rewrite',
        on_schema_change='append_new_columns',
        meta={'rewrite': [{'changes': 'int_changed_credits', 'keys': ['conversion_id']}]},
    )
}}
{# All models come from one pass over the paths: each is an expression over a touch's place on its path. #}
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
),

fits as (
    select
        conversion_type,
        month,
        channel,
        removal_effect,
        fit_hash
    from {{ ref('attribution_markov_channels') }}
),

touches as (
    select
        conversion_touches.*,
        windows.converted_at,
        windows.lead_created_at,
        windows.opportunity_created_at,
        windows.closed_at,
        windows.value
    from {{ ref('int_conversion_touches') }} as conversion_touches
    inner join windows
        on conversion_touches.conversion_id = windows.conversion_id
    {%- if is_rewrite() %}
    where
        conversion_touches.conversion_id in (
            select changed.conversion_id from {{ ref('int_changed_credits') }} as changed
        )
    {%- endif %}
),

positioned as (
    select
        touches.*,
        fits.removal_effect,
        fits.fit_hash,
        {{ days_between('touches.touched_at', 'touches.converted_at') }} as days_to_conversion,
        coalesce(
            max(case when not touches.is_direct then touches.touch_position end)
                over (partition by touches.conversion_id),
            touches.touch_count
        ) as last_non_direct_position,
        max(touches.touched_at) over (partition by touches.conversion_id) as last_touched_at,
        -- A milestone's touch is the last one at or before it; 0 where it is absent, or lies before the path.
        1 as first_touch_position,
        {%- for milestone in ['lead_created', 'opportunity_created', 'closed'] %}
        count(case when touches.touched_at <= touches.{{ milestone }}_at then 1 end)
            over (partition by touches.conversion_id) as {{ milestone }}_position,
        {%- endfor %}
        count(*) over (partition by touches.conversion_id, touches.channel) as channel_touches,
        min(touches.touch_position) over (partition by touches.conversion_id, touches.channel)
            as channel_position
    from touches
    left join fits
        on
            touches.conversion_type = fits.conversion_type
            and {{ period_start('month', 'touches.converted_on') }} = fits.month
            and touches.channel = fits.channel
    where touches.touch_count > 0
),

-- What the milestones of a touch weigh, what those of the path do, and how many touches hold none; how many
-- channels the path has, and what their removal effects add up to. Doubles are added up in the path's order,
-- so that every run gives the same digits.
weighed as (
    select
        *,
        {%- for model, weights in var('milestone_weights').items() %}
        {{ weight_held(weights) }} as {{ model }}_held,
        {{ weight_present(weights) }} as {{ model }}_present,
        sum({{ holds_none(weights) }}) over (partition by conversion_id) as {{ model }}_others,
        {%- endfor %}
        -- Relative to the path's last touch: the same proportions, and no underflow on long deals.
        power(
            2.0, -{{ days_between('touched_at', 'last_touched_at') }} / {{ var('time_decay_half_life_days') }}
        ) as decay_weight,
        sum(case when touch_position = channel_position then 1 else 0 end)
            over (partition by conversion_id) as channel_count,
        sum(case when touch_position = channel_position then removal_effect else 0.0 end)
            over (
                partition by conversion_id order by touch_position
                rows between unbounded preceding and unbounded following
            ) as path_removal_effect
    from positioned
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
        decay_weight / sum(decay_weight) over (
            partition by conversion_id order by touch_position
            rows between unbounded preceding and unbounded following
        ) as credit_time_decay,
        {%- for model, weights in var('milestone_weights').items() %}
        {{ milestone_credit(model, weights) }} as credit_{{ model }},
        {%- endfor %}
        case
            when channel_count > 1 and path_removal_effect > 0.0
                then removal_effect / path_removal_effect / cast(channel_touches as double)
            else 1.0 / cast(channel_count * channel_touches as double)
        end as credit_markov,
        -- Exact for the game in which a set of channels earns the conversions whose channels lie in it.
        1.0 / cast(channel_count * channel_touches as double) as credit_shapley
    from weighed
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
        cast(null as double) as days_to_conversion,
        value,
        {%- for model in attribution_models() %}
        1.0 as credit_{{ model }},
        {%- endfor %}
        cast(null as {{ text_type() }}) as fit_hash,
        window_hash
    from touches
    where touch_count = 0
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
