"""Every kind of fault does what it says, as often as it says, and the log tells of it."""

from __future__ import annotations

import gzip
import json
import math
import time
from typing import Any

import pytest
import requests

from sandbox.app import running
from sandbox.company import Company
from sandbox.environment import environment
from sandbox.faults import KINDS, Fault, FaultBook
from sandbox.servers import vendors
from tests.unit.sandbox.conftest import AS_OF, Client

CONTACTS = "/crm/v3/objects/contacts"
OTHER_STATUSES = {
    ("meta_ads", "rate_limit"): 400,
    ("salesforce", "rate_limit"): 403,
    ("shopify", "rate_limit"): 200,
    ("shopify", "expired_cursor"): 200,
}


def _set(client: Client, kind: str, path: str = "^/hubspot/crm/v3/objects/contacts$", **rule: Any) -> None:
    client.control("POST", "faults", {"rules": [{"path": path, "kind": kind, **rule}]})


def test_every_vendor_offers_what_the_app_needs() -> None:
    assert sorted(vendors()) == [
        "ecb",
        "ga4",
        "google_ads",
        "hubspot",
        "klaviyo",
        "linkedin_ads",
        "mailchimp",
        "meta_ads",
        "posthog",
        "salesforce",
        "shopify",
        "stripe",
    ]
    settings = environment(8790)
    for name, module in vendors().items():
        assert any(key.startswith(f"SOURCES__{name.upper()}__") for key in settings)
        assert module.LISTS
        for kind, status in (("rate_limit", 429), ("server_error", 500), ("expired_token", 401),
                             ("expired_cursor", 400), ("not_found", 404)):  # fmt: skip
            answer = module.refusal(kind, {})
            # Three vendors tell of their limits with another status, one of them of all that a query meets.
            expected = OTHER_STATUSES.get((name, kind), status)
            assert answer.status_code == expected, (name, kind)
            is_document = answer.media_type != "text/html"  # a plain web server has only pages
            assert json.loads(bytes(answer.body)) if is_document else answer.body, (name, kind)
        assert module.refusal("server_error", {"status": 503}).status_code == 503
    assert all(
        url.startswith("http://127.0.0.1:8790/") for key, url in settings.items() if key.endswith("_URL")
    )


