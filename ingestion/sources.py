"""What a system offers to the core: its tables, its resources, its settings. Nothing in here does anything.

See the package's docstring for how these are used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from ingestion.records import Column, Table
from ingestion.settings import Connection, Setting

GONE = "gone"
"""The checksum of a slice that no longer exists at the source."""


@dataclass(frozen=True)
class Bounds:
    """The days of a backfill, both inclusive."""

    date_from: date
    date_to: date


@dataclass(frozen=True)
class Page:
    """Records of one table as they came.

    Exactly one of:
    - `body`: the answer's bytes, a JSON document; `at` is the dotted path to the list of records ("" = the
      document itself is the list or the one record); `lines`: newline-delimited JSON. The quick way: never
      parsed in Python.
    - `records`: dictionaries, where a connector had to rearrange them.
    - `arrow`: a table whose columns already have the declared columns' names (text or typed).

    `slice`: the slice of all these records, for sliced tables without `slice_by`.
    `columns`: other declarations of the same columns for this page's `arrow` (date formats, time zones).
    `source`: the rows of `arrow` as they came, one for one; what is refused goes to the quarantine in this
    form.
    `filtered`: records that the connector left out on purpose, reason -> count (they count as "in").
    """

    table: str
    body: bytes | None = None
    at: str = ""
    lines: bool = False
    records: Sequence[Mapping[str, Any]] | None = None
    arrow: pa.Table | None = None
    slice: str | None = None
    filtered: Mapping[str, int] = field(default_factory=dict)
    columns: tuple[Column, ...] | None = None
    source: pa.Table | None = None


@dataclass(frozen=True)
class Refused:
    """Records that the connector itself could not read (a malformed line): they go to the quarantine as they
    are."""

    table: str
    payloads: Sequence[str]
    reasons: Sequence[str]
    slice: str | None = None
    lines: Sequence[int | None] | None = None


@dataclass(frozen=True)
class Done:
    """These slices of the table have been read whole: slice -> checksum (None: compare the content; GONE:
    remove)."""

    table: str
    slices: Mapping[str, str | None]


Item = Page | Refused | Done


@dataclass(frozen=True)
class Context:
    """What a resource's `extract` may know."""

    connection: Connection
    account: str
    as_of: datetime
    """The present moment of this run, UTC with tzinfo."""
    bounds: Bounds | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    """The project's variables (for instance `ads_restatement_days`)."""
    cursors: Mapping[str, datetime] = field(default_factory=dict)
    stored_slices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    lags: Mapping[str, Any] = field(default_factory=dict)

    def since(self, table: str) -> datetime | None:
        """From where to read on: the greatest cursor that was loaded, minus the table's lag; None in the
        first run."""
        cursor = self.cursors.get(table)
        return cursor - self.lags[table] if cursor is not None else None

    def slices(self, table: str) -> Mapping[str, str]:
        """The slices of this account that are stored: slice -> checksum."""
        return self.stored_slices.get(table, {})

    def interrupted(self, table: str) -> tuple[str, ...]:
        """The slices whose last load was killed, or that a replay wants: read them whatever the window."""
        return tuple(sorted(name for name, checksum in self.slices(table).items() if checksum == ""))

    def is_first(self, table: str) -> bool:
        """Nothing of this account's table has been loaded yet."""
        return table not in self.cursors and not self.stored_slices.get(table)


@dataclass(frozen=True)
class Resource:
    """One way through an API. `extract` is called once per account and yields pages of its tables."""

    name: str
    tables: tuple[Table, ...]
    extract: Callable[[Context], Iterator[Item]]

    def __post_init__(self) -> None:
        if len({table.name for table in self.tables}) != len(self.tables):
            raise ValueError(f"resource {self.name}: a table is listed twice")


@dataclass(frozen=True)
class System:
    """One system. `check(connection)` asks for something cheap and raises SourceError (with a remedy) if it
    fails; it returns one line that says what was reached. `api_version`: the one that the connector was
    written for, where no setting names it."""

    name: str
    resources: tuple[Resource, ...]
    check: Callable[[Connection], str]
    settings: tuple[Setting, ...] = ()
    accounts: Callable[[Connection], tuple[str, ...]] = field(default=lambda connection: connection.accounts)
    api_version: str = ""

    @property
    def tables(self) -> tuple[Table, ...]:
        return tuple(table for resource in self.resources for table in resource.tables)

    def table(self, name: str) -> Table:
        return next(table for table in self.tables if table.name == name)

    @property
    def sliced_tables(self) -> tuple[str, ...]:
        """The tables that a backfill accepts."""
        return tuple(table.name for table in self.tables if table.is_sliced)
