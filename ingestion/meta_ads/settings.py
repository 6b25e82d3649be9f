"""Where Meta's Marketing API is reached and with which token. No request is described here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ingestion.http import ApiClient, BearerAuth
from ingestion.settings import Connection, Setting, setting

SYSTEM_NAME = "meta_ads"
API_VERSION = "v25.0"

SETTINGS = (
    Setting("BASE_URL", default="https://graph.facebook.com", help="Only for proxies and the sandbox."),
    Setting(
        "ACCESS_TOKEN",
        secret=True,
        help="Of a system user with the permission ads_read on every account that is listed.",
    ),
    Setting("API_VERSION", default=API_VERSION, required=False, help="The version of the Graph API."),
    Setting(
        "START_DATE",
        required=False,
        help="First day of the first load (YYYY-MM-DD); 730 days ago if not set. The API keeps 37 months.",
    ),
)

# Error codes with status 400 that mean "too many calls": app, user, account, and the business use cases.
LIMIT_CODES = frozenset({4, 17, 32, 613, *range(80000, 80015)})
DEFAULT_WAIT_SECONDS = 30.0
TRANSIENT_WAIT_SECONDS = 5.0


def limit_wait(status: int, headers: Mapping[str, str], content: bytes) -> float | None:
    """Seconds to wait where an answer says that a limit was reached or that it will pass, else None.

    The limits come with status 400, and so do disturbances, which say that they are transient. How long a
    limit lasts stands in a header, per account and use case, in minutes; 0 means that no one knows.
    """
    if status not in (400, 403):
        return None
    if error_code(content)[0] not in LIMIT_CODES:
        error = _parsed(content).get("error")
        return TRANSIENT_WAIT_SECONDS if isinstance(error, dict) and error.get("is_transient") else None
    usage = headers.get("X-Business-Use-Case-Usage")
    minutes = [
        float(entry.get("estimated_time_to_regain_access") or 0)
        for entries in (_parsed(usage.encode()) if usage else {}).values()
        for entry in entries
    ]
    return max(minutes, default=0) * 60 or DEFAULT_WAIT_SECONDS


def error_code(content: bytes) -> tuple[int, int]:
    """Code and subcode of an error's body; zeros where it has none."""
    error = _parsed(content).get("error")
    if not isinstance(error, dict):
        return 0, 0
    return int(error.get("code") or 0), int(error.get("error_subcode") or 0)


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def client_for(connection: Connection) -> ApiClient:
    """A client with the token in a header (in the query, as in the vendor's examples, it would be logged).

    Raises ConfigurationError where the token is missing.
    """
    token = connection.require("ACCESS_TOKEN")
    return ApiClient(
        SYSTEM_NAME,
        f"{setting(connection, SETTINGS, 'BASE_URL')}/{setting(connection, SETTINGS, 'API_VERSION')}",
        auth=BearerAuth(token),
        secrets=(token,),
        limit_wait=limit_wait,
        max_wait=900.0,
    )
