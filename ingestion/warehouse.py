"""The one owner of the warehouse file, the writer lock, the dlt pipelines and the report of a load.

What happens in a load (`load`, or `loading` for an orchestrator):
1. The clean start: rows whose load id was never completed are removed (with the marks of their slices, so
   that these are read again), the pipeline's working directory is dropped, its state and schemas come back
   from the warehouse. A killed run is never resumed.
2. Extraction: every page is validated (`records`); records that equal the stored ones are not written again,
   older versions never overwrite newer ones, slices with the same content are left alone. In = good +
   quarantined + filtered, asserted.
3. dlt loads parquet: record-wise tables merge on their key; rows of slices are appended, which cannot double
   them, for a load is never resumed.
4. The rows that reloaded slices had before are pruned; the report is returned.

Nothing here is in force without the writer lock, which the caller holds.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shutil
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")  # before dlt is imported: it reads it once

import dlt

from ingestion.errors import ConfigurationError, FunnelhouseError, QuarantineFull, SourceError, WarehouseBusy
from ingestion.privacy import Pseudonyms
from ingestion.records import Converter, Table
from ingestion.registry import system as registered_system
from ingestion.settings import Connection, project_vars
from ingestion.settings import Paths as Paths
from ingestion.sources import GONE, Bounds, Context, Done, Item, Page, Refused, Resource, System

log = logging.getLogger("funnelhouse.ingestion")

QUARANTINE = "_quarantine"
SLICES = "_slices"
EMPTY = "empty"  # the checksum of a slice without rows
BATCH_ROWS = 50_000
BATCH_BYTES = 48 << 20

_QUARANTINE_TABLE = pa.schema(
    [
        pa.field("quarantine_id", pa.string()),
        pa.field("source_relation", pa.string()),
        pa.field("resource", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("payload", pa.string()),
        pa.field("_slice", pa.string()),
        pa.field("_line", pa.int64()),
        pa.field("first_seen_at", pa.timestamp("us")),
        pa.field("last_seen_at", pa.timestamp("us")),
    ]
)
_SLICES_TABLE = pa.schema(
    [
        pa.field("source_relation", pa.string()),
        pa.field("resource", pa.string()),
        pa.field("slice", pa.string()),
        pa.field("row_count", pa.int64()),
        pa.field("checksum", pa.string()),
    ]
)


# ---- the writer lock

_held: dict[Path, tuple[int, int]] = {}  # lock file -> (descriptor, depth), of this process
_LOCK_VARIABLE = "FUNNELHOUSE_LOCK_FD"


@contextmanager
def writer_lock(paths: Paths, wait: float = 0.0) -> Iterator[None]:
    """Hold the data folder's writer lock; nested use in one process is free.

    The lock belongs to the open file, so a child that inherits the descriptor (`pass_lock`) holds it too,
    also as an orphan.

    Raises WarehouseBusy, naming the holder, if it is not free within `wait` seconds.
    """
    paths.create()
    descriptor, depth = _held.get(paths.lock_file, (-1, 0))
    if depth == 0:
        descriptor = _inherited_lock(paths)
        if descriptor < 0:
            descriptor = _acquire(paths, wait)
    _held[paths.lock_file] = descriptor, depth + 1
    inherited = os.environ.get(_LOCK_VARIABLE)
    os.environ[_LOCK_VARIABLE] = str(descriptor)
    try:
        yield
    finally:
        descriptor, depth = _held[paths.lock_file]
        if depth > 1:
            _held[paths.lock_file] = descriptor, depth - 1
        else:
            del _held[paths.lock_file]
            if inherited is None:
                os.environ.pop(_LOCK_VARIABLE, None)
                with suppress(OSError):
                    os.ftruncate(descriptor, 0)
                os.close(descriptor)  # an inherited one stays open: it is the parent's to close


def pass_lock(paths: Paths) -> tuple[int, ...]:
    """The descriptors for `pass_fds` of a child process that shall write under this process's lock."""
    descriptor, depth = _held.get(paths.lock_file, (-1, 0))
    return (descriptor,) if depth else ()


