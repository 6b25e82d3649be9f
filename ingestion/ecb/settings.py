"""Where the reference rates are read. They are public: there is no credential."""

from __future__ import annotations

from ingestion.http import ApiClient
from ingestion.settings import Connection, Setting, setting

SYSTEM_NAME = "ecb"

SETTINGS = (
    Setting(
        "BASE_URL",
        default="https://www.ecb.europa.eu",
        required=False,
        help="Another address that serves the same files, for instance a mirror inside the company.",
    ),
)


def client_for(connection: Connection) -> ApiClient:
    """A client without credentials."""
    return ApiClient(
        SYSTEM_NAME,
        setting(connection, SETTINGS, "BASE_URL"),
        headers={"Accept": "text/xml, application/xml"},
    )
