"""The pipeline of a past day, rebuilt from history, is what a run on that day published.

Two runs late on two past days, of the CRM and the exchange rates alone, against the warehouse that was built
weeks later. In between deals are created, slip, change their amount, are won, lost, deleted and merged.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path

import duckdb
import pytest

from ingestion.settings import Paths, project_vars
from orchestration.pipeline import run_once
from tests.integration.conftest import LAST_DAY, Built, Sandbox

SYSTEMS = ("hubspot", "salesforce", "ecb")
# Each the last second of a day in the reporting time zone. A deal is deleted after the first, and one is
# merged after the second.
EVENINGS = (dt.datetime(2026, 5, 8, 21, 59, 59), dt.datetime(2026, 6, 20, 21, 59, 59))


@pytest.fixture(scope="module")
def evenings(sandbox: Sandbox, built: Built, tmp_path_factory: pytest.TempPathFactory) -> dict[dt.date, Path]:
    """The published file of each evening."""
    folder = tmp_path_factory.mktemp("evenings")
    paths = Paths(folder / "data").create()
    shutil.copy(built.paths.key_file, paths.key_file)
    entries = [entry for entry in project_vars()["systems"] if entry["system"] in SYSTEMS]
    paths.settings_file.write_text(json.dumps({"systems": entries}))
    kept = {}
    for moment in EVENINGS:
        sandbox.advance(moment)
        run_once(paths, as_of=moment, run_tests=False, select=["+fct_pipeline_daily"])
        kept[moment.date()] = folder / f"{moment.date()}.duckdb"
        shutil.copy(paths.published, kept[moment.date()])
    sandbox.advance(LAST_DAY)
    return kept


def test_a_past_day_is_what_was_published_then(evenings: dict[dt.date, Path], built: Built) -> None:
    connection = duckdb.connect()
    connection.execute(f"attach '{built.paths.warehouse}' as rebuilt (read_only)")
    for day, file in evenings.items():
        connection.execute(f"attach '{file}' as evening (read_only)")
        # The CRM tells of a merged record only as of its merge: that it was open until then is the one thing
        # that a later warehouse cannot know. Of a deleted one it can.
        merged = (
            "select removed_id from rebuilt.intermediate.int_crm_removals"
            f" where object_type = 'opportunity' and reason = 'merged' and removed_at > timestamp '{day}'"
        )
        published = (
            f"select * from evening.funnel.fct_pipeline_daily where date <= date '{day}'"
            f" and opportunity_id not in ({merged})"
        )
        rebuilt = f"select * from rebuilt.funnel.fct_pipeline_daily where date <= date '{day}'"
        [(rows,)] = connection.sql(f"select count(*) from ({published}) where date = date '{day}'").fetchall()
        assert rows > 0
        assert connection.sql(f"({published}) except all ({rebuilt})").fetchall() == []
        assert connection.sql(f"({rebuilt}) except all ({published})").fetchall() == []
        connection.execute("detach evening")
    connection.close()


def test_what_happened_since_is_really_there(evenings: dict[dt.date, Path], built: Built) -> None:
    """The days between hold what the comparison is about; else it would prove little."""
    first = min(evenings)
    connection = duckdb.connect()
    connection.execute(f"attach '{built.paths.warehouse}' as rebuilt (read_only)")
    changes = dict(
        connection.sql(
            f"""
            select kind, count(*) from (
                select case
                    when state_number = 1 then 'created'
                    when outcome in ('won', 'lost', 'removed') and was_open then outcome
                    when amount is distinct from old_amount then 'amount'
                    when close_date is distinct from old_date then 'slipped'
                    else 'other'
                end as kind
                from (
                    select
                        *,
                        lag(is_open) over w as was_open,
                        lag(amount) over w as old_amount,
                        lag(close_date) over w as old_date
                    from rebuilt.intermediate.int_opportunity_states
                    window w as (partition by opportunity_id order by state_number)
                )
                where valid_from_on > date '{first}'
            )
            group by kind
            """
        ).fetchall()
    )
    connection.close()
    assert {"created", "won", "lost", "removed", "amount", "slipped"} <= set(changes), changes
