"""Where HubSpot is reached, and which of a portal's own properties carry what we need. No request here."""

from __future__ import annotations

from ingestion.http import ApiClient, BearerAuth
from ingestion.settings import Connection, Setting, setting

SYSTEM_NAME = "hubspot"

SETTINGS = (
    Setting("BASE_URL", default="https://api.hubapi.com", help="Only for proxies and the sandbox."),
    Setting(
        "ACCESS_TOKEN",
        secret=True,
        help="Of a private app with crm.objects.{contacts,companies,deals,owners}.read, sales-email-read.",
    ),
    Setting(
        "CLIENT_IDS_PROPERTY",
        default="ga_client_ids",
        required=False,
        help="Contact: web client ids, `;` between them.",
    ),
    Setting(
        "USER_ID_PROPERTY", default="app_user_id", required=False, help="Contact: the product's user id."
    ),
    Setting(
        "SELF_REPORTED_PROPERTY",
        default="how_did_you_hear",
        required=False,
        help="Contact: how they heard of us.",
    ),
    Setting(
        "DISQUALIFIED_PROPERTY",
        default="disqualified_reason",
        required=False,
        help="Contact: why it is no lead.",
    ),
    Setting(
        "CONTACT_ATTRIBUTES",
        default="bant_budget,bant_authority,bant_need,bant_timeline,marketing_consent",
        required=False,
        help="Contact: further properties to keep, comma-separated.",
    ),
    Setting("IS_PARTNER_PROPERTY", default="is_partner", required=False, help="Company: true for partners."),
    Setting("COMPETITOR_PROPERTY", default="competitor", required=False, help="Deal: who else was in it."),
    Setting(
        "CONTRACT_START_PROPERTY",
        default="contract_start",
        required=False,
        help="Deal: first day of the contract.",
    ),
    Setting(
        "CONTRACT_END_PROPERTY",
        default="contract_end",
        required=False,
        help="Deal: last day of the contract.",
    ),
    Setting(
        "RENEWED_DEAL_PROPERTY",
        default="renewed_deal_id",
        required=False,
        help="Deal: the deal that it renews.",
    ),
    Setting(
        "SOURCED_BY_PROPERTY", default="sourced_by", required=False, help="Deal: marketing, sales, partner …"
    ),
    Setting(
        "PARTNER_COMPANY_PROPERTY",
        default="partner_company_id",
        required=False,
        help="Deal: the partner's company id.",
    ),
)


def client_for(connection: Connection) -> ApiClient:
    """A client with the private app's token. Raises ConfigurationError where it is missing."""
    return ApiClient(
        SYSTEM_NAME,
        setting(connection, SETTINGS, "BASE_URL"),
        auth=BearerAuth(connection.require("ACCESS_TOKEN")),
        # 190 requests in 10 s and 5 searches a second: a refused request waits for its share of the window.
        backoff=1.0,
        tries=7,
    )
