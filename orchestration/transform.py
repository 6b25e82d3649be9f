"""dbt, run inside this process: parse, build, and what came of it.

Why in process and not as a child: a child outlives a `kill -9` of its parent and goes on writing beside the
next run, and it costs 4 s of imports; here both die together and the parsed project is used twice. Artefacts
lie in `<data folder>/dbt`, so the checkout stays clean and two data folders never meet. Nothing here knows
Dagster.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import zoneinfo
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingestion.settings import PROJECT_ROOT, Paths, project, read_settings
from orchestration import ledger
from orchestration.errors import Problem, one_line

PROJECT_DIR = PROJECT_ROOT / "dbt_project"
RESULT_EVENTS = frozenset({"LogSeedResult", "LogModelResult", "LogSnapshotResult", "LogTestResult"})
NOT_VARIABLES = frozenset({"as_of", "publish_parquet"})  # keys of settings.json that dbt is not given
ENTRY_KEYS = frozenset({"system", "connection", "accounts", "entities"})
SOURCE_FOLDERS = ("models", "macros", "seeds", "tests", "snapshots", "analyses")

Progress = Callable[[str, int, int], None]

# The manifest that `prepare` has just parsed, for the one build that follows: dbt marks compiled nodes in it.
_parsed: dict[str, Any] = {}


@dataclass(frozen=True)
class Failure:
    """One failed node of a build, in words that a person can act on."""

    name: str
    is_audit: bool  # a test found rows; False: the node itself could not be built
    message: str
    description: str = ""
    relation: str = ""
    rows: int = 0
    sql_file: str = ""

    def line(self) -> str:
        if self.is_audit:
            return f"Audit {self.name} failed: {self.rows} row(s)" + (
                f" in {self.relation}" if self.relation else ""
            )
        return f"{self.name} could not be built: {self.message}"


class BuildFailed(Problem):
    """Models or blocking tests failed. The published file has not been touched."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        self.failures = list(failures)
        more = f" (and {len(self.failures) - 1} more)" if len(self.failures) > 1 else ""
        super().__init__(f"{self.failures[0].line()}{more}. The published file is unchanged.")


@dataclass
class BuildResult:
    """What a dbt build gave: its result events (as in dbt's JSON log), counts by status, failures."""

    events: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0

    def raise_on_failure(self) -> None:
        if self.failures:
            raise BuildFailed(self.failures)


def checks(paths: Paths, result: BuildResult) -> list[ledger.Check]:
    """The data tests of a finished build, as they are published: what was checked, and what came of it."""
    manifest = json.loads(manifest_path(paths).read_text(encoding="utf-8"))
    found = []
    for event in result.events:
        node = manifest["nodes"].get(event["data"]["node_info"]["unique_id"])
        if node is None or node["resource_type"] != "test":
            continue
        attached = manifest["nodes"].get(node.get("attached_node") or "")
        test = node.get("test_metadata") or {}
        found.append(
            ledger.Check(
                name=node["name"],
                kind=test.get("name") or "of this project",
                relation=f"{attached['schema']}.{attached['name']}" if attached else "",
                column=node.get("column_name") or "",
                description=" ".join(node.get("description", "").split()),
                is_blocking=str(node["config"].get("severity", "error")).lower() == "error",
                status=str(event["data"].get("status", "")),
                rows_found=int(event["data"].get("num_failures") or 0),
            )
        )
    return found


def variables(paths: Paths) -> dict[str, Any]:
    """The vars that this data folder's settings give to dbt, checked against the project's own (rule: no free
    vars).

    Raises:
        Problem: a name that the project does not have, a value of another type, or with characters that
            SQL could read.
    """
    known = project()["vars"]
    chosen = {key: value for key, value in read_settings(paths).items() if key not in NOT_VARIABLES}
    if "systems" in chosen:  # dbt needs to know what there is, not where a manifest lies
        chosen["systems"] = [
            {key: value for key, value in entry.items() if key in ENTRY_KEYS} for entry in chosen["systems"]
        ]
    for key, value in chosen.items():
        check_variable(key, value, known)
    return chosen


def check_variable(key: str, value: Any, known: Mapping[str, Any]) -> None:
    """Refuse a variable that the project does not know, or whose type or text does not fit."""
    if key not in known:
        raise Problem(
            f"The setting {key!r} is unknown. Settings and defaults stand in dbt_project/dbt_project.yml."
        )
    default = known[key]
    numbers = (int, float)
    same_type = isinstance(value, type(default)) or (
        isinstance(value, numbers) and isinstance(default, numbers) and not isinstance(value, bool)
    )
    if isinstance(default, bool) != isinstance(value, bool):
        same_type = False
    if not same_type:
        raise Problem(f"The setting {key} must be like {default!r}, not {value!r}.")
    for text in _texts(value):
        if re.search(r"['\"\\;`{}\x00-\x1f]|--|/\*", text):
            raise Problem(f"The setting {key} holds characters that are not allowed: {text!r}.")
    if key == "reporting_time_zone" and value not in zoneinfo.available_timezones():
        raise Problem(
            f"The setting reporting_time_zone is no time zone: {value!r}. Example: Europe/Amsterdam."
        )
    if key == "reporting_currency" and not re.fullmatch(r"[A-Z]{3}", str(value)):
        raise Problem(f"The setting reporting_currency must be an ISO code such as EUR, not {value!r}.")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def target_path(paths: Paths) -> Path:
    return paths.data_dir / "dbt"


