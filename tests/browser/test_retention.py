"""The page Retention: every filter and choice is clicked, and what then stands there is held against SQL."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open, Sql
from tests.browser.support import choose, csv_rows, download, figure, offered, pick, trace


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
    choose(page, "Channel", channel)
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
