"""The real invoice lines through `files` into raw: every published figure of that data, to the cent.

The file's place is given by ONLINE_RETAIL_DIR, or it lies beside the checkout as in CI.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ingestion.files.manifest import Manifest, read_manifest
from ingestion.settings import PROJECT_ROOT, Connection, Paths
from ingestion.warehouse import LoadReport, connect, load, writer_lock

MANIFEST = PROJECT_ROOT / "examples" / "online_retail" / "manifest.yml"


def place_of_the_data() -> Path:
    """ONLINE_RETAIL_DIR, else `shared/data/online_retail` beside the checkout."""
    return Path(
        os.environ.get("ONLINE_RETAIL_DIR") or PROJECT_ROOT.parent / "shared" / "data" / "online_retail"
    )


def connection_of(manifest: Manifest) -> Connection:
    return Connection("files", "main", (manifest.name,), manifest.entities, {"manifest": str(manifest.file)})


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Paths, Connection, LoadReport]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONLINE_RETAIL_DIR", str(place_of_the_data()))
        manifest = read_manifest(MANIFEST)
        paths = Paths.from_environment(tmp_path_factory.mktemp("online_retail"))
        connection = connection_of(manifest)
        with writer_lock(paths):
            yield paths, connection, load(paths, connection, ["revenue_events"], as_of=manifest.as_of)


def query(paths: Paths, sql: str) -> list[tuple[Any, ...]]:
    with connect(paths) as con:
        return con.sql(sql).fetchall()


def test_every_line_is_loaded_quarantined_or_filtered(loaded: tuple[Paths, Connection, LoadReport]) -> None:
    paths, _, report = loaded
    with gzip.open(place_of_the_data() / "online_retail.csv.gz", "rb") as stream:
        lines = sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b"")) - 1
    table = report.tables["revenue_events"]
    assert lines == 541_909
    assert table.rows_in == lines == table.good + table.quarantined + sum(table.filtered.values())
    assert table.good == lines
    assert query(
        paths, "select count(*), min(_line), max(_line), count(distinct _line) from raw_files.revenue_events"
    ) == [(lines, 2, lines + 1, lines)]


def test_the_published_figures(loaded: tuple[Paths, Connection, LoadReport]) -> None:
    paths, *_ = loaded
    assert query(
        paths,
        """
        select count(*), count(distinct order_id), count(distinct customer_id), count(distinct country),
            sum(amount), count(*) filter (customer_id is null), count(*) filter (customer_id like '%.%')
        from raw_files.revenue_events
        """,
    ) == [(541_909, 25_900, 4_372, 38, Decimal("9747747.9340"), 135_080, 0)]
    assert query(
        paths,
        "select event_type, count(*), sum(amount) from raw_files.revenue_events where event_type <> "
        "'order' group by 1 order by 1",
    ) == [("invoice", 3, Decimal("-11062.0600")), ("refund", 9_288, Decimal("-896812.4900"))]
    assert query(
        paths,
        """
        select count(*), count(distinct customer_id), sum(amount) from raw_files.revenue_events
        where customer_id is not null and quantity > 0
        """,
    ) == [(397_924, 4_339, Decimal("8911407.9040"))]
    repeats = """
        select sum(lines - 1) from (
            select count(*) as lines from raw_files.revenue_events
            group by order_id, product_id, product_name, quantity, occurred_at, amount, customer_id, country
        )
    """
    assert query(paths, repeats) == [(5_268,)]


def test_the_published_cohorts(loaded: tuple[Paths, Connection, LoadReport]) -> None:
    paths, *_ = loaded
    found = query(
        paths,
        """
        with active as (
            select distinct customer_id, date_trunc('month', occurred_at) as month
            from raw_files.revenue_events
            where customer_id is not null and quantity > 0 and amount > 0
        ), firsts as (select customer_id, min(month) as cohort from active group by 1)
        select strftime(cohort, '%Y-%m'), list(customers order by month) from (
            select cohort, month, count(*) as customers
            from active join firsts using (customer_id) group by 1, 2
        ) group by cohort order by cohort limit 4
        """,
    )
    assert found == [
        ("2010-12", [885, 324, 286, 340, 321, 352, 321, 309, 313, 350, 331, 445, 235]),
        ("2011-01", [417, 92, 111, 96, 134, 120, 103, 101, 125, 136, 152, 49]),
        ("2011-02", [380, 71, 71, 108, 103, 94, 96, 106, 94, 116, 26]),
        ("2011-03", [452, 68, 114, 90, 101, 76, 121, 104, 126, 39]),
    ]


def test_the_second_run_reads_nothing(loaded: tuple[Paths, Connection, LoadReport]) -> None:
    paths, connection, _ = loaded
    before = query(paths, "select count(*), max(_dlt_load_id) from raw_files.revenue_events")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONLINE_RETAIL_DIR", str(place_of_the_data()))
        report = load(paths, connection, ["revenue_events"])
    assert report.rows_in == 0
    assert query(paths, "select count(*), max(_dlt_load_id) from raw_files.revenue_events") == before
