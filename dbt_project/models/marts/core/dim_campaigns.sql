with campaigns as (
    select * from {{ ref('int_campaigns') }}
)

select
    campaign_id,
    campaign_kind,
    campaign_name,
    ad_account_id,
    ad_account_name,
    objective,
    network_type,
    currency,
    channel,
    intent,
    initiative,
    funnel_position,
    first_date,
    last_date,
    source_relation,
    source_record_id
from campaigns
