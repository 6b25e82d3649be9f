"""Funnel: where each funnel leaks and what that is worth; stages, targets, segments, time, hand-overs."""

from __future__ import annotations

import streamlit as st

from dashboard import charts, data, filters, formats
from dashboard.components import (
    Column,
    Figure,
    empty_state,
    figures,
    one_split_notice,
    page_head,
    panel,
    part,
    section,
    table,
)
from dashboard.figures import funnel as draw
from dashboard.figures import period_name
from dashboard.options import option
from dashboard.queries import WHOLE, Cut, cut_of, number, owner_names, segments
from dashboard.queries import funnel as ask

NAMES = ("period", "funnel", "channel", "country")
STAGES = "stages"
CONVERSION = "funnel.funnel_stage_conversion"
LEAKS = "funnel.funnel_bottlenecks"
HANDOFFS = "funnel.handoff_alignment"


def render() -> None:
    """Draw the page."""
    chosen = filters.choose(*NAMES)
    page_head("Funnel", "Where does the funnel leak, and what is it worth to mend?", chosen, NAMES)
    cut = cut_of(chosen)
    one_split_notice(chosen, "Stages")
    stages = ask.stages(funnel=chosen.funnel, period=chosen.period, cut=cut)
    leaks = ask.leaks(funnel=chosen.funnel, cut=cut)
    _head(chosen, cut, stages, leaks)
    _leaks(chosen, leaks)
    _stages(chosen, cut, stages)
    trend = chosen.period.trend
    _targets(chosen, cut, trend)
    _stage(chosen, cut, trend, stages)
    _time(chosen, cut)
    _handoffs(chosen)


def _head(chosen: filters.Filters, cut: Cut, stages: data.Rows, leaks: data.Rows) -> None:
    before = {
        row["stage"]: row for row in ask.stages(funnel=chosen.funnel, period=chosen.period.previous, cut=cut)
    }
    worst = leaks[0] if leaks and leaks[0]["expected_value_per_month"] else None
    shown = [
        Figure(
            "Worst leak a month",
            worst["expected_value_per_month"] if worst else None,
            "money",
            f"{LEAKS}.expected_value_per_month",
            note=f"{formats.words(worst['stage'])} → {formats.words(worst['next_stage'])}"
            if worst
            else "no gap",
        ),
        Figure(
            "Wins it costs a month",
            worst["expected_wins_per_month"] if worst else None,
            "number",
            f"{LEAKS}.expected_wins_per_month",
        ),
    ]
    in_order = sorted(leaks, key=lambda row: row["stage_order"])
    win = next((row["win_stage"] for row in in_order if row["win_stage"]), None)
    for row in stages:
        if row is stages[0] or row["stage"] == win:
            shown.append(
                Figure(
                    f"{formats.words(row['stage'])} entered",
                    row["entered"],
                    "integer",
                    f"{CONVERSION}.entered",
                    before=before.get(row["stage"], {}).get("entered"),
                    means=f"Counted in {draw.unit(row['counting_unit'])}.",
                )
            )
    passed, in_time, late = 0.0, 0.0, 0.0
    for handoff in ask.handoff_types():
        for row in ask.handoff_split(handoff_type=handoff, segment="all", period=chosen.period):
            passed += number(row["passed"])
            in_time += number(row["within_sla"])
            late += number(row["beyond_sla"])
    shown.append(
        Figure(
            "Hand-overs in time",
            in_time / (in_time + late) if in_time + late else None,
            "percent",
            f"{HANDOFFS}.sla_rate",
            note=f"{formats.integer(passed)} handed over",
            means="All kinds, channels and countries together.",
        )
    )
    figures(shown, "funnel_head")


@part
def _leaks(chosen: filters.Filters, rows: data.Rows) -> None:
    currency = data.settings().currency
    leaking = data.Rows([row for row in rows if number(row["expected_value_per_month"]) > 0], rows.columns)
    months = ""
    if rows:
        first, last = rows[0]["first_cohort"], rows[0]["last_cohort"]
        months = (
            f" Cohorts of {period_name(first, 'month')} to {period_name(last, 'month')}, whatever the period."
        )
    with panel(
        "Leaks, and what closing them is worth a month",
        "leaks",
        leaking,
        source=LEAKS,
        note="Grey: the gap may be chance." + months,
        empty="No stage is below its benchmark, or none has a mature cohort yet.",
    ) as filled:
        if filled:
            charts.show(draw.leaks(leaking, currency), "leaks", "Leaks by their worth a month")
            table(
                leaking,
                [
                    Column("stage", "Stage", "words"),
                    Column("next_stage", "Next", "words"),
                    Column("entered", "Entered", "integer"),
                    Column("conversion_rate", "Go on", "percent"),
                    Column("benchmark", "Benchmark", "percent"),
                    Column("benchmark_source", "From", "words"),
                    Column("extra_advances_per_month", "More a month", "number"),
                    Column("expected_wins_per_month", "Wins a month", "number"),
                    Column("expected_value_per_month", "Worth a month", "money"),
                    Column("value_basis", "In", "words"),
                ],
                "leaks",
                LEAKS,
            )
    split = option(
        "leak_by",
        "Leaks by",
        ["channel", "country", "owner", "product"],
        control="buttons",
    )
    parts = ask.leaks_by_segment(funnel=chosen.funnel, segment=split)
    named = _named(parts, split)
    with panel(
        f"The dearest leaks by {formats.words(split).lower()}",
        "leaks_by_segment",
        named,
        source=LEAKS,
        note="Each is held against the whole funnel's benchmark; the values must not be added up.",
        empty="No leak of a single segment has a price.",
    ) as filled:
        if filled:
            table(
                named,
                [
                    Column("name", formats.words(split)),
                    Column("stage", "Stage", "words"),
                    Column("entered", "Entered", "integer"),
                    Column("conversion_rate", "Go on", "percent"),
                    Column("benchmark", "Benchmark", "percent"),
                    Column("is_sure", "Beyond chance"),
                    Column("expected_value_per_month", "Worth a month", "money", bar=True),
                ],
                "leaks_by_segment",
                LEAKS,
                shown=8,
            )


