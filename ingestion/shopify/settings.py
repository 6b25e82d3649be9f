"""Where a shop is reached, with which credentials, and what its refusals mean. No query is described here.

A shop refuses with status 200: the body has `errors`, each with a code. Only one of them is worth another
try: THROTTLED, with the points that the query costs, those that are left, and how fast they come back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from ingestion.errors import BadAnswer, ConfigurationError, Unauthorized
from ingestion.http import Answer, ApiClient, Auth, ClientCredentialsAuth, HeaderAuth, redact
from ingestion.settings import Connection, Setting, setting

SYSTEM_NAME = "shopify"
API_VERSION = "2026-07"
TOKEN_HEADER = "X-Shopify-Access-Token"
SERVED_HEADER = "X-Shopify-API-Version"
DEFAULT_WAIT_SECONDS = 10.0

SETTINGS = (
    Setting(
        "BASE_URL",
        default="https://{account}.myshopify.com",
        help="Only for proxies and the sandbox; {account} is the shop's name.",
    ),
    Setting(
        "CLIENT_ID",
        required=False,
        help="Of an app of your own organisation that is installed in each shop (instead of ACCESS_TOKEN).",
    ),
    Setting("CLIENT_SECRET", secret=True, required=False, help="Of the same app."),
    Setting(
        "ACCESS_TOKEN",
        secret=True,
        required=False,
        help="Of an older custom app, for one shop; ACCESS_TOKEN_<SHOP> where there are several.",
    ),
    Setting(
        "API_VERSION", default=API_VERSION, required=False, help="YYYY-MM. A version is served for a year."
    ),
)


class TooExpensive(BadAnswer):
    """The query may cost more points than a single one is allowed: ask for fewer records."""


def client_for(connection: Connection, shop: str) -> ApiClient:
    """A client for one shop.

    Raises ConfigurationError where credentials are missing.
    """
    base = setting(connection, SETTINGS, "BASE_URL").replace("{account}", shop)
    return ApiClient(
        SYSTEM_NAME,
        base,
        auth=_credentials(connection, shop, base),
        limit_wait=limit_wait,
        refuse=refuse,
        backoff=1.0,
    )


def _credentials(connection: Connection, shop: str, base: str) -> Auth:
    own = connection.get("ACCESS_TOKEN_" + re.sub(r"\W", "_", shop).upper())
    token = own or connection.get("ACCESS_TOKEN")
    if token:
        return HeaderAuth({TOKEN_HEADER: token})
    if connection.get("CLIENT_ID"):
        return ClientCredentialsAuth(
            token_url=f"{base}/admin/oauth/access_token",
            client_id=connection.require("CLIENT_ID"),
            client_secret=connection.require("CLIENT_SECRET"),
            header=TOKEN_HEADER,
        )
    specific, general = connection.environment_names("CLIENT_ID")
    raise ConfigurationError(
        f"{SYSTEM_NAME}: there are no credentials for {shop}. Set {general} (or {specific}) and "
        "CLIENT_SECRET, or ACCESS_TOKEN, in the environment or in .env."
    )


def limit_wait(status: int, headers: Mapping[str, str], content: bytes) -> float | None:  # noqa: ARG001
    """Seconds until the points that a throttled query needs are there again, else None."""
    if status != 200 or b"THROTTLED" not in content:
        return None
    document = _parsed(content)
    if "THROTTLED" not in codes(document):
        return None
    cost = (document.get("extensions") or {}).get("cost") or {}
    left = cost.get("throttleStatus") or {}
    try:
        lacking = float(cost["requestedQueryCost"]) - float(left["currentlyAvailable"])
        return max(0.5, lacking / float(left["restoreRate"]))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return DEFAULT_WAIT_SECONDS


def refuse(answer: Answer) -> None:
    """Raise where the answer carries errors, whatever data stands beside them.

    Raises:
        TooExpensive: the query is above the limit of a single one.
        Unauthorized: the app lacks a scope.
        BadAnswer: anything else.
    """
    document = answer.json()
    if not isinstance(document, dict) or not document.get("errors"):
        return
    found = codes(document)
    text = redact("; ".join(messages(document))[:300])
    if "MAX_COST_EXCEEDED" in found:
        raise TooExpensive(SYSTEM_NAME, f"a query is too expensive: {text}")
    if "ACCESS_DENIED" in found:
        raise Unauthorized(
            SYSTEM_NAME, f"the app lacks a permission: {text}", "Give it the scopes that README.md names."
        )
    raise BadAnswer(
        SYSTEM_NAME,
        f"the answer has status 200 but carries errors ({', '.join(sorted(found)) or 'no code'}): {text}",
        "Nothing of this load was kept; run again, and check API_VERSION if it stays.",
    )


def codes(document: Mapping[str, Any]) -> set[str]:
    """The codes of an answer's errors."""
    return {
        str((error.get("extensions") or {}).get("code"))
        for error in document.get("errors") or ()
        if isinstance(error, dict) and (error.get("extensions") or {}).get("code")
    }


def messages(document: Mapping[str, Any]) -> list[str]:
    """The texts of an answer's errors (a list of objects, or one text)."""
    errors = document.get("errors") or ()
    if not isinstance(errors, list):
        return [str(errors)]
    return [str(error.get("message") if isinstance(error, dict) else error) for error in errors]


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}
