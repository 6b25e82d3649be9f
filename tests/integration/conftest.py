"""One sandbox and one built warehouse for all integration tests: building it is what takes time."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion.settings import Paths
from orchestration import demo
from orchestration.pipeline import Outcome
from sandbox.app import running
from sandbox.company import generate
from sandbox.company.drop import write as write_drop
from sandbox.environment import environment
from tests.integration.support import run_day, set_clock

LAST_DAY = dt.datetime(2026, 7, 1, 3, 0, 0)


@dataclass
class Sandbox:
    """The simulated company behind its servers, and its file drop, at a moment that tests can move."""

    company: Any
    base_url: str
    drop: Path

    def advance(self, moment: dt.datetime) -> None:
        set_clock(self.base_url, moment)
        write_drop(self.company, self.drop, moment)


@pytest.fixture(scope="session")
def company() -> Any:
    return generate("small")


@pytest.fixture(scope="package")  # its environment must not reach other packages' tests
def sandbox(company: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    drop = tmp_path_factory.mktemp("drop")
    patch = pytest.MonkeyPatch()
    with running(company, LAST_DAY) as base_url:
        for name, value in environment(base_url).items():
            patch.setenv(name, value)
        patch.setenv("SOURCES__FILES__MANIFEST", str(drop / "manifest.yml"))
        found = Sandbox(company, base_url, drop)
        found.advance(LAST_DAY)
        yield found
    patch.undo()


@dataclass
class Built:
    """A data folder on which one full run has been made, with all audits."""

    paths: Paths
    outcome: Outcome


@pytest.fixture(scope="package")
def built(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Built:
    sandbox.advance(LAST_DAY)
    paths = Paths(tmp_path_factory.mktemp("built"))
    outcome = run_day(paths, LAST_DAY, tests=True)
    if kept := os.environ.get("FUNNELHOUSE_KEEP_BUILT"):  # tests/browser look at the same file
        keep = Paths(Path(kept)).create()
        keep.published.parent.mkdir(exist_ok=True)
        # Whole or not at all: more than one process may build a warehouse.
        copy = Path(shutil.copy(paths.published, keep.published.with_suffix(f".{os.getpid()}")))
        copy.replace(keep.published)
        demo.claim(keep, "small", 7)
    return Built(paths, outcome)


@pytest.fixture
def published(built: Built) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(str(built.paths.published), read_only=True)
    yield connection
    connection.close()
