"""Rows 3, 4, 13, 15 to 17 and 22: what may stand in the records, and loads that repeat, stop early or
overlap."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from dlt.destinations.exceptions import DatabaseTerminalException
from dlt.destinations.impl.duckdb.duck import DuckDbCopyJob
from dlt.pipeline.exceptions import PipelineStepFailed

from ingestion import warehouse
from ingestion.errors import QuarantineFull, SourceError
from ingestion.quarantine import list_records, replay
from ingestion.records import Column, Table
from ingestion.settings import Paths
from ingestion.sources import Bounds, Done, Page, Resource, System
from ingestion.warehouse import LoadReport, load, loading, writer_lock
from tests.faults import toy
from tests.faults.toy import AS_OF, CONNECTION, CONTACTS, contact, content, rows, system_of

DATA: dict[str, Any] = {
    "contacts": [contact(number, day=number) for number in range(1, 6)],
    "ads": [
        {"date": f"2026-06-0{day}", "campaign_id": "c1", "country": country, "spend": f"{day}.25"}
        for day in range(1, 6)
        for country in ("NL", None)
    ],
    "drops": {
        "a.csv": [{"event_id": "1", "name": "x"}, {"event_id": "1", "name": "x"}],
        "b.csv": [{"event_id": "2"}],
    },
}


def run(paths: Paths, data: dict[str, Any], **options: Any) -> LoadReport:
    return load(paths, CONNECTION, system=system_of(data), as_of=AS_OF, **options)


def run_body(paths: Paths, body: bytes, table: Table = CONTACTS) -> LoadReport:
    resource = Resource(table.name, (table,), lambda _: iter([Page(table.name, body=body, at="results")]))
    return load(paths, CONNECTION, system=System("toy", (resource,), check=lambda _: ""), as_of=AS_OF)


def test_row_03_an_unchanged_source_adds_nothing(paths: Paths) -> None:
    data = {**DATA, "contacts": [*DATA["contacts"], contact(9, day=5, amount="much")]}
    first = run(paths, data)
    before = content(paths, with_load_ids=True)
    second = run(paths, data)
    assert first.good == 5 + 10 + 3
    assert second.good == 0
    assert second.load_ids == []
    assert content(paths, with_load_ids=True) == before
    assert len(before["_quarantine"]) == 1


@pytest.mark.parametrize("checkpoint", range(10))
def test_row_04_a_load_that_stops_at_any_checkpoint_is_made_whole(
    paths: Paths, whole: dict[str, Any], checkpoint: int
) -> None:
    """The source breaks off right before its n-th item; the load after it has everything, once."""
    with pytest.raises(SourceError, match="broke off"):
        load(paths, CONNECTION, system=broken_off(system_of(DATA), checkpoint), as_of=AS_OF)
    assert set(content(paths)) <= {"_quarantine", "_slices"}, "nothing of a load that did not end"
    run(paths, DATA)
    assert without_pseudonyms(content(paths)) == whole


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The content after one undisturbed load."""
    paths = Paths.from_environment(tmp_path_factory.mktemp("whole") / "data")
    with writer_lock(paths):
        run(paths, DATA)
    return without_pseudonyms(content(paths))


def broken_off(system: System, checkpoint: int) -> System:
    """The system, failing before it gives its n-th item, counted over all its resources."""
    given = itertools.count()

    def breaking(extract: Any) -> Any:
        def extract_part(context: Any) -> Any:
            for item in extract(context):
                if next(given) == checkpoint:
                    raise SourceError("toy", "broke off")
                yield item

        return extract_part

    return replace(
        system,
        resources=tuple(
            replace(resource, extract=breaking(resource.extract)) for resource in system.resources
        ),
    )


def test_row_04_the_union_of_partial_runs_is_the_whole(paths: Paths, whole: dict[str, Any]) -> None:
    for count in range(1, 6):
        partial = {
            "contacts": DATA["contacts"][:count],
            "ads": DATA["ads"][: 2 * count],
            "drops": dict(list(DATA["drops"].items())[:count]),
        }
        run(paths, partial)
    assert without_pseudonyms(content(paths)) == whole


