"""Product events by HogQL: which days are read, how they are paged, and what an answer must hold."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Any

import pytest

from ingestion.errors import BadAnswer, ConfigurationError, SourceError, Unauthorized, Unreachable
from ingestion.posthog import SYSTEM, source
from ingestion.privacy import Pseudonyms
from ingestion.records import Converter
from ingestion.sources import GONE, Bounds, Done, Page, Refused
from tests.unit.systems.vendor import Asked, Reply, Vendor

PATH = "/api/projects/1/query/"
ARRIVED = "2026-06-14 09:00:00.000000"


def row(identifier: str, at: str = "2026-06-14 08:00:00.000000", **more: Any) -> list[Any]:
    properties = more.pop("properties", {"$device_id": "d"})
    text = properties if isinstance(properties, str) else json.dumps(properties)
    return [at, identifier, more.get("arrived", ARRIVED), more.get("event", "login"), "u_1", text]


class Database:
    """Rows behind the vendor's endpoint, asked by the two queries of the connector."""

    def __init__(self, vendor: Vendor, *rows: list[Any], most: int = 50_000) -> None:
        self.rows, self.most = list(rows), most
        self.queries: list[str] = []
        vendor.on(PATH, self.answer)

    def answer(self, asked: Asked) -> dict[str, Any]:
        assert asked.body["refresh"] == "force_blocking"
        assert asked.headers["Authorization"] == "Bearer secret-canary-7f3a"
        query = asked.body["query"]["query"]
        self.queries.append(query)
        moments = re.findall(r"timestamp (>=|<|>) toDateTime64\('([^']+)', 6, 'UTC'\)", query)
        after = re.search(r"toString\(uuid\) > '([^']+)'", query)
        found = sorted(self.rows, key=lambda entry: (entry[0], entry[1]))
        for sign, moment in moments:
            if sign == ">=":
                found = [entry for entry in found if entry[0] >= moment]
            if sign == "<":
                found = [entry for entry in found if entry[0] < moment]
        if after:
            last = next(moment for sign, moment in moments if sign == ">")
            found = [entry for entry in found if (entry[0], entry[1]) > (last, after[1])]
        if "group by" in query:
            days = sorted({entry[0][:10] for entry in found})
            of = {day: [entry for entry in found if entry[0][:10] == day] for day in days}
            counted = [[day, len({e[1] for e in of[day]}), max(e[2] for e in of[day])] for day in days]
            return {"results": counted, "error": None}
        limit = int(re.findall(r"limit (\d+)", query)[-1])
        return {"results": found[: min(limit, self.most)], "hasMore": False, "error": None}


def read(context: Any) -> tuple[list[dict[str, Any]], dict[str, Any], list[Any]]:
    """The records, the days that are done, and all items of one run."""
    items = list(source.events(context))
    lines = [line for item in items if isinstance(item, Page) for line in (item.body or b"").split(b"\n")]
    done = {day: sum_ for item in items if isinstance(item, Done) for day, sum_ in item.slices.items()}
    return [json.loads(line) for line in lines if line], done, items


def test_a_day_is_read_when_its_count_or_its_latest_arrival_has_changed(
    vendor: Vendor, context_of: Any
) -> None:
    database = Database(vendor, row("a", "2026-06-12 23:59:59.999999"), row("b"), row("c"))
    records, done, _ = read(context_of("posthog"))
    assert [record["event_uuid"] for record in records] == ["a", "b", "c"]
    assert done == {"2026-06-12": f"1:{ARRIVED}", "2026-06-14": f"2:{ARRIVED}"}
    database.queries.clear()
    stored = {"events": done}
    assert read(context_of("posthog", stored_slices=stored))[0] == []
    assert len(database.queries) == 1, "an idle run asks for the counts alone"
    database.rows.append(row("late", "2026-06-12 10:00:00.000000", arrived="2026-06-15 01:00:00.000000"))
    records, done, _ = read(context_of("posthog", stored_slices=stored))
    assert [record["event_uuid"] for record in records] == ["late", "a"], "the whole day comes again"
    assert done == {"2026-06-12": "2:2026-06-15 01:00:00.000000"}


def test_a_day_whose_events_were_all_deleted_is_emptied(vendor: Vendor, context_of: Any) -> None:
    Database(vendor, row("b"))
    stored = {"events": {"2026-06-13": "4:x", "2026-06-14": f"1:{ARRIVED}", "2026-01-01": "9:x"}}
    _, done, _ = read(context_of("posthog", stored_slices=stored))
    assert done == {"2026-06-13": GONE}, "days outside the window stay"


