"""The Dagster instance of a data folder, and the cleaning up after runs whose process is dead.

After a `kill -9` Dagster keeps the run as started and its pool slot as claimed, and the next run would wait
for ever. The holder of the writer's lock fails such runs and frees their slots. Each process marks the runs
that it executes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ingestion.settings import PROJECT_ROOT, Paths

if TYPE_CHECKING:
    from dagster import DagsterInstance

PROCESS_TAG = "funnelhouse/process"
INSTANCE_TEMPLATE = PROJECT_ROOT / "dagster.yaml"


def quiet_environment(paths: Paths) -> None:
    """DAGSTER_HOME and no telemetry, for this process and its children. Before Dagster is imported."""
    os.environ["DAGSTER_HOME"] = str(paths.dagster_home)
    os.environ["FUNNELHOUSE_DATA_DIR"] = str(paths.data_dir)
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
    os.environ.setdefault("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")


def install_instance(paths: Paths) -> Path:
    """Put dagster.yaml into DAGSTER_HOME where it is missing or older than the project's."""
    paths.create()
    target = paths.dagster_home / "dagster.yaml"
    template = INSTANCE_TEMPLATE.read_text(encoding="utf-8")
    if not target.is_file() or target.read_text(encoding="utf-8") != template:
        target.write_text(template, encoding="utf-8")
    return target


def open_instance(paths: Paths) -> DagsterInstance:
    """The instance whose runs `make dev` shows."""
    quiet_environment(paths)
    install_instance(paths)
    from dagster import DagsterInstance

    return DagsterInstance.from_config(str(paths.dagster_home))


def process_mark(pid: int | None = None) -> str:
    """A name of a process that is never given twice: its id and, where the system tells, its start time."""
    pid = os.getpid() if pid is None else pid
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return f"{pid}:{fields[19]}"
    except (OSError, IndexError):
        return f"{pid}:"


def is_alive(mark: str) -> bool:
    """Whether the process of that mark still runs."""
    pid = int(mark.partition(":")[0])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return process_mark(pid) == mark


def fail_dead_runs(instance: DagsterInstance, grace_seconds: float = 60.0) -> list[str]:
    """Fail the unfinished runs whose process is dead and free their pool slots; gives their ids.

    Only the holder of the writer's lock may call this. A run without a mark has not begun to write: it is
    dead if it started more than `grace_seconds` ago and yet holds a slot.
    """
    import time

    from dagster import DagsterRunStatus, RunsFilter

    storage = instance.event_log_storage
    pools = [storage.get_concurrency_info(pool) for pool in storage.get_concurrency_keys()]
    slot_owners = {slot.run_id for pool in pools for slot in pool.claimed_slots}
    waiting = {step.run_id for pool in pools for step in pool.pending_steps}
    dead = []
    unfinished = [DagsterRunStatus.STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.CANCELING]
    for record in instance.get_run_records(RunsFilter(statuses=unfinished)):
        run = record.dagster_run
        mark = run.tags.get(PROCESS_TAG)
        if mark:
            gone = not is_alive(mark)
        else:
            started = record.start_time or record.create_timestamp.timestamp()
            gone = run.run_id in slot_owners and time.time() - started > grace_seconds
        if gone:
            instance.report_run_failed(run, "Its process is gone (killed, or the machine went down).")
            dead.append(run.run_id)
    for run_id in slot_owners | waiting:
        owner = instance.get_run_by_id(run_id)
        if owner is None or owner.is_finished:
            storage.free_concurrency_slots_for_run(run_id)
    return dead
