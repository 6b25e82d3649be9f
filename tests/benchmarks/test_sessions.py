"""Cutting millions of web events into sessions, and the same with little memory.

Beside it runs the shortest query that anybody would write for sessions on the same engine: a new session
after 30 minutes of silence, numbered per visitor, all columns kept. The project's model also cuts at new
campaigns, keeps tool-given session ids, reads campaign tags and click ids from URLs, names sessions by key,
and finds the person of each event. There is no target for that difference; it is stated.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from tests.benchmarks.harness import Row, measure, record
from tests.benchmarks.isolated import load, make_project, prepare_models
from tests.unit.dbt.project import Project, schema_of

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

EVENTS = int(os.environ.get("FUNNELHOUSE_BENCH_EVENTS", "10_000_000"))
MANY_EVENTS = int(os.environ.get("FUNNELHOUSE_BENCH_MANY_EVENTS", "50_000_000"))
MODEL = "int_web_events_sessionized"
INPUTS = {
    "int_web_events_unioned": "intermediate",
    "int_identity_map": "intermediate",
    "int_changed_visitors": "intermediate",
    "int_session_candidates": "intermediate",
}
PLAIN = """
create or replace table bench.plain as
with gaps as (
    select
        *,
        lag(occurred_at) over (partition by anonymous_id order by occurred_at, event_id) as previous_at
    from bench.int_web_events_unioned
)
select
    * exclude (previous_at),
    anonymous_id || '-' || sum(case when occurred_at - previous_at <= interval 30 minutes then 0 else 1 end)
        over (partition by anonymous_id order by occurred_at, event_id rows unbounded preceding)
        as session_key
from gaps
"""


def make_events(warehouse: Path, events: int) -> None:
    """Visits of five events by one cookie in four visits, every third visit tagged; in order of time."""
    made = {
        "source_relation": "'web:main:1'",
        "event_id": "md5('e' || i)",
        "occurred_at": "timestamp '2026-01-01' + to_milliseconds((i // 5 * 5000 + i % 5 * 70000)::bigint)",
        "anonymous_id": f"md5('c' || hash(i // 5) % {max(events // 20, 1)})",
        "event_name": "case i % 5 when 0 then 'session_start' when 4 then 'view_item' else 'page_view' end",
        "page_url": "'https://shop.fixture.nl/p' || (i % 997) || case when i % 15 = 0"
        " then '?utm_source=google&utm_medium=cpc&utm_campaign=c' || (i % 40) else '' end",
        "utm_source": "case when i % 15 = 0 then 'google' end",
        "utm_medium": "case when i % 15 = 0 then 'cpc' end",
        "utm_campaign": "case when i % 15 = 0 then 'c' || (i % 40) end",
        "country": "'NL'",
        "device_category": "'mobile'",
        "consent_analytics": "'granted'",
        "is_bot": "false",
    }
    types = {"string": "varchar", "bool": "boolean", "timestamp[us]": "timestamp", "date32[day]": "date"}
    columns = []
    for field in schema_of("web_events"):
        kind = str(field.type)
        kind = "decimal(19, 4)" if kind.startswith("decimal") else types.get(kind, kind)
        columns.append(f"cast({made.get(field.name, 'null')} as {kind}) as {field.name}")
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute(
            "set timezone = 'UTC'; set memory_limit = '8GB'; create schema if not exists bench"
        )
        connection.execute(
            "create or replace table bench.int_web_events_unioned as"
            f" select {', '.join(columns)} from range({events}) as t(i)"
        )
        connection.execute(
            """
            create or replace table bench.int_identity_map as
            select
                'cookie:web:main:1' as identifier_type, 'cookie' as identifier_kind,
                anonymous_id as identifier, source_relation, md5(anonymous_id) as person_id,
                false as is_shared
            from bench.int_web_events_unioned
            group by source_relation, anonymous_id
            """
        )
        for name in ("int_changed_visitors", "int_session_candidates"):  # a full run reads neither
            connection.execute(
                f"create or replace table bench.{name} as"
                " select '' as source_relation, '' as anonymous_id where false"
            )


def prepare_plain(folder: str) -> Callable[[], None]:
    """The plain query, on the same engine with the same settings."""
    connection = duckdb.connect(f"{folder}/w.duckdb")
    connection.execute("set timezone = 'UTC'; set memory_limit = '8GB'")

    def run() -> None:
        connection.execute(PLAIN)

    return run


def _project(folder: Path, events: int) -> Project:
    project = make_project(folder, (f"intermediate/web/{MODEL}.sql",), INPUTS)
    make_events(project.warehouse, events)
    load(project, INPUTS, seeds=("click_id_types",))
    return project


def test_sessions(tmp_path: Path) -> None:
    project = _project(tmp_path / "project", EVENTS)
    plain = measure(prepare_plain, str(project.folder))
    ours = measure(prepare_models, str(project.folder), (MODEL,))
    [(events, sessions)] = project.rows(
        f"select count(*), count(distinct session_id) from intermediate.{MODEL}"
    )
    [(cut_by_silence,)] = project.rows("select count(distinct session_key) from bench.plain")
    assert events == EVENTS
    assert cut_by_silence <= sessions <= EVENTS
    record(
        Row(
            "sessions 1",
            f"sessions of {EVENTS / 1e6:g} M web events: CPU over the plain query with a 30-minute gap",
            f"{ours.cpu_seconds:.1f} s CPU, {ours.peak_mb:,.0f} MB",
            f"{plain.cpu_seconds:.1f} s CPU, {plain.peak_mb:,.0f} MB",
            ours.cpu_seconds / plain.cpu_seconds,
            note="ours also cuts at campaigns, reads URLs, keys sessions and finds persons",
        )
    )


def test_two_gigabytes_are_enough(tmp_path: Path) -> None:
    project = _project(tmp_path / "project", MANY_EVENTS)
    # The machine's memory is the limit of the other side; each starts with a cold process and a warm disk.
    free = measure(prepare_models, str(project.folder), (MODEL,), "16GB", warm=0)
    tight = measure(prepare_models, str(project.folder), (MODEL,), "2GB", warm=0)
    assert project.rows(f"select count(*) from intermediate.{MODEL}") == [(MANY_EVENTS,)]
    record(
        Row(
            "memory 1 sessions",
            f"sessions of {MANY_EVENTS / 1e6:g} M web events with memory_limit 2 GB: CPU over no such limit",
            f"{tight.cpu_seconds:.0f} s CPU, {tight.wall_seconds:.0f} s, {tight.peak_mb:,.0f} MB",
            f"{free.cpu_seconds:.0f} s CPU, {free.wall_seconds:.0f} s, {free.peak_mb:,.0f} MB",
            tight.cpu_seconds / free.cpu_seconds,
            target=1.3,
            note=f"wall time {tight.wall_seconds / free.wall_seconds:.2f}x",
        )
    )
