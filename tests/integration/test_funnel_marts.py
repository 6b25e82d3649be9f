"""The funnel's marts on the built warehouse, held against plain counting in Python."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import duckdb

from tests.integration.conftest import Built

NEVER = datetime.max


def test_conversion_equals_plain_counting(published: duckdb.DuckDBPyConnection) -> None:
    """Every stage of every funnel: units, advances (within 30 and 90 days) and losses, one by one."""
    entries = published.execute(
        """
        select funnel, stage, stage_order, subject, subject_id, account_unit_id, counting_unit,
            counting_unit_id, entered_at, is_subject_lost
        from funnel.fct_funnel_stage_entries
        """
    ).fetchall()
    first: dict[tuple[str, str, str], tuple[datetime, int, str]] = {}
    lost: dict[tuple[str, str, str], bool] = defaultdict(lambda: True)
    reached: dict[tuple[str, str, str], list[tuple[int, datetime]]] = defaultdict(list)
    for row in entries:
        funnel, stage, order, subject, subject_id, account_unit, unit_kind, unit, at, is_lost = row
        key = (funnel, stage, unit)
        first[key] = min(first.get(key, (NEVER, order, unit_kind)), (at, order, unit_kind))
        lost[key] &= is_lost
        reached[funnel, subject, subject_id].append((order, at))
        reached[funnel, "account", account_unit].append((order, at))
    counted: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * 5)
    for (funnel, stage, unit), (at, order, unit_kind) in first.items():
        later = [when for place, when in reached[funnel, unit_kind, unit] if place > order and when >= at]
        waited = min(later) - at if later else None
        counts = counted[funnel, stage]
        counts[0] += 1
        counts[1] += waited is not None
        counts[2] += waited is not None and waited <= timedelta(days=30)
        counts[3] += waited is not None and waited <= timedelta(days=90)
        counts[4] += waited is None and lost[funnel, stage, unit]
    for grain in ("week", "month", "fiscal_quarter"):
        reported = published.execute(
            """
            select funnel, stage, sum(entered), sum(advanced), sum(advanced_within_30d),
                sum(advanced_within_90d), sum(lost)
            from funnel.funnel_stage_conversion
            where period_grain = ? and segment = 'all'
            group by funnel, stage
            """,
            [grain],
        ).fetchall()
        assert {(row[0], row[1]): [int(value) for value in row[2:]] for row in reported} == counted
    assert {funnel for funnel, _ in counted} == {"b2b", "ecommerce", "saas"}


def test_every_movement_is_there_and_nothing_of_removed_records(built: Built) -> None:
    """Forward, skipped, regressed, re-entered and lost; no entry of a merged or deleted deal."""
    with duckdb.connect(str(built.paths.warehouse), read_only=True) as warehouse:
        movements = warehouse.execute(
            "select distinct movement from funnel.fct_funnel_stage_entries where movement is not null"
        ).fetchall()
        assert {row[0] for row in movements} == {"forward", "skipped", "regressed", "re_entered", "lost"}
        removed = "select removed_id from intermediate.int_crm_removals where object_type = 'opportunity'"
        [(merged_or_deleted,)] = warehouse.execute(f"select count(*) from ({removed})").fetchall()
        assert merged_or_deleted > 0
        for table, column in (
            ("fct_funnel_stage_entries", "subject_id"),
            ("leads_needing_attention", "subject_id"),
        ):
            assert (
                warehouse.execute(f"select * from funnel.{table} where {column} in ({removed})").fetchall()
                == []
            )


def test_attention_leads_to_a_record_and_a_reason(published: duckdb.DuckDBPyConnection) -> None:
    """Each row opens its record in the CRM; deals have owners; reasons hold since some time."""
    rows: list[tuple[Any, ...]] = published.execute(
        "select subject, reason, days_since, owner_id, crm_url from funnel.leads_needing_attention"
    ).fetchall()
    assert {"sla_breached", "past_close_date", "single_contact", "hot_without_activity"} <= {
        row[1] for row in rows
    }
    person, deal = r"/record/0-1/\d+|\.com/00[3Q]\w{15}", r"/record/0-3/\d+|\.com/006\w{15}"
    homes = set()
    for subject, _, days_since, owner_id, crm_url in rows:
        assert re.fullmatch(rf"https://[\w./-]+?({person if subject == 'person' else deal})", crm_url)
        homes.add(crm_url.split("/")[2])
        assert days_since >= 0
        assert subject == "person" or owner_id is not None
    assert len(homes) == 2, "records of both CRMs"


def test_the_worst_leak_is_worth_what_its_formula_says(published: duckdb.DuckDBPyConnection) -> None:
    """funnel_bottlenecks, recomputed from funnel_stage_conversion for the first rank of each funnel."""
    rows = published.execute(
        """
        select funnel, stage, first_cohort, last_cohort, cohort_months, benchmark, win_rate_from_next_stage,
            value_per_win, expected_wins_per_month, expected_value_per_month
        from funnel.funnel_bottlenecks where segment = 'all' and bottleneck_rank = 1 and win_stage is not null
        """
    ).fetchall()
    assert rows
    for funnel, stage, start, end, months, benchmark, win_rate, value, wins, worth in rows:
        [(entered, advanced)] = published.execute(
            """
            select sum(entered), sum(advanced) from funnel.funnel_stage_conversion
            where segment = 'all' and period_grain = 'month' and is_mature and funnel = ? and stage = ?
                and period_start between ? and ?
            """,
            [funnel, stage, start, end],
        ).fetchall()
        expected = max(benchmark - int(advanced) / int(entered), 0) * int(entered) / months * win_rate
        assert abs(wins - expected) < 1e-9
        assert abs(float(worth) - expected * float(value)) < 0.01
