"""Seeds, models and tests of dbt_project/ as Dagster assets and asset checks: one step, in process.

The manifest is prepared once a process (`transform.prepare`); the assets translate dbt's result events with
dagster-dbt and add row counts, columns and column lineage (see `lineage` for why not by dagster-dbt). Which
models exist follows from the list of connected systems.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    Failure,
    MetadataValue,
    Output,
    TableColumn,
    TableColumnDep,
    TableColumnLineage,
    TableSchema,
)
from dagster_dbt import DagsterDbtTranslator, DbtProject, dbt_assets
from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage

from ingestion.errors import FunnelhouseError
from orchestration import ledger, transform
from orchestration.lineage import column_lineage
from orchestration.progress import report
from orchestration.resources import WRITER_POOL, House

PHASE = "build"
STEP = "build_and_audit"


class Translator(DagsterDbtTranslator):
    """Folder = schema = asset group; a source is the raw table's own asset."""

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> AssetSpec:
        specs: dict[str, AssetSpec] = self.__dict__.setdefault("_specs", {})
        if unique_id not in specs:  # asked for several times an event
            spec = super().get_asset_spec(manifest, unique_id, project)
            node = self.get_resource_props(manifest, unique_id)
            if node["resource_type"] == "source":
                specs[unique_id] = spec.replace_attributes(group_name=node["source_name"])
            else:
                specs[unique_id] = spec.replace_attributes(
                    group_name=group_of(node), description=_description(node)
                )
        return specs[unique_id]


def group_of(node: Mapping[str, Any]) -> str:
    """The asset group of a seed or model: seeds, staging, intermediate_<subject>, or the mart's schema."""
    if node["resource_type"] == "seed":
        return "seeds"
    folders = node["fqn"][1:-1]
    if not folders:
        return "models"
    if folders[0] == "marts" and len(folders) > 1:
        return folders[1]
    if folders[0] == "intermediate" and len(folders) > 1:
        return f"intermediate_{folders[1]}"
    return folders[0]


