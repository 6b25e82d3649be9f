{#
Quotas by month and fiscal quarter: lines that lie inside a period add up to it. A team without a line of its own has
the sum of its owners'; `all` is the sum of the teams, so that the same money is never counted twice. A source's plan
(pipeline that marketing is to bring) stands beside them. Lines for holders that the CRM does not know are left out; the
check quotas_can_be_measured names them.
#}
with quotas as (
    select * from {{ ref('quotas') }}
    where exists (select 1 from {{ ref('dim_owners') }})
),

owners as (
    select * from {{ ref('dim_owners') }}
),

teams as (
    select distinct team from owners
),

-- Money at the rate of the period's first day; of a period to come at today's.
converted as (
    select
        quotas.holder_type,
        quotas.holder,
        quotas.period_start,
        quotas.period_end,
        quotas.metric,
        case
            when quotas.currency is null then quotas.amount
            else {{ in_reporting_currency('quotas.amount', 'quotas.currency') }}
        end as quota
    from quotas
    {{ fx_join('least(quotas.period_start, ' ~ as_of_date() ~ ')', 'quotas.currency') }}
),

held as (
    select
        converted.period_start,
        converted.period_end,
        converted.metric,
        converted.holder_type,
        coalesce(owners.owner_id, converted.holder) as holder_id,
        coalesce(owners.owner_name, converted.holder) as holder_name,
        case
            when converted.holder_type = 'team' then converted.holder
            else coalesce(owners.team, '(not set)')
        end as team,
        converted.quota
    from converted
    left join owners on converted.holder_type = 'owner' and converted.holder = owners.source_record_id
    left join teams on converted.holder_type = 'team' and converted.holder = teams.team
    where
        owners.owner_id is not null
        or teams.team is not null
        or converted.holder_type = 'source'
),

in_periods as (
    {% for grain in forecast_grains() %}
    select
        '{{ grain }}' as period_grain,
        {{ period_start(grain, 'period_start') }} as period_start,
        metric,
        holder_type,
        holder_id,
        holder_name,
        team,
        sum(quota) as quota
    from held
    where {{ period_start(grain, 'period_start') }} = {{ period_start(grain, 'period_end') }}
    group by {{ period_start(grain, 'period_start') }}, metric, holder_type, holder_id, holder_name, team
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

team_quotas as (
    select
        period_grain,
        period_start,
        metric,
        team,
        coalesce(
            sum(case when holder_type = 'team' then quota end),
            sum(case when holder_type = 'owner' then quota end)
        ) as quota
    from in_periods
    where holder_type in ('owner', 'team')
    group by period_grain, period_start, metric, team
),

final as (
    select
        period_grain,
        period_start,
        metric,
        holder_type,
        holder_id,
        holder_name,
        team,
        quota
    from in_periods
    where holder_type in ('owner', 'source')
    union all
    select
        period_grain,
        period_start,
        metric,
        'team' as holder_type,
        team as holder_id,
        team as holder_name,
        team,
        quota
    from team_quotas
    union all
    select
        period_grain,
        period_start,
        metric,
        'all' as holder_type,
        'all' as holder_id,
        'all' as holder_name,
        'all' as team,
        sum(quota) as quota
    from team_quotas
    group by period_grain, period_start, metric
)

select
    cast(period_grain as {{ text_type() }}) as period_grain,
    period_start,
    {{ add_days(
        "case when period_grain = 'month' then " ~ next_period_start('month', 'period_start')
        ~ " else " ~ next_period_start('fiscal_quarter', 'period_start') ~ " end", -1
    ) }} as period_end,
    metric,
    cast(holder_type as {{ text_type() }}) as holder_type,
    holder_id,
    holder_name,
    team,
    cast(quota as decimal(19, 4)) as quota
from final
