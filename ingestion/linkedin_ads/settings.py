"""Where LinkedIn's Marketing API is reached and with which credentials. No request is described here."""

from __future__ import annotations

from ingestion.http import ApiClient, RefreshTokenAuth
from ingestion.settings import Connection, Setting, setting

SYSTEM_NAME = "linkedin_ads"
API_VERSION = "202606"

SETTINGS = (
    Setting("BASE_URL", default="https://api.linkedin.com", help="Only for proxies and the sandbox."),
    Setting(
        "TOKEN_URL",
        default="https://www.linkedin.com/oauth/v2/accessToken",
        help="Where access tokens are made.",
    ),
    Setting("CLIENT_ID", help="Of an app with access to the Advertising API."),
    Setting("CLIENT_SECRET", secret=True, help="Of the same app."),
    Setting(
        "REFRESH_TOKEN",
        secret=True,
        help="With the scopes r_ads and r_ads_reporting, of a member with a role in each account; "
        "it ends after a year.",
    ),
    Setting(
        "API_VERSION",
        default=API_VERSION,
        required=False,
        help="YYYYMM. A version is served for a year.",
    ),
    Setting(
        "START_DATE",
        required=False,
        help="First day of the first load (YYYY-MM-DD); 730 days ago if not set.",
    ),
)


def client_for(connection: Connection) -> ApiClient:
    """A client with access tokens made from the refresh token.

    Raises ConfigurationError where a credential is missing.
    """
    auth = RefreshTokenAuth.of(connection, setting(connection, SETTINGS, "TOKEN_URL"))
    return ApiClient(
        SYSTEM_NAME,
        setting(connection, SETTINGS, "BASE_URL"),
        auth=auth,
        headers={
            "LinkedIn-Version": setting(connection, SETTINGS, "API_VERSION"),
            "X-Restli-Protocol-Version": "2.0.0",
        },
        # A 429 names no waiting time; the counters of a day start anew at midnight UTC.
        backoff=5.0,
    )
