"""What pages are made of: the head of a page, figures, panels, tables, downloads, and what is said where
there is nothing.

All HTML of the dashboard is written here, and every value in it goes through `escape`: names of campaigns,
pages and deals come from outsiders. Figures and tables name where they come from (`schema.table.column`);
their definitions are read from the published file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from html import escape
from typing import Any, Literal, ParamSpec
from urllib.parse import urlencode

import streamlit as st

from dashboard import charts, data, filters, formats

Good = Literal["up", "down", "neither"]
SHOWN_ROWS = 25
P = ParamSpec("P")
_SHOWN = "funnelhouse.publication"


@dataclass(frozen=True)
class Figure:
    """One number with its name, what it was before, and what it means.

    Args:
        label: its name, two or three words.
        value: the number; None shows as a dash.
        kind: how it is written (`formats.write`).
        source: `schema.table.column` whose description is its definition.
        before: the same of the period before; shown as a change.
        good: whether more is better.
        note: a few words under it instead of, or beside, the change.
        means: said before the definition where the figure is more than that column (a sum, a share of it).
    """

    label: str
    value: Any
    kind: str = "number"
    source: str = ""
    before: Any = None
    good: Good = "up"
    note: str = ""
    means: str = ""

    @property
    def definition(self) -> str:
        return " ".join(part for part in (self.means, data.definition(self.source)) if part)


@dataclass(frozen=True)
class Column:
    """A column of a table: its key in the rows, its heading, how it is written, where it is defined.

    `bar` draws the value as a bar behind it; `link` makes an http(s) address of another key a link.
    """

    key: str
    label: str
    kind: str = "text"
    source: str = ""
    bar: bool = False
    link: str = ""
    length: int = 48


def page_head(title: str, question: str, chosen: filters.Filters | None, names: tuple[str, ...]) -> None:
    """The title, the question that the page answers, and the choice in one line."""
    line = filters.describe(chosen, names) if chosen else ""
    st.html(
        f'<header class="fh-head"><h1>{escape(title)}</h1><p class="fh-question">{escape(question)}</p>'
        + (f'<p class="fh-chosen" data-testid="chosen">{escape(line)}</p>' if line else "")
        + "</header>"
    )


def section(title: str, note: str = "") -> None:
    """A heading between parts of a page."""
    st.html(
        f'<h2 class="fh-section">{escape(title)}</h2>'
        + (f'<p class="fh-note">{escape(note)}</p>' if note else "")
    )


def figures(shown: Sequence[Figure], key: str) -> None:
    """Cards side by side, with their definitions on hover, focus or touch, and one download."""
    currency = data.settings().currency
    cards = "".join(_card(figure, currency, f"{key}_{number}") for number, figure in enumerate(shown))
    columns = next((width for width in (6, 5, 4, 3) if len(shown) % width == 0), min(len(shown), 6))
    columns = {8: 4, 7: 7}.get(len(shown), columns)
    st.html(
        f'<div class="fh-cards" style="--fh-columns: {columns}"'
        f' data-testid="figures-{escape(key)}">{cards}</div>'
    )
    rows = [
        {"figure": one.label, "value": one.value, "period_before": one.before, "definition": one.definition}
        for one in shown
    ]
    _download(rows, ["figure", "value", "period_before", "definition"], key)


def _card(figure: Figure, currency: str, key: str) -> str:
    kind = {"money": "money_compact", "integer": "integer_compact"}.get(figure.kind, figure.kind)
    value = formats.write(figure.value, kind, currency)
    change = formats.change(figure.value, figure.before, figure.kind)
    tone = ""
    if change and figure.good != "neither" and figure.value != figure.before:
        tone = "fh-good" if (figure.value > figure.before) == (figure.good == "up") else "fh-bad"
    arrow = (
        "" if not change or figure.value == figure.before else "▲ " if figure.value > figure.before else "▼ "
    )
    was = f" from {formats.write(figure.before, kind, currency)}" if change else ""
    under = (
        f'<span class="fh-change {tone}">{arrow}{escape(change)}</span>'
        f'<span class="fh-was">{escape(was)}</span>'
        if change
        else ""
    )
    note = f'<span class="fh-was">{escape(figure.note)}</span>' if figure.note else ""
    exact = "" if formats.is_missing(figure.value) or isinstance(figure.value, str) else repr(figure.value)
    tip = figure.definition
    help_ = f'<span class="fh-tip" role="tooltip" id="tip-{key}">{escape(tip)}</span>' if tip else ""
    return (
        f'<div class="fh-card" tabindex="0" data-figure="{escape(figure.label)}"'
        f' data-value="{escape(exact)}" aria-describedby="tip-{key}">'
        f'<span class="fh-label">{escape(figure.label)}</span>'
        f'<span class="fh-value">{escape(value)}</span>'
        f'<span class="fh-under">{under}{note}</span>{help_}</div>'
    )


@contextmanager
def panel(
    title: str,
    key: str,
    rows: data.Rows,
    *,
    source: str = "",
    columns: Sequence[str] = (),
    note: str = "",
    means: str = "",
    empty: str = "Nothing in this choice.",
    minimum: int = 1,
) -> Iterator[bool]:
    """A framed part of a page around one answer: heading with the definition, body, definitions of the
    columns and the download.

    Use it as `with panel(…) as filled:` and draw only if `filled`; otherwise `empty` is shown instead.

    Args:
        key: unique on the page; names the download and the element in tests.
        rows: the answer that the panel shows; the download holds all of it.
        source: `schema.table` that it comes from; its description is the heading's definition.
        columns: columns of that table whose definitions are listed (those of `rows` by the same name anyhow).
        note: one sentence under the heading: how to read it, or what stands out.
        means: said before the definition.
        empty: what to say where there is no row, and what to do about it.
        minimum: rows that are needed to draw anything.
    """
    with st.container(border=True, key=f"panel_{key}"):
        definition = " ".join(part for part in (means, data.definition(source)) if part)
        tip = (
            f'<span class="fh-help" tabindex="0" aria-label="Definition">?'
            f'<span class="fh-tip" role="tooltip">{escape(definition)}</span></span>'
            if definition
            else ""
        )
        st.html(
            f'<h3 class="fh-title">{escape(title)}{tip}</h3>'
            + (f'<p class="fh-note">{escape(note)}</p>' if note else "")
        )
        filled = len(rows) >= minimum
        yield filled
        if not filled:
            empty_state(empty)
        else:
            _foot(rows, key, source, columns)


def _foot(rows: data.Rows, key: str, source: str, columns: Sequence[str]) -> None:
    named = list(dict.fromkeys([*rows.columns, *columns])) if source else []
    meanings = [(name, data.definition(f"{source}.{name}")) for name in named]
    listed = "".join(
        f"<dt>{escape(formats.words(name))}</dt><dd>{escape(meaning)}</dd>"
        for name, meaning in meanings
        if meaning
    )
    with st.container(horizontal=True, key=f"foot_{key}", vertical_alignment="top"):
        if listed:
            st.html(f'<details class="fh-details"><summary>Definitions</summary><dl>{listed}</dl></details>')
        _download(rows, rows.columns, key)
    if rows.is_cut:
        st.html(f'<p class="fh-note">The first {formats.integer(len(rows))} rows.</p>')


def _download(rows: Sequence[dict[str, Any]], columns: Sequence[str], key: str) -> None:
    """A button that gives the rows as CSV, written when it is pressed."""
    st.download_button(
        "CSV",
        data=lambda: formats.to_csv(rows, columns),
        file_name=f"funnelhouse_{re.sub(r'[^a-z0-9_]+', '_', key.lower())}.csv",
        mime="text/csv",
        key=f"csv_{key}",
        on_click="ignore",
        type="tertiary",
        icon=":material/download:",
    )


def table(
    rows: Sequence[dict[str, Any]],
    columns: Sequence[Column],
    key: str,
    source: str = "",
    shown: int = SHOWN_ROWS,
    total: bool = False,
) -> None:
    """Rows as a table, numbers to the right; beyond `shown` it says how many there are, and the download
    has them.

    `total` sets the last row apart as the sum of the others.
    """
    currency = data.settings().currency
    first = list(rows[:shown])
    if total and len(rows) > shown:
        first = [*first[:-1], rows[-1]]
    largest = {
        column.key: max(
            (abs(row[column.key]) for row in rows if not formats.is_missing(row[column.key])), default=0
        )
        for column in columns
        if column.bar
    }
    head = "".join(
        f'<th scope="col" class="{_side(column)}" title="{escape(_meaning(column, source))}">'
        f"{escape(column.label)}</th>"
        for column in columns
    )
    texts = {
        column.key: formats.column([row.get(column.key) for row in first], column.kind, currency)
        for column in columns
    }
    body = "".join(
        f"<tr{' class=fh-total' if total and number == len(first) - 1 else ''}>"
        + "".join(
            _cell(row, column, texts[column.key][number], largest.get(column.key, 0)) for column in columns
        )
        + "</tr>"
        for number, row in enumerate(first)
    )
    counts = f"{formats.integer(shown)} of {formats.integer(len(rows))} rows; the CSV has all."
    more = f'<p class="fh-note">{counts}</p>' if len(rows) > shown else ""
    st.html(
        f'<div class="fh-scroll" tabindex="0" role="region" aria-label="Table, scrolls sideways">'
        f'<table class="fh-table" data-testid="table-{escape(key)}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{more}"
    )


def _meaning(column: Column, source: str) -> str:
    return data.definition(column.source or (f"{source}.{column.key}" if source else ""))


def _side(column: Column) -> str:
    return "fh-right" if column.kind in formats.NUMERIC_KINDS else "fh-left"


def _cell(row: dict[str, Any], column: Column, written: str, largest: float) -> str:
    value = row.get(column.key)
    full = formats.shorten(written, 400)
    short = formats.shorten(written, column.length)
    content = escape(short)
    address = str(row.get(column.link) or "") if column.link else ""
    if re.match(r"https?://[^\s\"'<>]+$", address):
        content = (
            f'<a href="{escape(address)}" target="_blank" rel="noopener noreferrer nofollow">{content}</a>'
        )
    title = f' title="{escape(full)}"' if full != short else ""
    style = ""
    if column.bar and largest and isinstance(value, int | float) and not formats.is_missing(value):
        style = f' style="--fh-bar: {abs(value) / largest * 100:.1f}%"'
    classes = (
        _side(column)
        + (" fh-bar" if style else "")
        + (" fh-date" if column.kind in ("date", "moment") else "")
    )
    return f'<td class="{classes}"{title}{style}>{content}</td>'


def empty_state(message: str) -> None:
    """What is said where there is nothing to show."""
    st.html(f'<div class="fh-empty" data-testid="empty">{escape(message)}</div>')


def notice(message: str, tone: Literal["info", "good", "warn", "bad"] = "info") -> None:
    """A sentence that stands out."""
    st.html(f'<div class="fh-notice fh-{tone}-box" role="note">{escape(message)}</div>')


def one_split_notice(chosen: filters.Filters, counted: str) -> None:
    """Says which of two filters is obeyed, where a mart is split by either but not by both."""
    if chosen.channel and chosen.country:
        notice(
            f"{counted} are counted by channel or by country, not by both:"
            " shown is the channel, all countries."
        )


def style() -> None:
    """The style sheet, with both themes' colours: the browser takes those of the theme that it shows."""
    names = ("ink", "muted", "grid", "surface", "accent", "good", "bad", "warn", "neutral")
    values = "".join(
        f"--fh-{name}:light-dark({getattr(charts.LIGHT, name)},{getattr(charts.DARK, name)});"
        for name in names
    )
    sheet = data.project_file("style.css").read_text(encoding="utf-8")
    st.html(f"<style>.stApp{{{values}}}\n{sheet}</style>")


