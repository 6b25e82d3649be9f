"""The file drop, bullet by bullet: every entity, globs and places, encodings, numbers, dates, ragged rows.

What belongs here: reading and mapping alone, without a warehouse; what a load makes of it: test_files.py.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml

from ingestion.errors import ConfigurationError, SourceError
from ingestion.files import source
from ingestion.files.manifest import OWN_ENTITIES, read_manifest
from ingestion.privacy import Pseudonyms
from ingestion.records import Converter
from ingestion.settings import PROJECT_ROOT, Connection, canonical_entities
from ingestion.sources import GONE, Context, Done, Page, Refused

AS_OF = datetime(2026, 7, 1, tzinfo=UTC)
COLUMNS = {"period_start": "From", "period_end": "To", "cost_type": "Kind", "amount": "Amount"}
HEADER = "From,To,Kind,Amount"
DAYS = "2026-06-01,2026-06-30"


@dataclass
class Read:
    """What became of the files of one entity."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    refused: list[tuple[str | None, int | None, str]] = field(default_factory=list)
    slices: dict[str, str | None] = field(default_factory=dict)


def read(folder: Path, entity: str, groups: Any, stored: Mapping[str, str] | None = None, **top: Any) -> Read:
    """Read an entity's files with a manifest of these groups, in the order of files and lines."""
    manifest = {"version": 1, "currency": "EUR", **top, "entities": {entity: groups}}
    (folder / "manifest.yml").write_text(yaml.safe_dump(manifest, allow_unicode=True), encoding="utf-8")
    connection = Connection("files", options={"manifest": str(folder / "manifest.yml")})
    context = Context(connection, "drop", AS_OF, stored_slices={entity: dict(stored or {})})
    table = next(table for table in source.tables() if table.name == entity)
    converter = Converter(table, "files:main:drop", Pseudonyms(b"k" * 32, keep_clear=False), AS_OF)
    found = Read()
    for item in source.extract(entity, context):
        if isinstance(item, Page):
            converted = converter.convert([item])
            found.rows += converted.good.to_pylist()
            found.refused += [
                (row["_slice"], row["_line"], row["reason"]) for row in converted.quarantined.to_pylist()
            ]
        elif isinstance(item, Refused):
            lines = item.lines or [None] * len(item.payloads)
            found.refused += [(item.slice, *pair) for pair in zip(lines, item.reasons, strict=True)]
        elif isinstance(item, Done):
            found.slices |= item.slices
    return found


def costs(path: str, **options: Any) -> dict[str, Any]:
    return {"path": path, "columns": COLUMNS, **options}


def amounts(found: Read) -> list[Decimal]:
    return [row["amount"] for row in found.rows]


def test_every_entity_of_the_data_model_can_be_brought_by_files(tmp_path: Path) -> None:
    samples = {
        "bigint": 7,
        "double": 0.5,
        "money": "12.34",
        "rate": "1.25",
        "boolean": True,
        "date": "2026-06-01",
        "timestamp": "2026-06-01T12:00:00Z",
        "json": {"a": 1},
        "email": "ann@customer.example",
        "phone": "+31 20 123 4567",
    }
    names = [name for name in canonical_entities() if name not in OWN_ENTITIES]
    assert len(names) == 19
    for name in names:
        columns = canonical_entities()[name]["columns"]
        record = {column: samples.get(kind, f"a {column}") for column, kind in columns.items()}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(record) + "\n")
        found = read(
            tmp_path, name, {"path": f"{name}.jsonl", "columns": {column: column for column in columns}}
        )
        assert (len(found.rows), found.refused) == (1, []), name
        empty = [column for column, value in found.rows[0].items() if value is None and column != "_extra"]
        assert not empty, name
        staging = PROJECT_ROOT / "dbt_project/models/staging/files" / f"stg_files__{name}.sql"
        assert staging.is_file(), name


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("orders/*.csv", ["orders/a.csv", "orders/b.csv"]),
        ("**/*.csv", ["more/2026/c.csv", "orders/a.csv", "orders/b.csv"]),
        ("o?ders/[bc].csv", ["orders/b.csv"]),
        ("orders/a.csv", ["orders/a.csv"]),
        ("*/*/*.csv", ["more/2026/c.csv"]),
        ("{root}/orders/*.csv", ["orders/a.csv", "orders/b.csv"]),
        ("file://{root}/orders/*.csv", ["orders/a.csv", "orders/b.csv"]),
        ("orders/*.tsv", []),
    ],
)
def test_globs_find_files_below_and_beside_the_manifest(
    tmp_path: Path, pattern: str, names: list[str]
) -> None:
    for name in ("orders/a.csv", "orders/b.csv", "orders/.hidden.csv", "more/2026/c.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{HEADER}\n{DAYS},tools,1\n")
    found = read(tmp_path, "costs", costs(pattern.format(root=tmp_path)))
    assert sorted(found.slices) == names
    assert len(found.rows) == len(names)


