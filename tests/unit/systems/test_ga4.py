"""GA4: files by day, events in columns, repeated and malformed lines, the Data API's counts."""

from __future__ import annotations

import gzip
import json
from datetime import date
from typing import Any

import pytest

from ingestion.errors import BadAnswer, Unreachable
from ingestion.ga4 import source
from ingestion.ga4.events import Parser
from ingestion.ga4.settings import client_for
from ingestion.sources import Done, Page, Refused
from tests.unit.systems.vendor import Asked, Reply, Vendor

LISTING = "/storage/v1/b/exports/o"


def event(**values: Any) -> dict[str, Any]:
    params = {
        "page_location": "https://shop.example/?utm_source=x",
        "ga_session_id": 17,
        **values.pop("params", {}),
    }
    return {
        "event_date": "20260601",
        "event_timestamp": "1780300800000001",
        "event_name": "page_view",
        "user_pseudo_id": "1.2",
        "event_params": [
            {
                "key": key,
                "value": {"int_value": str(value)} if isinstance(value, int) else {"string_value": value},
            }
            for key, value in params.items()
        ],
        "batch_page_id": "1",
        "batch_ordering_id": "1",
        "batch_event_index": "1",
        **values,
    }


def lines(*events: Any) -> bytes:
    return b"\n".join(e if isinstance(e, bytes) else json.dumps(e).encode() for e in events)