def test_a_rate_limit_is_met_as_often_as_set_and_then_no_more(clean: Client) -> None:
    _set(clean, "rate_limit", times=2, params={"retry_after": 2})
    answers = [clean.crm(CONTACTS) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "2"
    assert answers[0].json()["errorType"] == "RATE_LIMIT"
    rules = clean.control("GET", "faults")["rules"]
    assert rules[0]["done"] == 2


def test_a_rule_can_pass_requests_and_look_at_method_and_text(clean: Client) -> None:
    _set(clean, "server_error", skip=1, method="GET", contains="limit=3", times=None, params={"status": 503})
    codes = [clean.crm(CONTACTS, limit=limit).status_code for limit in (3, 4, 3, 3)]
    assert codes == [200, 200, 503, 503]
    assert clean.crm(f"{CONTACTS}/search", {"limit": 3}).status_code == 200


def test_a_quota_refuses_what_is_above_it(clean: Client) -> None:
    _set(clean, "quota", times=None, params={"requests": 3, "seconds": 60})
    assert [clean.crm(CONTACTS).status_code for _ in range(5)] == [200, 200, 200, 429, 429]


def test_an_expired_token_and_an_expired_cursor(clean: Client) -> None:
    _set(clean, "expired_token")
    _set(clean, "expired_cursor", contains="after=")
    first = clean.crm(CONTACTS)
    assert (first.status_code, first.json()["category"]) == (401, "EXPIRED_AUTHENTICATION")
    assert clean.crm(CONTACTS, limit=1).status_code == 200
    assert clean.crm(CONTACTS, limit=1, after="1").status_code == 400


def test_a_reset_closes_the_connection_in_mid_body(clean: Client) -> None:
    _set(clean, "reset")
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
        clean.crm(CONTACTS)
    assert clean.crm(CONTACTS).status_code == 200


def test_truncated_html_empty_and_other_bodies(clean: Client) -> None:
    _set(clean, "truncated")
    _set(clean, "html")
    _set(clean, "no_content")
    _set(clean, "body", params={"body": {"errors": ["nothing"]}})
    with pytest.raises(requests.exceptions.JSONDecodeError):
        clean.crm(CONTACTS).json()
    page = clean.crm(CONTACTS)
    assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (200, "text/html")
    assert (clean.crm(CONTACTS).status_code, clean.crm(CONTACTS).json()) == (204, {"errors": ["nothing"]})


def test_repeated_pages_and_cursors_and_empty_pages(clean: Client) -> None:
    first = clean.crm(CONTACTS, limit=2).json()
    after = first["paging"]["next"]["after"]
    _set(clean, "repeat_page", contains="after=")
    assert clean.crm(CONTACTS, limit=2).json()["results"] == first["results"]
    assert clean.crm(CONTACTS, limit=2, after=after).json()["results"] == first["results"]
    second = clean.crm(CONTACTS, limit=2, after=after).json()
    assert second["results"] != first["results"]
    _set(clean, "repeat_cursor", contains="after=")
    assert clean.crm(CONTACTS, limit=2, after=after).json()["paging"]["next"]["after"] == after
    _set(clean, "empty_page", contains="after=")
    empty = clean.crm(CONTACTS, limit=2, after=after).json()
    assert (empty["results"], empty["paging"]) == ([], second["paging"])
    _set(clean, "moving_records", contains="after=", params={"count": 1})
    assert clean.crm(CONTACTS, limit=2, after=after).json()["results"] == second["results"][1:]


def test_a_repeated_cursor_of_the_export_is_the_one_that_was_asked(clean: Client) -> None:
    token = clean.export(prefix="events_").json()["nextPageToken"]
    assert "=" in token, "the token has to be escaped in a query"
    _set(clean, "repeat_cursor", "/o$", contains="pageToken")
    # The last page has no next cursor to repeat; ask for small pages, so that there is one.
    assert clean.export(prefix="events_", maxResults=2, pageToken=token).json()["nextPageToken"] == token


def test_wrong_totals_null_and_missing_data(clean: Client) -> None:
    path = "^/mailchimp/3.0/reports$"
    right = clean.mail("/reports").json()
    _set(clean, "wrong_total", path, params={"add": -3})
    _set(clean, "null_data", path)
    _set(clean, "missing_data", path)
    assert clean.mail("/reports").json()["total_items"] == right["total_items"] - 3
    assert clean.mail("/reports").json()["reports"] is None
    assert "reports" not in clean.mail("/reports").json()
    assert clean.mail("/reports").json() == right


def test_fields_appear_vanish_and_change_their_type(clean: Client) -> None:
    _set(clean, "new_field", params={"name": "properties.surprise", "value": 1, "record": 0})
    _set(clean, "missing_field", params={"name": "createdAt"})
    _set(clean, "type_change", params={"name": "createdAt"})
    first = clean.crm(CONTACTS).json()["results"]
    assert first[0]["properties"]["surprise"] == 1
    assert "surprise" not in first[1]["properties"]
    assert all("createdAt" not in record for record in clean.crm(CONTACTS).json()["results"])
    assert all(isinstance(record["createdAt"], dict) for record in clean.crm(CONTACTS).json()["results"])


@pytest.mark.parametrize(
    ("value", "raw"),
    [("nan", b"NaN"), ("infinity", b"Infinity"), ("huge", b"18446744073709551616"), ("nul", rb"a\u0000b"),
     ("surrogate", rb"a\ud800b"), ("null", b"null"), ("far_future", b"2999-12-31")],
)  # fmt: skip
def test_values_that_no_table_holds(clean: Client, value: str, raw: bytes) -> None:
    _set(clean, "bad_value", params={"name": "updatedAt", "value": value, "record": 0})
    content = clean.crm(CONTACTS, limit=1).content
    assert b'"updatedAt": ' in content
    assert raw in content


def test_records_of_export_files_are_spoilt_too(clean: Client) -> None:
    name = clean.export(prefix="events_20260601").json()["items"][0]["name"]
    _set(clean, "bad_value", f"/{name}$", params={"name": "event_timestamp", "value": "nan", "record": 0})
    lines = gzip.decompress(clean.export(f"/{name}", alt="media").content).splitlines()
    assert math.isnan(json.loads(lines[0])["event_timestamp"])
    assert json.loads(lines[1])["event_timestamp"].isdigit()


def test_streams_are_changed_in_every_chunk(clean: Client) -> None:
    _set(clean, "missing_field", "searchStream$", params={"name": "campaign.name"})
    rows = clean.ads("SELECT campaign.id, campaign.name FROM campaign", "searchStream").json()[0]["results"]
    assert rows
    assert all("name" not in row["campaign"] for row in rows)


def test_dripping_and_slow_answers_take_their_time(clean: Client) -> None:
    size = len(clean.crm(CONTACTS, limit=1).content)
    _set(clean, "drip", params={"bytes": size // 4, "seconds": 0.1})
    _set(clean, "slow", params={"seconds": 0.3})
    for _ in range(2):
        start = time.monotonic()
        assert clean.crm(CONTACTS, limit=1).json()["results"]
        assert time.monotonic() - start >= 0.3


def test_next_links_and_redirects_to_another_origin_and_the_log_of_that_origin(
    clean: Client, company: Company
) -> None:
    with running(company, AS_OF) as other:
        _set(clean, "foreign_next", params={"origin": other})
        _set(clean, "redirect", params={"location": f"{other}/hubspot{CONTACTS}"})
        link = clean.crm(CONTACTS, limit=1).json()["paging"]["next"]["link"]
        assert link.startswith(f"{other}/hubspot{CONTACTS}?")
        headers = {"Authorization": "Bearer x"}
        moved = requests.get(
            clean.base + "/hubspot" + CONTACTS, headers=headers, allow_redirects=False, timeout=30
        )
        assert (moved.status_code, moved.headers["location"]) == (302, f"{other}/hubspot{CONTACTS}")
        requests.get(link, headers=headers, timeout=30)
        log = requests.get(f"{other}/_sandbox/requests", timeout=30).json()["requests"]
        assert [(entry["authorized"], entry["status"]) for entry in log] == [(True, 401)]


def test_the_log_tells_what_came_and_keeps_no_token(clean: Client) -> None:
    clean.crm(f"{CONTACTS}/search", {"limit": 1, "properties": ["email"]})
    clean.crm(CONTACTS, limit=1)
    log = clean.control("GET", "requests")["requests"]
    assert [(e["method"], e["path"], e["status"]) for e in log] == [
        ("POST", f"/hubspot{CONTACTS}/search", 200),
        ("GET", f"/hubspot{CONTACTS}", 200),
    ]
    assert json.loads(log[0]["body"])["properties"] == ["email"]
    assert log[1]["query"] == "limit=1"
    assert all(entry["authorized"] and entry["sent_bytes"] > 0 for entry in log)
    assert clean.setting("hubspot", "ACCESS_TOKEN") not in json.dumps(log)
    clean.control("DELETE", "requests")
    assert clean.control("GET", "requests") == {"requests": []}


def test_faults_can_be_in_force_from_the_start(company: Company) -> None:
    with running(company, AS_OF, faults=[{"path": "^/stripe/", "kind": "server_error", "times": 1}]) as base:
        client = Client(base)
        assert [client.billing("/v1/customers").status_code for _ in range(2)] == [500, 200]


def test_unknown_kinds_and_patterns_are_refused(clean: Client) -> None:
    for rule in ({"path": "x", "kind": "nonsense"}, {"path": "(", "kind": "html"}, {"kind": "html"}):
        answer = requests.post(f"{clean.base}/_sandbox/faults", json={"rules": [rule]}, timeout=30)
        assert answer.status_code == 400, rule
    assert FaultBook([Fault("x", kind) for kind in KINDS]).take("GET", "y", "") is None
