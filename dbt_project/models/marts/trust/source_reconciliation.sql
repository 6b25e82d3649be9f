{# What the sources hold (counted in raw by staging, independently of the canonical mapping) against what
   came out here: rows of every entity, spend of ads, amounts of revenue, per day. A source that counts
   nothing is not listed. #}
{%- set ours = ['control_totals', 'quarantined_records'] %}
{%- set in_marts = ['revenue_events'] %}
with
source_totals as (
    select
        source_relation,
        entity,
        measure,
        date,
        coalesce(upper(currency), '(none)') as currency,
        sum(total) as total
    from {{ ref('int_control_totals_unioned') }}
    -- What a vendor's own report says (reported_...) is no count of raw: days and definitions differ.
    where measure in ('rows', 'spend', 'amount')
    group by source_relation, entity, measure, date, coalesce(upper(currency), '(none)')
),

warehouse_totals as (
    select
        source_relation,
        'ad_performance' as entity,
        'spend' as measure,
        date,
        currency_original as currency,
        cast(sum(spend_original) as decimal(19, 4)) as total
    from {{ ref('fct_ad_performance_daily') }}
    group by source_relation, date, currency_original
    union all
    select
        source_relation,
        'revenue_events' as entity,
        'rows' as measure,
        cast(occurred_at as date) as date,
        '(none)' as currency,
        cast(count(*) as decimal(19, 4)) as total
    from {{ ref('int_revenue_events') }}
    where not is_web_claim
    group by source_relation, cast(occurred_at as date)
    union all
    select
        source_relation,
        'revenue_events' as entity,
        'amount' as measure,
        cast(occurred_at as date) as date,
        currency_original as currency,
        cast(sum(amount_original) as decimal(19, 4)) as total
    from {{ ref('int_revenue_events') }}
    where not is_web_claim
    group by source_relation, cast(occurred_at as date), currency_original
    {%- for entity, definition in var('canonical_entities').items()
        if entity not in ours + in_marts and definition['time'] %}
    union all
    select
        source_relation,
        '{{ entity }}' as entity,
        'rows' as measure,
        cast({{ definition['time'] }} as date) as date,
        '(none)' as currency,
        cast(count(*) as decimal(19, 4)) as total
    from {{ ref('int_' ~ entity ~ '_unioned') }}
    group by source_relation, cast({{ definition['time'] }} as date)
    {%- set columns = definition['columns'] %}
    {%- if 'amount' in columns and 'currency' in columns %}
    union all
    select
        source_relation,
        '{{ entity }}' as entity,
        'amount' as measure,
        cast({{ definition['time'] }} as date) as date,
        coalesce(upper(currency), '(none)') as currency,
        cast(sum(amount) as decimal(19, 4)) as total
    from {{ ref('int_' ~ entity ~ '_unioned') }}
    where amount is not null{{ ' and not coalesce(is_deleted, false)' if 'is_deleted' in columns }}
    group by source_relation, cast({{ definition['time'] }} as date), coalesce(upper(currency), '(none)')
    {%- endif %}
    {%- endfor %}
),

-- Only what the source counts can be held against it.
counted as (
    select distinct
        source_relation,
        entity,
        measure
    from source_totals
),

compared as (
    select
        coalesce(source_totals.source_relation, warehouse_totals.source_relation) as source_relation,
        coalesce(source_totals.entity, warehouse_totals.entity) as entity,
        coalesce(source_totals.measure, warehouse_totals.measure) as measure,
        coalesce(source_totals.date, warehouse_totals.date) as date,
        coalesce(source_totals.currency, warehouse_totals.currency) as currency,
        coalesce(source_totals.total, 0) as source_total,
        coalesce(warehouse_totals.total, 0) as warehouse_total
    from source_totals
    full outer join warehouse_totals
        on
            source_totals.source_relation = warehouse_totals.source_relation
            and source_totals.entity = warehouse_totals.entity
            and source_totals.measure = warehouse_totals.measure
            and source_totals.date = warehouse_totals.date
            and source_totals.currency = warehouse_totals.currency
),

final as (
    select compared.*
    from compared
    inner join counted
        on
            compared.source_relation = counted.source_relation
            and compared.entity = counted.entity
            and compared.measure = counted.measure
)

select
    source_relation,
    entity,
    measure,
    date,
    currency,
    cast(source_total as decimal(19, 4)) as source_total,
    cast(warehouse_total as decimal(19, 4)) as warehouse_total,
    cast(warehouse_total - source_total as decimal(19, 4)) as difference,
    abs(warehouse_total - source_total) < 0.005 as is_reconciled
from final
