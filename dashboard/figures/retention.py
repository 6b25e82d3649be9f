"""Figures of the retention page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from dashboard import charts, formats
from dashboard.charts import bars
from dashboard.data import Row
from dashboard.figures import at_level, courses, heatmap, period_name, stacked, waterfall
from dashboard.queries.retention import BRIDGE_STEPS

COHORTS = 26  # that fit under each other
PERIODS = 24  # that fit side by side
WRITTEN = 15  # side by side with their numbers in them
LINES = 6  # in one figure
_STEP = {"week": "week", "month": "month", "fiscal_quarter": "quarter"}


def cohorts(rows: Sequence[Row], basis: str, grain: str, currency: str) -> go.Figure:
    """A line a cohort, a column a period since: the share still there; in brackets: not over yet."""
    chosen = charts.theme()
    starts = sorted({row["cohort_period"] for row in rows})[-COHORTS:]
    kept = [row for row in rows if row["cohort_period"] in set(starts) and row["periods_since"] <= PERIODS]
    width = max(row["periods_since"] for row in kept) + 1
    cells = {(row["cohort_period"], row["periods_since"]): row for row in kept}
    sizes = {row["cohort_period"]: row["cohort_size"] for row in kept}
    # Period 0 is 1 by definition: the scale is that of the others.
    others = [
        row["retention_rate"]
        for row in kept
        if row["periods_since"] > 0 and row["retention_rate"] is not None
    ]
    top = sorted(others)[int(0.95 * (len(others) - 1))] if others else 1.0

    def said(row: Row | None) -> str:
        if row is None:
            return ""
        amount = (
            formats.money(row["revenue"], currency)
            if basis == "revenue"
            else f"{formats.integer(row['active'])} of {formats.integer(row['cohort_size'])}"
        )
        return (
            f"{period_name(row['cohort_period'], grain)} + {row['periods_since']}"
            f" ({period_name(row['period_start'], grain)}): {formats.percent(row['retention_rate'])}"
            f"<br>{amount}" + ("" if row["is_complete"] else "<br>not over yet")
        )

    def shown(row: Row | None) -> str:
        if row is None or row["retention_rate"] is None:
            return ""
        text = f"{row['retention_rate'] * 100:.0f}"
        return text if row["is_complete"] else f"({text})"

    table = [[cells.get((start, since)) for since in range(width)] for start in starts]
    made = charts.figure(height=len(starts) * 27 + 66)
    heatmap(
        made,
        [[None if row is None else row["retention_rate"] for row in line] for line in table],
        [[said(row) for row in line] for line in table],
        [[shown(row) for row in line] for line in table] if width <= WRITTEN else None,
        bounds=(0, max(top, 0.01)),
        scale=chosen.scale,
        gap=1.5,
    )
    step = 1 if width <= WRITTEN else 2
    made.update_xaxes(
        side="top",
        tickmode="array",
        tickvals=list(range(0, width, step)),
        title={"text": f"{_STEP[grain]}s since the first", "standoff": 4},
        range=[-0.5, max(width, 3) - 0.5],
        showgrid=False,
        zeroline=False,
    )
    return made.update_yaxes(
        tickmode="array",
        tickvals=list(range(len(starts))),
        ticktext=[f"{period_name(start, grain)} · {formats.compact(sizes[start])}" for start in starts],
        range=[max(len(starts), 2) - 0.5, -0.5],
        showgrid=False,
        zeroline=False,
    )


def curves(rows: Sequence[Row], grain: str, names: Mapping[str, str] | None = None) -> go.Figure:
    """Retention by periods since the first, a line a segment value: those with the largest cohorts."""
    values: dict[str, float] = {}
    for row in rows:
        values[row["segment_value"]] = max(values.get(row["segment_value"], 0), row["cohort_size"])
    largest = sorted(values, key=lambda value: -values[value])[:LINES]
    palette = charts.colours(largest)
    made = charts.figure(height=320, legend=len(largest) > 1)
    for value in largest:
        line = [row for row in rows if row["segment_value"] == value and row["periods_since"] <= PERIODS]
        name = (names or {}).get(value, value)
        made.add_scatter(
            x=[row["periods_since"] for row in line],
            y=[row["retention_rate"] for row in line],
            name=charts.text(name, 22),
            mode="lines+markers",
            line={"color": palette[value], "width": 2},
            marker={"size": 5},
            cliponaxis=False,
            customdata=[
                f"{charts.text(name, 40)}, {_STEP[grain]} {row['periods_since']}:"
                f" {formats.percent(row['retention_rate'])}"
                f"<br>{formats.integer(row['cohorts'])} cohorts,"
                f" {formats.integer(row['cohort_size'])} at the start"
                for row in line
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    made.update_yaxes(rangemode="tozero", tickformat=".0%", nticks=6, zeroline=False)
    return made.update_xaxes(
        title={"text": f"{_STEP[grain]}s since the first"}, nticks=12, rangemode="tozero"
    )


def mrr_bridge(bridge: Row, currency: str) -> go.Figure:
    """From the MRR of the period's start to that of its end."""
    steps = [(column, name) for column, name in BRIDGE_STEPS if bridge[column]]
    return waterfall(
        ["Opening", *(name for _, name in steps), "Closing"],
        [bridge["opening_mrr"], *(bridge[column] for column, _ in steps), bridge["closing_mrr"]],
        currency=currency,
    )


