"""A run a day equals one run at the end, table by table; so does a run after others were killed.

Four runs over sixteen days in `make test`, days without a run among them; sixty single days in `make soak`.
What makes increments hard is counted on the way: late rows, restated figures, merged and deleted records,
withdrawn consent, persons who become one.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ingestion.settings import PROJECT_ROOT, Paths
from ingestion.warehouse import connect
from tests.integration.conftest import LAST_DAY, Built, Sandbox
from tests.integration.support import differences, run_day

RUNS = (16, 8, 1, 0)  # days before the last one
KINDS = {
    "late rows",
    "restated figures",
    "merged records",
    "deleted records",
    "withdrawn consent",
    "merged persons",
}
AD_KEY = "source_relation, date, campaign_id, ad_group_id, ad_id, network_type, country, device"


def _state(paths: Paths) -> dict[str, Any]:
    """What a warehouse says of the things that increments find hard."""
    con = connect(paths, read_only=True)

    def rows(sql: str) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = con.execute(sql).fetchall()
        return found

    try:
        logs = rows("select table_schema from information_schema.tables where table_name = '_slices'")
        slices = {
            (schema, *key): count
            for (schema,) in logs
            if not schema.endswith("_staging")
            for *key, count in rows(
                f"select source_relation, resource, slice, row_count from {schema}._slices"
            )
        }
        records = [
            f"intermediate.int_crm_{name}_unioned" for name in ("contacts", "opportunities", "accounts")
        ]
        return {
            "slices": slices,
            "figures": {
                row[:-3]: row[-3:]
                for row in rows(
                    f"select {AD_KEY}, clicks, spend, conversions"
                    " from intermediate.int_ad_performance_unioned"
                )
            },
            "merged records": sum(
                rows(f"select count(*) from {table} where merged_into_id is not null")[0][0]
                for table in records
            ),
            "deleted records": sum(
                rows(f"select count(*) from {table} where is_deleted")[0][0] for table in records
            ),
            "withdrawn consent": rows(
                "select count(*) from intermediate.int_consent_events_unioned where state = 'withdrawn'"
            )[0][0],
            "merged persons": rows(
                "select count(*) from intermediate.int_identity_redirects where reason = 'merged'"
            )[0][0],
        }
    finally:
        con.close()


def _happened(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """Which kinds lie between two states."""
    found = {kind for kind in KINDS if kind in before and after[kind] > before[kind]}
    if any(0 < count < after["slices"].get(key, 0) for key, count in before["slices"].items()):
        found.add("late rows")
    if any(
        key in after["figures"] and after["figures"][key] != row for key, row in before["figures"].items()
    ):
        found.add("restated figures")
    return found


def _kill(paths: Paths, said: tuple[str, str], seconds: float) -> None:
    """Start a run of the last day; SIGKILL it some seconds after it has said a line with both words.

    What was published before is there after it.
    """
    published = paths.published.read_bytes()
    run = subprocess.Popen(
        [sys.executable, "-m", "orchestration.cli", "run"],
        cwd=PROJECT_ROOT,
        env={
            **os.environ,
            "FUNNELHOUSE_DATA_DIR": str(paths.data_dir),
            "FUNNELHOUSE_AS_OF": LAST_DAY.isoformat() + "Z",
            "PYTHONUNBUFFERED": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert run.stdout is not None
    heard = []
    for line in run.stdout:
        heard.append(line)
        if all(word in line for word in said):
            break
    else:
        raise AssertionError("the run ended before it could be killed:\n" + "".join(heard))
    time.sleep(seconds)
    assert run.poll() is None, "the run ended before it could be killed"
    run.send_signal(signal.SIGKILL)
    run.wait(timeout=30)
    run.stdout.close()
    assert paths.published.read_bytes() == published


def _run_days(sandbox: Sandbox, built: Built, folder: Path, backs: Sequence[int]) -> tuple[Paths, set[str]]:
    """A warehouse of its own, with the same key: pseudonyms, and the ids made of them, depend on it.

    Before the last run two others are killed, in the middle of loading and of the build.
    """
    paths = Paths(folder).create()
    shutil.copy(built.paths.key_file, paths.key_file)
    happened: set[str] = set()
    before: dict[str, Any] = {}
    for back in backs:
        moment = LAST_DAY - dt.timedelta(days=back)
        sandbox.advance(moment)
        if back == 0:
            _kill(paths, ("extract", "google_ads"), 0.5)
            _kill(paths, ("check raw data", "stripe"), 4.0)
        outcome = run_day(paths, moment, tests=back == 0)
        assert outcome.is_full_refresh == (back == backs[0]), (
            f"{moment}: only the first run builds everything"
        )
        after = _state(paths)
        if before:
            happened |= _happened(before, after)
        before = after
    return paths, happened


@pytest.mark.timeout(1500)
def test_days_one_by_one_and_killed_runs_equal_one_full_run(
    sandbox: Sandbox, built: Built, tmp_path: Path
) -> None:
    daily, happened = _run_days(sandbox, built, tmp_path / "daily", RUNS)
    assert happened == KINDS
    assert differences(daily.published, built.paths.published) == {}


def test_the_same_run_twice_changes_nothing(sandbox: Sandbox, built: Built, tmp_path: Path) -> None:
    sandbox.advance(LAST_DAY)
    before = tmp_path / "before.duckdb"
    before.write_bytes(built.paths.published.read_bytes())
    outcome = run_day(built.paths, LAST_DAY, tests=False)
    assert not outcome.is_full_refresh
    assert differences(before, built.paths.published) == {}


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_sixty_days_one_by_one_equal_one_full_run(sandbox: Sandbox, built: Built, tmp_path: Path) -> None:
    daily, happened = _run_days(sandbox, built, tmp_path / "daily", range(60, -1, -1))
    assert happened == KINDS
    assert differences(daily.published, built.paths.published) == {}
