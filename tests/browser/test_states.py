"""States that a demo does not have: nothing published, empty tables, one row, very many rows, hostile names.
The published files are made here.
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from playwright.sync_api import expect

from dashboard.app_pages import PAGES
from ingestion.settings import Paths
from tests.browser.conftest import Open, serving
from tests.browser.support import download, go_to, pick

HOSTILE = (
    "<img src=x onerror=window.hacked=1>",
    '"><script>window.hacked=1</script>',
    '=HYPERLINK("http://198.51.100.1","x")',
    '<a href="https://198.51.100.1">offer</a>',
    "[link](javascript:window.hacked=1) **bold** $x^2$ :material/close:",
    "%{x} ${y} {{ 7 * 7 }}",
    "a" * 400,
    "\u202etxt.exe",
)


class State:
    """A dashboard on a data folder in which one published file after the other is put in place."""

    def __init__(self, source: Path, folder: Path, address: str) -> None:
        self.source, self.folder, self.address = source, folder, address

    def publish(self, *statements: str) -> None:
        """The published file of the source with other content, by one rename, as a run does it."""
        published = Paths(self.folder).published
        published.parent.mkdir(exist_ok=True)
        new = published.with_suffix(".new")
        shutil.copy(Paths(self.source).published, new)
        new.chmod(0o644)
        with duckdb.connect(str(new)) as connection:
            for statement in statements:
                connection.execute(statement)
        new.replace(published)

    def tables(self, condition: str) -> list[str]:
        """Names of tables of the source."""
        with duckdb.connect(str(Paths(self.source).published), read_only=True) as connection:
            return [
                f'"{schema}"."{table}"'
                for schema, table in connection.execute(
                    f"select schema_name, table_name from duckdb_tables() where {condition}"
                ).fetchall()
            ]


@pytest.fixture(scope="module")
def state(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    """Nothing is published there at first."""
    folder = tmp_path_factory.mktemp("states")
    with serving(Paths(folder / "data").create().data_dir, folder / "log") as address:
        yield State(data_folder, folder / "data", address)


def test_before_the_first_publication_it_says_what_to_do(open_page: Open, state: State) -> None:
    Paths(state.folder).published.unlink(missing_ok=True)
    page = open_page("", base=state.address)
    expect(page.get_by_test_id("empty")).to_contain_text("make demo")


@pytest.fixture(scope="module")
def hostile(state: State) -> str:
    """Outsiders named campaigns, channels, deals and tags; there are very many of them."""
    names = ", ".join("('" + name.replace("'", "''") + "')" for name in HOSTILE)
    state.publish(
        "create temp table names as select name, row_number() over () - 1 as place"
        f" from (values {names}) as n (name)",
        "create temp table many as select campaign_id, row_number() over (order by campaign_id) as number"
        " from core.dim_campaigns",
        "update core.dim_campaigns set campaign_name = (select name from names, many"
        f" where many.campaign_id = dim_campaigns.campaign_id and place = number % {len(HOSTILE)})",
        "update attribution.attribution_campaigns set campaign_name = c.campaign_name"
        " from core.dim_campaigns as c where c.campaign_id = attribution_campaigns.campaign_id",
        *(
            f"update {name} set channel = '{HOSTILE[0]}' where channel = 'Paid Social'"
            for name in (
                "retention.channel_economics",
                "attribution.attribution_channels",
                "attribution.fct_attribution",
                "core.dim_channels",
                "core.dim_campaigns",
            )
        ),
        f"update funnel.leads_needing_attention set opportunity_name = '{HOSTILE[1]}',"
        f" owner_name = '{HOSTILE[0]}', crm_url = 'javascript:window.hacked=1'",
        f"update trust.utm_audit set written_value = '{HOSTILE[0]}', suggested_value = '=1+1'",
        "insert into attribution.attribution_campaigns"
        " select date, date_basis, 'many-' || number, '=many-' || number, conversion_type, is_new_customer,"
        " model, 1, value, value_net, 0, 0, null, null from (select * from attribution.attribution_campaigns"
        " where model = 'linear' and date_basis = 'conversion' and conversion_type = 'purchase'"
        " and date = date '2026-06-15' limit 1) cross join range(30000) as many (number)",
    )  # fmt: skip
    return state.address


def test_names_from_outside_stay_text(open_page: Open, hostile: str) -> None:
    page = open_page("", base=hostile, period="all_time")
    for name, called in PAGES.items():
        if name != "overview":
            go_to(page, called)
        assert page.evaluate("() => window.hacked === undefined"), name
        main = page.locator('[data-testid="stMain"]')
        assert main.locator("script, img[onerror], img[src='x'], iframe").count() == 0, name
        assert main.locator("a[href^='javascript' i], a[href*='198.51.100.1']").count() == 0, name
        links = page.locator(".js-plotly-plot a").evaluate_all(
            "links => links.filter(link => link.getAttribute('xlink:href') || link.href.baseVal).length"
        )
        assert links == 0, name


def test_a_download_is_no_formula_and_very_many_rows_are_cut_and_said(open_page: Open, hostile: str) -> None:
    page = open_page("attribution", base=hostile)
    panel = page.locator('[class*="st-key-panel_campaigns"]')
    expect(panel).to_contain_text("15 of 20,000 rows")
    expect(panel).to_contain_text("The first 20,000 rows.")
    cells = [cell for row in csv.reader(io.StringIO(download(page, "campaigns"))) for cell in row]
    assert any(cell.startswith("'=many-") for cell in cells)
    assert [cell for cell in cells if cell[:1] in "=+@\t\r" and cell] == []


def test_empty_tables_say_so_on_every_page(open_page: Open, state: State) -> None:
    tables = state.tables("table_name not in ('reporting_settings', 'dim_dates')")
    state.publish(*(f"delete from {name}" for name in tables))
    page = open_page("", base=state.address)
    for name, called in PAGES.items():
        if name != "overview":
            go_to(page, called)
        assert page.locator(".fh-empty").count() > 0, name


def test_single_rows_are_drawn_on_every_page(open_page: Open, state: State) -> None:
    tables = state.tables("schema_name <> 'core' and table_name <> 'reporting_settings'")
    state.publish(*(f"delete from {name} where rowid > (select min(rowid) from {name})" for name in tables))
    page = open_page("", base=state.address, period="all_time")
    for name, called in PAGES.items():
        if name != "overview":
            go_to(page, called)


def test_a_new_publication_is_seen_by_the_next_click(open_page: Open, state: State) -> None:
    state.publish()
    page = open_page("trust", base=state.address)
    expect(page.locator('.fh-card[data-figure="Refused records"]')).to_be_visible()
    state.publish(
        "delete from trust.quarantined_records",
        "insert into trust.quarantined_records (quarantined_record_id, source_relation, resource, reason)"
        " values ('1', 'shop:main:1', 'orders', 'test'), ('2', 'shop:main:1', 'orders', 'test')",
    )
    go_to(page, "Overview")
    go_to(page, "Data trust")
    expect(page.locator('.fh-card[data-figure="Refused records"]')).to_have_attribute("data-value", "2")


def test_a_choice_within_a_page_shows_no_mixture_of_publications(open_page: Open, state: State) -> None:
    state.publish()
    page = open_page("pipeline", base=state.address)
    card = page.locator('.fh-card[data-figure="Deals to look at"]')
    assert float(card.get_attribute("data-value") or 0) > 0
    pick(page, "what", "Deals")  # draws its own part anew
    state.publish("update funnel.leads_needing_attention set amount = 1 where subject = 'opportunity'")
    pick(page, "what", "Deals and leads")
    with duckdb.connect(str(Paths(state.folder).published), read_only=True) as connection:
        [(deals,)] = connection.execute(
            "select count(distinct subject_id) from funnel.leads_needing_attention"
            " where subject = 'opportunity'"
        ).fetchall()
    expect(card).to_have_attribute("data-value", f"{float(deals)}")