def mrr_movements(months: Sequence[Row], currency: str) -> go.Figure:
    """What came and what left, month by month."""
    chosen = charts.theme()
    colours = {
        "new_mrr": chosen.series[0],
        "expansion_mrr": chosen.series[4],
        "reactivation_mrr": chosen.series[2],
        "contraction_mrr": chosen.series[1],
        "churned_mrr": chosen.bad,
    }
    return stacked(
        [row["month"] for row in months],
        "month",
        [(name, [row[column] for row in months], colours[column]) for column, name in BRIDGE_STEPS],
        "money",
        currency,
        height=340,
    )


def revenue_retention(months: Sequence[Row]) -> go.Figure:
    """Net and gross revenue retention of the twelve months before each month's end."""
    chosen = charts.theme()
    shown = [row for row in months if row["net_revenue_retention_12m"] is not None]
    made = courses(
        shown,
        "month",
        "month",
        (
            ("net_revenue_retention_12m", "Net", chosen.series[0]),
            ("gross_revenue_retention_12m", "Gross", chosen.series[1]),
        ),
        lambda row, name, column: (
            f"Twelve months to {period_name(row['month'], 'month')}<br>{name}: {formats.percent(row[column])}"
        ),
    )
    at_level(made, 1, len(shown), chosen.neutral)
    return made.update_yaxes(tickformat=".0%")


def churn(months: Sequence[Row]) -> go.Figure:
    """The share of the month's opening MRR that left, by asking or by a failed payment."""
    chosen = charts.theme()
    return stacked(
        [row["month"] for row in months],
        "month",
        [
            ("Asked to leave", [row["revenue_churn_rate_voluntary"] for row in months], chosen.bad),
            ("Payment failed", [row["revenue_churn_rate_involuntary"] for row in months], chosen.warn),
        ],
        "percent",
    )


def renewals(rows: Sequence[Row], currency: str) -> go.Figure:
    """What was or is due, month by month, by what became of it."""
    chosen = charts.theme()
    starts = sorted({row["due_month"] for row in rows})
    cells = {(row["due_month"], row["status"]): row for row in rows}

    def amounts(status: str, column: str = "amount_due") -> list[float]:
        return [(cells.get((start, status)) or {}).get(column) or 0 for start in starts]

    at_risk = amounts("open", "amount_at_risk")
    calm = [due - risk for due, risk in zip(amounts("open"), at_risk, strict=True)]
    return stacked(
        starts,
        "month",
        [
            ("Renewed", amounts("renewed"), chosen.good),
            ("Open", calm, chosen.neutral),
            ("Open, at risk", at_risk, chosen.warn),
            ("Lapsed", amounts("lapsed"), chosen.series[3]),
            ("Lost", amounts("lost"), chosen.bad),
        ],
        "money",
        currency,
    )


def ltv_to_cac(rows: Sequence[Row], currency: str) -> go.Figure:
    """Lifetime value over the cost of winning a customer, by channel; red where it does not earn its cost."""
    chosen = charts.theme()
    shown = sorted((row for row in rows if row["ltv_to_cac"] is not None), key=lambda row: -row["ltv_to_cac"])
    colours = [chosen.bad if row["ltv_to_cac"] < 1 else chosen.good for row in shown]
    notes = [
        f"a customer is worth {formats.money(row['ltv'], currency)}"
        f" and costs {formats.money(row['cac_loaded'], currency)}"
        for row in shown
    ]
    return bars(shown, "channel", "ltv_to_cac", "ratio", colours=colours, notes=notes)


def segments(rows: Sequence[Row], currency: str) -> go.Figure:
    """Revenue by customer segment."""
    notes = [f"{formats.integer(row['customers'])} customers" for row in rows]
    return bars(rows, "segment", "revenue", "money_compact", currency, notes=notes)
