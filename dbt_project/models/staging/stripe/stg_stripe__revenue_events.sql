{{ config(enabled=provides('stripe', 'revenue_events')) }}

-- Money that came in and went back, without tax: lines of paid invoices at the moment of payment; charges
-- without an invoice; refunds and credit notes (less what they refunded) in their own month. A refund
-- includes tax: it is reduced in the proportion of its invoice. Lines of nothing (trials) are no revenue.
with invoices as (
    select * from {{ source('raw_stripe', 'invoices') }}
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

charges as (
    select * from {{ source('raw_stripe', 'charges') }}
),

all_refunds as (
    select * from {{ source('raw_stripe', 'refunds') }}
),

refunds as (
    select * from all_refunds
    where status = 'succeeded'
),

issued_credit_notes as (
    select * from {{ source('raw_stripe', 'credit_notes') }}
    where status = 'issued'
),

-- What a note credits beyond the refund that it made counts by itself.
credit_notes as (
    select
        issued_credit_notes.source_relation,
        issued_credit_notes.credit_note_id,
        issued_credit_notes.invoice_id,
        issued_credit_notes.customer_id,
        issued_credit_notes.currency,
        issued_credit_notes.created_at,
        issued_credit_notes.livemode,
        issued_credit_notes.total - coalesce(all_refunds.amount, 0) as total,
        cast(
            round(
                cast(coalesce(issued_credit_notes.total_excluding_tax, issued_credit_notes.total) as double)
                * cast(issued_credit_notes.total - coalesce(all_refunds.amount, 0) as double)
                / cast(issued_credit_notes.total as double)
            ) as bigint
        ) as total_excluding_tax,
        greatest(
            issued_credit_notes._dlt_load_id,
            coalesce(all_refunds._dlt_load_id, issued_credit_notes._dlt_load_id)
        ) as _dlt_load_id
    from issued_credit_notes
    left join all_refunds
        on
            issued_credit_notes.source_relation = all_refunds.source_relation
            and issued_credit_notes.refund_id = all_refunds.refund_id
    where issued_credit_notes.total > coalesce(all_refunds.amount, 0)
),

single_products as (
    select
        source_relation,
        invoice_id,
        max(product_id) as product_id
    from invoice_lines
    group by source_relation, invoice_id
    having count(distinct product_id) = 1
),

line_events as (
    select
        invoice_lines.source_relation,
        invoice_lines.line_id as event_id,
        'invoice' as event_type,
        invoices.paid_at as occurred_at,
        invoices.customer_id,
        invoices.email_hash,
        invoices.email_domain,
        invoices.country,
        cast(null as {{ text_type() }}) as user_id,
        invoices.invoice_id as order_id,
        cast(null as {{ text_type() }}) as original_order_id,
        invoice_lines.product_id,
        invoice_lines.description,
        invoice_lines.quantity,
        invoice_lines.amount - coalesce(invoice_lines.discount_amount, 0)
        - coalesce(invoice_lines.inclusive_tax_amount, 0)
            as amount,
        coalesce(invoice_lines.discount_amount, 0) as discount_amount,
        coalesce(invoice_lines.tax_amount, 0) as tax_amount,
        coalesce(invoice_lines.currency, invoices.currency) as currency,
        coalesce(invoice_lines.subscription_id, invoices.subscription_id) as subscription_id,
        invoices.deal_id,
        invoices.livemode,
        greatest(invoice_lines._dlt_load_id, invoices._dlt_load_id) as _dlt_load_id
    from invoice_lines
    inner join invoices
        on
            invoice_lines.source_relation = invoices.source_relation
            and invoice_lines.invoice_id = invoices.invoice_id
    where
        invoices.status = 'paid'
        and invoices.paid_at is not null
        and (invoice_lines.amount <> 0 or coalesce(invoice_lines.discount_amount, 0) <> 0)
),

charge_events as (
    select
        source_relation,
        charge_id as event_id,
        'order' as event_type,
        created_at as occurred_at,
        customer_id,
        email_hash,
        email_domain,
        country,
        user_id,
        charge_id as order_id,
        null as original_order_id,
        null as product_id,
        null as description,
        1 as quantity,
        amount,
        0 as discount_amount,
        0 as tax_amount,
        currency,
        null as subscription_id,
        deal_id,
        livemode,
        _dlt_load_id
    from charges
    where invoice_id is null and status = 'succeeded' and paid
),

refund_events as (
    select
        refunds.source_relation,
        refunds.refund_id as event_id,
        'refund' as event_type,
        refunds.created_at as occurred_at,
        coalesce(invoices.customer_id, charges.customer_id) as customer_id,
        coalesce(invoices.email_hash, charges.email_hash) as email_hash,
        coalesce(invoices.email_domain, charges.email_domain) as email_domain,
        coalesce(invoices.country, charges.country) as country,
        charges.user_id,
        null as order_id,
        coalesce(charges.invoice_id, charges.charge_id, refunds.charge_id) as original_order_id,
        single_products.product_id,
        null as description,
        null as quantity,
        cast(
            -round(
                refunds.amount
                * case
                    when invoices.total > 0
                        then
                            cast(
                                coalesce(
                                    invoices.total_excluding_tax, invoices.total - coalesce(invoices.tax, 0)
                                ) as double
                            )
                            / cast(invoices.total as double)
                    else 1.0
                end
            ) as bigint
        ) as amount,
        0 as discount_amount,
        refunds.amount as gross_amount,
        refunds.currency,
        invoices.subscription_id,
        coalesce(invoices.deal_id, charges.deal_id) as deal_id,
        coalesce(invoices.livemode, charges.livemode) as livemode,
        greatest(
            refunds._dlt_load_id,
            coalesce(charges._dlt_load_id, refunds._dlt_load_id),
            coalesce(invoices._dlt_load_id, refunds._dlt_load_id)
        ) as _dlt_load_id
    from refunds
    left join charges
        on refunds.source_relation = charges.source_relation and refunds.charge_id = charges.charge_id
    left join invoices
        on charges.source_relation = invoices.source_relation and charges.invoice_id = invoices.invoice_id
    left join single_products
        on charges.source_relation = single_products.source_relation
            and charges.invoice_id = single_products.invoice_id
),

credit_note_events as (
    select
        credit_notes.source_relation,
        credit_notes.credit_note_id as event_id,
        'refund' as event_type,
        credit_notes.created_at as occurred_at,
        coalesce(invoices.customer_id, credit_notes.customer_id) as customer_id,
        invoices.email_hash,
        invoices.email_domain,
        invoices.country,
        null as user_id,
        null as order_id,
        credit_notes.invoice_id as original_order_id,
        single_products.product_id,
        null as description,
        null as quantity,
        -credit_notes.total_excluding_tax as amount,
        0 as discount_amount,
        credit_notes.total as gross_amount,
        credit_notes.currency,
        invoices.subscription_id,
        invoices.deal_id,
        credit_notes.livemode,
        greatest(
            credit_notes._dlt_load_id, coalesce(invoices._dlt_load_id, credit_notes._dlt_load_id)
        ) as _dlt_load_id
    from credit_notes
    inner join invoices
        on
            credit_notes.source_relation = invoices.source_relation
            and credit_notes.invoice_id = invoices.invoice_id
            and invoices.status = 'paid'
    left join single_products
        on
            credit_notes.source_relation = single_products.source_relation
            and credit_notes.invoice_id = single_products.invoice_id
),

events as (
    {% set columns = [
        'source_relation', 'event_id', 'event_type', 'occurred_at', 'customer_id', 'email_hash',
        'email_domain', 'country',
        'user_id', 'order_id', 'original_order_id', 'product_id', 'description', 'quantity', 'amount',
        'discount_amount',
    ] -%}
    {% for branch in ['line_events', 'charge_events', 'refund_events', 'credit_note_events'] -%}
    select
        {{ columns | join(',\n        ') }},
        {{ 'tax_amount' if branch in ['line_events', 'charge_events'] else '-(gross_amount + amount)' }}
            as tax_amount,
        currency,
        subscription_id,
        deal_id,
        livemode,
        _dlt_load_id
    from {{ branch }}
    {% if not loop.last %}union all{% endif %}
    {% endfor -%}
),

final as (
    select
        events.source_relation,
        events.event_id,
        events.event_type,
        events.occurred_at,
        events.customer_id,
        coalesce(events.email_hash, customers.email_hash) as email_hash,
        case
            when events.email_hash is not null then events.email_domain else customers.email_domain
        end as email_domain,
        coalesce(events.country, customers.country) as country,
        coalesce(events.user_id, customers.user_id) as user_id,
        events.order_id,
        events.original_order_id,
        events.product_id,
        coalesce(products.name, events.description) as product_name,
        events.quantity,
        {{ minor_units_as_money('events.amount', 'events.currency') }} as amount,
        {{ minor_units_as_money('events.discount_amount', 'events.currency') }} as discount_amount,
        {{ minor_units_as_money('events.tax_amount', 'events.currency') }} as tax_amount,
        upper(events.currency) as currency,
        events.subscription_id,
        events.deal_id,
        not coalesce(events.livemode, true) as is_test,
        greatest(
            events._dlt_load_id,
            coalesce(customers._dlt_load_id, events._dlt_load_id),
            coalesce(products._dlt_load_id, events._dlt_load_id)
        ) as _dlt_load_id,
        null as _slice
    from events
    left join customers
        on events.source_relation = customers.source_relation and events.customer_id = customers.customer_id
    left join products
        on events.source_relation = products.source_relation and events.product_id = products.product_id
)

{{ conform('revenue_events', 'final', provided={
    'revenue_event_id': 'event_id',
    'occurred_at': 'occurred_at',
    'event_type': 'event_type',
    'customer_id': 'customer_id',
    'customer_email_hash': 'email_hash',
    'email_domain': 'email_domain',
    'user_id': 'user_id',
    'order_id': 'order_id',
    'original_order_id': 'original_order_id',
    'product_id': 'product_id',
    'product_name': 'product_name',
    'quantity': 'quantity',
    'amount': 'amount',
    'discount_amount': 'discount_amount',
    'tax_amount': 'tax_amount',
    'currency': 'currency',
    'country': 'country',
    'subscription_id': 'subscription_id',
    'opportunity_id': 'deal_id',
    'is_test': 'is_test',
}) }}
