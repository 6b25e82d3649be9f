"""The questions of the funnel page: where units leak, what it is worth, how long they stay, hand-overs."""

from __future__ import annotations

from dashboard.data import Rows, one, query
from dashboard.filters import Period
from dashboard.queries import WHOLE, Cut, with_rates


def frameworks() -> list[str]:
    """The frameworks of the seed, by name."""
    return query("select distinct framework from funnel.funnel_framework_summary order by framework").column(
        "framework"
    )


def stages(
    *,
    funnel: str,
    period: Period,
    cut: Cut = WHOLE,
) -> Rows:
    """What entered each stage of a funnel in a period, and what went on.

    Rates are those of the mature cohorts alone: in a young cohort most have not had the time. Both are
    sums of the mart's counts. The last stage has no rate.

    Args:
        funnel: Which funnel.
        period: Which periods of entry.
        cut: Which segment.
    """
    rows = query(
        """
        select
            stage_order, stage, counting_unit,
            sum(entered) as entered,
            sum(recycled) as recycled,
            sum(advanced) as advanced,
            sum(lost) as lost,
            sum(open) as open,
            sum(case when is_mature then entered else 0 end) as entered_mature,
            sum(case when is_mature then advanced else 0 end) as advanced_mature,
            max(target) as target
        from funnel.funnel_stage_conversion
        where period_grain = ? and funnel = ? and segment = ? and segment_value = ?
            and period_start between ? and ?
        group by stage_order, stage, counting_unit
        order by stage_order
        """,
        [period.grain, funnel, *cut, period.start, period.end],
    )
    last = one("select max(stage_order) as n from funnel.funnel_stage_conversion where funnel = ?", [funnel])[
        "n"
    ]
    rated = with_rates(rows, "advanced_mature", "entered_mature", last)
    return Rows(
        ({**row, "attainment": _over(row["conversion_rate"], row["target"])} for row in rated),
        [*rated.columns, "attainment"],
    )


def _over(rate: float | None, target: float | None) -> float | None:
    return rate / target if rate is not None and target else None


def framework_stages(
    *,
    framework: str,
    funnel: str,
    period: Period,
    cut: Cut = WHOLE,
) -> Rows:
    """The same for the stages of a framework: counts added up over the period, rates made again from them."""
    rows = query(
        """
        select
            framework_order as stage_order, framework_stage as stage, counting_unit,
            sum(entered) as entered,
            sum(recycled) as recycled,
            sum(advanced) as advanced,
            sum(lost) as lost,
            sum(open) as open
        from funnel.funnel_framework_summary
        where period_grain = ? and framework = ? and funnel = ?
            and segment = ? and segment_value = ? and period_start between ? and ?
        group by framework_order, framework_stage, counting_unit
        order by framework_order
        """,
        [period.grain, framework, funnel, *cut, period.start, period.end],
    )
    last = one(
        "select max(framework_order) as n from funnel.funnel_framework_summary"
        " where framework = ? and funnel = ?",
        [framework, funnel],
    )["n"]
    return with_rates(rows, last=last)


def leaks(*, funnel: str | None = None, cut: Cut = WHOLE) -> Rows:
    """Stages by what closing their gap is worth, the dearest first; of all funnels where none is named."""
    return query(
        """
        select
            funnel, stage_order, stage, next_stage, bottleneck_rank, entered, advanced, conversion_rate,
            conversion_rate_low, conversion_rate_high, benchmark, benchmark_source, gap, is_beyond_chance,
            extra_advances_per_month, win_stage, expected_wins_per_month, value_per_win, value_basis,
            expected_value_per_month, counting_unit, first_cohort, last_cohort, cohort_months
        from funnel.funnel_bottlenecks
        where (? is null or funnel = ?) and segment = ? and segment_value = ?
        order by expected_value_per_month desc nulls last, expected_wins_per_month desc nulls last, gap desc,
            stage_order
        """,
        [funnel, funnel, *cut],
    )


def leaks_by_segment(*, funnel: str, segment: str) -> Rows:
    """What each segment value's leaks are worth, a row for a value and stage with a gap; the dearest first.

    A segment is held against the whole funnel's benchmark, so values are comparable and must not be added up.
    """
    return query(
        """
        select
            segment_value, stage_order, stage, next_stage, entered, advanced, conversion_rate,
            conversion_rate_low, conversion_rate_high, benchmark, is_beyond_chance, expected_wins_per_month,
            expected_value_per_month
        from funnel.funnel_bottlenecks
        where funnel = ? and segment = ? and gap > 0 and expected_value_per_month > 0
        order by expected_value_per_month desc, segment_value, stage_order
        """,
        [funnel, segment],
    )


def stage_periods(
    *,
    funnel: str,
    period: Period,
    cut: Cut = WHOLE,
) -> Rows:
    """Every stage in every week or month of a period, as the mart has it: rates, targets, hours."""
    return query(
        """
        select
            period_start, stage_order, stage, counting_unit, entered, recycled, advanced, advanced_within_30d,
            advanced_within_90d, lost, open, conversion_rate, conversion_rate_low, conversion_rate_high,
            median_hours_in_stage / 24 as median_days, p90_hours_in_stage / 24 as p90_days,
            is_mature, target, attainment
        from funnel.funnel_stage_conversion
        where period_grain = ? and funnel = ? and segment = ? and segment_value = ?
            and period_start between ? and ?
        order by period_start, stage_order
        """,
        [period.grain, funnel, *cut, period.start, period.end],
    )


