"""The questions of the pipeline page: will we make the quarter, what moved, who is behind, what is stuck."""

from __future__ import annotations

from datetime import date

from dashboard.data import Row, Rows, one, query
from dashboard.filters import Period
from dashboard.queries import EVERYTHING, WHOLE, Cut

WATERFALL_STEPS = (  # column, sign, and what it is called; exchange effects carry their own sign
    ("created_amount", 1, "Created"),
    ("reopened_amount", 1, "Reopened"),
    ("pulled_in_amount", 1, "Pulled in"),
    ("increased_amount", 1, "Increased"),
    ("transferred_in_amount", 1, "Transferred in"),
    ("exchange_effect_amount", 1, "Exchange effect"),
    ("decreased_amount", -1, "Decreased"),
    ("pushed_out_amount", -1, "Pushed out"),
    ("transferred_out_amount", -1, "Transferred out"),
    ("removed_amount", -1, "Removed"),
    ("lost_amount", -1, "Lost"),
    ("won_amount", -1, "Won"),
)
SCOPES = {"all_open": "Every open deal", "closing_in_period": "Deals due by the end of the period"}


def forecast(*, grain: str, cut: Cut = WHOLE) -> Rows:
    """What is expected of the present and the next periods, looked from the day of the last run."""
    return query(
        """
        select
            forecast_date, period_start, period_end, horizon, open_deals, open_amount, won_to_date,
            expected_from_open, expected_from_uncreated, expected_amount, expected_low, expected_high,
            naive_crm_amount, naive_last_period_amount, closed_deals, comparable_periods, interval_factor
        from funnel.sales_forecast
        where is_current and period_grain = ? and segment = ? and segment_value = ?
        order by period_start
        """,
        [grain, *cut],
    )


def won_by_period(*, grain: str, cut: Cut = WHOLE) -> Rows:
    """What past periods brought, as the backtest holds it: one row for a period that is over."""
    return query(
        """
        select period_start, period_end, max(actual_amount) as actual_amount
        from funnel.sales_forecast
        where actual_amount is not null and period_grain = ? and segment = ? and segment_value = ?
        group by period_start, period_end
        order by period_start
        """,
        [grain, *cut],
    )


def backtest(
    *,
    grain: str,
    cut: Cut = WHOLE,
    horizon: int | None = None,
) -> Rows:
    """Forecasts of periods that are over beside what came, and two naive forecasts; of one horizon or all."""
    return query(
        """
        select
            forecast_date, period_start, period_end, horizon, won_to_date, expected_amount, expected_low,
            expected_high, naive_crm_amount, naive_last_period_amount, actual_amount, error, error_naive_crm,
            error_naive_last_period, is_within_interval
        from funnel.sales_forecast
        where actual_amount is not null and period_grain = ? and segment = ? and segment_value = ?
            and (? is null or horizon = ?)
        order by forecast_date, period_start
        """,
        [grain, *cut, horizon, horizon],
    )


def backtest_accuracy(*, grain: str, cut: Cut = WHOLE) -> Rows:
    """How far past forecasts were off, by how far ahead they looked: sum of errors over the sum of what came.

    Only forecasts that had all three methods are held against each other.
    """
    return query(
        """
        select
            horizon,
            count(*) as forecasts,
            sum(abs(error)) / nullif(sum(actual_amount), 0) as off_by,
            sum(abs(error_naive_crm)) / nullif(sum(actual_amount), 0) as off_by_crm,
            sum(abs(error_naive_last_period)) / nullif(sum(actual_amount), 0) as off_by_last_period,
            sum(error) / nullif(sum(actual_amount), 0) as bias,
            avg(case when is_within_interval then 1.0 else 0.0 end) as within_interval
        from funnel.sales_forecast
        where actual_amount is not null and error_naive_last_period is not null
            and period_grain = ? and segment = ? and segment_value = ?
        group by horizon
        order by horizon
        """,
        [grain, *cut],
    )


