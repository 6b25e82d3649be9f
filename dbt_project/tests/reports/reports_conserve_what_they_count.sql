-- Conservation: every conversion is in each form of the paths and in each distribution of touches and days;
-- every e-mail event is counted once; every visit of people is an entry of one piece of content; identifiers
-- less merges are persons, by kind and in all.
with
conversions as (
    select
        conversion_type,
        count(*) as conversions
    from {{ ref('fct_conversions') }}
    group by conversion_type
),

expected as (
    {%- for transform in
        ['unique', 'exposure', 'first', 'frequency', 'remove_if_not_all', 'remove_if_last_and_not_all'] %}
    select
        'attribution_paths {{ transform }}' as report,
        conversion_type as part,
        conversions as total
    from conversions
    union all
    {%- endfor %}
    {%- for grain in ['week', 'month', 'fiscal_quarter'] %}
    {%- for measure in ['touches', 'days'] %}
    select
        'attribution_touches_to_conversion {{ grain }} {{ measure }}' as report,
        conversion_type as part,
        conversions as total
    from conversions
    union all
    {%- endfor %}
    select
        'content_performance {{ grain }}' as report,
        'entries' as part,
        count(*) as total
    from {{ ref('fct_sessions') }}
    where not is_bot and not is_internal
    union all
    {%- endfor %}
    select
        'email_performance' as report,
        'events' as part,
        count(*) as total
    from {{ ref('int_email_events_unioned') }}
    where lower(trim(event_type)) <> 'delivered'
    union all
    select
        'identity_quality' as report,
        identifier_kind as part,
        count(*) as total
    from {{ ref('int_identity_map') }}
    group by identifier_kind
    union all
    select
        'identity_quality' as report,
        '(all)' as part,
        count(*) as total
    from {{ ref('int_identity_map') }}
    union all
    select
        'identity_quality' as report,
        'persons' as part,
        count(distinct person_id) as total
    from {{ ref('int_identity_map') }}
),

found as (
    select
        'attribution_paths ' || path_transform as report,
        conversion_type as part,
        sum(conversions) as total
    from {{ ref('attribution_paths') }}
    group by path_transform, conversion_type
    union all
    select
        'attribution_touches_to_conversion ' || period_grain || ' ' || measure as report,
        conversion_type as part,
        sum(conversions) as total
    from {{ ref('attribution_touches_to_conversion') }}
    where first_touch_channel = '(all)'
    group by period_grain, measure, conversion_type
    union all
    select
        'content_performance ' || period_grain as report,
        'entries' as part,
        sum(entries) as total
    from {{ ref('content_performance') }}
    where touchpoint_type = 'web_session'
    group by period_grain
    union all
    select
        'email_performance' as report,
        'events' as part,
        sum(
            sent + bounced + opened + opened_by_machine + clicked + unsubscribed + complained + other_events
        ) as total
    from {{ ref('email_performance') }}
    union all
    select
        'identity_quality' as report,
        identifier_kind as part,
        sum(identifiers) as total
    from {{ ref('identity_quality') }}
    group by identifier_kind
    union all
    select
        'identity_quality' as report,
        'persons' as part,
        sum(identifiers - merged_identifiers) as total
    from {{ ref('identity_quality') }}
    where identifier_kind <> '(all)'
)

select
    coalesce(expected.report, found.report) as report,
    coalesce(expected.part, found.part) as part,
    expected.total as expected_total,
    found.total as found_total
from expected
full outer join found
    on expected.report = found.report and expected.part = found.part
where coalesce(expected.total, 0) <> coalesce(found.total, 0)