def _named(rows: data.Rows, segment: str) -> data.Rows:
    """Rows of a segment with the name of its value: an owner's own, else the value."""
    names = owner_names() if segment == "owner" else {}
    return data.Rows(
        (
            {
                **row,
                "name": names.get(row["segment_value"], row["segment_value"]),
                "is_sure": "yes" if row.get("is_beyond_chance") else "no",
            }
            for row in rows
        ),
        [*rows.columns, "name"],
    )


@part
def _stages(chosen: filters.Filters, cut: Cut, stages: data.Rows) -> None:
    section("Stage by stage")
    views = [STAGES, *ask.frameworks()]
    narrow, _ = st.columns([0.3, 0.7])
    with narrow:
        view = option("view", "Seen as", views, names={STAGES: "Stages of the funnel"})
    rows, columns, note = stages, "mature", ""
    if view != STAGES:
        columns = "all"
        framework_cut = cut if cut.segment in ("all", "channel") else WHOLE
        if framework_cut != cut:
            note = "Frameworks are counted for all countries together. "
        rows = ask.framework_stages(
            framework=view, funnel=chosen.funnel, period=chosen.period, cut=framework_cut
        )
        note += "Cohorts that are still young count in the rates."
    else:
        young = sum(number(row["entered"]) - number(row["entered_mature"]) for row in rows[:-1])
        entered = sum(number(row["entered"]) for row in rows[:-1])
        note = (
            "Rates are those of mature cohorts: those that had the time to go on."
            f" {formats.percent(young / entered)} of what entered is still too young."
            if entered
            else ""
        )
    some = data.Rows([row for row in rows if row["entered"] or row["recycled"]], rows.columns)
    source = CONVERSION if view == STAGES else "funnel.funnel_framework_summary"
    with panel(
        "What entered, and what goes on",
        "stages",
        some,
        source=source,
        note=note,
        empty="Nothing entered the funnel in this choice. Take a longer period or all channels.",
    ) as filled:
        if not filled:
            return
        left, right = st.columns([0.42, 0.58])
        with left:
            charts.show(draw.volumes(some), "stage_volumes", "What entered each stage")
        with right:
            names = ("advanced_mature", "entered_mature") if columns == "mature" else ("advanced", "entered")
            charts.show(
                draw.rates(some, advanced=names[0], entered=names[1]),
                "stage_rates",
                "Share that goes on, by stage",
            )
        counted = data.Rows(({**row, "unit": draw.unit(row["counting_unit"])} for row in some), some.columns)
        table(
            counted,
            [
                Column("stage", "Stage", "words"),
                Column("unit", "Counted in"),
                Column("entered", "Entered", "integer"),
                Column("recycled", "Came back", "integer"),
                Column("advanced", "Went on", "integer"),
                Column("lost", "Lost", "integer"),
                Column("open", "Open", "integer"),
                Column("conversion_rate", "Rate", "percent"),
                *(
                    [Column("target", "Target", "percent"), Column("attainment", "Of target", "percent")]
                    if columns == "mature"
                    else []
                ),
            ],
            "stages",
            source,
        )


def _targets(chosen: filters.Filters, cut: Cut, trend: filters.Period) -> None:
    rows = ask.stage_periods(funnel=chosen.funnel, period=trend, cut=cut)
    judged = data.Rows(
        [row for row in rows if row["is_mature"] and row["attainment"] is not None], rows.columns
    )
    with panel(
        "Rates against their targets",
        "targets",
        judged,
        source=CONVERSION,
        note="Percent of the target rate, by month of entry. Empty: too young, or nothing entered.",
        empty="No mature cohort with a target in this choice. Targets stand in the seed stage_targets.csv.",
    ) as filled:
        if filled:
            first = min(row["period_start"] for row in judged)
            shown = [row for row in rows if row["period_start"] >= first]
            charts.show(draw.targets(shown, "month"), "targets", "Rate over target, by stage and month")


