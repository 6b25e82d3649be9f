"""Periods: what a choice or an address means, and that the period before is as long."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.filters import PERIODS, add_months, month_end, months_between, period_of

TODAY, FIRST, QUARTER = dt.date(2026, 7, 1), dt.date(2024, 2, 15), dt.date(2026, 7, 1)


@pytest.mark.parametrize(
    ("text", "start", "end", "grain"),
    [
        ("last_4_weeks", "2026-06-01", "2026-06-28", "week"),
        ("last_month", "2026-06-01", "2026-06-30", "month"),
        ("last_3_months", "2026-04-01", "2026-06-30", "month"),
        ("last_12_months", "2025-07-01", "2026-06-30", "month"),
        ("this_quarter", "2026-07-01", "2026-07-01", "month"),
        ("last_quarter", "2026-04-01", "2026-06-30", "month"),
        ("all_time", "2024-02-01", "2026-07-01", "month"),
        ("2026-01-15..2026-02-03", "2026-01-01", "2026-02-28", "month"),
        ("2020-01-01..2024-03-01", "2024-02-01", "2024-03-31", "month"),
        ("2027-01-01..2027-02-01", "2026-04-01", "2026-06-30", "month"),
        ("2026-02-31..2026-03-01", "2026-04-01", "2026-06-30", "month"),
        ("nonsense", "2026-04-01", "2026-06-30", "month"),
    ],
)
def test_what_a_choice_means(text: str, start: str, end: str, grain: str) -> None:
    period = period_of(text, TODAY, FIRST, QUARTER)
    assert (str(period.start), str(period.end), period.grain) == (start, end, grain)


@given(st.dates(dt.date(2020, 1, 1), dt.date(2030, 12, 31)), st.sampled_from(sorted(PERIODS)))
def test_the_period_before_ends_the_day_before_and_is_as_long(today: dt.date, name: str) -> None:
    quarter = add_months(today, -((today.month - 1) % 3))
    period = period_of(name, today, dt.date(2019, 5, 5), quarter)
    before = period.previous
    assert before.end == period.start - dt.timedelta(days=1)
    assert period.start <= period.end
    if period.grain == "week":
        assert (before.days, period.start.weekday()) == (period.days, 0)
    else:
        assert months_between(before.start, before.end) == months_between(period.start, period.end)
        assert before.start.day == period.start.day == 1
        assert before.end == month_end(before.end)
