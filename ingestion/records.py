"""Raw tables and their records: the declaration (`Column`, `Table`) and the validation of every record, in columns.

Conversion has two steps, both in an in-memory DuckDB over Arrow:
1. pages to text columns: one per declared column, plus `_extra` (the unknown fields) and `_payload` (the record's JSON);
2. text (or typed) columns to the declared types by try_cast. What does not cast goes to the quarantine with the reason.

A page that holds something a fast parser would refuse or silently change (a lone surrogate, NUL, NaN, decimals of more digits
than a double) is read record by record instead, so that one bad record never costs its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Literal

import pyarrow as pa

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

    path: where the value stands in the record, dotted ("properties.email"); the name itself by default. A tuple where a field name holds a dot.
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

    key: declared columns that, with source_relation (and the slice's rows' own key), identify a row. All are required.
    slice_by: the declared column whose value is the slice (its day, where it is a timestamp).
    sliced: each page names its slice instead.
    version: the column that orders versions of one record; an older one never overwrites a newer one.
    cursor: the column whose greatest value is remembered (required in each record; values after the run's moment are refused).
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
        if len(names) != len(self.columns):
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
