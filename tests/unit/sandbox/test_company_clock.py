"""The clock: what is visible stays visible, platforms restate for 28 days, histories only grow."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow.compute as pc
import pytest
import yaml

from sandbox.company import Company, drop
from sandbox.company.restatement import restated
from sandbox.company.schema import TABLES

NOW = datetime(2026, 7, 1, 3, tzinfo=UTC)


@pytest.fixture(scope="module")
def db(company: Company) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for name, table in company.tables.items():
        connection.register(name, table)
    return connection


WHEN = {
    "web_events": "occurred_at",
    "ad_clicks": "clicked_at",
    "email_events": "occurred_at",
    "shop_order_lines": "occurred_at",
    "shop_refund_lines": "occurred_at",
    "offline_touches": "occurred_at",
    "consent_events": "occurred_at",
    "survey_responses": "occurred_at",
}


@pytest.mark.parametrize("name", list(WHEN))
def test_nothing_is_visible_before_it_happens_nor_much_later(
    db: duckdb.DuckDBPyConnection, name: str
) -> None:
    early, late = db.execute(
        f"select count(*) filter (visible_at < {WHEN[name]}), "
        f"count(*) filter (visible_at > {WHEN[name]} + interval 4 day) from {name}"
    ).fetchall()[0]
    assert (early, late) == (0, 0)


def test_every_changing_table_says_when_a_row_arrives() -> None:
    """Tables without visible_at have another stated moment of arrival, or do not change."""
    arrivals = {"visible_at", "created_at", "changed_at", "subscribed_at"}
    without = {name for name, spec in TABLES.items() if not arrivals & set(spec.names)}
    assert without == {
        "ad_accounts",
        "ad_campaigns",
        "ad_groups",
        "ads",
        "shop_products",
        "plan_quotas",
        "plan_budgets",
        "invoice_lines",
    }


def test_ad_figures_are_restated_for_28_days_and_then_final(company: Company) -> None:
    final = company.tables["ad_performance"].filter(
        pc.equal(company.tables["ad_performance"]["platform"], "google_ads")
    )
    day = datetime(2026, 5, 4).date()
    rows = final.filter(pc.equal(final["date"].cast("date32"), day))
    arrival = rows["visible_at"][0].as_py().replace(tzinfo=UTC)
    one_account = rows.filter(pc.equal(rows["visible_at"], rows["visible_at"][0]))
    assert one_account.num_rows > 3

    assert restated(one_account, arrival - timedelta(seconds=1)).num_rows == 0
    spends, conversions = [], []
    for age in range(40):
        shown = restated(one_account, arrival + timedelta(days=age))
        assert shown.num_rows == one_account.num_rows
        spends.append(pc.sum(shown["spend_minor"]).as_py())
        conversions.append(pc.sum(shown["conversions"]).as_py())
    assert spends == sorted(spends, reverse=True)
    assert spends[0] > spends[-1]
    assert conversions == sorted(conversions)
    for age in (27, 28, 39):
        assert restated(one_account, arrival + timedelta(days=age)).equals(one_account)
    early = restated(one_account, arrival + timedelta(days=2))
    assert not early.equals(one_account)
    # A pure function of the row and the moment.
    assert restated(one_account, arrival + timedelta(days=2)).equals(early)


def test_restatement_does_not_depend_on_the_other_rows(company: Company) -> None:
    table = company.tables["ad_performance"]
    moment = NOW - timedelta(days=20)
    whole = restated(table, moment)
    part = restated(table.slice(100, 50), moment)
    assert part.num_rows > 0
    keys = ["platform", "date", "campaign_id", "ad_group_id", "ad_id", "network_type", "country", "device"]
    same_row = " and ".join(f"p.{key} is not distinct from w.{key}" for key in keys)
    joined = duckdb.sql(
        f"select count(*) from part p join whole w on {same_row} "
        "where p.spend_minor = w.spend_minor and p.clicks = w.clicks and p.conversions = w.conversions"
    ).fetchall()[0][0]
    assert joined == part.num_rows
    assert whole.num_rows < table.num_rows


def test_histories_are_within_their_records_lives(db: duckdb.DuckDBPyConnection) -> None:
    wrong = db.execute(
        """
        select count(*) filter (h.changed_at < o.created_at), count(*) filter (o.deleted_at < o.created_at),
               count(*) filter (o.merged_at < o.created_at),
               count(*) filter (o.merged_at is null <> (o.merged_into_id is null))
        from crm_property_history h join crm_objects o using (object_type, object_id)
        """
    ).fetchall()[0]
    assert wrong == (0, 0, 0, 0)
    unmoving = db.execute(
        """
        select count(*) from (
            select value, lag(value) over (partition by object_id order by changed_at) as before
            from crm_property_history where object_type = 'deal' and property = 'stage') where value = before
        """
    ).fetchall()[0][0]
    assert unmoving == 0


# ---------------------------------------------------------------------- the drop
def lines(folder: Path, pattern: str) -> set[tuple[str, str]]:
    """All lines of the files of a pattern with the file's name."""
    result = set()
    for path in folder.glob(pattern):
        content = path.read_bytes()
        text = gzip.decompress(content) if path.suffix == ".gz" else content
        result |= {(path.name, line) for line in text.decode().splitlines()}
    return result


