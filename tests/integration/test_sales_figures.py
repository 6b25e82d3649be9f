"""The pipeline and its waterfall, against a replay of the company's records without the project's SQL."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from tests.integration.conftest import LAST_DAY, Sandbox

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
TODAY = dt.date(2026, 7, 1)
FOLLOWED = ("stage", "amount", "close_date", "closed_at", "owner_id")
OWNERS_NL = {"70000011", "70000012", "70000013"}
LINES = (
    "created",
    "reopened",
    "pulled_in",
    "increased",
    "decreased",
    "pushed_out",
    "lost",
    "won",
    "removed",
)


@dataclass(frozen=True)
class State:
    """A deal from one moment on."""

    at: dt.datetime
    stage: str = ""
    amount: Decimal = Decimal(0)
    close_date: dt.date = dt.date.max

    @property
    def is_open(self) -> bool:
        return self.stage not in ("", "closedwon", "closedlost", "removed")

    @property
    def day(self) -> dt.date:
        return local_day(self.at)


@dataclass
class Deal:
    """A deal as the CRM's records tell it."""

    key: str
    currency: str = ""
    kind: str = ""
    owners: set[str] = field(default_factory=set)
    states: list[State] = field(default_factory=list)


def local_day(moment: dt.datetime) -> dt.date:
    return moment.replace(tzinfo=dt.UTC).astimezone(AMSTERDAM).date()


def milliseconds(moment: dt.datetime) -> dt.datetime:
    """What the CRM's API gives of a moment."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@pytest.fixture(scope="module")
def deals(sandbox: Sandbox) -> list[Deal]:
    """Every deal that was not merged away, with its states in time order."""
    changes: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in sandbox.company.tables["crm_property_history"].to_pylist():
        if row["object_type"] == "deal" and row["changed_at"] <= LAST_DAY:
            changes[row["object_id"]].append(row)
    found = []
    for thing in sandbox.company.tables["crm_objects"].to_pylist():
        is_merged = thing["merged_at"] is not None and thing["merged_at"] <= LAST_DAY
        if thing["object_type"] == "deal" and thing["created_at"] <= LAST_DAY and not is_merged:
            found.append(_replayed(thing, changes[thing["object_id"]]))
    return found


def _replayed(thing: dict[str, Any], changes: list[dict[str, Any]]) -> Deal:
    deal = Deal(thing["object_id"])
    state = State(milliseconds(thing["created_at"]))
    for at, together in groupby(changes, key=lambda row: milliseconds(row["changed_at"])):
        state = replace(state, at=at)
        touched = False
        for row in together:
            name, value = row["property"], row["value"]
            touched |= name in FOLLOWED
            if name == "currency":
                deal.currency = value
            elif name == "opportunity_type":
                deal.kind = value
            elif name == "owner_id":
                deal.owners.add(value)
            elif name == "stage":
                state = replace(state, stage=value)
            elif name == "amount":
                state = replace(state, amount=Decimal(value or 0))
            elif name in ("close_date", "closed_at") and value:  # the vendor keeps both in one property
                state = replace(state, close_date=dt.date.fromisoformat(value[:10]))
        if touched:
            deal.states.append(state)
    deleted_at = thing["deleted_at"]
    if deleted_at is not None and deleted_at <= LAST_DAY:
        deal.states = [known for known in deal.states if known.at < deleted_at]
        deal.states.append(replace(deal.states[-1], at=deleted_at, stage="removed"))
    return deal


def _days(first: dt.date, last: dt.date) -> Iterator[dt.date]:
    while first <= last:
        yield first
        first += dt.timedelta(days=1)


def test_the_open_pipeline_of_every_day(published: duckdb.DuckDBPyConnection, deals: list[Deal]) -> None:
    replayed: dict[tuple[dt.date, str], tuple[int, Decimal]] = {}
    for deal in deals:
        for state, following in zip(deal.states, [*deal.states[1:], None], strict=True):
            last = TODAY if following is None else following.day - dt.timedelta(days=1)
            for day in _days(state.day, last) if state.is_open else ():
                count, amount = replayed.get((day, deal.currency), (0, Decimal(0)))
                replayed[(day, deal.currency)] = (count + 1, amount + state.amount)
    found = published.execute(
        "select date, currency_original, count(*), coalesce(sum(amount_original), 0)"
        " from funnel.fct_pipeline_daily group by all"
    ).fetchall()
    assert len(found) > 300
    assert {(day, currency): (count, amount) for day, currency, count, amount in found} == replayed


@pytest.mark.parametrize("scope", ["all_open", "closing_in_period"])
def test_the_waterfall_of_every_month(
    published: duckdb.DuckDBPyConnection, deals: list[Deal], scope: str
) -> None:
    """New business of the Dutch owners: in euros, so that no exchange rate is needed."""
    mine = [deal for deal in deals if deal.currency == "EUR" and deal.owners <= OWNERS_NL]
    assert {deal.kind for deal in mine} == {"new_business"}
    assert not any(deal.owners & OWNERS_NL for deal in deals if deal not in mine)
    replayed: dict[dt.date, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for deal in mine:
        before = State(dt.datetime.min)
        for number, after in enumerate(deal.states):
            month = after.day.replace(day=1)
            end = (month + dt.timedelta(days=31)).replace(day=1) - dt.timedelta(days=1)
            for line, amount in _lines(before, after, number == 0, end if scope != "all_open" else None):
                replayed[month][line] += amount
            before = after
    found = published.execute(
        f"""
        select period_start, {", ".join(f"sum({line}_amount)" for line in LINES)}
        from funnel.pipeline_waterfall
        inner join core.dim_owners on pipeline_waterfall.segment_value = dim_owners.owner_id
        where period_grain = 'month' and segment = 'owner' and pipeline_scope = ?
            and dim_owners.source_record_id in {tuple(sorted(OWNERS_NL))}
        group by period_start
        """,
        [scope],
    ).fetchall()
    published_lines = {month: dict(zip(LINES, amounts, strict=True)) for month, *amounts in found}
    assert sum(sum(lines.values()) for lines in replayed.values()) > 0
    expected = {month: {line: lines[line] for line in LINES} for month, lines in replayed.items()}
    assert {month: lines for month, lines in published_lines.items() if any(lines.values())} == {
        month: lines for month, lines in expected.items() if any(lines.values())
    }


def _lines(before: State, after: State, is_first: bool, end: dt.date | None) -> Iterator[tuple[str, Decimal]]:
    """What one change means for the deals due by `end` (None: for all)."""

    def due(day: dt.date) -> bool:
        return end is None or day <= end

    closes_on = min(after.close_date, after.day) if after.stage == "closedwon" else after.close_date
    if before.is_open:
        if due(before.close_date):
            yield "increased", max(after.amount - before.amount, Decimal(0))
            yield "decreased", max(before.amount - after.amount, Decimal(0))
        if due(before.close_date) != due(closes_on):
            yield "pulled_in" if due(closes_on) else "pushed_out", after.amount
        if not after.is_open and due(closes_on):
            line = {"closedwon": "won", "closedlost": "lost", "removed": "removed"}[after.stage]
            yield line, after.amount
    elif after.is_open and due(after.close_date):
        yield "created" if is_first else "reopened", after.amount
