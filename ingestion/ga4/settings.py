"""Where the export files and the Data API are reached, and with which credentials. No request is described
here.
"""

from __future__ import annotations

from ingestion.http import ApiClient, RefreshTokenAuth
from ingestion.settings import Connection, Setting, setting

SYSTEM_NAME = "ga4"

SETTINGS = (
    Setting("BUCKET", help="The Cloud Storage bucket that holds the exported files."),
    Setting(
        "PREFIX",
        default="events_",
        required=False,
        help="Beginning of the objects' names; the day (YYYYMMDD) follows somewhere behind it.",
    ),
    Setting(
        "EXPORT_BASE_URL", default="https://storage.googleapis.com", help="Only for proxies and the sandbox."
    ),
    Setting(
        "DATA_BASE_URL",
        default="https://analyticsdata.googleapis.com",
        help="Only for proxies and the sandbox.",
    ),
    Setting("TOKEN_URL", default="https://oauth2.googleapis.com/token", help="Where access tokens are made."),
    Setting("CLIENT_ID", help="Of an OAuth client in Google Cloud."),
    Setting("CLIENT_SECRET", secret=True, help="Of the same OAuth client."),
    Setting(
        "REFRESH_TOKEN",
        secret=True,
        help="With the scopes analytics.readonly and devstorage.read_only.",
    ),
)


def client_for(connection: Connection, base: str) -> ApiClient:
    """A client of one of the two services; `base` is EXPORT_BASE_URL or DATA_BASE_URL.

    Raises ConfigurationError where a credential is missing.
    """
    auth = RefreshTokenAuth.of(connection, setting(connection, SETTINGS, "TOKEN_URL"))
    return ApiClient(SYSTEM_NAME, setting(connection, SETTINGS, base), auth=auth)
