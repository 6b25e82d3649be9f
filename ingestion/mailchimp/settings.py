"""Where Mailchimp is reached and with which key. No request is described here."""

from __future__ import annotations

from ingestion.errors import ConfigurationError
from ingestion.http import ApiClient, BasicAuth
from ingestion.settings import Connection, Setting

SYSTEM_NAME = "mailchimp"

SETTINGS = (
    Setting(
        "API_KEY",
        secret=True,
        help="Account & billing, extras, API keys. It ends in the data centre (-us21).",
    ),
    Setting(
        "BASE_URL",
        required=False,
        help="https://<data centre>.api.mailchimp.com; taken from the key if not set.",
    ),
)


def client_for(connection: Connection) -> ApiClient:
    """A client with the key. Raises ConfigurationError where the key is missing or names no data centre."""
    key = connection.require("API_KEY")
    base_url = connection.get("BASE_URL")
    if not base_url:
        _, dash, centre = key.rpartition("-")
        if not dash or not centre.isalnum():
            raise ConfigurationError(
                f"{SYSTEM_NAME}: API_KEY names no data centre (it ends in -us21 or so). Copy the whole key."
            )
        base_url = f"https://{centre}.api.mailchimp.com"
    # A page of a large report may take minutes: the service itself cuts off at 120 s.
    return ApiClient(SYSTEM_NAME, base_url, auth=BasicAuth("key", key), secrets=(key,), read_timeout=130.0)
