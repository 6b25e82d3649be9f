"""A daily run over a long history: beside the same day's over a short one, and beside a run from scratch.

The event-grain path (unions, identity, sessions, touchpoints, conversions, attribution) is what the targets
speak of; the whole project with its reports, most of which add up all history each day, is a row of its own.
Set FUNNELHOUSE_BENCH_MILLIONS for other histories than 1 and 10 million events (`1,50` takes three quarters
of an hour and 60 GB of disk).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ingestion.settings import Paths
from tests.benchmarks import history
from tests.benchmarks.harness import Measured, Row, measure, record

pytestmark = [pytest.mark.bench, pytest.mark.timeout(36_000)]

MILLIONS = tuple(int(n) for n in os.environ.get("FUNNELHOUSE_BENCH_MILLIONS", "1,10").split(","))
COMPARED = ("core", "attribution", "funnel", "retention", "trust")


@dataclass(frozen=True)
class Size:
    """What was measured over one history."""

    millions: int
    full: Measured  # from scratch
    daily: Measured  # the day after
    rebuilt: Measured  # from scratch again, that day included, with little memory
    differences: list[str]  # between the last two


def prepare_run(folder: Path, day: int, full_refresh: bool) -> Callable[[], history.Run]:
    """Parse first: it is not what is measured."""
    from orchestration import transform

    paths = Paths(folder)
    transform.prepare(paths)
    return lambda: history.run(paths, day, full_refresh=full_refresh)


def _run(folder: Path, day: int, full_refresh: bool = False, memory: str = "16GB") -> Measured:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUNNELHOUSE_MEMORY_LIMIT", memory)
        found = measure(prepare_run, folder, day, full_refresh, warm=0)
    assert found.result.is_full_refresh == full_refresh
    return found


def _measure(folder: Path, millions: int) -> Size:
    """A run from scratch, a day later a daily run, and then from scratch again with 2 GB of memory."""
    paths = history.folder(folder)
    days = millions * 1_000_000 // history.EVENTS_PER_DAY
    history.load_days(paths, 0, days, load=1)
    full = _run(folder, days - 1, full_refresh=True)
    history.load_days(paths, days, days + 1, load=2)
    again = Paths(folder.with_name(f"{folder.name}_again"))
    shutil.copytree(folder, again.data_dir)
    daily = _run(folder, days)
    rebuilt = _run(again.data_dir, days, full_refresh=True, memory="2GB")
    differences = history.differing_tables(paths, again, COMPARED)
    shutil.rmtree(again.data_dir)
    return Size(millions, full, daily, rebuilt, differences)


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> list[Size]:
    found = []
    for millions in MILLIONS:
        folder = tmp_path_factory.mktemp("history") / f"m{millions}"
        found.append(_measure(folder, millions))
        shutil.rmtree(folder)
    return found


def _text(found: Measured) -> str:
    return f"{found.cpu_seconds:.1f} s CPU, {found.wall_seconds:.1f} s"


def test_a_daily_run_stays_flat_as_history_grows(sizes: list[Size]) -> None:
    first, last = sizes[0], sizes[-1]
    for size in sizes[1:]:
        today, before = size.daily.result, first.daily.result
        longest = sorted(today.path, key=today.path.__getitem__, reverse=True)[:4]
        record(
            Row(
                key=f"run 1 daily {size.millions:03d}M",
                what=f"a day's run, event-grain path, after {size.millions}M events beside {first.millions}M",
                ours=f"{today.path_seconds:.1f} s",
                other=f"{before.path_seconds:.1f} s",
                ratio=today.path_seconds / before.path_seconds,
                target=2.0,
                note="longest: " + ", ".join(f"{name} {today.path[name]:.1f} s" for name in longest),
            )
        )
        rest = {name: seconds for name, seconds in today.nodes.items() if name not in today.path}
        longest = sorted(rest, key=rest.__getitem__, reverse=True)[:4]
        record(
            Row(
                key=f"run 3 daily whole {size.millions:03d}M",
                what=f"a day's run, all models, after {size.millions}M events beside {first.millions}M",
                ours=_text(size.daily),
                other=_text(first.daily),
                ratio=size.daily.wall_seconds / first.daily.wall_seconds,
                note="reports over all history, longest: "
                + ", ".join(f"{name} {rest[name]:.1f} s" for name in longest),
            )
        )
    record(
        Row(
            key=f"run 2 daily over full {last.millions:03d}M",
            what=f"a day's run beside a run from scratch, event-grain path, {last.millions}M events",
            ours=f"{last.daily.result.path_seconds:.1f} s",
            other=f"{last.full.result.path_seconds:.1f} s",
            ratio=last.daily.result.path_seconds / last.full.result.path_seconds,
            target=0.02,
            note=f"{len(last.daily.result.path)} nodes, 0.03 to 0.05 s each for dbt; the target means 50M",
        )
    )


def test_a_daily_run_equals_a_run_from_scratch(sizes: list[Size]) -> None:
    assert {size.millions: size.differences for size in sizes} == {size.millions: [] for size in sizes}


def test_two_gigabytes_are_enough(sizes: list[Size]) -> None:
    """A run from scratch with a memory limit spills, and costs little more than one without.

    The limited one has a day more; its rows are those that the test above compares.
    """
    last = sizes[-1]
    record(
        Row(
            key=f"run 4 memory {last.millions:03d}M",
            what=f"a run from scratch with memory_limit 2 GB beside 16 GB, {last.millions}M events",
            ours=f"{_text(last.rebuilt)}, peak {last.rebuilt.peak_mb:.0f} MB",
            other=f"{_text(last.full)}, peak {last.full.peak_mb:.0f} MB",
            ratio=last.rebuilt.wall_seconds / last.full.wall_seconds,
            target=1.3,
        )
    )


def prepare_plain(folder: Path) -> Callable[[], None]:
    """dbt and the publication alone, tests included."""
    from ingestion.warehouse import connect
    from orchestration import ledger, publication, transform
    from orchestration.resources import moment_of_run

    paths = Paths(folder)
    transform.prepare(paths)

    def job() -> None:
        con = connect(paths)
        moment, digest = moment_of_run(paths), transform.settings_hash(paths)
        started = ledger.begin_build(con, "plain", moment, digest, full_refresh=True)
        con.close()
        transform.build(paths, full_refresh=True).raise_on_failure()
        con = connect(paths)
        ledger.mark_passed(con, started)
        publication.publish(con, paths.published)
        con.close()

    return job


def prepare_dagster(folder: Path) -> Callable[[], None]:
    """The same as a Dagster job: assets, checks, their metadata and the event log."""
    from orchestration import definitions, transform
    from orchestration.runner import execute
    from orchestration.schedules import BUILD_AND_PUBLISH

    assert definitions.build_defs  # imported: imports are not what is measured
    paths = Paths(folder)
    transform.prepare(paths)

    def job() -> None:
        outcome = execute(paths, BUILD_AND_PUBLISH, tags={"funnelhouse/full_refresh": "true"})
        assert outcome.success, outcome.failures

    return job


def test_dagster_adds_little_to_dbt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten days of events: what is measured is the cost of a node, not of its rows."""
    paths = history.folder(tmp_path / "data")
    history.load_days(paths, 0, 10, load=1)
    monkeypatch.setenv("FUNNELHOUSE_AS_OF", "2019-01-11T03:00:00Z")
    plain = measure(prepare_plain, paths.data_dir, warm=0)
    dagster = measure(prepare_dagster, paths.data_dir, warm=0)
    record(
        Row(
            key="run 5 dagster",
            what="build, audits and publication as a Dagster job beside the same by plain dbt",
            ours=_text(dagster),
            other=_text(plain),
            ratio=dagster.cpu_seconds / plain.cpu_seconds,
            target=1.5,
            note="CPU; 500,000 events",
        )
    )
