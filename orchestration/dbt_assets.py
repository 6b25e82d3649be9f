"""Seeds, models and tests of dbt_project/ as Dagster assets and asset checks: one step, in process.

The manifest is prepared once a process (`transform.prepare`); the assets translate dbt's result events with
dagster-dbt and add row counts, columns and column lineage. Which models exist follows from the list of
connected systems.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    AssetSpec,
    Failure,
    MetadataValue,
)
from dagster_dbt import DagsterDbtTranslator, DbtCliInvocation, DbtProject, dbt_assets
from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage
from packaging.version import Version

from ingestion.errors import FunnelhouseError
from orchestration import ledger, transform
from orchestration.progress import report
from orchestration.resources import WRITER_POOL, House

PHASE = "build"
STEP = "build_and_audit"


class Translator(DagsterDbtTranslator):
    """Folder = schema = asset group; a source is the raw table's own asset."""

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> AssetSpec:
        spec = super().get_asset_spec(manifest, unique_id, project)
        node = self.get_resource_props(manifest, unique_id)
        if node["resource_type"] == "source":
            return spec.replace_attributes(group_name=node["source_name"])
        return spec.replace_attributes(group_name=group_of(node), description=_description(node))


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
        if node["resource_type"] != "test" or node.get("attached_node"):
            continue
        models = [name for name in node["depends_on"]["nodes"] if name.startswith("model.")]
        meta = node["config"].setdefault("meta", {})
        if len(node["depends_on"]["nodes"]) > 1 and models and "dagster" not in meta:
            meta["dagster"] = {"ref": {"name": models[-1].split(".")[-1]}}
    return manifest


@dataclass
class _Ended:
    """Stands where dagster-dbt keeps its child process: the command has run here and is over."""

    args: list[str]
    returncode: int = 0

    def wait(self) -> int:
        return self.returncode


class FinishedBuild(DbtCliInvocation):
    """A build that ran in this process, in the shape from which dagster-dbt makes its events and metadata."""

    def stream_raw_events(self) -> Iterator[Any]:
        for content in self._stdout:
            yield DbtCoreCliEventMessage(raw_event=content, event_history_metadata={})


def finished_build(
    result: transform.BuildResult, manifest: Mapping[str, Any], target: Path, context: AssetExecutionContext
) -> FinishedBuild:
    from dbt.adapters.factory import get_adapter_by_type

    build = FinishedBuild(
        process=_Ended(["dbt", "build"]),
        manifest=manifest,
        dagster_dbt_translator=Translator(),
        project_dir=transform.PROJECT_DIR,
        target_path=target,
        raise_on_error=False,
        cli_version=Version("1.11"),
        context=context,
        adapter=get_adapter_by_type("duckdb"),
    )
    build._stdout.extend(result.events)
    return build


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
        yield from _events(result, manifest, transform.target_path(paths), context)
        if result.failures:
            failed = transform.BuildFailed(result.failures)
            raise Failure(
                description=str(failed),
                metadata={"failures": MetadataValue.json([vars(failure) for failure in result.failures])},
                allow_retries=False,
            )
        if not context.is_subset:
            with house.warehouse() as connection:
                ledger.mark_passed(connection, started)
        report(PHASE, _summary(result, started.is_full_refresh), finished=True)

    return build_and_audit


def _events(
    result: transform.BuildResult, manifest: Mapping[str, Any], target: Path, context: AssetExecutionContext
) -> Iterator[Any]:
    build = finished_build(result, manifest, target, context)
    assert build.adapter is not None
    with transform.environment(House(data_dir=str(target.parent)).paths):
        try:
            # One connection stays open, else each count would open the database anew.
            with build.adapter.connection_named("metadata"):
                build.adapter.execute("select 1")
                yield from build.stream().fetch_row_counts().fetch_column_metadata()
        finally:
            build.adapter.cleanup_connections()
            transform.close_connections()


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
