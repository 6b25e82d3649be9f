"""The benchmark harness itself: what it measures and what it writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks import harness
from tests.benchmarks.harness import Row, measure, record

MEGABYTES = 200


def prepare_work(count: int) -> Callable[[], int]:
    """A job that keeps some memory and some CPU busy."""

    def work() -> int:
        block = bytearray(MEGABYTES * 2**20)
        block[::4096] = b"x" * len(block[::4096])
        return sum(range(count))

    return work


def prepare_failure() -> Callable[[], int]:
    """A job that fails."""

    def work() -> int:
        raise ValueError("no input")

    return work


def test_cpu_and_peak_memory_are_those_of_the_job() -> None:
    small, large = measure(prepare_work, 1_000), measure(prepare_work, 8_000_000)
    assert large.result == sum(range(8_000_000))
    assert large.cpu_seconds > small.cpu_seconds
    assert MEGABYTES < small.peak_mb < 3 * MEGABYTES


def test_a_failing_job_says_why() -> None:
    with pytest.raises(RuntimeError, match="prepare_failure failed: ValueError: no input"):
        measure(prepare_failure)


def test_rows_are_kept_by_key_and_shown_between_the_markers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(f"# Title\n{harness.BEGIN}\nold\n{harness.END}\nafter\n")
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(harness, "PAGE", page)
    record(Row("b", "second | work", "2 s", "1 s", 2.0, target=1.5))
    record(Row("a", "first work", "1 s", "2 s", 0.5, target=1.0))
    record(Row("b", "second | work", "1 s", "1 s", 1.0, target=1.5))
    text = page.read_text()
    assert text.startswith("# Title\n")
    assert text.endswith(f"{harness.END}\nafter\n")
    assert "old" not in text
    lines = [line for line in text.splitlines() if line.startswith(("| first", "| second"))]
    assert [line.split(" | 1 s | ")[0] for line in lines] == ["| first work", "| second \\| work"]
    assert "<= 1.5: met" in lines[1]
    record(Row("b", "second | work", "2 s", "1 s", 2.0, target=1.5))
    assert "<= 1.5: **missed**" in page.read_text()
