"""Real invoice lines through the whole line: the published figures of that data come out.

The data is not part of the project; its place is given by ONLINE_RETAIL_DIR. Without it this file says so
and a newcomer's `make test` goes on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from ingestion.settings import PROJECT_ROOT, Paths
from tests.integration.support import tables
from tests.integration.test_published_figures import IN_SCOPE, rows

MANIFEST = PROJECT_ROOT / "examples" / "online_retail" / "manifest.yml"
FOLDER = os.environ.get("ONLINE_RETAIL_DIR", "")
COHORTS = {
    "2010-12-01": [885, 324, 286, 340, 321, 352, 321, 309, 313, 350, 331, 445, 235],
    "2011-01-01": [417, 92, 111, 96, 134, 120, 103, 101, 125, 136, 152, 49],
    "2011-02-01": [380, 71, 71, 108, 103, 94, 96, 106, 94, 116, 26],
    "2011-03-01": [452, 68, 114, 90, 101, 76, 121, 104, 126, 39],
}

pytestmark = pytest.mark.skipif(
    not FOLDER,
    reason="set ONLINE_RETAIL_DIR to the folder of online_retail.csv.gz (examples/online_retail/README.md)",
)


@pytest.fixture(scope="module")
def retail(tmp_path_factory: pytest.TempPathFactory) -> tuple[Paths, Path]:
    """The real lines, loaded, built and published by the command that the README states."""
    folder = tmp_path_factory.mktemp("retail")
    environment = {**os.environ, "FUNNELHOUSE_DATA_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "run", "--systems", "files", "--manifest", str(MANIFEST)],
        env=environment,
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Paths(folder), Paths(folder).published


@pytest.fixture
def marts(retail: tuple[Paths, Path]) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(str(retail[1]), read_only=True)
    yield connection
    connection.close()


def test_lines_in_are_loaded_or_quarantined(retail: tuple[Paths, Path]) -> None:
    connection = duckdb.connect(str(retail[0].warehouse), read_only=True)
    loaded = rows(connection, "select count(*) as n from raw_files.revenue_events")[0]["n"]
    refused = rows(connection, "select count(*) as n from raw_files._quarantine")[0]["n"]
    connection.close()
    assert loaded + refused == 541_909
    assert refused == 0


def test_all_marts_are_there(marts: duckdb.DuckDBPyConnection) -> None:
    assert set(tables(marts)) >= IN_SCOPE


def test_revenue_and_cancellations_to_the_cent(marts: duckdb.DuckDBPyConnection) -> None:
    """The sum over all lines, and cancellations and bad debt apart."""
    reconciled = rows(
        marts,
        "select sum(source_total) as source, sum(warehouse_total) as warehouse"
        " from trust.source_reconciliation where entity = 'revenue_events' and measure = 'amount'",
    )[0]
    assert reconciled["source"] == reconciled["warehouse"] == Decimal("9747747.9340")


def test_cohorts_of_active_equal_the_published_table(marts: duckdb.DuckDBPyConnection) -> None:
    found = rows(
        marts,
        "select cohort_period, periods_since, active from retention.retention_cohorts"
        " where period_grain = 'month' and basis = 'customers' and segment = 'all'"
        " order by cohort_period, periods_since",
    )
    by_cohort: dict[str, list[int]] = {}
    for row in found:
        by_cohort.setdefault(str(row["cohort_period"]), []).append(row["active"])
    assert {cohort: by_cohort.get(cohort) for cohort in COHORTS} == COHORTS
