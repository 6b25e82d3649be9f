{#
The control totals of an advertising platform: what it says itself that was spent, by the raw table `totals` (whose rows
need not be those of the unified table) with `amount` as SQL over it, in the currency that the raw table `accounts` names;
and the rows a day of its staging.
#}
{% macro ad_control_totals(system, totals, amount, accounts, currency) -%}
with totals as (
    select * from {{ source('raw_' ~ system, totals) }}
),

accounts as (
    select * from {{ source('raw_' ~ system, accounts) }}
),

spend as (
    select
        totals.source_relation,
        totals.date,
        upper(accounts.{{ currency }}) as currency,
        sum({{ amount }}) as total,
        max(totals._dlt_load_id) as _dlt_load_id
    from totals
    left join accounts on totals.source_relation = accounts.source_relation
    group by totals.source_relation, totals.date, upper(accounts.{{ currency }})
),

rows_a_day as (
    select
        source_relation,
        date,
        count(*) as total,
        max(_load_id) as _dlt_load_id
    from {{ ref('stg_' ~ system ~ '__ad_performance') }}
    group by source_relation, date
),

final as (
    select
        source_relation,
        'spend' as measure,
        date,
        currency,
        total,
        _dlt_load_id,
        null as _slice
    from spend
    union all
    select
        source_relation,
        'rows' as measure,
        date,
        null as currency,
        total,
        _dlt_load_id,
        null as _slice
    from rows_a_day
)

{{ conform('control_totals', 'final', provided={
    'entity': "'ad_performance'",
    'measure': 'measure',
    'date': 'date',
    'currency': 'currency',
    'total': 'total',
}) }}
{%- endmacro %}