@pytest.mark.parametrize(("page", "most"), [(2, 50_000), (10_000, 3)], ids=["our limit", "the service's own"])
def test_pages_follow_time_and_uuid_even_within_one_moment(
    vendor: Vendor, context_of: Any, monkeypatch: pytest.MonkeyPatch, page: int, most: int
) -> None:
    monkeypatch.setattr(source, "PAGE", page)
    names = list("abcdefg")
    database = Database(vendor, *(row(name) for name in names), most=most)
    records, _, _ = read(context_of("posthog"))
    assert [record["event_uuid"] for record in records] == names
    assert not any("offset" in query.lower() for query in database.queries)


def test_quiet_days_share_a_query_and_gaps_part_them(vendor: Vendor, context_of: Any) -> None:
    days = ("2026-06-01", "2026-06-02", "2026-06-03", "2026-06-09")
    database = Database(vendor, *(row(day, f"{day} 10:00:00.000000") for day in days))
    records, done, _ = read(context_of("posthog"))
    assert len(records) == len(done) == 4
    assert sum("properties" in query for query in database.queries) == 2


def test_an_event_that_stands_twice_counts_once(vendor: Vendor, context_of: Any) -> None:
    Database(vendor, row("a"), row("a", arrived="2026-06-14 11:00:00.000000"), row("b"))
    records, _, items = read(context_of("posthog"))
    assert [record["event_uuid"] for record in records] == ["a", "b"]
    assert [item.filtered for item in items if isinstance(item, Page)] == [{"repeated event": 1}]


def test_fewer_events_than_were_counted_is_no_success(vendor: Vendor, context_of: Any) -> None:
    database = Database(vendor, row("a"), row("b"))

    def lossy(asked: Asked) -> dict[str, Any]:
        found = database.answer(asked)
        if "group by" not in asked.body["query"]["query"]:
            found["results"] = found["results"][:1] if "toString(uuid) >" not in database.queries[-1] else []
        return found

    vendor.on(PATH, lossy)
    with pytest.raises(BadAnswer, match=r"2 events were counted .*, and 1 came"):
        read(context_of("posthog"))


def test_a_backfill_reads_just_its_days_whatever_is_stored(vendor: Vendor, context_of: Any) -> None:
    Database(vendor, row("a", "2026-06-10 10:00:00.000000"), row("b"), row("c", "2026-06-11 00:00:00.000000"))
    bounds = Bounds(date(2026, 6, 9), date(2026, 6, 10))
    stored = {"events": {"2026-06-10": f"1:{ARRIVED}", "2026-06-14": "x"}}
    records, done, _ = read(context_of("posthog", bounds=bounds, stored_slices=stored))
    assert [record["event_uuid"] for record in records] == ["a"]
    assert done == {"2026-06-10": f"1:{ARRIVED}"}


def test_a_day_that_a_kill_cut_off_is_read_again_outside_the_window(vendor: Vendor, context_of: Any) -> None:
    Database(vendor, row("old", "2026-01-05 10:00:00.000000"), row("b"))
    stored = {"events": {"2026-01-05": "", "2026-06-14": f"1:{ARRIVED}"}}
    records, done, _ = read(context_of("posthog", stored_slices=stored))
    assert [record["event_uuid"] for record in records] == ["old"]
    assert list(done) == ["2026-01-05"]


def test_events_of_a_wrong_clock_are_refused_and_the_rest_loads(vendor: Vendor, context_of: Any) -> None:
    Database(vendor, row("a"), row("z", "2999-01-01 00:00:00.000000"))
    records, done, items = read(context_of("posthog"))
    assert [record["event_uuid"] for record in records] == ["a"]
    (refused,) = [item for item in items if isinstance(item, Refused)]
    assert (refused.slice, list(refused.reasons)) == ("2999-01-01", ["occurred_at: lies in the future"])
    assert set(done) == {"2026-06-14", "2999-01-01"}
    again = context_of("posthog", stored_slices={"events": done})
    assert read(again)[0] == [], "the window does not move to the year 2999"


