"""What watches the runs: a failed one is noted where a person finds it, and sent where a webhook is set."""

import datetime as dt
import json
import os

import requests
from dagster import DefaultSensorStatus, RunFailureSensorContext, SensorDefinition, run_failure_sensor

from ingestion.settings import Paths
from orchestration.errors import one_line

WEBHOOK = "FUNNELHOUSE_ALERT_WEBHOOK"


def alert(paths: Paths, job: str, run_id: str, message: str) -> dict[str, str]:
    """Append one line to `<data folder>/alerts.jsonl`, and post it as JSON `{"text": ...}` where a webhook is
    set.
    """
    entry = {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "job": job,
        "run_id": run_id,
        "message": message,
    }
    with (paths.data_dir / "alerts.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
    webhook = os.environ.get(WEBHOOK)
    if webhook:
        requests.post(webhook, json={"text": f"funnelhouse: {job} failed: {message}"}, timeout=10)
    return entry


def build_sensors(paths: Paths) -> list[SensorDefinition]:
    """The sensor that notes failed runs."""

    @run_failure_sensor(
        name="alert_on_failure",
        description=f"Notes each failed run in alerts.jsonl (data folder); posts it to ${WEBHOOK} if set.",
        default_status=DefaultSensorStatus.RUNNING,
    )
    def alert_on_failure(context: RunFailureSensorContext) -> None:
        steps = context.get_step_failure_events()
        texts = [
            data.user_failure_data.description
            if data.user_failure_data and data.user_failure_data.description
            else (data.error.message if data.error else event.message or "")
            for event in steps
            if (data := event.step_failure_data)
        ]
        message = one_line(
            Exception("; ".join(text for text in texts if text) or context.failure_event.message or "")
        )
        alert(paths, context.dagster_run.job_name, context.dagster_run.run_id, message)

    return [alert_on_failure]
