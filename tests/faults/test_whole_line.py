"""Rows 6, 8, 15, 22 and 23 over the whole line, as a person runs it: load, check, build, audit, publish, and
what the command line says; and the quarantine from refusal to the published mart."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest

import ingestion.registry
import ingestion.settings
from ingestion.http import ApiClient, BearerAuth, after
from ingestion.records import Column, Table
from ingestion.settings import Paths
from ingestion.sources import Context, Done, Item, Page, Resource, System
from orchestration import resources, runs, transform
from orchestration.cli import main as cli_main
from orchestration.definitions import build_defs
from tests.faults.server import Asked, FaultServer, Reply, fault_server
from tests.unit.orchestration.conftest import PROJECT

TOKEN, QUERY = "canary-header-31c8", "canary-query-90aa"
DAYS = [f"2026-06-{day:02}" for day in range(1, 25)]
VISITS = Table(
    "visits",
    columns=(Column("date", "date", required=True), Column("visits", "bigint", required=True)),
    key=("date",),
    slice_by="date",
)


def orders_table(*more: Column) -> Table:
    columns = (Column("order_id", "bigint", required=True), Column("amount", "money", required=True), *more)
    return Table("orders", columns=columns, key=("order_id",))


class Shop:
    """A system over HTTP; a test scripts its server and may declare its orders anew."""

    def __init__(self, server: FaultServer) -> None:
        self.server, self.address = server, server.url
        self.orders: list[dict[str, Any]] = [{"order_id": n, "amount": str(n)} for n in range(1, 31)]
        self.visits: list[dict[str, Any]] = [{"date": day, "visits": 5} for day in DAYS]
        self.table = orders_table(Column("items", "bigint"))
        server.answer = self.well

    def well(self, asked: Asked) -> Reply:
        return Reply({"results": self.orders if asked.path.endswith("orders") else self.visits})

    def system(self) -> System:
        def read(name: str, context: Context) -> Iterator[Item]:
            client = ApiClient("shop", self.address, auth=BearerAuth(TOKEN), tries=2, backoff=0.01)
            pages = client.pages(
                f"/{name}", next_request=after("next"), data="results", params={"key": QUERY}
            )
            bounds = context.bounds
            days = [
                day for day in DAYS if bounds is None or f"{bounds.date_from}" <= day <= f"{bounds.date_to}"
            ]
            for answer in pages:
                records = answer.at("results")
                if name == "visits":
                    records = [record for record in records if record["date"] in days]
                yield Page(name, records=records)
            if name == "visits":
                yield Done(name, dict.fromkeys(days))

        return System(
            "shop",
            (
                Resource("orders", (self.table,), lambda context: read("orders", context)),
                Resource("visits", (VISITS,), lambda context: read("visits", context)),
            ),
            check=lambda _: "reached",
        )


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """The shop as the only registered system, over the small dbt project."""
    with pytest.MonkeyPatch.context() as patch, fault_server() as server:
        made = Shop(server)
        patch.setattr(ingestion.registry, "systems", lambda: {"shop": made.system()})
        patch.setattr(ingestion.settings, "DBT_PROJECT_FILE", PROJECT / "dbt_project.yml")
        patch.setattr(transform, "PROJECT_DIR", PROJECT)
        yield made


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paths]:
    """One data folder for all: what a fault left behind, the next one meets."""
    made = Paths(tmp_path_factory.mktemp("line") / "data").create()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUNNELHOUSE_DATA_DIR", str(made.data_dir))
        patch.delenv("FUNNELHOUSE_AS_OF", raising=False)
        yield made
    resources.release_lock(made)


class Said(NamedTuple):
    """What a command left: its exit code, standard output and standard error."""

    code: int
    out: str
    err: str


def funnelhouse(capfd: pytest.CaptureFixture[str], *arguments: str) -> Said:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["funnelhouse", *arguments])
        with pytest.raises(SystemExit) as left:
            cli_main()
    return Said(int(left.value.code or 0), *capfd.readouterr())


def raw(paths: Paths, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(paths.warehouse), read_only=True) as reader:
        return reader.execute(sql).fetchall()


def published_orders(paths: Paths) -> list[int]:
    with duckdb.connect(str(paths.published), read_only=True) as reader:
        return [
            row[0] for row in reader.execute("select order_id from core.fct_orders order by 1").fetchall()
        ]


@pytest.fixture
def published(shop: Shop, paths: Paths, capfd: pytest.CaptureFixture[str]) -> bytes:
    """The published file's bytes after a run that went well."""
    shop.server.answer, shop.address = shop.well, shop.server.url
    if not paths.published.exists():
        said = funnelhouse(capfd, "run")
        assert said.code == 0, said.err
    return paths.published.read_bytes()


