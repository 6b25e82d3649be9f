"""The published reports on attribution and trust, worked out again in plain Python."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from itertools import groupby
from typing import Any

import duckdb
import pytest

from ingestion.settings import project_vars
from tests.integration.conftest import LAST_DAY, Built, Sandbox

Connection = duckdb.DuckDBPyConnection
Path = list[str]


def rows(connection: Connection, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = connection.sql(query).to_arrow_table().to_pylist()
    return found


def _transforms(path: Path, removed: set[str]) -> dict[str, list[Any]]:
    """The six forms of a path, word by word as they are defined."""
    firsts = list(dict.fromkeys(path))
    kept = [channel for channel in path if channel not in removed]
    end = len(path)
    while end and path[end - 1] in removed:
        end -= 1
    return {
        "unique": path,
        "exposure": [channel for channel, _ in groupby(path)],
        "first": firsts,
        "frequency": [{"channel": channel, "touches": path.count(channel)} for channel in firsts],
        "remove_if_not_all": kept or path,
        "remove_if_last_and_not_all": path[:end] or path,
    }


@pytest.fixture
def paths(published: Connection) -> dict[str, tuple[str, Path]]:
    """conversion -> (type, channels of its touches in order); no channels where nobody touched it."""
    found: dict[str, tuple[str, Path]] = {}
    for row in rows(
        published,
        "select conversion_id, conversion_type, channel, touch_count from attribution.fct_attribution"
        " order by conversion_id, touch_position",
    ):
        path = found.setdefault(row["conversion_id"], (row["conversion_type"], []))[1]
        if row["touch_count"]:
            path.append(row["channel"])
    return found


def test_paths_in_all_forms_hold_every_conversion(
    published: Connection, built: Built, paths: dict[str, tuple[str, Path]]
) -> None:
    removed = set(project_vars(built.paths)["path_removed_channels"])
    expected: Counter[tuple[str, str, str]] = Counter()
    for kind, path in paths.values():
        for name, steps in _transforms(path, removed).items():
            nothing: list[Any] = ["(unattributed)"]
            if name == "frequency":
                nothing = [{"channel": "(unattributed)", "touches": 0}]
            expected[kind, name, json.dumps(steps or nothing, separators=(",", ":"))] += 1
    found = {
        (row["conversion_type"], row["path_transform"], row["path"]): row["conversions"]
        for row in rows(published, "from attribution.attribution_paths")
    }
    assert found == expected
    assert max(len(path) for _, path in paths.values()) > 4


def test_touches_to_conversion_are_those_of_the_paths(
    published: Connection, paths: dict[str, tuple[str, Path]]
) -> None:
    expected: Counter[tuple[str, str]] = Counter()
    for kind, path in paths.values():
        expected[kind, str(len(path)) if len(path) <= 5 else "more"] += 1
    found: Counter[tuple[str, str]] = Counter()
    for row in rows(
        published,
        "from attribution.attribution_touches_to_conversion"
        " where measure = 'touches' and period_grain = 'month' and first_touch_channel = '(all)'",
    ):
        found[row["conversion_type"], row["bucket"] if len(row["bucket"]) == 1 else "more"] += row[
            "conversions"
        ]
    assert found == expected


def test_e_mail_counts_are_the_companys_own(published: Connection, sandbox: Sandbox) -> None:
    """Per campaign, every kind of event, opens of people and of machines apart."""
    connection = duckdb.connect()
    for name in ("email_events", "email_campaigns", "email_lists"):
        connection.register(name, sandbox.company.tables[name])
    # The shop's automations are flows, which outlive their texts.
    named = (
        "case when mailer = 'shop' and type = 'automation'"
        r" then regexp_replace(title, ' \d{4}-\d{2}-\d{2}$', '') else title end"
    )
    truth: dict[tuple[str, str], int] = {
        (row["title"], row["what"]): row["events"]
        for row in rows(
            connection,
            f"select {named} as title, case when event_type = 'opened' and is_machine_open"
            " then 'opened_by_machine' else event_type end as what, count(*) as events"
            " from email_events join email_campaigns using (campaign_id)"
            " join email_lists on email_lists.list_id = email_events.list_id"
            f" where visible_at <= timestamp '{LAST_DAY}' and event_type <> 'delivered' group by all",
        )
    }
    kinds = ("sent", "bounced", "opened", "opened_by_machine", "clicked", "unsubscribed", "complained")
    found = {
        (row["campaign_name"], kind): int(row[kind])
        for row in rows(
            published,
            f"select campaign_name, {', '.join(f'sum({kind}) as {kind}' for kind in kinds)}"
            " from attribution.email_performance group by all",
        )
        for kind in kinds
        if row[kind]
    }
    assert found == truth
    impossible = "delivered < 0 or bounced_hard + bounced_soft > bounced or clicked = 0 and value > 0"
    assert rows(published, f"from attribution.email_performance where {impossible}") == []
    credited = rows(published, "select sum(credited_purchases) as n from attribution.email_performance")
    assert credited[0]["n"] > 0


def test_content_entries_and_influence(published: Connection) -> None:
    """For one month, page by page: visits of people, and the conversions with a touch there, each once."""
    page = (
        "s.landing_host || case when rtrim(lower(s.landing_page), '/') = '' then '/'"
        " else rtrim(lower(s.landing_page), '/') end"
    )
    entries = {
        row["page"]: row["n"]
        for row in rows(
            published,
            f"select {page} as page, count(*) as n from core.fct_sessions as s"
            " where not is_bot and not is_internal and landing_page is not null"
            " and date_trunc('month', started_on) = date '2026-06-01' group by all",
        )
    }
    influenced: dict[str, set[str]] = defaultdict(set)
    for row in rows(
        published,
        f"select {page} as page, a.conversion_id from attribution.fct_attribution as a"
        " join core.fct_touchpoints as t using (touchpoint_id) join core.fct_sessions as s using (session_id)"
        " where touchpoint_type = 'web_session' and date_trunc('month', a.converted_on) = date '2026-06-01'",
    ):
        influenced[row["page"]].add(row["conversion_id"])
    found = rows(
        published,
        "from attribution.content_performance where period_grain = 'month'"
        " and period_start = date '2026-06-01' and touchpoint_type = 'web_session'"
        " and content not in ('(other)', '(not set)')",
    )
    assert len(found) > 10
    assert {row["content"]: row["entries"] for row in found} == {
        row["content"]: entries.get(row["content"], 0) for row in found
    }
    assert {row["content"]: row["conversions_influenced"] for row in found} == {
        row["content"]: len(influenced[row["content"]]) for row in found
    }
    types = {row["content_type"] for row in rows(published, "from attribution.content_performance")}
    assert types >= {"blog", "landing page", "event", "webinar"}


def test_sales_and_offline_touches_have_channels_of_their_own(published: Connection) -> None:
    """Never Direct, and what the customer began is not outbound."""
    found = {
        (row["touchpoint_type"], row["direction"], row["channel"])
        for row in rows(
            published, "select distinct touchpoint_type, direction, channel from core.fct_touchpoints"
        )
    }
    assert ("crm_call", "inbound", "Inbound Sales") in found
    assert ("crm_call", "outbound", "Outbound Sales") in found
    sales = {
        (direction, channel) for kind, direction, channel in found if kind.startswith(("crm_", "social_"))
    }
    assert sales == {("inbound", "Inbound Sales"), ("outbound", "Outbound Sales")}
    offline = {"event", "webinar", "direct_mail", "partner_referral", "email_open", "email_click"}
    assert {kind for kind, _, _ in found} >= offline
    assert not any(channel == "Direct" for kind, _, channel in found if kind in offline)


def test_the_audit_of_tags_finds_what_the_company_does_wrong(published: Connection, sandbox: Sandbox) -> None:
    """Upper case as the company writes it, with what was meant; paid visits without spend."""
    audit = rows(published, "from trust.utm_audit")
    written = {row["written_value"] for row in audit if row["rule_id"] == "source_lower_case"}
    connection = duckdb.connect()
    connection.register("web_events", sandbox.company.tables["web_events"])
    as_company = {
        row["s"]
        for row in rows(
            connection,
            "select distinct utm_source as s from web_events where utm_source <> lower(utm_source)",
        )
    }
    assert written
    assert written <= as_company
    assert {row["finding"] for row in audit} >= {"naming_violation", "tagged_sessions_without_spend"}
    assert all(row["suggested_value"] for row in audit if row["rule_id"] == "source_lower_case")


def test_identity_report_adds_up(published: Connection) -> None:
    """By kind and in all: identifiers less merges are persons."""
    report = rows(published, "from trust.identity_quality")
    [total] = [row for row in report if row["identifier_kind"] == "(all)"]
    kinds = [row for row in report if row["identifier_kind"] != "(all)"]
    for column in ("identifiers", "merged_identifiers", "shared_identifiers"):
        assert sum(row[column] for row in kinds) == total[column] > 0
    assert total["identifiers"] - total["merged_identifiers"] == total["persons"]