@part
def _stage(chosen: filters.Filters, cut: Cut, trend: filters.Period, stages: data.Rows) -> None:
    going = [row["stage"] for row in stages[:-1]]
    section("One stage")
    left, right = st.columns(2)
    with left:
        stage = option("stage", "Stage", going)
    with right:
        parts = segments(CONVERSION)
        split = option("split", "Split by", [name for name in parts if len(parts[name]) > 1])
    if not stage or not split:
        empty_state("Nothing entered this funnel in this choice.")
        return
    by = ask.stage_segments(funnel=chosen.funnel, stage=stage, segment=split, period=chosen.period)
    named = _named(by, split)
    rated = data.Rows([row for row in named if row["conversion_rate"] is not None], named.columns)
    with left:
        rows = ask.stage_periods(funnel=chosen.funnel, period=trend, cut=cut)
        line = data.Rows(
            [row for row in rows if row["stage"] == stage and row["conversion_rate"] is not None],
            rows.columns,
        )
        with panel(
            f"{formats.words(stage)}: share that goes on, by month of entry", "trend", line, source=CONVERSION
        ) as filled:
            if filled:
                beside = draw.rates_height(min(len(rated), charts.MOST))
                charts.show(
                    draw.rate_trend(line, "month", min(max(300, beside), 480)),
                    "trend",
                    f"Rate of {stage} by month",
                )
    with (
        right,
        panel(
            f"{formats.words(stage)} by {formats.words(split).lower()}",
            "segments",
            rated,
            source=CONVERSION,
            note=f"{chosen.period}, mature cohorts; the {charts.MOST} largest of {len(rated)}."
            if len(rated) > charts.MOST
            else f"{chosen.period}, mature cohorts.",
            empty="No mature cohort in this period. Take a longer one.",
        ) as filled,
    ):
        if filled:
            charts.show(draw.rates(rated, "name"), "segments", f"Rate of {stage} by {split}")


def _time(chosen: filters.Filters, cut: Cut) -> None:
    rows = ask.time_in_stage(funnel=chosen.funnel, period=chosen.period, cut=cut)
    with panel(
        "Time in stage",
        "time",
        rows,
        source=CONVERSION,
        note="Days until half, and nine of ten, have left; of each stage's latest mature quarter.",
        empty="No stage has a mature quarter yet.",
    ) as filled:
        if filled:
            charts.show(draw.time_in_stage(rows), "time", "Days in each stage, median and slowest tenth")


@part
def _handoffs(chosen: filters.Filters) -> None:
    section(
        "From marketing to sales",
        "What was handed over, how fast it was worked on, and what became of it. All countries.",
    )
    kind = option("handoff", "Handed over", ask.handoff_types(), control="buttons")
    if not kind:
        empty_state("Nothing was ever handed over to sales.")
        return
    trend = chosen.period.trend
    rows = ask.handoff_periods(handoff_type=kind, period=trend)
    left, right = st.columns(2)
    with left, panel("What sales did with them", "handoffs", rows, source=HANDOFFS) as filled:
        if filled:
            charts.show(draw.handoffs(rows, "month"), "handoffs", "Hand-overs by month and outcome")
    worked = data.Rows(
        [row for row in rows if row["p90_speed_to_lead_business_hours"] is not None], rows.columns
    )
    with right, panel("Business hours to the first contact", "speed", worked, source=HANDOFFS) as filled:
        if filled:
            charts.show(draw.speed_to_lead(worked, "month"), "speed", "Business hours to the first contact")
    left, right = st.columns([0.62, 0.38])
    with left:
        split = option("handoff_by", "By", ["owner", "channel"], control="buttons")
        parts = ask.handoff_split(handoff_type=kind, segment=split, period=chosen.period)
        with panel(
            f"Hand-overs by {split}", "handoff_split", parts, source=HANDOFFS, note=str(chosen.period)
        ) as filled:
            if filled:
                table(
                    parts,
                    [
                        Column("name", formats.words(split)),
                        Column("passed", "Handed over", "integer"),
                        Column("accepted", "Accepted", "integer"),
                        Column("rejected", "Rejected", "integer"),
                        Column("open", "Open", "integer"),
                        Column("acceptance_rate", "Accepted", "percent"),
                        Column("beyond_sla", "Late", "integer"),
                        Column("sla_rate", "In time", "percent"),
                    ],
                    "handoff_split",
                    HANDOFFS,
                    shown=12,
                )
    with right:
        why = ask.rejection_reasons(handoff_type=kind, period=chosen.period)
        with panel(
            "Why sales rejected",
            "rejections",
            why,
            note=str(chosen.period),
            source=f"{HANDOFFS}.rejection_reasons",
        ) as filled:
            if filled:
                charts.show(draw.reasons(why), "rejections", "Rejected hand-overs by reason")
