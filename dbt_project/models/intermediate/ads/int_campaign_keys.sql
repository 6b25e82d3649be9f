-- depends_on: {{ ref('int_changed_campaign_keys') }}
select
    key_type,
    campaign_key,
    campaign_id,
    channel,
    funnel_position,
    ad_id
from {{ ref('int_campaign_key_candidates') }}