def waterfall(
    *,
    scope: str,
    grain: str,
    cut: Cut = WHOLE,
) -> Rows:
    """Every period's movements of the open pipeline, the latest first."""
    return query(
        """
        select
            period_start, is_complete, start_amount, created_amount, reopened_amount, pulled_in_amount,
            increased_amount, decreased_amount, pushed_out_amount, lost_amount, won_amount, removed_amount,
            exchange_effect_amount, transferred_in_amount, transferred_out_amount, end_amount,
            start_count, created_count, reopened_count, pulled_in_count, pushed_out_count, lost_count,
            won_count, removed_count, transferred_in_count, transferred_out_count, end_count
        from funnel.pipeline_waterfall
        where pipeline_scope = ? and period_grain = ? and segment = ? and segment_value = ?
        order by period_start desc
        """,
        [scope, grain, *cut],
    )


def coverage(*, grain: str, holder_type: str) -> Rows:
    """Open pipeline over what the quota still asks for, now, by holder and period."""
    return query(
        """
        select
            period_start, period_end, horizon, holder_id, holder_name, team, quota, won_to_date,
            remaining_quota, is_quota_met, open_deals, open_amount, weighted_amount, coverage,
            weighted_coverage
        from funnel.pipeline_coverage
        where is_current and period_grain = ? and holder_type = ?
        order by horizon, coverage nulls last, holder_name
        """,
        [grain, holder_type],
    )


def coverage_history(*, grain: str) -> Rows:
    """Coverage of the period that was the present one, on every snapshot day; all teams together."""
    return query(
        """
        select snapshot_date, period_start, coverage, weighted_coverage, remaining_quota, open_amount
        from funnel.pipeline_coverage
        where period_grain = ? and holder_type = 'all' and horizon = 0
        order by snapshot_date
        """,
        [grain],
    )


def quota_periods(*, grain: str, metric: str) -> Rows:
    """The periods that have a quota for a metric, the latest first, with whether they are over."""
    return query(
        """
        select
            period_start, period_end, bool_and(is_complete) as is_complete,
            max(elapsed_share) as elapsed_share
        from funnel.quota_attainment
        where period_grain = ? and metric = ?
        group by period_start, period_end
        order by period_start desc
        """,
        [grain, metric],
    )


def quota_metrics() -> dict[str, list[str]]:
    """The metrics that have quotas, and who holds them."""
    rows = query(
        "select distinct metric, holder_type from funnel.quota_attainment order by metric, holder_type", []
    )
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["metric"], []).append(row["holder_type"])
    return found


def attainment(*, grain: str, metric: str, period_start: date | None = None) -> Rows:
    """What was expected and what came, by holder; of one period or of all."""
    return query(
        """
        select
            period_start, period_end, holder_type, holder_id, holder_name, team, quota, actual, gap,
            attainment, elapsed_share, is_behind, is_complete
        from funnel.quota_attainment
        where period_grain = ? and metric = ? and (? is null or period_start = ?)
        order by period_start desc, holder_type, attainment desc nulls last, holder_name
        """,
        [grain, metric, period_start, period_start],
    )


def sales_cycle(*, grain: str, cut: Cut = WHOLE) -> Rows:
    """Days from creation and first touch to closing, period by period (a median is never averaged)."""
    return query(
        """
        select
            period_start, outcome, deals, amount, median_days_from_creation, p90_days_from_creation,
            deals_with_touch, median_days_from_first_touch, p90_days_from_first_touch
        from funnel.sales_cycle
        where period_grain = ? and segment = ? and segment_value = ?
        order by period_start, outcome
        """,
        [grain, *cut],
    )


def sales_cycle_split(*, grain: str, period_start: date, segment: str) -> Rows:
    """Won deals of one period by the values of a segment."""
    return query(
        """
        select
            cycle.segment_value, coalesce(owners.owner_name, cycle.segment_value) as name, cycle.deals,
            cycle.amount, cycle.median_days_from_creation, cycle.p90_days_from_creation,
            cycle.median_days_from_first_touch
        from funnel.sales_cycle as cycle
        left join core.dim_owners as owners
            on cycle.segment = 'owner' and cycle.segment_value = owners.owner_id
        where cycle.period_grain = ? and cycle.period_start = ? and cycle.segment = ?
            and cycle.outcome = 'won'
        order by cycle.median_days_from_creation desc, name
        """,
        [grain, period_start, segment],
    )


