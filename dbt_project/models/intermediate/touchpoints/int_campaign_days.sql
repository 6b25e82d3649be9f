-- depends_on: {{ ref('int_changed_touchpoints') }}
select
    campaign_id,
    date,
    spend,
    tracked_clicks
from {{ ref('int_campaign_day_candidates') }}
