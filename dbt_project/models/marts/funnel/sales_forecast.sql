{#
What a period will bring, as a forecast date could know it: what was won in it before, plus every open deal that is due
in it times its chance (int_forecast_deals), plus what deals not yet created have brought in comparable past periods:
won in the period, created after the same day of it (or as many days before it). Overdue deals, and deals without a
close date, fall in the present period. For periods that are over, what came stands beside it.
#}
{% set grains = forecast_grains() %}
{% set past_periods = var('forecast_uncreated_periods') | int %}

with forecast_deals as (
    select
        deals.*,
        cast(deals.forecast_amount as double) * deals.win_rate as expected,
        coalesce(owners.team, '(not set)') as team
    from {{ ref('int_forecast_deals') }} as deals
    left join {{ ref('dim_owners') }} as owners on deals.owner_id = owners.owner_id
),

won_deals as (
    select
        coalesce(pipeline, '(not set)') as pipeline,
        opportunity_type,
        team,
        created_on,
        closed_on,
        amount
    from {{ ref('fct_opportunities') }}
    where is_won and closed_at <= {{ as_of() }}
),

first_days as (
    select min(date) as first_day from {{ ref('fct_pipeline_daily') }}
),

forecast_dates as (
    select
        forecast_date,
        max(closed_deals) as closed_deals
    from forecast_deals
    group by forecast_date
    having max(closed_deals) >= {{ var('forecast_min_closed_deals') }}
),

horizons as (
    {% for horizon in range(var('forecast_periods') | int) %}
    select {{ horizon }} as horizon
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

-- The periods that are forecast, with the last whole period before the forecast date.
periods as (
    {% for grain in grains %}
    {% set present = period_start(grain, 'forecast_dates.forecast_date') %}
    select
        forecast_dates.forecast_date,
        forecast_dates.closed_deals,
        '{{ grain }}' as period_grain,
        {{ grains[grain] }} as period_months,
        horizons.horizon,
        {{ add_months(present, 'horizons.horizon * ' ~ grains[grain]) }} as period_start,
        {{ add_days(add_months(present, '(horizons.horizon + 1) * ' ~ grains[grain]), -1) }} as period_end,
        {{ add_months(present, -grains[grain]) }} as last_period_start,
        {{ add_days(present, -1) }} as last_period_end
    from forecast_dates
    cross join horizons
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

-- For each of them comparable past ones: over before the forecast date, and inside the pipeline's history.
past_steps as (
    {% for step in range(1, past_periods + 1) %}
    select {{ step }} as step
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

{% set months_back = '-(periods.horizon + past_steps.step) * periods.period_months' %}
shifted as (
    select
        periods.*,
        past_steps.step,
        {{ add_months('periods.period_start', months_back) }} as past_start,
        {{ add_months(add_days('periods.period_end', 1), months_back) }} as past_end_excluded
    from periods
    cross join past_steps
),

{% set days_in = date_diff_days('shifted.period_start', 'shifted.forecast_date') %}
comparable as (
    select
        shifted.*,
        {{ add_days('shifted.past_start', days_in) }} as past_date
    from shifted
    inner join first_days on {{ add_days('shifted.past_start', days_in) }} >= first_days.first_day
),

comparable_counts as (
    select
        forecast_date,
        period_grain,
        period_start,
        count(*) as past_periods
    from comparable
    group by forecast_date, period_grain, period_start
),

-- Every amount of a forecast, by segment value; the sums of one past period stay apart for their variance.
open_parts as (
    select
        periods.forecast_date,
        periods.period_grain,
        periods.period_start,
        deals.pipeline,
        deals.opportunity_type,
        deals.team,
        'open' as part,
        0 as step,
        coalesce(deals.amount, 0) as amount,
        deals.expected,
        deals.expected * deals.forecast_amount * (1 - deals.win_rate) as variance,
        coalesce(deals.amount, 0) * deals.crm_probability as by_crm
    from periods
    inner join forecast_deals as deals
        on
            periods.forecast_date = deals.forecast_date
            and deals.expected_on between periods.period_start and periods.period_end
),

won_parts as (
    {% set parts = {
        'won_to_date': ('periods', 'won_deals.closed_on between periods.period_start and least(periods.period_end, periods.forecast_date)'),
        'won_last_period': ('periods', 'won_deals.closed_on between periods.last_period_start and periods.last_period_end'),
        'actual': ('periods', 'periods.period_end < ' ~ as_of_date() ~ ' and won_deals.closed_on between periods.period_start and periods.period_end'),
        'uncreated': ('comparable', 'won_deals.closed_on >= periods.past_start and won_deals.closed_on < periods.past_end_excluded and won_deals.created_on > periods.past_date'),
    } %}
    {% for part, (relation, condition) in parts.items() %}
    select
        periods.forecast_date,
        periods.period_grain,
        periods.period_start,
        won_deals.pipeline,
        won_deals.opportunity_type,
        won_deals.team,
        '{{ part }}' as part,
        {{ 'periods.step' if part == 'uncreated' else '0' }} as step,
        coalesce(won_deals.amount, 0) as amount,
        cast(null as double) as expected,
        cast(null as double) as variance,
        cast(null as double) as by_crm
    from {{ relation }} as periods
    inner join won_deals on {{ condition }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

all_parts as (
    select * from open_parts
    union all
    select * from won_parts
),

stepped as (
    {% for segment, expression in forecast_segments().items() %}
    select
        forecast_date,
        period_grain,
        period_start,
        '{{ segment }}' as segment,
        {{ expression }} as segment_value,
        part,
        step,
        count(*) as deals,
        sum(amount) as amount,
        -- As decimals: their sums do not depend on the order of the rows.
        sum(cast(expected as decimal(28, 8))) as expected,
        sum(cast(variance as decimal(34, 6))) as variance,
        sum(cast(by_crm as decimal(28, 8))) as by_crm
    from all_parts
    group by forecast_date, period_grain, period_start, part, step{{ ', ' ~ expression if segment != 'all' }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

summed as (
    select
        forecast_date,
        period_grain,
        period_start,
        segment,
        segment_value,
        sum(case when part = 'open' then deals else 0 end) as open_deals,
        {% for part in ['open', 'won_to_date', 'won_last_period', 'actual', 'uncreated'] %}
        sum(case when part = '{{ part }}' then amount else 0 end) as {{ part }},
        {% endfor %}
        sum(
            case
                when part = 'uncreated'
                    then cast(cast(amount as double) * cast(amount as double) as decimal(34, 6))
                else 0
            end
        ) as uncreated_squares,
        cast(coalesce(sum(expected), 0) as double) as expected,
        cast(coalesce(sum(variance), 0) as double) as variance,
        cast(coalesce(sum(by_crm), 0) as double) as by_crm
    from stepped
    group by forecast_date, period_grain, period_start, segment, segment_value
),

forecast as (
    select
        summed.*,
        periods.horizon,
        periods.period_end,
        periods.closed_deals,
        periods.period_end < {{ as_of_date() }} as is_over,
        periods.last_period_start >= first_days.first_day as has_last_period,
        coalesce(comparable_counts.past_periods, 0) as past_periods,
        coalesce({{ safe_divide('summed.uncreated', 'comparable_counts.past_periods') }}, 0)
            as uncreated_mean,
        -- What one more period may bring: the spread of the past ones, and that their mean is a guess.
        case
            when comparable_counts.past_periods > 1
                then greatest(
                        cast(summed.uncreated_squares as double)
                        - cast(summed.uncreated as double) * cast(summed.uncreated as double)
                        / comparable_counts.past_periods,
                        0
                    )
                    / (comparable_counts.past_periods - 1)
                    * (1 + 1.0 / comparable_counts.past_periods)
            else 0
        end as uncreated_variance
    from summed
    inner join periods
        on
            summed.forecast_date = periods.forecast_date
            and summed.period_grain = periods.period_grain
            and summed.period_start = periods.period_start
    cross join first_days
    left join comparable_counts
        on
            summed.forecast_date = comparable_counts.forecast_date
            and summed.period_grain = comparable_counts.period_grain
            and summed.period_start = comparable_counts.period_start
),

added as (
    select
        forecast.*,
        cast(won_to_date as double) + expected + uncreated_mean as total,
        {{ var('forecast_interval_z') }} * sqrt(variance + uncreated_variance) as half_width
    from forecast
),

-- The formula takes deals for independent and their amounts for fixed. How much too narrow that has been is
-- read from the earlier forecasts whose periods were over on the forecast date; no interval is made narrower.
widening as (
    select
        later.forecast_date,
        later.period_grain,
        later.segment,
        later.segment_value,
        percentile_cont({{ var('forecast_interval_level') }}) within group (
            order by abs(earlier.total - cast(earlier.actual as double)) / earlier.half_width
        ) as factor
    from (select distinct forecast_date, period_grain, segment, segment_value from added) as later
    inner join added as earlier
        on
            later.period_grain = earlier.period_grain
            and later.segment = earlier.segment
            and later.segment_value = earlier.segment_value
            and later.forecast_date > earlier.period_end
            and earlier.half_width > 0
    group by later.forecast_date, later.period_grain, later.segment, later.segment_value
    having count(*) >= {{ var('forecast_interval_min_periods') }}
),

widened as (
    select
        added.*,
        greatest(coalesce(widening.factor, 1.0), 1.0) as interval_factor,
        added.half_width * greatest(coalesce(widening.factor, 1.0), 1.0) as widened_half_width
    from added
    left join widening
        on
            added.forecast_date = widening.forecast_date
            and added.period_grain = widening.period_grain
            and added.segment = widening.segment
            and added.segment_value = widening.segment_value
),

final as (
    select
        forecast_date,
        cast(period_grain as {{ text_type() }}) as period_grain,
        period_start,
        period_end,
        cast(horizon as bigint) as horizon,
        cast(segment as {{ text_type() }}) as segment,
        segment_value,
        forecast_date = {{ as_of_date() }} as is_current,
        cast(closed_deals as bigint) as closed_deals,
        cast(open_deals as bigint) as open_deals,
        cast(open as decimal(19, 4)) as open_amount,
        cast(won_to_date as decimal(19, 4)) as won_to_date,
        {{ to_money('expected') }} as expected_from_open,
        {{ to_money('uncreated_mean') }} as expected_from_uncreated,
        cast(past_periods as bigint) as comparable_periods,
        {{ to_money('total') }} as expected_amount,
        round(variance, 6) as variance,
        round(uncreated_variance, 6) as variance_from_uncreated,
        interval_factor,
        {{ to_money('greatest(total - widened_half_width, cast(won_to_date as double))') }} as expected_low,
        {{ to_money('total + widened_half_width') }} as expected_high,
        {{ to_money('cast(won_to_date as double) + by_crm') }} as naive_crm_amount,
        case when has_last_period then cast(won_last_period as decimal(19, 4)) end
            as naive_last_period_amount,
        case when is_over then cast(actual as decimal(19, 4)) end as actual_amount
    from widened
)

select
    forecast_date,
    period_grain,
    period_start,
    period_end,
    horizon,
    segment,
    segment_value,
    is_current,
    closed_deals,
    open_deals,
    open_amount,
    won_to_date,
    expected_from_open,
    expected_from_uncreated,
    comparable_periods,
    expected_amount,
    variance,
    variance_from_uncreated,
    interval_factor,
    expected_low,
    expected_high,
    naive_crm_amount,
    naive_last_period_amount,
    actual_amount,
    cast(expected_amount - actual_amount as decimal(19, 4)) as error,
    cast(naive_crm_amount - actual_amount as decimal(19, 4)) as error_naive_crm,
    cast(naive_last_period_amount - actual_amount as decimal(19, 4)) as error_naive_last_period,
    actual_amount between expected_low and expected_high as is_within_interval
from final
