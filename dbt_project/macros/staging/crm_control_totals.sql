{#
The control totals of a CRM: rows per entity and day of its own time, counted as staged; the amounts of opportunities
on the day of their creation. `entities`: pairs of an entity and the column of its time.
#}
{% macro crm_control_totals(system, entities) -%}
with counted as (
    {% for entity, moment in entities -%}
    select
        source_relation,
        '{{ entity }}' as entity,
        'rows' as measure,
        cast({{ moment }} as date) as date,
        cast(null as {{ text_type() }}) as currency,
        cast(count(*) as decimal(19, 4)) as total,
        max(_load_id) as _dlt_load_id
    from {{ ref('stg_' ~ system ~ '__' ~ entity) }}
    group by source_relation, cast({{ moment }} as date)
    union all
    {% endfor -%}
    select
        source_relation,
        'crm_opportunities' as entity,
        'amount' as measure,
        cast(created_at as date) as date,
        currency,
        sum(amount) as total,
        max(_load_id) as _dlt_load_id
    from {{ ref('stg_' ~ system ~ '__crm_opportunities') }}
    where amount is not null and not is_deleted
    group by source_relation, cast(created_at as date), currency
),

final as (
    select *, null as _slice from counted
    where date is not null
)

{{ conform('control_totals', 'final', provided=['entity', 'measure', 'date', 'currency', 'total']) }}
{%- endmacro %}
