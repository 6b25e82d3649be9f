"""How numbers, amounts, shares, durations and dates are written: the same on every page."""

from __future__ import annotations

import csv
import datetime as dt
import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

NOTHING = "–"
SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "INR": "₹"}
STARTS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")
ABBREVIATIONS = {
    "ai": "AI", "b2b": "B2B", "saas": "SaaS", "mql": "MQL", "sql": "SQL", "pql": "PQL", "mrr": "MRR",
    "utm": "UTM", "crm": "CRM", "cac": "CAC", "ltv": "LTV", "id": "ID", "aida": "AIDA", "aarrr": "AARRR",
    "sla": "SLA", "fx": "FX", "mqls": "MQLs", "sqls": "SQLs", "pqls": "PQLs", "roas": "ROAS",
}  # fmt: skip


def is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _or_nothing(write: Callable[..., str]) -> Callable[..., str]:
    def written(value: Any, *args: Any, **kwargs: Any) -> str:
        return NOTHING if is_missing(value) else write(value, *args, **kwargs)

    written.__doc__ = write.__doc__
    return written


@_or_nothing
def integer(value: float) -> str:
    """1,234"""
    return _signed(f"{round(value):,}")


def counted(count: float, thing: str) -> str:
    """1 deal, 2 deals"""
    return f"{integer(count)} {thing}{'' if count == 1 else 's'}"


@_or_nothing
def number(value: float) -> str:
    """1,234 or 12.3 or 0.52: as many digits as tell something."""
    size = abs(value)
    if size >= 100 or value == round(value):
        return _signed(f"{value:,.0f}")
    return _signed(f"{value:,.1f}" if size >= 1 else f"{value:,.2f}")


