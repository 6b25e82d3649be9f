-- depends_on: {{ ref('int_changed_identity_records') }}
select
    source_relation,
    first_seen_at,
    last_seen_at,
    cookie_home,
    anonymous_id,
    user_id,
    email_hash,
    contact_home,
    contact_id,
    other_contact_id,
    subscriber_id,
    customer_id
from {{ ref('int_identity_register_candidates') }}
