"""Queries read the published file and nothing else, and see the file that is there now."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from dashboard import data
from tests.unit.dashboard.conftest import write


def test_values_go_in_as_parameters(published: Path) -> None:
    name = "x' or true; drop table core.dim_channels; --"
    assert data.query("select channel from core.dim_channels where channel = ?", [name]) == []
    assert data.query("select channel from core.dim_channels where channel = ?", ["<b>"]) == [
        {"channel": "<b>"}
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "delete from core.dim_channels",
        "create table core.more (x int)",
        "copy core.dim_channels to '{folder}/out.csv'",
        "select * from read_text('{folder}/secret')",
        "attach '{folder}/other.duckdb'",
        "set enable_external_access = true",
    ],
)
def test_no_query_writes_or_reads_another_file(published: Path, tmp_path: Path, sql: str) -> None:
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(duckdb.Error):
        data.query(sql.format(folder=tmp_path))
    assert not (tmp_path / "out.csv").exists()


def test_a_new_file_is_seen_and_the_old_answer_forgotten(published: Path, tmp_path: Path) -> None:
    ask = "select count(*) as channels from core.dim_channels"
    assert data.one(ask)["channels"] == 2
    write(tmp_path, "insert into core.dim_channels values ('Email', 30)")
    assert data.one(ask)["channels"] == 3


def test_an_answer_is_kept_while_the_file_stays(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data.query("select 1 as one")
    monkeypatch.setattr(duckdb, "connect", lambda *_, **__: pytest.fail("opened again"))
    assert data.query("select 1 as one") == [{"one": 1}]


def test_every_connection_is_closed_again(published: Path) -> None:
    data.query("select 1 as one")
    with duckdb.connect(str(published)) as writer:  # refused while a reader of this process held the file
        writer.execute("create table core.more (x int)")


def test_the_queries_of_a_page_share_one_connection(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, connect = [], duckdb.connect
    monkeypatch.setattr(duckdb, "connect", lambda *a, **k: opened.append(a) or connect(*a, **k))
    with data.together():
        data.query("select 1 as one")
        with data.together():  # another page, drawn meanwhile
            data.query("select 2 as two")
        data.query("select 3 as three")
    assert len(opened) == 1
    with connect(str(published)) as writer:
        writer.execute("create table core.more (x int)")


def test_a_new_file_is_seen_in_the_middle_of_a_page(published: Path, tmp_path: Path) -> None:
    ask = "select count(*) as channels from core.dim_channels"
    with data.together():
        assert data.one(ask)["channels"] == 2
        write(tmp_path, "insert into core.dim_channels values ('Email', 30)")
        assert data.one(ask)["channels"] == 3


def test_very_many_rows_are_cut_and_said(published: Path) -> None:
    rows = data.query("select range as n from range(?)", [data.MAX_ROWS + 5])
    assert len(rows) == data.MAX_ROWS
    assert rows.is_cut
    assert not data.query("select range as n from range(?)", [data.MAX_ROWS]).is_cut


def test_empty_answers_keep_their_columns_and_decimals_become_floats(published: Path) -> None:
    assert data.query("select 1 as a, 2 as b where false").columns == ["a", "b"]
    assert data.one("select 1 as a where false") == {"a": None}
    assert data.one("select cast(12.3456 as decimal(19, 4)) as amount") == {"amount": 12.3456}


def test_definitions_come_from_the_file(published: Path) -> None:
    assert data.definition("trust.reporting_settings.as_of") == "The moment of the run."
    assert data.definition("no.such.column") == ""


def test_what_is_missing_says_what_to_do(published: Path) -> None:
    with pytest.raises(data.NotPublished, match="another version"):
        data.query("select * from core.dim_nothing")
    published.unlink()
    with pytest.raises(data.NotPublished, match="Nothing has been published"):
        data.query("select 1")
