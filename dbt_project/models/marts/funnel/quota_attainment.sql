{#
What a holder brings: an owner the own deals, a team those of its owners, a source those that it sourced, `all` those
of the teams that have a quota.
#}
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

created as (
    select * from opportunities
    where created_at <= {{ as_of() }}
),

{% set measures = [
    ('bookings', 'won', 'closed_on', 'amount'),
    ('arr', 'won', 'closed_on', 'arr'),
    ('deals_won', 'won', 'closed_on', '1'),
    ('pipeline_created', 'created', 'created_on', 'amount'),
    ('opportunities_created', 'created', 'created_on', '1'),
] %}
brought as (
    {% for metric, relation, day, value in measures %}
    select
        '{{ metric }}' as metric,
        owner_id,
        team,
        sourced_by,
        {{ day }} as brought_on,
        {{ value }} as value
    from {{ relation }}
    union all
    {% endfor %}
    select
        opportunity_type || '_bookings' as metric,
        owner_id,
        team,
        sourced_by,
        closed_on as brought_on,
        amount as value
    from won
),

by_owner as (
    {% for grain in forecast_grains() %}
    select
        '{{ grain }}' as period_grain,
        {{ period_start(grain, 'brought_on') }} as period_start,
        metric,
        owner_id,
        team,
        sourced_by,
        sum(value) as value
    from brought
    group by {{ period_start(grain, 'brought_on') }}, metric, owner_id, team, sourced_by
    union all
    {% endfor %}
    select
        period_grain,
        period_start,
        'meetings_held' as metric,
        owner_id,
        team,
        cast(null as {{ text_type() }}) as sourced_by,
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
            and quotas.holder_id = case quotas.holder_type
                when 'owner' then by_owner.owner_id
                when 'team' then by_owner.team
                when 'source' then by_owner.sourced_by
            end
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
