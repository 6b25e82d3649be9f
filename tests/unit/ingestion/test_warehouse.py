"""Opening the warehouse."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingestion.settings import Paths
from ingestion.warehouse import connect


def test_a_warehouse_that_has_spilled_opens_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB refuses to be given a spill folder once one has been used, even the same."""
    monkeypatch.setenv("FUNNELHOUSE_MEMORY_LIMIT", "40MB")
    paths = Paths(tmp_path)
    con = connect(paths)
    con.execute("set threads = 1")
    rows = "select md5(cast(range as varchar)) as a from range(2000000)"
    con.execute(f"create temp table sorted as {rows} order by a")
    assert list(paths.temp_dir.iterdir()), "nothing was spilled: the test shows nothing"
    connect(paths).close()
    con.close()
