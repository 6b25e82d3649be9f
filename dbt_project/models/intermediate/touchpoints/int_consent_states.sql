-- depends_on: {{ ref('int_changed_persons') }}
select
    person_id,
    purpose,
    valid_from,
    valid_to,
    consent_state
from {{ ref('int_consent_candidates') }}
