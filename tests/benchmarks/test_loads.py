"""Throughput of loading: pages of JSON to raw tables beside DuckDB's read_json on the same pages, and Parquet
files through the system `files` beside COPY.

Both sides end in a table in a DuckDB file. Ours also validates every value, compares with what is stored,
makes pseudonyms of addresses, looks for addresses in texts, and goes through dlt's load packages; what that
costs is what the ratio says.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from tests.benchmarks.harness import Measured, Row, measure, record

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

RECORDS = int(os.environ.get("FUNNELHOUSE_BENCH_RECORDS", "500_000"))
PAGE_RECORDS = 1_000
AS_OF = datetime(2026, 7, 1, 3, tzinfo=UTC)
PLAIN = """
    'r' || i as id,
    strftime(timestamp '2026-01-01' + to_seconds(i), '%Y-%m-%dT%H:%M:%S.000Z') as "updatedAt",
    cast(date '2026-01-01' + cast(i % 90 as int) as varchar) as day,
    'Campaign ' || (i % 500) as campaign,
    (i % 10000) / 100 as spend,
    i % 997 as clicks,
    'NL' as country,
    'ad ' || i as name
"""
PERSONAL = (
    PLAIN
    + """,
    'person' || i || '@company' || (i % 5000) || '.example' as email,
    '+3161' || lpad(cast(i as varchar), 7, '0') as phone,
    'https://shop.example/p' || (i % 997) || '?utm_source=google' as page
"""
)


def write_pages(folder: Path, columns: str) -> Path:
    """Pages of a list API, one file each: {"results": [...]}."""
    pages = folder / "pages"
    pages.mkdir()
    with duckdb.connect() as con:
        found = con.execute(
            f"""
            select to_json(list(r)) from (
                select i, struct_pack({", ".join(f'"{name}" := "{name}"' for name in _names(columns))}) as r
                from (select i, {columns} from range({RECORDS}) as t(i))
            ) group by i // {PAGE_RECORDS} order by i // {PAGE_RECORDS}
            """
        )
        number = 0
        while row := found.fetchone():
            (pages / f"{number:05}.json").write_text('{"results":' + row[0] + "}")
            number += 1
    return pages


def _names(columns: str) -> list[str]:
    with duckdb.connect() as con:
        return con.sql(f"select {columns} from range(1) as t(i)").columns


def prepare_ours(pages: str, has_personal: bool) -> Callable[[], int]:
    """A load of the pages through validation, pseudonyms and dlt, into a fresh data folder each time."""
    from ingestion.records import Column, Table
    from ingestion.settings import Connection, Paths
    from ingestion.sources import Context, Page, Resource, System
    from ingestion.warehouse import connect, load, writer_lock

    personal = (Column("email", "email"), Column("phone", "phone"), Column("page"))
    table = Table(
        "records",
        columns=(
            Column("id", required=True),
            Column("updated_at", "timestamp", path="updatedAt", required=True),
            Column("day", "date"),
            Column("campaign"),
            Column("spend", "money"),
            Column("clicks", "bigint"),
            Column("country"),
            Column("name"),
            *(personal if has_personal else ()),
        ),
        key=("id",),
        cursor="updated_at",
    )
    bodies = [file.read_bytes() for file in sorted(Path(pages).glob("*.json"))]

    def extract(_: Context) -> Iterator[Page]:
        for body in bodies:
            yield Page("records", body=body, at="results")

    system = System("bench", (Resource("records", (table,), extract),), check=lambda _: "")

    def run() -> int:
        folder = Path(tempfile.mkdtemp(dir=Path(pages).parent))
        paths = Paths(folder).create()
        with writer_lock(paths):
            report = load(paths, Connection("bench", accounts=("1",)), system=system, as_of=AS_OF)
            with connect(paths) as con:
                con.execute("checkpoint")
        shutil.rmtree(folder)
        return report.good

    return run


def prepare_read_json(pages: str) -> Callable[[], int]:
    """DuckDB's own reader on the same pages, into a table of its own types."""

    def run() -> int:
        folder = Path(tempfile.mkdtemp(dir=Path(pages).parent))
        with duckdb.connect(str(folder / "w.duckdb")) as con:
            con.execute(
                "create table records as select r.* from"
                f" (select unnest(results) as r from read_json('{pages}/*.json'))"
            )
            con.execute("checkpoint")
            [(count,)] = con.execute("select count(*) from records").fetchall()
        shutil.rmtree(folder)
        return int(count)

    return run


