"""Which days of a day-sliced report are read: the one rule of all advertising platforms.

A platform goes on correcting a day for weeks. So a run reads the last stored day again, with the restatement
window before it, up to the account's present day; a first load starts at START_DATE; a backfill reads its
bounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from ingestion.errors import ConfigurationError
from ingestion.settings import Connection
from ingestion.sources import Context

FIRST_LOAD_DAYS = 730
DEFAULT_RESTATEMENT_DAYS = 28


def window(
    context: Context, table: str, today: date, restatement_days: int | None = None
) -> tuple[date, date]:
    """First and last day to read.

    From the last stored day minus the restatement window (the variable `ads_restatement_days` unless given)
    and one day, because days end at different moments, until today, the account's present day.
    """
    if context.bounds is not None:
        return context.bounds.date_from, min(context.bounds.date_to, today)
    if restatement_days is None:
        restatement_days = int(context.variables.get("ads_restatement_days", DEFAULT_RESTATEMENT_DAYS))
    stored = [date.fromisoformat(day) for day in context.slices(table)]
    if stored:
        return min(max(stored), today) - timedelta(days=restatement_days + 1), today
    return start_date(context.connection, today), today


def start_date(connection: Connection, today: date) -> date:
    """The first day of the first load: the setting START_DATE, or 730 days ago.

    Raises:
        ConfigurationError: START_DATE is no date.
    """
    text = connection.get("START_DATE")
    if not text:
        return today - timedelta(days=FIRST_LOAD_DAYS)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"{connection.system}: START_DATE {text!r} is no date; write YYYY-MM-DD."
        ) from None


def spans(
    context: Context, tables: Iterable[str], first: date, last: date, days_per_query: int
) -> Iterator[tuple[date, date]]:
    """The window in pieces of at most so many days, before them the single days outside it whose last reading
    was cut off by a kill."""
    torn = {day for table in tables for day in context.interrupted(table)}
    for day in sorted(map(date.fromisoformat, torn)):
        if not first <= day <= last:
            yield day, day
    while first <= last:
        until = min(last, first + timedelta(days=days_per_query - 1))
        yield first, until
        first = until + timedelta(days=1)


def days(first: date, last: date) -> list[str]:
    """Every day from the first to the last, as ISO text."""
    return [(first + timedelta(days=step)).isoformat() for step in range((last - first).days + 1)]
