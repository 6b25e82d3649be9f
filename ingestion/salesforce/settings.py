"""Where Salesforce is reached, and which of an org's own fields carry what we need. No query here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ingestion.errors import ConfigurationError
from ingestion.http import ApiClient, ClientCredentialsAuth, RefreshTokenAuth
from ingestion.settings import Connection, Setting, setting

SYSTEM_NAME = "salesforce"
API_VERSION = "v66.0"
TOKEN_PATH = "/services/oauth2/token"


def _field(key: str, default: str, text: str) -> Setting:
    return Setting(key, default=default, required=False, help=text)


SETTINGS = (
    Setting(
        "BASE_URL",
        required=False,
        help="<My Domain>.my.salesforce.com, from `accounts`, if not set; for proxies and the sandbox.",
    ),
    Setting(
        "CLIENT_ID", secret=True, help="Consumer key of an external client app (client credentials flow)."
    ),
    Setting("CLIENT_SECRET", secret=True, help="Its consumer secret."),
    Setting(
        "REFRESH_TOKEN",
        required=False,
        secret=True,
        help="Only where the app works in a person's name instead of with client credentials.",
    ),
    Setting("API_VERSION", default=API_VERSION, required=False, help="The version of the REST API."),
    Setting(
        "MAX_API_USAGE",
        default="0.95",
        required=False,
        help="Stop where this share of the org's daily requests is used up, whoever used them.",
    ),
    Setting("CURRENCY", required=False, help="Of an org without multiple currencies, for instance USD."),
    _field("LIFECYCLE_FIELD", "Lifecycle_Stage__c", "Lead and contact: stage of the life cycle."),
    _field("DISQUALIFIED_FIELD", "Disqualified_Reason__c", "Lead and contact: why it is none."),
    _field("SELF_REPORTED_FIELD", "How_Heard__c", "Lead and contact: how they heard of us."),
    _field("CLIENT_IDS_FIELD", "GA_Client_Ids__c", "Lead and contact: web client ids, `;` between them."),
    _field("USER_ID_FIELD", "App_User_Id__c", "Lead and contact: the product's user id."),
    _field("LEAD_ACCOUNT_FIELD", "Account__c", "Lead: the account that it was matched with."),
    _field(
        "PERSON_ATTRIBUTES",
        "BANT_Budget__c,BANT_Authority__c,BANT_Need__c,BANT_Timeline__c,Marketing_Consent__c",
        "Lead and contact: further fields to keep, comma-separated.",
    ),
    _field("IS_PARTNER_FIELD", "Is_Partner__c", "Account: true for partners."),
    _field("ARR_FIELD", "ARR__c", "Opportunity: annual recurring revenue."),
    _field("WON_REASON_FIELD", "Won_Reason__c", "Opportunity: why it was won."),
    _field("LOST_REASON_FIELD", "Loss_Reason__c", "Opportunity: why it was lost."),
    _field("COMPETITOR_FIELD", "Competitor__c", "Opportunity: who else was in it."),
    _field("CONTRACT_START_FIELD", "Contract_Start__c", "Opportunity: first day of the contract."),
    _field("CONTRACT_END_FIELD", "Contract_End__c", "Opportunity: last day of the contract."),
    _field("RENEWED_FIELD", "Renewed_Opportunity__c", "Opportunity: the opportunity that it renews."),
    _field("SOURCED_BY_FIELD", "Sourced_By__c", "Opportunity: marketing, sales, partner …"),
    _field("PARTNER_ACCOUNT_FIELD", "Partner_Account__c", "Opportunity: the partner's account."),
    _field("MEETING_OUTCOME_FIELD", "Meeting_Outcome__c", "Event: held, missed, cancelled …"),
    _field("TEAM_FIELD", "UserRole.Name", "User: the team."),
)

LIMIT = "REQUEST_LIMIT_EXCEEDED"
CONCURRENT_SECONDS, DAILY_SECONDS = 10.0, 3600.0


def limit_wait(status: int, headers: Mapping[str, str], content: bytes) -> float | None:  # noqa: ARG001
    """Seconds to wait where an answer says that a limit was reached, else None.

    Limits come with status 403. Too many long requests at once pass in seconds; the day's requests (over a
    rolling 24 hours) do not come back while anybody waits.
    """
    code, message = error_of(content) if status in (403, 503) else ("", "")
    if code == "SERVER_UNAVAILABLE":
        return CONCURRENT_SECONDS
    if code != LIMIT:
        return None
    return DAILY_SECONDS if "TotalRequests" in message else CONCURRENT_SECONDS


def error_of(content: bytes | str) -> tuple[str, str]:
    """Code and message of an error's body; empty texts where it is none."""
    try:
        document: Any = orjson.loads(content)
    except orjson.JSONDecodeError:
        return "", ""
    first = document[0] if isinstance(document, list) and document else document
    if not isinstance(first, dict):
        return "", ""
    return str(first.get("errorCode") or ""), str(first.get("message") or "")


def base_url(connection: Connection) -> str:
    """The org's own address. Raises ConfigurationError where neither BASE_URL nor `accounts` says it."""
    configured = setting(connection, SETTINGS, "BASE_URL")
    if configured:
        return configured.rstrip("/")
    if len(connection.accounts) != 1:
        raise ConfigurationError(
            f"{SYSTEM_NAME}: `accounts` of connection {connection.name} must name one org, by its My Domain "
            "name (acme for acme.my.salesforce.com)."
        )
    return f"https://{connection.accounts[0]}.my.salesforce.com"


def client_for(connection: Connection) -> ApiClient:
    """A client for the org's REST API. Raises ConfigurationError where a setting is missing."""
    base = base_url(connection)
    if connection.get("REFRESH_TOKEN"):
        auth = RefreshTokenAuth.of(connection, base + TOKEN_PATH)
    else:
        auth = ClientCredentialsAuth(
            base + TOKEN_PATH, connection.require("CLIENT_ID"), connection.require("CLIENT_SECRET")
        )
    return ApiClient(SYSTEM_NAME, base, auth=auth, limit_wait=limit_wait)
