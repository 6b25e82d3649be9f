with
conversion_touches as (
    select
        conversion_id,
        max(touch_count) as touches,
        max(days_to_conversion) as days,
        min_by(channel, touch_position) as first_touch_channel
    from {{ ref('fct_attribution') }}
    group by conversion_id
),

buckets as (
    select
        measure,
        bucket,
        from_amount,
        row_number() over (partition by measure order by from_amount) as bucket_order,
        lead(from_amount) over (partition by measure order by from_amount) as below_amount
    from {{ ref('conversion_buckets') }}
),

measured as (
    {%- for measure in ['touches', 'days'] %}
    {%- for channel in ['conversion_touches.first_touch_channel', "'(all)'"] %}
    select
        conversions.converted_on,
        conversions.conversion_type,
        conversions.value,
        {{ channel }} as first_touch_channel,
        '{{ measure }}' as measure,
        cast(conversion_touches.{{ measure }} as double) as amount
    from {{ ref('fct_conversions') }} as conversions
    inner join conversion_touches on conversions.conversion_id = conversion_touches.conversion_id
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

bucketed as (
    select
        measured.*,
        -- What nobody touched has no days.
        coalesce(buckets.bucket, '(unattributed)') as bucket,
        coalesce(buckets.bucket_order, 0) as bucket_order
    from measured
    left join buckets
        on
            measured.measure = buckets.measure
            and measured.amount >= buckets.from_amount
            and (buckets.below_amount is null or measured.amount < buckets.below_amount)
),

in_periods as (
    {%- for grain in ['week', 'month', 'fiscal_quarter'] %}
    select
        '{{ grain }}' as period_grain,
        {{ period_start(grain, 'converted_on') }} as period_start,
        conversion_type,
        first_touch_channel,
        measure,
        bucket,
        bucket_order,
        amount,
        value
    from bucketed
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

summaries as (
    select
        period_grain,
        period_start,
        conversion_type,
        first_touch_channel,
        measure,
        count(*) as conversions,
        round(avg(amount), 6) as average,
        round(percentile_cont(0.5) within group (order by amount), 6) as median,
        round(percentile_cont(0.9) within group (order by amount), 6) as p90
    from in_periods
    group by period_grain, period_start, conversion_type, first_touch_channel, measure
),

counted as (
    select
        period_grain,
        period_start,
        conversion_type,
        first_touch_channel,
        measure,
        bucket,
        bucket_order,
        count(*) as conversions,
        case when count(value) = count(*) then sum(value) end as value
    from in_periods
    group by period_grain, period_start, conversion_type, first_touch_channel, measure, bucket, bucket_order
),

final as (
    select
        counted.*,
        {{ safe_divide('counted.conversions', 'summaries.conversions') }} as share_of_conversions,
        {{ safe_divide(
            'sum(counted.conversions) over (
                partition by
                    counted.period_grain, counted.period_start, counted.conversion_type,
                    counted.first_touch_channel, counted.measure
                order by counted.bucket_order
                rows between unbounded preceding and current row
            )',
            'summaries.conversions',
        ) }} as cumulative_share,
        summaries.average as group_average,
        summaries.median as group_median,
        summaries.p90 as group_p90
    from counted
    inner join summaries
        on
            counted.period_grain = summaries.period_grain
            and counted.period_start = summaries.period_start
            and counted.conversion_type = summaries.conversion_type
            and counted.first_touch_channel = summaries.first_touch_channel
            and counted.measure = summaries.measure
)

select
    period_grain,
    period_start,
    conversion_type,
    first_touch_channel,
    measure,
    bucket,
    cast(bucket_order as bigint) as bucket_order,
    cast(conversions as bigint) as conversions,
    cast(value as decimal(19, 4)) as value,
    share_of_conversions,
    cumulative_share,
    group_average,
    group_median,
    group_p90
from final
