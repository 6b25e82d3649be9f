"""Helpers of the integration tests: a run on a simulated day, and the comparison of published files."""

from __future__ import annotations

import datetime as dt
import json
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb

from ingestion.settings import Paths
from orchestration.pipeline import Outcome, run_once

PUBLISHED_SCHEMAS = ("core", "attribution", "funnel", "retention", "trust")
# When a row was loaded is the one thing in which sixty runs and one run may differ.
LOAD_TIMES = {"latest_load_id"}


def set_clock(base_url: str, moment: dt.datetime) -> None:
    """Move the sandbox's clock."""
    request = urllib.request.Request(
        f"{base_url}/_sandbox/clock",
        data=json.dumps({"as_of": moment.isoformat() + "Z"}).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200


ABOUT_THE_RUN = ("check_results",)  # a run without audits has none


def run_day(paths: Paths, moment: dt.datetime, *, tests: bool, full_refresh: bool | None = None) -> Outcome:
    """One run of the whole line, as of a moment."""
    return run_once(paths, as_of=moment, full_refresh=full_refresh, run_tests=tests)


def tables(connection: duckdb.DuckDBPyConnection, schemas: Iterable[str] = PUBLISHED_SCHEMAS) -> list[str]:
    """The tables of a published file, as schema.table."""
    wanted = ", ".join(f"'{schema}'" for schema in schemas)
    rows = connection.execute(
        "select distinct table_schema || '.' || table_name from information_schema.tables"
        f" where table_schema in ({wanted}) order by 1"
    ).fetchall()
    return [row[0] for row in rows]


def rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    """A query's rows as dictionaries."""
    found: list[dict[str, Any]] = connection.sql(query).to_arrow_table().to_pylist()
    return found


def differences(left: Path, right: Path) -> dict[str, str]:
    """Every table in which two published files differ, with a count and one example from each side.

    Doubles are compared to nine decimals: sums of doubles depend on the order of the rows.
    """
    connection = duckdb.connect()
    connection.execute(f"attach '{left}' as l (read_only)")
    connection.execute(f"attach '{right}' as r (read_only)")
    found: dict[str, str] = {}
    names = {side: _columns(connection, side) for side in ("l", "r")}
    for table in sorted(set(names["l"]) | set(names["r"])):
        if names["l"].get(table) != names["r"].get(table):
            found[table] = f"columns differ: {names['l'].get(table)} / {names['r'].get(table)}"
            continue
        columns = ", ".join(
            f"round({_quoted(name)}, 9) as {_quoted(name)}" if kind == "DOUBLE" else _quoted(name)
            for name, kind in names["l"][table]
            if name not in LOAD_TIMES
        )
        sides = {side: f"select {columns} from {side}.{table}" for side in ("l", "r")}
        only = {}
        for side, other in (("l", "r"), ("r", "l")):
            query = f"({sides[side]}) except all ({sides[other]})"
            [(count,)] = connection.sql(f"select count(*) from ({query})").fetchall()
            if count:
                example = connection.sql(f"select * from ({query}) limit 1").to_arrow_table().to_pylist()[0]
                which = "first" if side == "l" else "second"
                only[side] = f"{count} row(s) only in the {which}, such as {example}"
        if only:
            found[table] = "; ".join(only.values())
    connection.close()
    return found


def _columns(connection: duckdb.DuckDBPyConnection, side: str) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for schema, table, column, kind in connection.execute(
        "select schema_name, table_name, column_name, data_type from duckdb_columns()"
        " where database_name = ? order by table_name, column_index",
        [side],
    ).fetchall():
        if schema in PUBLISHED_SCHEMAS and table not in ABOUT_THE_RUN:
            found.setdefault(f"{schema}.{table}", []).append((column, kind))
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
