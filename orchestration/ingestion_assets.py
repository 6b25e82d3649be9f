"""The raw tables as Dagster assets: one `@dlt_assets` step per connected system, made from ingestion's
registry.

A step loads all connections of its system through `ingestion.warehouse.load`, the one owner of dlt pipelines;
this file only says what exists, retries what may be retried, and reports what came in.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    Backoff,
    Failure,
    FreshnessPolicy,
    Jitter,
    MaterializeResult,
    MetadataValue,
    RetryPolicy,
    TableColumn,
    TableSchema,
)
from dagster_dlt import DagsterDltTranslator, dlt_assets
from dagster_dlt.translator import DltResourceTranslatorData

from ingestion.errors import FunnelhouseError, Unreachable
from ingestion.records import Table
from ingestion.registry import system as registered
from ingestion.settings import Connection, Paths
from ingestion.sources import System
from ingestion.warehouse import LoadReport, build_source, load, pipeline
from orchestration.errors import one_line
from orchestration.progress import report
from orchestration.resources import WRITER_POOL, House, aware

PHASE = "extract"
BOOKKEEPING = {
    "_quarantine": "One record that was refused, with the reason and its pseudonymised payload.",
    "_slices": "One slice (day or file) of a table that is replaced as a whole, with its checksum.",
}
RETRIES = RetryPolicy(max_retries=2, delay=20, backoff=Backoff.EXPONENTIAL, jitter=Jitter.PLUS_MINUS)


def step_name(system: str) -> str:
    return f"load_{system}"


def raw_key(system: str, table: str) -> AssetKey:
    return AssetKey([f"raw_{system}", table])


@dataclass
class Translator(DagsterDltTranslator):
    """Keys are `raw_<system>/<table>`; dlt's own parents (`<source>_<resource>`) are dropped: they name
    nothing real.
    """

    system: str = ""
    freshness_hours: int = 26

    def get_asset_spec(self, data: DltResourceTranslatorData) -> AssetSpec:
        spec = super().get_asset_spec(data)
        return spec.replace_attributes(
            key=raw_key(self.system, data.resource.name),
            deps=[],
            group_name=f"raw_{self.system}",
            description=describe(self.system, data.resource.name),
            freshness_policy=FreshnessPolicy.time_window(
                fail_window=timedelta(hours=self.freshness_hours),
                warn_window=timedelta(hours=self.freshness_hours) * 0.9,
            ),
            kinds={"dlt", "duckdb"},
        )


def tables_of(connections: Sequence[Connection]) -> list[str]:
    """The raw tables of one system (all its connections share them), its quarantine included."""
    return [table.name for table in registered(connections[0].system).tables] + list(BOOKKEEPING)


def build_ingestion_assets(
    paths: Paths, connections: Sequence[Connection], freshness_hours: int = 26
) -> AssetsDefinition:
    """The step that loads one system; `connections` are all of the same system."""
    system = registered(connections[0].system)

    @dlt_assets(
        dlt_source=build_source(connections[0]),
        dlt_pipeline=pipeline(paths, connections[0]),
        name=step_name(system.name),
        dagster_dlt_translator=Translator(system=system.name, freshness_hours=freshness_hours),
        pool=WRITER_POOL,
        op_tags={"kind": "dlt"},
    )
    def load_system(context: AssetExecutionContext, house: House) -> Iterator[MaterializeResult]:
        yield from materialize(context, house, system, connections)

    load_system.op.__dict__["_retry_policy"] = RETRIES  # @dlt_assets has no argument for it
    return load_system


def materialize(
    context: AssetExecutionContext, house: House, system: System, connections: Sequence[Connection]
) -> Iterator[MaterializeResult]:
    """Load every connection of a system, then give one result a table."""
    paths = house.enter(context)
    wanted = {key.path[-1] for key in context.selected_asset_keys}
    tables = [table.name for table in system.tables if table.name in wanted] if context.is_subset else None
    reports = []
    for connection in connections:
        label = connection.system if connection.name == "main" else f"{connection.system} ({connection.name})"
        report(PHASE, label)
        try:
            loaded = load(paths, connection, tables, as_of=aware(house.moment()))
        except Unreachable as error:
            raise Failure(description=str(error), allow_retries=is_unattended(context)) from error
        except FunnelhouseError as error:
            raise Failure(description=str(error), allow_retries=False) from error
        except Exception as error:
            text = f"{label}: unexpected {type(error).__name__}: {one_line(error)}"
            raise Failure(
                text, metadata={"unexpected": True}, allow_retries=is_unattended(context)
            ) from error
        reports.append(loaded)
        for text in loaded.alerts:
            context.log.warning(text)
            report("notice", text, finished=True)
    with house.warehouse(read_only=True) as warehouse:
        for table in tables_of(connections):
            if table in wanted:
                yield _result(system, table, reports, warehouse)
    report(PHASE, f"{system.name}", finished=True)


def is_unattended(context: AssetExecutionContext) -> bool:
    """A run from a schedule is repeated after a while; a person at the command line hears of it at once."""
    return context.run.tags.get("funnelhouse/attended") != "true"


def _result(system: System, table: str, reports: Sequence[Any], warehouse: Any) -> MaterializeResult:
    columns = warehouse.execute(
        "select column_name, data_type from information_schema.columns"
        " where table_schema = ? and table_name = ? order by ordinal_position",
        [f"raw_{system.name}", table],
    ).fetchall()
    rows = warehouse.execute(f'select count(*) from "raw_{system.name}"."{table}"').fetchone()[0]
    metadata: dict[str, Any] = {
        "dagster/row_count": rows,
        "dagster/column_schema": MetadataValue.table_schema(
            TableSchema([TableColumn(name, kind) for name, kind in columns])
        ),
        "dagster/table_name": f"raw_{system.name}.{table}",
    }
    return MaterializeResult(
        asset_key=raw_key(system.name, table), metadata={**metadata, **counts_of(reports, table)}
    )


def counts_of(reports: Sequence[LoadReport], table: str) -> dict[str, int]:
    """What came in for a table, over all connections: in = good + unchanged + quarantined + filtered."""
    counts: dict[str, int] = {}
    for load_report in reports:
        found = load_report.tables.get(table)
        if found is None:
            continue
        numbers = {
            "rows_in": found.rows_in,
            "rows_loaded": found.good,
            "rows_unchanged": found.unchanged,
            "rows_quarantined": found.quarantined,
            "rows_filtered": sum(found.filtered.values()),
        }
        for name, number in numbers.items():
            counts[name] = counts.get(name, 0) + number
    return counts


def describe(system: str, name: str) -> str:
    """What the asset page says of a raw table."""
    if name in BOOKKEEPING:
        return BOOKKEEPING[name]
    table: Table = registered(system).table(name)
    text = getattr(table, "description", "") or ""
    how = "replaced slice by slice" if table.is_sliced else "merged by key"
    return " ".join(part for part in (text, f"Key: source_relation, {', '.join(table.key)}; {how}.") if part)
