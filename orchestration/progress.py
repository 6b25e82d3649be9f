"""How far a run is: the steps report here, the command line listens.

Without a listener (a run that Dagster's daemon started) a report goes nowhere; Dagster's own event log has
the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Report:
    """One line of progress: `done` of `total` where they are known; `finished` closes the phase."""

    phase: str
    message: str = ""
    done: int | None = None
    total: int | None = None
    finished: bool = False


_listeners: list[Callable[[Report], None]] = []


def report(
    phase: str, message: str = "", done: int | None = None, total: int | None = None, finished: bool = False
) -> None:
    """Tell whoever listens how far `phase` is."""
    for listener in _listeners:
        listener(Report(phase, message, done, total, finished))


@contextmanager
def listening(listener: Callable[[Report], None]) -> Iterator[None]:
    """Have `listener` called with every report while the block runs."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