@dataclass(frozen=True)
class Task:
    """Something to do: what, why, what it is worth, and the page that shows more (with filters for it)."""

    title: str
    text: str
    worth: str = ""
    page: str = ""
    address: tuple[tuple[str, str], ...] = ()


def tasks(shown: Sequence[Task], key: str) -> None:
    """Things to do, side by side, with one download."""
    if not shown:
        empty_state("Nothing stands out: no leak beyond chance, no deal, channel or renewal in trouble.")
        return
    cards = "".join(
        f'<div data-task="{number}"><h3>{escape(task.title)}</h3>'
        + (f'<p class="fh-worth">{escape(task.worth)}</p>' if task.worth else "")
        + f"<p>{escape(task.text)}</p>{_more(task)}</div>"
        for number, task in enumerate(shown, 1)
    )
    st.html(f'<div class="fh-todo" data-testid="tasks-{escape(key)}">{cards}</div>')
    rows = [{"what": task.title, "worth": task.worth, "why": task.text} for task in shown]
    _download(rows, ["what", "worth", "why"], key)


def _more(task: Task) -> str:
    if not task.page:
        return ""
    address = f"/{task.page}" + (f"?{urlencode(task.address)}" if task.address else "")
    return f'<p><a href="{escape(address)}" target="_self">Show me</a></p>'


def part(draw: Callable[P, None]) -> Callable[P, None]:
    """A part of a page with choices of its own, which draw it anew and leave the rest of the page as it is.

    What it shows is of the same publication as the rest: where another one has come, the whole page is drawn.
    """

    @st.fragment
    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            with data.together():
                published = data.identity()
                if st.session_state.setdefault(_SHOWN, published) == published:
                    draw(*args, **kwargs)
                    return
        except data.NotPublished as error:
            empty_state(str(error))
            return
        st.rerun()

    return drawn


def remember_publication() -> None:
    """Note which publication the page that is drawn now shows.

    Raises:
        NotPublished: there is none.
    """
    st.session_state[_SHOWN] = data.identity()


def beside(*widths: float) -> list[Any]:
    """Parts of a page side by side; under each other on a telephone."""
    return list(st.columns(list(widths) or 2, gap="small"))
