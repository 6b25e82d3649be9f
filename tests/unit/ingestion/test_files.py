"""The file drop: formats, mapping, what does not fit, and files that change."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from ingestion.errors import ConfigurationError, FunnelhouseError, SourceError
from ingestion.files.manifest import read_manifest
from ingestion.quarantine import list_records, replay
from ingestion.settings import Connection, Paths
from ingestion.warehouse import LoadReport, connect, load, writer_lock

COSTS = """
version: 1
currency: SEK
entities:
  costs:
    - path: costs*.csv*
      delimiter: ";"
      encoding: latin-1
      decimal_separator: ","
      thousands_separator: "."
      date_format: "%d.%m.%Y"
      null_values: ["", "-"]
      columns: {period_start: From, period_end: To, cost_type: Kind, amount: "Amount (net)", channel: Channel}
      filter:
        - {when: "Kind = 'test'", reason: test rows}
"""


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[Paths]:
    made = Paths.from_environment(tmp_path / "data")
    with writer_lock(made):
        yield made


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    folder = tmp_path / "drop"
    folder.mkdir()
    return folder


def run(paths: Paths, drop: Path, manifest: str, *tables: str) -> LoadReport:
    (drop / "manifest.yml").write_text(manifest, encoding="utf-8")
    connection = Connection("files", options={"manifest": str(drop / "manifest.yml")})
    return load(paths, connection, tables, as_of=datetime(2026, 7, 1))


def query(paths: Paths, sql: str) -> list[tuple[Any, ...]]:
    with connect(paths) as con:
        return con.sql(sql).fetchall()


def test_csv_with_its_own_formats(paths: Paths, drop: Path) -> None:
    lines = [
        "From;To;Kind;Amount (net);Channel;Note",
        "01.06.2026;30.06.2026;agency;1.234,50;Display;Büro",
        '01.06.2026;30.06.2026;tools;"7";-;"two\nlines; and ann@customer.example"',
        "01.06.2026;30.06.2026;test;1;;",
        "01.06.2026;30.06.2026;agency;too;many;columns;here",
        "01.06.2026;31.06.2026;agency;x;;",
        "01.06.2026;30.06.2026;events;0,05;;",
    ]
    (drop / "costs.csv").write_bytes("\r\n".join(lines).encode("latin-1"))
    report = run(paths, drop, COSTS, "costs")
    table = report.tables["costs"]
    assert (table.rows_in, table.good, table.quarantined, dict(table.filtered)) == (6, 3, 2, {"test rows": 1})
    found = query(
        paths,
        "select period_start, amount, currency, channel, _extra, _slice from raw_files.costs order by amount",
    )
    assert [row[1] for row in found] == [Decimal("0.0500"), Decimal("7.0000"), Decimal("1234.5000")]
    assert found[2][0] == date(2026, 6, 1)
    assert {row[2] for row in found} == {"SEK"}
    assert [row[3] for row in found] == [None, None, "Display"]
    assert json.loads(found[2][4]) == {"Note": "Büro"}
    assert "customer.example" not in found[1][4]
    assert {row[5] for row in found} == {"costs.csv"}
    refused = {record.line: record.reason for record in list_records(paths)}
    assert len(refused) == 2
    assert "the line has 7 columns instead of 6" in refused.values()
    assert any(
        reason.startswith("period_end: no date") and "amount: no amount" in reason
        for reason in refused.values()
    )


def test_lines_are_counted_past_refused_ones(paths: Paths, drop: Path) -> None:
    rows = ["From;To;Kind;Amount (net);Channel"]
    wrong = {3, 4, 9, 20}
    for line in range(2, 25):
        rows.append("a;b" if line in wrong else f"01.06.2026;30.06.2026;k{line};1;")
    (drop / "costs.csv").write_text("\n".join(rows) + "\n")
    run(paths, drop, COSTS, "costs")
    found = query(paths, "select cost_type, _line from raw_files.costs order by _line")
    assert [line for _, line in found] == [line for line in range(2, 25) if line not in wrong]
    assert all(kind == f"k{line}" for kind, line in found)
    assert {record.line for record in list_records(paths)} == wrong


def test_a_changed_file_replaces_its_rows_and_a_vanished_one_takes_them_away(
    paths: Paths, drop: Path
) -> None:
    header = "From;To;Kind;Amount (net);Channel\n"
    line = "01.06.2026;30.06.2026;agency;{};\n"
    (drop / "costs_a.csv").write_text(header + line.format(1) * 2)
    (drop / "costs_b.csv.gz").write_bytes(gzip.compress((header + line.format(5)).encode()))
    run(paths, drop, COSTS, "costs")
    assert query(paths, "select _slice, count(*) from raw_files.costs group by 1 order by 1") == [
        ("costs_a.csv", 2),
        ("costs_b.csv.gz", 1),
    ]
    assert run(paths, drop, COSTS, "costs").rows_in == 0
    (drop / "costs_a.csv").write_text(header + line.format("?") + line.format(3))
    report = run(paths, drop, COSTS, "costs")
    assert (report.rows_in, report.good, report.quarantined) == (2, 1, 1)
    assert query(paths, "select sum(amount) from raw_files.costs") == [(Decimal("8.0000"),)]
    (again,) = replay(paths, [Connection("files", options={"manifest": str(drop / "manifest.yml")})])
    assert again.read_again == ("costs: costs_a.csv",)
    (drop / "costs_a.csv").write_text(header + line.format(4) + line.format(3))
    (drop / "costs_b.csv.gz").unlink()
    run(paths, drop, COSTS, "costs")
    assert query(paths, "select sum(amount), count(*) from raw_files.costs") == [(Decimal("7.0000"), 2)]
    assert list_records(paths) == [], "the file was mended: its refused lines are gone"


def test_json_lines_with_expressions(paths: Paths, drop: Path) -> None:
    records: list[Any] = [
        {
            "id": "o1",
            "at": "2026-06-01 12:00",
            "total": {"net": 10.5},
            "mail": "Ann@Customer.example",
            "tags": ["a"],
        },
        {"id": "o2", "at": "2026-06-01T12:00:00+02:00", "total": {"net": "x"}, "kind": "R"},
        {"id": "o3", "at": "2026-06-01T12:00:00Z", "total": {"net": 3}, "kind": "R", "sku": 7},
    ]
    text = "\n".join([*map(json.dumps, records), "{broken", ""])
    (drop / "orders.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    manifest = """
