"""Raw tables and their records: the declaration (`Column`, `Table`) and the validation of every record, in
columns.

Conversion has two steps, both in an in-memory DuckDB over Arrow:
1. pages to text columns: one per declared column, plus `_extra` (the unknown fields) and `_payload` (the
   record's JSON);
2. text (or typed) columns to the declared types by try_cast. What does not cast goes to the quarantine with
   the reason.

A page that holds something a fast parser would refuse or silently change (a lone surrogate, NUL, NaN,
decimals of more digits than a double) is read record by record instead, so that one bad record never costs
its neighbours.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal

import duckdb
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.errors import BadAnswer
from ingestion.privacy import Pseudonyms

if TYPE_CHECKING:
    from ingestion.sources import Page

Type = Literal[
    "text",
    "bigint",
    "double",
    "boolean",
    "date",
    "timestamp",
    "money",
    "rate",
    "json",
    "email",
    "phone",
    "digest",
]

ARROW_TYPES: dict[str, pa.DataType] = {
    "text": pa.string(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "money": pa.decimal128(19, 4),
    "rate": pa.decimal128(18, 8),
    "json": pa.string(),
    "email": pa.string(),
    "phone": pa.string(),
    "digest": pa.string(),
}


@dataclass(frozen=True)
class Column:
    """One declared column of a raw table.

    path: where the value stands in the record, dotted ("properties.email"); the name itself by default. A
        tuple where a field name holds a dot.
    unit: for timestamps that are numbers since 1970: "s", "ms" or "us".
    format: strptime format of a date or timestamp; without it ISO 8601 is read.
    time_zone: of timestamps that carry no offset (default UTC).
    Money is rounded half away from zero to 4 decimals, rates to 8; no other type is rounded.
    """

    name: str
    type: Type = "text"
    path: str | tuple[str, ...] | None = None
    required: bool = False
    unit: Literal["s", "ms", "us"] | None = None
    format: str | None = None
    time_zone: str | None = None

    @property
    def steps(self) -> tuple[str, ...]:
        """The field names on the way to the value."""
        path = self.path if self.path is not None else self.name
        return path if isinstance(path, tuple) else tuple(path.split("."))


@dataclass(frozen=True)
class Table:
    """One raw table.

    key: declared columns that, with source_relation (and the slice's rows' own key), identify a row. All are
        required.
    slice_by: the declared column whose value is the slice (its day, where it is a timestamp).
    sliced: each page names its slice instead.
    version: the column that orders versions of one record; an older one never overwrites a newer one.
    cursor: the column whose greatest value is remembered (required in each record; values after the run's
        moment are refused).
    lag: how far before the cursor the next run reads again.
    ignored: top-level fields (or dotted paths) that are known and unwanted.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    slice_by: str | None = None
    sliced: bool = False
    version: str | None = None
    cursor: str | None = None
    lag: timedelta = timedelta(hours=1)
    ignored: tuple[str, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        names = {column.name for column in self.columns}
        referred = {*self.key, *filter(None, (self.slice_by, self.version, self.cursor))}
        if referred - names:
            raise ValueError(f"table {self.name}: {sorted(referred - names)} are no declared columns")
        if len({name.lower() for name in names}) != len(self.columns):
            raise ValueError(f"table {self.name}: a column is declared twice")

    @property
    def is_sliced(self) -> bool:
        return self.sliced or self.slice_by is not None

    @cached_property
    def schema(self) -> pa.Schema:
        """The raw table's columns, without `_dlt_load_id`, which dlt adds."""
        fields = []
        has_domain = False
        for column in self.columns:
            if column.type == "email":
                fields.append(pa.field(f"{column.name}_hash", pa.string()))
                fields.append(
                    pa.field(f"{column.name}_domain" if has_domain else "email_domain", pa.string())
                )
                has_domain = True
            elif column.type == "phone":
                fields.append(pa.field(f"{column.name}_hash", pa.string()))
            else:
                fields.append(pa.field(column.name, ARROW_TYPES[column.type]))
        for name in ("source_relation", "_slice", "_extra"):
            fields.append(pa.field(name, pa.string()))
        return pa.schema(fields)


QUARANTINE_SCHEMA = pa.schema(
    [
        pa.field("resource", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("payload", pa.string()),
        pa.field("_slice", pa.string()),
        pa.field("_line", pa.int64()),
    ]
)
Refusal = tuple[str, str, "str | None", "int | None"]
"""A record that could not be read: its text, the reason, its slice, its line."""
FUTURE_TOLERANCE = timedelta(days=1)
_PIECE = 1 << 18  # bytes of one row of JSON lines that DuckDB gets: small enough to run in parallel
_SUSPICIOUS = r"\x00|\\u0000|\\u[dD][89a-fA-F]|\bNaN\b|Infinity|\d{12,}\.\d|\.\d{15,}"
_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")


@dataclass
class Converted:
    """What became of some pages: rows_in = good + quarantined."""

    good: pa.Table
    quarantined: pa.Table
    rows_in: int
    unknown: dict[str, int] = field(default_factory=dict)
    """Undeclared top-level fields -> number of records that had them."""


class Converter:
    """Turns pages of one table and account into typed rows and quarantine rows.

    In an in-memory DuckDB without access to files or the network.
    """

    def __init__(self, table: Table, source_relation: str, pseudonyms: Pseudonyms, as_of: datetime) -> None:
        self.table = table
        self.source_relation = source_relation
        self.pseudonyms = pseudonyms
        self.as_of = as_of.astimezone(UTC).replace(tzinfo=None)
        self._con = locked_down_duckdb()
        self._digests = any(column.type == "digest" for column in table.columns)

    def convert(self, pages: Sequence[Page]) -> Converted:
        """Validate all records of some pages together; about 50 thousand records at once is the quickest."""
        parts: list[pa.Table] = []
        refused: list[Refusal] = []
        unknown: dict[str, int] = {}
        bodies = [piece for page in pages if page.arrow is None for piece in _page_pieces(page)]
        for at, lines in sorted({(piece.at, piece.lines) for piece in bodies}):
            chosen = [piece for piece in bodies if (piece.at, piece.lines) == (at, lines)]
            parts.extend(self._texts(chosen, at, lines, refused, unknown))
        converted = [self._typed(part, self.table.columns) for part in parts]
        alike: dict[Any, list[Page]] = {}
        for page in pages:
            if page.arrow is not None:
                source_schema = page.source.schema if page.source is not None else None
                alike.setdefault((page.columns, page.arrow.schema, source_schema), []).append(page)
        for (columns, _, source_schema), group in alike.items():
            arrow = pa.concat_tables(map(_with_slice, group))
            source = pa.concat_tables([page.source for page in group]) if source_schema is not None else None
            parts.append(arrow)
            converted.append(self._typed(arrow, columns or self.table.columns, source))
            self._count_extra(arrow, unknown)
        good = pa.concat_tables([self.table.schema.empty_table(), *(rows for rows, _ in converted)])
        bad = [bad for _, bad in converted]
        if refused:
            texts, reasons, slices, lines_ = map(list, zip(*refused, strict=True))
            bad.append(self.quarantine(texts, reasons, slices, lines_))
        quarantined = pa.concat_tables([QUARANTINE_SCHEMA.empty_table(), *bad])
        rows_in = sum(part.num_rows for part in parts) + len(refused)
        if rows_in != good.num_rows + quarantined.num_rows:
            raise AssertionError(
                f"{self.table.name}: {rows_in} in, {good.num_rows} good, {quarantined.num_rows} quarantined"
            )
        return Converted(good, quarantined, rows_in, unknown)

    def _count_extra(self, arrow: pa.Table, unknown: dict[str, int]) -> None:
        """Note the fields that a connector itself put into `_extra`."""
        if "_extra" not in arrow.column_names or arrow["_extra"].null_count == arrow.num_rows:
            return
        found = self._query(
            "select unnest(json_keys(_extra)) as field, count(*) as records from input"
            " where _extra is not null group by field",
            arrow.select(["_extra"]),
        )
        for name, count in zip(found["field"].to_pylist(), found["records"].to_pylist(), strict=True):
            unknown[name] = unknown.get(name, 0) + count

    def quarantine(
        self,
        payloads: Sequence[str],
        reasons: Sequence[str],
        slices: Sequence[str | None],
        lines: Sequence[int | None] | None = None,
    ) -> pa.Table:
        """Quarantine rows of payloads as they came; addresses in them become pseudonyms, the text becomes
        ASCII."""
        texts = pa.chunked_array([[ascii_json(text) for text in payloads]], pa.string())
        if not self.pseudonyms.keep_clear:
            texts = self.pseudonyms.scrub_column(texts, self._digests, keep_domain=True)
        columns = [
            _constant(self.table.name, len(texts)),
            pa.array(list(reasons), pa.string()),
            texts,
            pa.array(list(slices), pa.string()),
            pa.array(list(lines) if lines is not None else [None] * len(texts), pa.int64()),
        ]
        return pa.table(columns, schema=QUARANTINE_SCHEMA)

    # ---- step 1: JSON to text columns

    def _texts(
        self,
        pieces: list[_Piece],
        at: str,
        lines: bool,
        refused: list[Refusal],
        unknown: dict[str, int],
    ) -> Iterator[pa.Table]:
        slow: list[_Piece] = []
        quick: list[_Piece] = []
        for piece in pieces:
            (slow if piece.text is None else quick).append(piece)
        if quick:
            flags = self._query(
                f"select regexp_matches(body, {_literal(_SUSPICIOUS)}) as flag from input",
                pa.table({"body": pa.chunked_array([piece.text for piece in quick], pa.string())}),
            )["flag"].to_pylist()
            slow += [
                piece for piece, flag in zip(quick, flags, strict=True) if flag and _is_poisoned(piece.raw)
            ]
            poisoned = set(map(id, slow))
            quick = [piece for piece in quick if id(piece) not in poisoned]
        if quick:
            records = self._records(quick, at, lines)
            try:
                yield self._project(records, refused, unknown)
            except duckdb.Error:  # a record that only the slow reader can isolate
                slow, quick = slow + quick, []
        for piece in slow:
            yield self._one_by_one(piece, refused, unknown)

    def _records(self, pieces: list[_Piece], at: str, lines: bool) -> pa.Table:
        """One row per record: `_payload` (its JSON text) and `_slice`."""
        bodies = pa.table(
            {
                "body": pa.chunked_array([piece.text for piece in pieces], pa.string()),
                "_slice": pa.chunked_array([[piece.slice] for piece in pieces], pa.string()),
                "_first": pa.chunked_array([[piece.first_line] for piece in pieces], pa.int64()),
            }
        )
        if lines:
            return self._query(
                "select _payload, _slice, _line from (select unnest(lines) as _payload, _slice,"
                " unnest(range(_first, _first + len(lines))) as _line"
                " from (select string_split(body, chr(10)) as lines, _slice, _first from input))"
                " where trim(_payload, chr(13) || chr(32) || chr(9)) <> ''",
                bodies,
            )
        path = _json_path(tuple(filter(None, at.split("."))))
        kinds = self._query(
            f"select distinct case when json_valid(body) then json_type(body, {path}) else "
            "'INVALID' end as kind from input",
            bodies,
        )["kind"].to_pylist()
        if set(kinds) - {"ARRAY", "OBJECT", None} or (None in kinds and not at):
            raise BadAnswer(
                self.source_relation, f"a page of {self.table.name} has no records at {at or 'its top'!r}."
            )
        every = _json_path((*filter(None, at.split(".")),), "[*]")
        return self._query(
            f"select unnest(case when json_type(body, {path}) = 'OBJECT' then [json_extract(body, {path})]"
            f" else json_extract(body, {every}) end) as _payload, _slice, cast(null as bigint) as "
            "_line from input",
            bodies,
        )

    def _project(self, records: pa.Table, refused: list[Refusal], unknown: dict[str, int]) -> pa.Table:
        """The declared columns as text, `_extra`, and the record itself."""
        kinds = self._query(
            "select case when json_valid(_payload) then coalesce(json_type(_payload), 'NULL') else "
            "'INVALID' end as kind"
            " from input",
            records,
        )["kind"]
        objects = pc.equal(kinds, "OBJECT")
        if not pc.all(objects).as_py():
            odd = records.filter(pc.invert(objects)).to_pylist()
            for row, kind in zip(odd, kinds.filter(pc.invert(objects)).to_pylist(), strict=True):
                what = "is not valid JSON" if kind == "INVALID" else "is no object"
                refused.append((row["_payload"] or "null", f"the record {what}", row["_slice"], row["_line"]))
            records = records.filter(objects)
        fields = self._query(
            "select field, count(*) as records from (select unnest(json_keys(_payload)) as field "
            "from input) group by field",
            records,
        )
        declared = {column.steps[0] for column in self.table.columns} | set(self.table.ignored)
        for name, count in zip(fields["field"].to_pylist(), fields["records"].to_pylist(), strict=True):
            if name not in declared:
                unknown[name] = unknown.get(name, 0) + count
        nested = any(len(column.steps) > 1 for column in self.table.columns)
        has_extra = nested or any(name not in declared for name in fields["field"].to_pylist())
        structure, expressions = self._structure
        extra = "cast(null as varchar)"
        if has_extra:
            patch = _literal(json.dumps(self._patch))
            extra = f"nullif({_without_empty(f'json_merge_patch(_payload, {patch})', self._patch)}, '{{}}')"
        columns = ", ".join(
            f"{expressions[column.name]} as {_quoted(column.name)}"
            for column in self.table.columns
            if column.name != "_line"
        )
        return self._query(
            f"select {columns}, {extra} as _extra, _payload, _slice, _line"
            f" from (select *, from_json(_payload, {_literal(structure)}) as s from input)",
            records,
        )

    @cached_property
    def _structure(self) -> tuple[str, dict[str, str]]:
        """The structure for from_json, and each column's expression over it."""
        tree: dict[str, Any] = {}
        expressions = {}
        for column in sorted(self.table.columns, key=lambda column: len(column.steps)):
            node, steps, fits = tree, column.steps, not any(step.isdigit() for step in column.steps)
            for step in steps[:-1]:
                if not fits:
                    break
                node = node.setdefault(step, {})
                fits = isinstance(node, dict)
            # names that differ in case only would collide in a struct; a name below another column's is
            # read by its path
            if (
                fits
                and not any(step.lower() == steps[-1].lower() for step in node)
                and not _collides(tree, steps)
            ):
                node[steps[-1]] = "JSON" if column.type == "json" else "VARCHAR"
                expressions[column.name] = "s." + ".".join(map(_quoted, steps))
                if column.type == "json":
                    expressions[column.name] = f"cast({expressions[column.name]} as varchar)"
            else:
                function = "json_extract" if column.type == "json" else "json_extract_string"
                expressions[column.name] = f"cast({function}(_payload, {_json_path(steps)}) as varchar)"
        return json.dumps(_pruned(tree)), expressions

    @cached_property
    def _patch(self) -> dict[str, Any]:
        """The JSON merge patch that removes what is declared or ignored."""
        patch: dict[str, Any] = {}
        paths = [column.steps for column in self.table.columns]
        paths += [tuple(path.split(".")) for path in self.table.ignored]
        for steps in sorted(paths, key=len):
            node: Any = patch
            for step in steps[:-1]:
                node = node.setdefault(step, {})
                if node is None:
                    break
            if node is not None:
                node[steps[-1]] = None
        return patch

    # ---- step 1, record by record

    def _one_by_one(self, piece: _Piece, refused: list[Refusal], unknown: dict[str, int]) -> pa.Table:
        good: list[dict[str, str | None]] = []
        lines: list[int | None] = []
        for record, problem, line in _parsed(piece, self.source_relation, self.table.name):
            if problem is None and not isinstance(record, dict):
                problem = "the record is no object"
            problem = problem or _poison(record)
            if problem is not None:
                text = record if isinstance(record, str) and problem.endswith("JSON") else to_json(record)
                refused.append((text, problem, piece.slice, line))
                continue
            row = {
                column.name: _text(_dig(record, column.steps), column.type) for column in self.table.columns
            }
            rest = _removed(record, self._patch)
            for name in rest:
                unknown[name] = unknown.get(name, 0) + 1
            row["_extra"] = to_json(rest) if rest else None
            row["_payload"] = to_json(record)
            row["_slice"] = piece.slice
            good.append(row)
            lines.append(line)
        declared = [column.name for column in self.table.columns if column.name != "_line"]
        names = [*declared, "_extra", "_payload", "_slice"]
        table = pa.table({name: pa.array([row[name] for row in good], pa.string()) for name in names})
        return table.append_column("_line", pa.array(lines, pa.int64()))

    # ---- step 2: to the declared types

    def _typed(
        self, texts: pa.Table, columns: Sequence[Column], source: pa.Table | None = None
    ) -> tuple[pa.Table, pa.Table]:
        """(good rows in the table's schema, quarantine rows)."""
        result = self._query(self._typing_sql(texts.schema, columns, source is not None), texts)
        is_bad = pc.is_valid(result["_reason"])
        if not pc.any(is_bad).as_py():
            return self._pseudonymised(result), QUARANTINE_SCHEMA.empty_table()
        bad = result.filter(is_bad)
        payloads = bad["_payload"]
        if source is not None:
            payloads = self._query(
                "select cast(to_json(struct_pack("
                + ", ".join(f"{_quoted(name)} := {_quoted(name)}" for name in source.column_names)
                + ")) as varchar) as payload from input",
                source.filter(is_bad),
            )["payload"]
        quarantined = self.quarantine(
            payloads.to_pylist(),
            bad["_reason"].to_pylist(),
            bad["_slice"].to_pylist(),
            bad["_row_line"].to_pylist(),
        )
        return self._pseudonymised(result.filter(pc.invert(is_bad))), quarantined

    def _typing_sql(self, schema: pa.Schema, columns: Sequence[Column], has_source: bool) -> str:
        present = {field.name: field.type for field in schema}
        typed, values, problems = [], [], []
        for column in columns:
            source = _quoted(column.name) if column.name in present else "cast(null as varchar)"
            kind = present.get(column.name, pa.string())
            is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)
            value = _quoted("_typed_" + column.name)  # computed once, below the reasons and the result
            made, is_wrong = _cast(column, source, value, is_text, getattr(kind, "tz", None) is not None)
            typed.append(f"{made} as {value}")
            values.append(f"{value} as {_quoted(column.name)}")
            name = column.name.replace("'", "''")
            if is_wrong:
                problems.append(
                    f"case when {is_wrong} then '{name}: no {_TYPE_WORDS[column.type]} (' || "
                    f"{_kind(source)} || ')' end"
                )
            if column.required or column.name in (*self._needed,):
                empty = f"{source} is null" + (f" or trim({source}) = ''" if is_text else "")
                problems.append(f"case when {empty} then '{name}: missing' end")
            if column.name == self.table.cursor:
                limit = (self.as_of + FUTURE_TOLERANCE).isoformat(sep=" ")
                problems.append(
                    f"case when {value} > timestamp '{limit}' then '{name}: lies in the future' end"
                )
        if "_reason" in present:
            problems.append("_reason")
        reason = (
            f"nullif(concat_ws('; ', {', '.join(problems)}), '')" if problems else "cast(null as varchar)"
        )
        if "_payload" in present:
            payload = "_payload"
        elif has_source:
            payload = "cast(null as varchar)"
        else:
            payload = (
                "cast(to_json(struct_pack("
                + ", ".join(f"{_quoted(name)} := {_quoted(name)}" for name in present)
                + ")) as varchar)"
            )
        if self.table.slice_by is not None:
            slicing = next(column for column in columns if column.name == self.table.slice_by)
            value = _quoted("_typed_" + slicing.name)
            slice_ = (
                f"cast(cast({value} as date) as varchar)" if slicing.type in ("timestamp", "date") else value
            )
        else:
            slice_ = "_slice" if "_slice" in present else "cast(null as varchar)"
        extra = "_extra" if "_extra" in present else "cast(null as varchar)"
        return (
            f"select {', '.join(values)}, {_literal(self.source_relation)} as source_relation, "
            f"{slice_} as _slice,"
            f" cast({extra} as varchar) as _extra, _reason,"
            f" case when _reason is not null then {payload} end as _payload,"
            f" {'cast(_line as bigint)' if '_line' in present else 'cast(null as bigint)'} as _row_line"
            f" from (select *{' exclude (_reason)' if '_reason' in present else ''}, {reason} as _reason"
            f" from (select *, {', '.join(typed)} from input))"
        )

    @cached_property
    def _needed(self) -> tuple[str, ...]:
        """The columns that a row cannot do without, beside those declared as required."""
        needed = set() if self.table.is_sliced else set(self.table.key)
        needed |= {name for name in (self.table.slice_by, self.table.cursor, self.table.version) if name}
        return tuple(needed)

    def _pseudonymised(self, rows: pa.Table) -> pa.Table:
        columns: dict[str, Any] = {}
        has_domain = False
        text_kinds = {"text", "json"}
        for column in self.table.columns:
            values = rows[column.name]
            if column.type == "email":
                hashes, domains = self.pseudonyms.email_columns(values)
                columns[f"{column.name}_hash"] = hashes
                columns[f"{column.name}_domain" if has_domain else "email_domain"] = domains
                has_domain = True
            elif column.type == "phone":
                columns[f"{column.name}_hash"] = self.pseudonyms.phone_column(values)
            elif column.type == "digest":
                columns[column.name] = self.pseudonyms.digest_column(values)
            elif column.type in text_kinds and not self.pseudonyms.keep_clear:
                columns[column.name] = self.pseudonyms.scrub_column(values, self._digests)
            else:
                columns[column.name] = values
            if column.type in ("email", "phone") and self.pseudonyms.keep_clear:
                columns[column.name] = values
        for name in ("source_relation", "_slice", "_extra"):
            columns[name] = rows[name]
        if not self.pseudonyms.keep_clear:
            columns["_extra"] = self.pseudonyms.scrub_column(columns["_extra"], self._digests)
        return pa.table(columns).select(self.table.schema.names).cast(self.table.schema)

    def _query(self, sql: str, input: pa.Table) -> pa.Table:
        self._con.register("input", input)
        try:
            return self._con.sql(sql).to_arrow_table()
        finally:
            self._con.unregister("input")


class JsonLines:
    """Blocks of JSON lines to text columns, for files: `names` are dotted paths, and become the columns'
    names."""

    def __init__(self, slice_: str, names: Sequence[str]) -> None:
        self._slice = slice_
        # a value below another one that is asked for, too, is read by its own path
        columns = tuple(Column(name, "text", path=tuple(name.split("."))) for name in names)
        table = Table("lines", columns, key=(), sliced=True)
        self._converter = Converter(table, slice_, Pseudonyms(b"", keep_clear=True), datetime.now(UTC))

    def read(self, block: bytes, first_line: int) -> tuple[pa.Table, list[Refusal]]:
        """(the columns, `_extra`, `_payload`, `_line`; in the order of the lines), (what could not be
        read)."""
        refused: list[Refusal] = []
        pieces = [
            replace(piece, first_line=piece.first_line + first_line - 1)
            for piece in _pieces(block, "", True, self._slice)
        ]
        parts = list(self._converter._texts(pieces, "", True, refused, {}))
        if not parts:
            names = [*(column.name for column in self._converter.table.columns), "_extra", "_payload"]
            schema = pa.schema(
                [*(pa.field(name, pa.string()) for name in names), pa.field("_line", pa.int64())]
            )
            return schema.empty_table(), refused
        return pa.concat_tables(parts).sort_by("_line").drop_columns(["_slice"]), refused


# ---- SQL pieces

_TYPE_WORDS = {
    "text": "text",
    "bigint": "whole number",
    "double": "number",
    "boolean": "true or false",
    "date": "date",
    "timestamp": "time",
    "money": "amount",
    "rate": "rate",
    "json": "JSON",
    "email": "text",
    "phone": "text",
    "digest": "text",
}


def _cast(
    column: Column, source: str, name: str, is_text: bool, is_absolute: bool = False
) -> tuple[str, str | None]:
    """(the typed value, which gets this name; the condition under which a value does not fit)."""
    if column.type in ("text", "email", "phone", "digest"):
        return f"cast({source} as varchar)", None
    if column.type == "json":
        return (
            f"nullif(cast({source} as varchar), 'null')",
            f"not coalesce(json_valid(cast({source} as varchar)), true)",
        )
    text = f"nullif(trim({source}), '')" if is_text else source
    if column.type == "timestamp":
        value = _timestamp(column, text, is_text, is_absolute)
    elif column.type == "date":
        value = f"try_cast({text} as date)"
        if column.format and is_text:
            value = f"cast(try_strptime({text}, {_literal(column.format)}) as date)"
    elif column.type in ("money", "rate"):
        size = "decimal(19,4)" if column.type == "money" else "decimal(18,8)"
        value = f"try_cast({text} as {size})"
    else:
        value = f"try_cast({text} as {column.type})"
    wrong = f"{text} is not null and {name} is null"
    if column.type == "bigint":
        # a cast from text would round 3.7 to 4
        wrong += f" or cast({name} as double) is distinct from try_cast({text} as double)"
    if column.type == "double":
        wrong += f" or not isfinite({name})"
    if column.type in ("date", "timestamp"):
        wrong += f" or not isfinite({name}) or year({name}) not between 1 and 9999"
    return value, wrong


def _timestamp(column: Column, text: str, is_text: bool, is_absolute: bool) -> str:
    if column.unit is not None:
        factor = {"s": 1_000_000, "ms": 1_000, "us": 1}[column.unit]
        return f"try(make_timestamp(cast(try_cast({text} as decimal(30,6)) * {factor} as bigint)))"
    zone = column.time_zone
    local = (
        f"try_strptime({text}, {_literal(column.format)})"
        if column.format
        else f"try_cast({text} as timestamp)"
    )
    if not is_text:
        return f"cast({text} as timestamp)" if is_absolute or zone in (None, "UTC") else _in_zone(text, zone)
    if column.format and ("%z" in column.format or "%Z" in column.format):
        return f"cast({local} as timestamp)"
    if zone not in (None, "UTC"):
        if column.format:
            return _in_zone(local, zone)
        absolute = f"cast(try_cast({text} as timestamptz) as timestamp)"
        has_offset = (
            f"regexp_matches({text}, '[0-9] ?(Z|z|UTC|[+-][0-9]{{2}}(:?[0-9]{{2}})?)$') "
            f"and length({text}) > 10"
        )
        return f"case when {has_offset} then {absolute} else {_in_zone(local, zone)} end"
    if column.format:
        return local
    # without an offset the plain cast says the same as the one that knows time zones, ten times as fast
    is_plain = f"ends_with({text}, 'Z') or (length({text}) = 19 and substring({text}, 17, 1) = ':')"
    return f"case when {is_plain} then {local} else cast(try_cast({text} as timestamptz) as timestamp) end"


def _in_zone(local: str, zone: str | None) -> str:
    return f"timezone('UTC', timezone({_literal(zone or 'UTC')}, cast({local} as timestamp)))"


def _kind(source: str) -> str:
    """What kind of value stands there, without showing it."""
    text = f"cast({source} as varchar)"
    return (
        f"case when {text} is null then 'nothing' when starts_with({text}, '{{') then 'object'"
        f" when starts_with({text}, '[') then 'list'"
        f" when try_cast({text} as double) is not null then 'number of ' || length({text}) || ' characters'"
        f" else 'text of ' || length({text}) || ' characters' end"
    )


def _without_empty(extra: str, patch: Mapping[str, Any]) -> str:
    """The JSON text without the objects that a patch emptied, the innermost first."""
    for name, inner in patch.items():
        if isinstance(inner, dict):
            extra = _without_empty(extra, inner)
            part = re.escape(json.dumps(name)) + ":[{][}]"
            extra = f"regexp_replace({extra}, {_literal(f'{part},|,{part}|{part}')}, '', 'g')"
    return extra


def _collides(tree: Mapping[str, Any], steps: Sequence[str]) -> bool:
    node: Any = tree
    for step in steps[:-1]:
        if any(other != step and other.lower() == step.lower() for other in node):
            return True
        node = node.get(step, {})
    return False


def _pruned(tree: dict[str, Any]) -> dict[str, Any]:
    """Without branches that hold no column; never empty, for from_json wants at least one field."""
    pruned = {
        name: _pruned(node) if isinstance(node, dict) else node
        for name, node in tree.items()
        if not (isinstance(node, dict) and not _has_leaf(node))
    }
    return pruned or {"_": "VARCHAR"}


def _has_leaf(node: Any) -> bool:
    return any(_has_leaf(child) for child in node.values()) if isinstance(node, dict) else True


def _is_text(kind: pa.DataType | None) -> bool:
    return kind is None or pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _json_path(steps: Sequence[str], tail: str = "") -> str:
    parts = "".join(
        f"[{step}]" if step.isdigit() else '."' + step.replace('"', '\\"') + '"' for step in steps
    )
    return _literal("$" + parts + tail)


def _constant(value: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, pa.string()), count)


