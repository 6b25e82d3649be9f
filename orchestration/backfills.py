"""Reading past days again: one partitioned job per system that has time-sliced tables.

Explicit bounds, whole slices, no cursor moves; record-wise tables take no part. The days are Dagster's daily
partitions, or a range in the run's config (`funnelhouse backfill`). Building and publishing follow as the job
`build_and_publish`.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from dagster import (
    AssetMaterialization,
    Config,
    DailyPartitionsDefinition,
    Failure,
    JobDefinition,
    OpExecutionContext,
    job,
    op,
)

from ingestion.errors import FunnelhouseError
from ingestion.registry import system as registered
from ingestion.settings import Connection
from ingestion.sources import Bounds
from ingestion.warehouse import load
from orchestration.ingestion_assets import PHASE, counts_of, raw_key
from orchestration.progress import report
from orchestration.resources import WRITER_POOL, House, aware

FIRST_DAY = "2020-01-01"


class BackfillConfig(Config):
    """The days to read again, both inclusive; empty: the run's partition."""

    date_from: str = ""
    date_to: str = ""


def job_name(system: str) -> str:
    return f"backfill_{system}"


def op_name(system: str) -> str:
    return f"reload_{system}"


def build_backfill_jobs(grouped: Mapping[str, Sequence[Connection]]) -> list[JobDefinition]:
    """One job per system with sliced tables."""
    return [_job(system, entries) for system, entries in grouped.items() if registered(system).sliced_tables]


def bounds_of(context: OpExecutionContext, config: BackfillConfig) -> Bounds:
    """The days of a run, from its config or its partition."""
    if config.date_from or config.date_to:
        first, last = config.date_from or config.date_to, config.date_to or config.date_from
    else:
        first = last = context.partition_key
    return Bounds(dt.date.fromisoformat(first), dt.date.fromisoformat(last))


def _job(system: str, connections: Sequence[Connection]) -> JobDefinition:
    tables = list(registered(system).sliced_tables)

    @op(
        name=op_name(system),
        pool=WRITER_POOL,
        description=f"Read past days of {', '.join(tables)} again, whole slices, without touching cursors.",
    )
    def reload(context: OpExecutionContext, config: BackfillConfig, house: House) -> None:
        paths = house.enter(context)
        bounds = bounds_of(context, config)
        for connection in connections:
            report(PHASE, f"{system}: {bounds.date_from} to {bounds.date_to}")
            try:
                loaded = load(paths, connection, tables, as_of=aware(house.moment()), bounds=bounds)
            except FunnelhouseError as error:
                raise Failure(description=str(error), allow_retries=False) from error
            for table in tables:
                context.log_event(
                    AssetMaterialization(
                        asset_key=raw_key(system, table),
                        description=f"Backfill {bounds.date_from} to {bounds.date_to}",
                        metadata=counts_of([loaded], table),
                    )
                )
        report(PHASE, system, finished=True)

    @job(
        name=job_name(system),
        partitions_def=DailyPartitionsDefinition(start_date=FIRST_DAY),
        description=f"Read past days of {system} again. Run build_and_publish afterwards.",
    )
    def backfill() -> Any:
        reload()

    return backfill
