-- The opening of a month is the closing of the month before, for every customer; and what closes at as_of is
-- what the subscriptions say.
with movements as (
    select * from {{ ref('mrr_movements') }}
),

chained as (
    select
        following.customer_id,
        following.month,
        following.opening_mrr as found,
        coalesce(movements.closing_mrr, 0) as expected
    from movements as following
    left join movements
        on
            following.customer_id = movements.customer_id
            and {{ add_months('following.month', -1) }} = movements.month
    union all
    select
        movements.customer_id,
        {{ add_months('movements.month', 1) }} as month,
        coalesce(following.opening_mrr, 0) as found,
        movements.closing_mrr as expected
    from movements
    left join movements as following
        on
            movements.customer_id = following.customer_id
            and {{ add_months('movements.month', 1) }} = following.month
    where movements.month < {{ period_start('month', as_of_date()) }}
),

present as (
    select
        '(all)' as customer_id,
        {{ period_start('month', as_of_date()) }} as month,
        coalesce((
            select sum(closing_mrr) from movements
            where month = {{ period_start('month', as_of_date()) }}
        ), 0) as found,
        coalesce(sum(mrr), 0) as expected
    from {{ ref('int_subscription_periods') }}
    where
        is_paid
        and valid_from < {{ as_of() }}
        and (valid_to >= {{ as_of() }} or valid_to is null)
)

select * from chained
where found <> expected
union all
select * from present
where found <> expected
