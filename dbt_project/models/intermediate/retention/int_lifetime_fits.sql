{#
The two moments at which lifetime values are estimated, per business: as_of (present) and the moment by which
lifetime_backtest_share of that business's lines had been billed (backtest), whose horizon is the rest of the
history.
#}
with lines as (
    select
        business,
        occurred_at,
        row_number() over (partition by business order by occurred_at) as line_number,
        count(*) over (partition by business) as lines
    from {{ ref('int_revenue_margins') }}
    where event_type != 'refund'
),

moments as (
    select
        'present' as fit,
        business,
        {{ as_of() }} as cutoff_at
    from lines
    group by business
    union all
    select
        'backtest' as fit,
        business,
        max(occurred_at) as cutoff_at
    from lines
    where line_number <= greatest({{ var('lifetime_backtest_share') }} * lines, 1)
    group by business
)

select
    fit,
    business,
    cutoff_at,
    case
        when fit = 'present' then cast({{ var('lifetime_horizon_months') }} as double)
        else {{ months_between('cutoff_at', as_of()) }}
    end as horizon_months
from moments