def locked_down_duckdb() -> duckdb.DuckDBPyConnection:
    """A connection to an in-memory DuckDB in UTC that reaches neither files nor the network.

    All share one database per process (a new one costs 20 ms); what a connection registers is its own.
    """
    return _in_memory().cursor()


@cache
def _in_memory() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(":memory:")
    con.execute("set global TimeZone = 'UTC'")
    con.execute("set autoinstall_known_extensions = false; set autoload_known_extensions = false")
    con.execute("set enable_external_access = false; set lock_configuration = true")
    return con


# ---- JSON without loss, for the slow way


@dataclass(frozen=True)
class _Piece:
    text: pa.Array | None
    """The text as an Arrow array of one; None where the bytes are no UTF-8."""
    raw: bytes
    at: str
    lines: bool
    slice: str | None
    first_line: int


def _with_slice(page: Page) -> pa.Table:
    """The columns of an Arrow page, with the slice that the page names."""
    arrow = page.arrow
    assert arrow is not None
    if page.slice is None or "_slice" in arrow.column_names:
        return arrow
    return arrow.append_column("_slice", _constant(page.slice, arrow.num_rows))


def _page_pieces(page: Page) -> Iterator[_Piece]:
    if page.records is not None:
        return _pieces(b"\n".join(map(_json_line, page.records)), "", True, page.slice)
    return _pieces(page.body or b"", page.at, page.lines, page.slice)


