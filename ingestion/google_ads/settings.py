"""Where Google Ads is reached and with which credentials. No request is described here."""

from __future__ import annotations

from ingestion.http import ApiClient, RefreshTokenAuth
from ingestion.settings import Connection, Setting, setting

SYSTEM_NAME = "google_ads"
API_VERSION = "v25"

SETTINGS = (
    Setting("BASE_URL", default="https://googleads.googleapis.com", help="Only for proxies and the sandbox."),
    Setting("TOKEN_URL", default="https://oauth2.googleapis.com/token", help="Where access tokens are made."),
    Setting("DEVELOPER_TOKEN", secret=True, help="From the API centre of the manager account."),
    Setting("CLIENT_ID", help="Of an OAuth client (desktop or web) in Google Cloud."),
    Setting("CLIENT_SECRET", secret=True, help="Of the same OAuth client."),
    Setting("REFRESH_TOKEN", secret=True, help="With the scope https://www.googleapis.com/auth/adwords."),
    Setting("LOGIN_CUSTOMER_ID", required=False, help="The manager account, where access goes through one."),
    Setting(
        "START_DATE",
        required=False,
        help="First day of the first load (YYYY-MM-DD); 730 days ago if not set.",
    ),
    Setting(
        "METHOD",
        default="searchStream",
        required=False,
        help="searchStream, or search (pages of 10,000 rows).",
    ),
)


def client_for(connection: Connection) -> ApiClient:
    """A client with the developer token, the manager account and access tokens made from the refresh token.

    Raises ConfigurationError where a credential is missing.
    """
    developer_token = connection.require("DEVELOPER_TOKEN")
    headers = {"developer-token": developer_token}
    manager = connection.get("LOGIN_CUSTOMER_ID")
    if manager:
        headers["login-customer-id"] = manager.replace("-", "")
    auth = RefreshTokenAuth.of(connection, setting(connection, SETTINGS, "TOKEN_URL"))
    return ApiClient(
        SYSTEM_NAME,
        setting(connection, SETTINGS, "BASE_URL"),
        auth=auth,
        headers=headers,
        secrets=(developer_token,),
    )
