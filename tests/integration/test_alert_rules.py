"""The rules of alerts.yml on the published file: each can be asked, and finds what the marts hold."""

from __future__ import annotations

import duckdb

from orchestration import alerts
from tests.integration.conftest import Built
from tests.integration.support import rows


def test_every_rule_is_asked_and_finds_what_the_marts_hold(
    built: Built, published: duckdb.DuckDBPyConnection
) -> None:
    rules = alerts.read_rules(built.paths)
    found = alerts.look(built.paths, rules, {})
    assert found.problems == []
    assert found.rules == set(rules.rules) - {"run_failed", "check_failed"}

    def counted(sql: str) -> int:
        return int(rows(published, f"select count(*) as n from {sql}")[0]["n"])

    def told(rule: str) -> int:
        return sum(len(trouble.members) for trouble in found.troubles.values() if trouble.rule == rule)

    assert told("source_stale") == counted("trust.data_freshness where is_stale")
    leads = told("leads_needing_attention")
    assert leads == counted(
        "funnel.leads_needing_attention"
        " where reason in ('sla_breached', 'hot_without_activity', 'past_close_date')"
    )
    assert leads > 0
    assert told("stage_target_missed") == counted(
        "funnel.funnel_bottlenecks where segment = 'all' and conversion_rate < target and is_beyond_chance"
    )
    missed = [trouble for trouble in found.troubles.values() if trouble.rule == "quota_missed"]
    complete = rows(
        published,
        "select metric, holder_name, attainment from funnel.quota_attainment as all_of_them"
        " where is_complete and period_grain = 'month' and holder_type <> 'owner' and attainment < 0.9"
        " and period_start = (select max(period_start) from funnel.quota_attainment"
        "   where is_complete and period_grain = 'month')",
    )
    assert complete
    assert {trouble.subject for trouble in missed if trouble.subject.endswith("(month)")} == {
        f"{row['metric'].replace('_', ' ')} of {row['holder_name']} (month)" for row in complete
    }
    owners = {row["owner_name"] for row in rows(published, "select owner_name from core.dim_owners")}
    said = " ".join(trouble.line() for trouble in found.troubles.values())
    assert not [name for name in owners if name in said]  # no person is named