def _description(node: Mapping[str, Any]) -> str:
    where = f"`dbt_project/{node['original_file_path']}`"
    return "\n\n".join(text for text in ((node.get("description") or "").strip(), where) if text)


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest, with a home for singular tests that read several models: else Dagster shows them as mere
    observations and not as checks. They belong to the last model that they read (in dbt's order: the
    furthest).
    """
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for node in manifest["nodes"].values():
        if node["resource_type"] != "test":
            continue
        if node.get("description"):  # where dagster-dbt looks for a check's description
            node.setdefault("meta", {}).setdefault("description", node["description"])
        if node.get("attached_node"):
            continue
        models = [name for name in node["depends_on"]["nodes"] if name.startswith("model.")]
        meta = node["config"].setdefault("meta", {})
        if len(node["depends_on"]["nodes"]) > 1 and models and "dagster" not in meta:
            meta["dagster"] = {"ref": {"name": models[-1].split(".")[-1]}}
    return manifest


class Metadata:
    """Row counts, columns and column lineage of what a build has made, read in a few queries after it."""

    def __init__(self, manifest: Mapping[str, Any], target: Path, warehouse: Any) -> None:
        self._manifest = manifest
        self._target = target
        self._translator = Translator()
        self._warehouse = warehouse
        self._columns: dict[tuple[str, str], dict[str, str]] = {}
        for schema, table, column, kind in warehouse.execute(
            "select table_schema, table_name, column_name, data_type from information_schema.columns"
            " order by table_schema, table_name, ordinal_position"
        ).fetchall():
            self._columns.setdefault((schema, table), {})[column] = kind

    def of(self, unique_id: str) -> dict[str, Any]:
        """The metadata of one seed or model, as dagster-dbt would name it."""
        node = self._manifest["nodes"][unique_id]
        relation = _relation(node)
        columns = self._columns.get(relation, {})
        found: dict[str, Any] = {
            "dagster/table_name": ".".join(relation),
            "dagster/column_schema": MetadataValue.table_schema(
                TableSchema([TableColumn(name, kind) for name, kind in columns.items()])
            ),
        }
        if columns and node["config"]["materialized"] != "view":
            schema, table = relation
            found["dagster/row_count"] = self._warehouse.execute(
                f'select count(*) from "{schema}"."{table}"'
            ).fetchone()[0]
        lineage = self._lineage(unique_id, node)
        if lineage:
            found["dagster/column_lineage"] = MetadataValue.column_lineage(
                TableColumnLineage(deps_by_column=lineage)
            )
        return found

    def _lineage(self, unique_id: str, node: Mapping[str, Any]) -> dict[str, list[TableColumnDep]]:
        compiled = self._target / "compiled" / node["package_name"] / node["original_file_path"]
        if node["resource_type"] != "model" or not compiled.is_file():
            return {}
        keys: dict[tuple[str, str], AssetKey] = {}
        for parent in self._manifest["parent_map"][unique_id]:
            props = self._manifest["nodes"].get(parent) or self._manifest["sources"].get(parent)
            if props:
                key = self._translator.get_asset_spec(self._manifest, parent, None).key
                keys[_relation(props)] = key
        readable = {name: self._columns[name] for name in keys if name in self._columns}
        found = column_lineage(compiled.read_text(encoding="utf-8"), readable)
        return {
            column: [
                TableColumnDep(asset_key=keys[relation], column_name=name)
                for relation, name in sorted(sources)
                if relation in keys
            ]
            for column, sources in found.items()
        }


def _relation(props: Mapping[str, Any]) -> tuple[str, str]:
    return props["schema"], props.get("identifier") or props.get("alias") or props["name"]


def build_dbt_assets(manifest: Mapping[str, Any]) -> AssetsDefinition:
    """The one step that builds and audits the candidate."""

    @dbt_assets(
        manifest=manifest,
        name=STEP,
        dagster_dbt_translator=Translator(),
        pool=WRITER_POOL,
        exclude="resource_type:unit_test",
    )
    def build_and_audit(context: AssetExecutionContext, house: House) -> Iterator[Any]:
        paths = house.enter(context)
        full_refresh = context.run.tags.get("funnelhouse/full_refresh") == "true"
        try:
            report(PHASE, "preparing")
            transform.prepare(paths)
            with house.warehouse() as connection:
                started = ledger.begin_build(
                    connection, context.run_id, house.moment(), transform.settings_hash(paths), full_refresh
                )
            result = transform.build(
                paths,
                full_refresh=started.is_full_refresh,
                select=_selected_models(context, manifest),
                progress=lambda name, done, total: report(PHASE, name, done, total),
            )
        except FunnelhouseError as error:
            raise Failure(description=str(error), allow_retries=False) from error
        report(PHASE, "row counts and column lineage")
        with house.warehouse(read_only=True) as connection:
            yield from _events(result, manifest, transform.target_path(paths), connection, context)
        if result.failures:
            failed = transform.BuildFailed(result.failures)
            raise Failure(
                description=str(failed),
                metadata={"failures": MetadataValue.json([vars(failure) for failure in result.failures])},
                allow_retries=False,
            )
        if not context.is_subset:
            with house.warehouse() as connection:
                ledger.mark_passed(connection, started, transform.checks(paths, result))
        report(PHASE, _summary(result, started.is_full_refresh), finished=True)

    return build_and_audit


def _events(
    result: transform.BuildResult,
    manifest: Mapping[str, Any],
    target: Path,
    warehouse: Any,
    context: AssetExecutionContext,
) -> Iterator[Any]:
    """dagster-dbt's events of a finished build, with the tables' metadata added."""
    translator = Translator()
    metadata = Metadata(manifest, target, warehouse)
    for content in result.events:
        if content["data"]["node_info"]["unique_id"] not in manifest["nodes"]:
            context.log.warning("The dbt project has changed since it was loaded: reload the definitions.")
            continue
        message = DbtCoreCliEventMessage(raw_event=content, event_history_metadata={})
        for event in message.to_default_asset_events(
            manifest=manifest, dagster_dbt_translator=translator, context=context, target_path=target
        ):
            if isinstance(event, Output):
                unique_id = content["data"]["node_info"]["unique_id"]
                event = event.with_metadata({**event.metadata, **metadata.of(unique_id)})
            yield event


def _selected_models(context: AssetExecutionContext, manifest: Mapping[str, Any]) -> list[str]:
    """dbt's selection where a person materialises only some of the assets in the UI; [] is all."""
    if not context.is_subset:
        return []
    translator = Translator()
    keys = context.selected_asset_keys
    nodes = {**manifest["nodes"]}
    return [
        ".".join(node["fqn"])
        for unique_id, node in nodes.items()
        if node["resource_type"] in {"model", "seed"}
        and translator.get_asset_spec(manifest, unique_id, None).key in keys
    ]


def _summary(result: transform.BuildResult, full_refresh: bool) -> str:
    built = result.counts.get("success", 0)
    passed, warned = result.counts.get("pass", 0), result.counts.get("warn", 0)
    kind = "from scratch" if full_refresh else "incrementally"
    return f"{built} tables {kind}, {passed} tests passed" + (f", {warned} warned" if warned else "")
