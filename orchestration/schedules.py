"""Jobs and when they run. Systems are told apart by the entities that they provide, never by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dagster import (
    AssetKey,
    AssetSelection,
    DefaultScheduleStatus,
    ScheduleDefinition,
    define_asset_job,
)

from ingestion.settings import Connection
from orchestration.ingestion_assets import raw_key, tables_of

HOURLY_ENTITIES = frozenset(
    {
        "web_events",
        "email_events",
        "crm_contacts",
        "crm_accounts",
        "crm_opportunities",
        "crm_opportunity_contacts",
        "crm_owners",
        "crm_stage_history",
        "crm_activities",
    }
)
NIGHTLY_ENTITIES = frozenset({"ad_performance", "ad_clicks"})

DAILY_RUN = "daily_run"
BUILD_AND_PUBLISH = "build_and_publish"
HOURLY_RUN = "hourly_run"
NIGHTLY_ADS = "nightly_ads"


def by_system(connections: Sequence[Connection]) -> dict[str, list[Connection]]:
    """The connections grouped by system, in the list's order."""
    grouped: dict[str, list[Connection]] = {}
    for connection in connections:
        grouped.setdefault(connection.system, []).append(connection)
    return grouped


def systems_that_provide(connections: Sequence[Connection], entities: frozenset[str]) -> list[str]:
    """The systems whose entries in the list name at least one of these entities."""
    return [
        system
        for system, entries in by_system(connections).items()
        if any(entities & set(entry.entities) for entry in entries)
    ]


def hourly_systems(connections: Sequence[Connection]) -> list[str]:
    return systems_that_provide(connections, HOURLY_ENTITIES)


def nightly_ads_systems(connections: Sequence[Connection]) -> list[str]:
    """Systems that provide ads data and are not read every hour anyway."""
    hourly = set(hourly_systems(connections))
    return [name for name in systems_that_provide(connections, NIGHTLY_ENTITIES) if name not in hourly]


def raw_assets(grouped: dict[str, list[Connection]], systems: Sequence[str]) -> AssetSelection:
    keys = [raw_key(name, table) for name in systems for table in tables_of(grouped[name])]
    return AssetSelection.assets(*keys)


def build_jobs(connections: Sequence[Connection], built: AssetSelection, published: AssetKey) -> list[Any]:
    """The jobs. Each that loads anything also builds *all* models: the batch mark covers all raw tables, so a
    build of a part would lose the rest's new rows.
    """
    grouped = by_system(connections)
    line = built | AssetSelection.assets(published)
    jobs = [
        define_asset_job(
            DAILY_RUN,
            selection=AssetSelection.all(),
            description="Everything: load every connected system, check, build, audit, publish.",
        ),
        define_asset_job(
            BUILD_AND_PUBLISH,
            selection=line,
            description="Build, audit and publish from what is loaded already.",
        ),
    ]
    for name, systems, description in (
        (HOURLY_RUN, hourly_systems(connections), "CRM, web and e-mail systems, then build, audit, publish."),
        (NIGHTLY_ADS, nightly_ads_systems(connections), "Ads systems, then build, audit, publish."),
    ):
        if systems:
            jobs.append(
                define_asset_job(name, selection=raw_assets(grouped, systems) | line, description=description)
            )
    for system in grouped:
        jobs.append(
            define_asset_job(
                f"run_{system}",
                selection=raw_assets(grouped, [system]) | line,
                description=f"One system ({system}), then build, audit, publish.",
            )
        )
    return jobs


def build_schedules(jobs: Sequence[Any], time_zone: str) -> list[ScheduleDefinition]:
    """Hourly CRM, web and e-mail; nightly ads; nightly full run. All in the reporting time zone, off until
    switched on.
    """
    by_name = {job.name: job for job in jobs}
    plan = (
        (HOURLY_RUN, "15 6-23 * * *", "Every hour of the day: CRM, web and e-mail."),
        (NIGHTLY_ADS, "30 3 * * *", "Every night, before the full run: ads with their restatement window."),
        (DAILY_RUN, "30 4 * * *", "Every night: everything."),
    )
    return [
        ScheduleDefinition(
            name=f"{name}_schedule",
            job=by_name[name],
            cron_schedule=cron,
            execution_timezone=time_zone,
            default_status=DefaultScheduleStatus.STOPPED,
            description=description,
        )
        for name, cron, description in plan
        if name in by_name
    ]