def _json_line(record: Mapping[str, Any]) -> bytes:
    try:
        line = orjson.dumps(record, default=str, option=orjson.OPT_PASSTHROUGH_DATETIME)
    except TypeError:  # half a surrogate pair, an integer above 2^64
        return json.dumps(record, default=str).encode()
    # the quick writer makes NaN a null, without a word
    return json.dumps(record, default=str).encode() if b"null" in line else line


def _pieces(raw: bytes, at: str, lines: bool, slice_: str | None) -> Iterator[_Piece]:
    """JSON as texts that can be read in parallel. Text that is not UTF-8 has `text` None."""
    start, first_line = 0, 1
    while start < len(raw) or (start == 0 and not lines):
        end = len(raw)
        if lines and len(raw) - start > _PIECE:
            end = raw.find(b"\n", start + _PIECE)
            end = len(raw) if end < 0 else end + 1
        piece = raw[start:end] if lines else raw
        try:
            text = pa.array([piece], pa.string())
        except pa.ArrowInvalid:
            text = None
        yield _Piece(text, piece, at, lines, slice_, first_line)
        start = end
        if lines:
            first_line += piece.count(b"\n")
        if start >= len(raw):
            return


def _is_poisoned(raw: bytes) -> bool:
    """Something that the quick reader would refuse or change; whole surrogate pairs are harmless."""
    return re.search(_SUSPICIOUS, _PAIR.sub("", raw.decode("utf-8"))) is not None


