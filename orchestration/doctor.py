"""`funnelhouse doctor`: is everything there that a run needs, and what to mend where it is not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ingestion.errors import FunnelhouseError, Unauthorized
from ingestion.http import Observed, observing
from ingestion.registry import system as registered
from ingestion.settings import Connection, Paths, connections
from ingestion.sources import System
from orchestration import alerts, outlets, receivers, transform
from orchestration.errors import one_line
from orchestration.resources import moment_of_run

MIN_FREE_BYTES = 2_000_000_000
MAX_CLOCK_SKEW_SECONDS = 120
VERSION_SETTINGS = ("API_VERSION", "REVISION")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    fine: bool
    text: str


def examine(paths: Paths, console: Console) -> bool:
    """Look at everything, print a table, and say whether all is fine. Values of secrets are never shown."""
    table = Table(title="funnelhouse doctor", title_justify="left")
    table.add_column("what")
    table.add_column("")
    table.add_column("found", overflow="fold")
    fine = True
    for finding in findings(paths):
        fine = fine and finding.fine
        mark = "[green]ok[/green]" if finding.fine else "[red]mend[/red]"
        table.add_row(escape(finding.subject), mark, escape(finding.text))
    console.print(table)
    return fine


def findings(paths: Paths) -> Iterator[Finding]:
    """Everything that is looked at, in order."""
    yield _attempt("data folder", lambda: _data_folder(paths))
    yield _attempt("settings", lambda: _settings(paths))
    try:
        connected = connections(paths)
    except FunnelhouseError as error:
        yield Finding("systems", False, one_line(error))
        return
    for connection in connected:
        yield from _connection(connection)
    yield _attempt("publishing", lambda: _outlets(paths))
    yield _attempt("alerts", lambda: _receivers(paths))


def _attempt(subject: str, look: object) -> Finding:
    try:
        return Finding(subject, True, look())  # type: ignore[operator]
    except FunnelhouseError as error:
        return Finding(subject, False, one_line(error))


def _data_folder(paths: Paths) -> str:
    paths.create()
    if not os.access(paths.data_dir, os.W_OK):
        raise FunnelhouseError(
            f"{paths.data_dir} cannot be written to. Set FUNNELHOUSE_DATA_DIR to a folder that you own."
        )
    free = shutil.disk_usage(paths.data_dir).free
    if free < MIN_FREE_BYTES:
        raise FunnelhouseError(
            f"{paths.data_dir}: only {free / 1e9:.1f} GB are free; make room for at least 2 GB."
        )
    return f"{paths.data_dir}, {free / 1e9:.0f} GB free"


def _settings(paths: Paths) -> str:
    chosen = transform.variables(paths)
    moment_of_run(paths)
    return (
        f"{len(chosen)} of this data folder's own"
        if chosen
        else "the project's own (dbt_project/dbt_project.yml)"
    )


def _outlets(paths: Paths) -> str:
    others = [outlet.check() for outlet in outlets.configured(paths)]
    return ", ".join(["the DuckDB file", *others])


def _receivers(paths: Paths) -> str:
    alerts.read_rules(paths)
    names = [receiver.name for receiver in receivers.receivers()]
    return ", ".join(names) or f"nobody is told of trouble; it is noted in {alerts.LOG} (docs/alerts.md)"


def _connection(connection: Connection) -> Iterator[Finding]:
    label = f"{connection.system} ({connection.name})"
    try:
        system = registered(connection.system)
    except FunnelhouseError as error:
        yield Finding(label, False, one_line(error))
        return
    missing = [
        setting
        for setting in system.settings
        if setting.required and not (connection.get(setting.key) or setting.default)
    ]
    if missing:
        names = ", ".join(connection.environment_names(setting.key)[1] for setting in missing)
        yield Finding(
            label, False, f"not set: {names}. Put it into the environment or into .env (see .env.example)."
        )
        return
    with observing() as seen:
        try:
            yield Finding(label, True, one_line(Exception(system.check(connection) or "reached")))
        except FunnelhouseError as error:
            yield Finding(label, False, _what_to_do(error, system))
    yield from _versions_and_clock(label, connection, system, seen)


def _what_to_do(error: FunnelhouseError, system: System) -> str:
    """The error, and where it is about credentials, what they must be allowed to do."""
    text = one_line(error)
    if not isinstance(error, Unauthorized):
        return text
    text = text.removesuffix(" Check them with `funnelhouse doctor`.")
    needed = " ".join(f"{setting.key}: {setting.help}" for setting in system.settings if setting.secret)
    return f"{text} Needed: {needed} See docs/connect.md."


def _versions_and_clock(
    label: str, connection: Connection, system: System, seen: Observed
) -> Iterator[Finding]:
    declared = next((entry for entry in system.settings if entry.key in VERSION_SETTINGS), None)
    version = connection.get(declared.key, declared.default) if declared else system.api_version
    if seen.notices:
        remedy = f"Set {connection.environment_names(declared.key)[1]}" if declared else "Update Funnelhouse"
        text = (
            f"{version or 'unversioned'}: the answers announce its end ({'; '.join(seen.notices)}). {remedy}."
        )
        yield Finding(f"{label}: API version", False, text)
    elif version and seen.clock_skew is not None:
        yield Finding(f"{label}: API version", True, version)
    if seen.clock_skew is None:
        return
    seconds = round(seen.clock_skew)
    if abs(seconds) <= MAX_CLOCK_SKEW_SECONDS:
        yield Finding(f"{label}: clock", True, "agrees with this machine's")
        return
    side = "ahead of" if seconds > 0 else "behind"
    yield Finding(
        f"{label}: clock",
        False,
        f"this machine is {abs(seconds)} s {side} the server. Set its clock (NTP): tokens are refused and "
        "new records are missed where the two differ.",
    )
