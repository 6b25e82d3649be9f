{# Budgets are spread evenly over the days of their line and added up by period, so that a week or quarter can
   be read that no line was written for. Only complete days count (those before as_of's own): the day that
   runs is not over in any account. What a period will end at: what was spent, and the days that are left at
   the pace of the channel's latest complete days. #}
with
budgets as (
    select
        budgets.channel,
        budgets.period_start,
        budgets.period_end,
        {{ in_reporting_currency('budgets.amount', 'budgets.currency') }} as amount
    from {{ ref('budgets') }} as budgets
    -- A plan for a day that has no rate yet is taken at the latest one.
    {{ fx_join('least(budgets.period_start, ' ~ as_of_date() ~ ')', 'budgets.currency') }}
),

ad_days as (
    select
        date,
        coalesce(channel, '(not set)') as channel,
        case when count(spend) = count(*) then sum(cast(spend as double)) end as spend
    from {{ ref('fct_ad_performance_daily') }}
    where date < {{ as_of_date() }}
    group by date, coalesce(channel, '(not set)')
),

days as (
    {{ day_spine(
        "(select coalesce(min(period_start), cast('2000-01-01' as date)) from budgets)",
        "(select coalesce(max(period_end), cast('2000-01-01' as date)) from budgets)"
    ) }}
),

daily as (
    select
        days.date_day as date,
        budgets.channel,
        cast(budgets.amount as double)
        / cast({{ date_diff_days('budgets.period_start', 'budgets.period_end') }} + 1 as double) as budget,
        0.0 as spend,
        1 as planned
    from budgets
    inner join days
        on days.date_day between budgets.period_start and budgets.period_end
    union all
    select
        date,
        channel,
        0.0 as budget,
        spend,
        0 as planned
    from ad_days
),

paces as (
    select
        channel,
        case when count(spend) = count(*) then sum(spend) end
        / cast(
            least(
                {{ date_diff_days('min(first_date)', as_of_date()) }},
                {{ var('budget_pace_days') }}
            ) as double
        ) as daily_pace
    from (
        select
            ad_days.*,
            min(date) over (partition by channel) as first_date
        from ad_days
    ) as dated
    where {{ date_diff_days('date', as_of_date()) }} <= {{ var('budget_pace_days') }}
    group by channel
),

periods as (
    {%- for grain in ['week', 'month', 'fiscal_quarter'] %}
    select
        '{{ grain }}' as period_grain,
        {{ period_start(grain, 'date') }} as period_start,
        channel,
        max(planned) = 1 as has_budget,
        case when count(budget) = count(*) then sum(budget) end as budget,
        case when count(spend) = count(*) then sum(spend) end as spend_to_date,
        case
            when count(budget) = count(*)
                then sum(case when date < {{ as_of_date() }} then budget else 0.0 end)
        end as expected_by_now
    from daily
    group by {{ period_start(grain, 'date') }}, channel
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

bounded as (
    select
        *,
        case period_grain
            when 'week' then {{ add_days('period_start', 7) }}
            when 'month' then {{ add_months('period_start', 1) }}
            else {{ add_months('period_start', 3) }}
        end as next_period_start
    from periods
),

counted as (
    select
        bounded.*,
        {{ date_diff_days('bounded.period_start', 'bounded.next_period_start') }} as days_in_period,
        greatest(
            0,
            {{ date_diff_days(
                'greatest(bounded.period_start, ' ~ as_of_date() ~ ')', 'bounded.next_period_start'
            ) }}
        ) as days_left,
        -- No recent spend is a pace of nothing, an unknown amount is an unknown pace.
        case when paces.channel is null then 0.0 else paces.daily_pace end as daily_pace
    from bounded
    left join paces
        on bounded.channel = paces.channel
),

final as (
    select
        *,
        case when days_left = 0 then 0.0 else days_left * daily_pace end as spend_to_come
    from counted
)

select
    period_grain,
    period_start,
    {{ add_days('next_period_start', -1) }} as period_end,
    channel,
    has_budget,
    cast(days_in_period as bigint) as days_in_period,
    cast(days_in_period - days_left as bigint) as days_elapsed,
    {{ to_money('budget') }} as budget,
    {{ to_money('spend_to_date') }} as spend_to_date,
    {{ to_money('expected_by_now') }} as expected_by_now,
    {{ to_money('spend_to_date + spend_to_come') }} as projected_end,
    {{ to_money('spend_to_date + spend_to_come - budget') }} as projected_difference,
    {{ safe_divide('spend_to_date', 'expected_by_now') }} as pace,
    case
        when not has_budget then 'unplanned'
        when budget is null or spend_to_date is null then 'unknown'
        when days_left = days_in_period then 'not_begun'
        when spend_to_date > expected_by_now * (1 + {{ var('budget_pace_tolerance') }}) then 'over'
        when spend_to_date < expected_by_now * (1 - {{ var('budget_pace_tolerance') }}) then 'under'
        else 'on_track'
    end as pace_status,
    days_left = 0 as is_complete
from final