def test_addresses_become_pseudonyms_and_other_person_properties_are_not_kept(
    vendor: Vendor, context_of: Any
) -> None:
    properties = {
        "$device_id": "d",
        "$ip": "203.0.113.7",
        "$set": {"email": "Ann@Customer.example", "name": "Ann Smith"},
        "$current_url": "https://app.example/?mail=ann@customer.example",
        "plan": "team",
        "value": 12.5,
    }
    Database(
        vendor, row("a", properties=properties), row("broken", properties='{"cut'), row("no", properties="")
    )
    context = context_of("posthog")
    pages = [item for item in source.events(context) if isinstance(item, Page)]
    names = Pseudonyms(b"k" * 32, keep_clear=False)
    converted = Converter(source.EVENTS, "posthog:main:1", names, context.as_of).convert(pages)
    first, second = converted.good.to_pylist()
    assert (first["event_uuid"], second["event_uuid"]) == ("a", "no")
    assert first["set_email_hash"] == names.email("ann@customer.example")[0]
    assert first["email_domain"] == "customer.example"
    assert (first["device_id"], str(first["value"])) == ("d", "12.5000")
    assert json.loads(first["_extra"]) == {"properties": {"plan": "team"}}
    assert not converted.unknown
    held = json.dumps(converted.good.to_pylist(), default=str) + str(converted.quarantined.to_pylist())
    assert not any(text in held for text in ("Ann", "ann@", "203.0.113.7"))
    (refused,) = converted.quarantined.to_pylist()
    assert refused["reason"] == "the record is not valid JSON"


def test_one_poisoned_event_costs_none_of_its_neighbours(vendor: Vendor, context_of: Any) -> None:
    poisoned = ['{"a":"\\ud83d"}', '{"a":"x\\u0000"}', '{"value":NaN}', '{"value":"much"}']
    Database(vendor, row("a"), *(row(f"p{n}", properties=text) for n, text in enumerate(poisoned)), row("z"))
    context = context_of("posthog")
    pages = [item for item in source.events(context) if isinstance(item, Page)]
    names = Pseudonyms(b"k" * 32, keep_clear=False)
    converted = Converter(source.EVENTS, "posthog:main:1", names, context.as_of).convert(pages)
    assert sorted(entry["event_uuid"] for entry in converted.good.to_pylist()) == ["a", "z"]
    assert converted.quarantined.num_rows == len(poisoned)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"results": None, "error": "Query exceeded the time limit"}, BadAnswer),
        ({"results": None}, BadAnswer),
        ({"query_status": {"complete": False}}, BadAnswer),
        ({"results": [["yesterday", 1, "x"]]}, BadAnswer),
        (Reply({"detail": "invalid"}, 401), Unauthorized),
        (Reply({"detail": "missing required scope 'query:read'"}, 403), Unauthorized),
        (Reply({"detail": "throttled"}, 429, {"Retry-After": "1800"}), Unreachable),
    ],
    ids=[
        "an error in the body",
        "no rows",
        "a promise",
        "no date",
        "wrong key",
        "no scope",
        "an hour's limit",
    ],
)
def test_an_answer_without_rows_is_a_failure(
    vendor: Vendor, context_of: Any, answer: Any, error: type[Exception]
) -> None:
    vendor.on(PATH, answer)
    with pytest.raises(error) as failure:
        read(context_of("posthog"))
    assert "secret-canary" not in str(failure.value)


def test_a_limit_is_waited_for(vendor: Vendor, context_of: Any) -> None:
    database = Database(vendor, row("a"))
    answers = [Reply({"code": "throttled"}, 429, {"Retry-After": "2"})] * 2
    vendor.on(PATH, lambda asked: answers.pop() if answers else database.answer(asked))
    assert len(read(context_of("posthog"))[0]) == 1
    assert len(vendor.asked) == 4


def test_doctor_names_the_latest_event_and_says_what_is_wrong(vendor: Vendor, context_of: Any) -> None:
    connection = context_of("posthog").connection
    vendor.on(PATH, {"results": [["2026-06-14 08:00:00.000000"]]})
    assert SYSTEM.check(connection) == "project 1 (latest event 2026-06-14 08:00:00)"
    vendor.on(PATH, Reply({"detail": "Project not found."}, 404))
    with pytest.raises(SourceError, match="project 1 cannot be asked"):
        SYSTEM.check(connection)
    with pytest.raises(ConfigurationError, match="LATE_DAYS 'some' is no number"):
        read(context_of("posthog", values={"LATE_DAYS": "some"}))
