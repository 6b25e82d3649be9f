{{ config(
    materialized='incremental',
    incremental_strategy='rewrite',
    on_schema_change='append_new_columns',
    meta={'rewrite': [{'changes': 'int_changed_web_events', 'keys': ['source_relation', 'anonymous_id']}]},
) }}
-- depends_on: {{ ref('int_changed_web_events') }}

with events as (
    select
        source_relation,
        anonymous_id,
        user_id,
        email_hash,
        email_domain,
        occurred_at
    from {{ ref('int_web_events_unioned') }} as web_events
    {% if is_rewrite() %}
    where exists (
            select 1
            from {{ ref('int_changed_web_events') }} as changed
            where
                changed.source_relation = web_events.source_relation
                and changed.anonymous_id = web_events.anonymous_id
        )
        and web_events.occurred_at >= {{ visitors_since(ref('int_changed_web_events')) }}
    {% endif %}
),

final as (
    select
        source_relation,
        anonymous_id,
        user_id,
        email_hash,
        max(email_domain) as email_domain,
        min(occurred_at) as first_seen_at,
        max(occurred_at) as last_seen_at
    from events
    group by source_relation, anonymous_id, user_id, email_hash
)

select
    source_relation,
    anonymous_id,
    user_id,
    email_hash,
    email_domain,
    first_seen_at,
    last_seen_at
from final
