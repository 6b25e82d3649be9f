"""The closing lines of a run: figures of the published marts in words, nothing where a mart is missing."""

from __future__ import annotations

import duckdb
import pytest
from rich.console import Console

from orchestration.summary import standing

LEAKS = """
create table funnel.funnel_bottlenecks as select * from (values
    ('b2b', 'all', 'lead', 'mql', 0.25, 0.4, 'target', 1.5, 30000.0),
    ('b2b', 'channel', 'sql', 'request', 0.1, 0.6, 'target', 9.0, 90000.0),
    ('saas', 'all', 'signup', 'activated', 0.3, 0.5, 'trailing_median', 4.0, 200.0),
    ('saas', 'all', 'visitor', 'signup', 0.3, 0.2, 'target', null, null)
) as t (funnel, segment, stage, next_stage, conversion_rate, benchmark, benchmark_source,
    expected_wins_per_month, expected_value_per_month)
"""
# Two past quarters: 110 and 190 expected, 100 and 200 came: off by 20 of 300. The naive ones by 60 and 150.
# What was forecast a month later does not count: the present forecast is of the quarter's first day.
FORECASTS = """
create table funnel.sales_forecast as select
    current as is_current, segment, grain as period_grain, 0 as horizon,
    start as period_start, cast(start + to_months(later) as date) as forecast_date,
    cast(start + interval 3 month - interval 1 day as date) as period_end,
    expected as expected_amount, low as expected_low, high as expected_high, won as won_to_date,
    actual as actual_amount, error, crm as error_naive_crm, last as error_naive_last_period,
    held as is_within_interval
from (values
    (true, 'all', 'fiscal_quarter', date '2026-07-01', 0, 1234567, 1000000, 1500000, 250000, null, null, null,
        null, null),
    (true, 'all', 'month', date '2026-07-01', 0, 1, 1, 1, 1, null, null, null, null, null),
    (false, 'all', 'fiscal_quarter', date '2026-01-01', 0, 110, 50, 120, 0, 100, 10, 20, -50, true),
    (false, 'all', 'fiscal_quarter', date '2026-01-01', 1, 900, 50, 920, 0, 100, 800, 20, -50, false),
    (false, 'all', 'fiscal_quarter', date '2026-04-01', 0, 190, 100, 195, 0, 200, -10, 40, 100, false),
    (false, 'team', 'fiscal_quarter', date '2026-04-01', 0, 0, 0, 0, 0, 200, 200, 40, 100, false)
) as t (current, segment, grain, start, later, expected, low, high, won, actual, error, crm, last, held)
"""
CHURN = """
create table retention.churn as select * from (values
    (date '2026-05-01', true, 1.083, 0.912, 4000), (date '2026-06-01', true, 1.051, 0.9, 5000),
    (date '2026-07-01', false, 0.5, 0.5, 1)
) as t (month, is_complete, net_revenue_retention_12m, gross_revenue_retention_12m, closing_mrr)
"""
# The mature quarter: 900 for 10 customers, who bring 300 in 20 customer-months: 90 / 15 = 6 months.
ECONOMICS = """
create table retention.channel_economics as select * from (values
    ('fiscal_quarter', date '2026-01-01', true, 'conversion', 'linear', 900.0, 4.0, 100.0, 8.0),
    ('fiscal_quarter', date '2026-01-01', true, 'conversion', 'linear', 0.0, 6.0, 200.0, 12.0),
    ('fiscal_quarter', date '2026-01-01', true, 'touch', 'linear', 7.0, 6.0, 200.0, 12.0),
    ('fiscal_quarter', date '2026-04-01', false, 'conversion', 'linear', 50.0, 6.0, 200.0, 12.0)
) as t (period_grain, period_start, is_mature, date_basis, model, loaded_cost, new_customers,
    gross_margin_to_date, customer_months)
"""


@pytest.fixture
def published() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("create schema funnel; create schema retention")
    return connection


def lines(published: duckdb.DuckDBPyConnection) -> list[str]:
    console = Console(width=300, record=True)
    table = standing(published, "EUR")
    if table is None:
        return []
    console.print(table)
    return [" ".join(line.replace("│", " ").split()) for line in console.export_text().splitlines()]


def test_the_standing_tells_leak_forecast_retention_and_payback(published: duckdb.DuckDBPyConnection) -> None:
    for statement in (LEAKS, FORECASTS, CHURN, ECONOMICS):
        published.execute(statement)
    text = "\n".join(lines(published))
    assert "worst leak lead → mql b2b: 25.0% go on, 40.0% is the target" in text
    assert "worth 1.5 wins and 30,000 EUR a month" in text
    assert (
        "bookings of Jul to Sep 2026 1,234,567 between 1,000,000 and 1,500,000 EUR, 250,000 of it won" in text
    )
    assert "2 past forecasts, made as early, were 7% off (stage probabilities 20%" in text
    assert "last quarter again 50%), 50% within their interval" in text
    assert "net revenue retention 105.1% twelve months to June 2026; gross 90.0%; MRR 5,000 EUR" in text
    assert "payback 6.0 months customers of the quarter from 2026-01-01: 90 EUR to win one" in text
    assert "15 EUR gross margin a month" in text


def test_a_young_company_gets_what_can_be_said(published: duckdb.DuckDBPyConnection) -> None:
    assert lines(published) == []
    published.execute(ECONOMICS)
    published.execute("delete from retention.channel_economics where is_mature")
    published.execute(FORECASTS)
    published.execute("delete from funnel.sales_forecast where not is_current")
    published.execute(CHURN)
    published.execute("update retention.churn set net_revenue_retention_12m = null")
    text = "\n".join(lines(published))
    assert "too young to be sure" in text
    assert "1,234,567" in text
    assert "past forecasts" not in text
    assert "retention" not in text
    published.execute("update retention.channel_economics set new_customers = 0")
    published.execute("delete from funnel.sales_forecast")
    assert lines(published) == []
