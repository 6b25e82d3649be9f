"""Running a Dagster job inside the command line, on the data folder's instance, and what came of it in plain
words.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ingestion.errors import FunnelhouseError
from ingestion.settings import Paths
from orchestration import alerts, runs
from orchestration.errors import one_line
from orchestration.resources import locked

ATTENDED_TAG = "funnelhouse/attended"
ALERTS_TAG = "funnelhouse/alerts"


@dataclass(frozen=True)
class StepFailure:
    """A step that failed: one line for a person, and the failed dbt nodes where it was the build."""

    step: str
    message: str
    expected: bool
    nodes: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class FailedCheck:
    """An asset check that failed; `blocking` stopped the line."""

    name: str
    asset: str
    blocking: bool
    description: str
    sql: str
    is_raw: bool


@dataclass
class RunOutcome:
    """One run of a job."""

    run_id: str
    job: str
    success: bool
    seconds: float
    passed: int = 0
    warned: int = 0
    failed: int = 0
    failures: list[StepFailure] = field(default_factory=list)
    failed_checks: list[FailedCheck] = field(default_factory=list)
    passed_checks: set[str] = field(default_factory=set)  # "<asset>.<check>"
    alerts: str = ""  # who was told of what is wrong, and who could not be
    step_seconds: dict[str, float] = field(default_factory=dict)


def execute(
    paths: Paths,
    job: str,
    *,
    tags: Mapping[str, str] | None = None,
    ops: Mapping[str, Any] | None = None,
    verbose: bool = False,
) -> RunOutcome:
    """Execute a job of this data folder's definitions in this process, as its one writer; then alert.

    Raises:
        WarehouseBusy: another process writes.
        FunnelhouseError: the list of systems, the settings or the dbt project cannot be used.
    """
    with locked(paths):
        runs.quiet_environment(paths)
        _quiet_loggers(verbose)
        from orchestration import event_log
        from orchestration.definitions import build_defs

        with runs.open_instance(paths) as instance:
            event_log.keep_open(instance)
            runs.fail_dead_runs(instance)
            try:
                definitions = build_defs(paths)
            except FunnelhouseError as error:
                alerts.run_did_not_begin(paths, job, error)
                raise
            config: dict[str, Any] = {}
            if not verbose:
                config["loggers"] = {"console": {"config": {"log_level": "CRITICAL"}}}
            if ops:
                config["ops"] = dict(ops)
            started = time.monotonic()
            result = definitions.resolve_job_def(job).execute_in_process(
                run_config=config,
                instance=instance,
                tags={
                    runs.PROCESS_TAG: runs.process_mark(),
                    ATTENDED_TAG: "true",
                    **(tags or {}),
                },
                raise_on_error=False,
            )
            seconds = time.monotonic() - started
            outcome = outcome_of(result.run_id, job, result.success, result.all_events, seconds)
            outcome.alerts = alerts.after_run(paths, outcome)
            if outcome.alerts:
                instance.add_run_tags(outcome.run_id, {ALERTS_TAG: outcome.alerts})
            return outcome


def _quiet_loggers(verbose: bool) -> None:
    level = logging.INFO if verbose else logging.ERROR
    for name in ("dagster", "dlt", "great_expectations", "dbt", "urllib3", "sqlglot"):
        logging.getLogger(name).setLevel(level)
    if not verbose:
        import warnings

        warnings.simplefilter("ignore")


def outcome_of(
    run_id: str, job: str, success: bool, events: Iterable[Any], seconds: float = 0.0
) -> RunOutcome:
    """What came of a run, from its Dagster events."""
    outcome = RunOutcome(run_id=run_id, job=job, success=success, seconds=seconds)
    started: dict[str, float] = {}
    for event in events:
        kind = event.event_type_value
        if kind == "ASSET_CHECK_EVALUATION":
            _count(outcome, event.asset_check_evaluation_data)
        elif kind == "STEP_FAILURE":
            outcome.failures.append(_step_failure(event))
        elif kind == "STEP_START":
            started[event.step_key] = event.timestamp if hasattr(event, "timestamp") else 0.0
        elif kind == "STEP_SUCCESS":
            outcome.step_seconds[event.step_key] = event.step_success_data.duration_ms / 1000
    return outcome


def _count(outcome: RunOutcome, evaluation: Any) -> None:
    blocking = evaluation.severity.value == "ERROR"
    if evaluation.passed:
        outcome.passed += 1
        outcome.passed_checks.add(f"{'.'.join(evaluation.asset_key.path)}.{evaluation.check_name}")
        return
    if blocking:
        outcome.failed += 1
    else:
        outcome.warned += 1
    metadata = {name: getattr(value, "value", None) for name, value in evaluation.metadata.items()}
    outcome.failed_checks.append(
        FailedCheck(
            name=evaluation.check_name,
            asset=".".join(evaluation.asset_key.path),
            blocking=blocking,
            description=str(metadata.get("failed") or evaluation.description or ""),
            sql=str(metadata.get("sql") or ""),
            is_raw=evaluation.asset_key.path[0].startswith("raw_"),
        )
    )


def _step_failure(event: Any) -> StepFailure:
    data = event.step_failure_data
    told = data.user_failure_data
    if told and told.description:
        nodes = told.metadata.get("failures")
        return StepFailure(
            event.step_key,
            told.description,
            "unexpected" not in told.metadata,
            list(nodes.value) if nodes else [],
        )
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    if error is None:
        return StepFailure(event.step_key, event.message or "failed", False)
    text = one_line(Exception(error.message))
    return StepFailure(event.step_key, text, (error.cls_name or "").startswith("DagsterAssetCheck"))
