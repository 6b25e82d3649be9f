{% set segments = {
    'all': ("'(all)'", "'(all)'"),
    'owner': ("coalesce(owner_id, '(not set)')", "'(all)'"),
    'channel': ("'(all)'", 'channel'),
    'owner_channel': ("coalesce(owner_id, '(not set)')", 'channel'),
} %}

with handoffs as (
    select * from {{ ref('int_handoffs') }}
),

judged as (
    select
        handoffs.*,
        is_passed and coalesce(worked_at, {{ as_of() }}) <= sla_due_at as is_within_sla,
        is_passed and coalesce(worked_at, {{ as_of() }}) > sla_due_at as is_beyond_sla
    from handoffs
),

segmented as (
    {% for grain in report_grains() %}
    {% set last_grain = loop.last %}
    {% for segment, dimensions in segments.items() %}
    select
        '{{ grain }}' as period_grain,
        {{ period_start(grain, 'handed_on') }} as period_start,
        '{{ segment }}' as segment,
        {{ dimensions[0] }} as segment_owner_id,
        {{ dimensions[1] }} as segment_channel,
        handoff_type,
        is_passed,
        outcome,
        rejection_reason,
        case when is_passed then first_response_at end as first_response_at,
        case when is_passed then speed_to_lead_hours end as speed_to_lead_hours,
        case when is_passed then speed_to_lead_business_hours end as speed_to_lead_business_hours,
        case
            when is_passed and outcome = 'accepted' then {{ hours_between('handed_at', 'decided_at') }}
        end as hours_to_acceptance,
        is_within_sla,
        is_beyond_sla
    from judged
    {% if not (last_grain and loop.last) %}union all{% endif %}
    {% endfor %}
    {% endfor %}
),

counted as (
    select
        period_grain,
        period_start,
        handoff_type,
        segment,
        segment_owner_id as owner_id,
        segment_channel as channel,
        cast(count(*) as bigint) as qualified,
        {% for outcome in ['accepted', 'rejected', 'recycled', 'open'] %}
        cast(count(*) filter (where is_passed and outcome = '{{ outcome }}') as bigint)
            as {{ outcome }}_count,
        {% endfor %}
        cast(count(*) filter (where is_passed) as bigint) as passed,
        cast(count(*) filter (where is_passed and rejection_reason = '(not set)') as bigint)
            as rejected_without_reason,
        cast(count(first_response_at) as bigint) as responded,
        cast(count(*) filter (where is_within_sla) as bigint) as within_sla,
        cast(count(*) filter (where is_beyond_sla) as bigint) as beyond_sla,
        percentile_cont(0.5) within group (order by speed_to_lead_hours) as median_speed_to_lead_hours,
        percentile_cont(0.9) within group (order by speed_to_lead_hours) as p90_speed_to_lead_hours,
        percentile_cont(0.5) within group (order by speed_to_lead_business_hours)
            as median_speed_to_lead_business_hours,
        percentile_cont(0.9) within group (order by speed_to_lead_business_hours)
            as p90_speed_to_lead_business_hours,
        percentile_cont(0.5) within group (order by hours_to_acceptance) as median_hours_to_acceptance
    from segmented
    group by period_grain, period_start, handoff_type, segment, segment_owner_id, segment_channel
),

reason_counts as (
    select
        period_grain,
        period_start,
        handoff_type,
        segment,
        segment_owner_id as owner_id,
        segment_channel as channel,
        concat(rejection_reason, ': ', cast(count(*) as {{ text_type() }})) as reason
    from segmented
    where is_passed and outcome = 'rejected'
    group by
        period_grain, period_start, handoff_type, segment, segment_owner_id, segment_channel, rejection_reason
),

reasons as (
    select
        period_grain,
        period_start,
        handoff_type,
        segment,
        owner_id,
        channel,
        {{ sorted_json_list('reason') }} as rejection_reasons
    from reason_counts
    group by period_grain, period_start, handoff_type, segment, owner_id, channel
)

select
    cast(counted.period_grain as {{ text_type() }}) as period_grain,
    counted.period_start,
    counted.handoff_type,
    cast(counted.segment as {{ text_type() }}) as segment,
    counted.owner_id,
    counted.channel,
    counted.qualified,
    counted.passed,
    counted.accepted_count as accepted,
    counted.rejected_count as rejected,
    counted.recycled_count as recycled,
    counted.open_count as open,
    counted.rejected_without_reason,
    coalesce(reasons.rejection_reasons, '[]') as rejection_reasons,
    {{ safe_divide('counted.accepted_count', 'counted.passed') }} as acceptance_rate,
    {{ safe_divide('counted.rejected_count', 'counted.passed') }} as rejection_rate,
    counted.responded,
    counted.median_speed_to_lead_hours,
    counted.p90_speed_to_lead_hours,
    counted.median_speed_to_lead_business_hours,
    counted.p90_speed_to_lead_business_hours,
    counted.median_hours_to_acceptance,
    counted.within_sla,
    counted.beyond_sla,
    {{ safe_divide('counted.within_sla', 'counted.within_sla + counted.beyond_sla') }} as sla_rate
from counted
left join reasons
    on
        counted.period_grain = reasons.period_grain
        and counted.period_start = reasons.period_start
        and counted.handoff_type = reasons.handoff_type
        and counted.segment = reasons.segment
        and counted.owner_id = reasons.owner_id
        and counted.channel = reasons.channel
