select order_id, cast(amount as decimal(19, 4)) as amount, source_relation, _dlt_load_id as _load_id
from {{ source('raw_shop', 'orders') }}
