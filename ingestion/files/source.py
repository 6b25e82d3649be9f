"""Files to pages: reading (CSV, JSON lines, Parquet, each also gzipped) and mapping, in Arrow and DuckDB,
never row by row.

A file is a slice; its checksum is that of its bytes and of its part of the manifest. An unchanged file is not
read again.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import json
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from ingestion.errors import ConfigurationError, SourceError
from ingestion.files.manifest import OWN_ENTITIES, Group, Manifest, Mapped, read_manifest
from ingestion.files.places import Place, missing_folder
from ingestion.records import Column, JsonLines, Table, locked_down_duckdb
from ingestion.settings import Connection, Setting, canonical_entities
from ingestion.sources import GONE, Context, Done, Item, Page, Refused, Resource, System

BLOCK = 16 << 20
ROWS = 100_000
BLANKS = (" ", "\u00a0", "\u202f")  # a thousands separator that looks like a blank is any of them
_ASCII_LIKE = ("utf_8", "latin_1", "iso8859", "cp125", "ascii", "koi8", "mac")
_NUMBERS = ("bigint", "double", "money", "rate")


def manifest_of(connection: Connection) -> Manifest:
    path = connection.options.get("manifest") or connection.get("MANIFEST")
    if not path:
        raise ConfigurationError(
            "files: no manifest is given. Run with `--manifest PATH`, or set "
            "SOURCES__FILES__MANIFEST to its path."
        )
    return read_manifest(str(path))


def tables() -> tuple[Table, ...]:
    """One raw table for each canonical entity, with all its columns."""
    return tuple(
        Table(
            entity,
            columns=(*_columns(entity), Column("_line", "bigint", required=True)),
            key=("_line",),
            sliced=True,
            description=f"{entity.replace('_', ' ')} from the file drop: one row per record of a file",
        )
        for entity in canonical_entities()
        if entity not in OWN_ENTITIES
    )


def _columns(entity: str) -> tuple[Column, ...]:
    definition = canonical_entities()[entity]
    required = set(definition["required"])
    return tuple(
        Column(name, kind, required=name in required) for name, kind in definition["columns"].items()
    )


def extract(entity: str, context: Context) -> Iterator[Item]:
    """The pages of one entity: every file that is new or has changed; files that have vanished are marked as
    gone."""
    manifest = manifest_of(context.connection)
    stored = context.slices(entity)
    present = set()
    for name, file, group in manifest.files_of(entity):
        present.add(name)
        checksum = hashlib.sha256(f"{group.fingerprint}{file.version()}".encode()).hexdigest()
        if stored.get(name) == checksum:
            continue
        reader = _FileReader(entity, name, file, group)
        try:
            yield from reader.pages()
        except (OSError, EOFError, zlib.error, gzip.BadGzipFile, pa.ArrowException) as error:
            what = " ".join(str(error).split())[:200]
            raise SourceError(
                "files",
                f"{file.name} cannot be read to its end ({what}).",
                "Replace the file; nothing of this load was kept.",
            ) from None
        yield Done(entity, {name: checksum})
    gone = {name: GONE for name, checksum in stored.items() if name not in present and checksum != GONE}
    if gone:
        missing = [missing_folder(manifest.file, group.pattern) for group in manifest.groups_of(entity)]
        if any(missing):
            raise SourceError(
                "files",
                f"{entity}: the folder {next(filter(None, missing))} is not there, from which {len(gone)} "
                "files were loaded.",
                "Bring it back; to remove their rows on purpose, leave the folder there without them.",
            )
        yield Done(entity, gone)


def check(connection: Connection) -> str:
    """The manifest is valid, and every glob finds a file."""
    manifest = manifest_of(connection)
    count = 0
    for entity in manifest.entities:
        files = manifest.files_of(entity)
        if not files:
            raise ConfigurationError(f"{manifest.file}: entities.{entity}: no file matches. Check `path`.")
        count += len(files)
    return f"manifest {manifest.file.name}: {count} files of {len(manifest.entities)} entities"


def accounts(connection: Connection) -> tuple[str, ...]:
    return (manifest_of(connection).name,)


def resources() -> tuple[Resource, ...]:
    return tuple(Resource(table.name, (table,), partial(extract, table.name)) for table in tables())


def make_system() -> System:
    return System(
        name="files",
        resources=resources(),
        check=check,
        accounts=accounts,
        settings=(Setting("MANIFEST", help="path of the manifest.yml", required=False),),
    )


# ---- one file


class _FileReader:
    def __init__(self, entity: str, slice_: str, file: Place, group: Group) -> None:
        self.entity, self.slice, self.file, self.group = entity, slice_, file, group
        self._con = locked_down_duckdb()
        declared = (self._declared(column) for column in _columns(entity))
        self._columns = (*declared, Column("_line", "bigint", required=True))
        self._bad: list[tuple[int | None, str, str]] = []
        self._sql: str | None = None

    def _declared(self, column: Column) -> Column:
        """The canonical column with this file's formats."""
        mapped = self.group.columns.get(column.name)
        if mapped is None or mapped.value is not None:
            return column
        reading = mapped.reading
        if column.type == "timestamp":
            return replace(column, format=reading.timestamp_format, time_zone=reading.time_zone)
        if column.type == "date":
            return replace(column, format=reading.date_format)
        return column

    def pages(self) -> Iterator[Item]:
        kind = self.group.format_of(self.file.name)
        read = {"csv": self._csv, "jsonl": self._json_lines, "parquet": self._parquet}[kind]
        for theirs, lines in read():
            if theirs.num_rows:
                yield self._page(theirs, lines)
            yield from self._refusals()
        yield from self._refusals()

    # -- reading: (their columns, line numbers)

    def _csv(self) -> Iterator[tuple[pa.Table, np.ndarray]]:
        delimiter = self.group.delimiter_of(self.file.name)
        names = self._header(delimiter)
        width = len(names)
        starts = self._record_lines(delimiter)
        if starts is not None and len(starts) < 2:
            return  # nothing below the header, which pyarrow takes for an error where it lacks its line end
        invalid: list[int] = []

        def on_invalid(row: Any) -> str:
            # numbers of records, the header being number 1
            number = row.number if row.number is not None else -1
            invalid.append(number)
            line = number if starts is None or not 0 < number <= len(starts) else int(starts[number - 1])
            self._bad.append(
                (line, row.text, f"the line has {row.actual_columns} columns instead of {width}")
            )
            return "skip"

        reader = pa.csv.open_csv(
            self._stream(),
            read_options=pa.csv.ReadOptions(
                use_threads=False,
                block_size=BLOCK,
                column_names=names,
                skip_rows=1,
                encoding=self.group.encoding,
            ),
            parse_options=pa.csv.ParseOptions(
                delimiter=delimiter,
                quote_char=self.group.quote or False,
                newlines_in_values=bool(self.group.quote),
                invalid_row_handler=on_invalid,
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types={name: pa.binary() for name in names}, strings_can_be_null=False, null_values=[]
            ),
        )
        good = 0
        for batch in reader:
            numbers = np.arange(good + 1, good + batch.num_rows + 1)
            good += batch.num_rows
            # the k-th refused record stands before all good ones whose count so far exceeds its number - 1
            # - k
            shifts = np.sort(np.array(invalid, dtype=np.int64)) - 2 - np.arange(len(invalid))
            lines = numbers + 1 + np.searchsorted(shifts, numbers - 1, side="right")
            if starts is not None:
                lines = starts[np.minimum(lines, len(starts)) - 1]
            yield self._decoded(pa.Table.from_batches([batch]), lines)

    def _record_lines(self, delimiter: str) -> np.ndarray | None:
        """The line on which each record begins, the header's included; None where a record's number is its
        line, as in most files."""
        if self._is_a_record_a_line():
            return None
        csv.field_size_limit(sys.maxsize)
        starts, line = [], 0
        with self._text() as text:
            rows = csv.reader(text, **self._dialect(delimiter))
            for row in rows:
                if row:
                    starts.append(line + 1)
                line = rows.line_num
        return np.array(starts, dtype=np.int64)

    def _is_a_record_a_line(self) -> bool:
        """Whether there is no blank line and no line break within quotes, and anything below the header. In
        columns: a parser's loop over each record takes ten times as long."""
        encoding = codecs.lookup(self.group.encoding).name.replace("-", "_")
        if not encoding.startswith(_ASCII_LIKE):
            return False
        quote = self.group.quote.encode()
        lines = marks = 0
        before = b"\n"
        with self._stream() as stream:
            while block := bytes(stream.read(BLOCK)):
                edge = before + block[:2]
                if any(blank in part for blank in (b"\n\n", b"\n\r\n") for part in (edge, block)):
                    return False
                ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == ord("\n"))
                inside = np.full(len(ends), marks)
                if quote and quote in block:
                    found = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == quote[0])
                    inside += np.searchsorted(found, ends)
                    marks += len(found)
                if (inside % 2).any():
                    return False
                lines += len(ends)
                before = block[-2:]
        return lines + (before[-1:] != b"\n") > 1

    def _text(self) -> io.TextIOWrapper:
        return io.TextIOWrapper(self._stream(), self._text_encoding, "backslashreplace", newline="")

    @property
    def _text_encoding(self) -> str:
        """The encoding, a byte order mark left out."""
        return "utf-8-sig" if codecs.lookup(self.group.encoding).name == "utf-8" else self.group.encoding

    def _dialect(self, delimiter: str) -> dict[str, Any]:
        quote = self.group.quote or None
        return {
            "delimiter": delimiter,
            "quotechar": quote,
            "quoting": csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        }

    def _header(self, delimiter: str) -> list[str]:
        with self._text() as text:
            names = next(csv.reader(text, **self._dialect(delimiter)), [])
        names = [name.strip() or f"column_{position}" for position, name in enumerate(names, 1)]
        doubles = [name for name, count in Counter(name.lower() for name in names).items() if count > 1]
        if doubles:
            raise SourceError(
                "files", f"{self.file.name} has two columns called {doubles[0]!r}.", "Rename one."
            )
        self._check_columns(names)
        return names

    def _decoded(self, rows: pa.Table, lines: np.ndarray) -> tuple[pa.Table, np.ndarray]:
        """Bytes to text; rows that are not UTF-8 or hold NUL are refused, the others go on."""
        try:
            texts = rows.cast(pa.schema([pa.field(name, pa.string()) for name in rows.column_names]))
            wrong = np.zeros(rows.num_rows, dtype=bool)
        except pa.ArrowInvalid:
            wrong = np.array([any(not _is_utf8(value) for value in row.values()) for row in rows.to_pylist()])
            texts = None
        for column in (texts if texts is not None else rows).columns:
            found = pc.match_substring(column, b"\x00" if pa.types.is_binary(column.type) else "\x00")
            if pc.any(found).as_py():
                wrong |= found.to_numpy().astype(bool)
        if wrong.any():
            for row, line in zip(rows.filter(pa.array(wrong)).to_pylist(), lines[wrong], strict=True):
                text = {name: value.decode("utf-8", "backslashreplace") for name, value in row.items()}
                self._bad.append((int(line), json.dumps(text), "the line holds bytes that are no UTF-8 text"))
            rows, lines = rows.filter(pa.array(~wrong)), lines[~wrong]
            texts = rows.cast(pa.schema([pa.field(name, pa.string()) for name in rows.column_names]))
        return self._without_nulls(texts), lines

    def _without_nulls(self, rows: pa.Table) -> pa.Table:
        """The texts that mean nothing become NULL."""
        nulls = pa.array(list(self.group.null_values), pa.string())
        for position, name in enumerate(rows.column_names):
            column = rows.column(position)
            if not pa.types.is_string(column.type):
                continue
            empty = pc.is_in(column, nulls)
            if pc.any(empty).as_py():
                rows = rows.set_column(
                    position, name, pc.if_else(empty, pa.scalar(None, pa.string()), column)
                )
        return rows

    def _json_lines(self) -> Iterator[tuple[pa.Table, np.ndarray]]:
        names = self.group.uses
        reader = JsonLines(self.slice, names)
        decoder = None
        if codecs.lookup(self.group.encoding).name not in ("utf-8", "ascii"):
            decoder = codecs.getincrementaldecoder(self.group.encoding)("backslashreplace")
        line = 1
        with self._stream() as stream:
            rest = b""
            while True:
                block = bytes(stream.read(BLOCK))
                ended = not block
                if decoder is not None:
                    block = decoder.decode(block, final=ended).encode("utf-8", "surrogatepass")
                if line == 1 and not rest:
                    block = block.removeprefix(codecs.BOM_UTF8)
                data = rest + block
                end = len(data) if ended else data.rfind(b"\n") + 1
                whole, rest = data[:end], data[end:]
                if whole:
                    rows, refused = reader.read(whole, line)
                    self._bad += [(number, text, reason) for text, reason, _, number in refused]
                    line += whole.count(b"\n")
                    yield self._without_nulls(rows.drop_columns(["_line"])), rows["_line"].to_numpy()
                if ended:
                    return

    def _parquet(self) -> Iterator[tuple[pa.Table, np.ndarray]]:
        source: Any = self.file.open()
        if self.file.name.lower().endswith(".gz"):
            source = pa.BufferReader(source.read())  # a file that cannot be searched in
        content = pa.parquet.ParquetFile(source)
        self._check_columns(content.schema_arrow.names)
        line = 0
        for batch in content.iter_batches(batch_size=ROWS):
            lines = np.arange(line + 1, line + batch.num_rows + 1)
            line += batch.num_rows
            yield self._without_nulls(pa.Table.from_batches([batch])), lines

    def _stream(self) -> pa.NativeFile:
        return self.file.open()

    def _check_columns(self, names: list[str]) -> None:
        known = {name.lower() for name in names}
        for name in self.group.uses:
            if name.lower() not in known:
                raise SourceError(
                    "files",
                    f"{self.file.name} has no column {name!r}; it has: {', '.join(names[:40])}.",
                    f"Correct entities.{self.entity} in the manifest, or the file.",
                )

    # -- mapping

    def _page(self, theirs: pa.Table, lines: np.ndarray) -> Page:
        payload = theirs.drop_columns(["_payload"]) if "_payload" in theirs.column_names else theirs
        source = payload.drop_columns(["_extra"]) if "_payload" in theirs.column_names else theirs
        table = source.append_column("_line", pa.array(lines, pa.int64()))
        if "_extra" in theirs.column_names and "_payload" in theirs.column_names:
            table = table.append_column("_rest", theirs["_extra"])
            source = theirs.select(["_payload"])
        if self._sql is None:
            self._sql = self._mapping_sql(table.column_names)
        self._con.register("input", table)
        try:
            ours = self._con.sql(self._sql).to_arrow_table()
        except duckdb.Error as error:
            message = str(error).splitlines()[0]
            raise ConfigurationError(
                f"entities.{self.entity}: an expression does not fit {self.file.name} ({message}). "
                "Correct the manifest."
            ) from None
        finally:
            self._con.unregister("input")
        filtered: Counter[str] = Counter()
        reasons = ours["_filtered"]
        if reasons.null_count < len(reasons):
            filtered.update(reasons.drop_null().to_pylist())
            keep = pc.is_null(reasons)
            ours, source = ours.filter(keep), source.filter(keep)
        return Page(
            self.entity,
            arrow=ours.drop_columns(["_filtered"]),
            slice=self.slice,
            filtered=filtered,
            columns=self._columns,
            source=source,
        )

    def _mapping_sql(self, names: list[str]) -> str:
        inner, outer, failures = [], [], []
        for column in self._columns:
            mapped = self.group.columns.get(column.name)
            if mapped is None:
                continue
            if mapped.sql is not None:
                inner.append(f"try(struct_pack(v := ({mapped.sql}))) as {_quoted('_made_' + column.name)}")
                outer.append(f"{_quoted('_made_' + column.name)}.v as {_quoted(column.name)}")
                failures.append(
                    f"case when {_quoted('_made_' + column.name)} is null then '{column.name}: its "
                    "expression failed' end"
                )
            else:
                outer.append(f"{self._simple(column, mapped)} as {_quoted(column.name)}")
        own_key = canonical_entities()[self.entity]["key"]
        if len(own_key) == 1 and own_key[0] not in self.group.columns:
            outer.append(f"{_literal(self.slice + ':')} || _line as {_quoted(own_key[0])}")
        rules = []
        for rule in self.group.filters:
            rules.append(f"when ({rule.when}) then {_literal(rule.reason)}")
        filtered = f"case {' '.join(rules)} end" if rules else "cast(null as varchar)"
        used = {name.lower() for name in self.group.uses} | {"_line", "_file"}
        rest = [name for name in names if name.lower() not in used]
        extra = "cast(null as varchar)"
        if "_rest" in names:
            extra = "_rest"
        elif rest:
            packed = ", ".join(f"{_quoted(name)} := {_quoted(name)}" for name in rest)
            extra = f"cast(to_json(struct_pack({packed})) as varchar)"
        reason = (
            f"nullif(concat_ws('; ', {', '.join(failures)}), '')" if failures else "cast(null as varchar)"
        )
        made = ", ".join(["*", *inner])
        return (
            f"select {', '.join([*outer, '_line'])}, {reason} as _reason, {extra} as _extra,"
            f" {filtered} as _filtered from (select {made} from (select *, {_literal(self.slice)} "
            "as _file from input))"
        )

    def _simple(self, column: Column, mapped: Mapped) -> str:
        if mapped.value is not None:
            return _literal(mapped.value)
        source = _quoted(mapped.column or "")
        reading = mapped.reading
        if column.type in _NUMBERS and (reading.thousands_separator or reading.decimal_separator != "."):
            text = f"cast({source} as varchar)"
            if reading.thousands_separator:
                blank = reading.thousands_separator in BLANKS
                for separator in BLANKS if blank else (reading.thousands_separator,):
                    text = f"replace({text}, {_literal(separator)}, '')"
            return f"replace({text}, {_literal(reading.decimal_separator)}, '.')"
        return source

    def _refusals(self) -> Iterator[Refused]:
        if self._bad:
            bad, self._bad = self._bad, []
            yield Refused(
                self.entity,
                payloads=[text for _, text, _ in bad],
                reasons=[reason for _, _, reason in bad],
                slice=self.slice,
                lines=[number for number, _, _ in bad],
            )


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
