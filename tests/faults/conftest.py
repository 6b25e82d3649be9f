"""Fixtures of the fault tests: a data folder of their own and a server that misbehaves on order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestion.settings import Paths
from ingestion.warehouse import writer_lock
from tests.faults.server import FaultServer, fault_server


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[Paths]:
    made = Paths.from_environment(tmp_path / "data")
    with writer_lock(made):
        yield made


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server() as running:
        yield running
