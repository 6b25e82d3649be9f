"""The pages Funnel, Pipeline and Retention in a real browser: every filter and choice is clicked, and what
then stands there is held against SQL on the published file.
"""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import io
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, TimeoutError, expect

from tests.browser.conftest import PHONE, Open, Sql, choose, download, figure, settle, table

SPAN = ["2026-04-01", "2026-06-30"]  # the default: the last three months before the run


def pick(page: Page, name: str, option: str) -> None:
    """Choose in a page's own list or row of buttons, as a person does, and wait for the page."""
    widget = page.locator(f".st-key-option_{name}")
    widget.scroll_into_view_if_needed()
    if widget.locator("input").count():
        widget.locator("input").click()
        page.get_by_role("option", name=option, exact=True).click()
    else:
        widget.get_by_role("radio", name=option, exact=True).or_(
            widget.get_by_role("button", name=option, exact=True)
        ).click()
    rerun(page)


def rerun(page: Page) -> None:
    """Wait until the page has been drawn anew."""
    with contextlib.suppress(TimeoutError):  # a short run may be over before it is seen
        page.wait_for_selector('[data-testid="stApp"][data-test-script-state="running"]', timeout=2500)
    settle(page)


def offered(page: Page, name: str) -> list[str]:
    """What a page's own list or row of buttons offers."""
    widget = page.locator(f".st-key-option_{name}")
    if not widget.locator("input").count():
        return [text.strip() for text in widget.locator("button").all_inner_texts()]
    widget.locator("input").click()
    found = [text.strip() for text in page.get_by_role("option").all_inner_texts()]
    page.keyboard.press("Escape")
    return found


