"""The page Pipeline and forecast: every choice is clicked, and what then stands there is held against SQL."""

from __future__ import annotations

import datetime as dt
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
    money,
    offered,
    pick,
    table,
    trace,
)


def test_pipeline_shows_the_forecast_its_band_and_its_backtest(open_page: Open, sql: Sql) -> None:
    page = open_page("pipeline")
    for grain, button in (("month", "Months"), ("fiscal_quarter", "Quarters")):
        pick(page, "grain", button)
        now = sql(
            "select expected_amount, expected_low, expected_high, won_to_date, period_start"
            " from funnel.sales_forecast"
            " where is_current and segment = 'all' and period_grain = ? order by period_start",
            [grain],
        )
        cards = page.locator('[data-testid="figures-pipeline_head"] .fh-card')
        assert float(cards.nth(0).get_attribute("data-value") or "nan") == pytest.approx(float(now[0][0]))
        assert figure(page, "Won of it so far") == pytest.approx(float(now[0][3]))
        assert [row[7:9] for row in table(page, "forecast")] == [
            [money(low), money(high)] for _, low, high, *_ in now
        ]
        for horizon, name in enumerate(offered(page, "horizon")):
            pick(page, "horizon", name)
            off, forecasts = sql(
                "select sum(abs(error)) / sum(actual_amount), count(*) from funnel.sales_forecast"
                " where segment = 'all' and period_grain = ? and horizon = ?"
                " and error_naive_last_period is not null"
                " and actual_amount is not null",
                [grain, horizon],
            )[0]
            past = sql(
                "select count(*) from funnel.sales_forecast where segment = 'all' and period_grain = ?"
                " and horizon = ? and actual_amount is not null",
                [grain, horizon],
            )[0][0]
            if past:
                assert len(csv_rows(download(page, "backtest"))) == past
            if forecasts:
                note = page.locator(".st-key-panel_backtest .fh-note").first.inner_text()
                said = re.search(r"^(\d+) past forecasts were ([\d.]+)% off", note)
                assert said, note
                assert (int(said[1]), float(said[2])) == (
                    forecasts,
                    pytest.approx(float(off) * 100, abs=0.06),
                )


def test_pipeline_waterfall_adds_up_in_both_scopes(open_page: Open, sql: Sql) -> None:
    page = open_page("pipeline")
    for scope, name in (
        ("closing_in_period", "Deals due by the end of the period"),
        ("all_open", "Every open deal"),
    ):
        pick(page, "scope", name)
        periods = sql(
            "select period_start, start_amount, end_amount, won_amount from funnel.pipeline_waterfall"
            " where pipeline_scope = ? and segment = 'all' and period_grain = 'fiscal_quarter'"
            " order by period_start desc",
            [scope],
        )
        listed = table(page, "waterfall_periods")
        assert [(row[1], row[-1]) for row in listed] == [
            (money(start), money(end)) for _, start, end, _ in periods[:8]
        ]
        for number, option in enumerate(offered(page, "moved")[:4]):
            pick(page, "moved", option)
            drawn = trace(page, "waterfall")
            assert drawn["y"][0] == pytest.approx(float(periods[number][1]))
            assert drawn["y"][-1] == pytest.approx(float(periods[number][2]))
    owner, name, end = sql(
        "select owner_id, owner_name, end_amount from funnel.pipeline_waterfall"
        " join core.dim_owners on segment_value = owner_id where pipeline_scope = 'all_open'"
        " and segment = 'owner'"
        " and period_grain = 'fiscal_quarter' order by period_start desc, owner_id limit 1"
    )[0]
    pick(page, "deals", f"Owner: {name}")
    assert address(page)["deals"] == f"owner:{owner}"
    assert table(page, "waterfall_periods")[0][-1] == money(end)
    expect(page.get_by_text("Forecasts are made by type and pipeline")).to_have_count(1)
    kind = sql(
        "select segment_value, expected_amount from funnel.sales_forecast where is_current and horizon = 0"
        " and period_grain = 'fiscal_quarter' and segment = 'opportunity_type'"
        " and segment_value = 'new_business'"
    )[0]
    pick(page, "deals", "Opportunity type: New business")
    assert table(page, "forecast")[0][6] == money(kind[1])


