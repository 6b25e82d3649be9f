"""Data trust: how fresh the data is, whether it adds up, what was checked, what was refused, and, on the
simulated company, how far attribution is from its known truth.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard import charts, components, data, filters, formats, sandbox_truth
from dashboard.components import Column, Figure, panel

CHECKS = "trust.check_results"
_EMPTY_CHECKS = ("check_name", "kind", "relation", "column_name", "description", "status", "rows_found")


def render() -> None:
    filters.choose()
    components.page_head("Data trust", "Can these figures be believed this morning?", None, ())
    st.html(f'<p class="fh-chosen" data-testid="chosen">{_published()}</p>')
    fresh, adds_up, checks = _freshness(), _reconciliation(), _checks()
    _figures(fresh, adds_up, checks)
    left, right = components.beside(1, 1)
    with left:
        _show_freshness(fresh)
    with right:
        _show_reconciliation(adds_up)
        _show_checks(checks)
    left, right = components.beside(1, 1)
    with left:
        _quarantine()
        _without_touchpoint()
    with right:
        _tags()
        _coverage()
    _truth()


def _published() -> str:
    settings = data.settings()
    return (
        f"Published {formats.moment(data.published_at())} UTC · as of {formats.moment(settings.as_of)} UTC"
        f" · {settings.currency} · {settings.time_zone}"
    )


def _freshness() -> data.Rows:
    return data.query(
        "select source_relation, entity, records, latest_record_at, hours_since_latest_record,"
        " cast(allowed_hours as double) as allowed_hours, case when is_stale then 'Late'"
        " when latest_record_at is null then 'Undated' else 'On time' end as status, is_stale"
        " from trust.data_freshness order by is_stale desc,"
        " hours_since_latest_record / allowed_hours desc nulls last, source_relation, entity"
    )


def _reconciliation() -> data.Rows:
    return data.query(
        "select source_relation, entity, measure, currency, count(*) as days,"
        " count(*) filter (where not is_reconciled) as days_apart, sum(source_total) as source_total,"
        " sum(warehouse_total) as warehouse_total, sum(difference) as difference"
        " from trust.source_reconciliation group by source_relation, entity, measure, currency"
        " order by days_apart desc, source_relation, entity, measure, currency"
    )


def _checks() -> data.Rows:
    if not data.has_table(CHECKS):
        return data.Rows([], _EMPTY_CHECKS)
    return data.query(
        f"select check_name, kind, relation, column_name, description, is_blocking, status,"
        f" rows_found from {CHECKS} order by status = 'pass', relation, check_name"
    )


def _figures(fresh: data.Rows, adds_up: data.Rows, checks: data.Rows) -> None:
    late = sum(row["is_stale"] for row in fresh)
    apart = sum(row["days_apart"] for row in adds_up)
    warned = sum(row["status"] != "pass" for row in checks)
    refused = data.one("select count(*) as records from trust.quarantined_records")["records"]
    identity = data.one(
        "select linked_rate, shared_identifiers from trust.identity_quality where identifier_kind = '(all)'"
    )
    consent = data.one(
        "select sum(granted) / nullif(sum(events), 0) as granted_rate from trust.consent_coverage"
        " where purpose = 'analytics'"
    )["granted_rate"]
    components.figures(
        [
            Figure("Late feeds", late, "integer", "trust.data_freshness.is_stale", note=f"of {len(fresh)}"),
            Figure(
                "Days that do not add up",
                apart,
                "integer",
                "trust.source_reconciliation.is_reconciled",
                note=f"of {formats.integer(sum(row['days'] for row in adds_up))}",
            ),
            Figure(
                "Checks that warn",
                warned if checks else None,
                "integer",
                f"{CHECKS}.status",
                note=f"{formats.integer(len(checks) - warned)} passed" if checks else "not recorded",
            ),
            Figure("Refused records", refused, "integer", "trust.quarantined_records"),
            Figure(
                "Identifiers linked", identity["linked_rate"], "percent", "trust.identity_quality.linked_rate"
            ),
            Figure("Consent to analytics", consent, "percent", "trust.consent_coverage.granted_rate"),
        ],
        "trust",
    )


def _show_freshness(rows: data.Rows) -> None:
    late = sum(row["is_stale"] for row in rows)
    with panel(
        "Freshness",
        "freshness",
        rows,
        source="trust.data_freshness",
        note=f"{formats.integer(late)} late." if late else "Every feed is on time.",
        empty="No source has brought any record yet.",
    ) as filled:
        if filled:
            components.table(
                rows,
                [
                    Column("status", "Status"),
                    Column("source_relation", "Source", length=26),
                    Column("entity", "Records of", "words"),
                    Column("records", "Records", "integer"),
                    Column("hours_since_latest_record", "Latest before", "hours"),
                    Column("allowed_hours", "Allowed", "hours"),
                ],
                "freshness",
                "trust.data_freshness",
                shown=20,
            )


def _show_reconciliation(rows: data.Rows) -> None:
    apart = sum(row["days_apart"] for row in rows)
    with panel(
        "Reconciliation",
        "reconciliation",
        rows,
        source="trust.source_reconciliation",
        note="What each source holds against what came out, day by day: "
        + (f"{formats.integer(apart)} days differ." if apart else "every day agrees."),
        empty="Nothing to reconcile yet.",
    ) as filled:
        if filled:
            components.table(
                rows,
                [
                    Column("source_relation", "Source", length=26),
                    Column("entity", "Records of", "words", length=20),
                    Column("measure", "Measure", "words"),
                    Column("currency", "Currency"),
                    Column("days_apart", "Days apart", "integer"),
                    Column("source_total", "In the source", "integer"),
                    Column("warehouse_total", "In the marts", "integer"),
                ],
                "reconciliation",
                "trust.source_reconciliation",
                shown=14,
            )


def _show_checks(rows: data.Rows) -> None:
    warned = [row for row in rows if row["status"] != "pass"]
    with panel(
        "Checks",
        "checks",
        rows,
        source=CHECKS,
        note=f"{formats.integer(len(rows) - len(warned))} passed"
        + (f", {formats.integer(len(warned))} warn." if warned else ", none warns.")
        + " A blocking one that fails keeps a build from being published.",
        empty="The build that was published ran without checks, or an older version published it.",
    ) as filled:
        if filled:
            counts: dict[str, dict[str, Any]] = {}
            for row in rows:
                kind = counts.setdefault(row["kind"], {"kind": row["kind"], "checks": 0, "warned": 0})
                kind["checks"] += 1
                kind["warned"] += row["status"] != "pass"
            if warned:
                components.table(
                    warned,
                    [
                        Column("check_name", "Warns", length=44),
                        Column("relation", "Table", length=34),
                        Column("rows_found", "Rows", "integer"),
                    ],
                    "warned",
                    CHECKS,
                    shown=10,
                )
            components.table(
                sorted(counts.values(), key=lambda kind: (-kind["warned"], -kind["checks"], kind["kind"])),
                [
                    Column("kind", "Rule", "words"),
                    Column("checks", "Checks", "integer", bar=True),
                    Column("warned", "Warn", "integer"),
                ],
                "checks",
                shown=8,
            )


def _quarantine() -> None:
    rows = data.query(
        "select source_relation, resource, reason, count(*) as records, min(first_seen_at) as first_seen_at,"
        " max(last_seen_at) as last_seen_at from trust.quarantined_records"
        " group by source_relation, resource, reason order by records desc, source_relation, resource, reason"
    )
    with panel(
        "Quarantine",
        "quarantine",
        rows,
        source="trust.quarantined_records",
        note="Records that were refused, and why. After a fix, “funnelhouse quarantine replay” tries again.",
        empty="No record has been refused.",
    ) as filled:
        if filled:
            components.table(
                rows,
                [
                    Column("source_relation", "Source", length=26),
                    Column("resource", "Table"),
                    Column("reason", "Reason", length=60),
                    Column("records", "Records", "integer"),
                    Column("last_seen_at", "Last seen", "moment"),
                ],
                "quarantine",
                "trust.quarantined_records",
                shown=12,
            )


def _without_touchpoint() -> None:
    source = "trust.records_without_touchpoint"
    rows = data.query(
        f"select source_relation, entity, reason, records from {source}"
        " order by records desc, source_relation, reason"
    )
    with panel(
        "Records that are no touchpoint",
        "no_touchpoint",
        rows,
        source=source,
        note="Nothing is dropped in silence: each has its reason.",
        empty="Every record of an interaction is a touchpoint.",
    ) as filled:
        if filled:
            components.table(
                rows,
                [
                    Column("source_relation", "Source", length=26),
                    Column("entity", "Records of", "words"),
                    Column("reason", "Reason", length=60),
                    Column("records", "Records", "integer"),
                ],
                "no_touchpoint",
                source,
                shown=12,
            )


def _tags() -> None:
    rows = data.query(
        "select finding, rule_id, campaign_name, field, written_value, suggested_value, sessions,"
        " spend, message"
        " from trust.utm_audit where period_start = (select max(period_start) from trust.utm_audit)"
        " order by spend desc, sessions desc, finding, rule_id, written_value"
    )
    with panel(
        "Campaign tags",
        "tags",
        rows,
        source="trust.utm_audit",
        note="Latest month: spend without tagged visits, visits without spend, names off the rules.",
        empty="No tag breaks a rule.",
    ) as filled:
        if filled:
            components.table(
                rows,
                [
                    Column("finding", "Finding", "words", length=32),
                    Column("written_value", "Written", length=30),
                    Column("suggested_value", "Better", length=26),
                    Column("sessions", "Visits", "integer"),
                    Column("spend", "Spend", "money"),
                ],
                "tags",
                "trust.utm_audit",
                shown=10,
            )


def _coverage() -> None:
    rows = data.query(
        "select date_trunc('month', date)::date as month, purpose,"
        " sum(granted) / nullif(sum(events), 0) as granted_rate from trust.consent_coverage"
        " group by 1, 2 order by 1, 2"
    )
    # The running month says little on its first days: it is left out where another one speaks.
    running = data.settings().today.replace(day=1)
    rows = data.Rows([row for row in rows if row["month"] < running] or rows, rows.columns)
    with panel(
        "Consent",
        "consent",
        rows,
        source="trust.consent_coverage",
        note="Share of events with consent; touches without it earn no credit.",
        empty="No source states consent.",
    ) as filled:
        if filled:
            series = {
                formats.words(purpose): (
                    [row["month"] for row in rows if row["purpose"] == purpose],
                    [row["granted_rate"] for row in rows if row["purpose"] == purpose],
                )
                for purpose in dict.fromkeys(rows.column("purpose"))
            }
            charts.show(
                charts.lines(series, "percent", height=220),
                "consent",
                "Share of events with consent by month",
            )


def _truth() -> None:
    """Only on the simulated company: its answer key lies beside the warehouse, never in it."""
    company = sandbox_truth.company()
    if company is None:
        return
    components.section(
        "Attribution against the truth",
        "This is the simulated company: what each channel truly caused is known, because it was run again "
        "without that channel. No model has seen this.",
    )
    judged = sandbox_truth.judged(data.identity())
    if judged is None:
        components.empty_state(
            "The truth is being worked out: it takes a minute after the dashboard was started."
        )
        return
    kinds = [kind for kind, one in judged.items() if one["true_conversions"]]
    for kind in kinds:
        one = judged[kind]
        left, right = components.beside(1, 1)
        with left:
            _errors(kind, one)
        with right:
            _shares(kind, one)


def _errors(kind: str, one: dict[str, Any]) -> None:
    rows = data.Rows(one["scores"], ("model", "error", "rank_correlation", "without_effect"))
    with panel(
        f"{formats.words(kind)}: how far each model is off",
        f"truth_{kind}",
        rows,
        means="Mean absolute difference between a model's shares of channels and the true ones.",
        note=f"{formats.integer(one['true_conversions'])} conversions truly caused by channels. One company "
        "is few: docs/attribution.md judges over several.",
    ) as filled:
        if filled:
            components.table(
                rows,
                [
                    Column("model", "Model", "words"),
                    Column("error", "Off by (share points)", "percent", bar=True),
                    Column("rank_correlation", "Order agrees", "number"),
                    Column("without_effect", "Given to channels without effect", "percent"),
                ],
                f"truth_{kind}",
                shown=16,
            )


def _shares(kind: str, one: dict[str, Any]) -> None:
    rows = data.Rows(one["shares"], ("channel", "true_share", *one["best"]))
    best = one["best"][0]
    with panel(
        f"{formats.words(kind)}: true share and credited share",
        f"shares_{kind}",
        rows,
        means="Of all that channels caused, or were credited with, what each channel's part is.",
        note=f"Credited by the model that is nearest here, {formats.words(best)}.",
    ) as filled:
        if filled:
            theme = charts.theme()
            made = charts.paired_bars(
                rows,
                "channel",
                (("True", "true_share", theme.accent), ("Credited", best, theme.neutral)),
                "percent",
            )
            charts.show(made, f"shares_{kind}", f"True and credited shares of {kind} by channel")