def address(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def title(page: Page, panel: str) -> str:
    return page.locator(f".st-key-panel_{panel} .fh-title").inner_text().removesuffix("?").strip()


def trace(page: Page, chart: str, number: int = 0) -> dict[str, Any]:
    """What plotly draws: one trace of a chart."""
    drawn = page.locator(f".st-key-chart_{chart} .js-plotly-plot")
    expect(drawn).to_have_count(1)
    found: dict[str, Any] = drawn.evaluate(
        """(plot, number) => {
          const trace = plot._fullData[number];
          const one = value => value && value.length && typeof value !== 'string' ? Array.from(value) : value;
          const plain = values => values && Array.from(values, one);
          return {x: plain(trace.x), y: plain(trace.y), z: plain(trace.z), base: plain(trace.base)};
        }""",
        number,
    )
    return found


def written(value: float) -> str:
    return f"{round(value):,}"


def money(value: float) -> str:
    return f"{'−' if round(value) < 0 else ''}€{abs(value):,.0f}"


def csv_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# Funnel


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


# Pipeline and forecast


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


# Retention


def test_retention_stands_where_the_marts_do(open_page: Open, sql: Sql) -> None:
    page = open_page("retention")
    net, gross, left, mrr, customers = sql(
        "select net_revenue_retention_12m, gross_revenue_retention_12m, customer_churn_rate_12m, closing_mrr,"
        " closing_customers from retention.churn where is_complete order by month desc limit 1"
    )[0]
    assert figure(page, "Net revenue retention") == (None if net is None else pytest.approx(net))
    assert figure(page, "Gross revenue retention") == (None if gross is None else pytest.approx(gross))
    assert figure(page, "Customer churn, 12 months") == (None if left is None else pytest.approx(left))
    assert figure(page, "MRR") == pytest.approx(float(mrr))
    assert figure(page, "Subscribers") == customers
    due, at_risk = sql(
        "select count(*), coalesce(sum(amount_due) filter (where is_at_risk), 0) from retention.renewals"
        " where status = 'open' and is_due"
    )[0]
    assert figure(page, "Renewals at risk") == pytest.approx(float(at_risk))
    if due:
        assert len(csv_rows(download(page, "due"))) == due
    risky = sql("select count(*) from retention.renewals where status = 'open' and is_due and is_at_risk")[0][
        0
    ]
    pick(page, "due", "At risk only")
    assert page.locator('[data-testid="table-due"] tbody tr').count() == min(risky, 10)


def test_retention_draws_the_cohorts_of_every_choice(open_page: Open, sql: Sql) -> None:
    page = open_page("retention")
    bases = {"Paying customers": "customers", "Revenue": "revenue", "Active users": "active_users"}
    grains = {"Quarters": "fiscal_quarter", "Weeks": "week", "Months": "month"}
    for button, basis in bases.items():
        pick(page, "basis", button)
        for name, grain in grains.items():
            pick(page, "cohorts", name)
            drawn = [row for line in trace(page, "cohorts")["z"] for row in line if row is not None]
            shown = csv_rows(download(page, "cohorts"))
            assert drawn, (basis, grain)
            first = min(row["cohort_period"] for row in shown)
            theirs = sql(
                "select count(*), sum(retention_rate) from retention.retention_cohorts where basis = ?"
                " and period_grain = ? and segment = 'all' and cohort_period between ? and '2026-06-30'",
                [basis, grain, first],
            )[0]
            assert (len(shown), sum(drawn)) == (theirs[0], pytest.approx(theirs[1])), (basis, grain)
    pick(page, "basis", "Paying customers")
    for split in offered(page, "curve_by"):
        pick(page, "curve_by", split)
        assert trace(page, "curves")["y"][0] == pytest.approx(1)
    plan = next(
        option for option in offered(page, "of") if option.startswith("Plan: ") and "not set" not in option
    )
    pick(page, "of", plan)
    size = sql(
        "select sum(cohort_size) from retention.retention_cohorts where basis = 'customers'"
        " and period_grain = 'month'"
        " and segment = 'plan' and segment_value = ? and periods_since = 0 and cohort_period"
        " between ? and '2026-06-30'",
        [
            plan.removeprefix("Plan: "),
            min(row["cohort_period"] for row in csv_rows(download(page, "cohorts"))),
        ],
    )[0][0]
    shown = csv_rows(download(page, "cohorts"))
    assert sum(int(row["cohort_size"]) for row in shown if row["periods_since"] == "0") == size


def test_retention_bridges_mrr_for_every_filter(open_page: Open, sql: Sql) -> None:
    page = open_page("retention", period="last_6_months")

    def wanted(condition: str = "", value: list[str] | None = None) -> list[float]:
        found = sql(
            "select month, sum(opening_mrr), sum(closing_mrr) from retention.mrr_movements"
            f" left join retention.customer_segments using (customer_id) where month"
            f" between '2026-01-01' and '2026-06-30'"
            f" {condition} group by month order by month",
            value or [],
        )
        return [float(found[0][1]), float(found[-1][2])] if found else []

    def shown() -> list[float]:
        drawn = trace(page, "bridge")
        return [drawn["y"][0], drawn["y"][-1]]

    assert shown() == pytest.approx(wanted())
    # One bar a step: where the last step ends, the closing column stands.
    drawn = trace(page, "bridge")
    steps = csv_rows(download(page, "bridge"))
    moved = sum(
        float(month[column])
        for month in steps
        for column in ("new_mrr", "expansion_mrr", "reactivation_mrr", "contraction_mrr", "churned_mrr")
    )
    assert drawn["y"][0] + moved == pytest.approx(drawn["y"][-1], abs=0.01)
    choose(page, "Country", "NL")
    assert shown() == pytest.approx(wanted("and coalesce(country, '(not set)') = ?", ["NL"]))
    channel = sql(
        "select first_touch_channel from retention.mrr_movements"
        " join retention.customer_segments using (customer_id)"
        " where month between '2026-01-01' and '2026-06-30' and not starts_with(first_touch_channel, '(')"
        " group by 1 order by count(*) desc, 1 limit 1"
    )[0][0]
    # A list draws only the options in sight: what is typed brings the others there, as for a person.
    page.get_by_role("combobox", name="Channel").fill(channel)
    page.get_by_role("option", name=channel, exact=True).click()
    rerun(page)
    assert shown() == pytest.approx(wanted("and coalesce(first_touch_channel, '(not set)') = ?", [channel]))
    expect(page.get_by_text("not by both")).to_have_count(1)


def test_retention_weighs_worth_against_cost(open_page: Open, sql: Sql) -> None:
    page = open_page("retention", period="last_12_months")
    for model, name, basis, base in (
        ("first_touch", "First touch", "conversion", "Day of the conversion"),
        ("first_touch", "First touch", "touch", "Day of the touch"),
        ("markov", "Markov", "conversion", "Day of the conversion"),
    ):
        choose(page, "Attribution model", name)
        choose(page, "Date basis", base)
        listed = csv_rows(download(page, "ltv_to_cac"))
        is_judged = (
            any(row["ltv_to_cac"] for row in listed)
            and "too young" not in page.locator(".st-key-panel_ltv_to_cac .fh-note").first.inner_text()
        )
        cost, won = sql(
            "select sum(loaded_cost), sum(new_customers) from retention.channel_economics"
            " where period_grain = 'month'"
            " and model = ? and date_basis = ? and period_start between '2025-07-01' and '2026-06-30'"
            " and (is_mature or not ?)",
            [model, basis, is_judged],
        )[0]
        assert sum(float(row["loaded_cost"]) for row in listed) == pytest.approx(float(cost))
        assert sum(float(row["new_customers"]) for row in listed) == pytest.approx(float(won))
    for business, name in (
        ("purchases", "Orders"),
        ("subscription", "Subscriptions"),
        ("contract", "Contracts"),
    ):
        pick(page, "business", name)
        customers = sql(
            "select count(*) from retention.customer_segments where business_model = ?", [business]
        )[0][0]
        assert sum(int(row["customers"]) for row in csv_rows(download(page, "segments"))) == customers
        for by in offered(page, "worth_by"):
            pick(page, "worth_by", by)
            assert sum(int(row["customers"]) for row in csv_rows(download(page, "values"))) == customers


# What all three do


@pytest.mark.parametrize(
    ("name", "chosen", "panel", "heading"),
    [
        (
            "funnel",
            {"funnel": "ecommerce", "stage": "cart", "split": "country"},
            "segments",
            "Cart by country",
        ),
        ("pipeline", {"grain": "month", "won_by": "team"}, "win_rates", "Win rate by team"),
        (
            "retention",
            {"basis": "revenue", "cohorts": "fiscal_quarter"},
            "cohorts",
            "Revenue still there, by cohort",
        ),
    ],
)
def test_a_link_shows_what_its_sender_saw(
    open_page: Open, name: str, chosen: dict[str, str], panel: str, heading: str
) -> None:
    page = open_page(name, **chosen)
    assert title(page, panel) == heading
    assert chosen.items() <= address(page).items()
    page.reload()
    settle(page)
    assert title(page, panel) == heading
    wrong = open_page(name, **dict.fromkeys(chosen, "no such thing"))
    assert title(wrong, panel)


def test_choices_of_a_page_survive_a_visit_to_another(open_page: Open) -> None:
    page = open_page("retention", basis="revenue")
    page.get_by_role("link", name="Funnel").click()
    page.wait_for_selector("h1:has-text('Funnel')")
    settle(page)
    assert "basis" not in address(page)
    page.get_by_role("link", name="Retention").click()
    page.wait_for_selector("h1:has-text('Retention')")
    settle(page)
    assert title(page, "cohorts") == "Revenue still there, by cohort"
    assert address(page)["basis"] == "revenue"


@pytest.mark.parametrize("name", ["funnel", "pipeline", "retention"])
def test_every_panel_has_a_definition_and_a_download(open_page: Open, name: str) -> None:
    page = open_page(name, size=PHONE)
    panels = page.locator('[class*="st-key-panel_"]:not(:has(.fh-empty))')
    assert panels.count() > 5
    for number in range(panels.count()):
        panel = panels.nth(number)
        called = panel.locator(".fh-title").inner_text()
        assert (panel.locator(".fh-help .fh-tip").first.text_content() or "").strip(), called
        assert panel.locator('[class*="st-key-csv_"]').count() == 1, called
    cards = page.locator(".fh-card")
    for number in range(cards.count()):
        assert (cards.nth(number).locator(".fh-tip").text_content() or "").strip()
