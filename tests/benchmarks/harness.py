"""Measuring and keeping benchmark results.

What belongs here: running a piece of work alone in a fresh process (CPU time of all its threads, wall time,
peak memory), and the record of rows that docs/benchmarks.md shows. What is measured stands in the test_*.py
files.

Rows are kept in results.json by key, so that running one benchmark renews its row and leaves the others;
the table in docs/benchmarks.md is written from that file. Times depend on the machine; the ratio of two
sides that ran in one test, one after the other on the same input, is what a target speaks of.
"""

from __future__ import annotations

import datetime as dt
import json
import multiprocessing
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from orchestration.pages import replace_between

RESULTS = Path(__file__).with_name("results.json")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- benchmarks: begin (written by `make bench`) -->", "<!-- benchmarks: end -->"
VERSIONS = ("duckdb", "dbt-core", "dbt-duckdb", "dagster", "marketing-attribution-models", "scipy", "numpy")


@dataclass(frozen=True)
class Measured:
    """One side: the best of its repeats, warm. `result` is what the work returned."""

    cpu_seconds: float
    wall_seconds: float
    peak_mb: float
    result: Any = None


@dataclass(frozen=True)
class Row:
    """One line of the table.

    `ratio` is ours over the other side's (or the larger history's over the smaller's); it meets its target
    when it is not above it. `target` None: no target is set, the figure is for information.
    """

    key: str  # orders the table and names the row for good, e.g. "attribution 2 memory"
    what: str
    ours: str
    other: str
    ratio: float
    target: float | None = None
    note: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the ratio is within the target."""
        return self.target is None or self.ratio <= self.target


def measure(
    prepare: Callable[..., Callable[[], Any]], *arguments: Any, warm: int = 1, repeats: int = 1
) -> Measured:
    """Run `prepare(*arguments)` in a fresh process, then its job: `warm` times, then measured.

    `prepare` (a function of a module: it is pickled) loads the input and imports what the job needs; neither
    counts. What the job returns must be picklable and small. Peak memory is that of the whole process while
    the job runs, its input included.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, prepare, arguments, warm, repeats))
    process.start()
    sender.close()
    try:
        kind, content = receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"{prepare.__name__} died with exit code {process.exitcode}") from None
    process.join()
    if kind == "error":
        raise RuntimeError(f"{prepare.__name__} failed: {content}")
    return Measured(**content)


def _child(
    sender: Any,
    prepare: Callable[..., Callable[[], Any]],
    arguments: tuple[Any, ...],
    warm: int,
    repeats: int,
) -> None:
    try:
        job = prepare(*arguments)
        for _ in range(warm):
            job()
        best: dict[str, Any] = {}
        for _ in range(repeats):
            _reset_peak()
            cpu, wall = time.process_time(), time.monotonic()
            result = job()
            found = {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.monotonic() - wall}
            if not best or found["cpu_seconds"] < best["cpu_seconds"]:
                best = {**found, "peak_mb": _peak_mb(), "result": result}
        sender.send(("measured", best))
    except BaseException as error:
        sender.send(("error", f"{type(error).__name__}: {error}"))
    finally:
        sender.close()


def _reset_peak() -> None:
    """Let the kernel forget the highest memory use so far (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def _peak_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmHWM")


def record(row: Row) -> None:
    """Keep a row in results.json, write docs/benchmarks.md anew, and print the row."""
    kept: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"rows": {}}
    kept["machine"] = machine()
    kept["versions"] = versions()
    kept["rows"][row.key] = {**asdict(row), "measured_on": dt.datetime.now(dt.UTC).date().isoformat()}
    kept["rows"] = dict(sorted(kept["rows"].items()))
    RESULTS.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write_page(kept)
    target = "no target" if row.target is None else f"target {row.target:g}"
    verdict = "" if row.target is None else (", met" if row.is_met else ", MISSED")
    print(f"\n{row.what}: {row.ours} / {row.other} = {row.ratio:.3g} ({target}{verdict})")


def write_page(kept: dict[str, Any]) -> None:
    """Put the table between the markers of docs/benchmarks.md."""
    lines = [
        f"Machine: {kept['machine']}. Versions: "
        + ", ".join(f"{name} {number}" for name, number in kept["versions"].items())
        + ".",
        "",
        "| what | ours | beside it | ratio | target | measured on | note |",
        "|---|---|---|---:|---|---|---|",
    ]
    for row in kept["rows"].values():
        target = "none"
        if row["target"] is not None:
            target = f"<= {row['target']:g}: " + ("met" if row["ratio"] <= row["target"] else "**missed**")
        cells = (
            row["what"],
            row["ours"],
            row["other"],
            f"{row['ratio']:.3g}",
            target,
            row["measured_on"],
            row["note"],
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    replace_between(PAGE, BEGIN, END, "\n".join(lines))


def machine() -> str:
    """Processor, cores, memory, system, Python."""
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    name = names[0] if names else platform.machine()
    cores = len(os.sched_getaffinity(0))
    return f"{name}, {cores} cores, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}"


def versions() -> dict[str, str]:
    """The versions of what is compared, where installed."""
    found = {}
    for name in VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