def manifest_path(paths: Paths) -> Path:
    return target_path(paths) / "manifest.json"


def settings_hash(paths: Paths) -> str:
    """A digest of all that decides what a model holds besides its input: SQL, seeds, the project file, the
    vars.
    """
    digest = hashlib.sha256()
    for file in _project_files(PROJECT_DIR):
        if file.suffix in {".sql", ".csv"} or file.name == "dbt_project.yml":
            digest.update(f"{file.relative_to(PROJECT_DIR)}\0".encode())
            digest.update(file.read_bytes())
    digest.update(json.dumps(variables(paths), sort_keys=True, default=str).encode())
    return digest.hexdigest()[:16]


def prepare(paths: Paths) -> Path:
    """Make sure that the manifest of this data folder is the project's present one; gives its path.

    Parsing is skipped where no file and no variable has changed since the last time; else dbt parses
    partially.
    """
    manifest, stamp_file = manifest_path(paths), stamp_path(paths)
    stamp = _project_stamp(paths)
    if manifest.is_file() and stamp_file.is_file() and stamp_file.read_text() == stamp:
        return manifest
    outcome = _invoke(paths, ["parse"])
    _parsed.clear()
    if not outcome.success:
        raise Problem(
            f"The dbt project cannot be parsed: {one_line(outcome.exception or Exception('see dbt.log'))}"
        )
    stamp_file.write_text(stamp)
    _parsed[stamp] = outcome.result
    return manifest


def stamp_path(paths: Paths) -> Path:
    """What the manifest was made from. It is away while dbt runs, which writes the manifest anew: after a
    kill in the middle of that the next run parses.
    """
    return target_path(paths) / "parsed.json"


def _project_stamp(paths: Paths) -> str:
    return json.dumps([_stamp(), variables(paths), str(paths.warehouse)], sort_keys=True, default=str)


