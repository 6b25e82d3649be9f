"""A folder with web events and orders alone: every mart builds, with what the example's README states.

One build, without dbt's tests; expected figures are counted from the files by other code.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion.files.manifest import read_manifest
from ingestion.settings import PROJECT_ROOT, Paths, canonical_entities
from orchestration import configure
from orchestration.pipeline import run_once
from tests.integration.support import rows, tables
from tests.integration.test_published_figures import IN_SCOPE

EXAMPLE = PROJECT_ROOT / "examples" / "event_files"
FILED = ("web_events", "revenue_events", "control_totals")
CREDITS = {
    "first_touch": {
        "Email": (2, 156),
        "Organic Search": (3, 1279.5),
        "Organic Social": (1, 78),
        "Paid Search": (2, 97),
        "Referral": (1, 93),
    },
    "last_touch": {
        "Direct": (1, 66),
        "Email": (3, 1281.5),
        "Organic Social": (1, 65),
        "Paid Search": (3, 198),
        "Referral": (1, 93),
    },
    "linear": {
        "Direct": (0.5, 33),
        "Email": (7 / 3, 531.1667),
        "Organic Search": (5 / 3, 827.3333),
        "Organic Social": (1, 71.5),
        "Paid Search": (2.5, 147.5),
        "Referral": (1, 93),
    },
}


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = Paths(tmp_path_factory.mktemp("event_files")).create()
    configure.record(paths, ["files"], EXAMPLE / "manifest.yml")
    run_once(paths, as_of=read_manifest(EXAMPLE).as_of, run_tests=False)
    return paths


@pytest.fixture
def marts(data_folder: Paths) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(str(data_folder.published), read_only=True)
    yield connection
    connection.close()


@pytest.fixture
def warehouse(data_folder: Paths) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(str(data_folder.warehouse), read_only=True)
    yield connection
    connection.close()


def calls() -> list[dict[str, Any]]:
    """Segment's calls, each once."""
    lines = [line for file in sorted(EXAMPLE.glob("segment/*")) for line in file.read_text().splitlines()]
    return list({call["messageId"]: call for call in map(json.loads, lines)}.values())


def views() -> list[dict[str, str]]:
    """Snowplow's events without the pings."""
    files = sorted(EXAMPLE.glob("snowplow/*"))
    found = [row for file in files for row in csv.DictReader(file.open(newline=""), delimiter="\t")]
    return [row for row in found if row["event"] != "page_ping"]


def order_lines() -> list[tuple[str, str, Decimal]]:
    """Order or refund, customer, amount."""
    found = []
    for file in sorted(EXAMPLE.glob("orders/*")):
        for row in csv.DictReader(file.open(newline="", encoding="latin-1"), delimiter=";"):
            amount = Decimal(row["Bedrag"].replace(".", "").replace(",", "."))
            found.append((row["Bestelling"], row["E-mail"], amount))
    return found


def test_a_folder_with_web_events_and_orders_builds_every_mart(marts: duckdb.DuckDBPyConnection) -> None:
    assert set(tables(marts)) >= IN_SCOPE


@pytest.mark.parametrize("entity", [name for name in canonical_entities() if name not in FILED])
def test_an_absent_entity_is_an_empty_union_with_its_columns(
    warehouse: duckdb.DuckDBPyConnection, entity: str
) -> None:
    union = warehouse.sql(f"select * from intermediate.int_{entity}_unioned")
    assert union.fetchall() == []
    kinds = dict(zip(union.columns, map(str, union.types), strict=True))
    typed = {"date": "DATE", "timestamp": "TIMESTAMP", "money": "DECIMAL(19,4)", "boolean": "BOOLEAN"}
    for name, kind in canonical_entities()[entity]["columns"].items():
        column = f"{name}_hash" if kind in ("email", "phone") else name
        assert kinds[column] == typed.get(kind, kinds[column])


