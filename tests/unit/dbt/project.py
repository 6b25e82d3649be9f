"""A throw-away dbt project: the real models, macros and seeds, fed by a system `fixture`, not by raw tables.

What belongs here: making that project, writing a state of the world into its warehouse, running dbt in it.
The staging models of `fixture` are plain selects over the schema `fixture`, one table per canonical entity.
"""

from __future__ import annotations

import re
import shutil
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import yaml

from orchestration.transform import close_connections, variables_set

if TYPE_CHECKING:
    pass

REAL_PROJECT = Path(__file__).resolve().parents[3] / "dbt_project"

# The models up to the core marts that do not read conversions: a few seconds of dbt, not a minute.
CORE = (
    *(f"intermediate/{name}" for name in ("unions", "ads", "web", "email", "identity", "touchpoints")),
    *(f"intermediate/crm/{name}.sql" for name in ("int_crm_removals", "int_contacts", "int_accounts")),
    *(
        f"marts/core/{name}.sql"
        for name in (
            "fct_ad_performance_daily",
            "fct_sessions",
            "fct_touchpoints",
            "dim_persons",
            "dim_accounts",
            "dim_campaigns",
            "dim_channels",
            "dim_owners",
            "dim_dates",
        )
    ),
)

_ARROW = {
    "text": pa.string(),
    "json": pa.string(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "money": pa.decimal128(19, 4),
    "rate": pa.decimal128(18, 8),
}


def with_upstream(*names: str) -> tuple[str, ...]:
    """The files of these models and of all that they read, below `models`, staging left out.

    Names that a model puts together itself are those of unions: all of these come along. What only a macro
    reads (int_fx_rates) must be named.
    """
    files = {
        file.stem: file for file in (REAL_PROJECT / "models").rglob("*.sql") if "staging" not in file.parts
    }
    waiting = {*names, *(name for name, file in files.items() if file.parent.name == "unions")}
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        found.add(name)
        references = set(re.findall(r"ref\('(\w+)'\)", files[name].read_text()))
        waiting |= (references & set(files)) - found
    return tuple(sorted(str(files[name].relative_to(REAL_PROJECT / "models")) for name in found))


def entities() -> dict[str, Any]:
    """The canonical entities of dbt_project.yml."""
    return yaml.safe_load((REAL_PROJECT / "dbt_project.yml").read_text())["vars"]["canonical_entities"]


def schema_of(entity: str) -> pa.Schema:
    """The Arrow schema of an entity's fixture table: its canonical columns and those of every raw table."""
    fields = [pa.field("source_relation", pa.string())]
    has_domain = False
    for name, kind in entities()[entity]["columns"].items():
        if kind in ("email", "phone"):
            fields.append(pa.field(f"{name}_hash", pa.string()))
            if kind == "email":
                fields.append(pa.field(f"{name}_domain" if has_domain else "email_domain", pa.string()))
                has_domain = True
        else:
            fields.append(pa.field(name, _ARROW[kind]))
    return pa.schema([*fields, pa.field("_slice", pa.string()), pa.field("_load_id", pa.string())])


class Project:
    """One throw-away project with its own warehouse."""

    def __init__(
        self,
        folder: Path,
        models: tuple[str, ...] = CORE,
        left_out: tuple[str, ...] = (),
        tests: tuple[str, ...] = (),
        own_seeds: bool = False,
        **variables: Any,
    ) -> None:
        """Lay the project out in `folder` with these models, and these files of its tests.

        Models whose name starts with one of `left_out` are not in it; `variables` override the vars. With
        `own_seeds` the seeds are copied, so that a test may edit them.
        """
        self.folder = folder
        self.warehouse = folder / "w.duckdb"
        folder.mkdir(parents=True, exist_ok=True)
        settings = yaml.safe_load((REAL_PROJECT / "dbt_project.yml").read_text())
        settings["model-paths"] = ["models", "fixture_models"]
        settings["test-paths"] = ["tests"]
        settings["models"]["funnelhouse"]["staging_fixture"] = {"+schema": "staging", "+materialized": "view"}
        settings["vars"]["systems"] = [
            {"system": "fixture", "connection": "main", "accounts": [], "entities": list(entities())}
        ]
        settings["vars"].update(variables)
        (folder / "dbt_project.yml").write_text(yaml.safe_dump(settings, sort_keys=False))
        # dbt follows a link to a file, or to a whole path of its settings, but to no folder below one.
        files = [
            file.relative_to(REAL_PROJECT)
            for model in models
            for path in [REAL_PROJECT / "models" / model]
            for file in (sorted(path.glob("*.sql")) if path.is_dir() else [path])
            if not file.name.startswith(left_out or "-")
        ]
        if own_seeds:
            shutil.copytree(REAL_PROJECT / "seeds", folder / "seeds")
        chosen_tests = (Path("tests") / name for name in tests)
        shared = map(Path, ("macros", "seeds", "profiles.yml", "models/marts/_marts__groups.yml"))
        for name in (*shared, *files, *chosen_tests):
            link = folder / name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to(REAL_PROJECT / name)
        models = folder / "fixture_models" / "staging_fixture"
        models.mkdir(parents=True, exist_ok=True)
        for entity in entities():
            columns = ", ".join(field.name for field in schema_of(entity))
            (models / f"stg_fixture__{entity}.sql").write_text(f"select {columns} from fixture.{entity}\n")

    def write(self, tables: dict[str, list[dict[str, Any]]], as_of: datetime, batch_mark: str) -> None:
        """Replace the fixture's tables (an entity that is not given is empty) and say what the run is."""
        with duckdb.connect(str(self.warehouse)) as connection:
            connection.execute("create schema if not exists fixture")
            connection.execute("create schema if not exists ops")
            for entity in entities():
                schema = schema_of(entity)
                rows = [{name: row.get(name) for name in schema.names} for row in tables.get(entity, [])]
                table = pa.Table.from_pylist(rows, schema=schema)
                connection.register("incoming", table)
                connection.execute(f"create or replace table fixture.{entity} as select * from incoming")
                connection.unregister("incoming")
            connection.execute(
                "create or replace table ops.current_run as "
                "select 'test' as run_id, ?::timestamp as as_of, ? as batch_mark",
                [as_of, batch_mark],
            )

    def dbt(self, *arguments: str) -> None:
        """Run dbt in this process; raises AssertionError with the failed nodes' messages."""
        from dbt.cli.main import dbtRunner

        with variables_set(
            {
                "FUNNELHOUSE_WAREHOUSE": str(self.warehouse),
                "FUNNELHOUSE_TEMP_DIR": str(self.folder / "spill"),
            }
        ):
            try:
                result = dbtRunner().invoke(
                    [
                        *arguments,
                        *("--project-dir", str(self.folder), "--profiles-dir", str(self.folder)),
                        *("--target-path", str(self.folder / "target")),
                        *("--log-path", str(self.folder / "logs"), "--quiet"),
                        *("--log-level-file", "none"),  # its debug log takes a tenth of the time
                    ]
                )
            finally:
                close_connections()  # a test opens the warehouse with other settings next
        failed = [
            f"{entry.node.name}: {entry.message}"
            for entry in getattr(result.result, "results", [])
            if entry.status in ("error", "fail", "runtime error")
        ]
        assert result.success, "\n".join(failed) or str(result.exception)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with duckdb.connect(str(self.warehouse)) as connection:
            return connection.execute(sql).fetchall()

    def content(self, table: str) -> list[tuple[Any, ...]]:
        """A table's rows in a stable order, without load ids and batch marks."""
        with duckdb.connect(str(self.warehouse)) as connection:
            schema, name = table.split(".")
            columns = [
                row[0]
                for row in connection.execute(
                    "select column_name from information_schema.columns "
                    "where table_schema = ? and table_name = ? order by column_name",
                    [schema, name],
                ).fetchall()
                if row[0] not in ("_load_id", "batch_mark")
            ]
            listed = ", ".join(f'"{column}"' for column in columns)
            return connection.execute(f"select {listed} from {table} order by all").fetchall()
