"""Mailchimp: paging by offset, details that are read only when their counters moved, what is kept of a
recipient.
"""

from __future__ import annotations

from typing import Any

import pytest

from ingestion.errors import BadAnswer, ConfigurationError, Unauthorized
from ingestion.mailchimp import source
from ingestion.mailchimp.settings import client_for
from ingestion.settings import Connection
from ingestion.sources import Done, Page
from tests.unit.systems.vendor import Asked, Reply, Vendor

REPORT = {
    "id": "c1",
    "emails_sent": 2,
    "unsubscribed": 0,
    "abuse_reports": 0,
    "bounces": {"hard_bounces": 1, "soft_bounces": 0, "syntax_errors": 0},
    "opens": {"opens_total": 3, "unique_opens": 1, "last_open": "2026-06-01T09:00:00+00:00"},
    "clicks": {"clicks_total": 0, "unique_clicks": 0, "last_click": ""},
}


def scripted(vendor: Vendor, report: dict[str, Any]) -> None:
    vendor.on("/3.0/campaigns", {"campaigns": [{"id": "c1"}], "total_items": 1})
    vendor.on("/3.0/reports", {"reports": [report], "total_items": 1})
    vendor.on(
        "/3.0/reports/c1/sent-to", {"sent_to": [{"email_id": "a"}, {"email_id": "b"}], "total_items": 2}
    )
    vendor.on("/3.0/reports/c1/email-activity", {"emails": [], "total_items": 0})
    vendor.on("/3.0/reports/c1/open-details", {"members": [], "total_items": 0})


def test_details_are_read_again_only_when_their_counters_move(vendor: Vendor, context_of: Any) -> None:
    scripted(vendor, REPORT)
    items = list(source.campaigns(context_of("mailchimp")))
    assert {path.rsplit("/", 1)[1] for path in vendor.paths() if "/c1/" in path} == {
        "sent-to",
        "email-activity",
        "open-details",
    }
    stored = {item.table: dict(item.slices) for item in items if isinstance(item, Done)}
    assert set(stored) == {detail.table.name for detail in source.DETAILS}
    for report, expected in (
        (REPORT, set()),
        ({**REPORT, "opens": {**REPORT["opens"], "opens_total": 4}}, {"email-activity", "open-details"}),  # type: ignore[dict-item]
        ({**REPORT, "emails_sent": 3}, {"sent-to"}),
    ):
        vendor.asked.clear()
        scripted(vendor, report)
        list(source.campaigns(context_of("mailchimp", stored_slices=stored)))
        assert {path.rsplit("/", 1)[1] for path in vendor.paths() if "/c1/" in path} == expected


def test_pages_follow_until_the_total(
    vendor: Vendor, context_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "PAGE", 2)
    records = [{"id": str(n)} for n in range(5)]

    def page(asked: Asked) -> dict[str, Any]:
        start = int(asked.query["offset"])
        return {"lists": records[start : start + int(asked.query["count"])], "total_items": 5}

    vendor.on("/3.0/lists", page)
    answers = list(source.pages(client_for(context_of("mailchimp").connection), "/3.0/lists", "lists"))
    assert [record["id"] for answer in answers for record in answer.at("lists")] == ["0", "1", "2", "3", "4"]
    assert vendor.asked[0].headers["Authorization"].startswith("Basic ")


def test_an_empty_page_before_the_total_fails(vendor: Vendor, context_of: Any) -> None:
    vendor.on("/3.0/lists", {"lists": [], "total_items": 5})
    with pytest.raises(BadAnswer, match="5 records were announced"):
        list(source.pages(client_for(context_of("mailchimp").connection), "/3.0/lists", "lists"))


def test_equal_actions_of_one_second_are_numbered_whatever_their_order() -> None:
    click = {"action": "click", "timestamp": "t", "url": "https://b.example"}
    other = {**click, "url": "https://a.example", "ip": "17.58.97.1"}
    recipient = {
        "campaign_id": "c",
        "email_id": "e",
        "email_address": "a@b.example",
        "activity": [click, other],
    }
    rows = list(source.activity_rows(recipient))
    assert rows == list(source.activity_rows({**recipient, "activity": [other, click]}))
    assert [(row["url"], row["nth"], row["ip_network"]) for row in rows] == [
        ("https://a.example", 1, "17.58"),
        ("https://b.example", 2, None),
    ]


def test_members_are_asked_for_since_the_last_change(vendor: Vendor, context_of: Any) -> None:
    vendor.on("/3.0/lists", {"lists": [{"id": "l1"}], "total_items": 1})
    vendor.on("/3.0/lists/l1/members", {"members": [], "total_items": 0})
    context = context_of("mailchimp")
    list(source.audiences(context))
    assert "since_last_changed" not in vendor.asked[-1].query
    list(source.audiences(context_of("mailchimp", cursors={"members": context.as_of.replace(hour=2)})))
    assert vendor.asked[-1].query["since_last_changed"] == "2026-06-15T01:00:00+00:00"


def test_a_wrong_key_is_one_line_without_the_key(vendor: Vendor, context_of: Any) -> None:
    problem = {
        "type": "about:blank",
        "title": "API Key Invalid",
        "status": 401,
        "detail": "Your API key may be invalid",
    }
    vendor.on("/3.0/", Reply(problem, 401, {"Content-Type": "application/problem+json"}))
    with pytest.raises(Unauthorized) as error:
        source.check(context_of("mailchimp").connection)
    assert "secret-canary" not in str(error.value)
    assert "\n" not in str(error.value)


def test_the_data_centre_comes_from_the_key() -> None:
    client = client_for(Connection("mailchimp", values={"API_KEY": "0123456789abcdef-us21"}))
    assert client.base_url == "https://us21.api.mailchimp.com"
    with pytest.raises(ConfigurationError, match="names no data centre"):
        client_for(Connection("mailchimp", values={"API_KEY": "0123456789abcdef"}))


def test_no_request_is_made_for_what_counts_nothing(vendor: Vendor, context_of: Any) -> None:
    scripted(vendor, {"id": "c1", "emails_sent": 0})
    items = list(source.campaigns(context_of("mailchimp")))
    assert not [path for path in vendor.paths() if "/c1/" in path]
    assert {item.table for item in items if isinstance(item, Page)} == {"campaigns", "reports"}
