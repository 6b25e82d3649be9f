"""Figures of the funnel page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from dashboard import charts, formats
from dashboard.charts import MOST, ROW, bars, on_rows
from dashboard.data import Row
from dashboard.figures import at_level, courses, heatmap, on_periods, period_name, stacked, written_beside

ENOUGH = 30  # of which a rate says enough to set the scale of a figure
UNITS = {"person": "persons", "account": "accounts", "opportunity": "deals"}


def unit(counting_unit: str) -> str:
    """What a stage counts, in the plural."""
    return UNITS.get(counting_unit, formats.words(counting_unit).lower())


def leaks(rows: Sequence[Row], currency: str) -> go.Figure:
    """What closing each stage's gap is worth a month; grey where chance alone could have made the gap."""
    chosen = charts.theme()
    named = [
        {**row, "leak": f"{formats.words(row['stage'])} → {formats.words(row['next_stage'])}"} for row in rows
    ]
    notes = [
        f"{formats.percent(row['conversion_rate'])} go on,"
        f" {formats.percent(row['benchmark'])} is the {formats.words(row['benchmark_source']).lower()}"
        for row in rows
    ]
    colours = [chosen.bad if row["is_beyond_chance"] else chosen.neutral for row in rows]
    return bars(
        named,
        "leak",
        "expected_value_per_month",
        "money_compact",
        currency,
        colours=colours,
        notes=notes,
        length=32,
    )


def volumes(rows: Sequence[Row]) -> go.Figure:
    """What entered each stage."""
    named = [{**row, "name": formats.words(row["stage"])} for row in rows]
    notes = [f"{formats.integer(row['recycled'])} came back" for row in rows]
    return bars(named, "name", "entered", "integer", notes=notes)


def rates_height(lines: int) -> int:
    """Pixels of the figure of so many rates."""
    return lines * ROW + 74


