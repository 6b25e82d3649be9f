"""Each connected system by itself builds, audits and publishes every mart. Run by `make test-alone`.

Exchange rates are beside it: they are public, and without them amounts in another currency are refused by an
audit, as they must be.
"""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from ingestion.settings import Paths, project_vars
from orchestration.pipeline import run_once
from tests.integration.conftest import LAST_DAY, Built, Sandbox
from tests.integration.support import tables

RATES = "ecb"
SYSTEMS = sorted({entry["system"] for entry in project_vars()["systems"]})
EVIDENCE = {  # what a system alone must bring into the marts, by one of the entities that it provides
    "ad_performance": "core.fct_ad_performance_daily",
    "web_events": "core.fct_sessions",
    "email_events": "core.fct_touchpoints",
    "crm_contacts": "core.dim_persons",
    "crm_opportunities": "funnel.fct_opportunities",
    "revenue_events": "core.fct_conversions",
    "subscriptions": "retention.mrr_movements",
}

pytestmark = [pytest.mark.alone, pytest.mark.timeout(900)]


@pytest.mark.parametrize("system", SYSTEMS)
def test_alone(system: str, sandbox: Sandbox, built: Built, tmp_path: Path) -> None:
    sandbox.advance(LAST_DAY)
    paths = Paths(tmp_path / "data").create()
    entries = [entry for entry in project_vars()["systems"] if entry["system"] in (system, RATES)]
    paths.settings_file.write_text(json.dumps({"systems": entries}))
    run_once(paths, as_of=LAST_DAY, run_tests=True)
    with duckdb.connect(str(paths.published), read_only=True) as alone:
        with duckdb.connect(str(built.paths.published), read_only=True) as together:
            assert tables(alone) == tables(together)
        for entity in {entity for entry in entries for entity in entry["entities"]} & set(EVIDENCE):
            [(rows,)] = alone.execute(f"select count(*) from {EVIDENCE[entity]}").fetchall()
            assert rows > 0, f"{system} brings {entity}, yet {EVIDENCE[entity]} is empty"
