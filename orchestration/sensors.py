"""What watches runs that nobody attends: each of them, and time without any, leads to `alerts`."""

from typing import Any

from dagster import (
    DagsterEventType,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunStatusSensorContext,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    run_status_sensor,
    sensor,
)

from ingestion.settings import Paths
from orchestration import alerts, runner

WATCH_SECONDS = 900
TOLD_OF = {
    DagsterEventType.ASSET_CHECK_EVALUATION,
    DagsterEventType.STEP_FAILURE,
    DagsterEventType.STEP_START,
    DagsterEventType.STEP_SUCCESS,
}


def tell_of(paths: Paths, instance: Any, run: Any) -> str:
    """Send the alerts of a run that has ended; what the command line attended has been told by it."""
    if run.tags.get(runner.ATTENDED_TAG) == "true":
        return ""
    events = [entry.dagster_event for entry in instance.all_logs(run.run_id, of_type=TOLD_OF)]
    outcome = runner.outcome_of(run.run_id, run.job_name, run.status is DagsterRunStatus.SUCCESS, events)
    said = alerts.after_run(paths, outcome)
    if said:
        instance.add_run_tags(run.run_id, {runner.ALERTS_TAG: said})
    return said


def build_sensors(paths: Paths) -> list[SensorDefinition]:
    """The sensors: after each failed run, after each successful one, and by the clock."""

    def after(status: DagsterRunStatus, name: str, description: str) -> SensorDefinition:
        @run_status_sensor(
            run_status=status,
            name=name,
            description=description,
            default_status=DefaultSensorStatus.RUNNING,
        )
        def tell_after(context: RunStatusSensorContext) -> None:
            said = tell_of(paths, context.instance, context.dagster_run)
            if said:
                context.log.info(said)

        return tell_after

    @sensor(
        name="alert_when_late",
        description="Tells when nothing has been published for long, and what could not be told before.",
        minimum_interval_seconds=WATCH_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
    )
    def alert_when_late(_: SensorEvaluationContext) -> SkipReason:
        return SkipReason(alerts.watch(paths) or "Nothing is new.")

    return [
        after(
            DagsterRunStatus.FAILURE,
            "alert_on_failure",
            "Tells of failed runs and checks, once (rules: alerts.yml).",
        ),
        after(
            DagsterRunStatus.SUCCESS,
            "alert_on_success",
            "Tells what a run found in the marts, and what is over (rules: alerts.yml).",
        ),
        alert_when_late,
    ]
