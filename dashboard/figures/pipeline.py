"""Figures of the pipeline page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import plotly.graph_objects as go

from dashboard import charts, formats
from dashboard.charts import ROW, bars, on_rows
from dashboard.data import Row
from dashboard.figures import courses, on_periods, period_name, tick, waterfall, written_beside
from dashboard.queries.pipeline import WATERFALL_STEPS


def forecast(
    won: Sequence[Row], expected: Sequence[Row], quotas: Sequence[Row], grain: str, currency: str
) -> go.Figure:
    """What past periods brought, what the present and the next should bring, with the band and the quota."""
    chosen = charts.theme()
    past = list(won)[-8:] if grain == "fiscal_quarter" else list(won)[-12:]
    starts = [*(row["period_start"] for row in past), *(row["period_start"] for row in expected)]
    ahead = range(len(past), len(starts))
    made = charts.figure(height=360, legend=True, barmode="stack")

    def add(name: str, places: Sequence[int], rows: Sequence[Row], column: str, colour: str) -> None:
        made.add_bar(
            x=list(places),
            y=[row[column] for row in rows],
            name=name,
            marker={"color": colour},
            customdata=[
                f"{period_name(row['period_start'], grain)}<br>{name}: {formats.money(row[column], currency)}"
                for row in rows
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )

    if past:
        add("Won", range(len(past)), past, "actual_amount", chosen.neutral)
    add("Won so far", ahead, expected, "won_to_date", chosen.series[2])
    add("Expected of open deals", ahead, expected, "expected_from_open", chosen.series[0])
    add("Expected of deals to come", ahead, expected, "expected_from_uncreated", chosen.series[4])
    _expected(
        made,
        ahead,
        expected,
        "Interval",
        chosen.ink,
        [
            f"{period_name(row['period_start'], grain)}: {formats.money(row['expected_amount'], currency)}"
            f"<br>between {formats.money(row['expected_low'], currency)}"
            f" and {formats.money(row['expected_high'], currency)}"
            for row in expected
        ],
    )
    aims = {row["period_start"]: row["quota"] for row in quotas}
    places = [place for place, start in enumerate(starts) if start in aims]
    if places:
        made.add_scatter(
            x=places,
            y=[aims[starts[place]] for place in places],
            name="Quota",
            mode="markers",
            marker={"symbol": "line-ew", "size": 16, "line": {"width": 3, "color": chosen.warn}},
            customdata=[
                f"{period_name(starts[place], grain)}"
                f"<br>Quota: {formats.money(aims[starts[place]], currency)}"
                for place in places
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    made.update_layout(legend={"traceorder": "normal"})
    made.update_yaxes(rangemode="tozero", nticks=6, **charts.money_axis(currency))
    return on_periods(made, starts, grain)


def _expected(
    made: go.Figure, places: Sequence[int], rows: Sequence[Row], name: str, colour: str, said: Sequence[str]
) -> None:
    """What was expected, as points with their intervals."""
    made.add_scatter(
        x=list(places),
        y=[row["expected_amount"] for row in rows],
        name=name,
        mode="markers",
        marker={"color": colour, "size": 8},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [row["expected_high"] - row["expected_amount"] for row in rows],
            "arrayminus": [row["expected_amount"] - row["expected_low"] for row in rows],
            "color": colour,
            "thickness": 1.6,
            "width": 5,
        },
        customdata=list(said),
        hovertemplate="%{customdata}<extra></extra>",
    )


def backtest(rows: Sequence[Row], grain: str, currency: str) -> go.Figure:
    """Forecasts of periods that are over with their bands, what came, and what a naive one had said."""
    chosen = charts.theme()
    shown = sorted(rows, key=lambda row: (row["period_start"], row["forecast_date"]))[-15:]
    places = list(range(len(shown)))
    made = charts.figure(height=340, legend=True)

    def said(row: Row, name: str, value: float | None) -> str:
        return (
            f"{period_name(row['period_start'], grain)}, looked from {formats.date(row['forecast_date'])}"
            f"<br>{name}: {formats.money(value, currency)}"
        )

    _expected(
        made,
        places,
        shown,
        "Forecast and interval",
        chosen.accent,
        [said(row, "Forecast", row["expected_amount"]) for row in shown],
    )
    made.add_scatter(
        x=places,
        y=[row["naive_crm_amount"] for row in shown],
        name="Stage probabilities",
        mode="markers",
        marker={"color": chosen.neutral, "size": 8, "symbol": "x"},
        customdata=[said(row, "Stage probabilities", row["naive_crm_amount"]) for row in shown],
        hovertemplate="%{customdata}<extra></extra>",
    )
    made.add_scatter(
        x=places,
        y=[row["actual_amount"] for row in shown],
        name="What came",
        mode="markers",
        marker={"symbol": "line-ew", "size": 18, "line": {"width": 3, "color": chosen.warn}},
        customdata=[said(row, "Came", row["actual_amount"]) for row in shown],
        hovertemplate="%{customdata}<extra></extra>",
    )
    # A band that was far too wide must not press the rest flat: the axis ends at twice of what matters.
    level = max([*(row["expected_amount"] for row in shown), *(row["actual_amount"] for row in shown), 1.0])
    top = min(max(row["expected_high"] for row in shown), 2 * level)
    made.update_yaxes(range=[0, max(top, level) * 1.06], nticks=6, **charts.money_axis(currency))
    # Several forecasts were made of one period: its name stands once, under their middle.
    groups: dict[dt.date, list[int]] = {}
    for place, row in enumerate(shown):
        groups.setdefault(row["period_start"], []).append(place)
    return made.update_xaxes(
        tickmode="array",
        tickvals=[sum(group) / len(group) for group in groups.values()],
        ticktext=[tick(start, grain) for start in groups],
        range=[-0.6, max(len(shown), 3) - 0.4],
        zeroline=False,
    )


def pipeline_waterfall(row: Row, currency: str) -> go.Figure:
    """How the open pipeline of a period's start became that of its end; steps of nothing are left out."""
    steps = [(column, sign, name) for column, sign, name in WATERFALL_STEPS if row[column]]
    names = ["Start", *(name for _, _, name in steps), "End" if row["is_complete"] else "Now"]
    values = [row["start_amount"], *(sign * row[column] for column, sign, _ in steps), row["end_amount"]]
    notes = [
        f"{formats.integer(row[count])} deals"
        if (count := column.replace("_amount", "_count")) in row
        else ""
        for column in ("start_amount", *(column for column, _, _ in steps), "end_amount")
    ]
    return waterfall(names, values, currency=currency, notes=notes, good=["Won"])


