"""Google Ads: queries by stream and by pages, the days that are read again, errors in one line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from ingestion.errors import BadAnswer, RequestRefused, Unauthorized
from ingestion.google_ads import source
from ingestion.google_ads.settings import client_for
from ingestion.sources import Bounds, Context, Done, Page
from tests.unit.systems.vendor import Asked, Reply, Vendor

STREAM = "/v25/customers/1/googleAds:searchStream"
SEARCH = "/v25/customers/1/googleAds:search"
CUSTOMER = {
    "customer": {
        "id": "1",
        "descriptiveName": "Lamps",
        "currencyCode": "EUR",
        "timeZone": "America/Los_Angeles",
    }
}


def rows_of(vendor: Vendor, answer: Callable[[str], list[dict[str, Any]]]) -> None:
    vendor.on(STREAM, lambda asked: [{"results": answer(asked.body["query"])}])


def test_stream_gives_all_batches_and_sends_the_developer_token(vendor: Vendor, context_of: Any) -> None:
    vendor.on(STREAM, [{"results": [{"n": 1}, {"n": 2}]}, {"fieldMask": "n"}, {"results": [{"n": 3}]}])
    batches = list(source.query(client_for(context_of("google_ads").connection), "1", "SELECT x FROM y"))
    assert [row["n"] for batch in batches for row in batch] == [1, 2, 3]
    asked = vendor.asked[-1]
    assert asked.headers["developer-token"] == "secret-canary-7f3a"
    assert asked.headers["Authorization"] == "Bearer short-lived"


def test_a_stream_that_is_always_cut_off_is_read_in_pages(vendor: Vendor, context_of: Any) -> None:
    vendor.on(STREAM, Reply([{"results": [{"n": 1}]}], cut=True))
    pages = {None: {"results": [{"n": 1}], "nextPageToken": "b"}, "b": {"results": [{"n": 2}]}}
    vendor.on(SEARCH, lambda asked: pages[asked.body.get("pageToken")])
    batches = list(source.query(client_for(context_of("google_ads").connection), "1", "SELECT x FROM y"))
    assert [row["n"] for batch in batches for row in batch] == [1, 2]
    assert all("pageSize" not in asked.body for asked in vendor.asked if asked.path == SEARCH)


def test_the_api_s_own_reason_is_the_error(vendor: Vendor, context_of: Any) -> None:
    failure = {"errorCode": {"queryError": "UNRECOGNIZED_FIELD"}, "message": "Unrecognized field: 'x'."}
    body = [
        {
            "error": {
                "code": 400,
                "message": "Request contains an invalid argument.",
                "details": [{"errors": [failure]}],
            }
        }
    ]
    vendor.on(STREAM, Reply(body, 400))
    with pytest.raises(
        RequestRefused, match=r"^google_ads: Unrecognized field: 'x'\. \(queryError UNRECOGNIZED_FIELD\)"
    ) as error:
        list(source.query(client_for(context_of("google_ads").connection), "1", "SELECT x FROM y"))
    assert "\n" not in str(error.value)


def test_a_refused_refresh_token_is_one_line_without_the_token(vendor: Vendor, context_of: Any) -> None:
    context = context_of("google_ads")
    vendor.on("/token", Reply({"error": "invalid_grant"}, 400))
    with pytest.raises(Unauthorized) as error:
        source.check(context.connection)
    assert "REFRESH_TOKEN" in str(error.value)
    assert "secret-canary" not in str(error.value)
    assert "\n" not in str(error.value)


def test_every_day_of_the_window_is_done_even_without_rows(vendor: Vendor, context_of: Any) -> None:
    def answer(gaql: str) -> list[dict[str, Any]]:
        if "FROM customer" in gaql:
            return [CUSTOMER]
        return [{"segments": {"date": "2026-06-01"}}] if "FROM ad_group_ad" in gaql else []

    rows_of(vendor, answer)
    context = context_of("google_ads", values={"START_DATE": "2026-06-01"})
    items = list(source.performance(context))
    done = {item.table: set(item.slices) for item in items if isinstance(item, Done)}
    # 03:00 UTC is still the 14th in Los Angeles
    expected = {(date(2026, 6, 1) + timedelta(days=step)).isoformat() for step in range(14)}
    assert done == {"ad_performance": expected, "campaign_performance": expected}
    assert (
        sum(
            len(item.records or ())
            for item in items
            if isinstance(item, Page) and item.table == "ad_performance"
        )
        == 1
    )


def test_an_unknown_account_is_an_error(vendor: Vendor, context_of: Any) -> None:
    rows_of(vendor, lambda gaql: [])
    with pytest.raises(BadAnswer, match="not visible"):
        list(source.performance(context_of("google_ads")))


@pytest.mark.parametrize(
    ("stored", "bounds", "expected"),
    [
        ({}, None, (date(2026, 5, 1), date(2026, 6, 15))),
        ({"2026-06-14": "x"}, None, (date(2026, 5, 16), date(2026, 6, 15))),
        (
            {"2026-04-30": "x"},
            None,
            (date(2026, 4, 1), date(2026, 6, 15)),
        ),  # after a pause: all that could be restated
        (
            {"2026-06-14": "x"},
            Bounds(date(2026, 2, 1), date(2026, 2, 3)),
            (date(2026, 2, 1), date(2026, 2, 3)),
        ),
    ],
)
def test_window(
    context_of: Any, stored: dict[str, str], bounds: Bounds | None, expected: tuple[date, date]
) -> None:
    context: Context = context_of(
        "google_ads",
        values={"START_DATE": "2026-05-01"},
        stored_slices={"ad_performance": stored},
        bounds=bounds,
    )
    assert source.window(context, "ad_performance", date(2026, 6, 15)) == expected


def test_clicks_are_asked_for_day_by_day_and_not_beyond_what_is_kept(vendor: Vendor, context_of: Any) -> None:
    queries: list[str] = []

    def answer(asked: Asked) -> list[dict[str, Any]]:
        queries.append(asked.body["query"])
        return [{"results": [CUSTOMER] if "FROM customer" in asked.body["query"] else []}]

    vendor.on(STREAM, answer)
    list(source.clicks(context_of("google_ads", values={"START_DATE": "2025-01-01"})))
    assert not queries  # not asked for
    context = context_of("google_ads", values={"START_DATE": "2025-01-01"}, entities=("ad_clicks",))
    list(source.clicks(context))
    days = [gaql for gaql in queries if "click_view" in gaql]
    assert len(days) == source.CLICK_DAYS
    assert "segments.date = '2026-03-17'" in days[0]
    assert all(gaql.count("segments.date =") == 1 and "BETWEEN" not in gaql for gaql in days)


def test_days_of_clicks_that_were_cut_off_are_read_again_while_the_api_has_them(
    vendor: Vendor, context_of: Any
) -> None:
    rows_of(vendor, lambda gaql: [CUSTOMER] if "FROM customer" in gaql else [])
    stored = {"clicks": {"2026-01-05": "", "2026-05-05": "", "2026-06-13": "x"}}
    context = context_of("google_ads", entities=("ad_clicks",), stored_slices=stored)
    done = [day for item in source.clicks(context) if isinstance(item, Done) for day in item.slices]
    # The last stored day, two before it, and one because days end at different moments.
    assert done == ["2026-05-05", "2026-06-10", "2026-06-11", "2026-06-12", "2026-06-13", "2026-06-14"]


def test_a_backfill_of_clicks_reads_its_own_days(vendor: Vendor, context_of: Any) -> None:
    rows_of(vendor, lambda gaql: [CUSTOMER] if "FROM customer" in gaql else [])
    bounds = Bounds(date(2026, 3, 15), date(2026, 3, 18))
    context = context_of("google_ads", entities=("ad_clicks",), bounds=bounds)
    done = [day for item in source.clicks(context) if isinstance(item, Done) for day in item.slices]
    assert done == ["2026-03-17", "2026-03-18"]