FAULTS = {
    "row 06: an outage": Reply({"message": "unavailable"}, 503),
    "row 08: errors with 200": Reply({"errors": [{"message": "internal"}], "results": []}),
    "row 08: null": Reply({"results": None}),
    "row 08: a missing key": Reply({"data": []}),
    "row 08: nothing at all": Reply({"results": []}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_row_06_and_08_published_data_and_raw_days_stay(
    shop: Shop, paths: Paths, published: bytes, capfd: pytest.CaptureFixture[str], fault: str
) -> None:
    """Only the table that is replaced day by day is hit."""
    before = raw(paths, "select * from raw_shop.visits order by 1")
    shop.server.answer = lambda asked: FAULTS[fault] if asked.path.endswith("visits") else shop.well(asked)
    said = funnelhouse(capfd, "run")
    assert said.code == 1
    assert len(said.err.strip().splitlines()) == 1, said.err
    assert said.err.startswith("error: shop: ")
    assert raw(paths, "select * from raw_shop.visits order by 1") == before
    assert paths.published.read_bytes() == published


def test_row_15_refused_records_are_an_alert_and_can_be_replayed(
    shop: Shop, paths: Paths, published: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    shop.orders.append({"order_id": 77, "amount": "7", "items": "many", "mail": "ann@customer.example"})
    said = funnelhouse(capfd, "run")
    assert said.code == 0, said.err
    assert "1 of 31 records are in quarantine" in said.out + said.err
    assert published_orders(paths) == list(range(1, 31))

    listed = funnelhouse(capfd, "quarantine", "list")
    assert listed.code == 0
    assert "items: no whole number" in " ".join(listed.out.split())
    assert "ann@" not in listed.out
    again = funnelhouse(capfd, "quarantine", "replay", "--system", "shop")
    assert again.out.strip() == "shop (main): 0 loaded, 1 refused again"

    shop.table = orders_table()  # the fix: nobody needs that column
    done = funnelhouse(capfd, "quarantine", "replay")
    assert done.out.strip() == "shop (main): 1 loaded, 0 refused again"
    assert raw(paths, "select count(*) from raw_shop._quarantine") == [(0,)]
    assert raw(paths, "select count(*) from raw_shop.orders") == [(31,)]
    said = funnelhouse(capfd, "run")
    assert said.code == 0, said.err
    assert published_orders(paths) == [*range(1, 31), 77]
    assert "The quarantine is empty" in funnelhouse(capfd, "quarantine", "list").out


def test_a_refused_record_of_a_day_is_read_again_with_its_day(
    shop: Shop, paths: Paths, published: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    good, shop.visits = shop.visits, [*shop.visits[:-1], {"date": DAYS[-1], "visits": "few"}]
    assert funnelhouse(capfd, "run").code == 0
    done = funnelhouse(capfd, "quarantine", "replay")
    assert done.out.strip().endswith(f"read whole by the next run: visits: {DAYS[-1]}")
    shop.visits = good
    assert funnelhouse(capfd, "run").code == 0
    assert raw(paths, "select count(*), sum(visits) from raw_shop.visits") == [(24, 120)]
    assert raw(paths, "select count(*) from raw_shop._quarantine") == [(0,)]


def test_row_22_a_past_day_read_again_changes_nothing(
    shop: Shop, paths: Paths, published: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same partition twice, by Dagster and by the command line, and beside the daily run."""
    assert funnelhouse(capfd, "run").code == 0
    before, marts = whole(paths)
    with runs.open_instance(paths) as instance:
        job = build_defs(paths).resolve_job_def("backfill_shop")
        for _ in range(2):
            assert job.execute_in_process(instance=instance, partition_key=DAYS[3]).success
            assert whole(paths) == (before, marts)
    shop.visits[3] = {"date": DAYS[3], "visits": 9}
    other_days = ("backfill", "--system", "shop", "--from", DAYS[4], "--to", DAYS[6])
    assert funnelhouse(capfd, *other_days).code == 0
    assert whole(paths) == (before, marts), "that day was not asked for, and nothing else has changed"
    query = "select date::text, visits, _dlt_load_id from raw_shop.visits order by 1"
    expected = {day: (visits, load_id) for day, visits, load_id in raw(paths, query)}
    for command in ((*other_days[:4], DAYS[2], "--to", DAYS[3]), ("run",), other_days):
        said = funnelhouse(capfd, *command)
        assert said.code == 0, said.err
        found = {day: (visits, load_id) for day, visits, load_id in raw(paths, query)}
        if expected[DAYS[3]][0] == 5:
            expected[DAYS[3]] = (9, found[DAYS[3]][1])
        assert found == expected, "the day that has changed was written once, the others not at all"


def whole(paths: Paths) -> tuple[list[Any], list[int]]:
    """Raw rows with the loads that brought them, and what is published."""
    tables = ("orders", "visits", "_slices", "_quarantine")
    return [raw(paths, f"select * from raw_shop.{name} order by all") for name in tables], published_orders(
        paths
    )


def test_row_23_no_token_in_run_storage_logs_or_files(
    shop: Shop,
    paths: Paths,
    published: bytes,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    texts = []
    shop.address = f"{shop.server.url}/{TOKEN}"
    told = f"bad {TOKEN}, see https://x.example/?key={QUERY}"
    for reply in (
        Reply({"message": told}, 401),
        Reply({"message": told}, 400),
        Reply({"message": told}, 503),
    ):
        shop.server.script(reply)
        said = funnelhouse(capfd, "run")
        assert said.code == 1
        texts += [said.out, said.err]
    shop.address = f"http://127.0.0.1:9/{TOKEN}"
    said = funnelhouse(capfd, "run", "--verbose")
    assert said.code == 1
    texts += [said.out, said.err, caplog.text]
    everything = "\n".join(texts).encode()
    for file in Path(paths.data_dir).rglob("*"):
        if file.is_file():
            everything += file.read_bytes()
    found = {name for name in (TOKEN, QUERY) if re.search(name.encode(), everything)}
    assert found == set()
