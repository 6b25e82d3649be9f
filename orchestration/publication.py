"""Publication: the audited candidate becomes the file that others read (no Dagster in here; the asset is in
`publish`).

The candidate's marts are copied into a temporary database in DuckDB 1.2's storage format, which every DuckDB
1.x tool opens; the file is checkpointed, detached, flushed to the disk and renamed over the old one. Readers
that hold the old file keep it, new readers get the new one, nobody sees half a build. The batch mark advances
after the rename: a kill between the two leaves the new file with the old mark, and the next run builds and
publishes the same content again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration import ledger
from orchestration.errors import Problem, one_line

if TYPE_CHECKING:
    from orchestration.outlets import Outlet

SCHEMAS = ("core", "attribution", "funnel", "retention", "trust")
STORAGE_VERSION = "v1.2.0"


@dataclass(frozen=True)
class Published:
    """What a publication has written."""

    path: Path
    run_id: str
    rows: dict[str, int]  # "<schema>.<table>" -> rows
    bytes: int


def candidate_tables(connection: Any) -> list[tuple[str, str]]:
    """The tables and views of the published schemas, in a fixed order."""
    rows = connection.execute(
        "select table_schema, table_name from information_schema.tables"
        f" where table_schema in ({', '.join('?' * len(SCHEMAS))}) order by 1, 2",
        list(SCHEMAS),
    ).fetchall()
    return [(schema, table) for schema, table in rows if not table.startswith("__dbt")]


def write_database(
    connection: Any,
    target: Path,
    on_table: Callable[[str, int, int], None] = lambda *_: None,
    descriptions: Mapping[str, str] | None = None,
) -> dict[str, int]:
    """Copy the candidate into `target` by one atomic rename; gives the rows of each table.

    `descriptions` of tables (`schema.table`) and columns (`schema.table.column`) become the file's comments.
    """
    tables = candidate_tables(connection)
    if not tables:
        raise Problem("There is nothing to publish: no mart has been built yet. Run `funnelhouse run`.")
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target.parent)
    temporary = target.parent / f".publishing-{os.getpid()}.duckdb"
    rows: dict[str, int] = {}
    try:
        connection.execute(
            f"attach '{quoted(temporary)}' as publication (storage_version '{STORAGE_VERSION}')"
        )
        try:
            for schema in dict.fromkeys(schema for schema, _ in tables):
                connection.execute(f'create schema publication."{schema}"')
            for number, (schema, table) in enumerate(tables, 1):
                on_table(f"{schema}.{table}", number, len(tables))
                name = f'"{schema}"."{table}"'
                copied = connection.execute(f"create table publication.{name} as from {name}").fetchone()
                rows[f"{schema}.{table}"] = copied[0] if copied else 0
            _comment(connection, descriptions or {})
            connection.execute("checkpoint publication")
        finally:
            connection.execute("detach publication")
        temporary.chmod(0o444)
        flush(temporary)
        temporary.replace(target)
        flush(target.parent)
    except Exception as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) or "space" in str(error).lower():
            raise Problem(f"Publishing failed, the published file is unchanged: {one_line(error)}") from error
        raise
    return rows


def publish(
    connection: Any,
    target: Path,
    outlets: Sequence[Outlet] = (),
    on_table: Callable[[str, int, int], None] = lambda *_: None,
    descriptions: Mapping[str, str] | None = None,
) -> Published:
    """Publish the last build if all its blocking checks passed, advance the batch mark, then write the
    outlets.

    Raises:
        Problem: there is no build that passed, and the published file stays as it is; or an outlet failed,
            and keeps what it had, while the published file is new.
    """
    ledger.prepare(connection)
    build = ledger.last_build(connection)
    if build is None:
        raise Problem("There is nothing to publish: no mart has been built yet. Run `funnelhouse run`.")
    if build.passed_at is None:
        raise Problem(
            "The last build did not pass its checks, so the published file stays as it is. "
            "Mend the cause that `funnelhouse run` named and run again."
        )
    rows = write_database(connection, target, on_table, descriptions)
    ledger.mark_published(connection, build)
    failures = []
    for outlet in outlets:
        try:
            outlet.write(connection, build.run_id, on_table)
        except Problem as error:
            failures.append(f"Publishing to {outlet.name} failed, {error}")
    if failures:
        raise Problem(
            f"{' '.join(failures)} (The published file itself is new; `funnelhouse publish` tries again.)"
        )
    return Published(target, build.run_id, rows, target.stat().st_size)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of publications that were killed (call it under the writer's lock)."""
    for leftover in folder.glob(".publishing-*"):
        leftover.unlink(missing_ok=True)


def _comment(connection: Any, descriptions: Mapping[str, str]) -> None:
    """Write what tables and columns mean into the copy, so that every reader has the definitions with it."""
    present = connection.execute(
        "select schema_name, table_name, '' from duckdb_tables() where database_name = 'publication'"
        " union all select schema_name, table_name, column_name from duckdb_columns()"
        " where database_name = 'publication'"
    ).fetchall()
    connection.begin()  # 1,390 comments: 0.6 s in one transaction, 4 s in one each
    for schema, table, column in present:
        text = descriptions.get(".".join(filter(None, (schema, table, column))))
        if text:
            kind = f'column publication."{schema}"."{table}"."{column}"' if column else ""
            kind = kind or f'table publication."{schema}"."{table}"'
            connection.execute(f"comment on {kind} is '{text.replace(chr(39), chr(39) * 2)}'")
    connection.commit()


def quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def flush(path: Path) -> None:
    """fsync a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
