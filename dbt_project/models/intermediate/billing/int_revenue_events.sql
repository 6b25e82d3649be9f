{# Every revenue line once, with its customer and in the reporting currency. Lines that do not count stay,
   with the reason: the counted lines and the excluded ones are together all lines of the sources.

   Which claim of an order counts (order numbers compare trimmed and in lower case):
   1. A test order (one line flagged is enough) does not count, nor its refunds.
   2. Within a source, a line with the same order, product, quantity and amount as a line that is an hour or
      more older is the same line sent again. A web purchase is one event per order: each later one is a
      repeat.
   3. Sources that report the same order number within order_claim_window_days of each other mean one order.
      Billing wins over web events; among billing sources the first report wins (ties: by source_relation).
      Two accounts or connections of one billing system never mean one order: each shop counts its own numbers.
   4. A web purchase without an order number cannot be held against billing: it counts only where no billing
      source reports orders.
   5. Refunds count from the source whose order counts, or from the only source that has them.

   Each line belongs to one conversion at most (billing_reference): the subscription or the deal that it
   bills, else its order; a refund belongs where its order does. #}
with
purchases as (
    select distinct
        source_relation,
        event_id,
        occurred_at,
        anonymous_id,
        user_id,
        email_hash,
        order_id,
        product_id,
        value,
        currency,
        country
    from {{ ref('int_web_conversion_events') }}
    where conversion_type = 'purchase'
),

lines as (
    select
        source_relation,
        revenue_event_id,
        occurred_at,
        lower(event_type) as event_type,
        false as is_web_claim,
        customer_id,
        customer_email_hash,
        user_id,
        anonymous_id,
        nullif(lower(trim(order_id)), '') as order_number,
        nullif(lower(trim(original_order_id)), '') as original_order_number,
        product_id,
        product_name,
        quantity,
        amount,
        discount_amount,
        tax_amount,
        shipping_amount,
        cost_amount,
        upper(currency) as currency,
        country,
        subscription_id,
        opportunity_id,
        coalesce(is_test, false) as is_test,
        cast(1 as bigint) as claim_place
    from {{ ref('int_revenue_events_unioned') }}
    union all
    select
        source_relation,
        event_id as revenue_event_id,
        occurred_at,
        'order' as event_type,
        true as is_web_claim,
        cast(null as {{ text_type() }}) as customer_id,
        email_hash as customer_email_hash,
        user_id,
        anonymous_id,
        nullif(lower(trim(order_id)), '') as order_number,
        cast(null as {{ text_type() }}) as original_order_number,
        product_id,
        cast(null as {{ text_type() }}) as product_name,
        cast(null as double) as quantity,
        coalesce(value, cast(0 as decimal(19, 4))) as amount,
        cast(null as decimal(19, 4)) as discount_amount,
        cast(null as decimal(19, 4)) as tax_amount,
        cast(null as decimal(19, 4)) as shipping_amount,
        cast(null as decimal(19, 4)) as cost_amount,
        upper(coalesce(currency, '{{ var("reporting_currency") }}')) as currency,
        country,
        cast(null as {{ text_type() }}) as subscription_id,
        cast(null as {{ text_type() }}) as opportunity_id,
        false as is_test,
        row_number() over (
            partition by source_relation, lower(trim(order_id)) order by occurred_at, event_id
        ) as claim_place
    from purchases
),

-- The same line at different times: few, so that one aggregate finds them and no sort of all lines is needed
-- (measured on 541,909 lines).
repeated_lines as (
    select
        source_relation,
        event_type,
        order_number,
        coalesce(product_id, '') as product_key,
        coalesce(quantity, 0) as quantity_key,
        amount,
        min(occurred_at) as first_line_at
    from lines
    where not is_web_claim and event_type in ('order', 'invoice') and order_number is not null
    group by
        source_relation, event_type, order_number, coalesce(product_id, ''), coalesce(quantity, 0), amount
    having {{ hours_between('min(occurred_at)', 'max(occurred_at)') }} >= 1
),

refund_claims as (
    select distinct
        original_order_number,
        source_relation
    from lines
    where event_type = 'refund' and original_order_number is not null
),

-- One claim: what one source says about one order number.
claims as (
    select
        order_number,
        source_relation,
        is_web_claim,
        min(occurred_at) as claimed_at,
        max(case when is_test then 1 else 0 end) as is_test
    from lines
    where event_type in ('order', 'invoice') and order_number is not null
    group by order_number, source_relation, is_web_claim
),

claim_steps as (
    select
        *,
        lag(claimed_at) over (
            partition by order_number order by claimed_at, is_web_claim, source_relation
        ) as previous_claimed_at
    from claims
),

claim_groups as (
    select
        order_number,
        source_relation,
        is_web_claim,
        claimed_at,
        is_test,
        sum(
            case
                when
                    previous_claimed_at is null
                    or {{ days_between('previous_claimed_at', 'claimed_at') }}
                    > {{ var('order_claim_window_days') }}
                    then 1
                else 0
            end
        ) over (
            partition by order_number order by claimed_at, is_web_claim, source_relation
            rows between unbounded preceding and current row
        ) as claim_group
    from claim_steps
),

winners as (
    select
        order_number,
        source_relation,
        is_web_claim,
        claim_group,
        is_test,
        first_value(source_relation) over (
            partition by order_number, claim_group order by is_web_claim, claimed_at, source_relation
            rows between unbounded preceding and unbounded following
        ) as counted_relation,
        first_value(is_web_claim) over (
            partition by order_number, claim_group order by is_web_claim, claimed_at, source_relation
            rows between unbounded preceding and unbounded following
        ) as is_counted_web_claim
    from claim_groups
),

own_orders as (
    select
        order_number,
        source_relation,
        is_web_claim,
        claim_group,
        is_test,
        is_counted_web_claim,
        case
            when
                not is_web_claim and not is_counted_web_claim
                and split_part(source_relation, ':', 1) = split_part(counted_relation, ':', 1)
                then source_relation
            else counted_relation
        end as counted_relation
    from winners
),

orders as (
    select
        order_number,
        source_relation,
        is_web_claim,
        claim_group,
        counted_relation,
        is_counted_web_claim,
        max(is_test) over (partition by order_number, claim_group, counted_relation) as is_test
    from own_orders
),

-- A refund finds its order in its own source, else where exactly one order has that number.
lone_orders as (
    select
        order_number,
        max(counted_relation) as counted_relation,
        max(is_test) as is_test
    from orders
    group by order_number
    having count(distinct claim_group) = 1 and count(distinct counted_relation) = 1
),

placed as (
    select
        lines.*,
        case
            when lines.event_type = 'refund' then coalesce(own.counted_relation, lone.counted_relation)
            else orders.counted_relation
        end as counted_relation,
        lines.is_test
        or coalesce(orders.is_test, own.is_test, lone.is_test, 0) = 1 as is_test_order,
        orders.is_counted_web_claim,
        -- Not the order's number but the number that the line speaks of: refunds name the order that they
        -- undo.
        case
            when lines.event_type = 'refund' then lines.original_order_number
            else lines.order_number
        end as spoken_order_number,
        repeated_lines.first_line_at,
        refund_claims.source_relation is not null as counted_relation_refunds,
        max(case when lines.event_type = 'order' and not lines.is_web_claim then 1 else 0 end) over ()
            as billing_reports_orders
    from lines
    left join orders
        on
            lines.order_number = orders.order_number
            and lines.source_relation = orders.source_relation
            and lines.is_web_claim = orders.is_web_claim
            and lines.event_type in ('order', 'invoice')
    left join orders as own
        on
            lines.original_order_number = own.order_number
            and lines.source_relation = own.source_relation
            and not own.is_web_claim
            and lines.event_type = 'refund'
    left join lone_orders as lone
        on lines.original_order_number = lone.order_number and lines.event_type = 'refund'
    left join refund_claims
        on
            lines.original_order_number = refund_claims.original_order_number
            and coalesce(own.counted_relation, lone.counted_relation) = refund_claims.source_relation
    left join repeated_lines
        on
            lines.source_relation = repeated_lines.source_relation
            and not lines.is_web_claim
            and lines.event_type = repeated_lines.event_type
            and lines.order_number = repeated_lines.order_number
            and coalesce(lines.product_id, '') = repeated_lines.product_key
            and coalesce(lines.quantity, 0) = repeated_lines.quantity_key
            and lines.amount = repeated_lines.amount
),

judged as (
    select
        *,
        case
            when is_test_order then 'test_order'
            -- counted_relation is that of an order's number: lines without one pass here.
            when
                event_type in ('order', 'invoice')
                and (counted_relation != source_relation or is_counted_web_claim != is_web_claim)
                then 'duplicate_claim'
            when is_web_claim and order_number is not null and claim_place > 1 then 'repeated_line'
            when {{ hours_between('first_line_at', 'occurred_at') }} >= 1 then 'repeated_line'
            when is_web_claim and order_number is null and billing_reports_orders = 1
                then 'unidentified_claim'
            when
                event_type = 'refund' and counted_relation is not null and counted_relation != source_relation
                and counted_relation_refunds
                then 'duplicate_claim'
        end as excluded_reason
    from placed
),

opportunity_references as (
    select
        source_record_id,
        max(opportunity_id) as opportunity_id,
        max(account_id) as account_id,
        max(person_id) as person_id
    from {{ ref('int_opportunities') }}
    group by source_record_id
    having count(*) = 1
),

resolved as (
    select
        judged.*,
        opportunity_references.opportunity_id as crm_opportunity_id,
        opportunity_references.account_id as opportunity_account_id,
        coalesce(
            by_customer.person_id, by_user.person_id, by_email.person_id, by_cookie.person_id,
            opportunity_references.person_id
        ) as person_id,
        {{ reporting_date('judged.occurred_at') }} as occurred_on
    from judged
    left join {{ ref('int_identity_map') }} as by_customer
        on
            by_customer.identifier_type = {{ identifier_type('billing_customer', 'judged.source_relation') }}
            and by_customer.identifier = judged.customer_id
    left join {{ ref('int_identity_map') }} as by_user
        on by_user.identifier_type = {{ identifier_type('user_id') }} and by_user.identifier = judged.user_id
    left join {{ ref('int_identity_map') }} as by_email
        on
            by_email.identifier_type = {{ identifier_type('email') }}
            and by_email.identifier = judged.customer_email_hash
    -- The cookie is the web tool's, whatever source the line came from.
    left join {{ ref('int_identity_lookup') }} as by_cookie
        on by_cookie.identifier_kind = 'cookie' and by_cookie.identifier = judged.anonymous_id
    left join opportunity_references
        on judged.opportunity_id = opportunity_references.source_record_id
),

converted as (
    select
        {{ surrogate_key([
            'resolved.source_relation', 'resolved.is_web_claim', 'resolved.revenue_event_id',
        ]) }} as revenue_event_id,
        {{ surrogate_key([
            'coalesce(resolved.counted_relation, resolved.source_relation)',
            'resolved.spoken_order_number',
            'case when resolved.spoken_order_number is null then resolved.revenue_event_id end',
        ]) }} as order_id,
        resolved.spoken_order_number as order_number,
        resolved.event_type,
        resolved.occurred_at,
        resolved.occurred_on,
        resolved.person_id,
        coalesce(resolved.opportunity_account_id, members.account_id) as account_id,
        coalesce(resolved.opportunity_account_id, members.account_id, resolved.person_id) as customer_id,
        resolved.product_id,
        resolved.product_name,
        resolved.quantity,
        {{ in_reporting_currency('resolved.amount', 'resolved.currency') }} as amount,
        {{ in_reporting_currency('resolved.discount_amount', 'resolved.currency') }} as discount_amount,
        {{ in_reporting_currency('resolved.tax_amount', 'resolved.currency') }} as tax_amount,
        {{ in_reporting_currency('resolved.shipping_amount', 'resolved.currency') }} as shipping_amount,
        {{ in_reporting_currency('resolved.cost_amount', 'resolved.currency') }} as cost_amount,
        resolved.amount as amount_original,
        resolved.currency as currency_original,
        resolved.country,
        case
            when resolved.subscription_id is not null
                then {{ surrogate_key(['resolved.source_relation', 'resolved.subscription_id']) }}
        end as own_subscription_id,
        resolved.crm_opportunity_id as own_opportunity_id,
        resolved.opportunity_id is not null as is_own_deal_billing,
        resolved.is_web_claim,
        resolved.excluded_reason is null as is_counted,
        resolved.excluded_reason,
        resolved.source_relation,
        resolved.revenue_event_id as source_record_id
    from resolved
    left join {{ ref('int_person_accounts') }} as members
        on resolved.person_id = members.person_id
    {{ fx_join('resolved.occurred_on', 'resolved.currency') }}
),

final as (
    select
        *,
        coalesce(own_subscription_id, max(own_subscription_id) over (partition by order_id))
            as subscription_id,
        coalesce(own_opportunity_id, max(own_opportunity_id) over (partition by order_id)) as opportunity_id,
        max(case when is_own_deal_billing then 1 else 0 end) over (partition by order_id) = 1
            as is_deal_billing
    from converted
)

select
    revenue_event_id,
    order_id,
    order_number,
    event_type,
    occurred_at,
    occurred_on,
    person_id,
    account_id,
    customer_id,
    product_id,
    product_name,
    quantity,
    amount,
    discount_amount,
    tax_amount,
    shipping_amount,
    cost_amount,
    amount_original,
    currency_original,
    country,
    subscription_id,
    opportunity_id,
    is_deal_billing,
    case
        when is_deal_billing then opportunity_id
        when subscription_id is not null then subscription_id
        else order_id
    end as billing_reference,
    is_web_claim,
    is_counted,
    excluded_reason,
    source_relation,
    source_record_id
from final
