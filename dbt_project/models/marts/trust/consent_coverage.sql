with
events as (
    select
        source_relation,
        occurred_at,
        lower(consent_analytics) as consent_analytics,
        lower(consent_ads) as consent_ads
    from {{ ref('int_web_events_unioned') }}
),

counted as (
    select
        source_relation,
        {{ reporting_date('occurred_at') }} as date,
        consent_analytics,
        consent_ads,
        count(*) as events
    from events
    group by source_relation, {{ reporting_date('occurred_at') }}, consent_analytics, consent_ads
),

by_purpose as (
    select
        source_relation,
        date,
        'analytics' as purpose,
        consent_analytics as state,
        events
    from counted
    union all
    select
        source_relation,
        date,
        'ads' as purpose,
        consent_ads as state,
        events
    from counted
),

final as (
    select
        source_relation,
        date,
        purpose,
        sum(events) as events,
        sum(case when state = 'granted' then events else 0 end) as granted,
        sum(case when state in ('denied', 'withdrawn') then events else 0 end) as denied,
        sum(case when state is null or state not in ('granted', 'denied', 'withdrawn') then events else 0 end)
            as unknown
    from by_purpose
    group by source_relation, date, purpose
)

select
    source_relation,
    date,
    purpose,
    cast(events as bigint) as events,
    cast(granted as bigint) as granted,
    cast(denied as bigint) as denied,
    cast(unknown as bigint) as unknown,
    {{ safe_divide('granted', 'events') }} as granted_rate,
    {{ safe_divide('unknown', 'events') }} as unknown_rate
from final
