"""What Dagster loads: `build_defs` and nothing else. Importing this file opens no warehouse and reads no
secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster import AssetSelection, Definitions, definitions, in_process_executor

from ingestion.settings import Paths, connections, project_vars
from orchestration import publication, transform
from orchestration.backfills import build_backfill_jobs
from orchestration.checks import build_checks
from orchestration.dbt_assets import build_dbt_assets, read_manifest
from orchestration.ingestion_assets import build_ingestion_assets, tables_of
from orchestration.publish import KEY as PUBLISHED
from orchestration.publish import build_publish_asset
from orchestration.resources import House
from orchestration.schedules import build_jobs, build_schedules, by_system, hourly_systems
from orchestration.sensors import build_sensors


def build_defs(
    paths: Paths | None = None, resource_overrides: Mapping[str, Any] | None = None
) -> Definitions:
    """Assets, checks, jobs, schedules and sensors of a data folder, from its list of connected systems."""
    paths = paths or Paths.from_environment()
    connected = connections(paths)
    grouped = by_system(connected)
    hourly = set(hourly_systems(connected))
    manifest = read_manifest(transform.prepare(paths))
    models = build_dbt_assets(manifest)
    marts = [key for key in models.keys if key.path[0] in publication.SCHEMAS]
    jobs = build_jobs(connected, AssetSelection.assets(models), PUBLISHED)
    return Definitions(
        assets=[
            *(
                build_ingestion_assets(paths, entries, freshness_hours=3 if system in hourly else 26)
                for system, entries in grouped.items()
            ),
            models,
            build_publish_asset(marts),
        ],
        asset_checks=[build_checks(system, tables_of(entries)) for system, entries in grouped.items()],
        jobs=[*jobs, *build_backfill_jobs(grouped)],
        schedules=build_schedules(jobs, str(project_vars(paths)["reporting_time_zone"])),
        sensors=build_sensors(paths),
        executor=in_process_executor,  # a process a step costs 15 s each, and the lock belongs to one process
        resources={"house": House(data_dir=str(paths.data_dir)), **(resource_overrides or {})},
    )


@definitions
def defs() -> Definitions:
    """What `dagster dev` and `dagster definitions validate` load."""
    return build_defs()
