"""Retention: who stays, how recurring revenue moves, what is due, and what a customer is worth."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace

import streamlit as st

from dashboard import charts, data, filters, formats
from dashboard.components import (
    Column,
    Figure,
    Good,
    figures,
    one_split_notice,
    page_head,
    panel,
    part,
    section,
    table,
)
from dashboard.figures import period_name
from dashboard.figures import retention as draw
from dashboard.options import option
from dashboard.queries import EVERYTHING, WHOLE, Cut, cut_of, number, segments
from dashboard.queries import retention as ask

NAMES = ("period", "channel", "country", "model", "date_basis")
GRAINS = {"month": "Months", "fiscal_quarter": "Quarters", "week": "Weeks"}
COHORTS = "retention.retention_cohorts"
MOVEMENTS = "retention.mrr_movements"
CHURN = "retention.churn"
RENEWALS = "retention.renewals"
ECONOMICS = "retention.channel_economics"
SEGMENTS = "retention.customer_segments"
VALUES = "retention.customer_lifetime_value"


def render() -> None:
    """Draw the page."""
    chosen = filters.choose(*NAMES)
    page_head("Retention", "Do customers stay, and is winning them worth it?", chosen, NAMES)
    cut = cut_of(chosen)
    one_split_notice(chosen, "Cohorts")
    _head()
    _cohorts(chosen, cut)
    _revenue(chosen, cut)
    _renewals()
    _worth(chosen)
    _segments()


def _head() -> None:
    months = ask.standing()
    now = months[0] if months else dict.fromkeys(months.columns)
    before = months[1] if len(months) > 1 else dict.fromkeys(months.columns)
    due = ask.renewals_open()
    at_risk = [row for row in due if row["is_at_risk"]]
    month = period_name(now["month"], "month") if now["month"] else ""

    def of_twelve(label: str, column: str, good: Good = "up") -> Figure:
        source = f"{CHURN}.{column}"
        return Figure(
            label, now[column], "percent", source, before=before[column], good=good, note=f"to {month}"
        )

    figures(
        [
            of_twelve("Net revenue retention", "net_revenue_retention_12m"),
            of_twelve("Gross revenue retention", "gross_revenue_retention_12m"),
            of_twelve("Customer churn, 12 months", "customer_churn_rate_12m", "down"),
            Figure("MRR", now["closing_mrr"], "money", f"{CHURN}.closing_mrr", before=before["closing_mrr"]),
            Figure(
                "Subscribers",
                now["closing_customers"],
                "integer",
                f"{CHURN}.closing_customers",
                before=before["closing_customers"],
            ),
            Figure(
                "Renewals at risk",
                sum(number(row["amount_due"]) for row in at_risk),
                "money",
                f"{RENEWALS}.is_at_risk",
                note=f"{formats.integer(len(at_risk))} of {formats.integer(len(due))} due",
                means="Amount due of those at risk.",
            ),
        ],
        "retention_head",
    )


def _first_cohort(period: filters.Period, grain: str) -> dt.date:
    """Of as many cohorts as can be read with their numbers; the period's own where it is longer."""
    if grain == "week":
        return min(period.start, period.end - dt.timedelta(weeks=draw.WRITTEN - 1))
    months = (draw.WRITTEN - 2) * (3 if grain == "fiscal_quarter" else 1)
    return min(period.start, filters.add_months(period.end, 1 - months))


@part
def _cohorts(chosen: filters.Filters, cut: Cut) -> None:
    section("Who stays")
    currency = data.settings().currency
    parts = segments(COHORTS)
    first, second, third = st.columns([0.42, 0.33, 0.25])
    with first:
        basis = option("basis", "Counted", list(ask.BASES), names=ask.BASES, control="buttons")
    with second:
        grain = option("cohorts", "Cohorts of", list(GRAINS), names=GRAINS, control="buttons")
    with third:
        own = {EVERYTHING: "As filtered"}
        for segment in ("plan", "first_product"):
            own |= {
                f"{segment}:{value}": f"{formats.words(segment)}: {value}" for value in parts.get(segment, [])
            }
        segment, _, value = option("of", "Of", list(own), names=own).partition(":")
    shown = Cut(segment, value) if value else cut
    since = _first_cohort(chosen.period, grain)
    until = chosen.period.end
    rows = ask.cohorts(basis=basis, grain=grain, since=since, until=until, cut=shown)
    who = "" if shown == WHOLE else f" {formats.words(shown.segment)}: {shown.value}."
    with panel(
        f"{ask.BASES[basis]} still there, by cohort",
        "cohorts",
        rows,
        source=COHORTS,
        note=f"Percent; beside each cohort its size. In brackets: the period is not over.{who}",
        empty="No cohort began in this choice. Take all channels and countries, or a later period.",
    ) as filled:
        if filled:
            charts.show(draw.cohorts(rows, basis, grain, currency), "cohorts", "Retention of each cohort")
    narrow, _ = st.columns([0.3, 0.7])
    with narrow:
        split = option(
            "curve_by",
            "Compare by",
            [EVERYTHING, *parts],
            names=lambda name: "Nothing: all together" if name == EVERYTHING else formats.words(name),
        )
    curves = ask.retention_curve(basis=basis, grain=grain, since=since, until=until, segment=split)
    with panel(
        "Share that stays, all these cohorts together",
        "curves",
        curves,
        source=COHORTS,
        note="Sums over the cohorts that have come so far: fewer and older ones to the right."
        + (" The six largest." if len({row["segment_value"] for row in curves}) > draw.LINES else ""),
    ) as filled:
        if filled:
            charts.show(draw.curves(curves, grain), "curves", "Retention by periods since the first")


