"""Small columnar helpers: named random streams, ids and text columns, tables by schema.

What belongs here: tools without any knowledge of the company.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sandbox.company.schema import TABLES

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NEVER = np.iinfo(np.int64).max  # a moment that does not come


def stream(seed: int, name: str) -> np.random.Generator:
    """The random stream of that name: what one part draws never shifts another part's draws."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, zlib.crc32(name.encode())])))


def mix(values: npt.NDArray[Any], salt: int) -> npt.NDArray[np.uint64]:
    """Sixty-four well-mixed bits for each number: a stateless hash (splitmix64)."""
    with np.errstate(over="ignore"):
        z = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15) * np.uint64(salt + 1)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(values: npt.NDArray[Any], salt: int) -> Floats:
    """A uniform number in [0, 1) that belongs to each value."""
    return (mix(values, salt) >> np.uint64(11)).astype(np.float64) / float(1 << 53)


_BASE62 = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", dtype="S1")
_BASE16 = np.frombuffer(b"0123456789abcdef", dtype="S1")


def codes(values: npt.NDArray[Any], salt: int, length: int, hexadecimal: bool = False) -> pa.Array:
    """A fixed-length code for each value, as vendors give: letters and digits, or hex digits."""
    alphabet = _BASE16 if hexadecimal else _BASE62
    base = np.uint64(len(alphabet))
    out = np.empty((len(values), length), dtype="S1")
    for start in range(0, length, 10):
        bits = mix(values, salt + 1000 * start)
        for position in range(start, min(start + 10, length)):
            out[:, position] = alphabet[(bits % base).astype(np.int64)]
            bits = bits // base
    flat = pa.array(out.view(f"S{length}").ravel(), type=pa.binary())
    return flat.cast(pa.string())


def numbers(values: npt.NDArray[Any]) -> pa.Array:
    """Whole numbers as text."""
    return pa.array(np.asarray(values, dtype=np.int64)).cast(pa.string())


def pick(
    choices: Sequence[str | None] | pa.Array, index: npt.NDArray[Any], valid: Bools | None = None
) -> pa.Array:
    """The choice at each index; null where not valid."""
    source = (
        choices if isinstance(choices, pa.Array | pa.ChunkedArray) else pa.array(choices, type=pa.string())
    )
    mask = None if valid is None else ~valid
    return source.take(pa.array(np.asarray(index, dtype=np.int64), mask=mask))


def weighted(u: Floats, weights: Sequence[float] | Floats) -> Ints:
    """The index of a weighted choice for each uniform number."""
    edges = np.cumsum(np.asarray(weights, dtype=np.float64))
    return np.minimum(np.searchsorted(edges / edges[-1], u, side="right"), len(weights) - 1).astype(np.int64)


def text(*parts: Any) -> pa.Array:
    """Parts (arrays of text or whole numbers, or plain text) joined row by row; null where a part is null."""
    columns = []
    for part in parts:
        if isinstance(part, str):
            columns.append(pa.scalar(part))
        elif isinstance(part, np.ndarray):
            columns.append(numbers(part))
        else:
            columns.append(part.combine_chunks() if isinstance(part, pa.ChunkedArray) else part)
    return pc.binary_join_element_wise(*columns, "")


def only(column: pa.Array, valid: Bools) -> pa.Array:
    """The column with null where not valid."""
    return pc.if_else(pa.array(valid), column, pa.scalar(None, type=column.type))


def moments(values: Ints, valid: Bools | None = None) -> pa.Array:
    """Timestamps; null where not valid, or where the moment never comes."""
    mask = values == NEVER if valid is None else ~valid | (values == NEVER)
    return pa.array(np.where(mask, 0, values), mask=mask).cast(pa.timestamp("us"))


def days(values: Ints, valid: Bools | None = None) -> pa.Array:
    """Dates from days since 1970; null where not valid."""
    mask = None if valid is None else ~valid
    return pa.array(np.asarray(values, dtype=np.int32), mask=mask).cast(pa.date32())


def iso(values: Ints) -> pa.Array:
    """Moments as ISO 8601 text in UTC."""
    stamp = pa.array(values).cast(pa.timestamp("us")).cast(pa.timestamp("ms"), safe=False)
    return text(pc.strftime(stamp, "%Y-%m-%dT%H:%M:%S"), "Z")


def iso_date(values: Ints) -> pa.Array:
    """Days since 1970 as ISO text."""
    return pa.array(np.asarray(values, dtype=np.int32)).cast(pa.date32()).cast(pa.string())


def money_text(minor: Ints) -> pa.Array:
    """Minor units as decimal text in major units."""
    cents = pa.array(np.abs(minor) % 100).cast(pa.string())
    sign = pick(["", "-"], (minor < 0).astype(np.int64))
    return text(sign, numbers(np.abs(minor) // 100), ".", pc.utf8_lpad(cents, 2, "0"))


def table(name: str, /, **columns: Any) -> pa.Table:
    """A table of the schema from columns: arrays, or one value for all rows; checks that none is missing."""
    spec = TABLES[name]
    missing, unknown = set(spec.names) - set(columns), set(columns) - set(spec.names)
    if missing or unknown:
        raise ValueError(f"{name}: missing columns {sorted(missing)}, unknown columns {sorted(unknown)}")
    length = next(
        len(value) for value in columns.values() if isinstance(value, np.ndarray | pa.Array | pa.ChunkedArray)
    )
    arrays = []
    for field in spec.schema:
        value = columns[field.name]
        if isinstance(value, pa.ChunkedArray):
            value = value.combine_chunks()
        if isinstance(value, np.ndarray):
            value = pa.array(value)
        if not isinstance(value, pa.Array):
            value = pa.repeat(pa.scalar(value, type=field.type), length)
        arrays.append(value if value.type == field.type else value.cast(field.type))
    return pa.Table.from_arrays(arrays, schema=spec.schema)


def until(result: pa.Table, column: str, end: int) -> pa.Table:
    """The rows whose moment in `column` is before `end`."""
    return result.filter(pc.less(result[column].cast(pa.int64()), end))


def group_first(keys: npt.NDArray[Any]) -> Ints:
    """The positions at which a new key begins in a sorted array."""
    if len(keys) == 0:
        return np.empty(0, dtype=np.int64)
    return np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])


def running_total(values: Floats, keys: npt.NDArray[Any]) -> Floats:
    """The running sum within each run of equal keys (keys sorted)."""
    total = np.cumsum(values)
    first = group_first(keys)
    before = np.repeat(total[first] - values[first], np.diff(np.r_[first, len(keys)]))
    return total - before


def rank_in_group(keys: npt.NDArray[Any]) -> Ints:
    """0, 1, 2, ... within each run of equal keys (keys sorted)."""
    first = group_first(keys)
    return np.arange(len(keys)) - np.repeat(first, np.diff(np.r_[first, len(keys)]))