@pytest.mark.parametrize("format_", ["csv", "tsv", "jsonl", "parquet"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("remote", [False, True], ids=["local", "memory"])
def test_formats_packed_or_not_here_or_there(
    tmp_path: Path, format_: str, packed: bool, remote: bool
) -> None:
    record = {"From": "2026-06-01", "To": "2026-06-30", "Kind": "tööls", "Amount": "1.5"}
    if format_ == "parquet":
        sink = io.BytesIO()
        pa.parquet.write_table(pa.Table.from_pylist([record]), sink)
        content = sink.getvalue()
    elif format_ == "jsonl":
        content = (json.dumps(record, ensure_ascii=False) + "\n").encode()
    else:
        mark = "," if format_ == "csv" else "\t"
        content = (mark.join(record) + "\n" + mark.join(record.values()) + "\n").encode()
    name = f"x.{format_}" + (".gz" if packed else "")
    content = gzip.compress(content) if packed else content
    if remote:
        fsspec.filesystem("memory").pipe(f"/{tmp_path.name}/{name}", content)
    else:
        (tmp_path / name).write_bytes(content)
    found = read(tmp_path, "costs", costs(f"memory://{tmp_path.name}/x.*" if remote else "x.*"))
    assert [(row["cost_type"], row["amount"], row["_slice"]) for row in found.rows] == [
        ("tööls", Decimal("1.5000"), name)
    ]


def test_a_url_is_read_again_only_when_it_has_changed(tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    place = f"/{tmp_path.name}/costs"
    store.pipe(f"{place}/a.csv", f"{HEADER}\n{DAYS},tools,1\n".encode())
    store.pipe(f"{place}/2026/b.csv", f"{HEADER}\n{DAYS},tools,2\n".encode())
    store.pipe(f"{place}/.hidden.csv", b"no costs")
    group = costs(f"memory:/{place}/**/*.csv")
    first = read(tmp_path, "costs", group)
    assert sorted(first.slices) == ["2026/b.csv", "a.csv"]
    stored = {name: str(checksum) for name, checksum in first.slices.items()}
    assert read(tmp_path, "costs", group, stored).slices == {}
    store.pipe(f"{place}/a.csv", f"{HEADER}\n{DAYS},tools,9\n".encode())
    store.rm(f"{place}/2026/b.csv")
    again = read(tmp_path, "costs", group, stored)
    assert amounts(again) == [Decimal("9.0000")]
    assert again.slices["2026/b.csv"] == GONE


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("s3://bucket/x/*.csv", r"s3:// needs s3fs, which is not installed\. Install it: pip install s3fs"),
        ("gs://bucket/x.csv", r"gs:// needs gcsfs, which is not installed"),
        ("nowhere://x/*.csv", r"path nowhere://x/\*\.csv: Protocol not known"),
    ],
)
def test_a_place_without_its_driver_says_what_to_install(tmp_path: Path, path: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read(tmp_path, "costs", costs(path))


def test_a_folder_that_is_not_there_takes_no_rows_away(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"the folder .*share is not there, from which 1 files were loaded"):
        read(tmp_path, "costs", costs("share/*.csv"), {"share/a.csv": "x"})
    (tmp_path / "share").mkdir()
    assert read(tmp_path, "costs", costs("share/*.csv"), {"share/a.csv": "x"}).slices == {"share/a.csv": GONE}


def test_ragged_rows_are_refused_with_file_and_line(tmp_path: Path) -> None:
    lines = [
        HEADER,  # 1
        "",
        f'{DAYS},"two',  # 3 and 4: one record
        'lines",1',
        f"{DAYS},short",  # 5
        f"{DAYS},long,1,2",  # 6
        f"{DAYS},wrong,x",  # 7
        "",
        f'{DAYS},"5"" pipe",3',  # 9
        "",
    ]
    for name, end in (("a.csv", "\n"), ("b.csv", "\r\n")):
        (tmp_path / name).write_bytes(end.join(lines).encode())
    found = read(tmp_path, "costs", costs("*.csv"))
    for name in ("a.csv", "b.csv"):
        good = [(row["_line"], row["amount"]) for row in found.rows if row["_slice"] == name]
        assert good == [(3, Decimal(1)), (9, Decimal(3))]
        refused = sorted((line or 0, reason) for slice_, line, reason in found.refused if slice_ == name)
        assert refused == [
            (5, "the line has 3 columns instead of 4"),
            (6, "the line has 5 columns instead of 4"),
            (7, "amount: no amount (text of 1 characters)"),
        ]


@pytest.mark.parametrize("body", ["", "\n", f"{DAYS},last,1"], ids=["header", "header line", "no line end"])
def test_a_short_file_is_read_to_its_end(tmp_path: Path, body: str) -> None:
    (tmp_path / "a.csv").write_text(f"{HEADER}\n{body}" if len(body) > 1 else HEADER + body)
    assert len(read(tmp_path, "costs", costs("*.csv")).rows) == (len(body) > 1)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize(
    ("encoding", "declared"),
    [
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-8-sig", "utf-8-sig"),
        ("latin-1", "latin-1"),
        ("cp1252", "cp1252"),
        ("utf-16", "utf-16"),
        ("utf-16-be", "utf-16-be"),
    ],
)
def test_encodings_and_byte_order_marks(
    tmp_path: Path, kind: str, encoding: str, declared: str | None
) -> None:
    records = [("büro", "1"), ("café", "2")]
    if kind == "csv":
        text = f"{HEADER}\n" + "".join(f"{DAYS},{name},{amount}\n" for name, amount in records)
    else:
        text = "".join(
            json.dumps(
                {"From": "2026-06-01", "To": "2026-06-30", "Kind": name, "Amount": amount}, ensure_ascii=False
            )
            + "\n"
            for name, amount in records
        )
    (tmp_path / f"a.{kind}").write_bytes(text.encode(encoding))
    found = read(tmp_path, "costs", costs("a.*", **({"encoding": declared} if declared else {})))
    assert found.refused == []
    assert [(row["cost_type"], row["amount"]) for row in found.rows] == [
        ("büro", Decimal(1)),
        ("café", Decimal(2)),
    ]


@pytest.mark.parametrize(
    ("written", "thousands", "decimal", "amount"),
    [
        ("1.234.567,89", ".", ",", "1234567.89"),
        ("1,234,567.89", ",", ".", "1234567.89"),
        ("-1 234,5", " ", ",", "-1234.5"),
        ("1\u00a0234\u202f567,5", " ", ",", "1234567.5"),
        ("1’234.50", "’", ".", "1234.5"),
        ("12,3", None, ",", "12.3"),
    ],
)
def test_thousands_separators_and_decimal_commas(
    tmp_path: Path, written: str, thousands: str | None, decimal: str, amount: str
) -> None:
    (tmp_path / "a.csv").write_text(f'{HEADER}\n{DAYS},tools,"{written}"\n', encoding="utf-8")
    options = {"decimal_separator": decimal, **({"thousands_separator": thousands} if thousands else {})}
    assert amounts(read(tmp_path, "costs", costs("a.csv", **options))) == [Decimal(amount)]


@pytest.mark.parametrize(
    ("written", "options", "moment"),
    [
        ("2026-06-01T12:00:00Z", {}, datetime(2026, 6, 1, 12)),
        ("2026-06-01 12:00:00", {}, datetime(2026, 6, 1, 12)),
        ("2026-06-01 12:00", {"time_zone": "Europe/Amsterdam"}, datetime(2026, 6, 1, 10)),
        ("2026-01-01 12:00", {"time_zone": "Europe/Amsterdam"}, datetime(2026, 1, 1, 11)),
        ("2026-06-01T12:00:00+02:00", {"time_zone": "America/New_York"}, datetime(2026, 6, 1, 10)),
        ("01.06.2026 12:00", {"timestamp_format": "%d.%m.%Y %H:%M"}, datetime(2026, 6, 1, 12)),
        (
            "06/01/2026 11:30 PM",
            {"timestamp_format": "%m/%d/%Y %I:%M %p", "time_zone": "America/New_York"},
            datetime(2026, 6, 2, 3, 30),
        ),
        ("1780315200", {"sql": 'to_timestamp(cast("At" as bigint))'}, datetime(2026, 6, 1, 12)),
    ],
)
def test_times_in_their_formats_and_zones(
    tmp_path: Path, written: str, options: dict[str, str], moment: datetime
) -> None:
    (tmp_path / "a.csv").write_text(f"At,Kind\n{written},event\n")
    at: Any = {"sql": options["sql"]} if "sql" in options else "At"
    group = {"path": "a.csv", "columns": {"occurred_at": at, "touch_type": "Kind"}}
    found = read(tmp_path, "offline_touches", {**group, **{k: v for k, v in options.items() if k != "sql"}})
    assert [row["occurred_at"] for row in found.rows] == [moment], found.refused


def test_dates_of_each_column_and_the_manifest_s_own_currency_zone_and_moment(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"{HEADER}\n01-06-26,20260630,tools,1\n")
    group = costs("a.csv")
    group["columns"] = {
        **COLUMNS,
        "period_start": {"column": "From", "format": "%d-%m-%y"},
        "period_end": {"column": "To", "format": "%Y%m%d"},
    }
    settings = {
        "currency": "SEK",
        "reporting_currency": "SEK",
        "reporting_time_zone": "Europe/Stockholm",
        "as_of": "2026-07-01T05:00:00+02:00",
    }
    (row,) = read(tmp_path, "costs", group, **settings).rows
    assert (row["period_start"], row["period_end"], row["currency"]) == (
        date(2026, 6, 1),
        date(2026, 6, 30),
        "SEK",
    )
    assert read_manifest(tmp_path / "manifest.yml").settings() == {
        "reporting_currency": "SEK",
        "reporting_time_zone": "Europe/Stockholm",
        "as_of": "2026-07-01 03:00:00",
    }


def test_an_unmapped_key_is_the_file_and_the_line(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("At,Kind\n" + "2026-06-01,event\n" * 2)
    group = {"path": "*.csv", "columns": {"occurred_at": "At", "touch_type": "Kind"}}
    keys = [row["touch_id"] for row in read(tmp_path, "offline_touches", group).rows]
    assert keys == ["a.csv:2", "a.csv:3", "b.csv:2", "b.csv:3"], "identical lines stay several records"
