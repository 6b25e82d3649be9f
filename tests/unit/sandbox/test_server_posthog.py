"""PostHog's query endpoint in the sandbox: what it refuses, how it counts rows, times and repeats."""

from __future__ import annotations

import json
from datetime import UTC, timedelta
from typing import Any

import requests

from sandbox.company import Company
from tests.unit.sandbox.conftest import Client

UTC_TIME = "toString(toTimeZone(timestamp, 'UTC'))"


def ask(client: Client, query: Any, project: str = "27182", token: str | None = None) -> requests.Response:
    """Ask a HogQL query."""
    headers = {"Authorization": f"Bearer {token or client.setting('posthog', 'API_KEY')}"}
    url = f"{client.setting('posthog', 'BASE_URL')}/api/projects/{project}/query/"
    return requests.post(
        url, json={"query": {"kind": "HogQLQuery", "query": query}}, headers=headers, timeout=60
    )


def test_what_the_service_would_refuse_is_refused_in_its_words(client: Client) -> None:
    wrong = ask(client, "select uuid from events", token="wrong")
    assert (wrong.status_code, wrong.json()["code"]) == (401, "authentication_failed")
    assert ask(client, "select uuid from events", project="1").status_code == 404
    for query, detail in (
        ("select uuid from persons", "Unknown table `persons`."),
        ("select read_text('/etc/hostname') from events", "Unsupported function call 'read_text(...)'"),
        ("selct", "Syntax error"),
        ("select nothing from events", "nothing"),
        (None, "HogQLQuery"),
    ):
        answer = ask(client, query)
        assert (answer.status_code, answer.json()["type"]) == (400, "validation_error"), query
        assert detail in answer.json()["detail"]


def test_rows_are_a_hundred_unless_asked_for_and_times_are_the_project_s(client: Client) -> None:
    assert len(ask(client, "select uuid from events").json()["results"]) == 100
    answer = ask(
        client, f"select timestamp, {UTC_TIME} as utc, properties from events order by timestamp limit 3"
    ).json()
    assert answer["columns"] == ["timestamp", "utc", "properties"]
    assert (len(answer["results"]), answer["limit"]) == (3, 3)
    local, utc, properties = answer["results"][0]
    assert local.endswith("+02:00"), "Amsterdam in summer"
    assert local[:10] >= utc[:10]
    assert json.loads(properties)["$lib"] == "web"


def test_an_event_that_was_sent_twice_stands_twice_until_it_is_merged(
    clean: Client, company: Company
) -> None:
    events = company.tables["web_events"].to_pylist()
    arrivals: dict[str, list[Any]] = {}
    for event in events:
        if event["tool"] == "app":
            arrivals.setdefault(event["event_id"], []).append(event["visible_at"])
    second = min(max(moments) for moments in arrivals.values() if len(moments) > 1)
    count = "select count() - count(distinct uuid) as repeated from events"
    seen = []
    for hours in (-1, 1, 8):
        moment = (second + timedelta(hours=hours)).replace(tzinfo=UTC)
        clean.control("POST", "clock", {"as_of": moment.isoformat()})
        seen.append(ask(clean, count).json()["results"][0][0])
    assert (seen[0], seen[2]) == (0, 0)
    assert seen[1] > 0
