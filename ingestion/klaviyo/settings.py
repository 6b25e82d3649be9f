"""Where Klaviyo is reached and with which key. No request is described here."""

from __future__ import annotations

from ingestion.http import ApiClient, HeaderAuth
from ingestion.settings import Connection, Setting, setting

SYSTEM_NAME = "klaviyo"
REVISION = "2026-07-15"

SETTINGS = (
    Setting("BASE_URL", default="https://a.klaviyo.com", help="Only for proxies and the sandbox."),
    Setting(
        "API_KEY",
        secret=True,
        help="A private key (pk_…) with read access to Campaigns, Events, Flows, Metrics and Profiles.",
    ),
    Setting(
        "REVISION",
        default=REVISION,
        required=False,
        help="YYYY-MM-DD. A revision is served for two years.",
    ),
    Setting(
        "START_DATE",
        required=False,
        help="First day of the first load (YYYY-MM-DD); 730 days ago if not set.",
    ),
)


def client_for(connection: Connection) -> ApiClient:
    """A client with the private key. Raises ConfigurationError where it is missing."""
    return ApiClient(
        SYSTEM_NAME,
        setting(connection, SETTINGS, "BASE_URL"),
        auth=HeaderAuth({"Authorization": f"Klaviyo-API-Key {connection.require('API_KEY')}"}),
        headers={
            "revision": setting(connection, SETTINGS, "REVISION"),
            "Accept": "application/vnd.api+json",
        },
        # Each path has a limit of its own per second and per minute; a 429 names the seconds to wait, at most
        # sixty. Several refusals in a row are nothing unusual where others use the same key.
        tries=8,
    )