def test_slices_are_replaced_as_a_whole(paths: Paths) -> None:
    run(paths, DATA)
    restated = [dict(record) for record in DATA["ads"] if record["date"] != "2026-06-03"]
    restated[0]["spend"] = "100.00"
    report = run(paths, {**DATA, "ads": restated, "drops": {"b.csv": [{"event_id": "3"}]}})
    assert report.tables["ads"].good == 2
    assert report.tables["ads"].unchanged == 6
    ads = rows(
        paths, "select cast(date as text), count(*), sum(spend) from raw_toy.ads group by 1 order by 1"
    )
    assert [(day, count) for day, count, _ in ads] == [
        ("2026-06-01", 2),
        ("2026-06-02", 2),
        ("2026-06-04", 2),
        ("2026-06-05", 2),
    ]
    assert float(ads[0][2]) == 101.25
    assert rows(paths, "select event_id from raw_toy.drops") == [("3",)]
    gone = rows(paths, "select row_count, checksum from raw_toy._slices where slice = 'a.csv'")
    assert gone == [(0, "gone")]


RESTATED: dict[str, Any] = {
    **DATA,
    "ads": [{**record, "spend": "7.00"} for record in DATA["ads"][1:]],
    "drops": {"a.csv": [{"event_id": "1", "name": "y"}]},
}


