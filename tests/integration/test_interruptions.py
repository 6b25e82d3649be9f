"""A killed run leaves yesterday's publication, and the next run ends where an undisturbed one does."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ingestion.settings import PROJECT_ROOT, Paths
from tests.integration.conftest import LAST_DAY, Built, Sandbox
from tests.integration.support import differences, run_day


def _start(paths: Paths) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "FUNNELHOUSE_DATA_DIR": str(paths.data_dir),
        "FUNNELHOUSE_AS_OF": LAST_DAY.isoformat() + "Z",
        "PYTHONUNBUFFERED": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "orchestration.cli", "run"],
        cwd=PROJECT_ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _kill_after(paths: Paths, said: tuple[str, str], seconds: float) -> None:
    """Start a run and end it by SIGKILL some seconds after it has said a line with both words."""
    run = _start(paths)
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


@pytest.mark.timeout(1500)
def test_killed_runs_end_in_the_content_of_an_undisturbed_run(
    sandbox: Sandbox, built: Built, tmp_path: Path
) -> None:
    paths = Paths(tmp_path / "data").create()
    shutil.copy(built.paths.key_file, paths.key_file)
    yesterday = LAST_DAY - dt.timedelta(days=1)
    sandbox.advance(yesterday)
    run_day(paths, yesterday, tests=False)
    published = paths.published.read_bytes()

    sandbox.advance(LAST_DAY)
    _kill_after(paths, ("extract", "google_ads"), 0.5)  # in the middle of loading
    assert paths.published.read_bytes() == published
    _kill_after(paths, ("check raw data", "stripe"), 4.0)  # in the middle of the build
    assert paths.published.read_bytes() == published

    last = _start(paths)
    output, _ = last.communicate(timeout=500)
    assert last.returncode == 0, output
    assert differences(paths.published, built.paths.published) == {}
