"""Unit economics on the built warehouse, against the company's own books and plain arithmetic."""

from __future__ import annotations

import bisect
import datetime as dt
from collections import defaultdict

import duckdb
import pytest

from sandbox.company import Company
from tests.integration.conftest import LAST_DAY, Sandbox
from tests.integration.support import rows

SLICE = "date_basis = 'conversion' and model = 'linear'"


def euros(company: Company, amount: float, currency: str, day: dt.date) -> float:
    """An amount at the company's own reference rate of a day, or of the last business day before it."""
    if currency == "EUR":
        return amount
    quotes = company.tables["fx_rates"].to_pylist()
    of_pair = sorted(
        (row["date"], row["rate"])
        for row in quotes
        if row["currency_from"] == currency and row["currency_to"] == "EUR"
    )
    place = bisect.bisect_right([date for date, _ in of_pair], day) - 1
    return amount * float(of_pair[place][1])


def test_other_costs_are_the_companys_books_in_three_currencies(
    published: duckdb.DuckDBPyConnection, sandbox: Sandbox
) -> None:
    """Agency, tools, salaries and events at the rate of their period's first day; by month, all channels."""
    expected: dict[dt.date, float] = defaultdict(float)
    currencies = set()
    for cost in sandbox.company.tables["costs"].to_pylist():
        if cost["visible_at"] <= LAST_DAY:
            amount = euros(
                sandbox.company, cost["amount_minor"] / 100, cost["currency"], cost["period_start"]
            )
            expected[cost["period_start"].replace(day=1)] += amount
            currencies.add(cost["currency"])
    assert currencies == {"EUR", "SEK", "USD"}
    found = rows(
        published,
        f"""select period_start, sum(loaded_cost - media_spend) as cost from retention.channel_economics
            where period_grain = 'month' and {SLICE} group by 1 having cost > 0""",
    )
    assert {row["period_start"]: float(row["cost"]) for row in found} == pytest.approx(
        dict(expected), rel=1e-5
    )


def test_quotients_are_what_they_say(published: duckdb.DuckDBPyConnection) -> None:
    """Every quotient from its own row: unknown where nothing divides, never a division by nothing."""
    quotients = {
        "cost_per_lead": ("media_spend", "leads"),
        "cost_per_mql": ("media_spend", "mqls"),
        "cost_per_sql": ("media_spend", "sqls"),
        "cost_per_opportunity": ("media_spend", "opportunities"),
        "cost_per_win": ("media_spend", "wins"),
        "cac_media": ("media_spend", "new_customers"),
        "cac_loaded": ("loaded_cost", "new_customers"),
        "average_sale_value": ("bookings", "wins"),
        "roas": ("billings", "media_spend"),
        "realised_ltv": ("gross_margin_to_date", "new_customers"),
        "realised_ltv_to_cac": ("gross_margin_to_date", "loaded_cost"),
    }
    found = rows(published, "select * from retention.channel_economics where period_grain = 'month'")
    assert len(found) > 100
    for row in found:
        for name, (above, below) in quotients.items():
            if not row[below]:
                assert row[name] is None, (name, row)
            elif row[above] is not None:
                quotient = float(row[above]) / float(row[below])
                # Both sides are rounded to a ten-thousandth.
                tolerance = 1e-4 * (1 + (1 + abs(quotient)) / float(row[below]))
                assert float(row[name]) == pytest.approx(quotient, abs=tolerance), (name, row)
        if row["ltv"] is not None and row["cac_loaded"]:
            assert row["ltv_to_cac"] == pytest.approx(
                float(row["ltv"]) / float(row["cac_loaded"]), rel=1e-3, abs=1e-3
            )
        if row["payback_months"] and row["customer_months"]:
            monthly = float(row["gross_margin_to_date"]) / row["customer_months"]
            assert row["payback_months"] == pytest.approx(float(row["cac_loaded"]) / monthly, rel=1e-2)


def test_bookings_billings_and_mrr_stand_apart(published: duckdb.DuckDBPyConnection) -> None:
    """Each sums to its own conversions or lines, and to none of the others."""
    found = rows(
        published,
        f"""select sum(bookings) as bookings, sum(billings) as billings, sum(new_mrr) as new_mrr
            from retention.channel_economics where period_grain = 'month' and {SLICE}""",
    )[0]
    of_type = {
        row["conversion_type"]: float(row["value"])
        for row in rows(
            published,
            "select conversion_type, sum(value) as value from core.fct_conversions group by 1",
        )
    }
    assert float(found["bookings"]) == pytest.approx(of_type["won"], abs=0.1)
    assert float(found["new_mrr"]) == pytest.approx(of_type["subscription"], abs=0.1)
    assert len({round(float(value)) for value in found.values()}) == 3
    assert all(value > 0 for value in found.values())


def test_pacing_is_the_spend_of_the_days_that_are_over(published: duckdb.DuckDBPyConnection) -> None:
    found = rows(
        published,
        """
        select p.period_grain, p.channel, p.period_start, p.spend_to_date, p.days_elapsed, p.days_in_period,
            p.is_complete,
            (select coalesce(sum(a.spend), 0) from core.fct_ad_performance_daily a
             where a.channel = p.channel and a.date between p.period_start and p.period_end
                and a.date < date '2026-07-01') as spend
        from retention.budget_pacing p
        """,
    )
    assert {row["period_grain"] for row in found} == {"week", "month", "fiscal_quarter"}
    for row in found:
        assert float(row["spend_to_date"]) == pytest.approx(float(row["spend"]), abs=1e-3), row
        over = (LAST_DAY.date() - row["period_start"]).days
        assert row["days_elapsed"] == min(max(over, 0), row["days_in_period"])
        assert row["is_complete"] == (row["days_elapsed"] == row["days_in_period"])
