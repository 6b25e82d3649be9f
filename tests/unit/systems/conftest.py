"""Fixtures of the connectors' tests: a scripted vendor, and quick retries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from ingestion import http
from ingestion.registry import system
from ingestion.settings import Connection
from ingestion.sources import Context
from tests.unit.systems.staging import Staging
from tests.unit.systems.vendor import Vendor

AS_OF = datetime(2026, 6, 15, 3, tzinfo=UTC)


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    vendor = Vendor()
    yield vendor
    vendor.close()


@pytest.fixture(scope="package")
def staging(tmp_path_factory: pytest.TempPathFactory) -> Staging:
    """The staging models of some systems, over raw tables that a test writes."""
    return Staging(
        tmp_path_factory.mktemp("staging") / "project",
        ("salesforce", "shopify", "stripe"),
        entities={"shopify": ("web_events",)},
    )


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http.time, "sleep", lambda seconds: None)


@pytest.fixture
def context_of(vendor: Vendor) -> Callable[..., Context]:
    """Make a context of a system that is connected to the scripted vendor."""

    def make(
        name: str,
        account: str = "1",
        values: Mapping[str, str] | None = None,
        entities: tuple[str, ...] = (),
        **more: Any,
    ) -> Context:
        settings = {
            "BASE_URL": vendor.url,
            "EXPORT_BASE_URL": vendor.url,
            "DATA_BASE_URL": vendor.url,
            "TOKEN_URL": f"{vendor.url}/token",
            **dict.fromkeys(
                ("ACCESS_TOKEN", "DEVELOPER_TOKEN", "CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN", "API_KEY"),
                "secret-canary-7f3a",
            ),
            "BUCKET": "exports",
            **(values or {}),
        }
        lags = {table.name: table.lag for table in system(name).tables}
        return Context(
            Connection(name, accounts=(account,), entities=entities, values=settings),
            account,
            AS_OF,
            lags=lags,
            **more,
        )

    vendor.on("/token", {"access_token": "short-lived", "expires_in": 3600})
    return make
