{{ config(enabled=provides('files', 'control_totals')) }}

-- Rows per entity and day of its own time; spend and signed amounts per currency.
{% set entities = [
    ('ad_performance', 'date'),
    ('ad_clicks', 'clicked_at'),
    ('costs', 'period_start'),
    ('web_events', 'occurred_at'),
    ('email_events', 'occurred_at'),
    ('offline_touches', 'occurred_at'),
    ('crm_contacts', 'created_at'),
    ('crm_accounts', 'created_at'),
    ('crm_opportunities', 'created_at'),
    ('crm_opportunity_contacts', 'added_at'),
    ('crm_stage_history', 'changed_at'),
    ('crm_activities', 'occurred_at'),
    ('revenue_events', 'occurred_at'),
    ('subscriptions', 'valid_from'),
    ('consent_events', 'occurred_at'),
    ('survey_responses', 'occurred_at'),
    ('incrementality_tests', 'date_from'),
    ('fx_rates', 'date'),
] %}
{% set sums = [
    ('ad_performance', 'spend', 'spend', 'date'),
    ('revenue_events', 'amount', 'amount', 'occurred_at'),
    ('costs', 'amount', 'amount', 'period_start'),
] %}
with counted as (
    select
        cast(null as {{ text_type() }}) as source_relation,
        cast(null as {{ text_type() }}) as entity,
        cast(null as {{ text_type() }}) as measure,
        cast(null as date) as date,
        cast(null as {{ text_type() }}) as currency,
        cast(null as decimal(19, 4)) as total,
        cast(null as {{ text_type() }}) as _dlt_load_id
    from (select 1 as one) as nothing
    where 1 = 0
    {% for entity, moment in entities if provides('files', entity) -%}
    union all
    select
        source_relation, '{{ entity }}' as entity, 'rows' as measure, cast({{ moment }} as date) as date,
        null as currency, count(*) as total, max(_load_id) as _dlt_load_id
    from {{ ref('stg_files__' ~ entity) }}
    where {{ moment }} is not null
    group by source_relation, cast({{ moment }} as date)
    {% endfor -%}
    {% for entity, measure, column, moment in sums if provides('files', entity) -%}
    union all
    select
        source_relation, '{{ entity }}' as entity, '{{ measure }}' as measure,
        cast({{ moment }} as date) as date,
        upper(currency) as currency, sum({{ column }}) as total, max(_load_id) as _dlt_load_id
    from {{ ref('stg_files__' ~ entity) }}
    group by source_relation, cast({{ moment }} as date), upper(currency)
    {% endfor -%}
),

final as (
    select counted.*, null as _slice from counted
)

{{ conform('control_totals', 'final', provided=['entity', 'measure', 'date', 'currency', 'total']) }}
