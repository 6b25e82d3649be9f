"""LinkedIn Ads: the silent cut at 15,000 elements, days out of parts, money in powers of ten, lost access."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from ingestion.errors import BadAnswer, SourceError
from ingestion.linkedin_ads import SYSTEM, source
from ingestion.privacy import Pseudonyms
from ingestion.records import Converter
from ingestion.sources import Done, Page
from tests.unit.systems.vendor import Asked, Reply, Vendor

ACCOUNT = {"id": 7, "name": "Lamps for business", "currency": "EUR", "status": "ACTIVE", "type": "BUSINESS"}


def element(day: date, number: int, cost: str = "1.50") -> dict[str, Any]:
    moment = {"year": day.year, "month": day.month, "day": day.day}
    return {
        "dateRange": {"start": moment, "end": moment},
        "pivotValues": [f"urn:li:sponsoredCreative:{number}"],
        "impressions": 10,
        "costInLocalCurrency": cost,
    }


class Analytics:
    """The analytics endpoint: `a_day` creatives on each day, cut at `most` as the vendor cuts at 15,000."""

    def __init__(self, vendor: Vendor, monkeypatch: pytest.MonkeyPatch, a_day: int, most: int) -> None:
        self.a_day, self.most = a_day, most
        self.spans: list[tuple[str, date, date]] = []
        monkeypatch.setattr(source, "MOST_ELEMENTS", most)
        vendor.on("/rest/adAccounts/7", ACCOUNT)
        vendor.on("/rest/adAnalytics", self.answer)

    def answer(self, asked: Asked) -> Any:
        parts = re.findall(r"year:(\d+),month:(\d+),day:(\d+)", asked.query["dateRange"])
        first, last = (date(*map(int, part)) for part in parts)
        self.spans.append((asked.query["pivot"], first, last))
        found = [
            element(first + timedelta(days=step), number)
            for step in range((last - first).days + 1)
            for number in range(1 if asked.query["pivot"] == "ACCOUNT" else self.a_day)
        ]
        return {"paging": {"start": 0, "count": 10, "links": []}, "elements": found[: self.most]}


def read(items: list[Any], table: str) -> list[tuple[str, str]]:
    rows = [
        row for item in items if isinstance(item, Page) and item.table == table for row in item.records or ()
    ]
    return [(row["date"], row["creative" if "creative" in row else "account"]) for row in rows]


def test_an_answer_that_may_be_cut_is_thrown_away_and_asked_for_in_halves(
    vendor: Vendor, context_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    analytics = Analytics(vendor, monkeypatch, a_day=3, most=10)
    items = list(source.analytics(context_of("linkedin_ads", "7", values={"START_DATE": "2026-06-01"})))
    rows = read(items, "creative_analytics")
    assert len(rows) == len(set(rows)) == 15 * 3  # 1 to 15 June
    assert len(read(items, "account_analytics")) == 15
    done = [
        day
        for item in items
        if isinstance(item, Done) and item.table == "creative_analytics"
        for day in item.slices
    ]
    assert sorted(done) == [f"2026-06-{day:02d}" for day in range(1, 16)]
    assert max((last - first).days for pivot, first, last in analytics.spans[1:] if pivot == "CREATIVE") < 15


def test_a_single_day_that_may_be_cut_is_an_error(
    vendor: Vendor, context_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Analytics(vendor, monkeypatch, a_day=10, most=10)
    with pytest.raises(BadAnswer, match=r"2026-06-1\d has 10 elements"):
        list(source.analytics(context_of("linkedin_ads", "7", values={"START_DATE": "2026-06-14"})))


def test_a_lost_role_is_an_error_and_not_an_empty_list(vendor: Vendor, context_of: Any) -> None:
    vendor.on("/rest/adAnalytics", {"elements": []})
    vendor.on("/rest/adAccounts/7", lambda _: Reply({"status": 404, "message": "Account not found"}, 404))
    context = context_of("linkedin_ads", "7")
    for reading in (source.analytics, source.names):
        with pytest.raises(SourceError, match="account 7 is not visible"):
            list(reading(context))
    with pytest.raises(SourceError, match="role"):
        SYSTEM.check(context.connection)


@pytest.mark.parametrize(
    ("cost", "kept"),
    [("-2E-18", "0.0000"), ("12.340000000000001", "12.3400"), ("1E2", "100.0000"), ("7", "7.0000")],
)
def test_money_is_read_however_it_is_written(cost: str, kept: str) -> None:
    row = source.record(element(date(2026, 6, 1), 5, cost), "creative")
    pseudonyms = Pseudonyms(b"k" * 32)
    from tests.unit.systems.conftest import AS_OF

    converter = Converter(source.CREATIVE_ANALYTICS, "linkedin_ads:main:7", pseudonyms, AS_OF)
    converted = converter.convert([Page("creative_analytics", records=[row])])
    assert converted.quarantined.num_rows == 0
    assert converted.good["cost"].to_pylist() == [Decimal(kept)]
    assert converted.good["date"].to_pylist() == [date(2026, 6, 1)]
    assert converted.unknown == {}


def test_the_query_keeps_the_protocols_parentheses(
    vendor: Vendor, context_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    answer: Callable[..., Any] = vendor._answer
    monkeypatch.setattr(
        vendor, "_answer", lambda method, target, *rest: seen.append(target) or answer(method, target, *rest)
    )
    Analytics(vendor, monkeypatch, a_day=1, most=1000)
    list(source.analytics(context_of("linkedin_ads", "7", values={"START_DATE": "2026-06-15"})))
    targets = [target for target in seen if "adAnalytics" in target]
    assert targets
    assert all(
        "dateRange=(start:(year:2026,month:6,day:15),end:(year:2026,month:6,day:15))" in target
        and "accounts=List(urn%3Ali%3AsponsoredAccount%3A7)" in target
        for target in targets
    )


def test_names_are_paged_by_token(vendor: Vendor, context_of: Any) -> None:
    vendor.on("/rest/adAccounts/7", ACCOUNT)

    def page(asked: Asked) -> Any:
        first = "pageToken" not in asked.query
        metadata = {"nextPageToken": "a b&c"} if first else {}
        assert first or asked.query["pageToken"] == "a b&c"
        return {"elements": [{"id": 1 if first else 2}], "metadata": metadata}

    for edge in ("adCampaignGroups", "adCampaigns", "creatives"):
        vendor.on(f"/rest/adAccounts/7/{edge}", page)
    items = list(source.names(context_of("linkedin_ads", "7")))
    assert [item.table for item in items] == [
        "accounts",
        *["campaign_groups"] * 2,
        *["campaigns"] * 2,
        *["creatives"] * 2,
    ]
    assert all(
        asked.headers.get("LinkedIn-Version") == "202606" for asked in vendor.asked if "rest" in asked.path
    )