def win_loss_reasons(
    *,
    period: Period,
    cut: Cut = WHOLE,
) -> Rows:
    """Closed deals of a period by outcome and reason, with each reason's share of its outcome."""
    return query(
        """
        select
            outcome, reason,
            sum(deals) as deals,
            sum(amount) as amount,
            sum(deals) * 1.0 / sum(sum(deals)) over (partition by outcome) as share_of_outcome
        from funnel.win_loss
        where period_grain = ? and segment = ? and segment_value = ? and period_start between ? and ?
        group by outcome, reason
        order by outcome, deals desc, reason
        """,
        [period.grain, *cut, period.start, period.end],
    )


def win_rates(*, period: Period, segment: str) -> Rows:
    """Won out of closed deals in a period, by the values of a segment or (competitor) by competitor."""
    by_competitor = segment == "competitor"
    value = "results.competitor" if by_competitor else "results.segment_value"
    return query(
        f"""
        select
            coalesce(owners.owner_name, {value}) as name,
            sum(case when results.outcome = 'won' then results.deals else 0 end) as won,
            sum(case when results.outcome = 'lost' then results.deals else 0 end) as lost,
            sum(case when results.outcome = 'won' then results.amount else 0 end) as won_amount,
            sum(case when results.outcome = 'lost' then results.amount else 0 end) as lost_amount,
            sum(case when results.outcome = 'won' then results.deals else 0 end) * 1.0
            / nullif(sum(results.deals), 0) as win_rate
        from funnel.win_loss as results
        left join core.dim_owners as owners
            on results.segment = 'owner' and results.segment_value = owners.owner_id
        where results.period_grain = ? and results.segment = ? and results.period_start between ? and ?
        group by {value}, owners.owner_name
        order by won + lost desc, name
        """,
        [period.grain, EVERYTHING if by_competitor else segment, period.start, period.end],
    )


def attention(
    *,
    subject: str | None = None,
    reason: str | None = None,
    owner_id: str | None = None,
) -> Rows:
    """Deals and leads that somebody should look at now: the largest deals first, then the hottest leads."""
    return query(
        """
        select
            attention.subject, attention.subject_id,
            coalesce(attention.opportunity_name, accounts.account_name, accounts.domain) as name,
            attention.reason, attention.since, attention.days_since, attention.owner_id, attention.owner_name,
            attention.funnel, attention.stage, attention.amount, attention.close_date, attention.lead_score,
            attention.crm_url
        from funnel.leads_needing_attention as attention
        left join core.dim_accounts as accounts on attention.account_id = accounts.account_id
        where (? is null or attention.subject = ?) and (? is null or attention.reason = ?)
            and (? is null or attention.owner_id = ?)
        order by attention.amount desc nulls last, attention.lead_score desc nulls last, attention.since,
            attention.attention_id
        """,
        [subject, subject, reason, reason, owner_id, owner_id],
    )


def attention_reasons() -> Rows:
    """How many deals and leads, and how much money, each reason touches. A deal may have several reasons."""
    return query(
        """
        select
            reason, subject,
            count(distinct subject_id) as subjects,
            sum(amount) as amount,
            min(since) as since
        from funnel.leads_needing_attention
        group by reason, subject
        order by subject, amount desc nulls last, subjects desc, reason
        """,
        [],
    )


def attention_total() -> Row:
    """Deals (each once, whatever its reasons) with their amount, and leads, that need attention."""
    return one(
        """
        select
            count(distinct opportunity_id) filter (where subject = 'opportunity') as deals,
            count(distinct subject_id) filter (where subject = 'person') as leads,
            (
                select sum(amount)
                from (
                    select opportunity_id, max(amount) as amount
                    from funnel.leads_needing_attention
                    where subject = 'opportunity'
                    group by opportunity_id
                ) as deals
            ) as amount
        from funnel.leads_needing_attention
        """,
        [],
    )