def _acquire(paths: Paths, wait: float) -> int:
    descriptor = os.open(paths.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
    end = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() >= end:
                holder = (
                    os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip() or "an unknown process"
                )
                os.close(descriptor)
                raise WarehouseBusy(
                    f"Another run holds {paths.lock_file} ({holder}). Wait until it has ended, or end it."
                ) from None
            time.sleep(0.1)
    os.ftruncate(descriptor, 0)
    os.pwrite(
        descriptor, f"process {os.getpid()}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC".encode(), 0
    )
    os.set_inheritable(descriptor, True)
    return descriptor


def _inherited_lock(paths: Paths) -> int:
    """The descriptor that a parent passed on, if it is the lock of this data folder; else -1."""
    value = os.environ.get(_LOCK_VARIABLE, "")
    if not value.isdigit():
        return -1
    try:
        theirs, ours = os.fstat(int(value)), paths.lock_file.stat()
        if (theirs.st_dev, theirs.st_ino) != (ours.st_dev, ours.st_ino):
            return -1
        fcntl.flock(int(value), fcntl.LOCK_EX | fcntl.LOCK_NB)  # free for the holder's own open file only
    except OSError:
        return -1
    return int(value)


# ---- the warehouse file


def connect(paths: Paths, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """A connection to the warehouse, in UTC, with the memory limit of `FUNNELHOUSE_MEMORY_LIMIT` and spills
    in the data folder."""
    paths.create()
    try:
        con = duckdb.connect(str(paths.warehouse), read_only=read_only)
    except duckdb.IOException as error:
        if "lock" in str(error).lower():
            raise WarehouseBusy(
                f"Another process has {paths.warehouse} open. Close it (a notebook, a SQL client) "
                "and run again."
            ) from None
        raise ConfigurationError(
            f"{paths.warehouse} cannot be opened. Check the file and the free space."
        ) from error
    con.execute("set TimeZone = 'UTC'")
    con.execute("set autoinstall_known_extensions = false")
    con.execute(f"set memory_limit = '{_memory_limit()}'")
    [(spills,)] = con.execute("select current_setting('temp_directory')").fetchall()
    if spills != str(paths.temp_dir):  # a folder that has been used cannot be set again, not even to the same
        con.execute(f"set temp_directory = '{str(paths.temp_dir).replace(chr(39), chr(39) * 2)}'")
    if not read_only:
        paths.warehouse.chmod(0o600)
    return con


def _memory_limit() -> str:
    limit = os.environ.get("FUNNELHOUSE_MEMORY_LIMIT", "4GB")
    if not limit.replace(".", "").rstrip("KMGTiBb%").isdigit():
        raise ConfigurationError(f"FUNNELHOUSE_MEMORY_LIMIT is {limit!r}. Write it like 4GB.")
    return limit


def _tables(con: duckdb.DuckDBPyConnection, dataset: str) -> dict[str, list[str]]:
    """Table -> columns of one dataset."""
    rows = con.execute(
        "select table_name, column_name from information_schema.columns where table_schema = ? "
        "order by ordinal_position",
        [dataset],
    ).fetchall()
    found: dict[str, list[str]] = defaultdict(list)
    for table, column in rows:
        found[table].append(column)
    return dict(found)


# ---- reports


@dataclass
class TableReport:
    """What became of one table's records: rows_in = good + unchanged + superseded + quarantined +
    filtered."""

    rows_in: int = 0
    good: int = 0
    unchanged: int = 0
    superseded: int = 0
    quarantined: int = 0
    filtered: Counter[str] = field(default_factory=Counter)
    unknown_fields: Counter[str] = field(default_factory=Counter)

    def check(self, name: str) -> None:
        out = self.good + self.unchanged + self.superseded + self.quarantined + sum(self.filtered.values())
        if self.rows_in != out:
            raise AssertionError(f"{name}: {self.rows_in} records came in and {out} are accounted for")


@dataclass
class LoadReport:
    system: str
    connection: str
    load_ids: list[str] = field(default_factory=list)
    tables: dict[str, TableReport] = field(default_factory=dict)
    alerts: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rows_in(self) -> int:
        return sum(table.rows_in for table in self.tables.values())

    @property
    def good(self) -> int:
        return sum(table.good for table in self.tables.values())

    @property
    def quarantined(self) -> int:
        return sum(table.quarantined for table in self.tables.values())


# ---- extraction: from a system's pages to Arrow batches


class Extraction:
    """Runs the resources of one connection and hands each table's batches out, whoever asks first.

    dlt asks table by table, while one resource may fill several: what comes for another table waits here.
    """

    def __init__(
        self,
        connection: Connection,
        tables: Sequence[str] | None = None,
        paths: Paths | None = None,
        as_of: datetime | None = None,
        bounds: Bounds | None = None,
        variables: Mapping[str, Any] | None = None,
        system: System | None = None,
    ) -> None:
        self.connection = connection
        self.system: System = system or registered_system(connection.system)
        self.resources = _chosen(self.system, tables, bounds)
        self.tables: dict[str, Table] = {
            table.name: table for resource in self.resources for table in resource.tables
        }
        self.paths = paths
        moment = as_of or datetime.now(UTC)
        self.as_of = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        self.bounds = bounds
        self.variables = variables
        self.report = LoadReport(connection.system, connection.name)
        self.quarantined: list[pa.Table] = []
        self.cursors: dict[str, dict[str, str]] = {}
        self._runs: dict[str, _ResourceRun] = {}
        self._readings: dict[tuple[str, str], _Ahead] = {}
        self._stored: _Stored | None = None
        self._is_complete = False

    # -- asked by the dlt resources

    def batches(self, name: str) -> Iterator[pa.Table]:
        resource = next(
            resource for resource in self.resources if any(table.name == name for table in resource.tables)
        )
        run = self._run(resource)
        if name not in self.stored.tables:
            yield self.tables[name].schema.empty_table()
        while True:
            batch = run.next_for(name)
            if batch is None:
                return
            yield batch

    def slice_rows(self) -> Iterator[pa.Table]:
        self.complete()
        rows = [row for run in self._runs.values() for row in run.slice_rows]
        if rows or SLICES not in self.stored.tables:
            yield pa.Table.from_pylist(rows, schema=_SLICES_TABLE)

    def quarantine_rows(self) -> Iterator[pa.Table]:
        self.complete()
        rows = self._quarantine_table()
        if rows.num_rows or QUARANTINE not in self.stored.tables:
            yield rows

    # -- the whole

    @property
    def stored(self) -> _Stored:
        if self._stored is None:
            if self.paths is None:
                raise ConfigurationError(
                    "This source was built without a data folder: it can be listed, not run."
                )
            self._stored = _Stored(self.paths, self.connection)
        return self._stored

    def complete(self) -> None:
        """Run what is left of every resource, then judge the whole."""
        if self._is_complete:
            return
        for resource in self.resources:
            self._run(resource).drain()
        self._is_complete = True
        for name, table in self.report.tables.items():
            table.check(f"{self.connection.system}.{name}")
            self._alert(name, table)
            self._judge(name, table)
        state = self._state()
        for account, cursors in self.cursors.items():
            state.setdefault(account, {}).update(cursors)

    def _alert(self, name: str, table: TableReport) -> None:
        where = f"{self.connection.system}.{name}"
        if table.quarantined:
            self.report.alerts.append(
                f"{where}: {table.quarantined} of {table.rows_in} records are in quarantine."
            )
        if table.unknown_fields:
            names = ", ".join(sorted(table.unknown_fields))
            self.report.alerts.append(f"{where}: undeclared fields, kept in _extra: {names}.")

    def _judge(self, name: str, table: TableReport) -> None:
        variables = self._variables()
        share, least = float(variables["quarantine_max_share"]), int(variables["quarantine_min_records"])
        judged = table.rows_in - sum(table.filtered.values())
        if judged >= least and table.quarantined > share * judged:
            raise QuarantineFull(
                f"{self.connection.system}.{name}: {table.quarantined} of {judged} records were "
                "refused, more than "
                f"quarantine_max_share ({share:.0%}) allows. Nothing else of this load was kept; see "
                f"`funnelhouse quarantine list --system {self.connection.system}` for the reasons."
            )

    def reading(self, resource: Resource, account: str) -> _Ahead:
        """What a resource gives for an account. The next one's reading begins as well: its server works while
        this one's records are converted (a third of the time of the demo's extraction, measured).
        """
        order = [(each, name) for each in self.resources for name in self.accounts]
        here = next(n for n, (each, name) in enumerate(order) if each is resource and name == account)
        for each, name in order[here : here + 2]:
            if (each.name, name) not in self._readings:
                self._readings[each.name, name] = _Ahead(each.extract(self.context(name)))
        return self._readings[resource.name, account]

    def close(self) -> None:
        for reading in self._readings.values():
            reading.close()
        if self._stored is not None:
            self._stored.close()
            self._stored = None

    # -- helpers

    @cached_property
    def accounts(self) -> Sequence[str]:
        accounts = self.system.accounts(self.connection)
        if not accounts:
            raise ConfigurationError(
                f"{self.connection.system}: the connection {self.connection.name} lists no account. "
                "Add its ids under `accounts` in `systems`."
            )
        return accounts

    def _variables(self) -> Mapping[str, Any]:
        if self.variables is None:
            self.variables = project_vars(self.paths)
        return self.variables

    def _run(self, resource: Resource) -> _ResourceRun:
        if resource.name not in self._runs:
            self._runs[resource.name] = _ResourceRun(self, resource)
        return self._runs[resource.name]

    def _state(self) -> dict[str, dict[str, str]]:
        """Account -> table -> cursor, kept by dlt with the load that it belongs to."""
        state: dict[str, dict[str, str]] = (
            dlt.current.source_state().setdefault("cursors", {}).setdefault(self.connection.name, {})
        )
        return state

    def context(self, account: str) -> Context:
        cursors = {
            name: datetime.fromisoformat(text) for name, text in self._state().get(account, {}).items()
        }
        return Context(
            connection=self.connection,
            account=account,
            as_of=self.as_of,
            bounds=self.bounds,
            variables=self._variables(),
            cursors={name: moment.replace(tzinfo=UTC) for name, moment in cursors.items()},
            stored_slices=self.stored.slices(self.connection.source_relation(account)),
            lags={name: table.lag for name, table in self.tables.items()},
        )

    def _quarantine_table(self) -> pa.Table:
        """New quarantine rows; what lies there already keeps its first sight, and is not written again."""
        if not self.quarantined:
            return _QUARANTINE_TABLE.empty_table()
        rows = pa.concat_tables(self.quarantined)
        now = self.as_of.replace(tzinfo=None)
        return self.stored.new_quarantine(rows, now)


class _ResourceRun:
    """One resource's `extract`, run over the connection's accounts, and what waits for each of its tables."""

    def __init__(self, extraction: Extraction, resource: Resource) -> None:
        self._extraction = extraction
        self._resource = resource
        self._waiting: dict[str, list[pa.Table]] = {table.name: [] for table in resource.tables}
        self._source = self._work()
        self._has_ended = False
        self.slice_rows: list[dict[str, Any]] = []
        for table in resource.tables:
            extraction.report.tables.setdefault(table.name, TableReport())

    def next_for(self, name: str) -> pa.Table | None:
        while not self._waiting[name] and not self._has_ended:
            self._step()
        return self._waiting[name].pop(0) if self._waiting[name] else None

    def drain(self) -> None:
        while not self._has_ended:
            self._step()

    def _step(self) -> None:
        try:
            next(self._source)
        except StopIteration:
            self._has_ended = True

    def _work(self) -> Iterator[None]:
        for account in self._extraction.accounts:
            tables = {
                table.name: _TableRun(
                    self._extraction, table, account, self._waiting[table.name], self.slice_rows
                )
                for table in self._resource.tables
            }
            with closing(self._extraction.reading(self._resource, account)) as items:
                for item in items:
                    if tables[item.table].take(item):
                        yield
            for table in tables.values():
                table.end()
                yield


class _Ahead:
    """The same items, read by another thread while the caller works, as far ahead as one batch is large."""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self._changed = threading.Condition()
        self._waiting: deque[tuple[int, Item | BaseException | None]] = deque()  # ends: error, None
        self._bytes = 0
        self._is_wanted = True
        self._thread = threading.Thread(target=self._read, name="read-ahead", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        last: BaseException | None = None
        try:
            for item in self._items:
                if not self._offer(_size(item), item):
                    return
        except BaseException as error:  # raised again where the items are used
            last = error
        self._offer(0, last)

    def _offer(self, size: int, item: Item | BaseException | None) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: not self._is_wanted or self._bytes < BATCH_BYTES)
            self._waiting.append((size, item))
            self._bytes += size
            self._changed.notify_all()
            return self._is_wanted

    def __iter__(self) -> Iterator[Item]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting))
                size, item = self._waiting.popleft()
                self._bytes -= size
                self._changed.notify_all()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def close(self) -> None:
        with self._changed:
            self._is_wanted = False
            self._changed.notify_all()
        self._thread.join(timeout=1)  # a request that is under way ends on its own