def test_pipeline_lists_what_needs_attention(open_page: Open, sql: Sql) -> None:
    page = open_page("pipeline")
    amount = sql(
        "select sum(amount) from (select opportunity_id, max(amount) as amount"
        " from funnel.leads_needing_attention"
        " where subject = 'opportunity' group by 1) as deals"
    )[0][0]
    assert figure(page, "Deals to look at") == pytest.approx(float(amount))
    for kind, name in (("person", "Leads"), ("opportunity", "Deals")):
        pick(page, "what", name)
        count = sql("select count(*) from funnel.leads_needing_attention where subject = ?", [kind])[0][0]
        assert len(csv_rows(download(page, "attention"))) == count
    pick(page, "what", "Deals and leads")
    for reason in sql("select distinct reason from funnel.leads_needing_attention order by 1"):
        name = reason[0].replace("_", " ")
        name = name.replace("sla", "SLA") if name.startswith("sla") else name.capitalize()
        pick(page, "reason", name)
        assert {row[2] for row in table(page, "attention")} == {name}
        count = sql("select count(*) from funnel.leads_needing_attention where reason = ?", reason)[0][0]
        assert len(csv_rows(download(page, "attention"))) == count
    pick(page, "reason", "All reasons")
    for owner in offered(page, "owner")[1:3]:
        pick(page, "owner", owner)
        assert {row[3] for row in table(page, "attention")} == {owner}
    pick(page, "owner", "All owners")
    link = page.locator('[data-testid="table-attention"] a').first
    known = {row[0] for row in sql("select crm_url from funnel.leads_needing_attention")}
    assert link.get_attribute("href") in known
    dates = [row[4] for row in table(page, "attention")]
    assert all(re.fullmatch(r"\d{1,2} [A-Z][a-z]{2} \d{4}", day) for day in dates)


def test_pipeline_holds_quotas_cycles_and_results_against_the_marts(open_page: Open, sql: Sql) -> None:
    page = open_page("pipeline", period="last_12_months")
    for metric in offered(page, "metric"):
        pick(page, "metric", metric)
        key = metric.lower().replace(" ", "_")
        for holder in offered(page, "holder"):
            pick(page, "holder", holder)
            option = offered(page, "quota_period")[1]
            pick(page, "quota_period", option)
            start = dt.date.fromisoformat(address(page).get("quota_period", "2026-04-01"))
            theirs = sql(
                "select holder_name, attainment from funnel.quota_attainment"
                " where period_grain = 'fiscal_quarter'"
                " and metric = ? and holder_type = ? and period_start = ?"
                " order by attainment desc, holder_name",
                [key, holder.lower(), start],
            )
            assert trace(page, "attainment")["x"] == pytest.approx([rate for _, rate in theirs][:12])
    for split in offered(page, "cycle_by"):
        pick(page, "cycle_by", split)
        deals = sum(int(row["deals"]) for row in csv_rows(download(page, "cycle_split")))
        assert (
            deals
            == sql(
                "select deals from funnel.sales_cycle"
                " where period_grain = 'fiscal_quarter' and segment = 'all'"
                " and outcome = 'won' and period_start = '2026-04-01'"
            )[0][0]
        )
    for split in offered(page, "won_by"):
        pick(page, "won_by", split)
        listed = csv_rows(download(page, "win_rates"))
        won, lost = sql(
            "select sum(deals) filter (where outcome = 'won'), sum(deals) filter (where outcome = 'lost')"
            " from funnel.win_loss where period_grain = 'month' and segment = 'all'"
            " and period_start between '2025-07-01' and '2026-06-30'"
        )[0]
        assert (sum(int(row["won"]) for row in listed), sum(int(row["lost"]) for row in listed)) == (
            won,
            lost,
        )
    choose(page, "Period", "Last 3 months")
    lost = sql(
        "select sum(deals) from funnel.win_loss where period_grain = 'month' and segment = 'all'"
        " and outcome = 'lost' and period_start between ? and ?",
        SPAN,
    )[0][0]
    assert sum(trace(page, "reasons_lost")["x"]) == lost