def descriptions(paths: Paths) -> dict[str, str]:
    """What the models' yml says about tables (`schema.table`) and columns (`schema.table.column`), by the
    manifest of the last parse; {} before one.
    """
    try:
        manifest = json.loads(manifest_path(paths).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    found = {}
    for node in manifest["nodes"].values():
        if node["resource_type"] != "model":
            continue
        table = f"{node['schema']}.{node.get('alias') or node['name']}"
        found[table] = node["description"]
        for name, column in node["columns"].items():
            found[f"{table}.{name}"] = column["description"]
    for name, text in ledger.CHECKS_MEAN.items():
        found[".".join(filter(None, ("trust.check_results", name)))] = text
    return {name: " ".join(text.split()) for name, text in found.items() if text.strip()}


def build(
    paths: Paths,
    *,
    full_refresh: bool = False,
    tests: bool = True,
    select: Sequence[str] = (),
    progress: Progress = lambda *_: None,
) -> BuildResult:
    """Seeds, models and (unless told otherwise) data tests. Unit tests belong to the test suite, not to a
    run.
    """
    import time

    from dbt_common.events.base_types import EventMsg
    from dbt_common.events.functions import msg_to_dict

    result = BuildResult()

    def on_event(event: EventMsg) -> None:
        if event.info.name in RESULT_EVENTS:
            content = msg_to_dict(event)
            result.events.append(content)
            data = content["data"]
            progress(
                data["node_info"].get("node_name", ""), int(data.get("index", 0)), int(data.get("total", 0))
            )

    arguments = ["build", "--exclude-resource-type", "unit_test"]
    if not tests:
        arguments += ["--exclude-resource-type", "test"]
    if full_refresh:
        arguments.append("--full-refresh")
    if select:
        arguments += ["--select", *select]
    started = time.monotonic()
    outcome = _invoke(paths, arguments, on_event, _parsed.pop(_project_stamp(paths), None))
    result.seconds = time.monotonic() - started
    for node_result in getattr(outcome.result, "results", []):
        status = str(node_result.status)
        result.counts[status] = result.counts.get(status, 0) + 1
        if status in {"fail", "error", "runtime error"}:
            result.failures.append(_failure(paths, node_result))
    if not outcome.success and not result.failures:
        raise Problem(f"dbt could not run: {one_line(outcome.exception or Exception('see dbt.log'))}")
    return result


def write_docs(paths: Paths) -> Path:
    """Write dbt's documentation of this data folder's project as one static page; gives its path.

    Raises:
        Problem: dbt cannot write it.
    """
    command = ["docs", "generate", "--static"]
    if not paths.warehouse.is_file():
        prepare(paths)
        command += ["--no-compile", "--empty-catalog"]  # nothing has run yet: without SQL and types
    outcome = _invoke(paths, command)
    if not outcome.success:
        raise Problem(f"dbt cannot write its docs: {one_line(outcome.exception or Exception('see dbt.log'))}")
    page = paths.data_dir / "docs" / "index.html"
    page.parent.mkdir(exist_ok=True)
    (target_path(paths) / "static_index.html").replace(page)
    return page


def _failure(paths: Paths, result: Any) -> Failure:
    node = result.node
    is_audit = str(node.resource_type).endswith("test") and str(result.status) == "fail"
    relation = _audited_relation(node) if is_audit else (getattr(node, "relation_name", "") or "")
    compiled = Path(getattr(node, "compiled_path", None) or "")
    return Failure(
        name=node.name,
        is_audit=is_audit,
        message=one_line(Exception(result.message or "")),
        description=" ".join((getattr(node, "description", "") or "").split()),
        relation=relation.replace('"', ""),
        rows=int(result.failures or 0),
        sql_file=str(compiled if compiled.is_absolute() else target_path(paths) / compiled)
        if compiled.name
        else "",
    )


def _audited_relation(node: Any) -> str:
    """`model.funnelhouse.fct_x` -> `fct_x` of the model that a test belongs to (or all that it reads)."""
    attached = getattr(node, "attached_node", None)
    names = [attached] if attached else list(node.depends_on.nodes)
    return ", ".join(name.split(".")[-1] for name in names)


def _invoke(
    paths: Paths, command: list[str], callback: Callable[[Any], None] | None = None, manifest: Any = None
) -> Any:
    from dbt.cli.main import dbtRunner

    target = target_path(paths)
    target.mkdir(parents=True, exist_ok=True)
    arguments = [
        *command,
        *("--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR)),
        *("--target-path", str(target), "--log-path", str(target)),
        *("--log-level", "none", "--log-level-file", "none"),
        *("--no-use-colors", "--no-send-anonymous-usage-stats"),
    ]
    chosen = variables(paths)
    if chosen:
        arguments += ["--vars", json.dumps(chosen, sort_keys=True, default=str)]
    stamp_file = stamp_path(paths)
    stamp = stamp_file.read_text() if stamp_file.is_file() else None
    stamp_file.unlink(missing_ok=True)
    with environment(paths), (target / "dbt.log").open("w", encoding="utf-8") as log:

        def write(event: Any) -> None:
            log.write(f"{event.info.ts.ToJsonString()} [{event.info.level}] {event.info.msg}\n")

        _leave_out_debug_events()
        try:
            listening = [write, *([callback] if callback else [])]
            outcome = dbtRunner(manifest, callbacks=listening).invoke(arguments)
        finally:
            close_connections()
    if stamp is not None:
        stamp_file.write_text(stamp)
    return outcome


def _leave_out_debug_events() -> None:
    """dbt makes a message of each of 12,000 debug events of a build, for its log and for callbacks: 7 % of
    its own time, by the profile. Nobody reads them here.
    """
    from dbt_common.events import event_manager_client
    from dbt_common.events.base_types import BaseEvent, EventLevel
    from dbt_common.events.event_manager import EventManager

    class Manager(EventManager):
        def fire_event(
            self, e: BaseEvent, level: EventLevel | None = None, *arguments: Any, **named: Any
        ) -> None:
            if (level or e.level_tag()) not in (EventLevel.DEBUG, EventLevel.TEST):
                super().fire_event(e, level, *arguments, **named)

    event_manager_client.ctx_set_event_manager(Manager())


def close_connections() -> None:
    """Close what the dbt adapter holds open: this process opens the warehouse with other settings next."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    opened = DuckDBConnectionManager._ENV
    if opened is not None:
        opened.close()
        DuckDBConnectionManager._ENV = None


@contextmanager
def environment(paths: Paths) -> Iterator[None]:
    """The variables that profiles.yml reads, for the time of a dbt command."""
    values = {
        "FUNNELHOUSE_WAREHOUSE": str(paths.warehouse),
        "FUNNELHOUSE_TEMP_DIR": os.environ.get("FUNNELHOUSE_TEMP_DIR", str(paths.temp_dir)),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DO_NOT_TRACK": "1",
    }
    with variables_set(values):
        yield


@contextmanager
def variables_set(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the time of a block; what was there before comes back."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _project_files(folder: Path) -> list[Path]:
    files = [file for file in folder.glob("*.yml") if file.is_file()]
    for name in SOURCE_FOLDERS:
        files += [file for file in (folder / name).rglob("*") if file.is_file()]
    return sorted(files)


def _stamp() -> str:
    """Names, sizes and times of the project's files: equal means that nothing needs parsing."""
    digest = hashlib.sha256()
    for file in _project_files(PROJECT_DIR):
        status = file.stat()
        digest.update(f"{file.relative_to(PROJECT_DIR)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
