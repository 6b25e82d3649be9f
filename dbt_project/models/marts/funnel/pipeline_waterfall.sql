{#
Start and end are read from fct_pipeline_daily, the lines between them from the changes of the deals: that they meet
is a test, not a construction. What holds:
- Within one moment a deal first changes its amount, then its close date, then its owner, then opens or closes.
- A won deal closes in the period in which it is won: a later close date is brought forward by the winning itself.
- A deal that opened and closed in one moment was never in the pipeline.
- Lines of amounts and dates belong to the old owner, openings and closings to the new one; between them the deal is
  transferred. In segments that a change of owner does not touch there are no transfers.
#}
{% set lines = waterfall_lines() %}
{% set old_owners_lines = ['increased', 'decreased', 'exchange_effect', 'pulled_in', 'pushed_out'] %}
{# Every measure between start and end: the lines' amounts, and the counts of those that move deals. #}
{% set measures = [] %}
{% for line in lines %}
{% do measures.append(line ~ '_amount') %}
{% if line in counted_waterfall_lines() %}{% do measures.append(line ~ '_count') %}{% endif %}
{% endfor %}
{% set standing = ['start_amount', 'start_count', 'end_amount', 'end_count'] %}

with states as (
    select * from {{ ref('int_opportunity_states') }}
    where valid_from <= {{ as_of() }}
),

daily as (
    select * from {{ ref('fct_pipeline_daily') }}
),

dates as (
    select date from {{ ref('dim_dates') }}
    where date <= {{ as_of_date() }}
),

owners as (
    select
        owner_id,
        team
    from {{ ref('dim_owners') }}
),

first_days as (
    select min(valid_from_on) as first_day from states
),

calendar as (
    {% for grain in report_grains() %}
    select
        dates.date,
        '{{ grain }}' as period_grain,
        {{ period_start(grain, 'dates.date') }} as period_start,
        {{ add_days(next_period_start(grain, period_start(grain, 'dates.date')), -1) }} as period_end
    from dates
    inner join first_days on dates.date >= first_days.first_day
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

periods as (
    select distinct
        period_grain,
        period_start,
        period_end
    from calendar
),

-- Where a period is looked at: the day before it, and its last day or that of as_of.
boundaries as (
    select
        periods.*,
        true as is_start,
        {{ add_days('period_start', -1) }} as boundary_date
    from periods
    union all
    select
        periods.*,
        false as is_start,
        least(period_end, {{ as_of_date() }}) as boundary_date
    from periods
),

scopes as (
    select 'all_open' as pipeline_scope
    union all
    select 'closing_in_period' as pipeline_scope
),

changes as (
    select
        *,
        state_number > 1 as has_past,
        coalesce(lag(is_open) over history, false) as was_open,
        lag(amount) over history as old_amount,
        lag(currency_original) over history as old_currency,
        lag(rate) over history as old_rate,
        lag(close_date) over history as old_close_date,
        lag(owner_id) over history as old_owner_id
    from states
    window history as (partition by opportunity_id order by state_number)
),

-- The new amount at the old currency's rate: what lies between the two is the exchange effect.
priced as (
    select
        valid_from_on,
        pipeline,
        opportunity_type,
        outcome,
        is_open,
        was_open,
        has_past,
        owner_id,
        case when was_open then old_owner_id else owner_id end as old_owner_id,
        coalesce(amount, 0) as amount,
        coalesce(old_amount, 0) as old_amount,
        coalesce(
            case
                when was_open and old_currency <> currency_original
                    then cast(amount_original * old_rate as decimal(19, 4))
                else amount
            end,
            0
        ) as amount_at_old_rate,
        old_close_date,
        case
            when outcome = 'won' then least(coalesce(close_date, valid_from_on), valid_from_on)
            else close_date
        end as close_date
    from changes
    where is_open or was_open
),

in_periods as (
    select
        scopes.pipeline_scope,
        calendar.period_grain,
        calendar.period_start,
        priced.*,
        priced.was_open and (
            scopes.pipeline_scope = 'all_open'
            or coalesce(priced.old_close_date <= calendar.period_end, false)
        ) as was_in_scope,
        (
            scopes.pipeline_scope = 'all_open' or coalesce(priced.close_date <= calendar.period_end, false)
        ) as is_in_scope
    from priced
    inner join calendar on priced.valid_from_on = calendar.date
    cross join scopes
),

{% set opens = 'is_open and not was_open and is_in_scope' %}
{% set movements = {
    'created': opens ~ ' and not has_past',
    'reopened': opens ~ ' and has_past',
    'pulled_in': 'was_open and not was_in_scope and is_in_scope',
    'pushed_out': 'was_in_scope and not is_in_scope',
    'lost': "was_open and is_in_scope and outcome = 'lost'",
    'won': "was_open and is_in_scope and outcome = 'won'",
    'removed': "was_open and is_in_scope and outcome = 'removed'",
    'carried': 'was_open and is_in_scope',
} %}
moved as (
    select
        pipeline_scope,
        period_grain,
        period_start,
        pipeline,
        opportunity_type,
        old_owner_id,
        owner_id,
        {% for line, condition in movements.items() %}
        sum(case when {{ condition }} then amount else 0 end) as {{ line }}_amount,
        sum(case when {{ condition }} then 1 else 0 end) as {{ line }}_count,
        {% endfor %}
        sum(case when was_in_scope then greatest(amount_at_old_rate - old_amount, 0) else 0 end)
            as increased_amount,
        sum(case when was_in_scope then greatest(old_amount - amount_at_old_rate, 0) else 0 end)
            as decreased_amount,
        sum(case when was_in_scope then amount - amount_at_old_rate else 0 end) as exchange_effect_amount
    from in_periods
    group by pipeline_scope, period_grain, period_start, pipeline, opportunity_type, old_owner_id, owner_id
),

-- Two sides of every change, the old owner's and the new one's; then what stands at the start and the end.
sides as (
    {% for side in ['old', 'new'] %}
    select
        pipeline_scope,
        period_grain,
        period_start,
        pipeline,
        {% for measure in standing %}
        0 as {{ measure }},
        {% endfor %}
        {{ 'old_owner_id' if side == 'old' else 'owner_id' }} as owner_id,
        {{ 'owner_id' if side == 'old' else 'old_owner_id' }} as other_owner_id,
        {% for measure in measures %}
        {% set line = measure | replace('_amount', '') | replace('_count', '') %}
        {% if line == ('transferred_out' if side == 'old' else 'transferred_in') %}
        {{ measure | replace(line, 'carried') }} as {{ measure }},
        {% elif not line.startswith('transferred') and (line in old_owners_lines) == (side == 'old') %}
        {{ measure }},
        {% else %}
        0 as {{ measure }},
        {% endif %}
        {% endfor %}
        opportunity_type
    from moved
    union all
    {% endfor %}
    select
        scopes.pipeline_scope,
        boundaries.period_grain,
        boundaries.period_start,
        daily.pipeline,
        sum(case when boundaries.is_start then coalesce(daily.amount, 0) else 0 end) as start_amount,
        sum(case when boundaries.is_start then 1 else 0 end) as start_count,
        sum(case when boundaries.is_start then 0 else coalesce(daily.amount, 0) end) as end_amount,
        sum(case when boundaries.is_start then 0 else 1 end) as end_count,
        daily.owner_id,
        daily.owner_id as other_owner_id,
        {% for measure in measures %}
        0 as {{ measure }},
        {% endfor %}
        daily.opportunity_type
    from daily
    inner join boundaries on daily.date = boundaries.boundary_date
    inner join scopes on scopes.pipeline_scope = 'all_open' or daily.close_date <= boundaries.period_end
    group by
        scopes.pipeline_scope,
        boundaries.period_grain,
        boundaries.period_start,
        daily.pipeline,
        daily.opportunity_type,
        daily.owner_id
),

described as (
    select
        sides.*,
        coalesce(owners.team, '(not set)') as team,
        coalesce(sides.owner_id, '') <> coalesce(sides.other_owner_id, '') as is_other_owner,
        coalesce(owners.team, '(not set)') <> coalesce(others.team, '(not set)') as is_other_team
    from sides
    left join owners on sides.owner_id = owners.owner_id
    left join owners as others on sides.other_owner_id = others.owner_id
),

segments as (
    {% for segment in pipeline_segments() %}
    select '{{ segment }}' as segment
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

segmented as (
    select
        described.*,
        segments.segment,
        coalesce(
            case segments.segment
                {% for segment, expression in pipeline_segments().items() %}
                when '{{ segment }}' then {{ expression }}
                {% endfor %}
            end,
            '(not set)'
        ) as segment_value,
        case
            when segments.segment = 'owner' and is_other_owner then 1
            when segments.segment = 'team' and is_other_team then 1
            else 0
        end as is_transfer
    from described
    cross join segments
),

summed as (
    select
        {% for measure in standing + measures %}
        {% set factor = ' * is_transfer' if measure.startswith('transferred') else '' %}
        sum({{ measure }}{{ factor }}) as {{ measure }},
        {% endfor %}
        pipeline_scope,
        period_grain,
        period_start,
        segment,
        segment_value
    from segmented
    group by pipeline_scope, period_grain, period_start, segment, segment_value
)

select
    cast(summed.pipeline_scope as {{ text_type() }}) as pipeline_scope,
    cast(summed.period_grain as {{ text_type() }}) as period_grain,
    summed.period_start,
    cast(summed.segment as {{ text_type() }}) as segment,
    summed.segment_value,
    {% for measure in standing[:2] + measures + standing[2:] %}
    {% set type = 'bigint' if measure.endswith('_count') else 'decimal(19, 4)' %}
    cast(summed.{{ measure }} as {{ type }}) as {{ measure }},
    {% endfor %}
    periods.period_end < {{ as_of_date() }} as is_complete
from summed
inner join periods
    on summed.period_grain = periods.period_grain and summed.period_start = periods.period_start
where
    summed.start_count > 0
    {% for line in counted_waterfall_lines() %}
    or summed.{{ line }}_count > 0
    {% endfor %}
    or summed.end_count > 0
