"""How charts look: one theme for light and dark, colours that colour-blind people can tell apart (after
Okabe and Ito), no decoration.

Names from the data reach plotly only through `text()`: plotly reads a subset of HTML in labels, and a
campaign may be called anything.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from dashboard import data, formats


@dataclass(frozen=True)
class Theme:
    """Colours on one background."""

    series: tuple[str, ...]
    ink: str
    muted: str
    grid: str
    surface: str
    accent: str
    good: str
    bad: str
    warn: str
    neutral: str
    scale: tuple[str, ...]  # little to much


LIGHT = Theme(
    series=("#0b6aa8", "#e08a00", "#008f6b", "#b8508a", "#3aa0dc", "#c4501a", "#8a7a12", "#5b6675"),
    ink="#1c2430", muted="#5b6675", grid="#e6e9ee", surface="#ffffff", accent="#0b6aa8",
    good="#0b6aa8", bad="#c4501a", warn="#a86600", neutral="#a9b2bd",
    scale=("#eef5fa", "#bcdcf0", "#7fbbe0", "#3f94c9", "#0b6aa8", "#073f66"),
)  # fmt: skip
DARK = Theme(
    series=("#56b4e9", "#f0a830", "#2fc39b", "#dd8fba", "#2f8fd0", "#f0773f", "#d8c94a", "#98a4b3"),
    ink="#e4e8ee", muted="#9aa5b3", grid="#2a313b", surface="#1a2029", accent="#56b4e9",
    good="#56b4e9", bad="#f0773f", warn="#f0a830", neutral="#5d6876",
    scale=("#1d2a36", "#1f4560", "#226a97", "#3191cb", "#64baec", "#b9e0f8"),
)  # fmt: skip
FONT = '"Source Sans", "Source Sans 3", "Source Sans Pro", system-ui, sans-serif'
CONFIG = {"displayModeBar": False, "responsive": True, "scrollZoom": False, "doubleClick": False}
ROW = 30  # pixels of a line in a figure with one line a row
MOST = 15  # lines of such a figure
PAIRS = 10  # lines of one with several bars a line
GREY_CHANNELS = ("(unattributed)", "(not set)", "Unassigned", "Other")


def theme() -> Theme:
    """The theme of the browser that asks."""
    return DARK if st.context.theme.type == "dark" else LIGHT


def text(value: Any, length: int = 28) -> str:
    """A name from the data as plotly shows it letter by letter: no markup, no placeholder, not too long."""
    short = formats.shorten(formats.NOTHING if value is None else value, length)
    escaped = short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("%{", "% {").replace("$", "&#36;")


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour a name, the same on every chart with the same names; what is no real channel is grey."""
    chosen, found = theme(), {}
    for name in names:
        if name in GREY_CHANNELS:
            found[name] = chosen.neutral
        else:
            number = sum(other not in GREY_CHANNELS for other in found)
            found[name] = chosen.series[number % len(chosen.series)]
    return found


def at(scale: Sequence[str], share: float) -> tuple[float, float, float]:
    """The colour at a share of a scale's length, as red, green and blue up to 1."""
    place = min(max(share, 0.0), 1.0) * (len(scale) - 1)
    first = min(int(place), len(scale) - 2)
    ends = [[int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)] for colour in scale[first : first + 2]]
    red, green, blue = (a + (b - a) * (place - first) for a, b in zip(*ends, strict=True))
    return red, green, blue


def ink_on(colour: tuple[float, float, float]) -> str:
    """Black or white, whichever stands out more on a colour (by the contrast ratio of WCAG 2)."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (light + 0.05) ** 2 > 1.05 * 0.05 else "#ffffff"


def figure(height: int = 280, legend: bool = False, **layout: Any) -> go.Figure:
    """An empty chart in the theme; `layout` is more of plotly's layout."""
    chosen = theme()
    small = {"color": chosen.muted, "size": 12}
    axis = {
        "gridcolor": chosen.grid,
        "zerolinecolor": chosen.neutral,
        "linecolor": chosen.grid,
        "automargin": True,
        "tickfont": small,
        "title": {"font": small},
        "ticks": "",
        "fixedrange": True,
    }
    base = {
        "template": "none",
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 30 if legend else 8, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 12, "color": chosen.ink},
        "colorway": list(chosen.series),
        "xaxis": {**axis, "showgrid": False},
        "yaxis": axis,
        "showlegend": legend,
        "legend": {
            "orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom",
            "font": {"size": 12, "color": chosen.ink}, "itemclick": False, "itemdoubleclick": False,
        },
        "hoverlabel": {
            "bgcolor": chosen.surface, "bordercolor": chosen.neutral,
            "font": {"family": FONT, "size": 12, "color": chosen.ink}, "align": "left",
        },
        "bargap": 0.28,
        "dragmode": False,
        "separators": ".,",
    }  # fmt: skip
    # In one piece: update_layout takes 15 ms for what this does in one, and made up half of a page's time.
    return go.Figure(layout={**base, **layout})


def show(made: go.Figure, key: str, alt: str) -> None:
    """Draw a chart. `alt` says in one sentence what it shows, for those who cannot see it."""
    st.plotly_chart(made, theme=None, config=CONFIG, key=f"chart_{key}", alt=alt)


def written(values: Sequence[Any], kind: str) -> list[str]:
    """Values as texts for labels and hovers."""
    currency = data.settings().currency if kind.startswith("money") else ""
    return [formats.write(value, kind, currency) for value in values]