class _Number(float):
    """A number with a fraction that remembers its digits."""

    raw: str

    def __new__(cls, raw: str) -> _Number:
        number = super().__new__(cls, raw)
        number.raw = raw
        return number


class _NotANumber(str):
    """NaN, Infinity or -Infinity, which JSON does not know."""


def _parsed(piece: _Piece, system: str, table: str) -> Iterator[tuple[Any, str | None, int | None]]:
    """(record, None, line), or (its text, the problem, line) where it cannot be read."""
    if piece.lines:
        for number, line in enumerate(piece.raw.split(b"\n"), piece.first_line):
            if not line.strip():
                continue
            try:
                yield _loads(line.decode("utf-8")), None, number
            except UnicodeDecodeError:
                yield (
                    line.decode("utf-8", "backslashreplace"),
                    "the record is not UTF-8, so no valid JSON",
                    number,
                )
            except ValueError:
                yield line.decode("utf-8", "backslashreplace"), "the record is not valid JSON", number
        return
    try:
        document = _loads(piece.raw.decode("utf-8", "surrogatepass"))
    except ValueError:
        raise BadAnswer(
            system, f"a page of {table} is no valid JSON.", "Nothing of this load was kept."
        ) from None
    found = _dig(document, tuple(filter(None, piece.at.split("."))))
    if not isinstance(found, list | dict):
        raise BadAnswer(system, f"a page of {table} has no records at {piece.at or 'its top'!r}.")
    for record in found if isinstance(found, list) else [found]:
        yield record, None, None


