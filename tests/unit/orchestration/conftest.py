"""One small shop over a dbt project of three models: the whole line in a few seconds, without any vendor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ingestion.registry
import ingestion.settings
from ingestion.records import Column, Table
from ingestion.settings import Connection, Paths
from ingestion.sources import Context, Page, Resource, System
from orchestration import resources, transform

PROJECT = Path(__file__).parent / "mini_project"

ORDERS = Table(
    "orders",
    columns=(Column("order_id", "bigint", required=True), Column("amount", "money", required=True)),
    key=("order_id",),
)
VISITS = Table(
    "visits",
    columns=(Column("date", "date", required=True), Column("visits", "bigint", required=True)),
    key=("date",),
    slice_by="date",
)


class Shop:
    """The system's present content; a test changes it between two runs."""

    def __init__(self) -> None:
        self.orders: list[dict[str, Any]] = [{"order_id": 1, "amount": "10"}, {"order_id": 2, "amount": "20"}]
        self.error: Exception | None = None
        self.bounds: list[Any] = []

    def read_orders(self, context: Context) -> Iterator[Page]:
        if self.error is not None:
            raise self.error
        yield Page("orders", records=self.orders)

    def read_visits(self, context: Context) -> Iterator[Any]:
        from ingestion.sources import Done

        self.bounds.append(context.bounds)
        days = ["2026-06-01", "2026-06-02"]
        yield Page("visits", records=[{"date": day, "visits": 5} for day in days])
        yield Done("visits", dict.fromkeys(days))

    def check(self, connection: Connection) -> str:
        if self.error is not None:
            raise self.error
        return "reached"

    def system(self) -> System:
        return System(
            name="shop",
            resources=(
                Resource("orders", (ORDERS,), self.read_orders),
                Resource("visits", (VISITS,), self.read_visits),
            ),
            check=self.check,
        )


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    """The shop, registered as the only system, with the small dbt project in the real one's place."""
    made = Shop()
    system = made.system()
    monkeypatch.setattr(ingestion.registry, "systems", lambda: {"shop": system})
    monkeypatch.setattr(ingestion.settings, "DBT_PROJECT_FILE", PROJECT / "dbt_project.yml")
    monkeypatch.setattr(transform, "PROJECT_DIR", PROJECT)
    return made


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Paths]:
    """A data folder of its own."""
    folder = Paths(tmp_path / "a data folder").create()
    monkeypatch.setenv("FUNNELHOUSE_DATA_DIR", str(folder.data_dir))
    monkeypatch.setenv("DAGSTER_HOME", str(folder.dagster_home))
    monkeypatch.delenv("FUNNELHOUSE_AS_OF", raising=False)
    yield folder
    resources.release_lock(folder)
