{{ config(enabled=provides('stripe', 'subscriptions')) }}

-- The vendor keeps no history of subscriptions, but invoices do: each paid line says what was bought for
-- which time. A version is such a line, so the history is the same whatever the day of the first load.
-- Lines of a change within a period count by their positive half (the new state until the period's end),
-- where the subscription has one item only. The trial is a version of its own, from the subscription. A
-- subscription that goes on has no gap: a version lasts until the next one starts, and the last one stays
-- open while the subscription is alive (its renewal may be a day from being paid), else it ends with the
-- subscription.
with subscriptions as (
    select * from {{ source('raw_stripe', 'subscriptions') }}
),

invoices as (
    select * from {{ source('raw_stripe', 'invoices') }}
    where status = 'paid'
),

invoice_lines as (
    select * from {{ source('raw_stripe', 'invoice_lines') }}
),

customers as (
    select * from {{ source('raw_stripe', 'customers') }}
),

products as (
    select * from {{ source('raw_stripe', 'products') }}
),

prices as (
    select * from {{ source('raw_stripe', 'prices') }}
),

paid_lines as (
    select
        invoice_lines.source_relation,
        coalesce(invoice_lines.subscription_id, invoices.subscription_id) as subscription_id,
        invoice_lines.invoice_id,
        invoices.created_at as invoiced_at,
        invoice_lines.period_start,
        invoice_lines.period_end,
        invoice_lines.price_id,
        invoice_lines.product_id,
        invoice_lines.quantity,
        invoice_lines.currency,
        coalesce(invoice_lines.proration, false) as is_proration,
        invoice_lines.billing_interval,
        coalesce(
            invoice_lines.unit_amount_decimal * invoice_lines.quantity, cast(invoice_lines.amount as double)
        ) * case invoice_lines.billing_interval
            when 'day' then 365.0 / 12
            when 'week' then 365.0 / 7 / 12
            when 'year' then 1.0 / 12
            else 1.0
        end / coalesce(nullif(invoice_lines.interval_count, 0), 1) as monthly_minor_units,
        greatest(invoice_lines._dlt_load_id, invoices._dlt_load_id) as _dlt_load_id
    from invoice_lines
    inner join invoices
        on
            invoice_lines.source_relation = invoices.source_relation
            and invoice_lines.invoice_id = invoices.invoice_id
    where
        coalesce(invoice_lines.subscription_id, invoices.subscription_id) is not null
        and invoice_lines.billing_interval is not null
        and invoice_lines.period_end > invoice_lines.period_start
        and invoice_lines.amount > 0
),

item_counts as (
    select
        source_relation,
        subscription_id,
        max(items) as items
    from (
        select source_relation, subscription_id, invoice_id, count(*) as items
        from paid_lines
        where not is_proration
        group by source_relation, subscription_id, invoice_id
    ) as invoices_of_items
    group by source_relation, subscription_id
),

states as (
    select
        paid_lines.source_relation,
        paid_lines.subscription_id,
        paid_lines.invoice_id,
        paid_lines.invoiced_at,
        paid_lines.period_start as valid_from,
        max(paid_lines.period_end) as period_end,
        max(paid_lines.price_id) as price_id,
        max(paid_lines.product_id) as product_id,
        sum(paid_lines.quantity) as quantity,
        max(paid_lines.currency) as currency,
        max(paid_lines.billing_interval) as billing_interval,
        sum(paid_lines.monthly_minor_units) as monthly_minor_units,
        max(paid_lines._dlt_load_id) as _dlt_load_id
    from paid_lines
    left join item_counts
        on
            paid_lines.source_relation = item_counts.source_relation
            and paid_lines.subscription_id = item_counts.subscription_id
    where not paid_lines.is_proration or coalesce(item_counts.items, 1) = 1
    group by
        paid_lines.source_relation, paid_lines.subscription_id, paid_lines.invoice_id, paid_lines.invoiced_at,
        paid_lines.period_start
),

-- Two invoices for the same start: the later one is the correction.
newest_states as (
    select
        * from (
        select
            states.*,
            row_number() over (
                partition by
                    source_relation, subscription_id, valid_from order by invoiced_at desc,
                invoice_id desc
            ) as place
        from states
    ) as ranked
    where place = 1
),

trials as (
    select
        source_relation,
        subscription_id,
        trial_start as valid_from,
        trial_end as period_end,
        price_id,
        product_id,
        quantity,
        currency,
        billing_interval,
        _dlt_load_id
    from subscriptions
    where trial_start is not null and trial_end > trial_start
),

versions as (
    select
        source_relation, subscription_id, valid_from, period_end, price_id, product_id, quantity, currency,
        billing_interval, monthly_minor_units, 'active' as status, _dlt_load_id
    from newest_states
    union all
    select
        source_relation, subscription_id, valid_from, period_end, price_id, product_id, quantity, currency,
        billing_interval, 0.0 as monthly_minor_units, 'trialing' as status, _dlt_load_id
    from trials
),

bounded as (
    select
        versions.*,
        lead(valid_from) over (
            partition by source_relation, subscription_id order by valid_from, status
        ) as next_from
    from versions
),

final as (
    select
        bounded.source_relation,
        bounded.subscription_id,
        bounded.valid_from,
        case
            when bounded.status = 'trialing'
                then least(
                        bounded.period_end,
                        coalesce(bounded.next_from, bounded.period_end),
                        coalesce(subscriptions.ended_at, bounded.period_end)
                    )
            when bounded.next_from is not null
                then least(bounded.next_from, coalesce(subscriptions.ended_at, bounded.next_from))
            when subscriptions.ended_at is not null then subscriptions.ended_at
            when subscriptions.status in ('active', 'past_due', 'trialing', 'paused') then null
            else bounded.period_end
        end as valid_to,
        subscriptions.customer_id,
        customers.email_hash,
        customers.email_domain,
        customers.user_id,
        coalesce(prices.nickname, products.name) as plan,
        bounded.quantity,
        bounded.billing_interval,
        cast(
            bounded.monthly_minor_units * cast({{ minor_unit('bounded.currency') }} as double)
            as decimal(19, 4)
        ) as mrr,
        upper(bounded.currency) as currency,
        case
            when bounded.status = 'active' and bounded.next_from is null and subscriptions.status = 'past_due'
                then 'past_due'
            else bounded.status
        end as status,
        subscriptions.trial_start,
        subscriptions.trial_end,
        subscriptions.canceled_at,
        coalesce(subscriptions.cancel_feedback, subscriptions.cancel_reason) as cancel_reason,
        case
            when subscriptions.canceled_at is not null or subscriptions.ended_at is not null
                then coalesce(subscriptions.cancel_reason = 'payment_failed', false)
        end as is_involuntary,
        greatest(
            bounded._dlt_load_id,
            subscriptions._dlt_load_id,
            coalesce(customers._dlt_load_id, bounded._dlt_load_id)
        ) as _dlt_load_id,
        null as _slice
    from bounded
    inner join subscriptions
        on
            bounded.source_relation = subscriptions.source_relation
            and bounded.subscription_id = subscriptions.subscription_id
    left join customers
        on
            subscriptions.source_relation = customers.source_relation
            and subscriptions.customer_id = customers.customer_id
    left join prices
        on bounded.source_relation = prices.source_relation and bounded.price_id = prices.price_id
    left join products
        on bounded.source_relation = products.source_relation and bounded.product_id = products.product_id
    where
        coalesce(bounded.next_from > bounded.valid_from, true)
        and coalesce(subscriptions.ended_at > bounded.valid_from, true)
        and coalesce(subscriptions.livemode, true)
)

{{ conform('subscriptions', 'final', provided={
    'subscription_id': 'subscription_id',
    'valid_from': 'valid_from',
    'valid_to': 'valid_to',
    'customer_id': 'customer_id',
    'customer_email_hash': 'email_hash',
    'email_domain': 'email_domain',
    'user_id': 'user_id',
    'plan': 'plan',
    'quantity': 'quantity',
    'billing_interval': 'billing_interval',
    'mrr': 'mrr',
    'currency': 'currency',
    'status': 'status',
    'trial_start': 'trial_start',
    'trial_end': 'trial_end',
    'canceled_at': 'canceled_at',
    'cancel_reason': 'cancel_reason',
    'is_involuntary': 'is_involuntary',
}) }}
