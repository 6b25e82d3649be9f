"""What the assets are given: the data folder, the writer's lock, the run's moment. No asset reads the
environment itself.
"""

from __future__ import annotations

import atexit
import datetime as dt
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from dagster import ConfigurableResource

from ingestion.settings import Paths, read_settings
from ingestion.warehouse import connect, writer_lock
from orchestration.errors import Problem

WRITER_POOL = "duckdb_writer"

_held: dict[str, ExitStack] = {}


def holds_lock(paths: Paths) -> bool:
    """Whether this process is the writer of that data folder."""
    return str(paths.lock_file) in _held


def hold_lock(paths: Paths, wait_seconds: float = 0) -> None:
    """Make this process the writer until it ends or `release_lock` is called; a second call changes nothing.

    The lock is held over load, build and publish, so that nobody loads between a build and its publication. A
    process that Dagster has started for a run ends with the run, and the lock with it.

    Raises:
        WarehouseBusy: another process holds it, and still does after `wait_seconds`.
    """
    if holds_lock(paths):
        return
    stack = ExitStack()
    stack.enter_context(writer_lock(paths, wait=wait_seconds))
    if not _held:
        atexit.register(_release_all)
    _held[str(paths.lock_file)] = stack


def release_lock(paths: Paths) -> None:
    """Stop being the writer."""
    stack = _held.pop(str(paths.lock_file), None)
    if stack:
        stack.close()


def _release_all() -> None:
    for stack in list(_held.values()):
        stack.close()
    _held.clear()


@contextmanager
def locked(paths: Paths) -> Iterator[None]:
    """The lock for the time of a block; refused at once where another process writes."""
    held_before = holds_lock(paths)
    hold_lock(paths)
    try:
        yield
    finally:
        if not held_before:
            release_lock(paths)


def moment_of_run(paths: Paths) -> dt.datetime:
    """The moment that a run reports on (UTC, zone-less): FUNNELHOUSE_AS_OF, the data folder's setting, or
    now.
    """
    text = os.environ.get("FUNNELHOUSE_AS_OF") or str(read_settings(paths).get("as_of") or "")
    if not text:
        return dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise Problem(
            f"The moment {text!r} (FUNNELHOUSE_AS_OF or as_of in settings.json) is no ISO date and time, "
            "such as 2026-07-01T03:00:00Z."
        ) from None
    return moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo else moment


def aware(moment: dt.datetime) -> dt.datetime:
    """The same moment with its zone written on it, as ingestion wants it."""
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment


class House(ConfigurableResource):
    """One data folder, as the assets see it."""

    data_dir: str = ""
    lock_wait_seconds: float = 900.0

    @property
    def paths(self) -> Paths:
        return Paths.from_environment(self.data_dir or None)

    def enter(self, context: Any) -> Paths:
        """Called first by every step that writes: this process becomes the writer, and the run is marked as
        its own.
        """
        from orchestration.event_log import keep_open
        from orchestration.runs import PROCESS_TAG, process_mark

        keep_open(context.instance)
        paths = self.paths.create()
        if context.run.tags.get(PROCESS_TAG) != process_mark():
            context.instance.add_run_tags(context.run.run_id, {PROCESS_TAG: process_mark()})
        hold_lock(paths, self.lock_wait_seconds)
        return paths

    def moment(self) -> dt.datetime:
        return moment_of_run(self.paths)

    @contextmanager
    def warehouse(self, read_only: bool = False) -> Iterator[Any]:
        """A connection to the warehouse for the time of a block."""
        connection = connect(self.paths, read_only=read_only)
        try:
            yield connection
        finally:
            connection.close()
