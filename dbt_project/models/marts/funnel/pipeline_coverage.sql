{#
Sales's own ratio: the whole amount of the open deals that are due in a period, over what the quota still asks for.
Overdue deals count for the present period, as in the forecast. NULL where nothing is left to ask for.
#}
with forecast_deals as (
    select * from {{ ref('int_forecast_deals') }}
),

quotas as (
    select * from {{ ref('int_quotas') }}
    where metric = 'bookings'
),

owners as (
    select
        owner_id,
        team
    from {{ ref('dim_owners') }}
),

won_deals as (
    select
        owner_id,
        team,
        closed_on,
        amount
    from {{ ref('fct_opportunities') }}
    where is_won and closed_at <= {{ as_of() }}
),

snapshot_dates as (
    select distinct forecast_date as snapshot_date from forecast_deals
),

-- The present period of each snapshot and those that the forecast looks at.
periods as (
    {% for grain, months in forecast_grains().items() %}
    {% set present = period_start(grain, 'snapshot_dates.snapshot_date') %}
    select
        snapshot_dates.snapshot_date,
        quotas.period_grain,
        quotas.period_start,
        quotas.period_end,
        {{ periods_between(grain, 'snapshot_dates.snapshot_date', 'quotas.period_start') }} as horizon,
        quotas.holder_type,
        quotas.holder_id,
        quotas.holder_name,
        quotas.team,
        quotas.quota
    from snapshot_dates
    inner join quotas
        on
            quotas.period_grain = '{{ grain }}'
            and quotas.period_end >= snapshot_dates.snapshot_date
            and quotas.period_start
            < {{ add_months(present, months * var('forecast_periods')) }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

-- What each owner has open and has won, for each period; then for the holders that the owner counts for.
amounts as (
    select
        periods.snapshot_date,
        periods.period_grain,
        periods.period_start,
        forecast_deals.owner_id,
        owners.team,
        count(*) as open_deals,
        sum(coalesce(forecast_deals.amount, 0)) as open_amount,
        sum(cast(coalesce(forecast_deals.amount, 0) as double) * forecast_deals.win_rate) as weighted_amount,
        cast(0 as decimal(38, 4)) as won_to_date
    from (select distinct snapshot_date, period_grain, period_start, period_end from periods) as periods
    inner join forecast_deals
        on
            periods.snapshot_date = forecast_deals.forecast_date
            and forecast_deals.expected_on between periods.period_start and periods.period_end
    left join owners on forecast_deals.owner_id = owners.owner_id
    group by
        periods.snapshot_date,
        periods.period_grain,
        periods.period_start,
        forecast_deals.owner_id,
        owners.team
    union all
    select
        periods.snapshot_date,
        periods.period_grain,
        periods.period_start,
        won_deals.owner_id,
        won_deals.team,
        0 as open_deals,
        cast(0 as decimal(38, 4)) as open_amount,
        cast(0 as double) as weighted_amount,
        sum(coalesce(won_deals.amount, 0)) as won_to_date
    from (select distinct snapshot_date, period_grain, period_start, period_end from periods) as periods
    inner join won_deals
        on
            won_deals.closed_on
            between periods.period_start and least(periods.period_end, periods.snapshot_date)
    group by
        periods.snapshot_date,
        periods.period_grain,
        periods.period_start,
        won_deals.owner_id,
        won_deals.team
),

quota_teams as (
    select distinct
        period_grain,
        period_start,
        team
    from quotas
    where holder_type = 'team'
),

attributed as (
    select
        snapshot_date,
        period_grain,
        period_start,
        'owner' as holder_type,
        owner_id as holder_id,
        open_deals,
        open_amount,
        weighted_amount,
        won_to_date
    from amounts
    union all
    select
        snapshot_date,
        period_grain,
        period_start,
        'team' as holder_type,
        team as holder_id,
        open_deals,
        open_amount,
        weighted_amount,
        won_to_date
    from amounts
    union all
    select
        amounts.snapshot_date,
        amounts.period_grain,
        amounts.period_start,
        'all' as holder_type,
        'all' as holder_id,
        amounts.open_deals,
        amounts.open_amount,
        amounts.weighted_amount,
        amounts.won_to_date
    from amounts
    inner join quota_teams
        on
            amounts.period_grain = quota_teams.period_grain
            and amounts.period_start = quota_teams.period_start
            and amounts.team = quota_teams.team
),

summed as (
    select
        snapshot_date,
        period_grain,
        period_start,
        holder_type,
        holder_id,
        sum(open_deals) as open_deals,
        sum(open_amount) as open_amount,
        sum(weighted_amount) as weighted_amount,
        sum(won_to_date) as won_to_date
    from attributed
    group by snapshot_date, period_grain, period_start, holder_type, holder_id
),

final as (
    select
        periods.*,
        cast(coalesce(summed.open_deals, 0) as bigint) as open_deals,
        cast(coalesce(summed.open_amount, 0) as decimal(19, 4)) as open_amount,
        {{ to_money('coalesce(summed.weighted_amount, 0)') }} as weighted_amount,
        cast(coalesce(summed.won_to_date, 0) as decimal(19, 4)) as won_to_date
    from periods
    left join summed
        on
            periods.snapshot_date = summed.snapshot_date
            and periods.period_grain = summed.period_grain
            and periods.period_start = summed.period_start
            and periods.holder_type = summed.holder_type
            and periods.holder_id = summed.holder_id
)

select
    snapshot_date,
    snapshot_date = {{ as_of_date() }} as is_current,
    period_grain,
    period_start,
    period_end,
    horizon,
    holder_type,
    holder_id,
    holder_name,
    team,
    quota,
    won_to_date,
    cast(quota - won_to_date as decimal(19, 4)) as remaining_quota,
    quota <= won_to_date as is_quota_met,
    open_deals,
    open_amount,
    weighted_amount,
    case when quota > won_to_date then {{ safe_divide('open_amount', 'quota - won_to_date') }} end
        as coverage,
    case when quota > won_to_date then {{ safe_divide('weighted_amount', 'quota - won_to_date') }} end
        as weighted_coverage
from final
