{{ config(
    materialized='incremental',
    incremental_strategy='rewrite',
    on_schema_change='append_new_columns',
    meta={'rewrite': [{
        'changes': 'int_changed_visitors',
        'keys': ['source_relation', 'anonymous_id'],
        'since': 'occurred_at',
    }]},
) }}
-- depends_on: {{ ref('int_changed_visitors') }} {{ ref('int_session_candidates') }}
{# The web and product events that some rule of conversion_rules names. The semi-join on the event's name
   comes first: it leaves a few per cent of the events for the conditions. #}
with
events as (
    select
        source_relation,
        event_id,
        occurred_at,
        anonymous_id,
        user_id,
        email_hash,
        session_id,
        event_name,
        page_url,
        order_id,
        product_id,
        value,
        currency,
        country,
        referral_code,
        person_id
    from {{ ref('int_session_candidates') if is_rewrite() else ref('int_web_events_sessionized') }}
    where
        not coalesce(is_bot, false)
        and not coalesce(is_internal, false)
        and lower(event_name) in (
            select lower(rules.value)
            from {{ ref('conversion_rules') }} as rules
            where rules.source = 'web_events' and rules.field = 'event_name' and rules.operator = 'equals'
        )
),

matched as (
    {{ matched_rules('web_events', 'events', ['source_relation', 'event_id'], {
        'event_name': 'subject_rows.event_name',
        'page_url': 'subject_rows.page_url',
        'product_id': 'subject_rows.product_id',
        'value': 'subject_rows.value',
        'country': 'subject_rows.country',
        'referral_code': 'subject_rows.referral_code',
    }) }}
),

final as (
    select
        matched.rule_id,
        matched.conversion_type,
        events.source_relation,
        events.event_id,
        events.occurred_at,
        events.anonymous_id,
        events.user_id,
        events.email_hash,
        events.session_id,
        events.event_name,
        events.order_id,
        events.product_id,
        events.value,
        events.currency,
        events.country,
        events.person_id
    from matched
    inner join events
        on matched.source_relation = events.source_relation and matched.event_id = events.event_id
)

select
    rule_id,
    conversion_type,
    source_relation,
    event_id,
    occurred_at,
    anonymous_id,
    user_id,
    email_hash,
    session_id,
    event_name,
    order_id,
    product_id,
    value,
    currency,
    country,
    person_id
from final
