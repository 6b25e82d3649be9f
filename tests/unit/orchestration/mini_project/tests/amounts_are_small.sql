select f.order_id, f.amount from {{ ref('fct_orders') }} as f
inner join {{ ref('int_orders') }} as o on o.order_id = f.order_id
where f.amount > {{ var('max_amount') }}
