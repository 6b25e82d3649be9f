"""A run a day equals one run at the end, table by table.

Ten days in `make test`; sixty in `make soak`. Late events, restated ad figures, changed, merged and
deleted CRM records, late log-ins and refunds all happen in these days.
"""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pytest

from ingestion.settings import Paths
from tests.integration.conftest import LAST_DAY, Built, Sandbox
from tests.integration.support import differences, run_day


def _run_days(sandbox: Sandbox, built: Built, folder: Path, days: int) -> Paths:
    """A warehouse of its own, with the same key: pseudonyms, and the ids made of them, depend on it."""
    paths = Paths(folder).create()
    shutil.copy(built.paths.key_file, paths.key_file)
    for back in range(days, -1, -1):
        moment = LAST_DAY - dt.timedelta(days=back)
        sandbox.advance(moment)
        outcome = run_day(paths, moment, tests=back == 0)
        assert outcome.is_full_refresh == (back == days), f"{moment}: only the first run builds everything"
    return paths


@pytest.mark.timeout(1500)
def test_ten_days_one_by_one_equal_one_full_run(sandbox: Sandbox, built: Built, tmp_path: Path) -> None:
    daily = _run_days(sandbox, built, tmp_path / "daily", 10)
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
    daily = _run_days(sandbox, built, tmp_path / "daily", 60)
    assert differences(daily.published, built.paths.published) == {}
