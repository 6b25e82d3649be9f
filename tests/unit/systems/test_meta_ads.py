"""Meta Ads: report runs and their halves, limits with status 400, cursors without the token, refusals."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import pytest

from ingestion.errors import BadAnswer, Unauthorized, Unreachable
from ingestion.meta_ads import SYSTEM, source
from ingestion.privacy import Pseudonyms
from ingestion.records import Converter
from ingestion.sources import Done, Page
from tests.unit.systems.conftest import AS_OF
from tests.unit.systems.vendor import Asked, Reply, Vendor

V = "/v25.0"
ACCOUNT = {"account_id": "7", "name": "Lamps", "currency": "USD", "timezone_name": "America/New_York"}
TOKEN = "secret-canary-7f3a"


def refused(code: int, subcode: int = 0, status: int = 400, **headers: str) -> Reply:
    error = {"message": "refused", "type": "OAuthException", "code": code, "error_subcode": subcode}
    return Reply({"error": error}, status, headers)


class Reports:
    """The insights edge: answers each report of at most `most` days, remembers what was asked."""

    def __init__(self, vendor: Vendor, most: int = 1000) -> None:
        self.asked: list[dict[str, str]] = []
        self.vendor, self.most = vendor, most
        vendor.on(f"{V}/act_7", ACCOUNT)
        vendor.on(f"{V}/act_7/insights", self.start)

    def start(self, asked: Asked) -> Any:
        form = {key: values[0] for key, values in parse_qs(asked.body).items()}
        span = json.loads(form["time_range"])
        if len(self.days(span)) > self.most:
            return refused(*source.TOO_MUCH_DATA)
        self.asked.append(form)
        run = f"run{len(self.asked)}"
        self.vendor.on(f"{V}/{run}", {"id": run, "async_status": "Job Completed"})
        self.vendor.on(f"{V}/{run}/insights", {"data": [{"date_start": span["since"]}]})
        return {"report_run_id": run}

    @staticmethod
    def days(span: dict[str, str]) -> list[str]:
        from datetime import date

        from ingestion.windows import days

        return days(date.fromisoformat(span["since"]), date.fromisoformat(span["until"]))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """No waiting between looks at a report; the waits are noted."""
    waits: list[float] = []
    monkeypatch.setattr(source.time, "sleep", waits.append)
    return waits


def test_figures_are_text_and_each_country_of_an_ads_day_is_a_row() -> None:
    def row(country: str, spend: str) -> dict[str, Any]:
        ids = {"campaign_id": "1", "adset_id": "2", "ad_id": "3", "date_start": "2026-06-01"}
        actions = [{"action_type": "purchase", "value": "2"}]
        return {**ids, "country": country, "impressions": "1200", "spend": spend, "actions": actions}

    records = [row("NL", "12.34"), row("SE", "0.1"), row("US", "1e2"), row("DE", "twelve")]
    converter = Converter(source.INSIGHTS_BY_COUNTRY, "meta_ads:main:7", Pseudonyms(b"k" * 32), AS_OF)
    converted = converter.convert([Page("insights_by_country", records=records)])
    assert {name: converted.good[name].to_pylist() for name in ("country", "spend", "impressions")} == {
        "country": ["NL", "SE", "US"],
        "spend": [Decimal("12.3400"), Decimal("0.1000"), Decimal("100.0000")],
        "impressions": [1200, 1200, 1200],
    }
    assert "country" in source.INSIGHTS_BY_COUNTRY.key
    assert {"publisher_platform", "impression_device"} < set(source.INSIGHTS_BY_DEVICE.key)
    assert "spend" in converted.quarantined["reason"][0].as_py()


def done(items: list[Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for item in items:
        if isinstance(item, Done):
            found.setdefault(item.table, []).extend(item.slices)
    return found


def test_each_day_is_read_once_by_country_and_once_by_device(vendor: Vendor, context_of: Any) -> None:
    reports = Reports(vendor)
    items = list(source.insights(context_of("meta_ads", "7", values={"START_DATE": "2026-05-01"})))
    by_table = done(items)
    assert set(by_table) == {"insights_by_country", "insights_by_device"}
    for read in by_table.values():
        assert sorted(read) == Reports.days(
            {"since": "2026-05-01", "until": "2026-06-14"}
        )  # 23:00 in New York
    assert {form["breakdowns"] for form in reports.asked} == {
        "country",
        "publisher_platform,impression_device",
    }
    assert all(form["time_increment"] == "1" and form["level"] == "ad" for form in reports.asked)
    assert {item.table for item in items if isinstance(item, Page)} == set(by_table)


@pytest.mark.parametrize("most", [1, 7])
def test_a_report_that_is_too_large_is_asked_for_in_halves(
    vendor: Vendor, context_of: Any, most: int
) -> None:
    reports = Reports(vendor, most)
    by_table = done(list(source.insights(context_of("meta_ads", "7", values={"START_DATE": "2026-05-20"}))))
    for read in by_table.values():
        assert sorted(read) == Reports.days({"since": "2026-05-20", "until": "2026-06-14"})
    assert all(len(Reports.days(json.loads(form["time_range"]))) <= most for form in reports.asked)


def test_a_single_day_that_cannot_be_made_is_an_error(vendor: Vendor, context_of: Any) -> None:
    reports = Reports(vendor)
    start = reports.start

    def failing(asked: Asked) -> Any:
        answer = start(asked)
        if isinstance(answer, dict):
            vendor.on(
                f"{V}/{answer['report_run_id']}", {"async_status": "Job Failed", "error_message": "internal"}
            )
        return answer

    vendor.on(f"{V}/act_7/insights", failing)
    with pytest.raises(BadAnswer, match=r"2026-06-1\d could not be made: Job Failed. internal"):
        list(source.insights(context_of("meta_ads", "7", values={"START_DATE": "2026-06-10"})))


def test_a_report_is_waited_for_with_growing_pauses(
    vendor: Vendor, context_of: Any, quick: list[float]
) -> None:
    Reports(vendor)
    looks = iter(["Job Not Started", "Job Started", "Job Running", "Job Completed"])
    started = vendor._scripts[f"{V}/act_7/insights"]

    def slow(asked: Asked) -> Any:
        answer = started(asked)
        if answer["report_run_id"] == "run1":
            vendor.on(f"{V}/run1", lambda _: {"async_status": next(looks)})
        return answer

    vendor.on(f"{V}/act_7/insights", slow)
    list(source.insights(context_of("meta_ads", "7", values={"START_DATE": "2026-06-14"})))
    assert quick == [1.0, 2.0, 4.0]


def test_limits_come_with_status_400_and_are_waited_for(
    vendor: Vendor, context_of: Any, quick: list[float]
) -> None:
    usage = json.dumps({"7": [{"type": "ads_insights", "estimated_time_to_regain_access": 2}]})
    answers = [
        refused(80000, 2446079, **{"X-Business-Use-Case-Usage": usage}),
        refused(17, 2446079),
        Reply(ACCOUNT),
    ]
    vendor.on(f"{V}/act_7", lambda _: answers.pop(0))
    assert SYSTEM.check(context_of("meta_ads", "7").connection) == "account Lamps (USD, America/New_York)"
    assert quick == [120.0, 30.0]  # the time module is one: what the client waited stands here too


def test_a_disturbance_that_passes_is_waited_for(vendor: Vendor, context_of: Any, quick: list[float]) -> None:
    error = {"message": "Service temporarily unavailable", "code": 2, "is_transient": True}
    answers = [Reply({"error": error}, 400), Reply(ACCOUNT)]
    vendor.on(f"{V}/act_7", lambda _: answers.pop(0))
    assert SYSTEM.check(context_of("meta_ads", "7").connection)
    assert quick == [5.0]


def test_a_limit_without_end_is_an_error(vendor: Vendor, context_of: Any) -> None:
    vendor.on(f"{V}/act_7", lambda _: refused(4, 1504022))
    with pytest.raises(Unreachable, match="limit"):
        SYSTEM.check(context_of("meta_ads", "7").connection)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (refused(190, 463, 401), "credentials"),
        (refused(190), "expired"),
        (refused(200), "ads_read"),
    ],
    ids=["401", "token with status 400", "permission"],
)
def test_a_refused_token_is_named_and_never_shown(
    vendor: Vendor, context_of: Any, reply: Reply, words: str
) -> None:
    vendor.on(f"{V}/act_7", lambda _: reply)
    with pytest.raises(Unauthorized, match=words) as failure:
        list(source.names(context_of("meta_ads", "7")))
    assert TOKEN not in str(failure.value)


def test_pages_go_by_cursor_and_the_token_only_in_headers(vendor: Vendor, context_of: Any) -> None:
    vendor.on(f"{V}/act_7", ACCOUNT)

    def page(asked: Asked) -> Any:
        first = "after" not in asked.query
        paging: dict[str, Any] = {"cursors": {"before": "a", "after": "b" if first else "c"}}
        if first:
            paging["next"] = f"{vendor.url}{asked.path}?access_token={TOKEN}&after=b"
        return {"data": [{"id": "1" if first else "2"}], "paging": paging}

    for edge in ("campaigns", "adsets", "ads"):
        vendor.on(f"{V}/act_7/{edge}", page)
    items = list(source.names(context_of("meta_ads", "7")))
    assert [item.table for item in items] == ["accounts", *["campaigns"] * 2, *["ad_sets"] * 2, *["ads"] * 2]
    assert all("access_token" not in asked.query for asked in vendor.asked)
    assert all(asked.headers["Authorization"] == f"Bearer {TOKEN}" for asked in vendor.asked)
    statuses = next(asked.query["effective_status"] for asked in vendor.asked if "campaigns" in asked.path)
    assert {"DELETED", "ARCHIVED"} <= set(json.loads(statuses))
