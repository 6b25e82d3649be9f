"""Euro reference rates: which document is read, what becomes of days, and what is refused."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from ingestion.ecb import SYSTEM, source
from ingestion.errors import BadAnswer, Unreachable
from ingestion.sources import Bounds, Done, Page
from tests.unit.systems.vendor import Reply, Vendor

DAYS = """<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
<gesmes:subject>Reference rates</gesmes:subject>
<Cube>
<Cube time="2026-06-12"><Cube currency="USD" rate="1.1041"/><Cube currency="SEK" rate="11.217"/></Cube>
<Cube time="2026-06-11"><Cube currency="USD" rate="1.1038"/></Cube>
</Cube></gesmes:Envelope>"""


def xml(text: str, **more: Any) -> Reply:
    return Reply(text.encode(), headers={"Content-Type": "text/xml"}, **more)


def loaded(context: Any) -> tuple[list[Any], list[str]]:
    """The records and the days of one reading."""
    items = list(source.rates(context))
    records = [record for item in items if isinstance(item, Page) for record in item.records or ()]
    return records, [day for item in items if isinstance(item, Done) for day in item.slices]


def test_days_come_as_published_and_weekends_not_at_all(vendor: Vendor, context_of: Any) -> None:
    vendor.on(source.EVERYTHING, lambda _: xml(DAYS))
    records, days = loaded(context_of("ecb", "reference"))
    assert records == [
        {"date": "2026-06-12", "currency": "USD", "rate": "1.1041"},
        {"date": "2026-06-12", "currency": "SEK", "rate": "11.217"},
        {"date": "2026-06-11", "currency": "USD", "rate": "1.1038"},
    ]
    assert days == ["2026-06-12", "2026-06-11"]


@pytest.mark.parametrize(
    ("age", "document"), [(3, source.RECENT), (80, source.RECENT), (81, source.EVERYTHING)]
)
def test_the_short_document_is_read_unless_days_would_lack(
    vendor: Vendor, context_of: Any, age: int, document: str
) -> None:
    vendor.on(document, lambda _: xml(DAYS))
    context = context_of("ecb", "reference")
    held = (context.as_of.date() - timedelta(days=age)).isoformat()
    loaded(context_of("ecb", "reference", stored_slices={"rates": {"2026-01-02": "x", held: "y"}}))
    assert vendor.paths() == [document]


def test_a_backfill_reads_just_its_days(vendor: Vendor, context_of: Any) -> None:
    vendor.on(source.EVERYTHING, lambda _: xml(DAYS))
    bounds = Bounds(date(2026, 6, 10), date(2026, 6, 11))
    records, days = loaded(
        context_of("ecb", "reference", bounds=bounds, stored_slices={"rates": {"2026-06-12": "x"}})
    )
    assert days == ["2026-06-11"]
    assert len(records) == 1


@pytest.mark.parametrize(
    "broken",
    [
        Reply(DAYS.encode(), headers={"Content-Type": "text/xml"}, cut=True),
        xml(DAYS[:-30]),
        Reply(b"<html><body>maintenance</body></html>", headers={"Content-Type": "text/html"}),
        xml('<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>'),
    ],
    ids=["cut off", "truncated", "a page of HTML", "a type declaration"],
)
def test_a_broken_document_is_asked_for_again_and_then_fails(
    vendor: Vendor, context_of: Any, broken: Reply
) -> None:
    answers = [broken, xml(DAYS)]
    vendor.on(source.EVERYTHING, lambda _: answers.pop(0) if len(answers) > 1 else answers[0])
    assert len(loaded(context_of("ecb", "reference"))[0]) == 3
    vendor.on(source.EVERYTHING, lambda _: broken)
    with pytest.raises(Unreachable, match="failed"):
        loaded(context_of("ecb", "reference"))


def test_a_document_without_days_is_no_success(vendor: Vendor, context_of: Any) -> None:
    vendor.on(source.EVERYTHING, lambda _: xml('<?xml version="1.0"?><Envelope><Cube/></Envelope>'))
    with pytest.raises(BadAnswer, match="no day of rates"):
        loaded(context_of("ecb", "reference"))


def test_doctor_names_the_latest_day(vendor: Vendor, context_of: Any) -> None:
    vendor.on(source.LATEST, lambda _: xml(DAYS))
    assert SYSTEM.check(context_of("ecb", "reference").connection) == "reference rates of 2026-06-12"
