"""What the command line draws: status lines and bars while a run goes on, and error lines.

Dagster captures this process's standard output and error while a step runs (the UI shows them), so the
display writes to duplicates of the descriptors that were there before.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from orchestration import progress


def _duplicate(stream: IO[str]) -> IO[str]:
    try:
        return os.fdopen(os.dup(stream.fileno()), "w", encoding="utf-8", buffering=1)
    except (OSError, ValueError):  # a captured stream without a descriptor
        return stream


def make_console(error: bool = False) -> Console:
    """A console that no later redirection reaches."""
    console = Console(file=_duplicate(sys.stderr if error else sys.stdout), soft_wrap=error, highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 120)
    return console


@contextmanager
def run_display(console: Console, title: str) -> Iterator[None]:
    """Show the phases of a run: bars on a terminal, one line a finished phase elsewhere."""
    if console.is_terminal:
        with _bars(console, title):
            yield
    else:
        with _lines(console, title):
            yield


@contextmanager
def _lines(console: Console, title: str) -> Iterator[None]:
    console.print(title)
    begun: dict[str, float] = {}

    def listener(report: progress.Report) -> None:
        start = begun.setdefault(report.phase, time.monotonic())
        if report.finished:
            console.print(f"  {report.phase:<15} {report.message} ({time.monotonic() - start:.1f} s)")
            begun.pop(report.phase)

    with progress.listening(listener):
        yield


@contextmanager
def _bars(console: Console, title: str) -> Iterator[None]:
    console.print(f"[bold]{title}[/bold]")
    columns = (
        SpinnerColumn(finished_text="[green]✓[/green]"),
        TextColumn("{task.fields[phase]:<15}"),
        BarColumn(bar_width=24),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, redirect_stdout=False, redirect_stderr=False) as bars:
        tasks: dict[str, TaskID] = {}

        def listener(report: progress.Report) -> None:
            task = tasks.get(report.phase)
            if task is None:
                task = tasks[report.phase] = bars.add_task(report.message, total=None, phase=report.phase)
            if report.finished:
                total = bars.tasks[bars.task_ids.index(task)].total or 1
                bars.update(task, description=report.message, total=total, completed=total)
                tasks.pop(report.phase)
            else:
                bars.update(
                    task, description=report.message[:60], total=report.total, completed=report.done or 0
                )

        with progress.listening(listener):
            yield