version: 1
time_zone: Europe/Amsterdam
entities:
  revenue_events:
    path: "*.jsonl.gz"
    currency: EUR
    columns:
      occurred_at: at
      event_type: {sql: "case when kind = 'R' then 'refund' else 'order' end"}
      amount: {sql: "cast(total->>'net' as decimal(19,4)) * case when kind = 'R' then -1 else 1 end"}
      customer_email: mail
      order_id: id
      product_id: sku
"""
    report = run(paths, drop, manifest, "revenue_events")
    assert (report.rows_in, report.good, report.quarantined) == (4, 2, 2)
    found = query(
        paths,
        "select order_id, occurred_at, event_type, amount, revenue_event_id, customer_email_hash, "
        "email_domain, _extra,"
        " product_id from raw_files.revenue_events order by 1",
    )
    assert found[0][:5] == ("o1", datetime(2026, 6, 1, 10), "order", Decimal("10.5000"), "orders.jsonl.gz:1")
    assert found[0][5].startswith("v1:")
    assert found[0][6:8] == ("customer.example", '{"tags":["a"]}')
    assert found[1][:4] == ("o3", datetime(2026, 6, 1, 12), "refund", Decimal("-3.0000"))
    assert found[1][8] == "7"
    assert {(record.line, record.reason.split(":")[0]) for record in list_records(paths)} == {
        (2, "amount"),
        (4, "the record is not valid JSON"),
    }


def test_parquet_keeps_its_types(paths: Paths, drop: Path) -> None:
    table = pa.table(
        {
            "day": pa.array([date(2026, 6, 1), date(2026, 6, 2), None]),
            "from": ["USD", "SEK", "SEK"],
            "rate": pa.array([Decimal("0.91234567"), Decimal("0.08"), Decimal("1")], pa.decimal128(18, 8)),
        }
    )
    pa.parquet.write_table(table, drop / "fx.parquet")
    manifest = """
version: 1
entities:
  fx_rates:
    path: fx.parquet
    columns: {date: day, currency_from: from, currency_to: {value: EUR}, rate: rate}
