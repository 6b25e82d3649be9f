"""Rows 1, 2, 20, 21 and 22: a load that is killed at any moment, then run again, ends in the same content as
one that was not; and so do loads that meet."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from ingestion.errors import WarehouseBusy
from ingestion.settings import PROJECT_ROOT, Paths
from ingestion.warehouse import pass_lock, writer_lock
from tests.faults.toy import contact, content, rows

DAY_1: dict[str, Any] = {
    "contacts": [contact(number, day=number) for number in range(1, 20)],
    "ads": [
        {"date": f"2026-06-0{day}", "campaign_id": f"c{n}", "country": None, "spend": f"{day}.{n}0"}
        for day in range(1, 6)
        for n in range(5)
    ],
    "drops": {"a.csv": [{"event_id": str(n)} for n in range(10)], "b.csv": [{"event_id": "b"}]},
}
DAY_2: dict[str, Any] = {
    "contacts": [
        *DAY_1["contacts"],
        contact(3, day=20, amount="33"),
        contact(30, day=21),
        contact(31, day=21, amount="?"),
    ],
    "ads": [
        {**record, "spend": "9.99"} if record["date"] > "2026-06-03" else record
        for record in DAY_1["ads"][1:]
    ],
    "drops": {"a.csv": [{"event_id": str(n)} for n in range(5, 12)], "c.csv": [{"event_id": "c"}]},
}
KILLS = 30


class Worker:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.worker"],
            cwd=PROJECT_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def load(
        self,
        folder: Path,
        data: dict[str, Any],
        kill: dict[str, Any] | None = None,
        days: tuple[str, str] | None = None,
    ) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        command = {"folder": str(folder), "data": data, "kill": kill, "days": days}
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    running = Worker()
    yield running
    running.end()


@pytest.fixture(scope="module")
def base(worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], float]:
    """(a data folder after day 1, the content after an undisturbed day 2, the seconds that day 2 took)."""
    folder = tmp_path_factory.mktemp("kills") / "day_1"
    assert worker.load(folder, DAY_1) == 0
    other = folder.with_name("undisturbed")
    shutil.copytree(folder, other)
    started = time.monotonic()
    assert worker.load(other, DAY_2) == 0
    return folder, content(Paths(other)), time.monotonic() - started


def recovered(worker: Worker, base: Path, kills: list[dict[str, Any]]) -> tuple[list[int], dict[str, Any]]:
    """Day 2, killed so many times in a row: the exit statuses, and the content after the run that follows."""
    folder = base.with_name("killed")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base, folder)
    statuses = [worker.load(folder, DAY_2, kill) for kill in kills]
    assert worker.load(folder, DAY_2) == 0
    paths = Paths(folder)
    assert leftovers(paths) == []
    return statuses, content(paths)


KEYS = {
    "contacts": "source_relation, contact_id",
    "ads": "source_relation, date, campaign_id, country",
    "drops": "source_relation, _slice, event_id",
    "_quarantine": "quarantine_id",
    "_slices": "source_relation, resource, slice",
}


def leftovers(paths: Paths) -> list[str]:
    """What kills leave where nothing cleans up: keys that stand twice, rows of loads that were never done,
    and child tables, whose rows could lose their parents."""
    found = []
    tables = {
        name
        for (name,) in rows(
            paths, "select table_name from information_schema.tables where table_schema = 'raw_toy'"
        )
    }
    found += sorted(name for name in tables - set(KEYS) if not name.startswith("_dlt"))
    for table, key in KEYS.items():
        if rows(paths, f"select {key} from raw_toy.{table} group by all having count(*) > 1"):
            found.append(f"{table}: duplicate keys")
        committed = "select load_id from raw_toy._dlt_loads where status = 0"
        if rows(paths, f"select 1 from raw_toy.{table} where _dlt_load_id not in ({committed})"):
            found.append(f"{table}: orphans")
    return found


def test_row_01_seeded_kills_at_any_moment(worker: Worker, base: tuple[Path, dict[str, Any], float]) -> None:
    folder, expected, seconds = base
    chance = random.Random(7)
    moments = [chance.uniform(0.02, 0.9) * seconds for _ in range(KILLS)]
    statuses = []
    for start in range(0, KILLS, 5):
        chain = sorted(moments[start : start + 5])
        found_statuses, found = recovered(worker, folder, [{"after": moment} for moment in chain])
        assert found == expected, f"killed after {chain} s"
        statuses += found_statuses
    assert statuses.count(-9) >= KILLS // 2
    children = psutil.Process(worker.process.pid).children(recursive=True)
    assert children == []


def test_row_02_kills_right_after_each_commit(
    worker: Worker, base: tuple[Path, dict[str, Any], float]
) -> None:
    folder, expected, _ = base
    statuses: list[int] = []
    while 0 not in statuses:
        first = len(statuses) + 1
        found_statuses, found = recovered(worker, folder, [{"job": job} for job in range(first, first + 3)])
        assert found == expected, f"killed after the jobs {first} to {first + 2}"
        statuses += found_statuses
    assert statuses.count(-9) >= 8, "copies and merges of every table"


def test_a_kill_in_the_first_load_of_all(
    worker: Worker, base: tuple[Path, dict[str, Any], float], tmp_path: Path
) -> None:
    folder = tmp_path / "killed"
    folder.mkdir()
    shutil.copy(base[0] / "pseudonym.key", folder / "pseudonym.key")
    assert worker.load(folder, DAY_1, {"job": 2}) == -9
    assert worker.load(folder, DAY_1, {"job": 7}) == -9
    assert worker.load(folder, DAY_1) == 0
    assert content(Paths(folder)) == content(Paths(base[0]))


def test_row_22_a_backfill_at_the_same_time_as_a_run(
    worker: Worker, base: tuple[Path, dict[str, Any], float]
) -> None:
    """Two processes at once, several times over: one after the other, and the same as one run alone."""
    folder, expected, _ = base
    both = folder.with_name("both")
    shutil.copytree(folder, both)
    other = Worker()
    with ThreadPoolExecutor() as pool:
        for _ in range(3):
            loads = [
                pool.submit(worker.load, both, DAY_2),
                pool.submit(other.load, both, DAY_2, None, ("2026-06-02", "2026-06-04")),
            ]
            assert [load.result() for load in loads] == [0, 0]
            assert leftovers(Paths(both)) == []
    assert content(Paths(both)) == expected
    other.end()


def test_row_20_no_room_to_write(worker: Worker, base: tuple[Path, dict[str, Any], float]) -> None:
    folder, expected, _ = base
    size = (folder / "warehouse.duckdb").stat().st_size
    statuses, found = recovered(worker, folder, [{"file_size": 600}, {"file_size": size + 1}])
    assert 1 in statuses
    assert found == expected


def test_row_21_an_orphan_keeps_the_lock(tmp_path: Path) -> None:
    """A child inherits the lock; its parent is killed; the retry waits until the orphan has ended."""
    paths = Paths.from_environment(tmp_path / "data").create()
    orphan_file = tmp_path / "orphan"
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys, time\n"
            "from pathlib import Path\n"
            "from ingestion.settings import Paths\n"
            "from ingestion.warehouse import pass_lock, writer_lock\n"
            "paths = Paths(Path(sys.argv[1]))\n"
            "with writer_lock(paths):\n"
            "    child = subprocess.Popen(['sleep', '60'], pass_fds=pass_lock(paths))\n"
            "    Path(sys.argv[2]).write_text(str(child.pid))\n"
            "    time.sleep(60)\n",
            str(paths.data_dir),
            str(orphan_file),
        ],
        cwd=PROJECT_ROOT,
    )
    for _ in range(300):
        if orphan_file.exists() and orphan_file.read_text():
            break
        time.sleep(0.1)
    orphan = psutil.Process(int(orphan_file.read_text()))
    parent.kill()
    parent.wait(10)
    try:
        with (
            pytest.raises(
                WarehouseBusy, match=rf"process {parent.pid}, since .* Wait until it has ended"
            ) as busy,
            writer_lock(paths),
        ):
            pass
        assert "\n" not in str(busy.value)
    finally:
        orphan.kill()
    with writer_lock(paths, wait=10):
        assert len(pass_lock(paths)) == 1


def test_a_child_works_under_its_parents_lock(tmp_path: Path) -> None:
    paths = Paths.from_environment(tmp_path / "data")
    code = (
        "import sys\nfrom pathlib import Path\nfrom ingestion.settings import Paths\n"
        "from ingestion.warehouse import writer_lock\n"
        "with writer_lock(Paths(Path(sys.argv[1]))): print('in')\n"
    )
    command = [sys.executable, "-c", code, str(paths.data_dir)]
    with writer_lock(paths), writer_lock(paths):
        inside = subprocess.run(
            command, cwd=PROJECT_ROOT, pass_fds=pass_lock(paths), capture_output=True, text=True, check=False
        )
        outside = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert inside.stdout == "in\n"
    assert outside.returncode != 0
    assert "WarehouseBusy" in outside.stderr
