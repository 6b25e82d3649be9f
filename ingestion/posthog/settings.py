"""Where PostHog is reached, with which key, and how one query is asked. No question is described here."""

from __future__ import annotations

from typing import Any

from ingestion.errors import BadAnswer, ConfigurationError
from ingestion.http import Answer, ApiClient, BearerAuth
from ingestion.settings import Connection, Setting, setting

SYSTEM_NAME = "posthog"
DEFAULT_LATE_DAYS = 30

SETTINGS = (
    Setting(
        "BASE_URL",
        default="https://us.posthog.com",
        help="https://eu.posthog.com for a project in the EU; the own address of an own installation.",
    ),
    Setting("API_KEY", secret=True, help="A personal API key (phx_...) with the scope query:read."),
    Setting(
        "START_DATE",
        required=False,
        help="First day of the first load (YYYY-MM-DD); 730 days ago if not set.",
    ),
    Setting(
        "LATE_DAYS",
        default=str(DEFAULT_LATE_DAYS),
        required=False,
        help="So many days back each run looks for days that have changed: late and deleted events.",
    ),
)


def client_for(connection: Connection) -> ApiClient:
    """A client with the key. Raises ConfigurationError where it is missing."""
    return ApiClient(
        SYSTEM_NAME,
        setting(connection, SETTINGS, "BASE_URL"),
        auth=BearerAuth(connection.require("API_KEY")),
        read_timeout=180.0,  # the service itself ends a query after some minutes
    )


def late_days(connection: Connection) -> int:
    """The setting LATE_DAYS. Raises ConfigurationError where it is no number of days."""
    text = setting(connection, SETTINGS, "LATE_DAYS")
    if not text.isdigit():
        raise ConfigurationError(
            f"{SYSTEM_NAME}: LATE_DAYS {text!r} is no number of days. Write for instance 30."
        )
    return int(text)


def ask(client: ApiClient, project: str, query: str) -> list[list[Any]]:
    """The rows of a HogQL query, calculated now: the service would else answer from a cache.

    Raises:
        BadAnswer: the answer has no rows, carries an error, or is only the promise of a later one.
    """
    body = {"query": {"kind": "HogQLQuery", "query": query}, "refresh": "force_blocking"}
    answer: Answer = client.post(f"/api/projects/{project}/query/", json=body)
    if answer.at("query_status.error") is True:
        raise BadAnswer(SYSTEM_NAME, "the query failed in the service.", "Run again later.")
    client.require(answer.json(), "results")
    rows: list[list[Any]] = answer.json()["results"]
    return rows
