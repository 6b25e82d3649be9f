"""What the warehouse knows about its own runs: schema `ops`.

`ops.current_run` (one row) is what dbt reads: which run, as of when, and from which load on rows are new.
`ops.builds` holds one row a build with the mark that it would set; `ops.publications` one row a successful
publication. The mark advances only by a publication, so a failed, killed or unpublished build is simply built
again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ingestion.warehouse import prune_replaced

SCHEMA = """
create schema if not exists ops;
create table if not exists ops.current_run (run_id varchar, as_of timestamp, batch_mark varchar);
create table if not exists ops.builds (
    build_number bigint, run_id varchar, started_at timestamp, as_of timestamp, batch_mark varchar,
    candidate_mark varchar, settings_hash varchar, is_full_refresh boolean, passed_at timestamp,
    published_at timestamp
);
create table if not exists ops.publications (
    run_id varchar, published_at timestamp, batch_mark varchar, as_of timestamp, settings_hash varchar
);
"""


@dataclass(frozen=True)
class Build:
    """One build of the marts; `candidate_mark` is the greatest load id that it has read."""

    number: int
    run_id: str
    as_of: dt.datetime
    batch_mark: str
    candidate_mark: str
    settings_hash: str
    is_full_refresh: bool
    passed_at: dt.datetime | None = None
    published_at: dt.datetime | None = None


@dataclass(frozen=True)
class Publication:
    """One successful publication."""

    run_id: str
    published_at: dt.datetime
    batch_mark: str
    as_of: dt.datetime
    settings_hash: str


def prepare(connection: Any) -> None:
    """Make the tables of `ops` where they are missing."""
    connection.execute(SCHEMA)


def last_publication(connection: Any) -> Publication | None:
    """The newest publication, or None before the first."""
    row = connection.execute(
        "select run_id, published_at, batch_mark, as_of, settings_hash from ops.publications"
        " order by published_at desc limit 1"
    ).fetchone()
    return Publication(*row) if row else None


def last_build(connection: Any) -> Build | None:
    """The newest build, passed or not."""
    row = connection.execute(
        "select build_number, run_id, as_of, batch_mark, candidate_mark, settings_hash, is_full_refresh,"
        " passed_at, published_at from ops.builds order by build_number desc limit 1"
    ).fetchone()
    return Build(*row) if row else None


def newest_load(connection: Any) -> str:
    """The greatest load id over all raw tables ('' while there is none)."""
    tables = connection.execute(
        "select table_schema, table_name from information_schema.columns"
        " where column_name = '_dlt_load_id' and table_schema like 'raw\\_%' escape '\\'"
        " and table_schema not like '%\\_staging' escape '\\'"
    ).fetchall()
    newest = ""
    for schema, table in tables:
        value = connection.execute(f'select max(_dlt_load_id) from "{schema}"."{table}"').fetchone()[0]
        newest = max(newest, value or "")
    return newest


def needs_full_refresh(connection: Any, settings_hash: str) -> bool:
    """Whether incremental models cannot be trusted to continue from what the warehouse holds.

    That is so before the first publication, when settings, seeds or SQL differ from the published run's, and
    when a build since then had other settings or was a full refresh that never reached publication.
    """
    published = last_publication(connection)
    if published is None or published.settings_hash != settings_hash:
        return True
    unfinished = connection.execute(
        "select count(*) from ops.builds where published_at is null and build_number >"
        " coalesce((select max(build_number) from ops.builds where published_at is not null), 0)"
        " and (is_full_refresh or settings_hash <> ?)",
        [settings_hash],
    ).fetchone()[0]
    return bool(unfinished)


def begin_build(
    connection: Any, run_id: str, as_of: dt.datetime, settings_hash: str, full_refresh: bool = False
) -> Build:
    """Write `ops.current_run` and open a build; the build that is returned says whether it must be a full
    one.
    """
    prune_replaced(connection)
    prepare(connection)
    published = last_publication(connection)
    build = Build(
        number=connection.execute("select coalesce(max(build_number), 0) + 1 from ops.builds").fetchone()[0],
        run_id=run_id,
        as_of=as_of,
        batch_mark=published.batch_mark if published else "",
        candidate_mark=newest_load(connection),
        settings_hash=settings_hash,
        is_full_refresh=full_refresh or needs_full_refresh(connection, settings_hash),
    )
    connection.begin()
    connection.execute("delete from ops.current_run")
    connection.execute("insert into ops.current_run values (?, ?, ?)", [run_id, as_of, build.batch_mark])
    connection.execute(
        "insert into ops.builds values (?, ?, ?, ?, ?, ?, ?, ?, null, null)",
        [
            build.number,
            run_id,
            _now(),
            as_of,
            build.batch_mark,
            build.candidate_mark,
            settings_hash,
            build.is_full_refresh,
        ],
    )
    connection.commit()
    return build


@dataclass(frozen=True)
class Check:
    """One data test of a build: where, what it looks for, and how many rows it found."""

    name: str
    kind: str
    relation: str  # schema.table; '' for a test over several tables
    column: str
    description: str
    is_blocking: bool
    status: str  # pass, warn (fail and error never reach publication)
    rows_found: int


CHECKS = """
create table trust.check_results (
    check_name varchar, kind varchar, relation varchar, column_name varchar, description varchar,
    is_blocking boolean, status varchar, rows_found bigint
)
"""
CHECKS_MEAN = {
    "": "One check of the build that was published: what was looked for, and how many rows were found.",
    "check_name": "Name of the check.",
    "kind": "Rule that it applies, such as unique or not_null; `of this project` for a query of its own.",
    "relation": "Table that it belongs to; empty for a check over several tables.",
    "column_name": "Column that it belongs to; empty for a check of a whole table.",
    "description": "What it looks for, where that is said.",
    "is_blocking": "A failure would have kept the build from being published.",
    "status": "pass or warn: what fails is not published.",
    "rows_found": "Rows that break the rule.",
}


def mark_passed(connection: Any, build: Build, checks: Sequence[Check] = ()) -> None:
    """Note that every blocking check of the build has passed, and leave what was checked to be published."""
    connection.execute("create schema if not exists trust")
    connection.execute("drop table if exists trust.check_results")
    if checks:
        connection.execute(CHECKS)
        connection.executemany(
            "insert into trust.check_results values (?, ?, ?, ?, ?, ?, ?, ?)",
            [list(vars(check).values()) for check in checks],
        )
    connection.execute("update ops.builds set passed_at = ? where build_number = ?", [_now(), build.number])


def mark_published(connection: Any, build: Build) -> Publication:
    """Append the publication and thereby advance the batch mark."""
    publication = Publication(build.run_id, _now(), build.candidate_mark, build.as_of, build.settings_hash)
    connection.begin()
    connection.execute(
        "insert into ops.publications values (?, ?, ?, ?, ?)",
        [
            publication.run_id,
            publication.published_at,
            publication.batch_mark,
            publication.as_of,
            publication.settings_hash,
        ],
    )
    connection.execute(
        "update ops.builds set published_at = ? where build_number = ?",
        [publication.published_at, build.number],
    )
    connection.commit()
    return publication


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)
