"""How figures are written, and that a download is never a program."""

from __future__ import annotations

import csv
import datetime as dt
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import charts, formats


@pytest.mark.parametrize(
    ("value", "kind", "written"),
    [
        (None, "money", "–"),
        (float("nan"), "percent", "–"),
        (1234.5, "money", "€1,234"),
        (12.345, "money", "€12.35"),
        (-0.001, "money", "€0.00"),
        (-1500, "money", "−€1,500"),
        (999_999, "money_compact", "€1.00M"),
        (48_300, "money_compact", "€48.3k"),
        (0.0134, "percent", "1.3%"),
        (0.001, "percent", "0.10%"),
        (1.0, "percent", "100%"),
        (3.21, "ratio", "3.2×"),
        (1, "days", "1 day"),
        (47, "hours", "47 h"),
        (31.9, "hours", "32 h"),
        (72, "hours", "3 d"),
        (722.4, "hours", "30 d"),
        (dt.date(2026, 7, 1), "date", "1 Jul 2026"),
        ("last_non_direct", "words", "Last non direct"),
        ("mql", "words", "MQL"),
        ("Paid Social", "words", "Paid Social"),
    ],
)
def test_values_are_written_as_people_write_them(value: object, kind: str, written: str) -> None:
    assert formats.write(value, kind, "EUR") == written


def test_a_column_has_one_number_of_decimals() -> None:
    assert formats.column([84.21, 79, 0.04, None], "number") == ["84.2", "79.0", "0.0", "–"]
    assert formats.column([106, 79], "number") == ["106", "79"]
    assert formats.column([126.4, 27.1], "money", "EUR") == ["€126", "€27"]


@pytest.mark.parametrize(
    ("now", "before", "kind", "written"),
    [
        (110, 100, "number", "+10%"),
        (95.4, 100, "number", "−4.6%"),
        (0.25, 0.2, "percent", "+5.0 pp"),
        (5, 0, "number", ""),
        (5, None, "number", ""),
        (2000, 100, "number", "20×"),
    ],
)
def test_changes(now: float, before: float | None, kind: str, written: str) -> None:
    assert formats.change(now, before, kind) == written


@given(st.one_of(st.text(), st.from_regex(r"[\s\u200b\ufeff]*[=+\-@\t\r|%].*", fullmatch=True)))
def test_no_text_cell_starts_a_formula(text: str) -> None:
    cell = str(formats.csv_cell(text))
    assert not cell.lstrip(" \u00a0\ufeff\u200b").startswith(("=", "+", "-", "@", "\t", "\r", "|", "%"))


def test_csv_keeps_numbers_and_quotes_names() -> None:
    rows = [{"=a": '=cmd|"/c calc"!A1', "n": -5.5}, {"=a": "Ørsted, Ltd\n", "n": None}]
    text = formats.to_csv(rows, ["=a", "n"]).decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(text))) == [
        ["'=a", "n"],
        ['\'=cmd|"/c calc"!A1', "-5.5"],
        ["Ørsted, Ltd\n", ""],
    ]


def test_chart_labels_hold_no_markup_and_no_placeholder() -> None:
    label = charts.text('<a href="https://x">%{x}$y$</a>', 80)
    assert "<" not in label
    assert "%{" not in label
    assert "$" not in label
    assert charts.text("a\u202eb\x00c") == "abc"
    assert len(charts.text("x" * 400)) == 28