def time_in_stage(
    *,
    funnel: str,
    period: Period,
    cut: Cut = WHOLE,
) -> Rows:
    """Days in each stage, of the stage's latest mature fiscal quarter that begins before the period ends.

    A median cannot be made from medians, so one quarter speaks for each stage, and its name stands beside it.
    """
    return query(
        """
        with quarters as (
            select
                stage_order, stage, period_start, entered, median_hours_in_stage, p90_hours_in_stage,
                row_number() over (partition by stage order by period_start desc) as recency
            from funnel.funnel_stage_conversion
            where period_grain = 'fiscal_quarter' and funnel = ? and segment = ? and segment_value = ?
                and is_mature and median_hours_in_stage is not null and period_start <= ?
        )
        select
            stage_order, stage, period_start, entered,
            median_hours_in_stage / 24 as median_days,
            p90_hours_in_stage / 24 as p90_days
        from quarters
        where recency = 1
        order by stage_order
        """,
        [funnel, *cut, period.end],
    )


def stage_segments(*, funnel: str, stage: str, segment: str, period: Period) -> Rows:
    """One stage by the values of a segment: mature cohorts added up, rates made again from the sums."""
    rows = query(
        """
        select
            segment_value,
            sum(entered) as entered,
            sum(case when is_mature then entered else 0 end) as entered_mature,
            sum(case when is_mature then advanced else 0 end) as advanced_mature,
            max(target) as target
        from funnel.funnel_stage_conversion
        where period_grain = ? and funnel = ? and stage = ? and segment = ?
            and period_start between ? and ?
        group by segment_value
        having sum(entered) > 0
        order by entered desc, segment_value
        """,
        [period.grain, funnel, stage, segment, period.start, period.end],
    )
    return with_rates(rows, "advanced_mature", "entered_mature")


def handoff_periods(*, handoff_type: str, period: Period) -> Rows:
    """Hand-overs of every week or month of a period, with the speed of the first contact."""
    return query(
        """
        select
            period_start, qualified, passed, accepted, rejected, recycled, open, rejected_without_reason,
            acceptance_rate, responded, median_speed_to_lead_hours, p90_speed_to_lead_hours,
            median_speed_to_lead_business_hours, p90_speed_to_lead_business_hours,
            within_sla, beyond_sla, sla_rate
        from funnel.handoff_alignment
        where period_grain = ? and handoff_type = ? and segment = 'all' and period_start between ? and ?
        order by period_start
        """,
        [period.grain, handoff_type, period.start, period.end],
    )


def handoff_split(*, handoff_type: str, segment: str, period: Period) -> Rows:
    """Hand-overs by owner or channel over a period; rates are quotients of the sums.

    Args:
        handoff_type: mql, pql or another of seed handoff_stages.csv.
        segment: owner, channel, or all for one row.
        period: Which periods of entry.
    """
    return query(
        """
        select
            case
                when handoffs.segment = 'owner' then coalesce(owners.owner_name, handoffs.owner_id)
                when handoffs.segment = 'channel' then handoffs.channel
                else 'all'
            end as name,
            sum(handoffs.qualified) as qualified,
            sum(handoffs.passed) as passed,
            sum(handoffs.accepted) as accepted,
            sum(handoffs.rejected) as rejected,
            sum(handoffs.recycled) as recycled,
            sum(handoffs.open) as open,
            sum(handoffs.within_sla) as within_sla,
            sum(handoffs.beyond_sla) as beyond_sla,
            sum(handoffs.accepted) * 1.0 / nullif(sum(handoffs.passed), 0) as acceptance_rate,
            sum(handoffs.within_sla) * 1.0
            / nullif(sum(handoffs.within_sla) + sum(handoffs.beyond_sla), 0) as sla_rate
        from funnel.handoff_alignment as handoffs
        left join core.dim_owners as owners on handoffs.owner_id = owners.owner_id
        where handoffs.period_grain = ? and handoffs.handoff_type = ? and handoffs.segment = ?
            and handoffs.period_start between ? and ?
        group by handoffs.segment, handoffs.owner_id, handoffs.channel, owners.owner_name
        order by passed desc, name
        """,
        [period.grain, handoff_type, segment, period.start, period.end],
    )


def handoff_types() -> list[str]:
    """The kinds of hand-over that occurred."""
    return query("select distinct handoff_type from funnel.handoff_alignment order by handoff_type").column(
        "handoff_type"
    )


def rejection_reasons(*, handoff_type: str, period: Period) -> Rows:
    """Why sales rejected hand-overs in a period; the mart lists `reason: count`."""
    return query(
        """
        with listed as (
            select unnest(from_json(rejection_reasons, '["varchar"]')) as entry
            from funnel.handoff_alignment
            where period_grain = ? and handoff_type = ? and segment = 'all'
                and period_start between ? and ? and rejection_reasons is not null
        )
        select
            regexp_extract(entry, '^(.*): [0-9]+$', 1) as reason,
            sum(cast(regexp_extract(entry, ': ([0-9]+)$', 1) as bigint)) as rejected
        from listed
        group by 1
        order by rejected desc, reason
        """,
        [period.grain, handoff_type, period.start, period.end],
    )