def coverage(rows: Sequence[Row], currency: str) -> go.Figure:
    """What a quota still asks for beside what is open and due, and the same weighted, holder by holder."""
    chosen = charts.theme()
    shown = list(rows)[:12]
    names = [row["holder_name"] for row in shown]
    made = charts.figure(height=len(shown) * 56 + 70, legend=True, barmode="group", bargap=0.25)
    for column, name, colour in (
        ("remaining_quota", "Still to be won", chosen.neutral),
        ("open_amount", "Open and due", chosen.series[4]),
        ("weighted_amount", "Of it, expected", chosen.series[0]),
    ):
        made.add_bar(
            orientation="h",
            x=[max(row[column] or 0, 0) for row in shown],
            y=list(range(len(shown))),
            name=name,
            marker={"color": colour},
            customdata=[
                f"{charts.text(row['holder_name'], 60)}<br>{name}: {formats.money(row[column], currency)}"
                for row in shown
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    top = max([*(max(row["open_amount"] or 0, row["remaining_quota"] or 0) for row in shown), 1])
    written_beside(
        made,
        [max(row["open_amount"] or 0, row["remaining_quota"] or 0) + top * 0.02 for row in shown],
        ["quota met" if row["is_quota_met"] else formats.ratio(row["coverage"]) for row in shown],
    )
    made.update_xaxes(range=[0, top * 1.22], nticks=5, showgrid=True, **charts.money_axis(currency))
    made.update_layout(legend={"traceorder": "normal"})
    return on_rows(made, names)


def attainment(rows: Sequence[Row]) -> go.Figure:
    """What came over what was expected, holder by holder, and how much of the time has passed."""
    chosen = charts.theme()
    shown = list(rows)[:12]
    made = charts.figure(height=len(shown) * (ROW + 4) + 80, legend=True)
    made.add_bar(
        orientation="h",
        x=[row["attainment"] or 0 for row in shown],
        y=list(range(len(shown))),
        name="Of the quota",
        marker={"color": [chosen.bad if row["is_behind"] else chosen.good for row in shown]},
        customdata=[
            f"{charts.text(row['holder_name'], 60)}: {formats.percent(row['attainment'])}"
            f"<br>{formats.compact(row['actual'])} of {formats.compact(row['quota'])}"
            for row in shown
        ],
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=False,
    )
    passed = shown[0]["elapsed_share"]
    made.add_scatter(
        x=[passed, passed],
        y=[-0.5, max(len(shown), 2) - 0.5],
        name="Time that has passed" if passed < 1 else "The whole quota",
        mode="lines",
        line={"color": chosen.warn, "width": 2, "dash": "dash"},
        hoverinfo="skip",
    )
    top = max([*(row["attainment"] or 0 for row in shown), 1.0])
    written_beside(made, [top * 1.03] * len(shown), [formats.percent(row["attainment"]) for row in shown])
    made.update_xaxes(range=[0, top * 1.18], tickformat=".0%", nticks=6, showgrid=True)
    return on_rows(made, [row["holder_name"] for row in shown])


def sales_cycle(rows: Sequence[Row], grain: str) -> go.Figure:
    """Days to win, period by period: from creation (median and slowest tenth) and from the first touch."""
    chosen = charts.theme()
    made = courses(
        [row for row in rows if row["outcome"] == "won"][-13:],
        "period_start",
        grain,
        (
            ("median_days_from_creation", "From creation, median", chosen.series[0]),
            ("p90_days_from_creation", "From creation, slowest tenth", chosen.series[1]),
            ("median_days_from_first_touch", "From first touch, median", chosen.series[2]),
        ),
        lambda row, name, column: (
            f"{period_name(row['period_start'], grain)}, {formats.integer(row['deals'])} deals"
            f"<br>{name}: {formats.days(None if row[column] is None else round(row[column]))}"
        ),
    )
    return made.update_yaxes(title={"text": "days"}, rangemode="tozero")


def reasons(rows: Sequence[Row], outcome: str, currency: str) -> go.Figure:
    """Deals of one outcome by reason."""
    chosen = charts.theme()
    shown = [{**row, "name": formats.words(row["reason"])} for row in rows if row["outcome"] == outcome]
    notes = [
        f"{formats.percent(row['share_of_outcome'])} of {outcome} deals,"
        f" {formats.money(row['amount'], currency)}"
        for row in shown
    ]
    colour = chosen.good if outcome == "won" else chosen.bad
    colours = [chosen.neutral if row["reason"] == "(not set)" else colour for row in shown]
    return bars(shown, "name", "deals", "integer", colours=colours, notes=notes)


def win_rates(rows: Sequence[Row]) -> go.Figure:
    """Won out of closed deals, line by line."""
    named = [{**row, "name": formats.words(row["name"])} for row in rows]
    notes = [f"{formats.integer(row['won'])} won, {formats.integer(row['lost'])} lost" for row in rows]
    return bars(named, "name", "win_rate", "percent", notes=notes)


def attention(rows: Sequence[Row], currency: str) -> go.Figure:
    """Deals and leads by the reason for which somebody should look at them."""
    chosen = charts.theme()
    named = [
        {
            **row,
            "name": f"{formats.words(row['reason'])}"
            f" ({'deals' if row['subject'] == 'opportunity' else 'leads'})",
        }
        for row in rows
    ]
    colours = [chosen.bad if row["subject"] == "opportunity" else chosen.accent for row in rows]
    notes = [formats.money(row["amount"], currency) if row["amount"] is not None else "" for row in rows]
    return bars(named, "name", "subjects", "integer", colours=colours, notes=notes, length=32)