def _revenue(chosen: filters.Filters, cut: Cut) -> None:
    section(
        "Recurring revenue",
        "At each subscription's first-day rate, so that no exchange rate looks like growth.",
    )
    currency = data.settings().currency
    trend = chosen.period.trend
    who = "" if cut == WHOLE else f" {formats.words(cut.segment)}: {cut.value}."
    inside = replace(chosen.period, start=chosen.period.start.replace(day=1))
    months = ask.mrr_months(period=inside, cut=cut)
    left, right = st.columns(2, gap="small")
    with (
        left,
        panel(
            "MRR from the start to the end of the period",
            "bridge",
            months,
            source=MOVEMENTS,
            note=f"{inside.label}.{who}",
            empty="No recurring revenue in this choice.",
        ) as filled,
    ):
        if filled:
            charts.show(draw.mrr_bridge(ask.mrr_bridge(months), currency), "bridge", "Bridge of MRR")
    year = ask.mrr_months(period=trend, cut=cut)
    with (
        right,
        panel(
            "What came and what left, by month",
            "movements",
            year,
            source=MOVEMENTS,
            note=who.strip() or "All customers.",
        ) as filled,
    ):
        if filled:
            charts.show(draw.mrr_movements(year, currency), "movements", "Movements of MRR by month")
    churned = ask.churn_months(period=trend)
    kept = data.Rows(
        [row for row in churned if row["net_revenue_retention_12m"] is not None], churned.columns
    )
    left, right = st.columns(2, gap="small")
    with (
        left,
        panel(
            "Net and gross revenue retention",
            "retention",
            kept,
            source=CHURN,
            note="Of the customers of twelve months before; all channels and countries.",
            empty="Nobody has been a subscriber for twelve months yet.",
        ) as filled,
    ):
        if filled:
            charts.show(draw.revenue_retention(kept), "retention", "Net and gross revenue retention")
    with (
        right,
        panel(
            "MRR that left, by month",
            "churn",
            churned,
            source=CHURN,
            note="Share of the month's opening MRR; all channels and countries.",
            empty="No subscriptions in this period.",
        ) as filled,
    ):
        if filled:
            charts.show(draw.churn(churned), "churn", "Revenue churn by month and cause")


@part
def _renewals() -> None:
    section("Renewals", "A year back and half a year ahead of the last run, whatever the period.")
    currency = data.settings().currency
    today = data.settings().today
    span = filters.Period(
        filters.add_months(today, -12), filters.month_end(filters.add_months(today, 6)), "month", ""
    )
    rows = ask.renewal_months(period=span)
    left, right = st.columns([0.42, 0.58], gap="small")
    with (
        left,
        panel(
            "What was due, and what became of it",
            "renewals",
            rows,
            source=RENEWALS,
            empty="No term ends in this time.",
        ) as filled,
    ):
        if filled:
            charts.show(draw.renewals(rows, currency), "renewals", "Renewals by month and status")
    with right:
        kinds = {EVERYTHING: "All that are due", "risk": "At risk only"}
        only = option("due", "Show", list(kinds), names=kinds, control="buttons") == "risk"
        due = ask.renewals_open(only_at_risk=only)
        listed = data.Rows(
            (
                {**row, "why": _reasons(row["risk_reasons"]), "sort": formats.words(row["renewal_type"])}
                for row in due
            ),
            [*due.columns, "why"],
        )
        with panel("Due and not decided", "due", listed, source=RENEWALS, empty="Nothing is due.") as filled:
            if filled:
                table(
                    listed,
                    [
                        Column("customer", "Customer", length=26),
                        Column("sort", "Term"),
                        Column("due_on", "Due", "date"),
                        Column("amount_due", "Amount", "money"),
                        Column("owner_name", "Owner"),
                        Column("why", "At risk because", length=46),
                    ],
                    "due",
                    RENEWALS,
                    shown=10,
                )