GROWING = (
    "events/*.jsonl.gz",
    "consent/*.jsonl",
    "offline/*.csv",
    "surveys/*.csv",
    "costs/*.csv",
)


def test_the_drop_grows_day_by_day_and_touches_only_the_running_month(
    company: Company, tmp_path: Path
) -> None:
    seen: set[tuple[str, str]] = set()
    contents: dict[str, bytes] = {}
    for day in range(5):
        as_of = datetime(2026, 6, 20, 3, tzinfo=UTC) + timedelta(days=day)
        paths = drop.write(company, tmp_path, as_of)
        assert {str(path) for path in tmp_path.rglob("*") if path.is_file()} == {str(path) for path in paths}
        now = set().union(*(lines(tmp_path, pattern) for pattern in GROWING))
        assert seen < now
        seen = now
        fresh = {str(path.relative_to(tmp_path)): path.read_bytes() for path in paths}
        changed = {name for name in contents if contents[name] != fresh[name]}
        assert all("2026-06" in name or name.startswith("tests/") for name in changed)
        contents = fresh


def test_the_same_moment_leaves_files_untouched(company: Company, tmp_path: Path) -> None:
    first = {path: path.stat().st_mtime_ns for path in drop.write(company, tmp_path, NOW)}
    again = {path: path.stat().st_mtime_ns for path in drop.write(company, tmp_path, NOW)}
    assert first == again
    assert len(first) > 25


def test_turning_the_clock_back_takes_the_later_files_away(company: Company, tmp_path: Path) -> None:
    drop.write(company, tmp_path, NOW)
    drop.write(company, tmp_path, datetime(2026, 5, 20, 3, tzinfo=UTC))
    assert not list(tmp_path.rglob("*2026-06*"))
    assert list(tmp_path.rglob("answers_2026-05.jsonl"))


def test_the_drop_holds_exactly_what_is_visible(
    company: Company, db: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    drop.write(company, tmp_path, NOW)
    visible = db.execute(
        "select count(*), count(distinct identifier) from consent_events "
        f"where visible_at <= timestamp '{NOW:%Y-%m-%d %H:%M}' and mailer is distinct from 'shop'"
    ).fetchall()[0]
    found = duckdb.sql(
        "select count(*), count(distinct cast(identifier as varchar))"
        f" from read_json('{tmp_path}/consent/answers_*.jsonl')"
    ).fetchall()[0]
    assert found == visible
    costs = duckdb.sql(
        f"""select sum(cast(replace(replace("Bedrag", '.', ''), ',', '.') as decimal(18, 2)))
            from read_csv('{tmp_path}/costs/*.csv', all_varchar = true, delim = ';') where "Valuta" = 'SEK'"""
    ).fetchall()[0][0]
    booked = db.execute(
        "select sum(amount_minor) / 100 from costs where currency = 'SEK' "
        f"and visible_at <= timestamp '{NOW:%Y-%m-%d %H:%M}'"
    ).fetchall()[0][0]
    assert float(costs) == pytest.approx(float(booked), abs=0.005)


def test_the_manifest_names_every_folder_and_only_canonical_columns(company: Company, tmp_path: Path) -> None:
    drop.write(company, tmp_path, NOW)
    manifest = yaml.safe_load((tmp_path / "manifest.yml").read_text(encoding="utf-8"))
    project = yaml.safe_load(
        (Path(__file__).resolve().parents[3] / "dbt_project" / "dbt_project.yml").read_text(encoding="utf-8")
    )
    canonical = project["vars"]["canonical_entities"]
    groups = [
        (entity, group)
        for entity, value in manifest["entities"].items()
        for group in (value if isinstance(value, list) else [value])
    ]
    assert {group["path"].split("/")[0] for _, group in groups} == set(drop.FOLDERS)
    for entity, group in groups:
        assert set(group["columns"]) <= set(canonical[entity]["columns"])
        own_key = canonical[entity]["key"]
        required = set(canonical[entity]["required"]) - (set(own_key) if len(own_key) == 1 else set())
        assert required <= set(group["columns"])
        assert list(tmp_path.glob(group["path"]))
