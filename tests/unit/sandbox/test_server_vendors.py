"""The servers behave as the vendors document: authentication, paging, filters, refusals, and the company's
clock.

These tests need no specification and always run.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
import requests

from sandbox.company import Company
from sandbox.company.restatement import restated
from sandbox.servers import ga4, google_ads, hubspot, klaviyo, mailchimp, stripe
from sandbox.world import World, parse_instant
from tests.unit.sandbox.conftest import AS_OF, Client, mailed

NOW = parse_instant(AS_OF).replace(tzinfo=None)
DAILY = (
    "SELECT campaign.id, segments.date, segments.device, segments.ad_network_type, metrics.impressions,"
    " metrics.clicks, metrics.cost_micros, metrics.conversions FROM campaign"
    " WHERE segments.date BETWEEN '{}' AND '{}'"
)


def _pages(get: Any, key: str, after: str | None = None) -> list[Any]:
    """Return all records of a CRM listing, page by page."""
    found: list[Any] = []
    while True:
        answer = get(after).json()
        found += answer[key]
        after = answer.get("paging", {}).get("next", {}).get("after")
        if after is None:
            return found


# ---------------------------------------------------------------------------------------------- the whole app


def test_each_vendor_refuses_a_wrong_token_in_its_own_words(client: Client) -> None:
    wrong = {"Authorization": "Bearer wrong"}
    paths = {
        "google_ads": ("POST", "/v25/customers/4815162342/googleAds:search"),
        "ga4": ("GET", f"/storage/v1/b/{ga4.BUCKET}/o"),
        "mailchimp": ("GET", "/3.0/lists"),
        "klaviyo": ("GET", "/api/metrics"),
        "hubspot": ("GET", "/crm/v3/objects/contacts"),
        "salesforce": ("GET", "/services/data/v66.0/limits"),
        "stripe": ("GET", "/v1/customers"),
    }
    said = {
        "google_ads": lambda body: body["error"]["status"] == "UNAUTHENTICATED",
        "ga4": lambda body: body["error"]["status"] == "UNAUTHENTICATED",
        "mailchimp": lambda body: body["title"] == "API Key Invalid" and body["status"] == 401,
        "klaviyo": lambda body: body["errors"][0]["code"] == "not_authenticated",
        "hubspot": lambda body: body["category"] == "INVALID_AUTHENTICATION" and body["correlationId"],
        "salesforce": lambda body: body[0]["errorCode"] == "INVALID_SESSION_ID",
        "stripe": lambda body: "Invalid API Key" in body["error"]["message"],
    }
    for system, (method, path) in paths.items():
        answer = requests.request(method, f"{client.base}/{system}{path}", headers=wrong, json={}, timeout=30)
        assert answer.status_code == 401, system
        assert said[system](answer.json()), answer.text


def test_a_wrong_refresh_token_gives_no_access(client: Client) -> None:
    form = {"grant_type": "refresh_token", "client_id": client.setting("ga4", "CLIENT_ID")}
    form |= {"client_secret": client.setting("ga4", "CLIENT_SECRET"), "refresh_token": "no"}
    answer = requests.post(client.setting("ga4", "TOKEN_URL"), data=form, timeout=30)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    form["client_secret"] = "no"
    answer = requests.post(client.setting("ga4", "TOKEN_URL"), data=form, timeout=30)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_unknown_paths_are_answered_in_the_vendors_shape(client: Client) -> None:
    assert client.billing("/v1/nonsense").json()["error"]["type"] == "invalid_request_error"
    assert client.mail("/nonsense").json()["title"] == "Resource Not Found"
    assert client.crm("/crm/v3/nonsense").json()["category"] == "OBJECT_NOT_FOUND"
    assert [client.billing("/v1/nonsense").status_code, client.mail("/nonsense").status_code] == [404, 404]


def test_the_clock_is_read_moved_and_refused(clean: Client) -> None:
    assert clean.control("GET", "clock") == {"as_of": AS_OF}
    early = clean.billing("/v1/customers", limit=100).json()["data"]
    clean.control("POST", "clock", {"as_of": "2026-05-20T00:00:00Z"})
    past = clean.billing("/v1/customers", limit=100).json()["data"]
    assert 0 < len(past) < len(early)
    wrong = requests.post(f"{clean.base}/_sandbox/clock", json={"as_of": "yesterday"}, timeout=30)
    assert wrong.status_code == 400


# ------------------------------------------------------------------------------------------------ Google Ads


def _ads_totals(answer: Any) -> Counter[str]:
    totals: Counter[str] = Counter()
    for row in answer["results"]:
        for name in ("impressions", "clicks", "costMicros"):
            totals[name] += int(row["metrics"][name])
    return totals


@pytest.mark.parametrize("account", ["4815162342", "4815162343", "4815162344"])
def test_ads_totals_are_what_the_platform_shows_at_the_clock(
    client: Client, company: Company, account: str
) -> None:
    shown = restated(company.tables["ad_performance"], parse_instant(AS_OF)).to_pylist()
    shown = [row for row in shown if row["platform"] == "google_ads" and row["account_id"] == account]
    totals = _ads_totals(client.ads(DAILY.format("2026-01-01", "2026-12-31"), account=account).json())
    assert totals["impressions"] == sum(row["impressions"] for row in shown) > 0
    assert totals["clicks"] == sum(row["clicks"] for row in shown)
    assert totals["costMicros"] == 10_000 * sum(row["spend_minor"] for row in shown)


def test_ads_of_a_campaign_add_up_to_it_and_performance_max_has_none(client: Client) -> None:
    by_ad = DAILY.replace("FROM campaign", "FROM ad_group_ad").replace(
        "campaign.id,", "campaign.id, ad_group_ad.ad.id,"
    )
    ads, whole = (
        client.ads(by_ad.format("2026-05-01", "2026-06-30")),
        client.ads(DAILY.format("2026-05-01", "2026-06-30")),
    )
    per_campaign: Counter[str] = Counter()
    for row in whole.json()["results"]:
        per_campaign[row["campaign"]["id"]] += int(row["metrics"]["costMicros"])
    per_ad: Counter[str] = Counter()
    for row in ads.json()["results"]:
        per_ad[row["campaign"]["id"]] += int(row["metrics"]["costMicros"])
    kinds = client.ads("SELECT campaign.id, campaign.advertising_channel_type FROM campaign").json()[
        "results"
    ]
    maximal = {
        r["campaign"]["id"] for r in kinds if r["campaign"]["advertisingChannelType"] == "PERFORMANCE_MAX"
    }
    assert maximal
    assert set(per_campaign) - set(per_ad) == maximal & set(per_campaign)
    assert all(per_ad[name] == per_campaign[name] for name in per_ad)


def test_ad_figures_of_a_day_are_restated_for_four_weeks_and_then_stand(
    clean: Client, company: Company
) -> None:
    won: Counter[Any] = Counter()
    for row in company.tables["ad_performance"].to_pylist():
        if row["account_id"] == "4815162342" and row["date"].isoformat() < "2026-06-01":
            won[row["date"]] += row["conversions"]
    day = won.most_common(1)[0][0]  # a day with conversions enough to be restated visibly
    query = DAILY.format(day, day)
    seen = []
    for age in (1, 10, 30, 31):
        clean.control("POST", "clock", {"as_of": f"{day + timedelta(days=age)}T12:00:00Z"})
        answer = clean.ads(query).json()
        conversions = sum(row["metrics"]["conversions"] for row in answer["results"])
        seen.append((_ads_totals(answer)["costMicros"], round(conversions, 6)))
    assert seen[0][0] > seen[1][0] > seen[2][0] == seen[3][0]
    assert seen[0][1] < seen[1][1] < seen[2][1] == seen[3][1]


def test_the_day_that_has_not_ended_and_days_without_impressions_have_no_rows(client: Client) -> None:
    rows = client.ads(DAILY.format("2026-06-25", "2026-07-05")).json()["results"]
    days = {row["segments"]["date"] for row in rows}
    assert max(days) == "2026-06-30"
    assert all(int(row["metrics"]["impressions"]) > 0 for row in rows)


REFUSED = [
    ("SELECT campaign.nonsense FROM campaign", "queryError", "UNRECOGNIZED_FIELD"),
    ("SELECT campaign.id FROM campains", "queryError", "BAD_RESOURCE_TYPE_IN_FROM_CLAUSE"),
    ("SELECT campaign.id, segments.date FROM campaign", "queryError", "EXPECTED_FILTERS_ON_DATE_RANGE"),
    ("SELECT campaign.id FORM campaign", "queryError", "UNEXPECTED_INPUT"),
    ("SELECT campaign.id FROM campaign WHERE segments.date = 'June'", "queryError", "INVALID_DATE_FORMAT"),
    ("SELECT campaign.id FROM campaign WHERE campaign.id = 'x'", "queryError", "BAD_NUMBER"),
    ("SELECT metrics.clicks, click_view.gclid FROM click_view", "queryError",
     "PROHIBITED_METRIC_IN_SELECT_OR_WHERE_CLAUSE"),
    ("SELECT click_view.gclid FROM click_view", "queryError", "EXPECTED_FILTERS_ON_DATE_RANGE"),
    ("SELECT campaign.id FROM campaign LIMIT 0", "queryError", "LIMIT_VALUE_TOO_LOW"),
    ("SELECT campaign.id FROM campaign WHERE campaign.name = 'x", "queryError", "STRING_NOT_TERMINATED"),
    ("", "requestError", "REQUIRED_FIELD_MISSING"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "kind", "code"), REFUSED)
def test_refused_queries_carry_the_vendors_code(client: Client, query: str, kind: str, code: str) -> None:
    answer = client.ads(query)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["status"] == "INVALID_ARGUMENT"
    assert error["details"][0]["errors"][0]["errorCode"] == {kind: code}
    assert client.ads(query, "searchStream").json() == [answer.json()]


def test_ads_refuses_page_size_foreign_customers_and_a_missing_developer_token(client: Client) -> None:
    query = "SELECT campaign.id FROM campaign"
    sized = client.ads(query, pageSize=10).json()["error"]["details"][0]["errors"][0]["errorCode"]
    assert sized == {"requestError": "PAGE_SIZE_NOT_SUPPORTED"}
    assert client.ads(query, account="1").status_code == 403
    url = f"{client.base}/google_ads/v25/customers/4815162342/googleAds:search"
    headers = {"Authorization": f"Bearer {client.token('google_ads')}"}
    bare = requests.post(url, json={"query": query}, headers=headers, timeout=30).json()
    code = bare["error"]["details"][0]["errors"][0]["errorCode"]
    assert code == {"requestError": "DEVELOPER_TOKEN_PARAMETER_MISSING"}


def test_ads_pages_hold_the_same_rows_as_the_stream(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    query = DAILY.format("2026-06-01", "2026-06-30") + " ORDER BY segments.date DESC, metrics.clicks DESC"
    whole = client.ads(query, "searchStream").json()[0]["results"]
    monkeypatch.setattr(google_ads, "PAGE_ROWS", 37)
    paged: list[Any] = []
    token = None
    while True:
        answer = client.ads(query, pageToken=token, searchSettings={"returnTotalResultsCount": True}).json()
        assert len(answer["results"]) <= 37
        assert answer["totalResultsCount"] == str(len(whole))
        paged += answer["results"]
        token = answer.get("nextPageToken")
        if token is None:
            break
    assert paged == whole
    days = [row["segments"]["date"] for row in paged]
    assert days == sorted(days, reverse=True)
    other = client.ads(query + " LIMIT 5", pageToken=base64.b64encode(b"37:0").decode()).json()
    code = other["error"]["details"][0]["errors"][0]["errorCode"]
    assert code == {"requestError": "EXPIRED_PAGE_TOKEN"}


# -------------------------------------------------------------------------------------------------------- GA4


def _listing(client: Client) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    token: str | None = None
    while True:
        params = {"prefix": "events_", "maxResults": 1000, **({"pageToken": token} if token else {})}
        answer = client.export(**params).json()
        assert len(answer["items"]) <= ga4.OBJECTS_PER_PAGE
        items += answer["items"]
        token = answer.get("nextPageToken")
        if token is None:
            return items


def _file(client: Client, item: dict[str, Any]) -> list[Any]:
    content = client.export("/" + item["name"], alt="media").content
    assert len(content) == int(item["size"])
    assert base64.b64encode(hashlib.md5(content).digest()).decode() == item["md5Hash"]
    return [json.loads(line) for line in gzip.decompress(content).splitlines()]


def test_the_export_holds_every_event_that_had_arrived_in_the_file_of_its_day(
    client: Client, company: Company
) -> None:
    items = _listing(client)
    assert len({item["name"] for item in items}) == len(items) > 55
    counted = Counter()
    ids: Counter[str] = Counter()
    for item in items:
        for event in _file(client, item):
            assert item["name"] == f"events_{event['event_date']}.json.gz"
            params = {part["key"]: part["value"] for part in event["event_params"]}
            assert isinstance(event["event_timestamp"], str)
            assert "string_value" in params["page_location"]
            assert int(params["ga_session_id"]["int_value"]) > 0
            ids[params["event_id"]["string_value"]] += 1
            counted[event["event_name"]] += 1
            if event["event_name"] == "purchase":
                assert event["ecommerce"]["transaction_id"] == params["transaction_id"]["string_value"]
                assert event["ecommerce"]["purchase_revenue"] == params["value"]["double_value"]
                assert event["items"][0]["quantity"].isdigit()
    cut = parse_instant("2026-07-01T02:00:00Z").replace(tzinfo=None)
    rows = company.tables["web_events"].select(["event_id", "visible_at", "occurred_at", "tool"]).to_pylist()
    last = parse_instant("2026-06-30T22:00:00Z").replace(tzinfo=None)  # midnight in Amsterdam
    assert ids == Counter(
        row["event_id"]
        for row in rows
        if row["tool"] == "site" and row["visible_at"] <= cut and row["occurred_at"] < last
    )
    assert max(ids.values()) > 1, "the company repeats some events"
    assert counted["page_view"] > counted["purchase"] > 0


def test_a_day_is_written_again_when_late_events_arrive_and_then_stands(clean: Client) -> None:
    name = "events_20260610.json.gz"
    seen = []
    for day in range(10, 18):
        clean.control("POST", "clock", {"as_of": f"2026-06-{day}T03:00:00Z"})
        item = next(
            (i for i in clean.export(prefix="events_20260610").json().get("items", []) if i["name"] == name),
            None,
        )
        seen.append(item and (item["generation"], len(_file(clean, item))))
    assert seen[0] is None, "a day's file comes the night after"
    counts = [entry[1] for entry in seen if entry]
    assert counts == sorted(counts)
    assert len({entry[0] for entry in seen if entry}) == len(set(counts)) > 1
    assert len(set(seen[4:])) == 1


def test_the_report_counts_what_the_export_holds(client: Client) -> None:
    answer = client.report(
        dateRanges=[{"startDate": "2026-01-01", "endDate": "2026-12-31"}],
        dimensions=[{"name": "date"}, {"name": "eventName"}],
        metrics=[{"name": "eventCount"}, {"name": "totalUsers"}],
        limit=100_000,
    ).json()
    reported = {
        (row["dimensionValues"][0]["value"], row["dimensionValues"][1]["value"]): tuple(
            int(value["value"]) for value in row["metricValues"]
        )
        for row in answer["rows"]
    }
    assert answer["rowCount"] == len(reported)
    events: Counter[tuple[str, str]] = Counter()
    users: dict[tuple[str, str], set[str]] = {}
    for item in _listing(client):
        for event in _file(client, item):
            key = (event["event_date"], event["event_name"])
            events[key] += 1
            users.setdefault(key, set()).add(event["user_pseudo_id"])
    assert reported == {key: (count, len(users[key])) for key, count in events.items()}


def test_reports_page_filter_and_refuse(client: Client) -> None:
    body: dict[str, Any] = {
        "dateRanges": [{"startDate": "30daysAgo", "endDate": "yesterday"}],
        "dimensions": [{"name": "date"}],
        "metrics": [{"name": "sessions"}],
        "orderBys": [{"dimension": {"dimensionName": "date"}}],
    }
    whole = client.report(**body).json()
    first, second = client.report(**body, limit=10).json(), client.report(**body, limit=10, offset=10).json()
    assert first["rows"] + second["rows"] == whole["rows"][:20]
    only = {"filter": {"fieldName": "eventName", "stringFilter": {"value": "purchase"}}}
    assert client.report(**body, dimensionFilter=only).json()["rowCount"] <= whole["rowCount"]
    for change, status in (
        ({"metrics": [{"name": "nonsense"}]}, 400),
        ({"dateRanges": [{"startDate": "June", "endDate": "today"}]}, 400),
        ({"limit": 250_001}, 400),
    ):
        answer = client.report(**{**body, **change})
        assert (answer.status_code, answer.json()["error"]["status"]) == (status, "INVALID_ARGUMENT")
    assert client.report("1", **body).status_code == 403
    assert client.export("/events_20250101.json.gz", alt="media").status_code == 404
    assert client.export(maxResults="x").status_code == 400


# -------------------------------------------------------------------------------------------------- Mailchimp


def _mails(client: Client, path: str, key: str, **params: Any) -> list[Any]:
    found: list[Any] = []
    while True:
        answer = client.mail(path, count=100, offset=len(found), **params).json()
        found += answer[key]
        if len(found) >= answer["total_items"]:
            return found


def test_mail_reports_agree_with_the_events_of_every_recipient(client: Client, company: Company) -> None:
    events = [row for row in mailed(company, "business", "email_events") if row["visible_at"] <= NOW]
    wanted = Counter((row["campaign_id"], row["event_type"]) for row in events)
    assert client.mail("/reports").json()["total_items"] == len({row["campaign_id"] for row in events})
    seen: Counter[tuple[str, str]] = Counter()
    for report in _mails(client, "/reports", "reports"):
        path = f"/reports/{report['id']}"
        seen[report["id"], "sent"] = len(_mails(client, f"{path}/sent-to", "sent_to"))
        for member in _mails(client, f"{path}/email-activity", "emails"):
            assert member["email_id"] == hashlib.md5(member["email_address"].lower().encode()).hexdigest()
            for act in member["activity"]:
                kind = {"open": "opened", "click": "clicked", "bounce": "bounced"}[act["action"]]
                seen[report["id"], kind] += 1
        seen[report["id"], "unsubscribed"] = len(_mails(client, f"{path}/unsubscribed", "unsubscribes"))
        seen[report["id"], "complained"] = len(_mails(client, f"{path}/abuse-reports", "abuse_reports"))
        assert report["emails_sent"] == seen[report["id"], "sent"]
        assert report["opens"]["opens_total"] == seen[report["id"], "opened"]
        opens = [o for m in _mails(client, f"{path}/open-details", "members") for o in m["opens"]]
        assert sum(not o["is_proxy_open"] for o in opens) == report["opens"]["proxy_excluded_opens"]
    for kind in ("sent", "opened", "clicked", "bounced", "unsubscribed", "complained"):
        total = sum(count for (_, have), count in seen.items() if have == kind)
        assert total == sum(count for (_, have), count in wanted.items() if have == kind), kind
        assert total > 0 or kind == "complained", "the small company may have no complaint"


def test_mail_filters_fields_and_refusals(client: Client) -> None:
    list_id = client.mail("/lists").json()["lists"][0]["id"]
    members = _mails(client, f"/lists/{list_id}/members", "members")
    assert len({member["id"] for member in members}) == len(members)
    since = "2026-06-15T00:00:00+00:00"
    changed = _mails(client, f"/lists/{list_id}/members", "members", since_last_changed=since)
    assert {m["id"] for m in changed} == {m["id"] for m in members if m["last_changed"] >= since}
    assert 0 < len(changed) < len(members)
    slim = client.mail(f"/lists/{list_id}/members", fields="members.id,total_items", count=2).json()
    assert slim == {"members": [{"id": m["id"]} for m in members[:2]], "total_items": len(members)}
    wrong = client.mail("/lists", count=1001)
    assert (wrong.status_code, wrong.headers["content-type"].partition(";")[0]) == (
        400,
        "application/problem+json",
    )
    assert client.mail("/reports/ffffffffff/sent-to").status_code == 404
    bearer = {"Authorization": f"Bearer {mailchimp.API_KEY}"}
    assert requests.get(f"{client.base}/mailchimp/3.0/ping", headers=bearer, timeout=30).status_code == 200


def test_email_activity_since_gives_the_later_events_only(client: Client) -> None:
    report = max(
        client.mail("/reports", count=1000).json()["reports"], key=lambda r: r["opens"]["opens_total"]
    )
    path = f"/reports/{report['id']}/email-activity"
    acts = sorted(a["timestamp"] for m in _mails(client, path, "emails") for a in m["activity"])
    since = acts[len(acts) // 2]
    later = sorted(a["timestamp"] for m in _mails(client, path, "emails", since=since) for a in m["activity"])
    assert later
    assert set(later) <= set(acts)
    assert {act for act in acts if act > since} <= set(later)
    assert min(later) >= since


# ---------------------------------------------------------------------------------------------------- Klaviyo


def _shop_mail(client: Client, path: str, **params: Any) -> list[Any]:
    found: list[Any] = []
    answer = client.shop_mail(path, **params)
    while True:
        found += answer.json()["data"]
        following = answer.json()["links"].get("next")
        if following is None:
            return found
        answer = client.session.get(following, headers=dict(answer.request.headers), timeout=60)


def _of_metric(client: Client, name: str, more: str = "", **params: Any) -> list[Any]:
    wanted = f'and(equals(metric_id,"{klaviyo.metric_id(name)}"){more})'
    return _shop_mail(client, "events", filter=wanted, **{"page[size]": 150, **params})


def test_shop_mail_tells_each_event_of_every_recipient_once(client: Client, company: Company) -> None:
    events = [row for row in mailed(company, "shop", "email_events") if row["visible_at"] <= NOW]
    wanted = Counter(row["event_type"] for row in events)
    told = {
        name: _of_metric(client, name)
        for name in (
            "Received Email",
            "Bounced Email",
            "Opened Email",
            "Clicked Email",
            "Marked Email as Spam",
        )
    }
    ids = [event["id"] for found in told.values() for event in found]
    assert len(ids) == len(set(ids))
    # What bounced was not received.
    assert len(told["Received Email"]) + len(told["Bounced Email"]) == wanted["sent"] > 500
    assert len(told["Bounced Email"]) == wanted["bounced"] > 0
    assert len(told["Clicked Email"]) == wanted["clicked"] > 0
    assert len(told["Marked Email as Spam"]) == wanted["complained"]
    machine = [event["attributes"]["event_properties"]["machine_open"] for event in told["Opened Email"]]
    assert Counter(machine) == Counter(
        row["is_machine_open"] for row in events if row["event_type"] == "opened"
    )
    profiles = {profile["id"] for profile in _shop_mail(client, "profiles", **{"page[size]": 100})}
    assert {event["relationships"]["profile"]["data"]["id"] for event in told["Received Email"]} <= profiles
    business = {row["email"] for row in mailed(company, "business", "email_members")}
    sent_to = {
        event["attributes"]["event_properties"]["Recipient Email Address"] for event in told["Received Email"]
    }
    assert not sent_to & business


def test_shop_mail_names_campaign_and_flow_of_each_message(client: Client) -> None:
    campaigns = client.shop_mail(
        "campaigns", filter="equals(messages.channel,'email')", include="campaign-messages"
    ).json()
    messages = {message["id"] for message in campaigns["included"]}
    assert len(messages) == len(campaigns["data"]) > 0
    flows = {flow["id"]: flow["attributes"]["name"] for flow in client.shop_mail("flows").json()["data"]}
    assert {name.rpartition(" ")[2] for name in flows.values()} == {"Welcome", "Reminder"}
    kinds = Counter()
    for event in _of_metric(client, "Received Email"):
        properties = event["attributes"]["event_properties"]
        kinds["flow" if properties.get("$flow") in flows else "campaign"] += 1
        assert (properties.get("$flow") in flows) != (properties["$message"] in messages)
    assert set(kinds) == {"flow", "campaign"}


def test_consent_is_told_once_by_shop_mail_and_for_its_own_people(client: Client, company: Company) -> None:
    answers = [row for row in company.tables["consent_events"].to_pylist() if row["mailer"] == "shop"]
    granted = _of_metric(client, "Subscribed to Email Marketing")
    assert len(granted) == sum(row["state"] == "granted" and row["visible_at"] <= NOW for row in answers) > 0
    left = _of_metric(client, "Unsubscribed from Email Marketing")
    by_mail = {row["event_id"] for row in mailed(company, "shop", "email_events") if row["visible_at"] <= NOW
               and row["event_type"] == "unsubscribed"}  # fmt: skip
    assert {event["id"] for event in left if "$message" in event["attributes"]["event_properties"]} == by_mail
    people = [event["relationships"]["profile"]["data"]["id"] for event in left]
    assert len(people) == len(set(people))


def test_shop_mail_filters_sorts_and_cuts_fields(client: Client) -> None:
    everything = _of_metric(client, "Opened Email", sort="datetime")
    moments = [event["attributes"]["datetime"] for event in everything]
    assert moments == sorted(moments)
    middle = moments[len(moments) // 2]
    later = _of_metric(client, "Opened Email", f",greater-or-equal(datetime,{middle})", sort="-datetime")
    assert [event["attributes"]["datetime"] for event in later] == sorted(
        (moment for moment in moments if moment >= middle), reverse=True
    )
    slim = client.shop_mail(
        "profiles", **{"fields[profile]": "email,subscriptions.email.marketing.consent", "page[size]": 3,
                       "additional-fields[profile]": "subscriptions"}
    ).json()  # fmt: skip
    assert len(slim["data"]) == 3
    for profile in slim["data"]:
        assert set(profile["attributes"]) == {"email", "subscriptions"}
        assert set(profile["attributes"]["subscriptions"]["email"]["marketing"]) == {"consent"}


@pytest.mark.parametrize(
    ("path", "params", "parameter"),
    [
        ("campaigns", {}, "filter"),
        ("events", {"filter": "equals(nothing,'x')"}, "filter"),
        ("events", {"filter": "equals(metric_id"}, "filter"),
        ("events", {"page[size]": "1001"}, "page[size]"),
        ("profiles", {"page[size]": "101"}, "page[size]"),
        ("profiles", {"fields[profile]": "shoe_size"}, "fields[profile]"),
        ("profiles", {"sort": "shoe_size"}, "sort"),
        ("metrics", {"page[size]": "10"}, "page[size]"),
        ("profiles", {"page[cursor]": "nonsense"}, "page[cursor]"),
    ],
)
def test_shop_mail_refuses_what_it_does_not_know(
    client: Client, path: str, params: dict[str, str], parameter: str
) -> None:
    answer = client.shop_mail(path, **params)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["source"] == {"parameter": parameter}


def test_shop_mail_counts_calls_per_path() -> None:
    from sandbox.servers._answers import Refused

    class Clock:
        now = 1000.0

    world = World.__new__(World)
    world.lock = threading.RLock()
    world._permanent = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(klaviyo.time, "monotonic", lambda: Clock.now)
        for _ in range(3):
            klaviyo._count(world, "flows")
        with pytest.raises(Refused) as refused:
            klaviyo._count(world, "flows")
        assert refused.value.response.status_code == 429
        assert refused.value.response.headers["Retry-After"] == "2"
        assert klaviyo._count(world, "metrics")["RateLimit-Remaining"] == "9"  # a path of its own
        for _ in range(19):
            Clock.now += 1.5
            for _ in range(3):
                klaviyo._count(world, "flows")
        Clock.now += 1.5
        with pytest.raises(Refused) as refused:
            klaviyo._count(world, "flows")
        assert 25 < int(refused.value.response.headers["Retry-After"]) < 35
        Clock.now += 35
        klaviyo._count(world, "flows")


# ---------------------------------------------------------------------------------------------------- HubSpot


def _records(client: Client, kind: str, **params: Any) -> list[Any]:
    return _pages(
        lambda after: client.crm(
            f"/crm/v3/objects/{kind}", limit=50, **params, **({"after": after} if after else {})
        ),
        "results",
    )


@pytest.mark.parametrize(
    ("kind", "own"), [("contacts", "contact"), ("companies", "company"), ("deals", "deal")]
)
def test_crm_listings_hold_live_archived_and_merged_records_once(
    client: Client, company: Company, kind: str, own: str
) -> None:
    rows = [
        r
        for r in company.tables["crm_objects"].to_pylist()
        if r["crm"] == hubspot.CRM and r["object_type"] == own and r["created_at"] <= NOW
    ]
    merged = {r["object_id"]: r["merged_into_id"] for r in rows if r["merged_at"] and r["merged_at"] <= NOW}
    archived = {r["object_id"] for r in rows if r["deleted_at"] and r["deleted_at"] <= NOW} - set(merged)
    live = {r["object_id"] for r in rows} - archived - set(merged)
    listed = _records(client, kind, properties="hs_merged_object_ids")
    assert Counter(r["id"] for r in listed) == Counter(live)
    assert {r["id"] for r in _records(client, kind, archived="true")} == archived
    carried = {
        lost for r in listed for lost in (r["properties"]["hs_merged_object_ids"] or "").split(";") if lost
    }
    assert carried == {lost for lost in merged if _end(merged, lost) in live}
    for lost in list(carried)[:3]:
        assert client.crm(f"/crm/v3/objects/{kind}/{lost}").json()["id"] == _end(merged, lost)
    assert len(listed) + len(archived) + len(merged) == len(rows)


def _end(merged: dict[str, str], lost: str) -> str:
    while lost in merged:
        lost = merged[lost]
    return lost


def test_crm_history_is_newest_first_and_ends_in_the_present_value(client: Client, company: Company) -> None:
    deals = _records(client, "deals", properties="dealstage,amount", propertiesWithHistory="dealstage,amount")
    several = 0
    for deal in deals:
        for name in ("dealstage", "amount"):
            entries = deal["propertiesWithHistory"][name]
            stamps = [entry["timestamp"] for entry in entries]
            assert stamps == sorted(stamps, reverse=True)
            if entries:
                assert (entries[0]["value"] or None) == deal["properties"][name]
            several += len(entries) > 1
            assert all(entry["timestamp"] <= deal["updatedAt"] for entry in entries)
    assert several > 5
    history = company.tables["crm_property_history"].to_pylist()
    changes = [
        r
        for r in history
        if r["object_type"] == "deal" and r["property"] == "stage" and r["changed_at"] <= NOW
    ]
    live = {deal["id"] for deal in deals}
    assert sum(len(d["propertiesWithHistory"]["dealstage"]) for d in deals) == sum(
        r["object_id"] in live for r in changes
    )


def test_crm_search_by_last_change_finds_what_moved(clean: Client) -> None:
    clean.control("POST", "clock", {"as_of": "2026-06-20T00:00:00Z"})
    before = {r["id"]: r["updatedAt"] for r in _records(clean, "contacts")}
    clean.control("POST", "clock", {"as_of": "2026-06-22T00:00:00Z"})
    after = {r["id"]: r["updatedAt"] for r in _records(clean, "contacts")}
    moved = {name for name, at in after.items() if before.get(name) != at}
    body = {
        "filterGroups": [{"filters": [
            {"propertyName": "lastmodifieddate", "operator": "GT", "value": "2026-06-20T00:00:00.000Z"}]}],
        "sorts": [{"propertyName": "lastmodifieddate", "direction": "ASCENDING"}],
        "properties": ["lastmodifieddate"],
        "limit": 7,
    }  # fmt: skip
    found = _pages(
        lambda at: clean.crm("/crm/v3/objects/contacts/search", {**body, **({"after": at} if at else {})}),
        "results",
    )
    assert {r["id"] for r in found} == moved
    assert moved
    times = [r["properties"]["lastmodifieddate"] for r in found]
    assert times == sorted(times)


def test_crm_records_whose_shown_state_changed_have_a_newer_date_of_change(clean: Client) -> None:
    # Links are read from the ends that the connectors read them from.
    forward = {("deals", "contacts"), ("deals", "companies"), ("contacts", "companies")} | {
        (kind, to) for kind in hubspot.OBJECTS[3:] for to in ("contacts", "companies", "deals")
    }

    def states() -> dict[tuple[str, str], tuple[Any, str]]:
        found = {}
        for kind in hubspot.OBJECTS:
            names = ",".join(name for name in hubspot.known_properties(kind) if "lastmodified" not in name)
            for record in _records(clean, kind, properties=names, associations="contacts,companies,deals"):
                properties = {k: v for k, v in record["properties"].items() if "lastmodified" not in k}
                own = {k: v for k, v in record.get("associations", {}).items() if (kind, k) in forward}
                found[kind, record["id"]] = ((properties, own), record["updatedAt"])
        return found

    before = None
    changed = 0
    for day in range(8, 29, 4):
        clean.control("POST", "clock", {"as_of": f"2026-06-{day:02d}T00:00:00Z"})
        after = states()
        for key, (state, updated) in after.items():
            if before is not None and key in before and before[key][0] != state:
                assert updated > before[key][1], key
                changed += 1
        before = after
    assert changed > 20


def test_crm_limits_and_refusals(client: Client) -> None:
    assert client.crm("/crm/v3/objects/contacts", limit=101).status_code == 400
    assert client.crm("/crm/v3/objects/contacts", limit=51, propertiesWithHistory="email").status_code == 400
    assert client.crm("/crm/v3/objects/contacts/search", {"limit": 201}).status_code == 400
    assert client.crm("/crm/v3/objects/contacts/search", {"after": "9999", "limit": 2}).status_code == 400
    assert client.crm("/crm/v3/objects/contacts/search", {}).status_code == 200, "as lenient as the live API"
    assert (
        client.crm(
            "/crm/v3/objects/contacts/batch/read", {"inputs": [{"id": str(i)} for i in range(101)]}
        ).status_code
        == 400
    )
    assert client.crm("/crm/v3/objects/unicorns").status_code == 400
    assert client.crm("/crm/v3/objects/contacts/0").status_code == 404
    listed = client.crm("/crm/v3/objects/contacts", limit=1)
    assert listed.headers["X-HubSpot-RateLimit-Max"] == "190"
    assert "X-HubSpot-RateLimit-Max" not in client.crm("/crm/v3/objects/contacts/search", {}).headers
    assert listed.json()["paging"]["next"]["link"].startswith(client.base)
    partly = client.crm(
        "/crm/v3/objects/contacts/batch/read",
        {"inputs": [{"id": "0"}, {"id": listed.json()["results"][0]["id"]}]},
    )
    assert (partly.status_code, partly.json()["numErrors"], len(partly.json()["results"])) == (207, 1, 1)


def test_crm_associations_are_the_same_from_both_ends(client: Client) -> None:
    deals = [deal["id"] for deal in _records(client, "deals")]
    forth = client.crm(
        "/crm/v4/associations/deals/contacts/batch/read", {"inputs": [{"id": i} for i in deals]}
    ).json()
    pairs = {(part["from"]["id"], str(to["toObjectId"])) for part in forth["results"] for to in part["to"]}
    labels = {t["label"] for part in forth["results"] for to in part["to"] for t in to["associationTypes"]}
    assert {None, "Primary"} < labels
    contacts = sorted({contact for _, contact in pairs})
    back = client.crm(
        "/crm/v4/associations/contacts/deals/batch/read", {"inputs": [{"id": i} for i in contacts]}
    ).json()
    assert {
        (str(to["toObjectId"]), part["from"]["id"]) for part in back["results"] for to in part["to"]
    } == pairs
    listed = _records(client, "deals", associations="contacts")
    inline = {
        (deal["id"], one["id"])
        for deal in listed
        for one in deal.get("associations", {}).get("contacts", {}).get("results", [])
    }
    assert inline == pairs


def test_crm_activities_follow_merged_contacts(client: Client, company: Company) -> None:
    total = sum(len(_records(client, kind)) for kind in hubspot.OBJECTS[3:])
    mine = {r["object_id"] for r in company.tables["crm_objects"].to_pylist() if r["crm"] == hubspot.CRM}
    rows = [
        r
        for r in company.tables["crm_activities"].to_pylist()
        if r["created_at"] <= NOW and r["contact_id"] in mine
    ]
    assert total == len(rows)
    contacts = {r["id"] for r in _records(client, "contacts")}
    for kind in ("calls", "meetings", "emails", "tasks"):
        for record in _records(client, kind, associations="contacts"):
            linked = record.get("associations", {}).get("contacts", {}).get("results", [])
            assert {one["id"] for one in linked} <= contacts


# ----------------------------------------------------------------------------------------------------- Stripe


def _bills(client: Client, name: str, **params: Any) -> list[Any]:
    found: list[Any] = []
    while True:
        cursor = {"starting_after": found[-1]["id"]} if found else {}
        answer = client.billing(f"/v1/{name}", limit=17, **params, **cursor).json()
        found += answer["data"]
        if not answer["has_more"]:
            return found


def test_billing_lists_are_whole_newest_first_and_page_back(client: Client, company: Company) -> None:
    tables = company.tables
    for name, table, column, params in (
        ("customers", "billing_customers", "customer_id", {}),
        ("subscriptions", "subscriptions", "subscription_id", {"status": "all"}),
        ("invoices", "invoices", "invoice_id", {}),
        ("refunds", "refunds", "refund_id", {}),
        ("prices", "billing_prices", "price_id", {}),
    ):
        found = _bills(client, name, **params)
        rows = tables[table].to_pylist()
        assert Counter(o["id"] for o in found) == Counter(r[column] for r in rows if r["created_at"] <= NOW)
        times = [item["created"] for item in found]
        assert times == sorted(times, reverse=True)
        back = client.billing(f"/v1/{name}", ending_before=found[-1]["id"], limit=3, **params).json()
        assert back["data"] == found[:-1][-3:]
    late = found[len(found) // 2]["created"]
    assert all(o["created"] >= late for o in _bills(client, "prices", **{"created[gte]": late}))


def test_invoices_add_up_and_their_lines_are_theirs(client: Client, company: Company) -> None:
    invoices = _bills(client, "invoices")
    for invoice in invoices:
        lines = client.billing(f"/v1/invoices/{invoice['id']}/lines", limit=100).json()["data"]
        assert invoice["subtotal"] == sum(line["amount"] for line in lines)
        discount = sum(part["amount"] for part in invoice["total_discount_amounts"])
        assert invoice["total"] == invoice["subtotal"] - discount + invoice["tax"]
        assert invoice["amount_due"] == invoice["amount_paid"] + invoice["amount_remaining"]
        assert (invoice["status"] == "paid") == invoice["paid"] == (invoice["amount_remaining"] == 0)
    charges = {charge["id"]: charge for charge in _bills(client, "charges")}
    assert {i["charge"] for i in invoices if i["charge"]} == set(charges)
    for refund in _bills(client, "refunds"):
        assert 0 < refund["amount"] <= charges[refund["charge"]]["amount_refunded"]


def test_subscriptions_show_their_state_at_the_clock(clean: Client, company: Company) -> None:
    for moment in ("2026-06-01T00:00:00Z", AS_OF):
        clean.control("POST", "clock", {"as_of": moment})
        at = parse_instant(moment).replace(tzinfo=None)
        states: dict[str, str] = {}
        for row in sorted(company.tables["subscription_changes"].to_pylist(), key=lambda r: r["version"]):
            if row["changed_at"] <= at:
                states[row["subscription_id"]] = row["status"]
        found = _bills(clean, "subscriptions", status="all")
        assert {s["id"]: s["status"] for s in found} == states
        hidden = {s["id"] for s in found} - {s["id"] for s in _bills(clean, "subscriptions")}
        assert hidden == {name for name, status in states.items() if status == "canceled"}
        for subscription in found:
            assert subscription["current_period_start"] < subscription["current_period_end"]
            assert subscription["items"]["data"][0]["quantity"] > 0


def test_every_change_of_a_subscription_in_thirty_days_has_an_event(client: Client, company: Company) -> None:
    since = NOW - timedelta(days=stripe.EVENT_DAYS)
    changes = [
        r for r in company.tables["subscription_changes"].to_pylist() if since < r["changed_at"] <= NOW
    ]
    events = _bills(client, "events")
    about = [e for e in events if e["type"].startswith("customer.subscription.")]
    wanted = Counter((r["subscription_id"], r["status"]) for r in changes)
    assert wanted
    assert wanted <= Counter((e["data"]["object"]["id"], e["data"]["object"]["status"]) for e in about)
    assert len({e["id"] for e in events}) == len(events)
    paid = _bills(client, "events", **{"types[]": "invoice.paid"})
    assert {e["type"] for e in paid} == {"invoice.paid"}
    assert all(e["data"]["object"]["status"] == "paid" for e in paid)


def test_what_changed_between_two_clocks_has_an_event_between_them(clean: Client) -> None:
    clocks = ("2026-06-10T00:00:00Z", "2026-06-24T00:00:00Z")
    names = {
        "customers": {},
        "subscriptions": {"status": "all"},
        "invoices": {},
        "charges": {},
        "refunds": {},
    }
    shown: list[dict[str, Any]] = []
    for moment in clocks:
        clean.control("POST", "clock", {"as_of": moment})
        shown.append({o["id"]: o for name, params in names.items() for o in _bills(clean, name, **params)})
    changed = {name for name, item in shown[1].items() if shown[0].get(name) != item}
    since = int(parse_instant(clocks[0]).timestamp())
    events = _bills(clean, "events", **{"created[gte]": since})
    assert changed == {e["data"]["object"]["id"] for e in events} & set(shown[1])
    assert len(changed) > 20
    newest = {e["data"]["object"]["id"]: e["data"]["object"] for e in reversed(events)}
    assert all(newest[name] == shown[1][name] for name in changed), "the newest event holds the present state"


def test_objects_are_rendered_once_a_clock(company: Company) -> None:
    world = World(company, AS_OF)
    assert hubspot.portal(world) is hubspot.portal(world)
    before = hubspot.portal(world)
    world.as_of = "2026-06-01"
    assert hubspot.portal(world) is not before
