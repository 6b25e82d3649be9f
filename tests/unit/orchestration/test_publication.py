"""Publishing: a reader sees the old or the new file, never a mixture or an error, not even at a kill -9."""

from __future__ import annotations

import datetime as dt
import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from orchestration import ledger, publication
from orchestration.errors import Problem
from orchestration.outlets import Parquet

AS_OF = dt.datetime(2026, 7, 1, 3)
TABLES = ("core.orders", "attribution.credits", "trust.totals")


def make_candidate(file: Path, version: int, rows: int = 1000) -> duckdb.DuckDBPyConnection:
    """A candidate whose tables all carry the same version, raw and ops data beside them, built and passed."""
    connection = duckdb.connect(str(file))
    for table in TABLES:
        schema = table.split(".")[0]
        connection.execute(f"create schema if not exists {schema}")
        connection.execute(
            f"create or replace table {table} as select {version} as version, range as id from range({rows})"
        )
    connection.execute("create schema if not exists raw_shop")
    connection.execute(
        "create or replace table raw_shop.orders as"
        f" select 'a@example.com' as email, '{version}.5' as _dlt_load_id"
    )
    ledger.prepare(connection)
    build = ledger.begin_build(connection, f"run-{version}", AS_OF, "hash")
    ledger.mark_passed(connection, build)
    return connection


def read_versions(file: Path) -> set[int]:
    """As a BI tool does: open, ask every table, close."""
    with duckdb.connect(str(file), read_only=True) as reader:
        return {
            row[0]
            for table in TABLES
            for row in reader.execute(f"select distinct version from {table}").fetchall()
        }


def test_published_file_holds_the_marts_only_and_is_read_only(tmp_path: Path) -> None:
    target = tmp_path / "published" / "funnelhouse.duckdb"
    connection = make_candidate(tmp_path / "warehouse.duckdb", 1)
    published = publication.publish(connection, target)
    assert published.rows == dict.fromkeys(sorted(TABLES), 1000)
    assert stat.S_IMODE(target.stat().st_mode) == 0o444
    assert list(target.parent.iterdir()) == [target]
    with duckdb.connect(str(target), read_only=True) as reader:
        schemas = {row[0] for row in reader.execute("select schema_name from duckdb_tables()").fetchall()}
        version = reader.execute(
            "select tags from duckdb_databases() where database_name = current_database()"
        ).fetchone()
    assert schemas == {"core", "attribution", "trust"}
    assert version is not None
    assert "v1.2.0" in str(version[0])


def test_published_file_says_what_it_holds_and_what_was_checked(tmp_path: Path) -> None:
    connection = make_candidate(tmp_path / "warehouse.duckdb", 1)
    build = ledger.begin_build(connection, "run-2", AS_OF, "hash")
    check = ledger.Check("a_rule", "unique", TABLES[0], "version", "No two rows alike.", True, "warn", 3)
    ledger.mark_passed(connection, build, [check])
    said = {TABLES[0]: "One customer's 'row'.", f"{TABLES[0]}.version": "Its version."}
    target = tmp_path / "published" / "funnelhouse.duckdb"
    publication.publish(connection, target, descriptions={**said, "core.elsewhere": "No such table."})
    with duckdb.connect(str(target), read_only=True) as reader:
        comments = reader.execute(
            "select schema_name || '.' || table_name, comment from duckdb_tables() where comment is not null"
            " union all select schema_name || '.' || table_name || '.' || column_name, comment"
            " from duckdb_columns() where comment is not null"
        ).fetchall()
        checks = reader.execute("select check_name, status, rows_found from trust.check_results").fetchall()
    assert dict(comments) == said
    assert checks == [("a_rule", "warn", 3)]


def test_the_mark_advances_to_what_the_build_had_read(tmp_path: Path) -> None:
    connection = make_candidate(tmp_path / "warehouse.duckdb", 1)
    connection.execute("insert into raw_shop.orders values ('late', '9.9')")  # loaded after the build
    publication.publish(connection, tmp_path / "funnelhouse.duckdb")
    published = ledger.last_publication(connection)
    assert published is not None
    assert published.batch_mark == "1.5"
    assert ledger.begin_build(connection, "next", AS_OF, "hash").batch_mark == "1.5"


def test_a_build_that_did_not_pass_is_not_published(tmp_path: Path) -> None:
    target = tmp_path / "funnelhouse.duckdb"
    connection = make_candidate(tmp_path / "warehouse.duckdb", 1)
    publication.publish(connection, target)
    before = target.read_bytes()
    ledger.begin_build(connection, "second", AS_OF, "hash")
    connection.execute("update core.orders set version = 2")
    with pytest.raises(Problem, match="did not pass"):
        publication.publish(connection, target)
    assert target.read_bytes() == before
    assert connection.execute("select count(*) from ops.publications").fetchone() == (1,)


def test_nothing_to_publish_is_said(tmp_path: Path) -> None:
    connection = duckdb.connect(str(tmp_path / "warehouse.duckdb"))
    with pytest.raises(Problem, match="nothing to publish"):
        publication.publish(connection, tmp_path / "funnelhouse.duckdb")


def test_publishing_twice_gives_the_same_content(tmp_path: Path) -> None:
    target = tmp_path / "funnelhouse.duckdb"
    connection = make_candidate(tmp_path / "warehouse.duckdb", 1)
    first = publication.publish(connection, target)
    second = publication.publish(connection, target)
    assert first.rows == second.rows
    assert read_versions(target) == {1}