def on_rows(made: go.Figure, names: Sequence[str], length: int = 26, **axis: Any) -> go.Figure:
    """The vertical axis of lines at positions 0, 1, 2, ..., the first on top."""
    made.update_yaxes(
        tickmode="array",
        tickvals=list(range(len(names))),
        ticktext=[text(name, length) for name in names],
        range=[len(names) - 0.45, -0.55],
        showgrid=False,
        zeroline=False,
        tickfont={"color": theme().ink, "size": 12},
        **axis,
    )
    return made


def bars(
    rows: Sequence[Mapping[str, Any]],
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
    chosen = theme()
    shown = list(rows)[:MOST]
    values = [row[value] or 0 for row in shown]
    labels = [formats.write(row[value], kind, currency) for row in shown]
    made = figure(height=len(shown) * ROW + 34)
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
            f"{text(row[name], 80)}: {label}" + (f"<br>{note}" if note else "")
            for row, label, note in zip(
                shown, labels, list(notes)[: len(shown)] or [""] * len(shown), strict=True
            )
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )
    highest, lowest = max([0, *values]), min([0, *values])
    room = (highest - lowest or 1) * 0.3  # for the written values
    made.update_xaxes(visible=False, range=[lowest - (room if lowest < 0 else 0), highest + room])
    return on_rows(made, [row[name] for row in shown], length)


def paired_bars(
    rows: Sequence[Mapping[str, Any]],
    name: str,
    parts: Sequence[tuple[str, str, str]],
    kind: str,
) -> go.Figure:
    """Bars to compare, row by row. A part is its name, its key in the rows and its colour."""
    shown = list(rows)[:PAIRS]
    made = figure(height=len(shown) * 38 + 70, legend=True, barmode="group", bargap=0.3)
    for called, key, colour in parts:
        values = [row[key] or 0 for row in shown]
        made.add_bar(
            orientation="h",
            name=called,
            y=list(range(len(shown))),
            x=values,
            text=written(values, kind),
            textposition="outside",
            cliponaxis=False,
            marker={"color": colour},
            customdata=[text(row[name], 60) for row in shown],
            hovertemplate="%{customdata}: %{text}<extra>" + called + "</extra>",
        )
    top = max([row[key] or 0 for row in shown for _, key, _ in parts]) or 1
    made.update_xaxes(visible=False, range=[0, top * 1.22])
    return on_rows(made, [row[name] for row in shown], 22)


def lines(
    series: Mapping[str, tuple[Sequence[dt.date], Sequence[Any]]],
    kind: str = "number",
    height: int = 260,
) -> go.Figure:
    """One line a name over time; a single point is drawn as a point."""
    made = figure(height=height, legend=len(series) > 1, hovermode="x unified")
    palette = colours(list(series))
    for name, (days, values) in series.items():
        made.add_scatter(
            x=list(days),
            y=list(values),
            name=text(name, 24),
            mode="lines+markers" if len(days) <= 2 else "lines",
            line={"width": 2, "color": palette[name]},
            marker={"size": 7, "color": palette[name]},
            text=written(values, kind),
            hovertemplate="%{text}<extra>" + text(name, 40) + "</extra>",
        )
    made.update_yaxes(rangemode="tozero", nticks=5, **axis_format(kind))
    moments = sorted({day for days, _ in series.values() for day in days})
    if len(moments) <= 4:  # else the ticks between them carry the same month's name
        made.update_xaxes(tickmode="array", tickvals=moments)
    made.update_xaxes(nticks=5, tickformat="%b %Y", hoverformat="%d %b %Y")
    return made


def money_axis(currency: str) -> dict[str, Any]:
    """How an axis writes amounts."""
    return {"tickprefix": formats.SYMBOLS.get(currency, "").replace("$", "&#36;"), "tickformat": "~s"}


def axis_format(kind: str) -> dict[str, Any]:
    """How an axis writes a kind of value."""
    if kind == "percent":
        return {"tickformat": ",.0%"}
    if kind.startswith("money"):
        return money_axis(data.settings().currency)
    return {"tickformat": "~s" if kind in ("compact", "integer", "number") else ""}


def changes(rows: Sequence[Mapping[str, Any]], name: str, value: str, kind: str = "number") -> go.Figure:
    """Gains to the right, losses to the left, with their sign written at them."""
    chosen = theme()
    values = [row[value] or 0 for row in rows]
    made = figure(height=max(3, len(rows)) * 26 + 28)
    texts = [
        ("+" if number > 0 else "") + label
        for number, label in zip(values, written(values, kind), strict=True)
    ]
    made.add_bar(
        orientation="h",
        y=list(range(len(rows))),
        x=values,
        text=texts,
        textposition="outside",
        cliponaxis=False,
        marker={
            "color": [
                chosen.neutral if row[name] in GREY_CHANNELS else chosen.good if number >= 0 else chosen.bad
                for row, number in zip(rows, values, strict=True)
            ]
        },
        customdata=[text(row[name], 80) for row in rows],
        hovertemplate="%{customdata}<br>%{text}<extra></extra>",
    )
    room = (max([0, *values]) - min([0, *values]) or 1) * 0.2
    made.update_xaxes(
        visible=True,
        showticklabels=False,
        showgrid=False,
        zeroline=True,
        range=[min([0, *values]) - room, max([0, *values]) + room],
    )
    return on_rows(made, [row[name] for row in rows], 24)
