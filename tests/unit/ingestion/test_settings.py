"""Paths, connections and secrets; the list of systems and of tables."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from ingestion.errors import ConfigurationError
from ingestion.records import Column, Table
from ingestion.registry import system, systems
from ingestion.settings import (
    Connection,
    Paths,
    connections,
    project_vars,
    read_settings,
    settings_hash,
    write_settings,
)
from ingestion.warehouse import build_source


def test_the_data_folder_is_private(tmp_path: Path) -> None:
    paths = Paths.from_environment(tmp_path / "a b").create()
    for folder in (paths.data_dir, paths.dlt_dir, paths.dagster_home, paths.gx_dir):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_data_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="FUNNELHOUSE_DATA_DIR"):
        Paths.from_environment(tmp_path / "file" / "data").create()


def test_secrets_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    connection = Connection("toy", "second")
    with pytest.raises(
        ConfigurationError,
        match=r"^toy: API_KEY is not set. Set "
        r"SOURCES__TOY__API_KEY \(or SOURCES__TOY__SECOND__API_KEY",
    ):
        connection.require("API_KEY")
    (tmp_path / ".env").write_text("# comment\nexport SOURCES__TOY__API_KEY='from file'\n")
    assert connection.require("API_KEY") == "from file"
    monkeypatch.setenv("SOURCES__TOY__API_KEY", "general")
    assert connection.require("API_KEY") == "general"
    monkeypatch.setenv("SOURCES__TOY__SECOND__API_KEY", "own")
    assert connection.require("API_KEY") == "own"
    assert "own" not in repr(connection)


def test_the_list_of_systems(tmp_path: Path) -> None:
    paths = Paths.from_environment(tmp_path).create()
    listed = connections(paths)
    assert {connection.system for connection in listed} == set(systems())
    write_settings(paths, {"systems": [{"system": "files", "accounts": ["a"], "manifest": "m.yml"}]})
    (only,) = connections(paths)
    assert (only.name, only.accounts, only.options) == ("main", ("a",), {"manifest": "m.yml"})
    assert project_vars(paths)["quarantine_max_share"] == project_vars()["quarantine_max_share"]
    known = ", ".join(sorted(systems()))
    line = f"There is no system called 'nonesuch'. Known systems: {known}"
    with pytest.raises(ConfigurationError, match=line):
        connections(paths, ["nonesuch"])
    with pytest.raises(ConfigurationError, match=r"is not connected"):
        connections(paths, [next(name for name in systems() if name != "files")])
    assert settings_hash(read_settings(paths)) != settings_hash({})


@pytest.mark.parametrize(
    "entries",
    [
        "files",
        [{"connection": "main"}],
        [{"system": "files", "connection": "no spaces"}],
        [{"system": "a"}, {"system": "a"}],
    ],
)
def test_a_wrong_list_is_one_clear_line(tmp_path: Path, entries: object) -> None:
    paths = Paths.from_environment(tmp_path).create()
    paths.settings_file.write_text(json.dumps({"systems": entries}))
    with pytest.raises(ConfigurationError) as failure:
        connections(paths)
    assert "\n" not in str(failure.value)


def test_every_system_can_be_listed_without_opening_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in systems():
        source = build_source(Connection(name, accounts=("1",)))
        expected = {table.name for table in system(name).tables} | {"_slices", "_quarantine"}
        assert set(source.resources) == expected
    assert list(tmp_path.iterdir()) == []


def test_a_table_refuses_a_wrong_declaration() -> None:
    with pytest.raises(ValueError, match="are no declared columns"):
        Table("t", (Column("a"),), key=("b",))
    with pytest.raises(ValueError, match="declared twice"):
        Table("t", (Column("a"), Column("A")), key=("a",))
