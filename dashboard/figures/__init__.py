"""Figures of the pages: functions from rows to plotly figures, in the theme of `charts`.

Every function takes a single row, and more rows than fit: it keeps what matters most, and the page's table
and download have the rest. Where there is no row the panel says so, and nothing is drawn. Names from the data
go through `charts.text`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from dashboard import charts, formats
from dashboard.data import Row

ROW = 30  # pixels of a line in a figure with one line a row
MOST = 15  # lines of such a figure
TICKS = 7  # labels that fit under a figure on a telephone


def period_name(start: dt.date, grain: str) -> str:
    """A period as people name it: 30 Jun 25 for a week, Jun 2025, Apr–Jun 2025."""
    if grain == "fiscal_quarter":
        last = dt.date(start.year + (start.month + 1) // 12, (start.month + 1) % 12 + 1, 1)
        return f"{start:%b}–{last:%b %Y}" if last.year == start.year else f"{start:%b %Y}–{last:%b %Y}"
    return formats.period(start, grain)


def tick(start: dt.date, grain: str) -> str:
    """The same under a column, on two lines where it is long."""
    if grain == "fiscal_quarter":
        first, _, year = period_name(start, grain).rpartition(" ")
        return f"{first}<br>{year}"
    return f"{start:%b}<br>{start.year}" if grain == "month" else f"{start.day} {start:%b}<br>{start.year}"


def on_periods(made: go.Figure, starts: Sequence[dt.date], grain: str, **axis: Any) -> go.Figure:
    """The horizontal axis of columns at positions 0, 1, 2, ...: every period's name, or as many as fit."""
    step = max(1, -(-len(starts) // TICKS))
    shown = [place for place in range(len(starts)) if (len(starts) - 1 - place) % step == 0]
    made.update_xaxes(
        tickmode="array",
        tickvals=shown,
        ticktext=[tick(starts[place], grain) for place in shown],
        tickangle=0,
        range=[-0.6, max(len(starts), 3) - 0.4],
        **{"zeroline": False, **axis},
    )
    return made


def on_rows(made: go.Figure, names: Sequence[str], length: int = 26, **axis: Any) -> go.Figure:
    """The vertical axis of lines at positions 0, 1, 2, ..., the first on top."""
    made.update_yaxes(
        tickmode="array",
        tickvals=list(range(len(names))),
        ticktext=[charts.text(name, length) for name in names],
        range=[max(len(names), 2) - 0.45, -0.55],
        showgrid=False,
        zeroline=False,
        tickfont={"color": charts.theme().ink, "size": 12},
        **axis,
    )
    return made


def brief(value: float) -> str:
    """An amount in at most five characters, where many stand side by side: 2.0M, 61k, −139k."""
    size, sign = abs(value), "−" if value < 0 else ""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if size >= limit * 0.9995:
            number = size / limit
            return f"{sign}{number:.1f}{unit}" if number < 9.95 else f"{sign}{number:.0f}{unit}"
    return f"{sign}{size:.0f}"


def waterfall(
    names: Sequence[str],
    values: Sequence[float],
    *,
    currency: str,
    notes: Sequence[str] = (),
    good: Sequence[str] = (),
    height: int = 340,
) -> go.Figure:
    """A bridge: the first value is what there was, the last what there is, those between the signed changes.

    Args:
        names: Of every column.
        values: Of every column.
        currency: Of the amounts.
        notes: What to say besides of every column on hover.
        good: Names of what is good though it goes down, as what was won out of a pipeline.
        height: In pixels.
    """
    chosen = charts.theme()
    last = len(values) - 1
    bottoms, heights, tops, colours, labels = [], [], [], [], []
    level = 0.0
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        is_total = place in (0, last)
        before, level = (0.0, value) if is_total else (level, level + value)
        bottoms.append(min(before, level))
        heights.append(abs(level - before))
        tops.append(max(before, level))
        up = chosen.good if value > 0 else chosen.bad
        colours.append(chosen.neutral if is_total else chosen.series[2] if name in good else up)
        labels.append(("+" if value > 0 and not is_total else "") + brief(value))
    made = charts.figure(height=height)
    made.add_bar(
        x=list(range(len(values))),
        y=heights,
        base=bottoms,
        marker={"color": colours},
        customdata=[
            f"{charts.text(name)}: {formats.money(value, currency)}" + (f"<br>{note}" if note else "")
            for name, value, note in zip(names, values, notes or [""] * len(names), strict=True)
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )
    made.add_scatter(
        x=list(range(len(values))),
        y=tops,
        text=labels,
        mode="text",
        textposition="top center",
        textfont={"color": chosen.ink, "size": 10},
        cliponaxis=False,
        hoverinfo="skip",
    )
    made.update_xaxes(
        tickmode="array",
        tickvals=list(range(len(names))),
        ticktext=[charts.text(name) for name in names],
        tickangle=0 if len(names) <= 5 else -35,
        range=[-0.6, len(names) - 0.4],
        tickfont={"size": 11},
        zeroline=False,
    )
    made.update_yaxes(nticks=5, tickformat="~s", range=[min(0, *bottoms) * 1.1, max(tops) * 1.12 or 1])
    return made


def stacked(
    starts: Sequence[dt.date],
    grain: str,
    parts: Sequence[tuple[str, Sequence[float | None], str]],
    kind: str,
    currency: str = "",
    height: int = 300,
) -> go.Figure:
    """Columns of parts, period by period. A part is its name, its values and its colour."""
    made = charts.figure(height=height, legend=True, barmode="relative")
    periods = [period_name(start, grain) for start in starts]
    for name, values, colour in parts:
        made.add_bar(
            x=list(range(len(starts))),
            y=list(values),
            name=charts.text(name, 24),
            marker={"color": colour},
            customdata=[
                f"{period}<br>{charts.text(name, 40)}: {formats.write(value, kind, currency)}"
                for period, value in zip(periods, values, strict=True)
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    made.update_layout(legend={"traceorder": "normal"})
    made.update_yaxes(nticks=5, tickformat=".0%" if kind == "percent" else "~s", zeroline=True)
    return on_periods(made, starts, grain)


def bars(
    rows: Sequence[Row],
    name: str,
    value: str,
    kind: str,
    currency: str = "",
    *,
    colours: Sequence[str] | None = None,
    notes: Sequence[str] = (),
    length: int = 26,
) -> go.Figure:
    """One bar a row, the first on top, its value at its end."""
    chosen = charts.theme()
    shown = list(rows)[:MOST]
    values = [row[value] or 0 for row in shown]
    labels = [formats.write(row[value], kind, currency) for row in shown]
    made = charts.figure(height=len(shown) * ROW + (34 if len(shown) > 1 else 60))
    made.add_bar(
        orientation="h",
        x=values,
        y=list(range(len(shown))),
        text=labels,
        textposition="outside",
        textfont={"color": chosen.ink},
        cliponaxis=False,
        marker={"color": list(colours)[: len(shown)] if colours else chosen.accent},
        customdata=[
            f"{charts.text(row[name], 80)}: {label}" + (f"<br>{note}" if note else "")
            for row, label, note in zip(
                shown, labels, list(notes)[: len(shown)] or [""] * len(shown), strict=True
            )
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )
    made.update_xaxes(visible=False, range=[0, max([*values, 0]) * 1.3 or 1])
    return on_rows(made, [row[name] for row in shown], length)
