"""Klaviyo: cursors that are links, events by metric and day, limits, messages of campaigns, what is kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ingestion import http
from ingestion.errors import BadAnswer, SourceError, Unauthorized
from ingestion.klaviyo import source
from ingestion.klaviyo.settings import client_for
from ingestion.privacy import Pseudonyms
from ingestion.records import Converter
from ingestion.sources import Done, Page
from tests.unit.systems.conftest import AS_OF
from tests.unit.systems.vendor import Asked, Reply, Vendor

STAGING = Path(__file__).resolve().parents[3] / "dbt_project" / "models" / "staging" / "klaviyo"


def metric(identifier: str, name: str, integration: str = "Klaviyo") -> dict[str, Any]:
    return {
        "type": "metric",
        "id": identifier,
        "attributes": {"name": name, "integration": {"id": "0rG4eQ", "name": integration}},
        "links": {"self": "https://a.klaviyo.com/api/metrics/x/"},
    }


def event(identifier: str, properties: Mapping[str, Any], metric_id: str = "M1") -> dict[str, Any]:
    return {
        "type": "event",
        "id": identifier,
        "attributes": {"datetime": "2026-06-14T09:00:00+02:00", "event_properties": dict(properties)},
        "relationships": {
            "profile": {"data": {"type": "profile", "id": "P1"}},
            "metric": {"data": {"type": "metric", "id": metric_id}},
        },
        "links": {"self": "https://a.klaviyo.com/api/events/x/"},
    }


def converted(table: Any, records: list[dict[str, Any]]) -> Any:
    return Converter(table, "klaviyo:main:1", Pseudonyms(b"k" * 32), AS_OF).convert(
        [Page(table.name, records=records)]
    )


def test_only_the_vendors_own_mail_metrics_are_asked_for_events(vendor: Vendor, context_of: Any) -> None:
    vendor.on(
        "/api/metrics",
        {
            "data": [
                metric("M1", "Received Email"),
                metric("M2", "Opened Email"),
                metric("M3", "Opened Email", "Mailchimp"),
                metric("M4", "Placed Order", "Shopify"),
            ],
            "links": {},
        },
    )
    vendor.on("/api/events", {"data": [], "links": {}})
    items = list(source.events(context_of("klaviyo", values={"START_DATE": "2026-06-01"})))
    filters = [asked.query["filter"] for asked in vendor.asked if asked.path == "/api/events"]
    assert filters == [
        f'and(equals(metric_id,"{name}"),greater-or-equal(datetime,2026-06-01T00:00:00Z),'
        "less-than(datetime,2026-06-16T00:00:00Z))"
        for name in ("M1", "M2")
    ]
    done = [item for item in items if isinstance(item, Done)]
    assert [sorted(item.slices)[:: len(item.slices) - 1] for item in done] == [["2026-06-01", "2026-06-15"]]


def test_every_metric_that_is_read_means_something_in_staging() -> None:
    mapped = "".join(file.read_text(encoding="utf-8") for file in sorted(STAGING.glob("*.sql")))
    assert [name for name in source.METRICS_READ if f"'{name}'" not in mapped] == []


def test_later_runs_read_the_last_days_again(vendor: Vendor, context_of: Any) -> None:
    vendor.on("/api/metrics", {"data": [metric("M1", "Received Email")], "links": {}})
    vendor.on("/api/events", {"data": [], "links": {}})
    stored = {"events": {"2026-06-13": "x", "2026-06-14": "x", "2026-03-01": ""}}
    list(source.events(context_of("klaviyo", stored_slices=stored)))
    asked = [asked.query["filter"] for asked in vendor.asked if asked.path == "/api/events"]
    # The day whose last reading was cut off, then five days before the last stored one.
    assert ["2026-03-01T00" in asked[0], "2026-06-09T00" in asked[1], len(asked)] == [True, True, 2]


def test_pages_follow_the_next_link_with_key_and_revision(vendor: Vendor, context_of: Any) -> None:
    def page(asked: Asked) -> Any:
        cursor = asked.query.get("page[cursor]")
        links = {} if cursor else {"next": f"{vendor.url}/api/flows?page%5Bcursor%5D=bmV4dA%3D%3D"}
        return {"data": [{"id": cursor or "first"}], "links": links}

    vendor.on("/api/flows", page)
    found = source.pages(client_for(context_of("klaviyo").connection), "/api/flows")
    assert [record["id"] for answer in found for record in answer.at("data")] == ["first", "bmV4dA=="]
    for asked in vendor.asked:
        assert asked.headers["Authorization"] == "Klaviyo-API-Key secret-canary-7f3a"
        assert asked.headers["revision"] == "2026-07-15"


def test_a_next_link_to_another_origin_is_refused_and_never_asked(vendor: Vendor, context_of: Any) -> None:
    stranger = Vendor()
    try:
        vendor.on("/api/flows", {"data": [{"id": "1"}], "links": {"next": f"{stranger.url}/api/flows?x=1"}})
        with pytest.raises(BadAnswer, match="another origin"):
            list(source.pages(client_for(context_of("klaviyo").connection), "/api/flows"))
        assert stranger.asked == []
    finally:
        stranger.close()


def test_a_page_that_does_not_say_whether_it_is_the_last_one_fails(vendor: Vendor, context_of: Any) -> None:
    vendor.on("/api/flows", {"data": [{"id": "1"}]})
    with pytest.raises(BadAnswer, match="no 'links'"):
        list(source.pages(client_for(context_of("klaviyo").connection), "/api/flows"))
    vendor.on("/api/flows", {"data": None, "links": {}})
    with pytest.raises(BadAnswer, match="no list at 'data'"):
        list(source.pages(client_for(context_of("klaviyo").connection), "/api/flows"))


def test_an_empty_page_in_the_middle_ends_nothing(vendor: Vendor, context_of: Any) -> None:
    answers = iter([[{"id": "1"}], [], [{"id": "2"}]])
    number = iter(range(1, 3))

    def page(_: Asked) -> Any:
        found, following = next(answers), next(number, None)
        links = {"next": f"{vendor.url}/api/flows?page%5Bcursor%5D={following}"} if following else {}
        return {"data": found, "links": links}

    vendor.on("/api/flows", page)
    found = source.pages(client_for(context_of("klaviyo").connection), "/api/flows")
    assert [record["id"] for answer in found for record in answer.at("data")] == ["1", "2"]


def test_a_repeated_cursor_fails_at_once(vendor: Vendor, context_of: Any) -> None:
    number = iter(range(100))
    vendor.on(
        "/api/flows",
        lambda _: {
            "data": [{"id": next(number)}],
            "links": {"next": f"{vendor.url}/api/flows?page%5Bcursor%5D=same"},
        },
    )
    with pytest.raises(BadAnswer, match="same cursor twice"):
        list(source.pages(client_for(context_of("klaviyo").connection), "/api/flows"))
    assert len(vendor.asked) == 2


def test_a_paths_limit_is_waited_for_as_long_as_it_says(
    vendor: Vendor, context_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(http.time, "sleep", waits.append)
    answers = iter([Reply({"errors": [{"code": "throttled"}]}, 429, {"Retry-After": "17"})] * 2)
    vendor.on("/api/flows", lambda _: next(answers, None) or {"data": [], "links": {}})
    assert list(source.pages(client_for(context_of("klaviyo").connection), "/api/flows"))
    assert waits == [17.0, 17.0]


def test_messages_are_those_that_campaigns_name(vendor: Vendor, context_of: Any) -> None:
    campaigns = [
        {
            "type": "campaign",
            "id": name,
            "attributes": {"name": name},
            "relationships": {"campaign-messages": {"data": [{"type": "campaign-message", "id": ref}]}},
        }
        for name, ref in (("C1", "A"), ("C2", "B"))
    ]
    included = [
        {
            "type": "campaign-message",
            "id": ref,
            "attributes": {
                "definition": {"channel": "email", "label": ref, "content": {"subject": f"to {ref}"}}
            },
            "links": {},
        }
        for ref in ("B", "A", "orphan")
    ]
    whole = {"data": campaigns, "included": included, "links": {}}
    vendor.on(
        "/api/campaigns",
        lambda asked: whole if "true" in asked.query["filter"] else {"data": [], "links": {}},
    )
    vendor.on("/api/flows", {"data": [], "links": {}})
    items = [item for item in source.names(context_of("klaviyo")) if isinstance(item, Page)]
    records = [
        dict(record) for item in items if item.table == "campaign_messages" for record in item.records or ()
    ]
    result = converted(source.CAMPAIGN_MESSAGES, records)
    kept = sorted(
        zip(*(result.good[c].to_pylist() for c in ("message_id", "campaign_id", "subject_line")), strict=True)
    )
    assert kept == [("A", "C1", "to A"), ("B", "C2", "to B")]
    for path in ("/api/campaigns", "/api/flows"):
        asked = [asked.query["filter"] for asked in vendor.asked if asked.path == path]
        assert [
            f"archived,{value}" in text for value, text in zip(("false", "true"), asked, strict=True)
        ] == [True] * 2
    # A message that no campaign names is refused, not lost.
    assert "campaign_id" in result.quarantined["reason"][0].as_py()
    assert result.unknown == {}


def test_of_an_event_the_mailing_is_kept_and_the_rest_is_not() -> None:
    record = event(
        "E1",
        {
            "$message": "01HMSG",
            "$flow": "FLOW1",
            "$_cohort$message_send_cohort": "1750000000:01HMSG",
            "URL": "https://shop.example/?utm_source=mail",
            "Recipient Email Address": " Anna@Example.com",
            "machine_open": True,
            "Client Name": "Apple Mail",
            "City": "Utrecht",
        },
    )
    result = converted(source.EVENTS, [record])
    (row,) = result.good.to_pylist()
    assert row["recipient_email_hash"] == Pseudonyms(b"k" * 32).of("anna@example.com")
    assert row["occurred_at"] == datetime(2026, 6, 14, 7)
    shown = {
        name: row[name] for name in ("message_id", "flow_id", "send_cohort", "is_machine_open", "_slice")
    }
    assert shown == {
        "message_id": "01HMSG",
        "flow_id": "FLOW1",
        "send_cohort": "1750000000:01HMSG",
        "is_machine_open": True,
        "_slice": "2026-06-14",
    }
    assert "Utrecht" not in str(row)
    assert result.unknown == {}


def test_profiles_are_asked_for_since_the_last_change_and_without_names(
    vendor: Vendor, context_of: Any
) -> None:
    vendor.on("/api/profiles", {"data": [], "links": {}})
    list(source.profiles(context_of("klaviyo")))
    assert "filter" not in vendor.asked[-1].query
    cursor = datetime(2026, 6, 15, 2, tzinfo=UTC)
    list(source.profiles(context_of("klaviyo", cursors={"profiles": cursor})))
    query = vendor.asked[-1].query
    assert query["filter"] == "greater-than(updated,2026-06-15T01:00:00Z)"
    assert "name" not in query["fields[profile]"]
    assert "phone" not in query["fields[profile]"]


@pytest.mark.parametrize("path", ["events", "campaigns", "flows", "profiles"])
def test_the_check_finds_a_missing_scope(vendor: Vendor, context_of: Any, path: str) -> None:
    connection = context_of("klaviyo").connection
    vendor.on("/api/metrics", {"data": [metric("M1", "Received Email")], "links": {}})
    for name in ("events", "campaigns", "flows", "profiles"):
        vendor.on(f"/api/{name}", {"data": [], "links": {}})
    assert source.check(connection) == "1 e-mail metrics; events, campaigns, flows and profiles can be read"
    vendor.on(f"/api/{path}", Reply({"errors": [{"code": "permission_denied"}]}, 403))
    with pytest.raises(Unauthorized, match=f"/api/{path} was refused"):
        source.check(connection)


def test_the_check_finds_a_wrong_key_and_an_account_without_mail(vendor: Vendor, context_of: Any) -> None:
    connection = context_of("klaviyo").connection
    vendor.on("/api/metrics", {"data": [metric("M4", "Placed Order", "Shopify")], "links": {}})
    with pytest.raises(SourceError, match="no e-mail metrics"):
        source.check(connection)
    vendor.on("/api/metrics", Reply({"errors": [{"code": "authentication_failed"}]}, 401))
    with pytest.raises(Unauthorized) as error:
        source.check(connection)
    assert "secret-canary" not in str(error.value)