MANIFEST = {
    "version": 1,
    "name": "bench",
    "currency": "EUR",
    "entities": {
        "web_events": [
            {
                "path": "*.parquet",
                "columns": {
                    "event_id": "id",
                    "occurred_at": "occurred_at",
                    "anonymous_id": "cookie",
                    "event_name": "name",
                    "page_url": "page",
                    "value": "value",
                    "country": "country",
                },
            }
        ]
    },
}


def write_parquet(folder: Path) -> Path:
    """Web events in four files, with a manifest beside them."""
    drop = folder / "drop"
    drop.mkdir()
    (drop / "manifest.yml").write_text(json.dumps(MANIFEST))  # JSON is YAML
    with duckdb.connect() as con:
        for part in range(4):
            con.execute(
                f"""
                copy (
                    select
                        'e' || i as id,
                        timestamp '2026-01-01' + to_seconds(i) as occurred_at,
                        'c' || (i % 50000) as cookie,
                        case i % 5 when 0 then 'session_start' else 'page_view' end as name,
                        'https://shop.example/p' || (i % 997) as page,
                        cast(i % 100 as decimal(19, 4)) as value,
                        'NL' as country
                    from range({part * RECORDS // 2}, {(part + 1) * RECORDS // 2}) as t(i)
                ) to '{drop}/part{part}.parquet' (format parquet)
                """
            )
    return drop


def prepare_files(drop: str) -> Callable[[], int]:
    """The drop through the system `files`, into a fresh data folder each time."""
    from ingestion.settings import Connection, Paths
    from ingestion.warehouse import connect, load, writer_lock

    connection = Connection("files", entities=("web_events",), options={"manifest": f"{drop}/manifest.yml"})

    def run() -> int:
        folder = Path(tempfile.mkdtemp(dir=Path(drop).parent))
        paths = Paths(folder).create()
        with writer_lock(paths):
            report = load(paths, connection, ["web_events"], as_of=AS_OF)
            with connect(paths) as con:
                con.execute("checkpoint")
        shutil.rmtree(folder)
        return report.good

    return run


def prepare_copy(drop: str) -> Callable[[], int]:
    """COPY of the same files into a table of the same columns."""

    def run() -> int:
        folder = Path(tempfile.mkdtemp(dir=Path(drop).parent))
        with duckdb.connect(str(folder / "w.duckdb")) as con:
            con.execute(f"create table events as from read_parquet('{drop}/*.parquet') limit 0")
            con.execute(f"copy events from '{drop}/*.parquet' (format parquet)")
            con.execute("checkpoint")
            [(count,)] = con.execute("select count(*) from events").fetchall()
        shutil.rmtree(folder)
        return int(count)

    return run


def keep(key: str, what: str, ours: Measured, other: Measured, target: float, note: str) -> None:
    """A row of CPU over CPU."""
    rate = ours.result / ours.wall_seconds / 1000
    record(
        Row(
            key,
            what,
            f"{ours.cpu_seconds:.1f} s CPU, {ours.wall_seconds:.1f} s, {ours.peak_mb:,.0f} MB",
            f"{other.cpu_seconds:.1f} s CPU, {other.wall_seconds:.1f} s, {other.peak_mb:,.0f} MB",
            ours.cpu_seconds / other.cpu_seconds,
            target=target,
            note=f"{note}; {rate:,.0f} thousand a second",
        )
    )


@pytest.mark.parametrize(
    ("key", "columns", "title"),
    [
        ("loads 1 pages", PLAIN, "records without personal data"),
        ("loads 2 pages", PERSONAL, "records with an e-mail address and a telephone number each"),
    ],
    ids=["plain", "personal"],
)
def test_pages_to_raw(tmp_path: Path, key: str, columns: str, title: str) -> None:
    pages = write_pages(tmp_path, columns)
    other = measure(prepare_read_json, str(pages))
    ours = measure(prepare_ours, str(pages), columns is PERSONAL)
    assert ours.result == other.result == RECORDS
    what = f"JSON pages to raw, {RECORDS / 1e3:g} thousand {title}: CPU over DuckDB's read_json"
    keep(key, what, ours, other, 1.5, "ours validates, compares, merges by key, through dlt")


def test_parquet_to_raw(tmp_path: Path) -> None:
    drop = write_parquet(tmp_path)
    other = measure(prepare_copy, str(drop))
    ours = measure(prepare_files, str(drop))
    assert ours.result == other.result == 2 * RECORDS
    what = f"Parquet files to raw, {2 * RECORDS / 1e6:g} M web events: CPU over COPY"
    keep("loads 3 parquet", what, ours, other, 2.0, "ours has all canonical columns, file and line")
