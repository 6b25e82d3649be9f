"""Two connections of one system that hold the same ids: apart in every raw table, each with its own
credentials, cursors and slices. What becomes of them in the marts: tests/integration/test_connections.py."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from ingestion.errors import Unauthorized
from ingestion.registry import system
from ingestion.settings import Connection, Paths, connections, project_vars, write_settings
from ingestion.warehouse import LoadReport, connect, load, writer_lock
from sandbox.app import running
from sandbox.company import generate
from sandbox.environment import environment

AS_OF = datetime(2026, 7, 1, 3, tzinfo=UTC)
NAMES = ("hubspot", "linkedin_ads")  # merged by key; replaced day by day
Loads = dict[tuple[str, str], LoadReport]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Paths, Loads]]:
    """Both connections of both systems, loaded from the same server: the same accounts, the same ids."""
    paths = Paths.from_environment(tmp_path_factory.mktemp("two") / "data").create()
    entries = [entry for entry in project_vars()["systems"] if entry["system"] in NAMES]
    write_settings(paths, {"systems": entries + [{**entry, "connection": "second"} for entry in entries]})
    with (
        pytest.MonkeyPatch.context() as patch,
        running(generate("small"), AS_OF) as base_url,
        writer_lock(paths),
    ):
        for name, value in environment(base_url).items():
            patch.setenv(name, value)
        patch.setenv("SOURCES__LINKEDIN_ADS__START_DATE", "2026-05-01")
        loads = {(entry.system, entry.name): load(paths, entry, as_of=AS_OF) for entry in connections(paths)}
        yield paths, loads


def _rows(paths: Paths, sql: str) -> list[tuple[Any, ...]]:
    with connect(paths) as con:
        found: list[tuple[Any, ...]] = con.execute(sql).fetchall()
        return found


@pytest.mark.parametrize("name", NAMES)
def test_the_same_ids_are_two_records(loaded: tuple[Paths, Loads], name: str) -> None:
    paths, loads = loaded
    for table in system(name).tables:
        counts = dict(
            _rows(
                paths,
                "select split_part(source_relation, ':', 2), count(*)"
                f" from raw_{name}.{table.name} group by all",
            )
        )
        assert set(counts) <= {"main", "second"}
        assert counts.get("main") == counts.get("second"), table.name
        assert loads[name, "second"].tables[table.name].good == counts.get("second", 0)
        key = ", ".join(table.key)
        [(ids, records)] = _rows(
            paths,
            f"select count(distinct ({key})), count(distinct (source_relation, {key}))"
            f" from raw_{name}.{table.name}",
        )
        assert records == 2 * ids == sum(counts.values()), table.name


@pytest.mark.parametrize("name", NAMES)
def test_each_goes_on_where_it_stopped(loaded: tuple[Paths, Loads], name: str) -> None:
    paths, _ = loaded
    second = next(entry for entry in connections(paths, [name]) if entry.name == "second")
    report = load(paths, second, as_of=AS_OF)
    assert report.good == 0, "its own cursors and slices, not the other's"


def test_each_has_its_own_credentials(loaded: tuple[Paths, Loads], monkeypatch: pytest.MonkeyPatch) -> None:
    paths, _ = loaded
    monkeypatch.setenv("SOURCES__HUBSPOT__SECOND__ACCESS_TOKEN", "wrong-and-secret")
    main, second = connections(paths, ["hubspot"])
    assert main.environment_names("ACCESS_TOKEN")[0] == "SOURCES__HUBSPOT__MAIN__ACCESS_TOKEN"
    assert "can be read" in system("hubspot").check(main)
    with pytest.raises(Unauthorized):
        system("hubspot").check(second)
    for entry in (main, second):
        assert isinstance(entry, Connection)
        assert entry.source_relation("1") == f"hubspot:{entry.name}:1"