def _reasons(listed: str | None) -> str:
    return ", ".join(formats.words(reason).lower() for reason in json.loads(listed or "[]"))


def _worth(chosen: filters.Filters) -> None:
    section("What a customer costs, and what it is worth")
    currency = data.settings().currency
    year = chosen.period.trend
    rows = ask.ltv_to_cac(model=chosen.model, date_basis=chosen.date_basis, period=year)
    judged = any(row["ltv_to_cac"] is not None for row in rows)
    if not judged:
        rows = ask.ltv_to_cac(
            model=chosen.model, date_basis=chosen.date_basis, period=year, only_mature=False
        )
    months = "Mature months" if judged else "Months, too young to be sure,"
    picked = data.Rows([row for row in rows if chosen.channel in (None, row["channel"])], rows.columns)
    paid = data.Rows([row for row in picked if row["ltv_to_cac"] is not None], rows.columns)
    with panel(
        "Lifetime value over the cost of winning a customer",
        "ltv_to_cac",
        picked,
        source=ECONOMICS,
        columns=["ltv_to_cac", "cac_loaded", "ltv", "payback_months"],
        note=f"{months} of {year}; {formats.words(chosen.model).lower()} model. Below 1 a customer does not"
        " earn its cost. Channels without cost have no bar.",
        empty="No customer was won, and nothing spent, in this choice.",
    ) as filled:
        if filled:
            left, right = st.columns([0.42, 0.58])
            with left:
                if paid:
                    charts.show(draw.ltv_to_cac(paid, currency), "ltv_to_cac", "LTV to CAC by channel")
            with right:
                table(
                    picked,
                    [
                        Column("channel", "Channel"),
                        Column("new_customers", "New customers", "number"),
                        Column("loaded_cost", "All costs", "money"),
                        Column("cac_loaded", "Per customer", "money"),
                        Column("ltv", "Worth", "money"),
                        Column("ltv_to_cac", "LTV:CAC", "ratio"),
                        Column("payback_months", "Payback, months", "number"),
                    ],
                    "ltv_to_cac",
                    ECONOMICS,
                    shown=15,
                )


@part
def _segments() -> None:
    currency = data.settings().currency
    models = ask.business_models()
    narrow, other, _ = st.columns([0.4, 0.3, 0.3])
    with narrow:
        names = {
            EVERYTHING: "All",
            "contract": "Contracts",
            "subscription": "Subscriptions",
            "purchases": "Orders",
        }
        model = option("business", "Customers with", [EVERYTHING, *models], names=names, control="buttons")
    with other:
        by = option("worth_by", "Worth by", list(ask.CUSTOMER_SEGMENTS))
    business = None if model in (EVERYTHING, "") else model
    rows = ask.customer_segments(business_model=business)
    with panel(
        "Customer segments",
        "segments",
        rows,
        source=SEGMENTS,
        note="By recency, frequency and money. Bars: revenue net of refunds.",
        empty="No customers yet.",
    ) as filled:
        if filled:
            left, right = st.columns([0.45, 0.55])
            with left:
                charts.show(draw.segments(rows, currency), "segments", "Revenue by customer segment")
            with right:
                table(
                    rows,
                    [
                        Column("segment", "Segment"),
                        Column("customers", "Customers", "integer"),
                        Column("active_customers", "Active", "integer"),
                        Column("revenue", "Revenue", "money"),
                        Column("current_mrr", "MRR", "money"),
                        Column("median_recency_days", "Days since last", "integer"),
                    ],
                    "segments",
                    SEGMENTS,
                    shown=15,
                )
    values = ask.lifetime_value(by=by, business_model=business)
    with panel(
        f"Lifetime value by {formats.words(by).lower()}",
        "values",
        values,
        source=VALUES,
        note="Means of a customer. Backtest: by how much the same method was off when asked in the past.",
        empty="No customers yet.",
    ) as filled:
        if filled:
            table(
                values,
                [
                    Column("name", formats.words(by)),
                    Column("value_basis", "As", "words"),
                    Column("customers", "Customers", "integer"),
                    Column("realised_value", "So far", "money"),
                    Column("expected_value", "Expected", "money"),
                    Column("lifetime_value", "Together", "money", bar=True),
                    Column("backtest_error", "Backtest", "percent"),
                ],
                "values",
                VALUES,
                shown=15,
            )
