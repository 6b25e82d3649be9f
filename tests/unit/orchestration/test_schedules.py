"""Which systems run when follows from what they provide; all times are in the reporting time zone."""

from __future__ import annotations

import pytest
from dagster import AssetKey, AssetSelection

from ingestion.settings import Connection, Paths, write_settings
from orchestration import schedules
from orchestration.definitions import build_defs
from tests.unit.orchestration.conftest import Shop

CONNECTIONS = [
    Connection("alpha", entities=("ad_performance",)),
    Connection("beta", entities=("crm_contacts", "control_totals")),
    Connection("beta", name="second", entities=("crm_contacts",)),
    Connection("gamma", entities=("revenue_events", "subscriptions")),
    Connection("delta", entities=("ad_performance", "web_events")),
]


def test_systems_are_classified_by_what_they_provide() -> None:
    assert schedules.hourly_systems(CONNECTIONS) == ["beta", "delta"]
    assert schedules.nightly_ads_systems(CONNECTIONS) == ["alpha"]  # delta is read every hour anyway


def test_every_loading_job_builds_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "tables_of", lambda entries: ["rows"])
    jobs = schedules.build_jobs(CONNECTIONS, AssetSelection.groups("models"), AssetKey(["published", "file"]))
    by_name = {job.name: str(job.selection) for job in jobs}
    assert set(by_name) == {
        "daily_run",
        "build_and_publish",
        "hourly_run",
        "nightly_ads",
        "run_alpha",
        "run_beta",
        "run_gamma",
        "run_delta",
    }
    for name in ("hourly_run", "nightly_ads", "run_gamma", "build_and_publish"):
        assert "models" in by_name[name]
        assert "published/file" in by_name[name]
    assert "raw_alpha/rows" in by_name["nightly_ads"]
    assert "raw_alpha/rows" not in by_name["hourly_run"]


def test_schedules_follow_the_reporting_time_zone(shop: Shop, paths: Paths) -> None:
    write_settings(paths, {"reporting_time_zone": "America/New_York"})
    found = {schedule.name: schedule for schedule in build_defs(paths).schedules or []}
    assert {name: (made.cron_schedule, made.execution_timezone) for name, made in found.items()} == {
        "daily_run_schedule": ("30 4 * * *", "America/New_York"),
    }  # the shop provides neither CRM, web, e-mail nor ads
