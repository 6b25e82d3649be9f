-- depends_on: {{ ref('int_changed_persons') }}
select
    person_id,
    account_id,
    account_match_method
from {{ ref('int_person_account_candidates') }}
