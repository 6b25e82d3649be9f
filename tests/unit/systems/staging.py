"""The real staging models over raw tables that a test writes: dbt runs once, the views do the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from ingestion.registry import system
from ingestion.settings import project
from tests.unit.dbt.project import REAL_PROJECT, Project

_SQL = {"string": "varchar", "int64": "bigint", "bool": "boolean", "date32[day]": "date"}
_QUARANTINE = ("source_relation", "quarantine_id", "resource", "reason", "first_seen_at", "last_seen_at")


class Staging:
    """The staging models of some systems in a warehouse of their own.

    entities: system -> further entities that its models shall provide.
    """

    def __init__(
        self, folder: Path, systems: Sequence[str], entities: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        connected = [
            {**entry, "entities": [*entry["entities"], *(entities or {}).get(entry["system"], ())]}
            for entry in project()["vars"]["systems"]
            if entry["system"] in systems
        ]
        self.project = Project(folder, models=tuple(f"staging/{name}" for name in systems), systems=connected)
        for name in systems:
            file = Path("models") / "staging" / name / f"_{name}__sources.yml"
            (folder / file).symlink_to(REAL_PROJECT / file)
            self.write(name)
        kinds = ("--resource-type", "seed", "--resource-type", "model")
        self.project.dbt("build", *kinds, "--select", "path:models/staging", "country_names")

    def write(self, name: str, **tables: Sequence[Mapping[str, Any]]) -> None:
        """Replace a system's raw tables; one that is not given is empty."""
        with duckdb.connect(str(self.project.warehouse)) as connection:
            connection.execute(f"create schema if not exists raw_{name}")
            texts = ", ".join(f"cast(null as varchar) as {column}" for column in _QUARANTINE)
            connection.execute(f"create table if not exists raw_{name}._quarantine as select {texts} limit 0")
            for table in system(name).tables:
                columns = {field.name: _sql_type(field.type) for field in table.schema}
                columns["_dlt_load_id"] = "varchar"
                rows = [
                    {"source_relation": name, "_dlt_load_id": "1", **row}
                    for row in tables.get(table.name, ())
                ]
                unknown = {key for row in rows for key in row} - set(columns)
                if unknown:
                    raise ValueError(f"{table.name} has no columns {sorted(unknown)}")
                texts_ = {
                    column: pa.array(
                        [None if row.get(column) is None else str(row[column]) for row in rows], pa.string()
                    )
                    for column in columns
                }
                connection.register("incoming", pa.table(texts_))
                typed = ", ".join(f"cast({column} as {kind}) as {column}" for column, kind in columns.items())
                connection.execute(
                    f"create or replace table raw_{name}.{table.name} as select {typed} from incoming"
                )
                connection.unregister("incoming")

    def rows(self, model: str, *columns: str, order_by: str = "all") -> list[tuple[Any, ...]]:
        """Columns of a staging model, its money as numbers."""
        listed = ", ".join(columns)
        found = self.project.rows(f"select {listed} from staging.{model} order by {order_by}")
        return [tuple(_plain(value) for value in row) for row in found]


def _sql_type(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision}, {kind.scale})"
    if pa.types.is_timestamp(kind):
        return "timestamp"
    if pa.types.is_floating(kind):
        return "double"
    return _SQL[str(kind)]


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value
