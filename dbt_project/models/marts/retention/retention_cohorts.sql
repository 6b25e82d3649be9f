{#
A subject belongs to the cohort of its first period: of activity (customers, active_users) or of revenue
(revenue). Every cohort has a row for each period up to as_of, so that a period in which nobody came back is a
0.
#}
{% set segments = cohort_segments() %}

with activity as (
    select * from {{ ref('int_customer_periods') }}
),

traits as (
    select
        customer_id,
        channel,
        plan,
        country,
        first_product
    from {{ ref('int_customer_traits') }}
),

-- A user has the plan and the first product of his customer, and a channel and a country of his own.
subjects as (
    select
        'customer' as subject,
        customer_id as subject_id,
        channel,
        plan,
        country,
        first_product
    from traits
    union all
    select
        'user' as subject,
        persons.person_id as subject_id,
        persons.first_touch_channel as channel,
        traits.plan,
        persons.country,
        traits.first_product
    from {{ ref('dim_persons') }} as persons
    left join traits on coalesce(persons.account_id, persons.person_id) = traits.customer_id
),

by_basis as (
    select
        case when subject = 'user' then 'active_users' else 'customers' end as basis,
        activity.*
    from activity
    union all
    select
        'revenue' as basis,
        period_grain,
        subject,
        subject_id,
        period_start,
        revenue,
        refunds,
        refunds_of_orders,
        revenue > 0 as is_active
    from activity
    where subject = 'customer' and (revenue <> 0 or refunds <> 0)
),

with_cohort as (
    select
        by_basis.*,
        min(case when is_active then period_start end) over (
            partition by basis, period_grain, subject_id
        ) as cohort_period
    from by_basis
),

described as (
    select
        with_cohort.basis,
        with_cohort.period_grain,
        with_cohort.subject_id,
        with_cohort.cohort_period,
        with_cohort.period_start,
        with_cohort.revenue,
        with_cohort.refunds,
        with_cohort.refunds_of_orders,
        with_cohort.is_active,
        coalesce(subjects.channel, '(not set)') as channel,
        coalesce(subjects.plan, '(not set)') as plan,
        coalesce(subjects.country, '(not set)') as country,
        coalesce(subjects.first_product, '(not set)') as first_product
    from with_cohort
    left join subjects
        on with_cohort.subject = subjects.subject and with_cohort.subject_id = subjects.subject_id
    where with_cohort.period_start >= with_cohort.cohort_period
),

segmented as (
    {% for segment, column in segments.items() %}
    select
        basis,
        period_grain,
        cohort_period,
        period_start,
        '{{ segment }}' as segment,
        {{ column }} as segment_value,
        cast(sum(case when is_active then 1 else 0 end) as bigint) as active,
        cast(sum(revenue) as decimal(19, 4)) as revenue,
        cast(sum(refunds) as decimal(19, 4)) as refunds,
        cast(sum(refunds_of_orders) as decimal(19, 4)) as refunds_of_orders
    from described
    group by
        basis, period_grain, cohort_period, period_start, {{ column if segment != 'all' else 'basis' }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

cohorts as (
    select
        basis,
        period_grain,
        cohort_period,
        segment,
        segment_value,
        active as cohort_size,
        revenue as cohort_revenue
    from segmented
    where period_start = cohort_period
),

bounds as (
    select
        coalesce(min(cohort_period), {{ as_of_date() }}) as first_day,
        {{ as_of_date() }} as last_day
    from cohorts
),

days as (
    {{ day_spine('(select first_day from bounds)', '(select last_day from bounds)') }}
),

periods as (
    {% for grain in report_grains() %}
    select
        '{{ grain }}' as period_grain,
        {{ period_start(grain, 'date_day') }} as period_start,
        max({{ next_period_start(grain, period_start(grain, 'date_day')) }}) as next_start
    from days
    group by {{ period_start(grain, 'date_day') }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

grid as (
    select
        cohorts.basis,
        cohorts.period_grain,
        cohorts.cohort_period,
        cohorts.segment,
        cohorts.segment_value,
        cohorts.cohort_size,
        cohorts.cohort_revenue,
        periods.period_start,
        periods.next_start,
        row_number() over (
            partition by
                cohorts.basis,
                cohorts.period_grain,
                cohorts.cohort_period,
                cohorts.segment,
                cohorts.segment_value
            order by periods.period_start
        ) - 1 as periods_since
    from cohorts
    inner join periods
        on cohorts.period_grain = periods.period_grain and cohorts.cohort_period <= periods.period_start
),

final as (
    select
        grid.period_grain,
        grid.cohort_period,
        grid.periods_since,
        grid.basis,
        grid.segment,
        grid.segment_value,
        grid.period_start,
        grid.cohort_size,
        grid.cohort_revenue,
        coalesce(segmented.active, 0) as active,
        coalesce(segmented.revenue, cast(0 as decimal(19, 4))) as revenue,
        coalesce(segmented.refunds, cast(0 as decimal(19, 4))) as refunds,
        coalesce(segmented.refunds_of_orders, cast(0 as decimal(19, 4))) as refunds_of_orders,
        grid.next_start <= {{ as_of_date() }} as is_complete
    from grid
    left join segmented
        on
            grid.basis = segmented.basis
            and grid.period_grain = segmented.period_grain
            and grid.cohort_period = segmented.cohort_period
            and grid.period_start = segmented.period_start
            and grid.segment = segmented.segment
            and grid.segment_value = segmented.segment_value
)

select
    cast(period_grain as {{ text_type() }}) as period_grain,
    cohort_period,
    cast(periods_since as bigint) as periods_since,
    cast(basis as {{ text_type() }}) as basis,
    cast(segment as {{ text_type() }}) as segment,
    segment_value,
    period_start,
    cohort_size,
    active,
    revenue,
    refunds,
    cast(revenue - refunds_of_orders as decimal(19, 4)) as revenue_restated,
    case
        when basis = 'revenue' then {{ safe_divide('revenue', 'cohort_revenue') }}
        else {{ safe_divide('active', 'cohort_size') }}
    end as retention_rate,
    is_complete
from final
