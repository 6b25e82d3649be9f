"""One small company and one running sandbox for every test of the servers, and a client for each vendor.

What belongs here: fixtures only. The specifications are read from the folder that API_SPECS names, else from
`../shared/specs` beside the checkout; they are no part of the project, so tests that need them say so and
skip where they are not (the structural tests always run).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.app import running
from sandbox.company import Company, generate
from sandbox.environment import environment

AS_OF = "2026-07-01T03:00:00Z"
ROOT = Path(__file__).resolve().parents[3]


class Client:
    """Requests to the sandbox with each vendor's authentication."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.env = environment(base)
        self.session = requests.Session()
        self._tokens: dict[str, str] = {}

    def setting(self, system: str, key: str) -> str:
        """Return one connection setting as the connectors see it."""
        return self.env[f"SOURCES__{system.upper()}__{key}"]

    def token(self, system: str) -> str:
        """Exchange the refresh token for an access token, once."""
        if system not in self._tokens:
            form = {"grant_type": "refresh_token"} | {
                key.lower(): self.setting(system, key)
                for key in ("CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN")
            }
            answer = self.session.post(self.setting(system, "TOKEN_URL"), data=form, timeout=30)
            answer.raise_for_status()
            self._tokens[system] = answer.json()["access_token"]
        return self._tokens[system]

    def ads(
        self, query: str, method: str = "search", account: str = "4815162342", **body: Any
    ) -> requests.Response:
        """Send a query to the ads API."""
        headers = {
            "Authorization": f"Bearer {self.token('google_ads')}",
            "developer-token": self.setting("google_ads", "DEVELOPER_TOKEN"),
        }
        url = f"{self.setting('google_ads', 'BASE_URL')}/v25/customers/{account}/googleAds:{method}"
        return self.session.post(url, json={"query": query, **body}, headers=headers, timeout=60)

    def export(self, path: str = "", **params: Any) -> requests.Response:
        """Get the listing of the export's bucket, or one object."""
        bucket = self.setting("ga4", "BUCKET")
        url = f"{self.setting('ga4', 'EXPORT_BASE_URL')}/storage/v1/b/{bucket}/o{path}"
        headers = {"Authorization": f"Bearer {self.token('ga4')}"}
        return self.session.get(url, params=params, headers=headers, timeout=60)

    def report(self, prop: str = "314159265", **body: Any) -> requests.Response:
        """Run a report of the analytics Data API."""
        url = f"{self.setting('ga4', 'DATA_BASE_URL')}/v1beta/properties/{prop}:runReport"
        headers = {"Authorization": f"Bearer {self.token('ga4')}"}
        return self.session.post(url, json=body, headers=headers, timeout=60)

    def mail(self, path: str, **params: Any) -> requests.Response:
        """Get a path of the mail API."""
        auth = ("any", self.setting("mailchimp", "API_KEY"))
        url = f"{self.setting('mailchimp', 'BASE_URL')}/3.0{path}"
        return self.session.get(url, params=params, auth=auth, timeout=60)

    def shop_mail(self, path: str, **params: Any) -> requests.Response:
        """Get a collection of the shop's mail API."""
        headers = {
            "Authorization": f"Klaviyo-API-Key {self.setting('klaviyo', 'API_KEY')}",
            "revision": "2026-07-15",
        }
        url = f"{self.setting('klaviyo', 'BASE_URL')}/api/{path}"
        return self.session.get(url, params=params, headers=headers, timeout=60)

    def crm(self, path: str, body: Any = None, **params: Any) -> requests.Response:
        """Get a path of the CRM, or post a body to it."""
        headers = {"Authorization": f"Bearer {self.setting('hubspot', 'ACCESS_TOKEN')}"}
        url = self.setting("hubspot", "BASE_URL") + path
        if body is None:
            return self.session.get(url, params=params, headers=headers, timeout=60)
        return self.session.post(url, json=body, params=params, headers=headers, timeout=60)

    def sales(
        self, path: str, batch: int | None = None, version: str = "v66.0", **params: Any
    ) -> requests.Response:
        """Get a path of the acquired firm's CRM; `batch` is the size of a page."""
        if "salesforce" not in self._tokens:
            form = {"grant_type": "client_credentials"} | {
                key.lower(): self.setting("salesforce", key) for key in ("CLIENT_ID", "CLIENT_SECRET")
            }
            url = self.setting("salesforce", "BASE_URL") + "/services/oauth2/token"
            self._tokens["salesforce"] = self.session.post(url, data=form, timeout=30).json()["access_token"]
        headers = {"Authorization": f"Bearer {self._tokens['salesforce']}"}
        if batch is not None:
            headers["Sforce-Query-Options"] = f"batchSize={batch}"
        where = path if path.startswith("/") else f"/services/data/{version}/{path}"
        url = self.setting("salesforce", "BASE_URL") + where
        return self.session.get(url, params=params, headers=headers, timeout=60)

    def billing(self, path: str, **params: Any) -> requests.Response:
        """Get a path of the billing API."""
        headers = {"Authorization": f"Bearer {self.setting('stripe', 'API_KEY')}"}
        return self.session.get(
            self.setting("stripe", "BASE_URL") + path, params=params, headers=headers, timeout=60
        )

    def social(self, path: str, account: str = "act_602214076", **params: Any) -> requests.Response:
        """Get an edge of the social ads API's account, or the account itself."""
        headers = {"Authorization": f"Bearer {self.setting('meta_ads', 'ACCESS_TOKEN')}"}
        url = f"{self.setting('meta_ads', 'BASE_URL')}/v25.0/{account}{path}"
        return self.session.get(url, params=params, headers=headers, timeout=60)

    def professional(self, path: str) -> requests.Response:
        """Get a path, with its query written out, of the professional network's ads API."""
        headers = {"Authorization": f"Bearer {self.token('linkedin_ads')}", "LinkedIn-Version": "202606"}
        url = self.setting("linkedin_ads", "BASE_URL") + path
        return self.session.get(url, headers=headers, timeout=60)

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Call the sandbox's own controls."""
        answer = self.session.request(method, f"{self.base}/_sandbox/{path}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()


def mailed(company: Company, mailer: str, table: str) -> list[dict[str, Any]]:
    """The rows of a table of mail that one of the two tools holds."""
    lists = {row["list_id"] for row in company.tables["email_lists"].to_pylist() if row["mailer"] == mailer}
    return [row for row in company.tables[table].to_pylist() if row["list_id"] in lists]


@pytest.fixture(scope="session")
def company() -> Company:
    """The small company."""
    return generate("small")


@pytest.fixture(scope="session")
def client(company: Company) -> Iterator[Client]:
    """A sandbox at the default clock; tests leave its clock and its faults as they were."""
    with running(company, AS_OF) as base:
        yield Client(base)


@pytest.fixture
def clean(client: Client) -> Iterator[Client]:
    """The same sandbox, for tests that set faults or move the clock: both are put back afterwards."""
    client.control("DELETE", "requests")
    yield client
    client.control("DELETE", "faults")
    client.control("POST", "clock", {"as_of": AS_OF})


@pytest.fixture(scope="session")
def specs() -> Path:
    """The folder with the vendors' machine-readable specifications."""
    folder = Path(os.environ.get("API_SPECS") or ROOT.parent / "shared" / "specs")
    if not folder.is_dir():
        pytest.skip(
            f"no specifications at {folder}: set API_SPECS to their folder; only structural tests ran"
        )
    return folder
