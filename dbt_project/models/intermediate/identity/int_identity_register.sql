-- depends_on: {{ ref('int_changed_identity_records') }}
select {{ record_columns() | join(', ') }}
from {{ ref('int_identity_register_candidates') }}
