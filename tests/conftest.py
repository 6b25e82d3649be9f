"""How the tests share processes: a file's tests stay together, and so do the files on the built warehouse.

xdist's own groups are suffixes of a test's id, which pytest 9.2 does not let it set any more.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parents[1]
ON_THE_BUILT_WAREHOUSE = re.compile(r"[(,]\s*(built|published): (Built|duckdb)")

# Long by itself: on a warehouse of its own, beside the others.
APART = "test_simulated_days.py"


class ByFile(LoadScopeScheduling):
    """Hands out files; those that build upon one session's warehouse are one."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        config.option.loadscopereorder = False  # in the order of folders: what takes long comes early
        super().__init__(config, log)
        self.scopes: dict[str, str] = {}

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file not in self.scopes:
            text = (ROOT / file).read_text(encoding="utf-8")
            shares = ON_THE_BUILT_WAREHOUSE.search(text) and Path(file).name != APART
            self.scopes[file] = "built warehouse" if shares else file
        return self.scopes[file]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """What tests a page leaves another module as the main one, which a spawned process would then run."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before
