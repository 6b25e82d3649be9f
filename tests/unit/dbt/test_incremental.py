"""Days run one by one equal one run at the end, table by table, failures in between included."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tests.unit.dbt.project import Project
from tests.unit.dbt.world import World, load_id

if TYPE_CHECKING:
    from pathlib import Path

# Change sets hold their history, redirects are a log, and candidates are one run's part.
HISTORY = (
    "int_identity_redirects",
    "int_identity_records",
    "int_identity_links",
    "int_identity_components",
    "int_identity_candidates",
    "int_session_candidates",
)
DAYS = 4


def _as_of(day: int) -> datetime:
    return datetime(2026, 6, 2, 3) + timedelta(days=day)


def _tables(project: Project) -> list[str]:
    return [
        row[0]
        for row in project.rows(
            "select table_schema || '.' || table_name from information_schema.tables "
            "where table_schema in ('core', 'intermediate') and table_type = 'BASE TABLE' order by 1"
        )
        if not row[0].split(".")[1].startswith(("int_changed_", *HISTORY))
    ]


def test_days_one_by_one_equal_a_rebuild(tmp_path: Path) -> None:
    """Late, changed and vanished rows, merges, restated spend, withdrawn consent; one run dies half-way."""
    world = World(seed=11, days=DAYS, people=24)
    stepwise, rebuilt = Project(tmp_path / "stepwise"), Project(tmp_path / "rebuilt")
    for day in range(DAYS):
        stepwise.write(world.tables(day), _as_of(day), load_id(day - 1) if day else "")
        if day == 0:
            stepwise.dbt("seed")
        if day == 2:  # killed after the unions and the identity map: the next run has the same mark
            stepwise.dbt("run", "-s", "+int_identity_map")
        stepwise.dbt("run")
    rebuilt.write(world.tables(DAYS - 1), _as_of(DAYS - 1), "")
    rebuilt.dbt("seed")
    rebuilt.dbt("run")

    tables = _tables(rebuilt)
    assert {"core.fct_touchpoints", "core.fct_sessions", "intermediate.int_identity_map"} <= set(tables)
    assert rebuilt.rows("select count(*) > 100 from core.fct_touchpoints") == [(True,)]
    different = [table for table in tables if stepwise.content(table) != rebuilt.content(table)]
    assert different == []

    before = {table: stepwise.content(table) for table in tables}
    stepwise.write(world.tables(DAYS - 1), _as_of(DAYS - 1), load_id(DAYS - 1))
    stepwise.dbt("run")
    assert {
        table: stepwise.content(table) for table in tables
    } == before  # the same run twice changes nothing
    assert stepwise.rows("select count(*) from intermediate.int_changed_persons") == [(0,)]
    assert stepwise.rows("select count(*) from intermediate.int_changed_touchpoints") == [(0,)]