@_or_nothing
def compact(value: float) -> str:
    """950, 12.3k, 1.24M"""
    size = abs(value)
    for limit, divisor, unit in ((1e9, 1e9, "B"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if size >= limit * 0.99995:
            short = value / divisor
            return _signed(f"{short:,.{2 if abs(short) < 10 else 1 if abs(short) < 100 else 0}f}{unit}")
    return number(value)


@_or_nothing
def integer_compact(value: float) -> str:
    """1,234, then 12.3k"""
    return integer(value) if abs(value) < 1e4 else compact(value)


@_or_nothing
def money(value: float, currency: str = "") -> str:
    """€1,234 (whole units from 100 on, else cents where there are any)"""
    size = abs(value)
    text = f"{size:,.0f}" if size >= 100 or size == round(size) else f"{size:,.2f}"
    return _in_currency(value, text, currency)


@_or_nothing
def money_compact(value: float, currency: str = "") -> str:
    """€12.3k"""
    return _in_currency(value, compact(abs(value)) if abs(value) >= 1e4 else money(abs(value)), currency)


def _in_currency(value: float, text: str, currency: str) -> str:
    sign = "−" if value < 0 and any(digit in text for digit in "123456789") else ""
    symbol = SYMBOLS.get(currency, f"{currency} " if currency else "")
    return f"{sign}{symbol}{text}"


@_or_nothing
def percent(value: float) -> str:
    """12.3%"""
    size = abs(value) * 100
    return _signed(f"{value * 100:,.{0 if size >= 99.95 or size == 0 else 1 if size >= 1 else 2}f}%")


@_or_nothing
def ratio(value: float) -> str:
    """3.2×"""
    return _signed(f"{value:,.{1 if abs(value) >= 1 else 2}f}×")


@_or_nothing
def days(value: float) -> str:
    """12 days"""
    return f"{number(value)} {'day' if value == 1 else 'days'}"


@_or_nothing
def months(value: float) -> str:
    """2.4 months"""
    text = f"{value:,.1f}"
    return f"{text} {'month' if text == '1.0' else 'months'}"


@_or_nothing
def hours(value: float) -> str:
    """5 h, then 3.2 d from two days on; no decimal from ten on"""
    size, unit = (value, "h") if value < 48 else (value / 24, "d")
    return f"{number(size if size < 10 else round(size))} {unit}"


@_or_nothing
def date(value: dt.date) -> str:
    """1 Jul 2026"""
    return f"{value.day} {value:%b %Y}"


@_or_nothing
def moment(value: dt.datetime) -> str:
    """1 Jul 2026, 03:00"""
    return f"{value.day} {value:%b %Y, %H:%M}"


def period(value: dt.date | None, grain: str) -> str:
    """Jul 2026, Q3 2026 (by its first day), or the first day of a week."""
    if value is None:
        return NOTHING
    if grain == "month":
        return f"{value:%b %Y}"
    return f"{value.day} {value:%b %y}" if grain == "week" else f"quarter from {value:%b %Y}"


def words(name: Any) -> str:
    """A name of the data model for people: `last_non_direct` is Last non direct, `mql` is MQL."""
    if is_missing(name):
        return NOTHING
    parts = str(name).replace("_", " ").split(" ")
    spelt = [ABBREVIATIONS.get(part.lower(), part) if part.islower() else part for part in parts]
    text = " ".join(spelt)
    return text[:1].upper() + text[1:] if text[:1].islower() and not text.startswith("e-") else text


def change(now: Any, before: Any, kind: str = "number") -> str:
    """The change since before: relative, or in percentage points for shares; '' where there is nothing to
    compare.
    """
    if is_missing(now) or is_missing(before):
        return ""
    if kind == "percent":
        return f"{(now - before) * 100:+.1f} pp".replace("-", "−")
    if before == 0:
        return ""
    relative = (now - before) / abs(before)
    if abs(relative) >= 9.995:
        return f"{now / before:,.0f}×" if now / before > 0 else ""
    return f"{relative * 100:+.{0 if abs(relative) >= 0.1 else 1}f}%".replace("-", "−")


def shorten(value: Any, length: int = 28) -> str:
    """At most so many characters, control characters taken out."""
    text = "".join(character for character in str(value) if character.isprintable())
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _signed(text: str) -> str:
    if text.startswith("-"):
        return text[1:] if not any(digit in text for digit in "123456789") else "−" + text[1:]
    return text


def write(value: Any, kind: str, currency: str = "") -> str:
    """A value of a kind: text, words, integer, number, compact, money, money_compact, percent, ratio, days,
    months, hours, date, moment.
    """
    if kind == "text":
        return NOTHING if is_missing(value) else str(value)
    if kind in ("money", "money_compact"):
        return KINDS[kind](value, currency)
    return KINDS[kind](value)


KINDS: Mapping[str, Callable[..., str]] = {
    "words": words,
    "integer": integer,
    "integer_compact": integer_compact,
    "number": number,
    "compact": compact,
    "money": money,
    "money_compact": money_compact,
    "percent": percent,
    "ratio": ratio,
    "days": days,
    "months": months,
    "hours": hours,
    "date": date,
    "moment": moment,
}
NUMERIC_KINDS = frozenset(KINDS) - {"words", "date", "moment"}


def column(values: Sequence[Any], kind: str, currency: str = "") -> list[str]:
    """A column of a table: all its values with the same number of decimals, no more than tell something."""
    sizes = [abs(value) for value in values if not is_missing(value) and isinstance(value, int | float)]
    if kind not in ("number", "money", "days") or not sizes:
        return [write(value, kind, currency) for value in values]
    whole = all(size == round(size) for size in sizes)
    digits = 0 if whole or max(sizes) >= 1000 else 1 if kind != "money" else 0 if max(sizes) >= 100 else 2
    texts = []
    for value in values:
        if is_missing(value):
            texts.append(NOTHING)
        elif kind == "money":
            texts.append(_in_currency(value, f"{abs(value):,.{digits}f}", currency))
        else:
            texts.append(_signed(f"{value:,.{digits}f}") + (" d" if kind == "days" else ""))
    return texts


def csv_cell(value: Any) -> Any:
    """A cell that no spreadsheet runs: text that could start a formula gets an apostrophe in front."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return "" if is_missing(value) else value
    if value is None:
        return ""
    if isinstance(value, dt.date | dt.datetime):
        return value.isoformat()
    text = str(value).replace("\x00", "")
    stripped = text.lstrip(" \u00a0\ufeff\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e")
    fullwidth = stripped[:1] in ("＝", "＋", "－", "＠")
    return f"'{text}" if stripped.startswith(STARTS_FORMULA) or fullwidth else text


def to_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> bytes:
    """Rows as CSV in UTF-8 with a byte order mark, which spreadsheets need to read it as such."""
    target = io.StringIO()
    writer = csv.writer(target, quoting=csv.QUOTE_MINIMAL, lineterminator="\r\n")
    writer.writerow([csv_cell(column) for column in columns])
    for row in rows:
        writer.writerow([csv_cell(row.get(column)) for column in columns])
    return target.getvalue().encode("utf-8-sig")