def parsed(*events: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = Parser().parse([("2026-06-01", lines(*events))]).events.to_pylist()
    return rows


def test_parameters_become_columns_and_the_rest_stays_json() -> None:
    (row,) = parsed(
        event(params={"plan": "team"}, items=[{"item_id": "L-1"}], ecommerce={"purchase_revenue": 12.5})
    )
    assert row["page_location"] == "https://shop.example/?utm_source=x"
    assert row["ga_session_id"] == "17"
    assert json.loads(row["event_params"]) == {"plan": "team"}
    assert row["item_id"] == "L-1"
    assert float(row["purchase_revenue"]) == 12.5


def test_a_parameter_that_stands_twice_keeps_its_first_value() -> None:
    twice = event()
    twice["event_params"] += [
        {"key": "ga_session_id", "value": {"int_value": "99"}},
        {"value": {"string_value": "?"}},
    ]
    assert parsed(twice)[0]["ga_session_id"] == "17"


@pytest.mark.parametrize(
    ("first", "second", "rows"),
    [
        (event(), event(), 1),
        (event(params={"event_id": "a"}), event(params={"event_id": "a"}, batch_event_index="2"), 1),
        (event(params={"event_id": "a"}), event(params={"event_id": "b"}), 2),
        (event(), event(batch_event_index="2"), 2),
        (event(), event(event_timestamp="1780300800000002"), 2),
        (event(), event(user_pseudo_id="1.3"), 2),
        (event(batch_event_index=None), event(batch_event_index=None, params={"n": 1}), 2),
        (event(batch_event_index=None), event(batch_event_index=None), 1),
    ],
)
def test_repeated_events_are_one_row(first: Any, second: Any, rows: int) -> None:
    result = Parser().parse([("2026-06-01", lines(first, second))])
    assert result.events.num_rows == rows
    assert result.repeated == 2 - rows


def test_an_event_s_id_does_not_depend_on_the_file_it_comes_in() -> None:
    alone = parsed(event(event_bundle_sequence_id="5"))[0]["event_id"]
    assert parsed(event(user_pseudo_id="9.9"), event(event_bundle_sequence_id="7"))[0]["event_id"] != ""
    assert alone in {row["event_id"] for row in parsed(event(user_pseudo_id="9.9"), event())}


def test_malformed_lines_and_unknown_fields_are_kept_apart() -> None:
    result = Parser().parse([("2026-06-01", lines(event(novelty={"a": 1}), b'{"cut', b"[1]", b"\xff\xfe"))])
    assert [day for day, _ in result.malformed] == ["2026-06-01"] * 3
    (row,) = result.events.to_pylist()
    assert json.loads(row["_extra"]) == {"novelty": {"a": 1}}


def test_days_come_from_the_names_and_intraday_files_are_left_out(vendor: Vendor, context_of: Any) -> None:
    def listing(asked: Asked) -> dict[str, Any]:
        assert asked.query["prefix"] == "events_"
        if "pageToken" not in asked.query:
            names = ["events_20260601.json.gz", "events_intraday_20260602.json.gz"]
            return {"items": [{"name": n, "generation": "1"} for n in names], "nextPageToken": "b"}
        return {
            "items": [
                {"name": "events_20260601_000000000001.json.gz", "generation": "2"},
                {"name": "events_readme"},
            ]
        }

    vendor.on(LISTING, listing)
    client = client_for(context_of("ga4").connection, "EXPORT_BASE_URL")
    days = source.objects_by_day(client, "exports", "events_")
    assert {day: [name for name, _ in objects] for day, objects in days.items()} == {
        date(2026, 6, 1): ["events_20260601.json.gz", "events_20260601_000000000001.json.gz"]
    }


def scripted(vendor: Vendor, generations: dict[str, str], content: bytes) -> None:
    vendor.on(
        LISTING,
        {"items": [{"name": f"events_{day}.json.gz", "generation": g} for day, g in generations.items()]},
    )
    for day in generations:
        vendor.on(
            f"{LISTING}/events_{day}.json.gz", Reply(content, headers={"Content-Type": "application/gzip"})
        )
    vendor.on("/v1beta/properties/1:runReport", {"dimensionHeaders": [{"name": "date"}], "rowCount": 0})


def test_only_days_whose_files_changed_are_read(vendor: Vendor, context_of: Any) -> None:
    scripted(vendor, {"20260601": "1", "20260602": "1"}, gzip.compress(lines(event(), event(), b"nonsense")))
    items = list(source.extract(context_of("ga4")))
    (page,) = [item for item in items if isinstance(item, Page) and item.table == "events"]
    assert page.arrow is not None
    assert page.arrow.num_rows == 2
    assert page.filtered == {"repeated event": 2}
    assert [item.slice for item in items if isinstance(item, Refused)] == ["2026-06-01", "2026-06-02"]
    stored = {
        day: sum_
        for item in items
        if isinstance(item, Done) and item.table == "events"
        for day, sum_ in item.slices.items()
    }
    vendor.asked.clear()
    scripted(vendor, {"20260601": "1", "20260602": "2"}, gzip.compress(lines(event())))
    list(source.extract(context_of("ga4", stored_slices={"events": stored, "daily_report": stored})))
    assert [path for path in vendor.paths() if path.endswith(".gz")] == [f"{LISTING}/events_20260602.json.gz"]


def test_a_cut_off_gzip_file_fails_the_load(vendor: Vendor, context_of: Any) -> None:
    scripted(vendor, {"20260601": "1"}, gzip.compress(lines(event()))[:-9])
    with pytest.raises(
        Unreachable, match=r"events_20260601\.json\.gz failed 5 times.*a gzip file that is cut off"
    ):
        list(source.extract(context_of("ga4")))


def test_what_is_no_packed_file_is_not_taken_for_one(vendor: Vendor, context_of: Any) -> None:
    scripted(vendor, {"20260601": "1"}, b'{"error": "moved"}')
    with pytest.raises(BadAnswer, match=r"events_20260601\.json\.gz is not that file"):
        list(source.extract(context_of("ga4")))


def test_a_report_with_fewer_rows_than_announced_fails(vendor: Vendor, context_of: Any) -> None:
    row = {
        "dimensionValues": [{"value": "20260601"}, {"value": "login"}],
        "metricValues": [{"value": "3"}] * 3,
    }
    answers = iter(
        [{"dimensionHeaders": [{}], "rowCount": 2, "rows": [row]}, {"dimensionHeaders": [{}], "rowCount": 2}]
    )
    vendor.on("/v1beta/properties/1:runReport", lambda _: next(answers))
    client = client_for(context_of("ga4").connection, "DATA_BASE_URL")
    with pytest.raises(BadAnswer, match="announced 2 rows and stopped at 1"):
        list(source.report(client, "1", {}))
