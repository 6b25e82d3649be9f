"""Figures of the pages: functions from rows to plotly figures, in the theme of `charts`.

Every function takes a single row, and more rows than fit: it keeps what matters most, and the page's table
and download have the rest. Where there is no row the panel says so, and nothing is drawn. Names from the data
go through `charts.text`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go

from dashboard import charts, formats
from dashboard.data import Row

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
        autotickangles=[0, -35],  # level where there is room
        range=[-0.6, len(names) - 0.4],
        tickfont={"size": 11},
        zeroline=False,
    )
    made.update_yaxes(
        nticks=5, **charts.money_axis(currency), range=[min(0, *bottoms) * 1.1, max(tops) * 1.12 or 1]
    )
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
    axis = {"tickformat": ".0%"} if kind == "percent" else charts.money_axis(currency)
    made.update_yaxes(nticks=5, zeroline=True, **axis)
    return on_periods(made, starts, grain)


def courses(
    rows: Sequence[Row],
    start: str,
    grain: str,
    lines: Sequence[tuple[str, str, str]],
    said: Callable[[Row, str, str], str],
) -> go.Figure:
    """Lines over periods with their points, a sign for each line.

    Args:
        rows: One a period.
        start: The column with the period's first day.
        grain: Of the periods.
        lines: At most three; of each its column, its name and its colour.
        said: What a point says on hover, of its row, the line's name and its column.
    """
    made = charts.figure(height=300, legend=True)
    for (column, name, colour), symbol in zip(lines, ("circle", "diamond", "square"), strict=False):
        made.add_scatter(
            x=list(range(len(rows))),
            y=[row[column] for row in rows],
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 2},
            marker={"size": 7, "symbol": symbol},
            cliponaxis=False,
            customdata=[said(row, name, column) for row in rows],
            hovertemplate="%{customdata}<extra></extra>",
        )
    made.update_yaxes(nticks=6, zeroline=False)
    return on_periods(made, [row[start] for row in rows], grain)


def at_level(made: go.Figure, value: float, periods: int, colour: str, name: str = "") -> go.Figure:
    """A dashed line across all periods; in the legend only if it has a name."""
    return made.add_scatter(
        x=[-0.5, max(periods, 3) - 0.5],
        y=[value, value],
        name=name,
        mode="lines",
        line={"color": colour, "width": 2, "dash": "dash"},
        hoverinfo="skip",
        showlegend=bool(name),
    )


def written_beside(made: go.Figure, places: Sequence[float], texts: Sequence[str]) -> go.Figure:
    """A text on each line of a figure with lines at 0, 1, 2, ..., to the right of a place."""
    return made.add_scatter(
        x=list(places),
        y=list(range(len(places))),
        text=list(texts),
        mode="text",
        textposition="middle right",
        textfont={"color": charts.theme().ink, "size": 12},
        cliponaxis=False,
        hoverinfo="skip",
        showlegend=False,
    )


def heatmap(
    made: go.Figure,
    values: Sequence[Sequence[float | None]],
    said: Sequence[Sequence[str]],
    written: Sequence[Sequence[str]] | None,
    *,
    bounds: tuple[float, float],
    scale: Sequence[str],
    gap: float = 2,
) -> go.Figure:
    """Cells at columns and rows 0, 1, 2, ... in colours of a scale, each with its text in an ink that can be
    read on it; plotly's own choice of ink is faint on the middle of a scale.

    Args:
        made: The figure to draw in.
        values: Row by row; None leaves a cell empty.
        said: What a cell says on hover.
        written: What stands in a cell; None where there is no room.
        bounds: The values at the scale's ends.
        scale: Colours at even distances.
        gap: Between cells, in pixels.
    """
    low, high = bounds
    made.add_trace(
        go.Heatmap(
            z=values,
            customdata=said,
            hovertemplate="%{customdata}<extra></extra>",
            hoverongaps=False,
            zmin=low,
            zmax=high,
            colorscale=[[place / (len(scale) - 1), colour] for place, colour in enumerate(scale)],
            showscale=False,
            xgap=gap,
            ygap=gap,
        )
    )
    if written is not None:
        cells = [
            (column, row, written[row][column], (value - low) / (high - low))
            for row, line in enumerate(values)
            for column, value in enumerate(line)
            if value is not None
        ]
        made.add_scatter(
            x=[column for column, _, _, _ in cells],
            y=[row for _, row, _, _ in cells],
            text=[text for _, _, text, _ in cells],
            mode="text",
            textfont={"size": 11, "color": [charts.ink_on(charts.at(scale, share)) for *_, share in cells]},
            hoverinfo="skip",
            showlegend=False,
        )
    return made
