{#
What a holder brings: an owner the own deals, a team those of its owners, `all` those of the teams that have a quota.
#}
{% set types = ['new_business', 'expansion', 'renewal'] %}

with quotas as (
    select * from {{ ref('int_quotas') }}
    where period_start <= {{ as_of_date() }}
),

opportunities as (
    select * from {{ ref('fct_opportunities') }}
),

activity as (
    select * from {{ ref('sales_activity') }}
),

won as (
    select * from opportunities
    where is_won and closed_at <= {{ as_of() }}
),

brought as (
    select 'bookings' as metric, owner_id, team, closed_on as brought_on, amount as value from won
    union all
    {% for type in types %}
    select '{{ type }}_bookings' as metric, owner_id, team, closed_on as brought_on, amount as value
    from won
    where opportunity_type = '{{ type }}'
    union all
    {% endfor %}
    select 'arr' as metric, owner_id, team, closed_on as brought_on, arr as value from won
    union all
    select 'deals_won' as metric, owner_id, team, closed_on as brought_on, 1 as value from won
    union all
    select 'pipeline_created' as metric, owner_id, team, created_on as brought_on, amount as value
    from opportunities
    where created_at <= {{ as_of() }}
    union all
    select 'opportunities_created' as metric, owner_id, team, created_on as brought_on, 1 as value
    from opportunities
    where created_at <= {{ as_of() }}
),

by_owner as (
    {% for grain in forecast_grains() %}
    select
        '{{ grain }}' as period_grain,
        {{ period_start(grain, 'brought_on') }} as period_start,
        metric,
        owner_id,
        team,
        sum(value) as value
    from brought
    group by {{ period_start(grain, 'brought_on') }}, metric, owner_id, team
    union all
    {% endfor %}
    select
        period_grain,
        period_start,
        'meetings_held' as metric,
        owner_id,
        team,
        meetings_held as value
    from activity
    where period_grain in ({{ quoted_list(forecast_grains()) }})
),

-- Who brings to whose quota.
matched as (
    select
        quotas.period_grain,
        quotas.period_start,
        quotas.metric,
        quotas.holder_type,
        quotas.holder_id,
        sum(by_owner.value) as value
    from quotas
    inner join by_owner
        on
            quotas.period_grain = by_owner.period_grain
            and quotas.period_start = by_owner.period_start
            and quotas.metric = by_owner.metric
            and quotas.holder_id
            = case when quotas.holder_type = 'owner' then by_owner.owner_id else by_owner.team end
    where quotas.holder_type <> 'all'
    group by
        quotas.period_grain,
        quotas.period_start,
        quotas.metric,
        quotas.holder_type,
        quotas.holder_id
),

actuals as (
    select * from matched
    union all
    select
        period_grain,
        period_start,
        metric,
        'all' as holder_type,
        'all' as holder_id,
        sum(value) as value
    from matched
    where holder_type = 'team'
    group by period_grain, period_start, metric
),

final as (
    select
        quotas.period_grain,
        quotas.period_start,
        quotas.period_end,
        quotas.metric,
        quotas.holder_type,
        quotas.holder_id,
        quotas.holder_name,
        quotas.team,
        quotas.period_end < {{ as_of_date() }} as is_complete,
        quotas.quota,
        cast(coalesce(actuals.value, 0) as decimal(19, 4)) as actual,
        least(
            {{ safe_divide(
                date_diff_days('quotas.period_start', as_of_date()) ~ ' + 1',
                date_diff_days('quotas.period_start', 'quotas.period_end') ~ ' + 1',
            ) }},
            1.0
        ) as elapsed_share
    from quotas
    left join actuals
        on
            quotas.period_grain = actuals.period_grain
            and quotas.period_start = actuals.period_start
            and quotas.metric = actuals.metric
            and quotas.holder_type = actuals.holder_type
            and quotas.holder_id = actuals.holder_id
)

select
    period_grain,
    period_start,
    period_end,
    metric,
    holder_type,
    holder_id,
    holder_name,
    team,
    is_complete,
    quota,
    actual,
    cast(quota - actual as decimal(19, 4)) as gap,
    {{ safe_divide('actual', 'quota') }} as attainment,
    elapsed_share,
    {{ safe_divide('actual', 'quota') }} < elapsed_share as is_behind
from final