def rates(
    rows: Sequence[Row],
    name: str = "stage",
    names: Mapping[str, str] | None = None,
    advanced: str = "advanced_mature",
    entered: str = "entered_mature",
) -> go.Figure:
    """The share that goes on, line by line, with its 95 % interval and, where there is one, its target."""
    chosen = charts.theme()
    shown = list(rows)[:MOST] if name != "stage" else list(rows)
    rated = [(place, row) for place, row in enumerate(shown) if row["conversion_rate"] is not None]
    sure = [row["conversion_rate"] for _, row in rated if row[entered] >= ENOUGH]
    labels = [(names or {}).get(row[name]) or _called(row[name], name) for row in shown]
    aimed = [(place, row["target"]) for place, row in enumerate(shown) if row.get("target") is not None]
    top = max([*(row["conversion_rate_high"] for _, row in rated), *(target for _, target in aimed), 0.001])
    if name != "stage" and sure:
        top = min(top, max([2.5 * max(sure), *(1.2 * target for _, target in aimed)]))
    made = charts.figure(height=rates_height(len(shown)), legend=True)
    made.add_scatter(
        x=[min(row["conversion_rate"], top) for _, row in rated],
        y=[place for place, _ in rated],
        name="Rate and its 95% interval",
        mode="markers",
        marker={
            "color": chosen.accent,
            "size": 10,
            # What lies beyond the axis points there.
            "symbol": ["triangle-right" if row["conversion_rate"] > top else "circle" for _, row in rated],
        },
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [
                max(min(row["conversion_rate_high"], top) - row["conversion_rate"], 0) for _, row in rated
            ],
            "arrayminus": [
                min(row["conversion_rate"], top) - min(row["conversion_rate_low"], top) for _, row in rated
            ],
            "color": chosen.accent,
            "thickness": 1.6,
            "width": 4,
        },
        customdata=[
            f"{charts.text(labels[place], 60)}: {formats.percent(row['conversion_rate'])}"
            f" ({formats.percent(row['conversion_rate_low'])}"
            f" to {formats.percent(row['conversion_rate_high'])})"
            f"<br>{formats.integer(row[advanced])} of {formats.integer(row[entered])}"
            for place, row in rated
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )
    if aimed:
        made.add_scatter(
            x=[target for _, target in aimed],
            y=[place for place, _ in aimed],
            name="Target",
            mode="markers",
            marker={"symbol": "line-ns", "size": 17, "line": {"width": 3, "color": chosen.warn}},
            customdata=[
                f"{charts.text(labels[place], 60)}: target {formats.percent(value)}" for place, value in aimed
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    # The value stands in a column of its own at the right, where no interval can cross it.
    written_beside(
        made,
        [top * 1.04] * len(shown),
        ["" if row["conversion_rate"] is None else formats.percent(row["conversion_rate"]) for row in shown],
    )
    made.update_xaxes(
        range=[-0.015 * top, top * 1.2],
        tickformat=".0%" if top > 0.08 else ".1%",
        nticks=6,
        showgrid=True,
        zeroline=False,
    )
    return on_rows(made, labels)


def _called(value: str, name: str) -> str:
    return formats.words(value) if name == "stage" else value


def targets(rows: Sequence[Row], grain: str) -> go.Figure:
    """Rate over target, stage by period; empty where a cohort is too young to judge or nothing entered."""
    chosen = charts.theme()
    judged = [row for row in rows if row["is_mature"] and row["attainment"] is not None]
    stages = {row["stage"]: row["stage_order"] for row in judged}
    order = sorted(stages, key=lambda stage: stages[stage])
    last = max(row["period_start"] for row in judged)
    starts = sorted({row["period_start"] for row in rows if row["period_start"] <= last})
    cells = {(row["stage"], row["period_start"]): row for row in judged}
    wide = len(starts) <= 13

    def cell(stage: str, start: dt.date, write: str) -> Any:
        row = cells.get((stage, start))
        if row is None:
            return None if write == "value" else ""
        if write == "value":
            return row["attainment"]
        if write == "text":
            return f"{row['attainment'] * 100:.0f}"
        return (
            f"{formats.words(stage)}, {period_name(start, grain)}: {row['attainment']:.0%} of the target"
            f"<br>{formats.percent(row['conversion_rate'])} go on, target {formats.percent(row['target'])}"
            f"<br>{formats.integer(row['advanced'])} of {formats.integer(row['entered'])}"
        )

    made = charts.figure(height=len(order) * ROW + 60)
    heatmap(
        made,
        [[cell(stage, start, "value") for start in starts] for stage in order],
        [[cell(stage, start, "hover") for start in starts] for stage in order],
        [[cell(stage, start, "text") for start in starts] for stage in order] if wide else None,
        bounds=(0.4, 1.6),
        scale=(chosen.bad, chosen.surface, chosen.good),
    )
    on_rows(made, [formats.words(stage) for stage in order])
    on_periods(made, starts, grain, showgrid=False, zeroline=False)
    return made.update_xaxes(range=[-0.5, max(len(starts), 2) - 0.5])


def rate_trend(rows: Sequence[Row], grain: str, height: int = 300) -> go.Figure:
    """One stage's rate by cohort with its interval and target; hollow where the cohort is still young."""
    chosen = charts.theme()
    shown = [row for row in rows if row["conversion_rate"] is not None]
    starts = [row["period_start"] for row in shown]
    places = list(range(len(shown)))
    made = charts.figure(height=height, legend=True)
    if len(shown) > 1:
        made.add_scatter(
            x=[*places, *places[::-1]],
            y=[
                *(row["conversion_rate_high"] for row in shown),
                *(row["conversion_rate_low"] for row in shown[::-1]),
            ],
            fill="toself",
            fillcolor=chosen.neutral,
            opacity=0.28,
            line={"width": 0},
            hoverinfo="skip",
            name="95% interval",
        )
    for young, name, colour in (
        (False, "Mature cohort", chosen.accent),
        (True, "Cohort still young", chosen.surface),
    ):
        dots = [
            (place, row) for place, row in zip(places, shown, strict=True) if bool(row["is_mature"]) != young
        ]
        if dots:
            made.add_scatter(
                x=[place for place, _ in dots],
                y=[row["conversion_rate"] for _, row in dots],
                name=name,
                mode="markers",
                marker={"size": 9, "color": colour, "line": {"color": chosen.accent, "width": 2}},
                customdata=[
                    f"{period_name(row['period_start'], grain)}: {formats.percent(row['conversion_rate'])}"
                    f"<br>{formats.integer(row['advanced'])} of {formats.integer(row['entered'])}"
                    for _, row in dots
                ],
                hovertemplate="%{customdata}<extra></extra>",
            )
    target = next((row["target"] for row in reversed(shown) if row["target"] is not None), None)
    if target is not None:
        at_level(made, target, len(shown), chosen.warn, f"Target {formats.percent(target)}")
    top = max([*(row["conversion_rate_high"] for row in shown), target or 0, 0.001])
    made.update_yaxes(
        range=[0, top * 1.08], tickformat=".0%" if top > 0.08 else ".1%", nticks=6, zeroline=False
    )
    return on_periods(made, starts, grain)


def time_in_stage(rows: Sequence[Row]) -> go.Figure:
    """From the median to the slowest tenth, in days, stage by stage."""
    chosen = charts.theme()
    names = [formats.words(row["stage"]) for row in rows]
    made = charts.figure(height=len(rows) * (ROW + 4) + 84, legend=True)
    for place, row in enumerate(rows):
        made.add_scatter(
            x=[row["median_days"], row["p90_days"]],
            y=[place, place],
            mode="lines",
            line={"color": chosen.neutral, "width": 3},
            hoverinfo="skip",
            showlegend=False,
        )
    for column, name, colour, symbol in (
        ("median_days", "Half are out by", chosen.accent, "circle"),
        ("p90_days", "Nine of ten are out by", chosen.warn, "diamond"),
    ):
        made.add_scatter(
            x=[row[column] for row in rows],
            y=list(range(len(rows))),
            name=name,
            mode="markers",
            marker={"size": 10, "color": colour, "symbol": symbol},
            customdata=[
                f"{label}: {name.lower()} {formats.days(row[column])}"
                f"<br>{formats.integer(row['entered'])} entered"
                f" {period_name(row['period_start'], 'fiscal_quarter')}"
                for label, row in zip(names, rows, strict=True)
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    top = max(row["p90_days"] for row in rows)
    written_beside(
        made,
        [row["p90_days"] + top * 0.03 for row in rows],
        [f"\u2002{_days(row['median_days'])} · {_days(row['p90_days'])} d" for row in rows],
    )
    made.update_xaxes(
        range=[-0.02 * top, top * 1.3], title={"text": "days"}, nticks=6, showgrid=True, zeroline=False
    )
    return on_rows(made, names)


def _days(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:,.1f}"


def handoffs(rows: Sequence[Row], grain: str) -> go.Figure:
    """What sales did with what it was handed, period by period."""
    chosen = charts.theme()
    parts = (
        ("Accepted", "accepted", chosen.good),
        ("Open", "open", chosen.neutral),
        ("Recycled", "recycled", chosen.warn),
        ("Rejected", "rejected", chosen.bad),
    )
    return stacked(
        [row["period_start"] for row in rows],
        grain,
        [(name, [row[column] for row in rows], colour) for name, column, colour in parts],
        "integer",
    )


def speed_to_lead(rows: Sequence[Row], grain: str) -> go.Figure:
    """Open hours to the first contact: median and slowest tenth, period by period."""
    chosen = charts.theme()
    made = courses(
        [row for row in rows if row["p90_speed_to_lead_business_hours"] is not None],
        "period_start",
        grain,
        (
            ("median_speed_to_lead_business_hours", "Half are contacted by", chosen.accent),
            ("p90_speed_to_lead_business_hours", "Nine of ten by", chosen.warn),
        ),
        lambda row, name, column: (
            f"{period_name(row['period_start'], grain)}: {name.lower()} {row[column]:,.1f} business hours"
        ),
    )
    return made.update_yaxes(title={"text": "business hours"}, rangemode="tozero", nticks=5)


def reasons(rows: Sequence[Row]) -> go.Figure:
    """Rejected hand-overs by reason."""
    named = [{**row, "name": formats.words(row["reason"])} for row in rows]
    return bars(named, "name", "rejected", "integer", colours=[charts.theme().bad] * len(named))
