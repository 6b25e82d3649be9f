"""The one way to the figures: parametrised queries on the published file.

The file is opened read-only for a query or for the queries of one page, and closed again, so that a run can
replace it at any time; results are kept in memory by the file's identity (inode, size, time of change), so
that a new publication is seen by the next click. Queries run one after another: DuckDB shares one instance
among a process's connections to the same path, and one that overlapped with an older one would still see the
old file.

Whatever comes out is data, never markup: `components` and `charts` escape it.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import streamlit as st

from ingestion.settings import Paths

MAX_ROWS = 20_000  # no page shows more; what is cut off is said (`Rows.is_cut`)
CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",  # a query can read no other file
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "lock_configuration": "true",
}
one_at_a_time = threading.Lock()  # held by whatever opens the published file in this process
_opened: dict[tuple[str, int, int, int], duckdb.DuckDBPyConnection] = {}  # one at most
_pages: list[None] = []  # one for each that is being drawn; append and pop are atomic

Identity = tuple[str, int, int, int]
Row = dict[str, Any]


class Rows(list[Row]):
    """The answer to a query: rows as dictionaries, with the columns' names also where there is no row."""

    def __init__(self, rows: Iterable[Row] = (), columns: Sequence[str] = (), is_cut: bool = False) -> None:
        super().__init__(rows)
        self.columns = list(columns) or (list(self[0]) if self else [])
        self.is_cut = is_cut

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self]

    def __reduce__(self) -> Any:
        return (Rows, (list(self), self.columns, self.is_cut))


class NotPublished(Exception):
    """There is no published file yet, or it lacks a table that an older version did not publish."""


def paths() -> Paths:
    """The data folder that the dashboard was started on."""
    return Paths.from_environment()


def identity() -> Identity:
    """Which published file this is.

    Raises:
        NotPublished: there is none.
    """
    file = paths().published
    try:
        found = file.stat()
    except FileNotFoundError:
        raise NotPublished(f"Nothing has been published in {paths().data_dir} yet.") from None
    return str(file), found.st_ino, found.st_size, found.st_mtime_ns


def query(sql: str, parameters: Sequence[Any] = ()) -> Rows:
    """Ask the published file; what varies goes in as parameters (`?`), never into the text.

    Decimals come back as floats: figures are shown, not added up any further.

    Raises:
        NotPublished: no published file, or a table or column that it does not have yet.
    """
    return _answer(identity(), sql, tuple(parameters))


def one(sql: str, parameters: Sequence[Any] = ()) -> Row:
    """The first row of the answer; {} where there is none."""
    rows = query(sql, parameters)
    return rows[0] if rows else dict.fromkeys(rows.columns)


@st.cache_data(show_spinner=False, max_entries=1000)
def _answer(file: Identity, sql: str, parameters: tuple[Any, ...]) -> Rows:
    with one_at_a_time:
        try:
            cursor = _connection(file).execute(sql, list(parameters))
            columns = [column[0] for column in cursor.description]
            found = cursor.fetchmany(MAX_ROWS + 1)
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            raise NotPublished(
                "The published file was written by another version and lacks what this page shows. "
                "Run `funnelhouse run` once."
            ) from error
        finally:
            if not _pages:
                _close()
    rows = [dict(zip(columns, map(_plain, row), strict=True)) for row in found[:MAX_ROWS]]
    return Rows(rows, columns, is_cut=len(found) > MAX_ROWS)


def _connection(file: Identity) -> duckdb.DuckDBPyConnection:
    """The file, opened once for the queries of a page; anew where another has taken its place."""
    if file not in _opened:
        _close()
        try:
            _opened[file] = duckdb.connect(file[0], read_only=True, config=CONFIG)
        except duckdb.IOException as error:
            raise NotPublished(f"The published file cannot be opened: {error}") from error
    return _opened[file]


def _close() -> None:
    for connection in _opened.values():
        connection.close()
    _opened.clear()


@contextmanager
def together() -> Iterator[None]:
    """Ask all queries of a block over one connection, which the first that is not remembered opens.

    Opening costs ten times what a query does (27 ms and 3 ms of CPU on the medium company), and a page asks
    up to fifty. Pages that are drawn at the same time share it; the last one closes it.
    """
    _pages.append(None)
    try:
        yield
    finally:
        _pages.pop()
        with one_at_a_time:
            if not _pages:
                _close()


@contextmanager
def alone() -> Iterator[None]:
    """Nobody here has the published file open for the time of a block: DuckDB refuses to open a file in two
    configurations at once.
    """
    with one_at_a_time:
        _close()
        yield


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def definition(name: str) -> str:
    """What `schema.table` or `schema.table.column` means, from the published file's own comments.

    '' where the file carries none.
    """
    return _definitions(identity()).get(name, "")


@st.cache_resource(show_spinner=False, max_entries=4)  # not copied: a page asks it two hundred times
def _definitions(file: Identity) -> dict[str, str]:
    found = _answer(
        file,
        "select schema_name || '.' || table_name as name, comment from duckdb_tables()"
        " where comment is not null"
        " union all select schema_name || '.' || table_name || '.' || column_name, comment"
        " from duckdb_columns() where comment is not null",
        (),
    )
    return {row["name"]: " ".join(str(row["comment"]).split()) for row in found}


def has_table(name: str) -> bool:
    """Whether the published file has `schema.table`."""
    schema, _, table = name.partition(".")
    found = query("select 1 from duckdb_tables() where schema_name = ? and table_name = ?", [schema, table])
    return bool(found)


@dataclass(frozen=True)
class Settings:
    """What all figures stand on: the run's present moment and how it reports."""

    as_of: dt.datetime
    today: dt.date  # of as_of in the reporting time zone
    currency: str
    time_zone: str


def settings() -> Settings:
    """The settings of the run that published the file."""
    row = one(
        "select as_of, as_of_date, reporting_currency, reporting_time_zone from trust.reporting_settings"
    )
    return Settings(row["as_of"], row["as_of_date"], row["reporting_currency"], row["reporting_time_zone"])


def published_at() -> dt.datetime:
    """When the file was put in place (UTC)."""
    return dt.datetime.fromtimestamp(identity()[3] / 1e9, dt.UTC)


def project_file(*parts: str) -> Path:
    """A file of the dashboard itself."""
    return Path(__file__).parent.joinpath(*parts)
