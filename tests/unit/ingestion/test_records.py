"""Typing of records: each type's good and bad values, paths, unknown fields, conservation."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.errors import BadAnswer
from ingestion.privacy import Pseudonyms
from ingestion.records import Column, Converted, Converter, Table
from ingestion.sources import Page

AS_OF = datetime(2026, 7, 1, tzinfo=UTC)
MAKER = Pseudonyms(b"k" * 32, keep_clear=False)


def convert(records: list[Any], *columns: Column, **table: Any) -> Converted:
    made = Table("things", (Column("id", required=True), *columns), key=("id",), **table)
    body = json.dumps({"data": {"items": records}}).encode()
    return Converter(made, "toy:main:1", MAKER, AS_OF).convert([Page("things", body=body, at="data.items")])


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        (Column("v", "bigint"), "42", 42),
        (Column("v", "bigint"), 9223372036854775807, 9223372036854775807),
        (Column("v", "bigint"), 4.0, 4),
        (Column("v", "bigint"), "", None),
        (Column("v", "double"), "1e-3", 0.001),
        (Column("v", "boolean"), True, True),
        (Column("v", "boolean"), "false", False),
        (Column("v", "money"), 0.1, Decimal("0.1000")),
        (Column("v", "money"), "999999999999999.9999", Decimal("999999999999999.9999")),
        (Column("v", "money"), "-2.00005", Decimal("-2.0001")),
        (Column("v", "rate"), "0.12345678", Decimal("0.12345678")),
        (Column("v", "date"), "2026-06-01", date(2026, 6, 1)),
        (Column("v", "date", format="%Y%m%d"), "20260601", date(2026, 6, 1)),
        (Column("v", "timestamp"), "2026-06-01T12:00:00.5+02:00", datetime(2026, 6, 1, 10, 0, 0, 500000)),
        (Column("v", "timestamp"), "2026-06-01 12:00:00", datetime(2026, 6, 1, 12)),
        (Column("v", "timestamp", unit="s"), 1780308000, datetime(2026, 6, 1, 10)),
        (Column("v", "timestamp", unit="ms"), "1780308000123", datetime(2026, 6, 1, 10, 0, 0, 123000)),
        (Column("v", "timestamp", unit="us"), 1780308000000001, datetime(2026, 6, 1, 10, 0, 0, 1)),
        (
            Column("v", "timestamp", time_zone="Europe/Amsterdam"),
            "2026-06-01 12:00",
            datetime(2026, 6, 1, 10),
        ),
        (
            Column("v", "timestamp", time_zone="Europe/Amsterdam"),
            "2026-06-01T12:00:00Z",
            datetime(2026, 6, 1, 12),
        ),
        (Column("v", "json"), {"a": [1, {"b": None}]}, '{"a":[1,{"b":null}]}'),
        (Column("v", "json"), "text", '"text"'),
        (Column("v", "text"), 5, "5"),
        (Column("v", "text"), "naïve 😀", "naïve 😀"),
    ],
)
def test_good_values(column: Column, value: Any, expected: Any) -> None:
    converted = convert([{"id": "1", "v": value}], column)
    assert converted.quarantined.to_pylist() == []
    assert converted.good["v"].to_pylist() == [expected]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        (Column("v", "bigint"), "3.7", "v: no whole number (number of 3 characters)"),
        (Column("v", "bigint"), 2**64, "v: no whole number (number of 20 characters)"),
        (Column("v", "double"), "inf", "v: no number (number of 3 characters)"),
        (Column("v", "boolean"), "perhaps", "v: no true or false (text of 7 characters)"),
        (Column("v", "money"), "12,50", "v: no amount (text of 5 characters)"),
        (Column("v", "money"), {"amount": 1}, "v: no amount (object)"),
        (Column("v", "date"), "2026-02-30", "v: no date (text of 10 characters)"),
        (Column("v", "timestamp"), "infinity", "v: no time (number of 8 characters)"),
        (
            Column("v", "timestamp", unit="ms"),
            "99999999999999999999999999",
            "v: no time (number of 26 characters)",
        ),
        (Column("v", "text", required=True), None, "v: missing"),
        (Column("v", "money", required=True), " ", "v: missing"),
    ],
)
def test_bad_values_are_named_but_not_shown(column: Column, value: Any, reason: str) -> None:
    converted = convert(
        [{"id": "1", "v": value}, {"id": "2", "v": None if not column.required else "1"}], column
    )
    assert converted.good["id"].to_pylist() == ["2"]
    assert converted.quarantined["reason"].to_pylist() == [reason]


def test_paths_unknown_and_ignored_fields() -> None:
    record = {
        "id": "1",
        "p": {"a": "x", "b": "left", "q": {"c": "deep"}},
        "_links": {"self": "y"},
        "userId": "upper",
        "userid": "lower",
        "list": [{"n": 7}],
    }
    converted = convert(
        [record],
        Column("a", path="p.a"),
        Column("c", path="p.q.c"),
        Column("upper", path="userId"),
        Column("lower", path="userid"),
        Column("first", "bigint", path="list.0.n"),
        ignored=("_links",),
    )
    (row,) = converted.good.to_pylist()
    assert (row["a"], row["c"], row["upper"], row["lower"], row["first"]) == (
        "x",
        "deep",
        "upper",
        "lower",
        7,
    )
    assert json.loads(row["_extra"])["p"] == {"b": "left"}
    assert "_links" not in row["_extra"]


def test_personal_columns() -> None:
    record = {"id": "1", "email": "Ann@customer.example", "other": "bob@shop.example", "phone": "+31 6 1234"}
    converted = convert(
        [record], Column("email", "email"), Column("other", "email"), Column("phone", "phone")
    )
    (row,) = converted.good.to_pylist()
    assert row["email_hash"] == MAKER.email("ann@customer.example")[0]
    assert (row["email_domain"], row["other_domain"]) == ("customer.example", "shop.example")
    assert row["phone_hash"] == MAKER.of("+3161234")
    assert "email" not in row


def test_clear_values_only_where_a_setting_allows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table("things", (Column("id"), Column("note")), key=("id",))
    page = Page("things", records=[{"id": "1", "note": "ann@customer.example"}])
    for value, kept in (("", False), ("1", True)):
        monkeypatch.setenv("FUNNELHOUSE_CLEAR_PERSONAL_DATA", value)
        good = Converter(table, "toy:main:1", Pseudonyms(b"k"), AS_OF).convert([page]).good
        assert ("customer.example" in good["note"].to_pylist()[0]) is kept


def test_slices_come_from_a_column() -> None:
    converted = convert(
        [{"id": "1", "at": "2026-06-01T23:30:00Z"}, {"id": "2", "at": None}],
        Column("at", "timestamp"),
        slice_by="at",
    )
    assert converted.good["_slice"].to_pylist() == ["2026-06-01"]
    assert converted.quarantined["reason"].to_pylist() == ["at: missing"]


@pytest.mark.parametrize(
    "body", [b'{"data": {}}', b'{"data": {"items": 5}}', b"{", b'{"data": {"items": [NaN']
)
def test_a_page_without_records_is_an_error(body: bytes) -> None:
    table = Table("things", (Column("id"),), key=("id",))
    converter = Converter(table, "toy:main:1", MAKER, AS_OF)
    if body == b'{"data": {}}':
        assert converter.convert([Page("things", body=body, at="data.items")]).rows_in == 0
        return
    with pytest.raises(BadAnswer):
        converter.convert([Page("things", body=body, at="data.items")])


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.fixed_dictionaries({"id": values, "v": values, "x": values}), max_size=5))
def test_whatever_comes_in_is_accounted_for(records: list[dict[str, Any]]) -> None:
    converted = convert(records, Column("v", "money"))
    assert converted.rows_in == len(records) == converted.good.num_rows + converted.quarantined.num_rows
    for payload in converted.quarantined["payload"].to_pylist():
        assert payload.isascii()