def _loads(text: str) -> Any:
    return json.loads(text, parse_float=_Number, parse_constant=_NotANumber)


def _poison(value: Any, path: str = "") -> str | None:
    """Why a record cannot be stored as it is, or None."""
    name = path or "the record"
    if isinstance(value, _NotANumber):
        return f"{name}: {value} is no JSON value"
    if isinstance(value, _Number) and math.isinf(value):
        return f"{name}: a number too large"
    if isinstance(value, str):
        if "\x00" in value:
            return f"{name}: text with a NUL character"
        if any(0xD800 <= ord(char) <= 0xDFFF for char in value):
            return f"{name}: text with half a surrogate pair"
    if isinstance(value, dict):
        for key, child in value.items():
            found = _poison(key, path) or _poison(child, f"{path}.{key}" if path else key)
            if found:
                return found
    if isinstance(value, list):
        for child in value:
            found = _poison(child, path)
            if found:
                return found
    return None


def to_json(value: Any) -> str:
    """JSON text that keeps every digit; ASCII only."""
    if isinstance(value, _NotANumber):
        return str(value)
    if isinstance(value, _Number):
        return value.raw
    if isinstance(value, dict):
        return (
            "{" + ",".join(f"{json.dumps(str(key))}:{to_json(child)}" for key, child in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ",".join(map(to_json, value)) + "]"
    return json.dumps(value, default=str)


def ascii_json(text: str) -> str:
    """The same JSON text with every other character escaped (strings only can hold one)."""
    if text.isascii():
        return text
    return "".join(char if char.isascii() else json.dumps(char)[1:-1] for char in text)


def _dig(value: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _text(value: Any, kind: str) -> str | None:
    if value is None:
        return None
    if kind == "json" or isinstance(value, dict | list | bool | _Number):
        return to_json(value)
    return str(value)


def _removed(record: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """The record without what the patch names, and without objects that became empty by that."""
    rest: dict[str, Any] = {}
    for key, value in record.items():
        if key not in patch:
            rest[key] = value
        elif isinstance(patch[key], dict) and isinstance(value, dict):
            inner = _removed(value, patch[key])
            if inner:
                rest[key] = inner
    return rest
