"""The whole line as one plain function, without Dagster: for tests of many simulated days and for scripts.

The same parts in the same order as the Dagster job: load, build, audit, publish. Great Expectations is left
out; it belongs to the job's asset checks.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from ingestion.settings import Paths, connections
from ingestion.warehouse import LoadReport, connect, load
from orchestration import ledger, publication, transform
from orchestration.resources import aware, locked, moment_of_run


@dataclass(frozen=True)
class Outcome:
    """What one pass over the line gave."""

    run_id: str
    loads: list[LoadReport]
    build: transform.BuildResult
    is_full_refresh: bool
    published: publication.Published


def run_once(
    paths: Paths,
    as_of: dt.datetime | None = None,
    full_refresh: bool | None = None,
    run_tests: bool = True,
    systems: list[str] | None = None,
    select: Sequence[str] = (),
) -> Outcome:
    """Load every connected system, build, audit, publish.

    Args:
        paths: the data folder.
        as_of: the moment that the run reports on (UTC); None: as `moment_of_run` finds it.
        full_refresh: True rebuilds everything; False or None leaves it to the ledger.
        run_tests: whether dbt's data tests run; without them the build counts as passed.
        systems: load only these; None: all that are connected.
        select: build only these models (dbt's own words for them); empty: all.

    Raises:
        FunnelhouseError: a source, the build or an audit failed; nothing has been published.
    """
    paths.create()
    run_id = str(uuid.uuid4())
    moment = moment_of_run(paths) if as_of is None else as_of
    if moment.tzinfo:
        moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
    with locked(paths):
        loads = [load(paths, connection, as_of=aware(moment)) for connection in connections(paths, systems)]
        connection = connect(paths)
        try:
            started = ledger.begin_build(
                connection, run_id, moment, transform.settings_hash(paths), bool(full_refresh)
            )
        finally:
            connection.close()
        built = transform.build(paths, full_refresh=started.is_full_refresh, tests=run_tests, select=select)
        built.raise_on_failure()
        connection = connect(paths)
        try:
            ledger.mark_passed(connection, started, transform.checks(paths, built))
            published = publication.publish(
                connection, paths.published, descriptions=transform.descriptions(paths)
            )
        finally:
            connection.close()
    return Outcome(run_id, loads, built, started.is_full_refresh, published)
