"""Pipeline and forecast: will we make the quarter, what moved, who is behind, what needs somebody."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard import charts, data, filters, formats
from dashboard.components import Column, Figure, empty_state, figures, page_head, panel, part, section, table
from dashboard.figures import period_name
from dashboard.figures import pipeline as draw
from dashboard.options import option
from dashboard.queries import EVERYTHING, WHOLE, Cut, owner_names, segments
from dashboard.queries import pipeline as ask

NAMES = ("period",)
GRAINS = {"fiscal_quarter": "Quarters", "month": "Months"}
HORIZONS = {"0": "in the period itself", "1": "one period ahead", "2": "two periods ahead"}
FORECAST = "funnel.sales_forecast"
WATERFALL = "funnel.pipeline_waterfall"
COVERAGE = "funnel.pipeline_coverage"
QUOTA = "funnel.quota_attainment"
CYCLE = "funnel.sales_cycle"
RESULTS = "funnel.win_loss"
ATTENTION = "funnel.leads_needing_attention"
COUNTED = ("deals_won", "opportunities_created", "meetings_held")  # metrics of quotas that are no money


def render() -> None:
    """Draw the page."""
    chosen = filters.choose(*NAMES)
    page_head(
        "Pipeline and forecast", "Will we make the quarter, and what could keep us from it?", chosen, NAMES
    )
    left, right, _ = st.columns([0.3, 0.3, 0.4])
    with left:
        grain = option("grain", "By", list(GRAINS), names=GRAINS, control="buttons")
    with right:
        cut = _deals()
    forecast_cut = cut if cut.segment in ("all", *segments(FORECAST)) else WHOLE
    expected = ask.forecast(grain=grain, cut=forecast_cut)
    _head(grain, expected)
    _forecast(grain, cut, forecast_cut, expected)
    _waterfall(grain, cut)
    _attention()
    _quotas(grain)
    _cycle(grain, cut)
    _results(chosen)


def _deals() -> Cut:
    """Which deals: all, or those of one type, pipeline, team or owner."""
    names, owners = {EVERYTHING: "All deals"}, owner_names()
    for segment, values in segments(WATERFALL).items():
        for value in values:
            called = owners.get(value, value) if segment == "owner" else formats.words(value)
            names[f"{segment}:{value}"] = f"{formats.words(segment)}: {called}"
    segment, _, value = option("deals", "Deals", list(names), names=names).partition(":")
    return Cut(segment, value) if value else WHOLE


def _head(grain: str, expected: data.Rows) -> None:
    now: dict[str, Any] = expected[0] if expected else {}
    covered = {row["horizon"]: row for row in ask.coverage(grain=grain, holder_type="all")}.get(0, {})
    waiting = ask.attention_total()
    period = period_name(now["period_start"], grain) if now else ""
    band = (
        f"{formats.money_compact(now['expected_low'], data.settings().currency)} to"
        f" {formats.money_compact(now['expected_high'], data.settings().currency)}"
        if now
        else ""
    )
    figures(
        [
            Figure(
                f"Expected {period}".strip(),
                now.get("expected_amount"),
                "money",
                f"{FORECAST}.expected_amount",
                note=band,
            ),
            Figure("Won of it so far", now.get("won_to_date"), "money", f"{FORECAST}.won_to_date"),
            Figure("Quota", covered.get("quota"), "money", f"{COVERAGE}.quota", note="all teams"),
            Figure(
                "Coverage",
                covered.get("coverage"),
                "ratio",
                f"{COVERAGE}.coverage",
                note="quota met" if covered.get("is_quota_met") else "all teams",
            ),
            Figure(
                "Weighted coverage",
                covered.get("weighted_coverage"),
                "ratio",
                f"{COVERAGE}.weighted_coverage",
                note="all teams",
            ),
            Figure(
                "Deals to look at",
                waiting["amount"],
                "money",
                f"{ATTENTION}",
                note=f"{formats.integer(waiting['deals'])} deals, {formats.integer(waiting['leads'])} leads",
                means="Amount of the deals that need attention, each once.",
            ),
        ],
        "pipeline_head",
    )


@part
def _forecast(grain: str, cut: Cut, forecast_cut: Cut, expected: data.Rows) -> None:
    currency = data.settings().currency
    quotas = data.Rows()
    if forecast_cut == WHOLE:
        quotas = data.Rows(
            row for row in ask.attainment(grain=grain, metric="bookings") if row["holder_type"] == EVERYTHING
        )
    note = "Forecasts are made by type and pipeline: shown are all deals. " if forecast_cut != cut else ""
    with panel(
        "What will close",
        "forecast",
        expected,
        source=FORECAST,
        note=f"{note}The whiskers are the forecast's interval.",
        empty="No forecast yet: it needs deals that have closed.",
    ) as filled:
        if filled:
            won = ask.won_by_period(grain=grain, cut=forecast_cut)
            charts.show(
                draw.forecast(won, expected, quotas, grain, currency), "forecast", "Won and expected bookings"
            )
            table(
                data.Rows({**row, "period": period_name(row["period_start"], grain)} for row in expected),
                [
                    Column("period", "Period"),
                    Column("open_deals", "Open deals", "integer"),
                    Column("open_amount", "Open", "money"),
                    Column("won_to_date", "Won", "money"),
                    Column("expected_from_open", "From open deals", "money"),
                    Column("expected_from_uncreated", "From deals to come", "money"),
                    Column("expected_amount", "Expected", "money"),
                    Column("expected_low", "At least", "money"),
                    Column("expected_high", "At most", "money"),
                    Column("naive_crm_amount", "Stage probabilities", "money"),
                ],
                "forecast",
                FORECAST,
            )
    left, _ = st.columns([0.3, 0.7])
    with left:
        horizon = option("horizon", "Past forecasts made", list(HORIZONS), names=HORIZONS)
    past = ask.backtest(grain=grain, cut=forecast_cut, horizon=int(horizon))
    accuracy = {row["horizon"]: row for row in ask.backtest_accuracy(grain=grain, cut=forecast_cut)}.get(
        int(horizon)
    )
    said = (
        f"{formats.integer(accuracy['forecasts'])} past forecasts were"
        f" {formats.percent(accuracy['off_by'])} off"
        f" (stage probabilities {formats.percent(accuracy['off_by_crm'])}, last period again"
        f" {formats.percent(accuracy['off_by_last_period'])});"
        f" {formats.percent(accuracy['within_interval'])} held what came."
        if accuracy
        else ""
    )
    with panel(
        "Was the forecast right before?",
        "backtest",
        past,
        source=FORECAST,
        note=said,
        means="Off: the sum of all errors over the sum of what came.",
        empty="No period that was forecast is over yet.",
    ) as filled:
        if filled:
            charts.show(draw.backtest(past, grain, currency), "backtest", "Past forecasts and what came")


@part
def _waterfall(grain: str, cut: Cut) -> None:
    section("What moved")
    currency = data.settings().currency
    left, right, _ = st.columns([0.45, 0.25, 0.3])
    with left:
        scope = option("scope", "Counted", list(ask.SCOPES), names=ask.SCOPES, control="buttons")
    rows = ask.waterfall(scope=scope, grain=grain, cut=cut)
    starts = {str(row["period_start"]): row for row in rows}
    names = {
        start: period_name(row["period_start"], grain) + ("" if row["is_complete"] else " (to date)")
        for start, row in starts.items()
    }
    # On the first days of a period little has moved in it: the last complete one stands first.
    complete = next((start for start, row in starts.items() if row["is_complete"]), None)
    with right:
        start = option("moved", "In", list(starts), names=names, default=complete)
    picked = data.Rows([starts[start]] if start else [], rows.columns)
    with panel(
        "How the open pipeline became what it is",
        "waterfall",
        picked,
        source=WATERFALL,
        empty="No deal was open in this choice.",
    ) as filled:
        if filled:
            charts.show(
                draw.pipeline_waterfall(picked[0], currency), "waterfall", "Movements of the open pipeline"
            )
    shown = data.Rows(
        ({**row, "period": period_name(row["period_start"], grain)} for row in rows),
        ["period", *rows.columns],
    )
    with panel("Period by period", "waterfall_periods", shown, source=WATERFALL) as filled:
        if filled:
            moved = [
                Column(column, name, "money")
                for column, _, name in ask.WATERFALL_STEPS
                if any(row[column] for row in rows)
            ]
            table(
                shown,
                [
                    Column("period", "Period"),
                    Column("start_amount", "Start", "money"),
                    *moved,
                    Column("end_amount", "End", "money"),
                ],
                "waterfall_periods",
                WATERFALL,
                shown=8,
            )


@part
def _attention() -> None:
    section("What needs somebody", "Now, whatever the period.")
    currency = data.settings().currency
    reasons = ask.attention_reasons()
    everyone = ask.attention()
    owners = {row["owner_id"] or "": row["owner_name"] for row in everyone}
    first, second, third = st.columns(3)
    with first:
        kinds = {EVERYTHING: "Deals and leads", "opportunity": "Deals", "person": "Leads"}
        kind = option("what", "What", list(kinds), names=kinds, control="buttons")
    with second:
        reason = option(
            "reason",
            "Reason",
            [EVERYTHING, *sorted({row["reason"] for row in reasons})],
            names=lambda value: "All reasons" if value == EVERYTHING else formats.words(value),
        )
    with third:
        by_name = sorted((name, owner) for owner, name in owners.items() if owner)
        owner = option(
            "owner",
            "Owner",
            [EVERYTHING, *(owner for _, owner in by_name)],
            names={EVERYTHING: "All owners", **{owner: name for name, owner in by_name}},
        )
    rows = ask.attention(
        subject=None if kind == EVERYTHING else kind,
        reason=None if reason == EVERYTHING else reason,
        owner_id=None if owner == EVERYTHING else owner,
    )
    left, right = st.columns([0.32, 0.68], gap="small")
    with (
        left,
        panel(
            "By reason", "attention_reasons", reasons, source=ATTENTION, note="A deal may have several."
        ) as filled,
    ):
        if filled:
            charts.show(draw.attention(reasons, currency), "attention_reasons", "Deals and leads by reason")
    with right:
        listed = data.Rows(
            (
                {
                    **row,
                    "name": row["name"] or "(no name)",
                    "kind": "Deal" if row["subject"] == "opportunity" else "Lead",
                }
                for row in rows
            ),
            [*rows.columns, "kind"],
        )
        with panel(
            "Deals and leads that need attention",
            "attention",
            listed,
            source=ATTENTION,
            empty="Nothing needs attention in this choice.",
        ) as filled:
            if filled:
                table(
                    listed,
                    [
                        Column("name", "Deal or company", link="crm_url", length=36),
                        Column("kind", "What"),
                        Column("reason", "Reason", "words"),
                        Column("owner_name", "Owner"),
                        Column("since", "Since", "date"),
                        Column("days_since", "Days", "integer"),
                        Column("stage", "Stage", "words"),
                        Column("amount", "Amount", "money"),
                        Column("lead_score", "Score", "integer"),
                    ],
                    "attention",
                    ATTENTION,
                    shown=15,
                )


@part
def _quotas(grain: str) -> None:
    section("Quota and coverage")
    currency = data.settings().currency
    metrics = ask.quota_metrics()
    first, second, third = st.columns(3)
    with first:
        metric = option("metric", "Quota of", list(metrics))
    with second:
        holders = [kind for kind in ("team", "owner", "source", "all") if kind in metrics.get(metric, [])]
        holder = option("holder", "Held by", holders, control="buttons")
    if not metric or not holder:
        empty_state("There is no quota. Quotas stand in the seed quotas.csv.")
        return
    periods = {str(row["period_start"]): row for row in ask.quota_periods(grain=grain, metric=metric)}
    current = next((start for start, row in periods.items() if row["elapsed_share"] >= 0.1), None)
    with third:
        start = option(
            "quota_period",
            "In",
            list(periods),
            names={start: period_name(row["period_start"], grain) for start, row in periods.items()},
            default=current,
        )
    left, right = st.columns(2, gap="small")
    rows = (
        ask.attainment(grain=grain, metric=metric, period_start=periods[start]["period_start"])
        if start
        else data.Rows()
    )
    held = data.Rows([row for row in rows if row["holder_type"] == holder], rows.columns)
    with (
        left,
        panel(
            f"{formats.words(metric)} against quota",
            "attainment",
            held,
            source=QUOTA,
            empty="No quota in this period.",
        ) as filled,
    ):
        if filled:
            amount = "integer" if metric in COUNTED else "money"
            charts.show(draw.attainment(held), "attainment", "Attainment of quotas")
            table(
                held,
                [
                    Column("holder_name", "Holder", "words"),
                    Column("quota", "Quota", amount),
                    Column("actual", "Came", amount),
                    Column("gap", "Missing", amount),
                    Column("attainment", "Attained", "percent"),
                ],
                "attainment",
                QUOTA,
                shown=12,
            )
    covered_by = holder if holder in ("team", "owner", "all") else "all"
    covered = ask.coverage(grain=grain, holder_type=covered_by)
    present = data.Rows([row for row in covered if row["horizon"] == 0], covered.columns)
    with (
        right,
        panel(
            f"Enough open pipeline for {period_name(present[0]['period_start'], grain)}?"
            if present
            else "Enough open pipeline?",
            "coverage",
            present,
            source=COVERAGE,
            note="The figure at the bar: open pipeline over what the bookings quota still asks for.",
            empty="No bookings quota in this period.",
        ) as filled,
    ):
        if filled:
            charts.show(draw.coverage(present, currency), "coverage", "Open pipeline and remaining quota")
            table(
                present,
                [
                    Column("holder_name", "Holder", "words"),
                    Column("remaining_quota", "Still to win", "money"),
                    Column("open_deals", "Deals", "integer"),
                    Column("open_amount", "Open", "money"),
                    Column("coverage", "Coverage", "ratio"),
                    Column("weighted_coverage", "Weighted", "ratio"),
                ],
                "coverage",
                COVERAGE,
                shown=12,
            )


@part
def _cycle(grain: str, cut: Cut) -> None:
    section("How long it takes")
    rows = ask.sales_cycle(grain=grain, cut=cut if cut.segment in ("all", *segments(CYCLE)) else WHOLE)
    won = data.Rows([row for row in rows if row["outcome"] == "won"], rows.columns)
    left, right = st.columns(2, gap="small")
    with (
        left,
        panel(
            "Days to win a deal", "cycle", won, source=CYCLE, empty="No deal of this choice was ever won."
        ) as filled,
    ):
        if filled:
            charts.show(
                draw.sales_cycle(won, grain), "cycle", "Days from creation and first touch to the win"
            )
    closed = ask.sales_cycle(grain=grain)
    today = data.settings().today
    starts = sorted({row["period_start"] for row in closed if row["outcome"] == "won"}, reverse=True)
    # The running period has few deals: the latest before it speaks.
    start = next(
        (day for day in starts if filters.add_months(day, 3 if grain != "month" else 1) <= today), None
    )
    with right:
        parts = [name for name, values in segments(CYCLE).items() if len(values) > 1]
        split = option("cycle_by", "Days to win by", parts)
        by = (
            ask.sales_cycle_split(grain=grain, period_start=start, segment=split)
            if start and split
            else data.Rows()
        )
        with panel(
            f"Days to win by {formats.words(split).lower()}",
            "cycle_split",
            by,
            source=CYCLE,
            note=f"Deals won {period_name(start, grain)}." if start else "",
            empty="No period with a won deal is over yet.",
        ) as filled:
            if filled:
                table(
                    by,
                    [
                        Column("name", formats.words(split), "words"),
                        Column("deals", "Won", "integer"),
                        Column("median_days_from_creation", "Days, median", "integer", bar=True),
                        Column("p90_days_from_creation", "Slowest tenth", "integer"),
                        Column("median_days_from_first_touch", "From first touch", "integer"),
                    ],
                    "cycle_split",
                    CYCLE,
                    shown=8,
                )


@part
def _results(chosen: filters.Filters) -> None:
    section("Won and lost", f"Deals that closed {chosen.period}.")
    currency = data.settings().currency
    rows = ask.win_loss_reasons(period=chosen.period)
    left, right = st.columns(2, gap="small")
    for place, outcome, title in ((left, "lost", "Why we lose"), (right, "won", "Why we win")):
        some = data.Rows([row for row in rows if row["outcome"] == outcome], rows.columns)
        with (
            place,
            panel(
                title,
                f"reasons_{outcome}",
                some,
                source=RESULTS,
                empty=f"No deal was {outcome} in this period.",
            ) as filled,
        ):
            if filled:
                charts.show(
                    draw.reasons(some, outcome, currency), f"reasons_{outcome}", f"{title}: deals by reason"
                )
    parts = ["competitor", *(name for name, values in segments(RESULTS).items() if len(values) > 1)]
    narrow, _ = st.columns([0.3, 0.7])
    with narrow:
        split = option("won_by", "Win rate by", parts)
    rates = ask.win_rates(period=chosen.period, segment=split)
    with panel(
        f"Win rate by {formats.words(split).lower()}",
        "win_rates",
        rates,
        source=RESULTS,
        means="Won over closed deals of the whole period.",
        empty="No deal closed in this period.",
    ) as filled:
        if filled:
            left, right = st.columns(2)
            with left:
                charts.show(draw.win_rates(rates), "win_rates", f"Win rate by {split}")
            with right:
                table(
                    rates,
                    [
                        Column("name", formats.words(split), "words"),
                        Column("won", "Won", "integer"),
                        Column("lost", "Lost", "integer"),
                        Column("win_rate", "Win rate", "percent"),
                        Column("won_amount", "Won", "money"),
                        Column("lost_amount", "Lost", "money"),
                    ],
                    "win_rates",
                    RESULTS,
                    shown=15,
                )
