"""Where Stripe is reached, with which key and API version. No request is described here."""

from __future__ import annotations

from ingestion.http import ApiClient, BearerAuth
from ingestion.settings import Connection, Setting, setting

SYSTEM_NAME = "stripe"
API_VERSION = "2023-08-16"
"""Later versions move the prices of lines and the invoice of a charge: the version decides the shape."""

SETTINGS = (
    Setting("BASE_URL", default="https://api.stripe.com", help="Only for proxies and the sandbox."),
    Setting(
        "API_KEY",
        secret=True,
        help="A restricted key that may read customers, products, billing, charges, credit notes, events.",
    ),
)


def client_for(connection: Connection) -> ApiClient:
    """A client with the key, at a fixed API version. Raises ConfigurationError where the key is missing."""
    key = connection.require("API_KEY")
    return ApiClient(
        SYSTEM_NAME,
        setting(connection, SETTINGS, "BASE_URL"),
        auth=BearerAuth(key),
        headers={"Stripe-Version": API_VERSION},
        secrets=(key,),
    )
