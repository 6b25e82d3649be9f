{# Billings and refunds by the credits of the conversion that they belong to (billing_reference). On the date
   basis conversion a line stands on its own day, so that a refund stands in its own month; on the basis
   touch it stands on the touch's day. A line that belongs to no conversion is `(unattributed)`: the totals
   are those of all lines. #}
with
lines as (
    select
        billing_reference,
        occurred_on,
        sum(case when event_type != 'refund' then cast(amount as double) else 0.0 end) as billings,
        sum(case when event_type = 'refund' then -cast(amount as double) else 0.0 end) as billings_refunded
    from {{ ref('int_revenue_events') }}
    where is_counted and occurred_at <= {{ as_of() }}
    group by billing_reference, occurred_on
),

conversions as (
    select
        conversion_id,
        case conversion_type
            when 'purchase' then order_id
            when 'subscription' then subscription_id
            when 'won' then opportunity_id
        end as billing_reference
    from {{ ref('fct_conversions') }}
    where conversion_type in ('purchase', 'subscription', 'won')
),

credited as (
    select
        lines.occurred_on,
        case
            when coalesce(attribution.touchpoint_id, '(unattributed)') = '(unattributed)'
                then lines.occurred_on
            else attribution.touched_on
        end as touched_on,
        coalesce(attribution.channel, '(unattributed)') as channel,
        {%- for model in attribution_models() %}
        coalesce(attribution.credit_{{ model }}, 1.0) as credit_{{ model }},
        {%- endfor %}
        lines.billings,
        lines.billings_refunded
    from lines
    left join conversions
        on lines.billing_reference = conversions.billing_reference
    left join {{ ref('fct_attribution') }} as attribution
        on conversions.conversion_id = attribution.conversion_id
),

dated as (
    {%- for basis, date_expression in [
        ('conversion', 'occurred_on'), ('touch', 'touched_on')
    ] %}
    select
        '{{ basis }}' as date_basis,
        {{ date_expression }} as date,
        {%- for model in attribution_models() %}
        {{ exact_sum("credit_" ~ model ~ " * billings") }} as billings_{{ model }},
        {{ exact_sum("credit_" ~ model ~ " * billings_refunded") }} as billings_refunded_{{ model }},
        {%- endfor %}
        channel
    from credited
    group by {{ date_expression }}, channel
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

final as (
    {%- for model in attribution_models() %}
    select
        date_basis,
        date,
        channel,
        '{{ model }}' as model,
        billings_{{ model }} as billings,
        billings_refunded_{{ model }} as billings_refunded
    from dated
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
)

select
    date_basis,
    date,
    channel,
    model,
    billings,
    billings_refunded
from final
where billings != 0 or billings_refunded != 0
