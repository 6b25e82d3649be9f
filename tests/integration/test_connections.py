"""Every vendor connected twice, both times with the same ids: kept apart by source_relation in every union
and through to the marts, and all audits pass. Run by `make test-alone`.
"""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from ingestion.settings import Paths, project_vars
from ingestion.warehouse import connect
from orchestration.pipeline import run_once
from tests.integration.conftest import LAST_DAY, Built, Sandbox

PUBLIC = {"files", "ecb"}  # one drop, one list of rates
# What counts each connection's records for itself; conversions and touches of one person meet on purpose.
APART = {
    "core.fct_ad_performance_daily": "spend",
    "core.fct_sessions": "1",
    "core.dim_owners": "1",
    "core.dim_accounts": "1",
    "funnel.fct_opportunities": "amount",
}

pytestmark = [pytest.mark.alone, pytest.mark.timeout(1800)]


def test_two_connections_of_every_vendor(sandbox: Sandbox, built: Built, tmp_path: Path) -> None:
    sandbox.advance(LAST_DAY)
    paths = Paths(tmp_path / "data").create()
    entries = project_vars()["systems"]
    twice = [{**entry, "connection": "second"} for entry in entries if entry["system"] not in PUBLIC]
    paths.settings_file.write_text(json.dumps({"systems": entries + twice}))
    run_once(paths, as_of=LAST_DAY, run_tests=True)

    with connect(paths, read_only=True) as warehouse:
        unions = warehouse.execute(
            "select table_name from duckdb_tables() where schema_name = 'intermediate'"
            " and table_name like 'int\\_%\\_unioned' escape '\\'"
        ).fetchall()
        assert len(unions) > 15
        for (union,) in unions:
            relations = dict(
                warehouse.execute(
                    f"select source_relation, count(*) from intermediate.{union} group by all"
                ).fetchall()
            )
            for relation, rows in relations.items():
                system, _, account = relation.split(":", 2)
                if system not in PUBLIC:
                    assert (
                        relations.get(f"{system}:second:{account}")
                        == relations.get(f"{system}:main:{account}")
                        == rows
                    ), (union, relation)

    with (
        duckdb.connect(str(paths.published), read_only=True) as both,
        duckdb.connect(str(built.paths.published), read_only=True) as once,
    ):
        for table, measure in APART.items():
            sums = (
                "select split_part(source_relation, ':', 1) as system, count(*), round(sum("
                f"{measure}), 2) from {table} where not regexp_matches(source_relation, '^(files|ecb):')"
                " group by all order by all"
            )
            doubled = [(system, 2 * rows, 2 * total) for system, rows, total in once.execute(sums).fetchall()]
            assert doubled
            assert both.execute(sums).fetchall() == doubled, table
        won = "select count(*), sum(value) from core.fct_conversions where conversion_type = 'won'"
        [(count, value)] = once.execute(won).fetchall()
        assert both.execute(won).fetchall() == [(2 * count, 2 * value)]
