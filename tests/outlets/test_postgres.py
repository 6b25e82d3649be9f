"""Publishing to a real PostgreSQL server: exact values, a swap nobody notices, failures without trace."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from ingestion.settings import Paths
from orchestration import outlets, postgres, publication
from orchestration.errors import Problem
from orchestration.postgres import Postgres, column_type
from tests.unit.orchestration.test_publication import TABLES, make_candidate

pytestmark = pytest.mark.postgres

EXACT = """
create schema if not exists core;
create or replace table core.types as
select * from (values
    ('tab\\t, "quoted", \\N, line' || chr(10) || 'break' || chr(13), true, 9223372036854775807::bigint,
     cast('-12345678901234.5678' as decimal(19,4)), 0.1::double + 0.2::double, date '2026-02-28',
     timestamp '2026-06-30 23:59:59.999999', cast('12345678.12345678' as decimal(18,8))),
    ('', false, -1, 0, 'infinity'::double, date '1969-12-31', timestamp '1969-12-31 23:59:59', 0),
    ('\\N', null, null, null, 'nan'::double, null, null, null),
    ('Zoë 🦊 東京', null, null, null, 1e-300::double, null, null, null),
    (null, null, null, null, null, null, null, null)
) as t (a_text, a_boolean, a_bigint, a_money, a_double, a_date, a_timestamp, a_rate);
-- A backslash and a dot alone on a line are the end of what COPY reads, unless they are quoted.
create or replace table core.marks as select unnest(['before', '\\.', 'after']) as mark
"""


@pytest.fixture
def outlet(server: str, tmp_path: Path) -> Iterator[Postgres]:
    yield Postgres(server, tmp_path / "tmp")
    with psycopg.connect(server, autocommit=True) as owner:
        for (schema,) in owner.execute(
            "select nspname from pg_namespace where nspname !~ '^(pg_|information_schema|public)'"
        ).fetchall():
            owner.execute(f'drop schema "{schema}" cascade')


@pytest.fixture
def owner(server: str) -> Iterator[Any]:
    with psycopg.connect(server, autocommit=True) as connection:
        yield connection


def asked(connection: Any, sql: str) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = connection.execute(sql).fetchall()
    return found


def schemas(connection: Any) -> set[str]:
    return {
        name
        for (name,) in asked(connection, "select nspname from pg_namespace")
        if not name.startswith(("pg_", "information_schema", "public"))
    }


def published(tmp_path: Path, outlet: Postgres, version: int, extra: str = "") -> None:
    connection = make_candidate(tmp_path / "warehouse.duckdb", version, rows=50)
    if extra:
        connection.execute(extra)
    try:
        publication.publish(connection, tmp_path / "published" / "funnelhouse.duckdb", [outlet])
    finally:
        connection.close()


def test_every_value_and_type_arrives_as_it_is(tmp_path: Path, outlet: Postgres, owner: Any) -> None:
    published(tmp_path, outlet, 1, EXACT)
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as warehouse:
        for table in (*TABLES, "core.types", "core.marks"):
            there = asked(owner, f"select * from {table}")
            here = warehouse.execute(f"from {table}").fetchall()
            assert sorted(map(repr, there)) == sorted(map(repr, here)), table
    kinds = dict(
        asked(
            owner,
            "select column_name,"
            " data_type || coalesce('(' || numeric_precision || ',' || numeric_scale || ')', '')"
            " from information_schema.columns where table_name = 'types'",
        )
    )
    assert kinds == {
        "a_text": "text",
        "a_boolean": "boolean",
        "a_bigint": "bigint(64,0)",
        "a_money": "numeric(19,4)",
        "a_double": "double precision",
        "a_date": "date",
        "a_timestamp": "timestamp without time zone",
        "a_rate": "numeric(18,8)",
    }
    assert not list((tmp_path / "tmp").iterdir())


def test_what_no_type_holds_is_refused(tmp_path: Path, outlet: Postgres, owner: Any) -> None:
    assert column_type("DECIMAL(38,2)") == "numeric(38,2)"
    published(tmp_path, outlet, 1)
    with pytest.raises(
        Problem, match=r"Publishing to PostgreSQL failed, no type of PostgreSQL holds INTEGER\[\]"
    ):
        published(tmp_path, outlet, 2, "create table core.lists as select [1, 2] as ids")
    assert asked(owner, "select distinct version from core.orders") == [(1,)]


def test_readers_may_read_and_nothing_else(tmp_path: Path, outlet: Postgres, owner: Any, server: str) -> None:
    for version in (1, 2):  # what is granted outlives a publication
        published(tmp_path, outlet, version)
        if version == 1:
            owner.execute("drop role if exists analyst")
            owner.execute("create role analyst login password 'x' in role funnelhouse_reader")
        with pytest.raises(Problem, match="may not create schemas"):
            Postgres(server.replace("publisher:a%20pass%2Fword%40home", "analyst:x"), tmp_path).check()
        with psycopg.connect(server, user="analyst", password="x", autocommit=True) as reader:
            for table in TABLES:
                assert asked(reader, f"select max(version) from {table}") == [(version,)]
            for forbidden in (
                "delete from core.orders",
                "create table core.mine (a int)",
                "drop table core.orders",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    reader.execute(forbidden)


def test_a_reader_sees_one_edition_and_is_never_blocked(
    tmp_path: Path, outlet: Postgres, server: str, owner: Any
) -> None:
    published(tmp_path, outlet, 1)
    seen: list[set[int]] = []
    ended = threading.Event()

    def read() -> None:
        together = " union all ".join(f"select distinct version from {table}" for table in TABLES)
        with psycopg.connect(server, autocommit=True) as reader:
            reader.execute("set statement_timeout = '5s'")
            while not ended.is_set():
                seen.append({version for (version,) in asked(reader, together)})

    thread = threading.Thread(target=read)
    with psycopg.connect(server) as slow:  # a report that is still open when the next edition comes
        slow.execute("select count(*) from core.orders")
        thread.start()
        for version in (2, 3):
            published(tmp_path, outlet, version)
        assert asked(owner, "select distinct version from core.orders") == [(3,)]
        assert len([name for name in schemas(owner) if "__old" in name]) >= 1  # left for later
    ended.set()
    thread.join()
    assert {1} in seen
    assert {3} in seen
    assert all(len(versions) == 1 for versions in seen)
    published(tmp_path, outlet, 4)
    assert schemas(owner) == {"core", "attribution", "trust"}


@pytest.mark.parametrize(
    "extra",
    [
        "create table trust.zz as select {'a': 1} as nested",  # the last table's type
        "create or replace view trust.zz as select 1 / (select 0) as a, error('broken') as b",
    ],
)
def test_a_failure_leaves_yesterdays_and_no_trace(
    tmp_path: Path, outlet: Postgres, owner: Any, extra: str
) -> None:
    published(tmp_path, outlet, 1)
    connection = make_candidate(tmp_path / "warehouse.duckdb", 2)
    connection.execute(extra)
    with pytest.raises(Problem):
        outlet.write(connection, "run-2")
    connection.close()
    assert asked(owner, "select distinct version from core.orders") == [(1,)]
    assert schemas(owner) == {"core", "attribution", "trust"}


def test_a_server_that_goes_away_is_one_line_without_the_password(
    tmp_path: Path, server: str, outlet: Postgres
) -> None:
    gone = Postgres(server.replace("/marts", "/nowhere"), tmp_path / "tmp")
    with pytest.raises(Problem, match=r"failed, the tables of the run before stay: .*nowhere") as failed:
        published(tmp_path, gone, 1)
    assert "pass" not in str(failed.value).replace("password authentication", "")
    assert (tmp_path / "published" / "funnelhouse.duckdb").is_file()
    with pytest.raises(Problem, match=r"PostgreSQL was not reached: .*nowhere"):
        gone.check()
    assert outlet.check() == "PostgreSQL (reached)"
    assert "pass" not in repr(outlet)


def test_somebody_elses_schema_is_never_touched(
    tmp_path: Path, outlet: Postgres, owner: Any, server: str
) -> None:
    owner.execute("create schema core; create table core.precious as select 1 as a")
    with pytest.raises(Problem, match="has a schema core that Funnelhouse has not made"):
        published(tmp_path, outlet, 1)
    assert asked(owner, "select * from core.precious") == [(1,)]
    assert schemas(owner) == {"core"}
    published(tmp_path, Postgres(server, tmp_path / "tmp", prefix="funnelhouse_"), 2)
    assert asked(owner, "select distinct version from funnelhouse_core.orders") == [(2,)]
    assert asked(owner, "select * from core.precious") == [(1,)]


def test_views_of_the_readers_follow_and_are_never_dropped(
    tmp_path: Path, outlet: Postgres, owner: Any
) -> None:
    published(tmp_path, outlet, 1)
    owner.execute("create schema mine")
    owner.execute("create view mine.orders as select version, id from core.orders")
    owner.execute("create view mine.versions as select distinct version from mine.orders")
    owner.execute("create materialized view mine.frozen as select distinct version from trust.totals")
    published(tmp_path, outlet, 2)
    assert asked(owner, "select * from mine.versions") == [(2,)]
    assert asked(owner, "select * from mine.frozen") == [(1,)]  # stands on the old table, which stays for it
    owner.execute("refresh materialized view mine.frozen")
    assert asked(owner, "select * from mine.frozen") == [(1,)]
    published(tmp_path, outlet, 3)
    assert asked(owner, "select * from mine.versions") == [(3,)]


def test_the_environment_names_the_outlets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    paths = Paths(tmp_path / "data").create()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(outlets.PARQUET, raising=False)
    monkeypatch.delenv(postgres.ADDRESS, raising=False)
    assert outlets.configured(paths) == []
    monkeypatch.setenv(outlets.PARQUET, "1")
    monkeypatch.setenv(postgres.ADDRESS, server)
    monkeypatch.setenv(postgres.READER, "bi")
    assert [outlet.name for outlet in outlets.configured(paths)] == ["Parquet", "PostgreSQL"]
    monkeypatch.setenv(postgres.READER, 'bi"; drop schema core')
    with pytest.raises(Problem, match="FUNNELHOUSE_POSTGRES_READER may only hold"):
        outlets.configured(paths)
    monkeypatch.setenv(postgres.ADDRESS, "mysql://user:secret@host/db")
    with pytest.raises(Problem, match=r"must be like postgresql://") as refused:
        outlets.configured(paths)
    assert "secret" not in str(refused.value)
