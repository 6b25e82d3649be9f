with email_events as (
    select * from {{ ref('int_email_events_unioned') }}
),

final as (
    select
        source_relation,
        subscriber_id,
        recipient_email_hash,
        max(email_domain) as email_domain,
        min(occurred_at) as first_seen_at,
        max(occurred_at) as last_seen_at
    from email_events
    group by source_relation, subscriber_id, recipient_email_hash
)

select
    source_relation,
    subscriber_id,
    recipient_email_hash,
    email_domain,
    first_seen_at,
    last_seen_at
from final