def test_parquet_is_swapped_by_one_link(tmp_path: Path) -> None:
    target, folder = tmp_path / "published" / "funnelhouse.duckdb", tmp_path / "published" / "parquet"
    editions = []
    for version in (1, 2, 2, 3):  # an edition may be published twice
        connection = make_candidate(tmp_path / "warehouse.duckdb", version)
        publication.publish(connection, target, [Parquet(folder)])
        connection.close()
        assert folder.is_symlink()
        found = duckdb.sql(f"select distinct version from '{folder}/core/orders.parquet'").fetchall()
        assert found == [(version,)]
        editions.append(folder.resolve())
    assert len(set(editions)) == 4
    kept = {path for path in folder.parent.iterdir() if path.is_dir() and not path.is_symlink()}
    assert kept == set(editions[-2:])  # whoever was still reading the one before may finish


def test_an_outlet_that_fails_keeps_what_it_had_while_the_file_is_new(tmp_path: Path) -> None:
    target, folder = tmp_path / "published" / "funnelhouse.duckdb", tmp_path / "published" / "parquet"
    connection = make_candidate(tmp_path / "warehouse.duckdb", 1)
    publication.publish(connection, target, [Parquet(folder)])
    connection.close()
    connection = make_candidate(tmp_path / "warehouse.duckdb", 2)
    connection.execute("create view trust.broken as select error('no such row') as id")
    with pytest.raises(duckdb.Error):
        publication.publish(connection, target, [Parquet(folder)])
    assert read_versions(target) == {1}
    connection.execute("drop view trust.broken")

    class Full:
        name = "elsewhere"

        def write(self, *_: object) -> None:
            raise Problem("the disk is full.")

    with pytest.raises(Problem, match="Publishing to elsewhere failed, the disk is full") as failed:
        publication.publish(connection, target, [Full(), Parquet(folder)])
    assert "the published file itself is new" in str(failed.value).lower()
    assert read_versions(target) == {2}
    assert duckdb.sql(f"select distinct version from '{folder}/core/orders.parquet'").fetchall() == [(2,)]
    assert ledger.last_publication(connection).run_id == "run-2"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("before", "now", "full"),
    [
        (None, "a", True),  # nothing published yet
        ("a", "a", False),
        ("a", "b", True),  # settings, seeds or SQL have changed
    ],
)
def test_full_refresh_follows_the_settings(tmp_path: Path, before: str | None, now: str, full: bool) -> None:
    connection = duckdb.connect(str(tmp_path / "warehouse.duckdb"))
    ledger.prepare(connection)
    if before is not None:
        build = ledger.begin_build(connection, "first", AS_OF, before)
        ledger.mark_passed(connection, build)
        ledger.mark_published(connection, build)
    assert ledger.begin_build(connection, "next", AS_OF, now).is_full_refresh is full


def test_an_unfinished_full_refresh_is_repeated(tmp_path: Path) -> None:
    connection = duckdb.connect(str(tmp_path / "warehouse.duckdb"))
    ledger.prepare(connection)
    build = ledger.begin_build(connection, "first", AS_OF, "a")
    ledger.mark_passed(connection, build)
    ledger.mark_published(connection, build)
    assert ledger.begin_build(connection, "killed", AS_OF, "a", full_refresh=True).is_full_refresh
    again = ledger.begin_build(connection, "after", AS_OF, "a")
    assert again.is_full_refresh
    ledger.mark_passed(connection, again)
    ledger.mark_published(connection, again)
    assert not ledger.begin_build(connection, "day after", AS_OF, "a").is_full_refresh


PUBLISHER = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
sys.path.insert(0, {here!r})
from test_publication import make_candidate
from orchestration import publication
connection = make_candidate(Path({warehouse!r}), {version}, rows=200_000)
print("ready", flush=True)
publication.publish(connection, Path({target!r}))
"""


def test_a_polling_reader_never_sees_a_mixture_though_publishers_are_killed(tmp_path: Path) -> None:
    target, warehouse = tmp_path / "published" / "funnelhouse.duckdb", tmp_path / "warehouse.duckdb"
    connection = make_candidate(warehouse, 0)
    publication.publish(connection, target)
    connection.close()
    rng = random.Random(7)
    seen: list[set[int]] = []
    killed = 0
    for version in range(1, 9):
        code = PUBLISHER.format(
            root=str(Path(publication.__file__).parents[1]),
            here=str(Path(__file__).parent),
            warehouse=str(warehouse),
            version=version,
            target=str(target),
        )
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        end = time.monotonic() + rng.uniform(0, 0.35) if version < 8 else None  # the last one may finish
        while process.poll() is None:
            seen.append(read_versions(target))  # an error of the reader fails the test
            if end is not None and time.monotonic() > end:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                killed += 1
                break
        seen.append(read_versions(target))
    assert all(len(versions) == 1 for versions in seen)
    assert seen[-1] == {8}
    assert killed >= 2
    assert [path for path in target.parent.iterdir() if path != target] == []  # the last one has cleaned up
    with duckdb.connect(str(warehouse)) as connection:
        newest = ledger.last_publication(connection)
    assert newest is not None
    assert newest.run_id == "run-8"
