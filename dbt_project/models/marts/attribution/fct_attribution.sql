-- depends_on: {{ ref('int_changed_conversions') }}
{{
    config(
        materialized='incremental',
        incremental_strategy='rewrite',
        on_schema_change='append_new_columns',
        meta={'rewrite': [{'changes': 'int_changed_conversions', 'keys': ['conversion_id']}]},
    )
}}
{# All models come from one pass: touches are placed on the paths of their conversions once, and each model
   is an expression over the position. #}
with
windows as (
    select
        windows.conversion_id,
        windows.conversion_type,
        windows.touch_scope,
        windows.scope_id,
        windows.window_from,
        windows.cycle_from,
        windows.converted_at,
        windows.converted_on,
        windows.lead_created_at,
        windows.opportunity_created_at,
        windows.closed_at,
        windows.value,
        windows.window_hash
    from {{ ref('int_conversion_windows') }} as windows
    {%- if is_rewrite() %}
    where conversion_id in (select changed.conversion_id from {{ ref('int_changed_conversions') }} as changed)
    {%- endif %}
),

touches as (
    select
        touchpoint_id,
        person_id,
        account_id,
        occurred_at,
        occurred_on,
        channel,
        campaign_id,
        coalesce(is_direct, false) as is_direct
    from {{ ref('fct_touchpoints') }}
    where
        is_credit_eligible
        and occurred_at >= (select min(windows.window_from) from windows)
),

placed as (
    select
        windows.conversion_id,
        windows.converted_at,
        windows.lead_created_at,
        windows.opportunity_created_at,
        windows.closed_at,
        touches.touchpoint_id,
        touches.person_id as touch_person_id,
        touches.occurred_at as touched_at,
        touches.occurred_on as touched_on,
        touches.channel,
        touches.campaign_id,
        touches.is_direct
    from windows
    inner join touches
        on
            windows.scope_id = touches.person_id
            and touches.occurred_at >= windows.window_from
            and touches.occurred_at <= windows.converted_at
            and touches.occurred_at > coalesce(windows.cycle_from, cast('1900-01-01' as timestamp))
    where windows.touch_scope = 'person'
    union all
    select
        windows.conversion_id,
        windows.converted_at,
        windows.lead_created_at,
        windows.opportunity_created_at,
        windows.closed_at,
        touches.touchpoint_id,
        touches.person_id as touch_person_id,
        touches.occurred_at as touched_at,
        touches.occurred_on as touched_on,
        touches.channel,
        touches.campaign_id,
        touches.is_direct
    from windows
    inner join touches
        on
            windows.scope_id = touches.account_id
            and touches.occurred_at >= windows.window_from
            and touches.occurred_at <= windows.converted_at
            and touches.occurred_at > coalesce(windows.cycle_from, cast('1900-01-01' as timestamp))
    where windows.touch_scope = 'account'
),

positioned as (
    select
        conversion_id,
        touchpoint_id,
        touch_person_id,
        touched_at,
        touched_on,
        channel,
        campaign_id,
        {{ days_between('touched_at', 'converted_at') }} as days_to_conversion,
        row_number() over (partition by conversion_id order by touched_at, touchpoint_id) as touch_position,
        count(*) over (partition by conversion_id) as touch_count,
        count(*) over (partition by conversion_id, channel) as channel_touches,
        row_number() over (partition by conversion_id, channel order by touched_at, touchpoint_id)
            as channel_touch,
        -- A milestone's touch is the last one at or before it; 0 where it is absent, or lies before the path.
        1 as first_touch_position,
        {%- for milestone in ['lead_created', 'opportunity_created', 'closed'] %}
        count(case when touched_at <= {{ milestone }}_at then 1 end) over (partition by conversion_id)
            as {{ milestone }}_position,
        {%- endfor %}
        row_number() over (
            partition by conversion_id order by is_direct asc, touched_at desc, touchpoint_id desc
        ) as non_direct_rank,
        -- Relative to the path's last touch: the same proportions, and no underflow on long deals.
        power(
            2.0,
            -{{ days_between('touched_at', 'max(touched_at) over (partition by conversion_id)') }}
            / {{ var('time_decay_half_life_days') }}
        ) as decay_weight
    from placed
),

-- What the milestones of a touch weigh, what those of the path do, and how many touches hold none.
weighed as (
    select
        *,
        {%- for model, weights in var('milestone_weights').items() %}
        {{ weight_held(weights) }} as {{ model }}_held,
        {{ weight_present(weights) }} as {{ model }}_present,
        sum({{ holds_none(weights) }}) over (partition by conversion_id) as {{ model }}_others,
        {%- endfor %}
        sum(case when channel_touch = 1 then 1 else 0 end) over (partition by conversion_id) as channel_count
    from positioned
),

credited as (
    select
        *,
        case when touch_position = 1 then 1.0 else 0.0 end as credit_first_touch,
        case when touch_position = touch_count then 1.0 else 0.0 end as credit_last_touch,
        case when non_direct_rank = 1 then 1.0 else 0.0 end as credit_last_non_direct,
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
        decay_weight / sum(decay_weight) over (partition by conversion_id) as credit_time_decay,
        {%- for model, weights in var('milestone_weights').items() %}
        {{ milestone_credit(model, weights) }} as credit_{{ model }},
        {%- endfor %}
        -- Exact for the game in which a set of channels earns the conversions whose channels lie in it.
        1.0 / cast(channel_count * channel_touches as double) as credit_shapley
    from weighed
),

final as (
    select
        windows.conversion_id,
        coalesce(credited.touchpoint_id, '(unattributed)') as touchpoint_id,
        windows.conversion_type,
        windows.converted_at,
        windows.converted_on,
        credited.touch_person_id,
        credited.touched_at,
        coalesce(credited.touched_on, windows.converted_on) as touched_on,
        case
            when credited.touchpoint_id is null then '(unattributed)'
            else coalesce(credited.channel, '(not set)')
        end as channel,
        credited.campaign_id,
        coalesce(credited.touch_position, 0) as touch_position,
        coalesce(credited.touch_count, 0) as touch_count,
        credited.days_to_conversion,
        windows.value,
        {%- for model in attribution_models() %}
        cast(coalesce(credited.credit_{{ model }}, 1.0) as double) as credit_{{ model }},
        {%- endfor %}
        windows.window_hash
    from windows
    left join credited
        on windows.conversion_id = credited.conversion_id
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
    credit_{{ model }},
    {%- endfor %}
    window_hash
from final