def _size(item: Item) -> int:
    """About how many bytes of JSON an item is."""
    if not isinstance(item, Page):
        return 0
    rows = item.arrow.num_rows if item.arrow is not None else len(item.records or ())
    return len(item.body or b"") + rows * (BATCH_BYTES // BATCH_ROWS)


class _TableRun:
    """One table of one account: gathers pages to batches, converts, compares with what is stored."""

    def __init__(
        self,
        extraction: Extraction,
        table: Table,
        account: str,
        waiting: list[pa.Table],
        slice_rows: list[dict[str, Any]],
    ) -> None:
        self._extraction = extraction
        self._table = table
        self._account = account
        self._waiting = waiting
        self._slice_rows = slice_rows
        self._relation = extraction.connection.source_relation(account)
        paths = extraction.paths
        assert paths is not None
        self._converter = Converter(table, self._relation, extraction.stored.pseudonyms, extraction.as_of)
        self._report = extraction.report.tables[table.name]
        self._pages: list[Page] = []
        self._size = 0
        self._greatest: datetime | None = None
        self._held: list[pa.Table] = []  # slices whose content must be compared before they may go on
        self._counts: Counter[str] = Counter()
        self._open: set[str] = set()  # slices whose reading has begun
        self._read: dict[str, str | None] = {}  # slices that were read whole since the last flush
        self._emptied: list[str] = []  # slices that held rows and came back without any
        self._still_filled = False

    def take(self, item: Item) -> bool:
        """True if a batch was made. Many small pages and slices are validated together."""
        if isinstance(item, Refused):
            rows = self._converter.quarantine(
                item.payloads, item.reasons, [item.slice] * len(item.payloads), item.lines
            )
            self._report.rows_in += rows.num_rows
            self._quarantine(rows)
            return False
        if isinstance(item, Done):
            self._read.update(item.slices)
            self._open.difference_update(item.slices)
            return False
        self._report.filtered.update(item.filtered)
        self._report.rows_in += sum(item.filtered.values())
        if item.slice is not None:
            self._open.add(item.slice)
        self._pages.append(item)
        self._size += _size(item)
        if self._size < BATCH_BYTES:
            return False
        self._flush()
        return True

    def end(self) -> None:
        self._flush()
        if self._open:
            raise SourceError(
                self._extraction.connection.system,
                f"{self._table.name}: the reading of {', '.join(sorted(self._open)[:3])} was not completed.",
                "This is an error of the connector; report it.",
            )
        least = int(self._extraction._variables()["emptied_slices_min"])
        if len(self._emptied) >= least and not self._still_filled:
            first, last = min(self._emptied), max(self._emptied)
            raise SourceError(
                self._extraction.connection.system,
                f"{self._table.name}: all {len(self._emptied)} slices from {first} to {last} that held rows "
                "came back empty.",
                "The stored rows are kept. Check the account in the vendor's own reports, then run again; "
                "emptied_slices_min sets from how many slices on this is refused.",
            )
        if self._greatest is not None and self._extraction.bounds is None:
            cursors = self._extraction.cursors.setdefault(self._account, {})
            stored = self._extraction._state().get(self._account, {}).get(self._table.name)
            greatest = self._greatest.isoformat()
            cursors[self._table.name] = max(greatest, stored or greatest)

    def _flush(self) -> None:
        """Validate the pages that came and pass their rows on, then judge the slices that were read whole."""
        if self._pages:
            self._convert()
        if self._read:
            read, self._read = self._read, {}
            self._done(read)

    def _convert(self) -> None:
        pages, self._pages, self._size = self._pages, [], 0
        converted = self._converter.convert(pages)
        self._report.rows_in += converted.rows_in
        self._report.unknown_fields.update(converted.unknown)
        self._quarantine(converted.quarantined)
        rows = converted.good
        if self._table.cursor is not None and rows.num_rows:
            # a value that lies a little ahead is kept, but the cursor never runs ahead of the present
            greatest = pc.max(rows[self._table.cursor]).as_py()
            greatest = min(greatest, self._extraction.as_of.replace(tzinfo=None))
            self._greatest = max(greatest, self._greatest or greatest)
        if self._table.is_sliced:
            self._count(rows)
            self._held.append(rows)
            self._pass_slices_with_known_checksum()
            return
        new, unchanged, superseded = self._extraction.stored.news(self._table, rows)
        self._report.unchanged += unchanged
        self._report.superseded += superseded
        self._send(new)

    # -- slices

    def _count(self, rows: pa.Table) -> None:
        if rows.num_rows:
            counts = rows["_slice"].value_counts()
            self._counts.update({row["values"]: row["counts"] for row in counts.to_pylist()})
            if self._table.slice_by is not None:
                self._open.update(counts.field("values").to_pylist())

    def _pass_slices_with_known_checksum(self) -> None:
        """Rows of slices that pages named are sent at once: their connector compared the checksum before it
        read."""
        if self._table.slice_by is None:
            for rows in self._held:
                self._send(rows)
            self._held = []

    def _done(self, checksums: dict[str, str | None]) -> None:
        stored = self._extraction.stored.slices(self._relation).get(self._table.name, {})
        unknown = [name for name, checksum in checksums.items() if checksum is None]
        if unknown and self._table.slice_by is None:
            raise SourceError(
                self._extraction.connection.system, f"{self._table.name}: a named slice has no checksum."
            )
        same: set[str] = set()
        if unknown:
            held = pa.concat_tables(self._held) if self._held else self._table.schema.empty_table()
            computed = self._extraction.stored.checksums(held)
            for name in unknown:
                checksums[name] = computed.get(name, EMPTY)
                if checksums[name] != EMPTY:
                    self._still_filled = True
                elif stored.get(name, EMPTY) not in (EMPTY, GONE, ""):
                    self._emptied.append(name)
            same = {name for name in unknown if stored.get(name) == checksums[name]}
            named = pc.is_in(held["_slice"], pa.array(list(checksums), pa.string()))
            unchanged = pc.is_in(held["_slice"], pa.array(sorted(same), pa.string()))
            self._send(held.filter(pc.and_(named, pc.invert(unchanged))))
            self._held = [held.filter(pc.invert(named))]
            self._report.unchanged += pc.sum(unchanged).as_py() or 0
        for name, checksum in checksums.items():
            self._open.discard(name)
            if name in same or (checksum == GONE and stored.get(name, GONE) == GONE):
                continue
            self._slice_rows.append(
                {
                    "source_relation": self._relation,
                    "resource": self._table.name,
                    "slice": name,
                    "row_count": 0 if checksum == GONE else self._counts[name],
                    "checksum": checksum,
                }
            )

    # -- out

    def _send(self, rows: pa.Table) -> None:
        self._report.good += rows.num_rows
        if rows.num_rows:
            self._waiting.append(rows)

    def _quarantine(self, rows: pa.Table) -> None:
        if rows.num_rows:
            self._report.quarantined += rows.num_rows
            relation = pa.repeat(pa.scalar(self._relation, pa.string()), rows.num_rows)
            self._extraction.quarantined.append(rows.append_column("source_relation", relation))


class _Stored:
    """What the warehouse holds of this connection. It stays open while dlt loads: dlt opens the file for each
    job, and opening one that this process has open already costs next to nothing."""

    def __init__(self, paths: Paths, connection: Connection) -> None:
        self.pseudonyms = Pseudonyms.for_folder(paths.key_file)
        self._con = connect(paths)
        self._dataset = connection.dataset
        self.tables = _tables(self._con, self._dataset)
        self._slices: dict[str, dict[str, dict[str, str]]] = {}
        if SLICES in self.tables:
            rows = self._con.execute(
                f"select source_relation, resource, slice, checksum from {self._dataset}.{SLICES}"
            ).fetchall()
            for relation, resource, name, checksum in rows:
                self._slices.setdefault(relation, {}).setdefault(resource, {})[name] = checksum

    def close(self) -> None:
        self._con.close()

    def slices(self, relation: str) -> dict[str, dict[str, str]]:
        return self._slices.get(relation, {})

    def news(self, table: Table, rows: pa.Table) -> tuple[pa.Table, int, int]:
        """(rows that are new or changed, count of unchanged, count of older versions than the stored one)."""
        if not rows.num_rows or table.name not in self.tables:
            return rows, 0, 0
        known = set(self.tables[table.name])
        on = " and ".join(f'b."{name}" = s."{name}"' for name in ("source_relation", *table.key))
        version = table.version or table.cursor
        older = f'b."{version}" < s."{version}"' if version else "false"
        same = " and ".join(
            f'b."{name}" is not distinct from s."{name}"' if name in known else f'b."{name}" is null'
            for name in rows.column_names
        )
        self._con.register("batch", rows)
        states = self._con.sql(
            f"select b._n, case when {older} then 2 when {same} then 1 else 0 end as state"
            f" from (select *, row_number() over () - 1 as _n from batch) b"
            f" join {self._dataset}.{table.name} s on {on}"
            f" where state > 0"
        ).to_arrow_table()
        self._con.unregister("batch")
        if not states.num_rows:
            return rows, 0, 0
        keep = np.ones(rows.num_rows, dtype=bool)
        keep[states["_n"].to_numpy()] = False
        superseded = int((states["state"].to_numpy() == 2).sum())
        return rows.filter(pa.array(keep)), states.num_rows - superseded, superseded

    def checksums(self, rows: pa.Table) -> dict[str, str]:
        """Slice -> a checksum of its rows that does not depend on their order."""
        if not rows.num_rows:
            return {}
        columns = [f'"{name}"' for name in rows.column_names if name != "_slice"]
        self._con.register("batch", rows)
        text = f"cast(to_json(struct_pack({', '.join(f'{name} := {name}' for name in columns)})) as varchar)"
        found = self._con.execute(
            f"select _slice, count(*) || ':' || sum(cast(md5_number({text}) % 1000000000000000003 "
            "as hugeint))"
            " from batch group by _slice"
        ).fetchall()
        self._con.unregister("batch")
        return dict(found)

    def new_quarantine(self, rows: pa.Table, now: datetime) -> pa.Table:
        self._con.register("batch", rows)
        seen = f"timestamp '{now.isoformat(sep=' ')}'"
        stored = f"{self._dataset}.{QUARANTINE}"
        if QUARANTINE not in self.tables:
            stored = (
                "(select '' as quarantine_id, '' as reason, cast(null as timestamp) as "
                "first_seen_at where false)"
            )
        result = self._con.sql(
            f"""
            select b.quarantine_id, b.source_relation, b.resource, b.reason, b.payload, b._slice, b._line,
                coalesce(cast(s.first_seen_at as timestamp), {seen}) as first_seen_at, {seen} as last_seen_at
            from (
                select quarantine_id, source_relation, resource, any_value(reason) as reason,
                    any_value(payload) as payload, any_value(_slice) as _slice, any_value(_line) as _line
                from (
                    select *, sha256(concat_ws(chr(31), source_relation, resource, coalesce(_slice, ''),
                        coalesce(cast(_line as varchar), ''), payload)) as quarantine_id
                    from batch
                )
                group by quarantine_id, source_relation, resource
            ) b
            left join {stored} s on s.quarantine_id = b.quarantine_id
            where s.quarantine_id is null or s.reason <> b.reason or b._slice is not null
            """
        ).to_arrow_table()
        self._con.unregister("batch")
        return result.cast(_QUARANTINE_TABLE)


def _chosen(system: System, tables: Sequence[str] | None, bounds: Bounds | None) -> tuple[Resource, ...]:
    """The resources that fill these tables; in a backfill only those with slices."""
    known = {table.name for table in system.tables}
    if tables is not None:
        unknown = sorted(set(tables) - known - {QUARANTINE, SLICES})
        if unknown:
            raise ConfigurationError(
                f"{system.name} has no table {', '.join(unknown)}. It has: {', '.join(sorted(known))}."
            )
    chosen = tuple(
        resource
        for resource in system.resources
        if (tables is None or any(table.name in tables for table in resource.tables))
        and (bounds is None or any(table.is_sliced for table in resource.tables))
    )
    if bounds is not None and not chosen:
        raise ConfigurationError(f"{system.name} has no table that can be filled by days.")
    return chosen


# ---- dlt


def pipeline(paths: Paths, connection: Connection) -> dlt.Pipeline:
    """The dlt pipeline of a connection: `<system>__<connection>` into dataset `raw_<system>`. Opens
    nothing."""
    return dlt.pipeline(
        pipeline_name=connection.pipeline_name,
        pipelines_dir=str(paths.dlt_dir),
        destination=dlt.destinations.duckdb(str(paths.warehouse)),
        dataset_name=connection.dataset,
        progress=None,
    )


def build_source(connection: Connection, tables: Sequence[str] | None = None) -> Any:
    """The dlt source of a connection, to be listed (assets). It opens nothing; it runs only within
    `loading`."""
    return _dlt_source(Extraction(connection, tables))


def _dlt_source(extraction: Extraction) -> Any:
    @dlt.source(name=extraction.connection.system, section=extraction.connection.system, max_table_nesting=0)
    def source() -> Any:
        # dlt runs them in this order, one after the other: the last two need the whole extraction
        for table in extraction.tables.values():
            yield _table_resource(extraction, table)
        yield _dlt_resource(
            extraction.slice_rows, SLICES, ("source_relation", "resource", "slice"), _SLICES_TABLE
        )
        yield _dlt_resource(extraction.quarantine_rows, QUARANTINE, ("quarantine_id",), _QUARANTINE_TABLE)

    return source()


_CONTRACT = {"tables": "evolve", "columns": "evolve", "data_type": "freeze"}  # no variant columns


def _dlt_resource(function: Any, name: str, key: tuple[str, ...], schema: pa.Schema) -> Any:
    def rows() -> Iterator[pa.Table]:
        yield from function()

    return dlt.resource(
        rows,
        name=name,
        write_disposition="merge",
        primary_key=list(key),
        columns=_zone_less(schema),
        schema_contract=_CONTRACT,
    )


def _table_resource(extraction: Extraction, table: Table) -> Any:
    def rows() -> Iterator[pa.Table]:
        yield from extraction.batches(table.name)

    hints: dict[str, Any] = {"write_disposition": "append"}
    columns = _zone_less(table.schema)
    if not table.is_sliced:
        hints["write_disposition"] = "merge"
        hints["primary_key"] = ["source_relation", *table.key]
        version = table.version or table.cursor
        if version is not None:
            columns.setdefault(version, {})["dedup_sort"] = "desc"
    return dlt.resource(rows, name=table.name, columns=columns, schema_contract=_CONTRACT, **hints)


def _zone_less(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """dlt makes timestamps with a time zone, unless it is told."""
    return {field.name: {"timezone": False} for field in schema if pa.types.is_timestamp(field.type)}


@dataclass
class Job:
    """One load in progress."""

    paths: Paths
    connection: Connection
    source: Any
    pipeline: Any
    extraction: Extraction
    run_options: Mapping[str, Any]
    started: float = field(default_factory=time.monotonic)
    _report: LoadReport | None = None

    def finish(self) -> LoadReport:
        """After dlt has loaded: prune what was replaced, and report."""
        if self._report is None:
            self.extraction.close()
            report = self.extraction.report
            info = self.pipeline.last_trace.last_load_info if self.pipeline.last_trace else None
            report.load_ids = list(info.loads_ids) if info is not None else []
            with connect(self.paths) as con:
                _prune(con, self.connection.dataset)
            _drop_working_directory(self.paths, self.connection)
            report.seconds = round(time.monotonic() - self.started, 3)
            for alert in report.alerts:
                log.warning(alert)
            self._report = report
        return self._report


@contextmanager
def loading(
    paths: Paths,
    connection: Connection,
    tables: Sequence[str] | None = None,
    *,
    bounds: Bounds | None = None,
    as_of: datetime | None = None,
    variables: Mapping[str, Any] | None = None,
    system: System | None = None,
) -> Iterator[Job]:
    """One load, step by step: the clean start, then the caller runs the pipeline, then `finish()`.

    Expected failures leave as one FunnelhouseError, whatever dlt wrapped them into; the raw tables then hold
    what they held before.
    """
    paths.create()
    _configure()
    extraction = Extraction(connection, tables, paths, as_of, bounds, variables, system)
    clean_start(paths, connection)
    made = pipeline(paths, connection)  # its run restores state and schemas from the warehouse
    job = Job(paths, connection, _dlt_source(extraction), made, extraction, {"loader_file_format": "parquet"})
    try:
        yield job
        job.finish()
    except Exception as error:
        extraction.close()
        expected = _expected(error)
        with suppress(duckdb.Error, OSError, FunnelhouseError):  # else the next load does it
            clean_start(paths, connection)
        if isinstance(expected, QuarantineFull):
            _keep_quarantine(paths, connection, extraction)
        _drop_working_directory(paths, connection)
        if expected is not None and expected is not error:
            raise expected from None
        raise


def load(
    paths: Paths,
    connection: Connection,
    tables: Sequence[str] | None = None,
    *,
    bounds: Bounds | None = None,
    as_of: datetime | None = None,
    variables: Mapping[str, Any] | None = None,
    system: System | None = None,
) -> LoadReport:
    """Load a connection's tables (all by default) and report. The caller holds the writer lock.

    `system` takes the place of the registered one (a replay of the quarantine, tests).
    """
    with loading(
        paths, connection, tables, bounds=bounds, as_of=as_of, variables=variables, system=system
    ) as job:
        job.pipeline.run(job.source, **job.run_options)
        return job.finish()


def _configure() -> None:
    """dlt's settings, the same for every way in; the environment's own settings for them would break rule
    3."""
    for name, value in {
        "EXTRACT__NEXT_ITEM_MODE": "fifo",
        "LOAD__DELETE_COMPLETED_JOBS": "true",
        "LOAD__TRUNCATE_STAGING_DATASET": "true",
        "LOAD__WORKERS": "1",
        "NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID": "true",
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": os.environ.get("RUNTIME__LOG_LEVEL", "ERROR"),
    }.items():
        os.environ[name] = value


def _expected(error: BaseException | None) -> FunnelhouseError | None:
    """The FunnelhouseError that dlt wrapped, if there is one; a full disk becomes one."""
    while error is not None:
        if isinstance(error, FunnelhouseError):
            return error
        is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if is_full or "No space left on device" in str(error) or "File too large" in str(error):
            return FunnelhouseError(
                "The disk is full, or a file may not grow further: nothing of this load was kept. "
                "Free some space in the data folder and run again."
            )
        error = error.__cause__ or error.__context__
    return None


# ---- the clean start


def clean_start(paths: Paths, connection: Connection) -> int:
    """Remove what a killed load left in the warehouse, and the pipeline's working directory. Returns the rows
    removed."""
    _drop_working_directory(paths, connection)
    if not paths.warehouse.exists():
        return 0
    dataset = connection.dataset
    removed = 0
    with connect(paths) as con:
        tables = _tables(con, dataset)
        if "_dlt_loads" not in tables:
            return 0
        con.execute("begin")
        committed = f"(select load_id from {dataset}._dlt_loads where status = 0)"
        data = [name for name, columns in tables.items() if "_dlt_load_id" in columns]
        for name in data:
            uncommitted = f"_dlt_load_id not in {committed}"
            if name == SLICES:
                continue
            if SLICES in tables and "_slice" in tables[name] and name != QUARANTINE:
                con.execute(
                    f"update {dataset}.{SLICES} s set checksum = '' where resource = '{name}' and exists ("
                    f"select 1 from {dataset}.{name} r where r.{uncommitted}"
                    " and r.source_relation = s.source_relation and r._slice = s.slice)"
                )
            removed += len(
                con.execute(f"delete from {dataset}.{name} where {uncommitted} returning 1").fetchall()
            )
        if SLICES in tables:
            # a mark stays, so that a slice that has vanished at its source is still known to be removed
            con.execute(
                f"update {dataset}.{SLICES} set checksum = '', _dlt_load_id = '' "
                f"where _dlt_load_id not in {committed}"
            )
        con.execute(f"delete from {dataset}._dlt_loads where status <> 0")
        if "_dlt_pipeline_state" in tables:
            con.execute(f"delete from {dataset}._dlt_pipeline_state where _dlt_load_id not in {committed}")
        con.execute("commit")
        _prune(con, dataset)
    if removed:
        log.warning("%s: removed %s rows of a load that was not completed", connection.system, removed)
    return removed


def _prune(con: duckdb.DuckDBPyConnection, dataset: str) -> None:
    """Remove rows of slices that have been replaced since: the row's load is not its slice's."""
    tables = _tables(con, dataset)
    if SLICES not in tables:
        return
    for name, columns in tables.items():
        if name in (SLICES,) or not {"_slice", "_dlt_load_id", "source_relation"} <= set(columns):
            continue
        resource = "r.resource" if name == QUARANTINE else f"'{name}'"
        con.execute(
            f"delete from {dataset}.{name} r using {dataset}.{SLICES} s where s.resource = {resource}"
            " and s.source_relation = r.source_relation and s.slice = r._slice"
            " and s._dlt_load_id not in ('', r._dlt_load_id)"
        )


def prune_replaced(con: duckdb.DuckDBPyConnection) -> None:
    """Finish, in every raw dataset, what a kill has cut off between a load's commit and its pruning. Whoever
    builds on raw calls this first."""
    datasets = con.execute(
        "select distinct table_schema from information_schema.tables where table_name = ?", [SLICES]
    ).fetchall()
    for (dataset,) in datasets:
        if dataset.startswith("raw_") and not dataset.endswith("_staging"):
            _prune(con, dataset)


def _drop_working_directory(paths: Paths, connection: Connection) -> None:
    """dlt's working files of this connection: they hold loaded packages, and a package that waits would block
    every later run."""
    shutil.rmtree(paths.dlt_dir / connection.pipeline_name, ignore_errors=True)


def _keep_quarantine(paths: Paths, connection: Connection, extraction: Extraction) -> None:
    """A load failed for its full quarantine: keep these records all the same, so that a person can see the
    reasons."""
    rows = extraction._quarantine_table()
    extraction.close()
    _drop_working_directory(paths, connection)
    made = pipeline(paths, connection)

    @dlt.source(name=connection.system, section=connection.system, max_table_nesting=0)
    def only_quarantine() -> Any:
        yield _dlt_resource(lambda: iter([rows]), QUARANTINE, ("quarantine_id",), _QUARANTINE_TABLE)

    made.run(only_quarantine(), loader_file_format="parquet")
    _drop_working_directory(paths, connection)
