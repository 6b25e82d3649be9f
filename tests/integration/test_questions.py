"""The Monday test: docs/questions.md asks 25 questions, each answered by one query on one published table."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.integration.support import tables

PAGE = Path(__file__).resolve().parents[2] / "docs" / "questions.md"
ASKERS = {"The head of marketing", "The head of sales", "The head of finance"}
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Question:
    """One question as the page has it."""

    asker: str
    number: int
    text: str
    name: str
    sql: str

    @property
    def asked_of(self) -> set[str]:
        """The tables that the query reads."""
        return set(re.findall(r"\b(?:from|join)\s+(\w+\.\w+)", self.sql))


def read(page: str) -> list[Question]:
    """The questions of a page: `## asker`, `### n. text`, a fenced query that begins with its name."""
    found = []
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        asker, _, body = section.partition("\n")
        for entry in re.split(r"^### ", body, flags=re.MULTILINE)[1:]:
            heading, _, rest = entry.partition("\n")
            number, _, text = heading.partition(". ")
            queries = re.findall(r"^```sql\n-- name: (\w+)\n(.+?)^```", rest, flags=re.MULTILINE | re.DOTALL)
            assert len(queries) == 1, heading
            found.append(Question(asker.strip(), int(number), text.strip(), *queries[0]))
    return found


QUESTIONS = read(PAGE.read_text(encoding="utf-8"))


def test_the_page_asks_twenty_five_different_questions() -> None:
    assert [question.number for question in QUESTIONS] == list(range(1, 26))
    for field in ("text", "name"):
        assert len({getattr(question, field).lower() for question in QUESTIONS}) == 25
    assert len({" ".join(question.sql.lower().split()) for question in QUESTIONS}) == 25
    assert {question.asker for question in QUESTIONS} == ASKERS
    assert all(question.text.endswith("?") for question in QUESTIONS)
    assert set(PLAUSIBLE) == {question.name for question in QUESTIONS}


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_one_query_on_one_published_table_answers(
    question: Question, published: duckdb.DuckDBPyConnection
) -> None:
    assert len(question.asked_of) == 1
    assert question.asked_of <= set(tables(published))
    rows: Rows = published.sql(question.sql).to_arrow_table().to_pylist()
    assert rows, f"nobody can be told: {question.text}"
    assert len(rows) <= 60, "too long to read on a Monday"
    PLAUSIBLE[question.name](rows)


# ----------------------------------------------------------------------------- what a sound answer looks like
def add_up(row: dict[str, Any], plus: list[str], minus: list[str], total: str) -> None:
    assert sum(row[name] for name in plus) - sum(row[name] for name in minus) == row[total], row


def ordered(rows: Rows, name: str, *, falling: bool = True) -> None:
    values = [row[name] for row in rows if row[name] is not None]
    assert all((a >= b) if falling else (a <= b) for a, b in pairwise(values)), name


def share(value: float | None) -> bool:
    return value is None or 0 <= value <= 1


def against_plan(came: str, by: str) -> Callable[[Rows], None]:
    def check(rows: Rows) -> None:
        ordered(rows, by)
        for row in rows:
            assert row["planned"] > 0
            assert row["gap"] == row["planned"] - row[came]
            assert row["attainment"] == pytest.approx(float(row[came]) / float(row["planned"]))
        assert any(row[came] > 0 for row in rows)

    return check


def cost_per_mql(rows: Rows) -> None:
    ordered(rows, "week")
    assert all(row["week"].isoweekday() == 1 for row in rows)
    assert any(row["mqls"] > 0 for row in rows)
    for row in rows:
        if row["mqls"]:
            assert row["cost_per_mql"] == pytest.approx(float(row["media_spend"]) / row["mqls"])
            assert row["loaded_cost_per_mql"] >= row["cost_per_mql"]


def on_budget(rows: Rows) -> None:
    assert {row["channel"] for row in rows} == {
        "Paid Search",
        "Paid Social",
        "Paid Video",
        "Display",
        "Cross-network",
    }
    for row in rows:
        assert 0 < row["expected_by_now"] <= row["budget"]
        assert row["projected_end"] >= row["spend_to_date"] >= 0
        assert row["projected_difference"] == row["projected_end"] - row["budget"]
        assert row["pace_status"] == (
            "over" if row["pace"] > 1.1 else "under" if row["pace"] < 0.9 else "on_track"
        )


def events(rows: Rows) -> None:
    ordered(rows, "pipeline")
    assert all(row["campaign_name"] and row["opportunities"] > 0 for row in rows)


def content(rows: Rows) -> None:
    ordered(rows, "pipeline")
    assert len({row["content"] for row in rows}) == len(rows)
    assert all(row["entries"] >= 0 and row["opportunities"] >= 0 for row in rows)
    assert any(row["pipeline"] > 0 for row in rows)


def tracking(rows: Rows) -> None:
    ordered(rows, "spend")
    assert {row["finding"] for row in rows} <= {
        "spend_without_tagged_sessions",
        "tagged_sessions_without_spend",
        "naming_violation",
    }
    assert all(row["message"] for row in rows)
    assert any(row["written_value"] and row["suggested_value"] for row in rows)


def complete(rows: Rows) -> None:
    assert {row["source_relation"].partition(":")[0] for row in rows} >= {
        "ga4",
        "google_ads",
        "hubspot",
        "salesforce",
        "files",
    }
    for row in rows:
        age = row["hours_since_latest_record"]
        assert row["records"] > 0
        assert row["is_stale"] == (age is not None and age > row["allowed_hours"])
    assert not any(row["is_stale"] for row in rows)


def price(rows: Rows) -> None:
    ordered(rows, "new_customers")
    assert all(row["loaded_cost"] >= row["media_spend"] for row in rows)
    paid = [row for row in rows if row["media_spend"] > 0]
    assert paid
    for row in paid:
        assert float(row["cac_loaded"]) == pytest.approx(
            float(row["loaded_cost"]) / row["new_customers"], abs=1e-4
        )


def claims(rows: Rows) -> None:
    ordered(rows, "claimed")
    assert {row["channel"] for row in rows} >= {"Paid Search", "Paid Social"}
    assert sum(row["claimed"] for row in rows) > sum(row["credited"] for row in rows)


def leak(rows: Rows) -> None:
    ordered(rows, "expected_value_per_month")
    for row in rows:
        assert row["conversion_rate"] < row["benchmark"] <= 1


def forecast(rows: Rows) -> None:
    ordered(rows, "period_start", falling=False)
    for row in rows:
        assert row["won_to_date"] <= row["expected_low"] <= row["expected_amount"] <= row["expected_high"]
    assert any(row["expected_amount"] > 0 for row in rows)


def coverage(rows: Rows) -> None:
    assert {row["holder_type"] for row in rows} == {"all", "team"}
    for row in rows:
        assert row["remaining_quota"] == row["quota"] - row["won_to_date"]
        if row["coverage"] is not None:
            assert row["coverage"] == pytest.approx(float(row["open_amount"]) / float(row["remaining_quota"]))
            assert row["weighted_coverage"] <= row["coverage"]


def behind(rows: Rows) -> None:
    ordered(rows, "attainment", falling=False)
    assert len({row["holder_name"] for row in rows}) == len(rows) >= 6
    assert all(row["is_behind"] == (row["attainment"] < row["elapsed_share"]) for row in rows)


def moved(rows: Rows) -> None:
    plus = ["start_amount", "created_amount", "reopened_amount", "increased_amount", "exchange_effect_amount"]
    minus = ["decreased_amount", "lost_amount", "won_amount", "removed_amount"]
    add_up(rows[0], plus, minus, "end_amount")
    assert rows[0]["end_amount"] > 0


def stuck(rows: Rows) -> None:
    ordered(rows, "amount")
    for row in rows:
        assert all(row[name] for name in ("owner_name", "reason", "stage", "since")), row


def in_time(rows: Rows) -> None:
    ordered(rows, "week")
    for row in rows:
        assert row["accepted"] + row["rejected"] + row["recycled"] <= row["passed"]
        assert share(row["sla_rate"])
    assert any(row["median_speed_to_lead_hours"] is not None for row in rows)


def losses(rows: Rows) -> None:
    ordered(rows, "deals")
    assert len({row["reason"] for row in rows}) == len(rows) >= 2
    assert all(row["deals"] > 0 and row["amount"] > 0 for row in rows)


def cycle(rows: Rows) -> None:
    assert {row["outcome"] for row in rows} == {"won", "lost"}
    for row in rows:
        assert 0 <= row["median_days_from_creation"] <= row["p90_days_from_creation"] < 400


def call(rows: Rows) -> None:
    ordered(rows, "lead_score")
    assert rows[0]["lead_score"] > 0
    assert all(row["lead_score"] == row["fit_score"] + row["engagement_score"] for row in rows)
    assert rows[0]["reasons"] != "[]"


def payback(rows: Rows) -> None:
    ordered(rows, "is_mature")
    assert all(row["payback_months"] > 0 and row["new_customers"] > 0 for row in rows)


def retention(rows: Rows) -> None:
    ordered(rows, "month")
    for row in rows:
        net, gross = row["net_revenue_retention"], row["gross_revenue_retention"]
        if gross is not None:
            assert 0 <= gross <= 1
            assert gross <= net < 2
    assert any(row["closing_mrr"] > 0 for row in rows)


def renewals(rows: Rows) -> None:
    ordered(rows, "due_on", falling=False)
    assert all(row["amount_due"] >= 0 for row in rows)


def mrr(rows: Rows) -> None:
    ordered(rows, "month")
    plus = ["opening_mrr", "new_mrr", "expansion_mrr", "reactivation_mrr", "contraction_mrr", "churned_mrr"]
    for row in rows:
        add_up(row, plus, [], "closing_mrr")
    for later, earlier in pairwise(rows):
        assert later["opening_mrr"] == earlier["closing_mrr"]


def lifetime(rows: Rows) -> None:
    ordered(rows, "customers")
    assert all(row["expected_value"] >= 0 for row in rows)
    assert {row["value_basis"] for row in rows} <= {"gross_margin", "revenue"}


PLAUSIBLE: dict[str, Callable[[Rows], None]] = {
    "sourced_pipeline_against_plan": against_plan("sourced", "quarter"),
    "cost_per_mql_this_week": cost_per_mql,
    "on_budget": on_budget,
    "events_that_made_pipeline": events,
    "content_that_made_pipeline": content,
    "is_tracking_broken": tracking,
    "are_the_figures_complete": complete,
    "price_of_a_new_customer": price,
    "what_platforms_claim": claims,
    "worst_leak": leak,
    "will_we_make_the_quarter": forecast,
    "enough_pipeline": coverage,
    "who_is_behind_quota": behind,
    "what_moved_since_monday": moved,
    "stuck_deals": stuck,
    "leads_worked_in_time": in_time,
    "why_do_we_lose": losses,
    "how_long_to_win": cycle,
    "whom_to_call_first": call,
    "payback_by_channel": payback,
    "revenue_retention": retention,
    "renewals_due": renewals,
    "bookings_against_plan": against_plan("booked", "month"),
    "mrr_in_constant_currency": mrr,
    "lifetime_value_by_channel": lifetime,
}
