"""Figures of the funnel, pipeline and retention pages where there is far too much, and names of periods."""

from __future__ import annotations

import datetime as dt

import pytest

from dashboard import charts, figures
from dashboard.figures import funnel, pipeline, retention
from dashboard.filters import add_months
from dashboard.queries import wilson


@pytest.mark.parametrize(
    ("start", "grain", "name"),
    [
        (dt.date(2026, 6, 29), "week", "29 Jun 26"),
        (dt.date(2026, 6, 1), "month", "Jun 2026"),
        (dt.date(2026, 4, 1), "fiscal_quarter", "Apr–Jun 2026"),
        (dt.date(2026, 10, 1), "fiscal_quarter", "Oct–Dec 2026"),
        (dt.date(2025, 11, 1), "fiscal_quarter", "Nov 2025–Jan 2026"),
        (dt.date(2025, 12, 1), "fiscal_quarter", "Dec 2025–Feb 2026"),
    ],
)
def test_periods_are_called_as_people_call_them(start: dt.date, grain: str, name: str) -> None:
    assert figures.period_name(start, grain) == name


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999.4, "999"),
        (999.6, "1.0k"),
        (60_714, "61k"),
        (1_998_167, "2.0M"),
        (-138_754, "−139k"),
        (9.96e6, "10M"),
    ],
)
def test_amounts_side_by_side_stay_short(value: float, text: str) -> None:
    assert figures.brief(value) == text
    assert len(text) <= 5


def test_a_rate_of_nothing_is_unknown_and_certainty_has_an_interval() -> None:
    assert wilson(0, 0) == (None, None, None)
    rate, low, high = wilson(0, 10)
    assert (rate, low) == (0, 0)
    assert high == pytest.approx(0.2775, abs=1e-4)
    rate, low, high = wilson(10, 10)
    assert (rate, high) == (1, 1)
    assert low == pytest.approx(0.7225, abs=1e-4)


def test_a_figure_keeps_the_largest_of_five_hundred_lines() -> None:
    rows = [
        {
            "name": f"segment {number} <b>",
            "conversion_rate": 0.02,
            "conversion_rate_low": 0.01,
            "conversion_rate_high": 0.03,
            "advanced_mature": 10,
            "entered_mature": 500,
            "target": None,
        }
        for number in range(500)
    ]
    drawn = funnel.rates(rows, "name")
    assert len(drawn.data[0].x) == charts.MOST
    assert drawn.layout.height < 700
    assert "<b>" not in "".join(drawn.layout.yaxis.ticktext)
    # Two visits of which both went on must not press the rest flat: the dot points beyond the axis.
    lucky = {**rows[0], "conversion_rate": 1.0, "conversion_rate_low": 0.34, "conversion_rate_high": 1.0}
    drawn = funnel.rates([*rows[:5], {**lucky, "advanced_mature": 2, "entered_mature": 2}], "name")
    assert drawn.layout.xaxis.range[1] < 0.2
    assert drawn.data[0].marker.symbol[-1] == "triangle-right"


def test_a_figure_keeps_the_latest_of_two_hundred_cohorts() -> None:
    first = dt.date(2010, 1, 1)
    rows = [
        {
            "cohort_period": add_months(first, cohort),
            "periods_since": since,
            "period_start": add_months(first, cohort + since),
            "cohort_size": 10,
            "active": 5,
            "revenue": 1.0,
            "retention_rate": 0.5,
            "is_complete": since < 199 - cohort,
        }
        for cohort in range(200)
        for since in range(200 - cohort)
    ]
    drawn = retention.cohorts(rows, "customers", "month", "EUR")
    assert len(drawn.data[0].z) == retention.COHORTS
    assert max(map(len, drawn.data[0].z)) == retention.PERIODS + 1
    assert len(drawn.data) == 1  # too narrow for numbers
    assert drawn.layout.yaxis.ticktext[-1].startswith(figures.period_name(add_months(first, 199), "month"))
    few = retention.cohorts(
        [row for row in rows if row["cohort_period"].year == 2026], "customers", "month", "EUR"
    )
    assert few.data[1].text[-1] == "(50)"  # the latest one's first period is not over
    assert len(few.data[1].text) == sum(value is not None for line in few.data[0].z for value in line)


@pytest.mark.parametrize(
    ("share", "ink"), [(0, "#000000"), (0.4, "#000000"), (0.5, "#000000"), (0.8, "#ffffff"), (1, "#ffffff")]
)
def test_what_stands_in_a_cell_can_be_read(share: float, ink: str) -> None:
    assert charts.ink_on(charts.at(charts.LIGHT.scale, share)) == ink


def test_what_was_won_leaves_the_pipeline_as_something_good() -> None:
    row = {column: 0.0 for column, _, _ in pipeline.WATERFALL_STEPS}
    row |= {
        "start_amount": 100.0,
        "created_amount": 50.0,
        "won_amount": 120.0,
        "end_amount": 30.0,
        "is_complete": True,
    }
    drawn = pipeline.pipeline_waterfall(row, "EUR")
    assert list(drawn.layout.xaxis.ticktext) == ["Start", "Created", "Won", "End"]
    assert list(drawn.data[0].base) == [0, 100, 30, 0]
    assert list(drawn.data[0].y) == [100, 50, 120, 30]
    lost = {**row, "won_amount": 0.0, "lost_amount": 120.0}
    colours = [pipeline.pipeline_waterfall(one, "EUR").data[0].marker.color[2] for one in (row, lost)]
    assert colours[0] != colours[1]
