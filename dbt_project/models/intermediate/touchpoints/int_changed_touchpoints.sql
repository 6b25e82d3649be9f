{%- set held = held_relation('fct_touchpoints') if not should_full_refresh() else none -%}
-- Touchpoints whose row in fct_touchpoints is written anew: all of a changed person's, and all tracked clicks
-- of a campaign-day whose spend or clicks changed.
with changed_persons as (
    select * from {{ ref('int_changed_persons') }}
),

tracked_clicks as (
    select * from {{ ref('int_tracked_clicks') }}
),

changed_days as (
    {{ differing_rows(
        ref('int_campaign_day_candidates'), 'int_campaign_days', ['campaign_id', 'date', 'spend', 'tracked_clicks'],
    ) }}
),

affected_days as (
    select campaign_id, date from changed_days
    union
    select
        tracked_clicks.campaign_id,
        tracked_clicks.date
    from tracked_clicks
    inner join changed_persons on tracked_clicks.person_id = changed_persons.person_id
),

of_persons as (
    select touchpoints.touchpoint_id
    from {{ ref('int_touchpoints') }} as touchpoints
    inner join changed_persons on touchpoints.person_id = changed_persons.person_id
),

changes as (
    select touchpoint_id from of_persons
    union
    select tracked_clicks.touchpoint_id
    from tracked_clicks
    inner join affected_days
        on tracked_clicks.campaign_id = affected_days.campaign_id and tracked_clicks.date = affected_days.date
    {%- if held is not none %}
    union
    select held.touchpoint_id
    from {{ held }} as held
    inner join changed_persons on held.person_id = changed_persons.person_id
    {%- endif %}
),

final as (
    select touchpoint_id from changes
    union
    {{ carried_over(['touchpoint_id']) }}
)

select
    touchpoint_id,
    cast('{{ batch_mark() }}' as {{ text_type() }}) as batch_mark
from final