def test_row_02_a_stop_between_the_load_and_its_pruning(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(paths, DATA)
    prune, calls = warehouse._prune, []

    def stopped(con: Any, dataset: str) -> None:
        calls.append(dataset)
        if len(calls) == 2:  # the first one belongs to the clean start
            raise KeyboardInterrupt
        prune(con, dataset)

    monkeypatch.setattr(warehouse, "_prune", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(paths, RESTATED)
    assert rows(paths, "select count(*) from raw_toy.ads") == [(10 + 9,)], "committed, and not yet pruned"
    run(paths, RESTATED)
    other = empty_under_the_same_key(paths, tmp_path)
    run(other, DATA)
    run(other, RESTATED)
    assert content(paths) == content(other)


def test_a_load_that_fails_half_way_leaves_nothing(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    run(paths, DATA)
    before = content(paths)
    copy, copied_tables = DuckDbCopyJob.run, []

    def failing(self: DuckDbCopyJob) -> None:
        copied_tables.append(self.load_table_name)
        if len(copied_tables) > 1:
            raise DatabaseTerminalException(ValueError("no more"))
        copy(self)

    monkeypatch.setattr(DuckDbCopyJob, "run", failing)
    with pytest.raises(PipelineStepFailed):
        run(paths, RESTATED)
    assert len(copied_tables) > 1, "one table was written before the failure"
    after = content(paths)
    assert {name: after[name] for name in ("contacts", "ads", "drops")} == {
        name: before[name] for name in ("contacts", "ads", "drops")
    }


def without_pseudonyms(found: dict[str, Any]) -> dict[str, Any]:
    """The content with "v1:…" in the place of pseudonyms, which another folder's key makes differently."""
    return {
        name: sorted(re.sub(r"v1:[0-9a-f]{64}", "v1:…", repr(row)) for row in rows)
        for name, rows in found.items()
    }


def empty_under_the_same_key(paths: Paths, tmp_path: Path) -> Paths:
    """An empty data folder under the same key."""
    other = Paths.from_environment(tmp_path / "other").create()
    other.key_file.write_text(paths.key_file.read_text())
    return other


def test_row_13_a_cursor_in_the_future_or_none(paths: Paths) -> None:
    run(paths, {"contacts": [contact(1, day=1)]})
    future = {**contact(2), "updatedAt": "2999-01-01T00:00:00Z"}
    missing = {**contact(3), "updatedAt": None}
    report = run(paths, {"contacts": [future, missing]})
    assert report.tables["contacts"].quarantined == 2
    reasons = {record.reason for record in list_records(paths)}
    assert reasons == {"updated_at: lies in the future", "updated_at: missing"}
    run(paths, {"contacts": [contact(4, day=1)]})
    assert rows(paths, "select contact_id from raw_toy.contacts order by 1") == [("1",), ("4",)]


POISON: list[tuple[bytes, bool]] = [
    (b'{"id": "1", "updatedAt": "2026-06-01T10:00:00Z", "properties": {"amount": "12.50"}}', True),
    (
        b'{"id": "2", "updatedAt": "2026-06-01T10:00:00Z", "properties": {"amount": 12345678901234.5678}}',
        True,
    ),
    (b'{"id": "3", "updatedAt": "2026-06-01T10:00:00Z", "surprise": {"deep": [1, "\\ud83d\\ude00"]}}', True),
    (b'{"id": "4", "updatedAt": "2026-06-01T12:00:00+02:00", "properties": {"visits": "7"}}', True),
    (
        b'{"id": "5", "updatedAt": "2026-06-01T10:00:00Z", "properties": {"visits": 9223372036854775808}}',
        False,
    ),
    (b'{"id": "6", "updatedAt": "2026-06-01T10:00:00Z", "properties": {"amount": NaN}}', False),
    (b'{"id": "7", "updatedAt": "2026-06-01T10:00:00Z", "properties": {"amount": -Infinity}}', False),
    (b'{"id": "8", "updatedAt": "2026-06-01T10:00:00Z", "properties": {"email": "half \\ud800"}}', False),
    (b'{"id": "9", "updatedAt": "2026-06-01T10:00:00Z", "properties": {"notes": "nul \\u0000"}}', False),
    (b'{"id": "10", "updatedAt": "yesterday"}', False),
    (b'{"updatedAt": "2026-06-01T10:00:00Z"}', False),
    (b'{"id": "12", "updatedAt": "2026-06-01T10:00:00Z", "properties": {"visits": 3.7}}', False),
    (b'{"id": "13", "updatedAt": "2026-06-01T10:00:00Z", "properties": {"amount": "a lot"}}', False),
    (b'["no", "object"]', False),
]


def test_row_15_fourteen_poison_records(paths: Paths) -> None:
    body = b'{"results": [' + b", ".join(record for record, _ in POISON) + b"]}"
    report = run_body(paths, body)
    table = report.tables["contacts"]
    assert (table.rows_in, table.good, table.quarantined) == (14, 4, 10)
    assert any("10 of 14 records are in quarantine" in alert for alert in report.alerts)
    good = rows(paths, "select contact_id, cast(amount as text), updated_at from raw_toy.contacts order by 1")
    assert [row[0] for row in good] == ["1", "2", "3", "4"]
    assert good[1][1] == "12345678901234.5678", "no digit is lost"
    assert good[3][2].isoformat() == "2026-06-01T10:00:00"
    refused = list_records(paths)
    assert len(refused) == 10
    assert all(record.payload.isascii() for record in refused)
    assert {record.reason.split(":")[0] for record in refused} == {
        "visits",
        "properties.amount",
        "properties.email",
        "properties.notes",
        "updated_at",
        "contact_id",
        "amount",
        "the record is no object",
    }
    again = run_body(paths, body)
    assert (again.good, len(list_records(paths))) == (0, 10)


def test_row_15_bytes_that_are_no_text(paths: Paths) -> None:
    good = json.dumps(contact(1)).encode()
    resource = Resource(
        "contacts",
        (CONTACTS,),
        lambda _: iter([Page("contacts", body=good + b'\n{"id": "2\xff"}\n{"id": \n', lines=True)]),
    )
    report = load(paths, CONNECTION, system=System("toy", (resource,), check=lambda _: ""), as_of=AS_OF)
    assert (report.good, report.quarantined) == (1, 2)
    assert {record.line for record in list_records(paths)} == {2, 3}


CHANGED: dict[str, tuple[dict[str, Any], dict[str, int], list[str], list[tuple[Any, ...]]]] = {
    "type change": (contact(2, visits={"total": 3}), {}, ["visits: no whole number (object)"], []),
    "new": ({**contact(2), "rating": {"stars": 5}}, {"rating": 1}, [], [("2", '{"rating":{"stars":5}}')]),
    "missing": ({"id": "2", "updatedAt": "2026-06-01T10:00:00Z"}, {}, [], [("2", None)]),
    "colliding": (
        {**contact(2), "Score": 5, "score": 6},
        {"Score": 1, "score": 1},
        [],
        [("2", '{"Score":5,"score":6}')],
    ),
}


@pytest.mark.parametrize("change", CHANGED)
def test_row_16_columns_that_change(paths: Paths, change: str) -> None:
    """Reported; no variant column; nothing lost: in the table, in `_extra` or in the quarantine."""
    record, unknown, reasons, kept = CHANGED[change]
    columns = (
        "select column_name from information_schema.columns where table_schema = 'raw_toy' and "
        "table_name = 'contacts'"
    )
    run(paths, {"contacts": [contact(1)]})
    before = rows(paths, columns)
    report = run(paths, {"contacts": [record]})
    table = report.tables["contacts"]
    assert (table.rows_in, table.good, table.quarantined) == (1, len(kept), len(reasons))
    assert table.unknown_fields == unknown
    assert [entry.reason for entry in list_records(paths)] == reasons
    said = " ".join(report.alerts)
    assert all(f"{name}" in said for name in unknown)
    assert ("in quarantine" in said) == bool(reasons)
    assert rows(paths, "select contact_id, _extra from raw_toy.contacts where contact_id = '2'") == kept
    assert rows(paths, columns) == before


def test_row_17_an_older_version_after_a_newer(paths: Paths) -> None:
    run(paths, {"contacts": [contact(1, day=3, amount="3")]})
    older, newer = contact(1, day=2, amount="2"), contact(2, day=3)
    report = run_body(paths, json.dumps({"results": [older, newer]}).encode())
    assert (report.tables["contacts"].superseded, report.tables["contacts"].good) == (1, 1)
    both = [contact(5, day=2, amount="50"), contact(5, day=4, amount="51"), contact(5, day=3, amount="52")]
    run_body(paths, json.dumps({"results": both}).encode())
    found = rows(paths, "select contact_id, cast(amount as double) from raw_toy.contacts order by 1")
    assert found == [("1", 3), ("2", 2.5), ("5", 51)]


def test_row_22_a_backfill_beside_the_schedule_equals_the_serial_run(paths: Paths, tmp_path: Any) -> None:
    run(paths, DATA)
    restated = {**DATA, "ads": [{**record, "spend": "7.00"} for record in DATA["ads"]]}
    run(paths, restated, tables=["ads"], bounds=Bounds(date(2026, 6, 2), date(2026, 6, 3)))
    partial = rows(paths, "select count(*) from raw_toy.ads where spend = 7")
    assert partial == [(4,)]
    run(paths, restated)
    run(paths, restated, tables=["ads"], bounds=Bounds(date(2026, 6, 2), date(2026, 6, 3)))
    other = empty_under_the_same_key(paths, tmp_path)
    run(other, restated)
    assert content(paths) == content(other)
    contacts = run(paths, {**restated, "contacts": [contact(6, day=1)]})
    assert contacts.tables["contacts"].good == 0, "the backfill moved no cursor"


def test_a_slice_that_was_not_read_to_its_end_is_an_error(paths: Paths) -> None:
    def extract(_: Any) -> Any:
        yield Page("drops", records=[{"event_id": "1"}], slice="a")
        yield Page("drops", records=[{"event_id": "2"}], slice="b")
        yield Done("drops", {"a": "1"})

    system = System("toy", (Resource("drops", (toy.DROPS,), extract),), check=lambda _: "")
    with pytest.raises(SourceError, match="the reading of b was not completed"):
        load(paths, CONNECTION, system=system, as_of=AS_OF)


def test_slices_may_be_done_in_several_rounds(paths: Paths) -> None:
    def extract(_: Any) -> Any:
        for day in ("2026-06-01", "2026-06-02", "2026-06-03"):
            yield Page("ads", records=[{"date": day, "campaign_id": "c", "spend": "1"}])
            yield Done("ads", {day: None})

    system = System("toy", (Resource("ads", (toy.ADS,), extract),), check=lambda _: "")
    assert load(paths, CONNECTION, system=system, as_of=AS_OF).good == 3
    assert load(paths, CONNECTION, system=system, as_of=AS_OF).tables["ads"].unchanged == 3


def test_a_full_quarantine_fails_and_can_be_read(paths: Paths) -> None:
    run(paths, {"contacts": [contact(1)]})
    before = content(paths, with_load_ids=True)["contacts"]
    bad = [contact(number, amount="x" if number < 60 else "1") for number in range(50, 160)]
    with pytest.raises(QuarantineFull, match=r"contacts: 10 of 110 records were refused.*\(5%\)") as failure:
        run(paths, {"contacts": bad})
    assert "\n" not in str(failure.value)
    assert content(paths, with_load_ids=True)["contacts"] == before
    assert len(list_records(paths)) == 10
    with pytest.raises(QuarantineFull):
        run(paths, {"contacts": bad})
    assert len(list_records(paths)) == 10
    good = [{**record, "properties": {**record["properties"], "amount": "1"}} for record in bad]
    assert run(paths, {"contacts": good}).good == 110, "the cursor had not moved"


def test_the_quarantine_is_replayed_after_a_fix(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = Table(
        "contacts", (*CONTACTS.columns, Column("score", "bigint")), key=("contact_id",), cursor="updated_at"
    )
    record = {**contact(1), "score": "high"}
    record["properties"]["notes"] = {"from": "person1@customer.example"}
    run_body(paths, json.dumps({"results": [record, {**contact(2), "score": 5}]}).encode(), strict)
    assert "customer.example" not in "".join(
        rows(paths, "select coalesce(_extra, '') from raw_toy.contacts")[0]
    )
    (refused,) = list_records(paths)
    assert "person1@" not in refused.payload
    resource = Resource("contacts", (CONTACTS,), lambda _: iter(()))
    monkeypatch.setattr(
        "ingestion.quarantine.registered_system", lambda _: System("toy", (resource,), check=lambda _: "")
    )
    (report,) = replay(paths, [CONNECTION], AS_OF)
    assert (report.loaded, report.still_refused) == (1, 0)
    assert list_records(paths) == []
    found = rows(
        paths, "select contact_id, email_domain, email_hash, notes, _extra from raw_toy.contacts order by 1"
    )
    assert [row[0] for row in found] == ["1", "2"]
    assert found[0][1] == "customer.example"
    assert json.loads(found[0][3]) == {"from": found[0][2]}, (
        "the same pseudonym in the column and in the text"
    )
    assert json.loads(found[0][4]) == {"score": "high"}


def test_no_load_uses_insert_values(paths: Paths) -> None:
    with loading(paths, CONNECTION, system=system_of(DATA), as_of=AS_OF) as job:
        info = job.pipeline.run(job.source, **job.run_options)
    formats = {
        loaded.job_file_info.file_format
        for package in info.load_packages
        for loaded in package.jobs["completed_jobs"]
        if not loaded.job_file_info.table_name.startswith("_dlt")
    }
    assert "parquet" in formats
    assert formats <= {"parquet", "sql", "reference"}


def test_raw_rows_hold_no_clear_address(paths: Paths) -> None:
    noted = contact(1, notes={"text": "write to person1@customer.example"}, amount="bad")
    url = {**contact(2), "page": "https://shop.example/?email=person2%40customer.example"}
    run(paths, {"contacts": [noted, url]})
    for file in Path(paths.data_dir).rglob("*"):
        if file.is_file():
            assert b"person" not in file.read_bytes(), file
