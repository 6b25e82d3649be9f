{%- set held = held_relation('int_web_events_sessionized') if not should_full_refresh() else none -%}
-- depends_on: {{ ref('int_changed_visitors') }}
with events_of_changed_visitors as (
    select web_events.*
    from {{ ref('int_web_events_unioned') }} as web_events
    where {% if held is none %}1 = 0{% else %}{{ of_changed_visitors('web_events') }}{% endif %}
),

{{ sessionized_events('events_of_changed_visitors') }}