def test_every_event_and_every_amount_arrives(warehouse: duckdb.DuckDBPyConnection) -> None:
    [(events, pings)] = warehouse.sql(
        "select count(*), count(*) filter (event_name = 'page_ping') from intermediate.int_web_events_unioned"
    ).fetchall()
    assert (events, pings) == (len(calls()) + len(views()), 0) == (102, 0)
    reconciled = rows(
        warehouse,
        "select entity, measure, sum(source_total) as source, sum(warehouse_total) as warehouse"
        " from trust.source_reconciliation group by entity, measure",
    )
    assert all(row["source"] == row["warehouse"] for row in reconciled)
    amounts = {row["entity"]: row["warehouse"] for row in reconciled if row["measure"] == "amount"}
    assert amounts == {"revenue_events": sum(amount for *_, amount in order_lines())}


def test_orders_are_conversions_once_and_refunds_reduce_them(marts: duckdb.DuckDBPyConnection) -> None:
    orders = [line for line in order_lines() if not line[0].startswith("R")]
    (found,) = rows(
        marts,
        "select count(*) as orders, count(distinct person_id) as customers, sum(value) as value,"
        " sum(value_refunded) as refunded, count(*) filter (is_new_customer) as new"
        " from core.fct_conversions",
    )
    assert found == {
        "orders": len({order for order, *_ in orders}),
        "customers": len({address for _, address, _ in orders}),
        "value": sum(amount for *_, amount in orders),
        "refunded": Decimal(18),
        "new": 7,
    }
    assert (found["orders"], found["value"]) == (9, Decimal("1703.50"))


def test_two_tools_meet_in_one_person_by_the_user_id(
    marts: duckdb.DuckDBPyConnection, warehouse: duckdb.DuckDBPyConnection
) -> None:
    owner: dict[str, str] = {}  # cookie -> user id, of whoever was recognised
    for call in calls():
        if call["userId"]:
            owner[call["anonymousId"]] = call["userId"]
    owner |= {row["domain_userid"]: row["user_id"] for row in views() if row["user_id"]}
    cookies = {call["anonymousId"] for call in calls()} | {row["domain_userid"] for row in views()}
    crawler = {row["domain_userid"] for row in views() if "Bot" in row["useragent"]}
    people = {owner.get(cookie, cookie) for cookie in cookies}
    [(persons,)] = marts.sql("select count(*) from core.dim_persons").fetchall()
    assert persons == len(people) == 26
    both = [user for user in set(owner.values()) if sum(found == user for found in owner.values()) > 1]
    assert sorted(both) == ["k_101", "k_104"], "Bo and Eli are known to both tools"
    sessions = rows(
        warehouse, "select anonymous_id, is_bot, person_id, source_relation from core.fct_sessions"
    )
    assert len(sessions) == 35
    assert {row["anonymous_id"] for row in sessions if row["is_bot"]} == crawler
    for user in both:
        mine = {cookie for cookie, found in owner.items() if found == user}
        assert len({row["person_id"] for row in sessions if row["anonymous_id"] in mine}) == 1


@pytest.mark.parametrize("model", sorted(CREDITS))
def test_credits_by_channel_are_those_of_the_readme(marts: duckdb.DuckDBPyConnection, model: str) -> None:
    found = rows(
        marts,
        "select channel, sum(conversions) as purchases, sum(value) as value"
        " from attribution.attribution_channels"
        f" where model = '{model}' and conversion_type = 'purchase' and date_basis = 'conversion'"
        " group by channel having sum(conversions) > 0",
    )
    credits = {row["channel"]: (row["purchases"], float(row["value"])) for row in found}
    assert credits.keys() == CREDITS[model].keys()
    for channel, (purchases, value) in CREDITS[model].items():
        assert credits[channel] == (pytest.approx(purchases), pytest.approx(value, abs=1e-3)), channel


def test_funnel_steps_are_counted_by_person(marts: duckdb.DuckDBPyConnection) -> None:
    found = rows(
        marts,
        "select stage, count(distinct subject_id) as persons from funnel.fct_funnel_stage_entries"
        " where funnel = 'ecommerce' group by stage",
    )
    assert {row["stage"]: row["persons"] for row in found} == {
        "visitor": 26,
        "product_view": 13,
        "cart": 7,
        "checkout": 7,
        "purchase": 7,
        "repeat": 2,
    }


def test_the_manifest_lies_beside_its_readme() -> None:
    manifest = read_manifest(EXAMPLE / "manifest.yml")
    assert manifest.entities == ("web_events", "revenue_events")
    assert Path(manifest.file).parent == EXAMPLE
