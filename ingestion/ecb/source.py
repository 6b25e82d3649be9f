"""What is read of the euro reference rates: one XML document that holds whole days.

The publisher offers three documents of one shape: the latest day, the last 90 days, everything since 1999.
The first load (and one after a long pause, and a backfill) reads everything, later ones the 90 days:
published rates are hardly ever corrected, and a correction within that time is found. Days without rates
(weekends, holidays) are in no document and get none here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from itertools import groupby

from ingestion.ecb.settings import SETTINGS, SYSTEM_NAME, client_for
from ingestion.errors import BadAnswer
from ingestion.http import Answer
from ingestion.records import Column, Table
from ingestion.settings import Connection
from ingestion.sources import Context, Done, Item, Page, Resource, System

FOLDER = "/stats/eurofxref"
LATEST = f"{FOLDER}/eurofxref-daily.xml"
RECENT = f"{FOLDER}/eurofxref-hist-90d.xml"
EVERYTHING = f"{FOLDER}/eurofxref-hist.xml"
RECENT_DAYS = timedelta(days=80)  # of the 90 that the document holds: room for days without rates
CUBE = "{http://www.ecb.int/vocabulary/2002-08-01/eurofxref}Cube"

RATES = Table(
    "rates",
    columns=(
        Column("date", "date", required=True),
        Column("currency", required=True),
        Column("rate", "rate", required=True),
    ),
    key=("date", "currency"),
    slice_by="date",
    description="One currency's units for one euro on one business day.",
)


def rates(context: Context) -> Iterator[Item]:
    """The days that are new, that may have been corrected, or that a backfill names.

    Raises:
        BadAnswer: the document holds no day of rates.
    """
    client = client_for(context.connection)
    answer = client.get(_document(context), expect="xml")
    records = read(answer)
    bounds = context.bounds
    if bounds is not None:
        wanted = {"from": bounds.date_from.isoformat(), "to": bounds.date_to.isoformat()}
        records = [row for row in records if wanted["from"] <= str(row["date"]) <= wanted["to"]]
    yield Page(RATES.name, records=records)
    days = dict.fromkeys((str(day) for day, _ in groupby(records, lambda row: row["date"])), None)
    yield Done(RATES.name, days)


def _document(context: Context) -> str:
    held = [day for day in context.slices(RATES.name) if day]
    if context.bounds is not None or not held or context.interrupted(RATES.name):
        return EVERYTHING
    return RECENT if context.as_of.date() - date.fromisoformat(max(held)) <= RECENT_DAYS else EVERYTHING


def read(answer: Answer) -> list[Mapping[str, object]]:
    """The rates of a whole document as records of the table, in its order.

    Raises:
        BadAnswer: it has no day.
    """
    days = [cube for cube in answer.xml().iter(CUBE) if "time" in cube.attrib]
    if not days:
        raise BadAnswer(
            SYSTEM_NAME, "the document holds no day of rates.", "Check BASE_URL; run again later."
        )
    return [
        {"date": day.get("time"), "currency": rate.get("currency"), "rate": rate.get("rate")}
        for day in days
        for rate in day.iter(CUBE)
        if rate is not day
    ]


def check(connection: Connection) -> str:
    """Ask for the latest day."""
    answer = client_for(connection).get(LATEST, expect="xml")
    return f"reference rates of {read(answer)[0]['date']}"


SYSTEM = System(
    name=SYSTEM_NAME,
    resources=(Resource("rates", tables=(RATES,), extract=rates),),
    settings=SETTINGS,
    check=check,
)
