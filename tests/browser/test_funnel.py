"""The page Funnel: every filter and choice is clicked, and what then stands there is held against SQL."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open, Sql
from tests.browser.support import (
    SPAN,
    address,
    choose,
    csv_rows,
    download,
    figure,
    offered,
    pick,
    table,
    title,
    trace,
    written,
)


def entered(
    sql: Sql, funnel: str, segment: str = "all", value: str = "all", span: list[str] = SPAN
) -> list[str]:
    return [
        written(count)
        for _, count in sql(
            "select stage_order, sum(entered) from funnel.funnel_stage_conversion"
            " where period_grain = 'month'"
            " and funnel = ? and segment = ? and segment_value = ? and period_start between ? and ?"
            " group by stage_order having sum(entered) > 0 or sum(recycled) > 0 order by stage_order",
            [funnel, segment, value, *span],
        )
    ]


def test_funnel_says_what_the_worst_leak_is_worth(open_page: Open, sql: Sql) -> None:
    page = open_page("funnel", funnel="ecommerce")
    value, wins = sql(
        "select expected_value_per_month, expected_wins_per_month from funnel.funnel_bottlenecks"
        " where funnel = 'ecommerce' and segment = 'all' and bottleneck_rank = 1"
    )[0]
    assert figure(page, "Worst leak a month") == pytest.approx(float(value))
    assert figure(page, "Wins it costs a month") == pytest.approx(wins)
    visitors = sql(
        "select sum(entered) from funnel.funnel_stage_conversion where period_grain = 'month'"
        " and segment = 'all'"
        " and funnel = 'ecommerce' and stage = 'visitor' and period_start between ? and ?",
        SPAN,
    )[0][0]
    assert figure(page, "Visitor entered") == visitors
    within, beyond = sql(
        "select sum(within_sla), sum(beyond_sla) from funnel.handoff_alignment where period_grain = 'month'"
        " and segment = 'all' and period_start between ? and ?",
        SPAN,
    )[0]
    assert figure(page, "Hand-overs in time") == pytest.approx(within / (within + beyond))
    leaks = sql(
        "select expected_value_per_month from funnel.funnel_bottlenecks where funnel = 'ecommerce'"
        " and segment = 'all' and expected_value_per_month > 0 order by bottleneck_rank"
    )
    assert trace(page, "leaks")["x"] == [pytest.approx(float(worth)) for (worth,) in leaks]
    assert len(csv_rows(download(page, "leaks"))) == len(leaks) == len(table(page, "leaks"))


def test_funnel_obeys_every_filter(open_page: Open, sql: Sql) -> None:
    page = open_page("funnel")
    for funnel, name in (("ecommerce", "Ecommerce"), ("saas", "SaaS"), ("b2b", "B2B")):
        choose(page, "Funnel", name)
        assert address(page)["funnel"] == funnel
        assert [row[2] for row in table(page, "stages")] == entered(sql, funnel)
    choose(page, "Period", "Last 12 months")
    year = ["2025-07-01", "2026-06-30"]
    whole = entered(sql, "b2b", span=year)
    assert [row[2] for row in table(page, "stages")] == whole
    choose(page, "Country", "NL")
    assert [row[2] for row in table(page, "stages")] == entered(sql, "b2b", "country", "NL", year) != whole
    assert page.get_by_text("not by both").count() == 0
    choose(page, "Channel", "Paid Search")
    assert [row[2] for row in table(page, "stages")] == entered(sql, "b2b", "channel", "Paid Search", year)
    expect(page.get_by_text("not by both")).to_have_count(1)
    assert address(page)["country"] == "NL"


def test_funnel_obeys_its_own_choices(open_page: Open, sql: Sql) -> None:
    page = open_page("funnel", funnel="saas", period="last_12_months")
    year = ["2025-07-01", "2026-06-30"]
    for framework in offered(page, "view")[1:]:
        pick(page, "view", framework)
        counts = sql(
            "select framework_stage, sum(entered) from funnel.funnel_framework_summary"
            " where period_grain = 'month'"
            " and segment = 'all' and funnel = 'saas' and framework = ? and period_start between ? and ?"
            " group by framework_order, framework_stage having sum(entered) > 0 order by framework_order",
            [framework, *year],
        )
        assert [(row[0], row[2]) for row in table(page, "stages")] == [
            (stage, written(count)) for stage, count in counts
        ], framework
        assert address(page)["view"] == framework
    pick(page, "view", "Stages of the funnel")
    assert "view" not in address(page)

    for split in offered(page, "leak_by"):
        pick(page, "leak_by", split)
        assert title(page, "leaks_by_segment") == f"The dearest leaks by {split.lower()}"
        worth = sql(
            "select max(expected_value_per_month) from funnel.funnel_bottlenecks"
            " where funnel = 'saas' and segment = ?",
            [split.lower()],
        )[0][0]
        listed = page.locator('[data-testid="table-leaks_by_segment"]')
        assert bool(listed.count()) == bool(worth)
        if worth:
            assert re.sub(r"\D", "", table(page, "leaks_by_segment")[0][-1].split(".")[0]) == str(
                round(worth) if worth >= 100 else int(worth)
            )

    pick(page, "stage", "Activated")
    rates = sql(
        "select period_start, conversion_rate from funnel.funnel_stage_conversion"
        " where period_grain = 'month'"
        " and segment = 'all' and funnel = 'saas' and stage = 'activated' and period_start between ? and ?"
        " and conversion_rate is not null",
        year,
    )
    assert len(csv_rows(download(page, "trend"))) == len(rates)
    for split in offered(page, "split"):
        pick(page, "split", split)
        assert title(page, "segments") == f"Activated by {split.lower()}"
    pick(page, "split", "Country")
    drawn = trace(page, "segments")["x"]
    by_country = [
        row[0]
        for row in sql(
            "select sum(advanced) / sum(entered) from (select *"
            " from funnel.funnel_stage_conversion where is_mature"
            " and period_grain = 'month' and segment = 'country' and funnel = 'saas' and stage = 'activated'"
            " and period_start between ? and ?) as mature group by segment_value having sum(entered) > 0",
            year,
        )
    ]
    assert sorted(drawn) == pytest.approx(sorted(by_country))

    for kind in offered(page, "handoff"):
        pick(page, "handoff", kind)
        accepted = sql(
            "select coalesce(sum(accepted), 0) from funnel.handoff_alignment where period_grain = 'month'"
            " and segment = 'all' and handoff_type = ? and period_start between ? and ?",
            [kind.lower(), *year],
        )[0][0]
        assert sum(trace(page, "handoffs")["y"]) == accepted
        for split in offered(page, "handoff_by"):
            pick(page, "handoff_by", split)
            passed = sum(int(row["passed"]) for row in csv_rows(download(page, "handoff_split")))
            assert (
                passed
                == sql(
                    "select sum(passed) from funnel.handoff_alignment where period_grain = 'month'"
                    " and segment = 'all'"
                    " and handoff_type = ? and period_start between ? and ?",
                    [kind.lower(), *year],
                )[0][0]
            )
