"""A long history of web events, made by SQL straight into the raw tables, and one more day after it.

What belongs here: the input of the daily run's benchmarks, and one run over it. Everything follows from the
number of the day and of the visit, so that the same day is the same whatever history lies before it. A day
has 50,000 events in visits of ten; six visits in ten are by new cookies, the rest by cookies of the last 15
days, one in forty by one of the last year; every second cookie is the second device of a person, who logs in
now and then; tagged and untagged, with purchases. Each day is one slice; the whole history is one load, each
further day another.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingestion.registry import system
from ingestion.settings import Paths
from ingestion.warehouse import connect
from orchestration import ledger, transform

RELATION = "ga4:main:1"
FIRST_DAY = dt.date(2019, 1, 1)
EVENTS_PER_DAY = 50_000
EVENTS_PER_VISIT = 10
SYSTEMS = [
    {
        "system": "ga4",
        "connection": "main",
        "accounts": ["1"],
        "entities": ["web_events", "control_totals", "quarantined_records"],
    }
]
PATH = ("fct_attribution", "fct_touchpoints", "dim_persons")  # the ends of the event-grain path
EVENT_NAMES = (
    "session_start",
    "page_view",
    "page_view",
    "view_item",
    "page_view",
    "page_view",
    "page_view",
    "page_view",
    "page_view",
    "page_view",
)


@dataclass(frozen=True)
class Run:
    """One build of a data folder: seconds of the whole, of each node by name, of the event-grain path."""

    wall_seconds: float
    is_full_refresh: bool
    nodes: dict[str, float]
    path: dict[str, float]

    @property
    def path_seconds(self) -> float:
        return sum(self.path.values())


def folder(path: Path) -> Paths:
    """An empty data folder with the one system and its empty raw tables."""
    paths = Paths(path).create()
    (path / "settings.json").write_text(json.dumps({"systems": SYSTEMS}), encoding="utf-8")
    con = connect(paths)
    con.execute("create schema raw_ga4")
    for table in system("ga4").tables:
        con.register("empty", table.schema.empty_table())
        con.execute(f"create table raw_ga4.{table.name} as select *, '' as _dlt_load_id from empty")
        con.unregister("empty")
    con.execute(
        "create table raw_ga4._slices (source_relation varchar, resource varchar, slice varchar,"
        " row_count bigint, checksum varchar, _dlt_load_id varchar);"
        " create table raw_ga4._quarantine (quarantine_id varchar, source_relation varchar, resource varchar,"
        " reason varchar, payload varchar, _slice varchar, _line bigint, first_seen_at timestamp,"
        " last_seen_at timestamp, _dlt_load_id varchar)"
    )
    con.close()
    return paths


def load_days(paths: Paths, first: int, last: int, load: int) -> None:
    """Write the days first <= day < last as one load; days that are there already are replaced."""
    con = connect(paths)
    columns = [
        name
        for (name,) in con.execute(
            "select column_name from information_schema.columns where table_schema = 'raw_ga4'"
            " and table_name = 'events' order by ordinal_position"
        ).fetchall()
    ]
    load_id = f"17{load:08d}.0"
    visits = EVENTS_PER_DAY // EVENTS_PER_VISIT
    known = {
        "event_id": "md5(visit || ':' || n)",
        "file_date": "day",
        "event_date": "day",
        "occurred_at": "started_at + to_seconds(n * 20)",
        "event_name": f"""case
            when n = 2 and roll % 100 < 12 then 'login'
            when n = 5 and roll % 100 between 3 and 9 then 'add_to_cart'
            when n = 6 and roll % 100 between 3 and 7 then 'begin_checkout'
            when n = 8 and roll % 100 between 3 and 5 then 'purchase'
            else (['{"', '".join(EVENT_NAMES)}'])[n + 1] end""",
        "client_id": "cookie || '.c'",
        "user_id": "case when roll % 100 < 12 and n >= 2 then 'u' || (cookie // 2) end",
        "page_location": """'https://shop.example/'
            || (['', 'lamps', 'chairs', 'blog/guide', 'cart'])[1 + roll % 5]
            || case when n = 0 and tag % 10 < 3
                then '?utm_source=google&utm_medium=cpc&utm_campaign=c' || (tag % 12) else '' end""",
        "page_referrer": """case when n = 0 then (['https://www.google.com/', 'https://t.co/', null,
            'https://news.example.org/a', null])[1 + tag % 5] end""",
        "ga_session_id": "cast(visit as varchar)",
        "device_category": "(['mobile', 'desktop', 'tablet'])[1 + roll % 3]",
        "country": "(['Netherlands', 'Germany', 'Sweden'])[1 + roll % 3]",
        "analytics_storage": "'Yes'",
        "ads_storage": "'Yes'",
        "manual_source": "case when n = 0 and tag % 10 = 4 then 'newsletter' end",
        "manual_medium": "case when n = 0 and tag % 10 = 4 then 'email' end",
        "transaction_id": "case when n = 8 and roll % 100 between 3 and 5 then 'o' || visit end",
        "purchase_revenue": "case when n = 8 and roll % 100 between 3 and 5 then 20 + roll % 90 end",
        "currency": "case when n = 8 and roll % 100 between 3 and 5 then 'EUR' end",
        "event_params": "'{}'",
        "platform": "'WEB'",
        "source_relation": f"'{RELATION}'",
        "_slice": "cast(day as varchar)",
        "_dlt_load_id": f"'{load_id}'",
    }
    chosen = ", ".join(f'{known.get(name, "null")} as "{name}"' for name in columns)
    con.execute(f"delete from raw_ga4.events where _slice >= '{_date(first)}' and _slice < '{_date(last)}'")
    for start in range(first, last, 20):  # in time order, a few days at a time
        days = f"range({start}, {min(last, start + 20)})"
        con.execute(
            f"""
            insert into raw_ga4.events
            with visits as (
                select
                    d.range as number,
                    date '{FIRST_DAY}' + cast(d.range as integer) as day,
                    d.range * {visits} + s.range as visit,
                    cast(hash(d.range * {visits} + s.range, 1) % 1000000 as bigint) as roll,
                    cast(hash(d.range * {visits} + s.range, 2) % 1000000 as bigint) as tag,
                    cast(hash(d.range * {visits} + s.range, 3) % 1000000 as bigint) as who
                from {days} as d, range(0, {visits}) as s
            ),
            placed as (
                select
                    *,
                    cast(day as timestamp) + to_seconds((visit % {visits}) * 86000 // {visits}) as started_at,
                    case
                        when who % 10 < 6 or age > number then visit
                        else (number - age) * {visits} + who * 7 % {visits}
                    end as cookie
                from (
                    select *, who % (case when who % 40 = 9 then 365 else 15 end) as age from visits
                ) as aged
            )
            select {chosen} from placed, range(0, {EVENTS_PER_VISIT}) as events(n)
            order by occurred_at
            """
        )
    con.execute(
        f"delete from raw_ga4._slices where slice >= '{_date(first)}' and slice < '{_date(last)}';"
        " insert into raw_ga4._slices select source_relation, 'events', _slice, count(*), max(_dlt_load_id),"
        f" max(_dlt_load_id) from raw_ga4.events where _slice >= '{_date(first)}'"
        f" and _slice < '{_date(last)}' group by source_relation, _slice"
    )
    con.execute("checkpoint")
    con.close()


def run(paths: Paths, day: int, *, full_refresh: bool = False) -> Run:
    """One build as of the night after `day`, marked as published; nothing is copied, no test is run."""
    con = connect(paths)
    moment = dt.datetime.combine(FIRST_DAY + dt.timedelta(days=day + 1), dt.time(3))
    started = ledger.begin_build(con, f"day {day}", moment, transform.settings_hash(paths), full_refresh)
    con.close()
    transform.prepare(paths)
    built = transform.build(paths, full_refresh=started.is_full_refresh, tests=False)
    built.raise_on_failure()
    con = connect(paths)
    ledger.mark_passed(con, started)
    ledger.mark_published(con, started)
    con.close()
    results = json.loads((transform.target_path(paths) / "run_results.json").read_text())["results"]
    nodes = {entry["unique_id"].split(".", 2)[2]: entry["execution_time"] for entry in results}
    path = _upstream(json.loads(transform.manifest_path(paths).read_text())["parent_map"])
    return Run(
        built.seconds,
        started.is_full_refresh,
        nodes,
        {name: seconds for name, seconds in nodes.items() if name in path},
    )


def _upstream(parents: dict[str, list[str]]) -> set[str]:
    """The names of the path's ends and of all that they read."""
    left = [node for node in parents if node.split(".")[-1] in PATH]
    found = set()
    while left:
        node = left.pop()
        if node not in found:
            found.add(node)
            left += parents.get(node, [])
    return {node.split(".", 2)[2] for node in found}


def differing_tables(left: Paths, right: Paths, schemas: tuple[str, ...]) -> list[str]:
    """The tables in which two warehouses differ, load ids and batch marks aside."""
    import duckdb

    con: Any = duckdb.connect()
    con.execute(f"attach '{left.warehouse}' as l (read_only)")
    con.execute(f"attach '{right.warehouse}' as r (read_only)")
    wanted = ", ".join(f"'{schema}'" for schema in schemas)
    found = []
    for schema, table in con.execute(
        "select table_schema, table_name from information_schema.tables where table_catalog = 'l'"
        f" and table_schema in ({wanted}) and table_type = 'BASE TABLE' order by 1, 2"
    ).fetchall():
        columns = ", ".join(
            f"round({name}, 9) as {name}" if kind == "DOUBLE" else f'"{name}"'
            for name, kind in con.execute(
                "select column_name, data_type from information_schema.columns where table_catalog = 'l'"
                " and table_schema = ? and table_name = ? order by 1",
                [schema, table],
            ).fetchall()
            if name not in ("_load_id", "batch_mark", "latest_load_id")
        )
        sides = [f"select {columns} from {side}.{schema}.{table}" for side in ("l", "r")]
        [(count,)] = con.execute(
            f"select count(*) from (({sides[0]} except all {sides[1]})"
            f" union all ({sides[1]} except all {sides[0]}))"
        ).fetchall()
        if count:
            found.append(f"{schema}.{table}: {count}")
    return found


def _date(number: int) -> str:
    return (FIRST_DAY + dt.timedelta(days=number)).isoformat()
