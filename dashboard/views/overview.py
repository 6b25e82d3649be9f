"""Overview: what changed since the period before, and the three things to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard import charts, components, data, filters, formats
from dashboard.components import Figure, Good, Task, panel
from dashboard.queries.economics import SLICE, slice_of
from dashboard.queries.economics import TABLE as ECONOMICS

FILTERS = ("period", "channel", "model", "date_basis")
_FIGURES: tuple[tuple[str, str, str, Good], ...] = (
    ("Media spend", "media_spend", "money", "neither"),
    ("Leads", "leads", "integer", "up"),
    ("New customers", "new_customers", "integer", "up"),
    ("Pipeline created", "pipeline", "money", "up"),
    ("Bookings", "bookings", "money", "up"),
    ("Billings", "billings", "money", "up"),
)
_SUMS = (
    ", ".join(f"sum({name}) as {name}" for _, name, _, _ in _FIGURES) + ", sum(loaded_cost) as loaded_cost"
)


@dataclass(frozen=True)
class Candidate:
    """Something that could be done, with the money that a quarter has at stake in it."""

    at_stake: float
    task: Task


def render() -> None:
    chosen = filters.choose(*FILTERS)
    components.page_head(
        "Overview", "What changed since the period before, and what to do about it?", chosen, FILTERS
    )
    _changes(chosen)
    components.section(
        "Three things to do now",
        "Ordered by the money that a quarter has at stake in them; broken data comes first.",
    )
    components.tasks(tasks(), "todo")
    left, right = components.beside()
    with left:
        _movers(chosen)
    with right:
        _trend(chosen)


def _changes(chosen: filters.Filters) -> None:
    now, before = _totals(chosen, chosen.period), _totals(chosen, chosen.period.previous)
    shown = [
        Figure(label, now[name], kind, f"{ECONOMICS}.{name}", before[name], good)
        for label, name, kind, good in _FIGURES
    ]
    shown.insert(
        3,
        Figure(
            "Cost of a new customer",
            _per(now["loaded_cost"], now["new_customers"]),
            "money",
            f"{ECONOMICS}.cac_loaded",
            _per(before["loaded_cost"], before["new_customers"]),
            "down",
        ),
    )
    month = data.one(
        "select month, closing_mrr, opening_mrr, net_revenue_retention_12m from retention.churn"
        " where month <= ? and is_complete order by month desc limit 1",
        [chosen.period.end],
    )
    earlier = data.one(
        "select closing_mrr from retention.churn where month <= ? and is_complete"
        " order by month desc limit 1",
        [chosen.period.previous.end],
    )
    if month["month"]:
        shown.append(
            Figure(
                "MRR", month["closing_mrr"], "money", "retention.churn.closing_mrr", earlier["closing_mrr"]
            )
        )
    components.figures(shown, "overview")


def _per(amount: float | None, count: float | None) -> float | None:
    return amount / count if amount is not None and count else None


def _totals(chosen: filters.Filters, period: filters.Period) -> data.Row:
    return data.one(f"select {_SUMS} from {ECONOMICS} where {SLICE}", slice_of(chosen, period))


def _movers(chosen: filters.Filters) -> None:
    rows = data.query(
        f"""
        with
        now as (
            select channel, sum(new_customers) as new_customers, sum(pipeline) as pipeline
            from {ECONOMICS} where {SLICE} group by channel
        ),
        earlier as (
            select channel, sum(new_customers) as new_customers, sum(pipeline) as pipeline
            from {ECONOMICS} where {SLICE} group by channel
        )
        select
            channel,
            coalesce(now.new_customers, 0) as new_customers,
            coalesce(earlier.new_customers, 0) as new_customers_before,
            coalesce(now.new_customers, 0) - coalesce(earlier.new_customers, 0) as change,
            coalesce(now.pipeline, 0) as pipeline,
            coalesce(earlier.pipeline, 0) as pipeline_before
        from now full join earlier using (channel)
        where coalesce(now.new_customers, 0) + coalesce(earlier.new_customers, 0) > 0
        order by change desc, channel
        """,
        [*slice_of(chosen, chosen.period), *slice_of(chosen, chosen.period.previous)],
    )
    with panel(
        "Which channels moved",
        "movers",
        rows,
        source=ECONOMICS,
        note="New customers against the period before, as the chosen model credits them.",
    ) as filled:
        if filled:
            strongest = sorted(rows, key=lambda row: -abs(row["change"]))[:10]
            strongest.sort(key=lambda row: -row["change"])
            charts.show(
                charts.changes(strongest, "channel", "change", "number"),
                "movers",
                "Change of new customers by channel against the period before",
            )


def _trend(chosen: filters.Filters) -> None:
    rows = data.query(
        f"""
        select period_start as month, sum(pipeline) as pipeline, sum(bookings) as bookings,
            sum(billings) as billings
        from {ECONOMICS}
        where model = ? and date_basis = ? and period_grain = 'month' and coalesce(channel = ?, true)
            and period_start between ? and ?
        group by period_start order by period_start
        """,
        [
            chosen.model,
            chosen.date_basis,
            chosen.channel,
            filters.add_months(chosen.period.end, -12),
            chosen.period.end,
        ],
    )
    with panel(
        "Pipeline, bookings and billings",
        "trend",
        rows,
        source=ECONOMICS,
        note="By month, up to thirteen of them. The three are different things and are never added up.",
    ) as filled:
        if filled:
            months = rows.column("month")
            charts.show(
                charts.lines(
                    {
                        formats.words(name): (months, rows.column(name))
                        for name in ("pipeline", "bookings", "billings")
                    },
                    "money",
                    height=286,
                ),
                "trend",
                "Pipeline created, bookings and billings by month",
            )


def tasks(most: int = 3) -> list[Task]:
    """What to do first: broken data, then by the money at stake in a quarter."""
    candidates = [
        found
        for found in (_broken_data(), _leak(), _deals(), _channel(), _renewals(), _leads())
        if found is not None
    ]
    candidates.sort(key=lambda candidate: -candidate.at_stake)
    return [candidate.task for candidate in candidates[:most]]


def _money(amount: float) -> str:
    return formats.money_compact(amount, data.settings().currency)


def _broken_data() -> Candidate | None:
    stale = data.query(
        "select distinct split_part(source_relation, ':', 1) as source from trust.data_freshness"
        " where is_stale order by source"
    ).column("source")
    apart = data.query(
        "select distinct split_part(source_relation, ':', 1) as source from trust.source_reconciliation"
        " where not is_reconciled order by source"
    ).column("source")
    if not stale and not apart:
        return None
    said = [f"{formats.words(source)} brings nothing new" for source in stale]
    said += [f"{formats.words(source)} does not add up" for source in apart]
    title = "Mend the data before you read the rest"
    return Candidate(float("inf"), Task(title, _join(said) + ".", "Figures may be incomplete", "trust"))


def _leak() -> Candidate | None:
    row = data.one(
        "select funnel, stage, next_stage, conversion_rate, benchmark, benchmark_source,"
        " expected_value_per_month"
        " from funnel.funnel_bottlenecks where segment = 'all' and is_beyond_chance"
        " and expected_value_per_month > 0"
        " order by expected_value_per_month desc limit 1"
    )
    if not row["funnel"]:
        return None
    than = "the target" if row["benchmark_source"] == "target" else "what this funnel used to reach"
    text = (
        f"In the {formats.words(row['funnel'])} funnel {formats.percent(row['conversion_rate'])} go on from"
        f" {_stage(row['stage'])} to {_stage(row['next_stage'])};"
        f" {formats.percent(row['benchmark'])} is {than}."
    )
    worth = f"{_money(row['expected_value_per_month'])} a month if the gap closes"
    title = f"Close the leak from {_stage(row['stage'])} to {_stage(row['next_stage'])}"
    return Candidate(
        row["expected_value_per_month"] * 3,
        Task(title, text, worth, "funnel", (("funnel", row["funnel"]),)),
    )


def _stage(name: str) -> str:
    written = formats.words(name)
    return written if written.isupper() else written[:1].lower() + written[1:]


REASONS = {
    "past_close_date": "past the close date",
    "no_next_step": "no next step",
    "single_contact": "only a single contact",
    "stale": "standing still longer than deals that were won",
    "sla_breached": "waiting longer than was promised",
    "hot_without_activity": "hot and nobody works on it",
}


def _deals() -> Candidate | None:
    row = data.one(
        "select reason, count(distinct opportunity_id) as deals, sum(amount) as amount,"
        " max_by(owner_name, amount) as owner_name, max_by(opportunity_name, amount) as opportunity_name"
        " from funnel.leads_needing_attention where subject = 'opportunity' and amount > 0"
        " group by reason order by amount desc limit 1"
    )
    if not row["reason"]:
        return None
    what = REASONS.get(row["reason"], formats.words(row["reason"]).lower())
    text = f"The largest is {formats.shorten(row['opportunity_name'], 60)}"
    text += f" of {formats.shorten(row['owner_name'], 40)}." if row["owner_name"] else "."
    title = f"Work {formats.counted(row['deals'], 'open deal')}: {what}"
    return Candidate(row["amount"], Task(title, text, f"{_money(row['amount'])} of pipeline", "pipeline"))


def _channel() -> Candidate | None:
    row = data.one(
        f"""
        select channel, period_start, loaded_cost, cac_loaded, ltv, ltv_to_cac from {ECONOMICS}
        where period_grain = 'fiscal_quarter' and date_basis = 'conversion' and model = ? and is_mature
            and ltv_to_cac < 1 and loaded_cost > 0 and period_start = (
                select max(period_start) from {ECONOMICS} where period_grain = 'fiscal_quarter' and is_mature
            )
        order by loaded_cost desc limit 1
        """,
        [filters.PREFERRED_MODEL],
    )
    if not row["channel"]:
        return None
    text = (
        f"A new customer from {row['channel']} costs {_money(row['cac_loaded'])} with everything and is worth"
        f" {_money(row['ltv'])} in gross margin"
        f" (quarter from {formats.period(row['period_start'], 'month')})."
    )
    return Candidate(
        row["loaded_cost"],
        Task(
            f"Ask what {row['channel']} is for",
            text,
            f"{_money(row['loaded_cost'])} a quarter",
            "economics",
        ),
    )


def _renewals() -> Candidate | None:
    row = data.one(
        "select count(*) as terms, sum(amount_due) as amount,"
        " count(*) filter (where days_to_due < 0) as overdue"
        " from retention.renewals where status = 'open' and is_at_risk and days_to_due <= 90"
    )
    if not row["terms"] or not row["amount"]:
        return None
    text = "Their terms end within 90 days"
    text += f"; {formats.integer(row['overdue'])} already over." if row["overdue"] else "."
    title = f"Save {formats.counted(row['terms'], 'renewal')} at risk"
    return Candidate(row["amount"], Task(title, text, f"{_money(row['amount'])} due", "retention"))


def _leads() -> Candidate | None:
    row = data.one(
        "select count(distinct subject_id) as leads, median(days_since) as days"
        " from funnel.leads_needing_attention where subject <> 'opportunity'"
        " and reason = 'hot_without_activity'"
    )
    if not row["leads"]:
        return None
    text = f"Half of them have waited {formats.days(row['days'])} or more since they showed interest."
    title = f"Call {formats.counted(row['leads'], 'hot lead')} that nobody works on"
    return Candidate(0.0, Task(title, text, "", "pipeline"))


def _join(parts: Sequence[str], most: int = 4) -> str:
    shown = list(parts[:most]) + ([f"{len(parts) - most} more"] if len(parts) > most else [])
    return "; ".join(shown)
