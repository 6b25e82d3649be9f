"""Lifetime value and survival of the built warehouse against the same formulas in plain Python and numpy.

What belongs here: independent calculations of what SQL says about customers' money. They start from the
revenue lines and subscription versions, and share no code with the models.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
import numpy as np
import pytest

from tests.integration.conftest import LAST_DAY, Built

SECONDS_A_MONTH = 2_629_800.0
HORIZON = 24.0
MIN_AT_RISK = 5
MOST_MONTHS = 400


@dataclass
class Forecast:
    orders: float
    revenue: float
    variance: float
    none: float


@pytest.fixture(scope="module")
def warehouse(built: Built) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(str(built.paths.warehouse), read_only=True)
    yield connection
    connection.close()


def months(earlier: dt.datetime, later: dt.datetime) -> float:
    return (later - earlier).total_seconds() / SECONDS_A_MONTH


def lines_of(warehouse: duckdb.DuckDBPyConnection, business: str) -> list[tuple]:
    condition = {
        "shop": "not is_deal_billing and subscription_id is null",
        "saas": "not is_deal_billing and subscription_id is not null",
        "b2b": "is_deal_billing",
    }[business]
    return warehouse.execute(
        f"""
        select customer_id, order_id, event_type, occurred_at, cast(amount as double)
        from intermediate.int_revenue_events
        where is_counted and customer_id is not null and occurred_at <= ? and {condition}
        order by occurred_at, revenue_event_id
        """,
        [LAST_DAY],
    ).fetchall()


def fits_of(lines: list[tuple]) -> dict[str, tuple[dt.datetime, float]]:
    """Present and backtest: the moment, and the months ahead."""
    moments = sorted(line[3] for line in lines if line[2] != "refund")
    half = moments[max(int(len(moments) * 0.5), 1) - 1]
    return {"present": (LAST_DAY, HORIZON), "backtest": (half, months(half, LAST_DAY))}


def purchases(lines: list[tuple], cutoff: dt.datetime, horizon: float) -> dict[str, Forecast]:
    placed: dict[str, dt.datetime] = {}
    for _, order, kind, at, _ in lines:
        if kind != "refund":
            placed[order] = min(placed.get(order, at), at)
    values: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for customer, order, _, at, amount in lines:
        if order in placed and placed[order] <= cutoff and at <= cutoff:
            values[customer][order] += amount
    names = sorted(values)
    first = [min(placed[order] for order in values[name]) for name in names]
    age = np.array([months(at, cutoff) for at in first])
    count = np.array([len(values[name]) for name in names], dtype=float)
    repeats = count - 1

    at_age: dict[int, int] = defaultdict(int)
    for name, start in zip(names, first, strict=True):
        for order in values[name]:
            if placed[order] > start:
                at_age[int(months(start, placed[order]))] += 1
    points = [(k, n, np.log(n / np.clip(age - k, 0, 1).sum())) for k, n in at_age.items() if (age > k).any()]
    decay = 0.0
    if len(points) > 1:
        x, weight, y = (np.array(column, dtype=float) for column in zip(*points, strict=True))
        slope = np.polyfit(x, y, 1, w=np.sqrt(weight))[0]
        decay = max(-slope, 0.0)

    def aged(t: np.ndarray | float) -> np.ndarray:
        return np.asarray(t if decay == 0 else -np.expm1(-decay * np.asarray(t)) / decay, dtype=float)

    exposure = aged(age)
    ahead = np.exp(-decay * age) * aged(horizon)
    m = repeats.sum() / exposure.sum()
    v = max((((repeats - m * exposure) ** 2).sum() - (m * exposure).sum()) / (exposure**2).sum(), 0.0)

    mean = np.array([np.mean(list(values[name].values())) for name in names])
    grand = sum(sum(values[name].values()) for name in names) / count.sum()
    free = count.sum() - len(names)
    squares = sum((order - mean[i]) ** 2 for i, name in enumerate(names) for order in values[name].values())
    within = squares / free if free else None
    spread = count.sum() - (count**2).sum() / count.sum()
    between = 0.0
    if within is not None and spread > 0:
        between = max(((count * (mean - grand) ** 2).sum() - (len(names) - 1) * within) / spread, 0.0)

    forecasts = {}
    for i, name in enumerate(names):
        if v > 0:  # the gamma's own parameters, instead of the model's m and v
            r, alpha = m * m / v, m / v
            rate = (r + repeats[i]) / (alpha + exposure[i])
            expected = ahead[i] * rate
            variance = expected * (1 + ahead[i] / (alpha + exposure[i]))
            none = ((alpha + exposure[i]) / (alpha + exposure[i] + ahead[i])) ** (r + repeats[i])
        else:
            expected = variance = ahead[i] * m
            none = np.exp(-expected)
        z = 0.0
        if within is not None and between > 0:
            z = count[i] / (count[i] + within / between)
        value = z * mean[i] + (1 - z) * grand
        total = expected * (within or 0.0) + variance * value**2
        total += (variance + expected**2) * (1 - z) * between
        forecasts[name] = Forecast(expected, expected * value, total, none)
    return forecasts


@pytest.mark.parametrize("fit", ["present", "backtest"])
def test_expected_purchases_equal_the_gammas_own_parameters(
    warehouse: duckdb.DuckDBPyConnection, fit: str
) -> None:
    lines = lines_of(warehouse, "shop")
    expected = purchases(lines, *fits_of(lines)[fit])
    found = warehouse.execute(
        """
        select customer_id, expected_orders, expected_revenue, variance_of_revenue, probability_of_none
        from intermediate.int_lifetime_purchases where fit = ?
        """,
        [fit],
    ).fetchall()
    assert len(found) == len(expected) > 20
    for customer, *figures in found:
        forecast = expected[customer]
        assert figures == pytest.approx(
            [forecast.orders, forecast.revenue, forecast.variance, forecast.none], rel=1e-6, abs=1e-6
        )


def spells_of(warehouse: duckdb.DuckDBPyConnection) -> list[tuple]:
    versions = warehouse.execute(
        """
        select coalesce(customer_id, subscription_id), valid_from, valid_to, plan
        from intermediate.int_subscription_periods
        where is_paid and valid_from <= ? order by 1, 2, subscription_id
        """,
        [LAST_DAY],
    ).fetchall()
    spells: list[list] = []
    for customer, start, end, plan in versions:
        end = end or dt.datetime.max
        last = spells[-1] if spells and spells[-1][0] == customer else None
        if last and (start - last[3]).total_seconds() <= 86400:
            last[3] = max(last[3], end)
        else:
            spells.append([customer, plan, start, end])
    return [tuple(spell) for spell in spells]


def survival(spells: list[tuple], plan: str, cutoff: dt.datetime) -> np.ndarray:
    """S(0), S(1), …: the product limit by whole months, entered late, with the mean hazard as its tail."""
    endings = [end for _, _, _, end in spells if end <= cutoff]
    records_begin = min(endings) if endings else None
    rows = []
    for _, its_plan, start, end in spells:
        if start > cutoff:
            continue
        ended = end <= cutoff
        lived = max(round(months(start, end)), 1) if ended else int(months(start, cutoff))
        unseen = max(round(months(start, records_begin)) - 1, 0) if records_begin else 0
        rows.append((its_plan, ended, unseen, lived))
    half = 0.5
    seen = sum(max(lived - unseen, 0) for _, _, unseen, lived in rows)
    overall = (sum(ended for _, ended, _, _ in rows) + half) / seen
    own = [row for row in rows if row[0] == plan]
    hazard = (sum(ended for _, ended, _, _ in own) + half) / (
        sum(max(lived - unseen, 0) for _, _, unseen, lived in own) + half / overall
    )
    curve = [1.0]
    for month in range(1, MOST_MONTHS):
        risk = [row for row in own if row[2] < month <= row[3]]
        died = sum(ended and lived == month for _, ended, _, lived in risk)
        curve.append(curve[-1] * (1 - died / len(risk) if len(risk) >= MIN_AT_RISK else np.exp(-hazard)))
    return np.array(curve)


@pytest.mark.parametrize("fit", ["present", "backtest"])
def test_expected_subscriptions_equal_a_walk_along_the_curve(
    warehouse: duckdb.DuckDBPyConnection, fit: str
) -> None:
    cutoff, horizon = fits_of(lines_of(warehouse, "saas"))[fit]
    spells = spells_of(warehouse)
    found = {
        row[0]: row[1:]
        for row in warehouse.execute(
            """
            select customer_id, plan, expected_months, mrr, expected_revenue
            from intermediate.int_lifetime_subscriptions where fit = ?
            """,
            [fit],
        ).fetchall()
    }
    alive = [spell for spell in spells if spell[2] <= cutoff < spell[3]]
    assert found
    assert {spell[0] for spell in alive} == set(found)
    curves = {plan: survival(spells, plan, cutoff) for plan in {spell[1] for spell in spells}}
    for customer, plan, start, _ in alive:
        lived = int(months(start, cutoff))
        curve, left, expected = curves[plan], horizon, 0.0
        for month in range(lived + 1, MOST_MONTHS):
            if left <= 0:
                break
            expected += min(left, 1.0) * curve[month] / curve[lived]
            left -= 1
        found_plan, expected_months, mrr, revenue = found[customer]
        assert found_plan == plan
        assert expected_months == pytest.approx(expected, rel=1e-6)
        assert revenue == pytest.approx(mrr * expected, rel=1e-6)


def test_the_backtest_can_be_read_from_the_published_table(published: duckdb.DuckDBPyConnection) -> None:
    """Error and coverage per method are two aggregates; every customer of the first half is in them."""
    rows = published.execute(
        """
        select
            business_model, count(*), sum(backtest_expected_value), sum(backtest_actual_value),
            avg(case when is_backtest_within_interval then 1.0 else 0.0 end)
        from retention.customer_lifetime_value
        where backtest_months is not null group by business_model
        """
    ).fetchall()
    assert {row[0] for row in rows} == {"purchases", "subscription", "contract"}
    for _, customers, expected, actual, coverage in rows:
        assert customers > 0
        assert expected > 0
        assert actual is not None
        assert 0 <= coverage <= 1


def test_refunds_stand_in_their_own_month_and_restate_the_orders(
    published: duckdb.DuckDBPyConnection, warehouse: duckdb.DuckDBPyConnection
) -> None:
    """What is given back stands in its own month as `refunds`, and restates the month of its order."""
    by_month = {
        month: (float(refunds), float(taken))
        for month, refunds, taken in published.execute(
            """
            select strftime(period_start, '%Y-%m'), sum(refunds), sum(revenue) - sum(revenue_restated)
            from retention.retention_cohorts
            where basis = 'revenue' and segment = 'all' and period_grain = 'month' group by 1
            """
        ).fetchall()
    }
    refunded: dict[str, float] = defaultdict(float)
    restated: dict[str, float] = defaultdict(float)
    elsewhere = 0
    ordered: dict[str, str] = {}
    lines = warehouse.execute(
        """
        select order_id, event_type, strftime(occurred_on, '%Y-%m'), cast(amount as double)
        from intermediate.int_revenue_events
        where is_counted and customer_id is not null and occurred_at <= ? order by occurred_at
        """,
        [LAST_DAY],
    ).fetchall()
    for order, kind, month, amount in lines:
        if kind != "refund":
            ordered.setdefault(order, month)
        else:
            refunded[month] -= amount
            restated[ordered[order]] -= amount
            elsewhere += month != ordered[order]
    assert elsewhere > 0
    for month, (refunds, taken) in by_month.items():
        assert refunds == pytest.approx(refunded[month], abs=1e-3)
        assert taken == pytest.approx(restated[month], abs=1e-3)
