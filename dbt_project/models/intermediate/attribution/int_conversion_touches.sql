-- depends_on: {{ ref('int_changed_conversions') }}
{{
    config(
        materialized='incremental',
        incremental_strategy='rewrite',
        on_schema_change='append_new_columns',
        meta={'rewrite': [{'changes': 'int_changed_conversions', 'keys': ['conversion_id']}]},
    )
}}
{# The path of each conversion: its touches in order, with their neighbours, before any model gives credit. A
   conversion that nobody touched has one row, `(unattributed)`. #}
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
        coalesce(channel, '(not set)') as channel,
        campaign_id,
        coalesce(is_direct, false) as is_direct
    from {{ ref('fct_touchpoints') }}
    where
        is_credit_eligible
        and occurred_at >= (select min(windows.window_from) from windows)
),

placed as (
    {%- for scope in ['person', 'account'] %}
    select
        windows.conversion_id,
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
            windows.scope_id = touches.{{ scope }}_id
            and touches.occurred_at >= windows.window_from
            and touches.occurred_at <= windows.converted_at
            and touches.occurred_at > coalesce(windows.cycle_from, cast('1900-01-01' as timestamp))
    where windows.touch_scope = '{{ scope }}'
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

positioned as (
    select
        *,
        row_number() over (partition by conversion_id order by touched_at, touchpoint_id) as touch_position,
        lag(channel) over (partition by conversion_id order by touched_at, touchpoint_id) as previous_channel,
        lead(channel) over (partition by conversion_id order by touched_at, touchpoint_id) as next_channel,
        count(*) over (partition by conversion_id) as touch_count
    from placed
)

select
    windows.conversion_id,
    coalesce(positioned.touchpoint_id, '(unattributed)') as touchpoint_id,
    windows.conversion_type,
    windows.converted_on,
    positioned.touch_person_id,
    positioned.touched_at,
    coalesce(positioned.touched_on, windows.converted_on) as touched_on,
    coalesce(positioned.channel, '(unattributed)') as channel,
    positioned.campaign_id,
    positioned.is_direct,
    coalesce(positioned.touch_position, 0) as touch_position,
    coalesce(positioned.touch_count, 0) as touch_count,
    positioned.previous_channel,
    positioned.next_channel,
    windows.window_hash
from windows
left join positioned
    on windows.conversion_id = positioned.conversion_id
