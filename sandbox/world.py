"""The state that all servers share: the company, the clock, and what was rendered for the present clock.

Nothing here speaks HTTP and nothing here knows a vendor.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar, cast

import duckdb
import pyarrow as pa

T = TypeVar("T")


class CompanyLike(Protocol):
    """What the servers need of a company: its tables by name."""

    @property
    def tables(self) -> Mapping[str, pa.Table]: ...


def parse_instant(value: str | datetime) -> datetime:
    """Return an aware UTC datetime of ISO text (`Z`, offset, or a bare date meaning midnight UTC).

    Raises ValueError when the text is no ISO date or time.
    """
    moment = (
        value if isinstance(value, datetime) else datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
    )
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class World:
    """The company at a moment. Setting `as_of` forgets what was rendered for the moment before."""

    def __init__(self, company: CompanyLike, as_of: str | datetime) -> None:
        self.company = company
        self._as_of = parse_instant(as_of)
        self._memo: dict[object, object] = {}
        self._permanent: dict[object, object] = {}
        self.lock = threading.RLock()
        self._connection: duckdb.DuckDBPyConnection | None = None

    @property
    def as_of(self) -> datetime:
        """The present moment of the company (aware, UTC)."""
        return self._as_of

    @as_of.setter
    def as_of(self, value: str | datetime) -> None:
        with self.lock:
            self._as_of = parse_instant(value)
            self._memo.clear()

    @property
    def now_sql(self) -> str:
        """The clock as an SQL literal (zone-less UTC, as the company's tables hold it)."""
        return f"timestamp '{self._as_of.replace(tzinfo=None).isoformat(sep=' ')}'"

    def memo(self, key: object, build: Callable[[], T]) -> T:
        """Return what `build` made for this key, built once per clock."""
        with self.lock:
            if key not in self._memo:
                self._memo[key] = build()
            return cast(T, self._memo[key])

    def keep(self, key: object, build: Callable[[], T]) -> T:
        """Return what `build` made for this key, built once for ever (for what the clock does not change)."""
        with self.lock:
            if key not in self._permanent:
                self._permanent[key] = build()
            return cast(T, self._permanent[key])

    @property
    def sql(self) -> duckdb.DuckDBPyConnection:
        """An in-memory DuckDB with every table of the company as a view of the same name."""
        with self.lock:
            if self._connection is None:
                connection = duckdb.connect(config={"threads": 2})
                connection.execute("set timezone = 'UTC'")
                for name, table in self.company.tables.items():
                    connection.register(name, table)
                self._connection = connection
            return self._connection

    def arrow(self, query: str) -> pa.Table:
        """Return the rows of an SQL query over the company's tables."""
        with self.lock:
            return self.sql.sql(query).to_arrow_table()

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of an SQL query over the company's tables as dictionaries."""
        return cast(list[dict[str, Any]], self.arrow(query).to_pylist())

    def texts(self, query: str) -> list[bytes]:
        """Return the first column of an SQL query as UTF-8 bytes: for objects rendered as JSON text."""
        return [value.encode() for value in self.arrow(query).column(0).to_pylist()]
