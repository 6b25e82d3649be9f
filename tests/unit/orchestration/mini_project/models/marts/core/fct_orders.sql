select o.order_id, o.amount, c.label, r.as_of
from {{ ref('int_orders') }} as o
left join {{ ref('labels') }} as c on c.order_id = o.order_id
cross join ops.current_run as r