"""
    report = run(paths, drop, manifest, "fx_rates")
    assert (report.good, report.quarantined) == (2, 1)
    assert query(
        paths, "select date, currency_from, currency_to, rate, _line from raw_files.fx_rates order by 1"
    ) == [
        (date(2026, 6, 1), "USD", "EUR", Decimal("0.91234567"), 1),
        (date(2026, 6, 2), "SEK", "EUR", Decimal("0.08000000"), 2),
    ]


def test_bytes_that_are_no_text_cost_their_line_only(paths: Paths, drop: Path) -> None:
    manifest = COSTS.replace("latin-1", "utf-8")
    body = b"From;To;Kind;Amount (net);Channel\n01.06.2026;30.06.2026;a\xff;1;\n01.06.2026;30.06.2026;b;1;\n"
    (drop / "costs.csv").write_bytes(body)
    report = run(paths, drop, manifest, "costs")
    assert (report.good, report.quarantined) == (1, 1)
    assert [record.line for record in list_records(paths)] == [2]


def test_a_gzip_file_that_ends_early_fails_and_keeps_the_old_rows(paths: Paths, drop: Path) -> None:
    text = "From;To;Kind;Amount (net);Channel\n" + "01.06.2026;30.06.2026;agency;1;\n" * 2000
    (drop / "costs.csv.gz").write_bytes(gzip.compress(text.encode()))
    run(paths, drop, COSTS, "costs")
    whole = gzip.compress((text + "01.06.2026;30.06.2026;more;1;\n").encode())
    (drop / "costs.csv.gz").write_bytes(whole[: len(whole) - 40])
    with pytest.raises(SourceError, match=r"costs.csv.gz cannot be read to its end"):
        run(paths, drop, COSTS, "costs")
    assert query(paths, "select count(*) from raw_files.costs") == [(2000,)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("cost_type: Kind,", ""),
            r"entities.costs\[0\].columns: the required column cost_type is not mapped",
        ),
        (("amount:", "sum:"), r"columns: 'sum' is unknown. Known here: .*amount"),
        (("version: 1", "version: 2"), "version: is 2. Write `version: 1`"),
        (("costs:", "cost:"), "entities: 'cost' is unknown"),
        (("SEK", "kronor"), "'kronor' is no currency code"),
        (("latin-1", "klingon"), "encoding: 'klingon' is unknown"),
        (("Kind = 'test'", "Kind = (select 1)"), "uses subquery"),
        (("Kind = 'test'", "1; drop table x"), "is no SQL expression"),
        (("Kind = 'test'", "1 from secrets"), "is more than one expression"),
        (("Kind = 'test'", "Kind = "), "is no SQL expression"),
        (("path:", "paths:"), "'paths' is unknown"),
        (("reason: test rows", "reason: "), "needs `when` and `reason`"),
        (("costs*.csv*", "${NO_SUCH_PLACE}/x.csv"), "NO_SUCH_PLACE is not set"),
        (("version: 1", "version: 1\n  : :"), "is no valid YAML"),
    ],
)
def test_a_wrong_manifest_is_one_clear_line(drop: Path, change: tuple[str, str], message: str) -> None:
    (drop / "manifest.yml").write_text(COSTS.replace(*change))
    with pytest.raises(ConfigurationError, match=message) as failure:
        read_manifest(drop / "manifest.yml")
    assert "\n" not in str(failure.value)
    assert str(drop / "manifest.yml") in str(failure.value)


def test_a_missing_column_of_theirs_is_one_clear_line(paths: Paths, drop: Path) -> None:
    (drop / "costs.csv").write_text("From;To;Kind;Channel\n")
    with pytest.raises(
        FunnelhouseError, match=r"costs.csv has no column 'Amount \(net\)'; it has: From, To, Kind"
    ):
        run(paths, drop, COSTS, "costs")


def test_an_expression_reaches_no_file(paths: Paths, drop: Path) -> None:
    (drop / "costs.csv").write_text("From;To;Kind;Amount (net);Channel\n01.06.2026;30.06.2026;a;1;\n")
    manifest = COSTS.replace("cost_type: Kind", "cost_type: {sql: \"read_text('/etc/hostname')\"}")
    with pytest.raises(FunnelhouseError, match=r"does not fit costs\.csv"):
        run(paths, drop, manifest, "costs")


def test_a_platforms_own_export_is_read_as_it_comes(paths: Paths, drop: Path) -> None:
    """Tabs, UTF-16 with its mark, American dates and thousands with a comma."""
    lines = "Start Date\tAccount\tGroup\tTotal Spent\r\n06/30/2026\t7\t9\t1,234.50\r\n"
    (drop / "creatives.csv").write_bytes(lines.encode("utf-16"))
    manifest = """
    version: 1
    currency: EUR
    entities:
      ad_performance:
        - path: creatives.csv
          encoding: utf-16
          delimiter: "\\t"
          thousands_separator: ","
          date_format: "%m/%d/%Y"
          columns: {date: Start Date, account_id: Account, campaign_id: Group, spend: Total Spent}
    """
    report = run(paths, drop, manifest, "ad_performance")
    assert report.quarantined == 0
    with connect(paths, read_only=True) as connection:
        row = connection.execute(
            "select cast(date as varchar), account_id, campaign_id, spend, currency"
            " from raw_files.ad_performance"
        ).fetchall()
    assert row == [("2026-06-30", "7", "9", Decimal("1234.5000"), "EUR")]
