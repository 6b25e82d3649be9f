"""Filters clicked, figures against SQL of their own on the published file, downloads, keyboard."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect

from ingestion.settings import Paths
from orchestration import comparison
from tests.browser.conftest import Open, Sql
from tests.browser.support import (
    SPAN,
    address,
    choose,
    csv_rows,
    download,
    figure,
    go_to,
    table,
    title,
)

LAST_MONTH = ("2026-06-01", "2026-06-30")


def test_overview_shows_what_the_tables_hold_and_filters_change_it(open_page: Open, sql: Sql) -> None:
    def expected(model: str, first: str, last: str, channel: str | None = None) -> list[float]:
        [row] = sql(
            "select sum(media_spend), sum(leads), sum(new_customers), sum(bookings), sum(billings)"
            " from retention.channel_economics where period_grain = 'month' and date_basis = 'conversion'"
            " and model = ? and period_start between ?::date and ?::date and coalesce(channel = ?, true)",
            [model, first, last, channel],
        )
        return [float(value) for value in row]

    names = ("Media spend", "Leads", "New customers", "Bookings", "Billings")
    page = open_page("")
    assert [figure(page, name) for name in names] == pytest.approx(expected("linear", *SPAN))
    choose(page, "Attribution model", "First touch")
    choose(page, "Period", "Last month")
    choose(page, "Channel", "Paid Search")
    assert [figure(page, name) for name in names] == pytest.approx(
        expected("first_touch", *LAST_MONTH, "Paid Search")
    )
    for part in ("model=first_touch", "period=last_month", "channel=Paid+Search"):
        assert part in page.url
    again = open_page("", model="first_touch", period="last_month", channel="Paid Search")
    assert [figure(again, name) for name in names] == [figure(page, name) for name in names]


def test_filters_go_with_the_reader_to_every_page(open_page: Open) -> None:
    page = open_page("", period="last_6_months", model="shapley")
    for name in ("Attribution", "Economics"):
        go_to(page, name)
        expect(page.get_by_test_id("chosen")).to_contain_text("Last 6 months")
        expect(page.get_by_test_id("chosen")).to_contain_text("Shapley model")
        assert "period=last_6_months" in page.url
        assert "model=shapley" in page.url


def test_an_address_with_nonsense_falls_back_to_what_there_is(open_page: Open) -> None:
    page = open_page(
        "attribution", period="2026-13-99..x", model="'; drop table x; --", country="<b>", channel="=1+1"
    )
    expect(page.get_by_test_id("chosen")).to_contain_text("Last 3 months")
    expect(page.get_by_test_id("chosen")).to_contain_text("Linear model")
    expect(page.get_by_test_id("chosen")).to_contain_text("all countries")


def test_attribution_equals_the_credits_by_country_and_date_basis(open_page: Open, sql: Sql) -> None:
    def expected(day: str, country: str | None) -> float:
        [(count,)] = sql(
            "select sum(credits.credit_markov) from attribution.fct_attribution as credits"
            " join core.fct_conversions as c using (conversion_id)"
            " left join core.dim_accounts as a on a.account_id = c.account_id"
            " left join core.dim_persons as p on p.person_id = c.person_id"
            f" where c.conversion_type = 'purchase' and {day} between ?::date and ?::date"
            " and coalesce(coalesce(a.country, p.country, '(not set)') = ?, true)",
            [*SPAN, country],
        )
        return float(count)

    touched = "coalesce(credits.touched_on, credits.converted_on)"
    page = open_page("attribution", model="markov")
    assert figure(page, "Conversions") == pytest.approx(expected("credits.converted_on", None))
    choose(page, "Date basis", "Day of the touch")
    assert figure(page, "Conversions") == pytest.approx(expected(touched, None))
    [(country,)] = sql("select mode(country) from core.dim_persons where country <> '(not set)'")
    choose(page, "Country", country)
    assert figure(page, "Conversions") == pytest.approx(expected(touched, country))
    [(spend,)] = sql(
        "select sum(spend) from core.fct_ad_performance_daily"
        " where country = ? and date between ?::date and ?::date",
        [country, *SPAN],
    )
    assert figure(page, "Media spend") == pytest.approx(float(spend or 0))


def test_models_give_every_conversion_away_once_and_paths_end_in_it(open_page: Open, sql: Sql) -> None:
    page = open_page("attribution")
    rows = csv_rows(download(page, "models"))
    models = [name for name in rows[0] if name != "channel"]
    [(conversions,)] = sql(
        "select count(*) from core.fct_conversions where conversion_type = 'purchase'"
        " and converted_on between ?::date and ?::date",
        SPAN,
    )
    assert len(models) == 10
    for model in models:
        assert sum(float(row[model]) for row in rows) == pytest.approx(conversions), model

    rows = csv_rows(download(page, "paths"))
    first = sum(int(row["conversions"]) for row in rows if row["step"] == "1")
    last = sum(int(row["conversions"]) for row in rows if not row["next_channel"])
    [(touched,)] = sql(
        "select count(distinct conversion_id) from attribution.fct_attribution"
        " where conversion_type = 'purchase' and touchpoint_id <> '(unattributed)'"
        " and converted_on between ?::date and ?::date",
        SPAN,
    )
    assert first == last == touched


def test_a_channel_opens_its_campaigns(open_page: Open, sql: Sql) -> None:
    page = open_page("attribution", channel="Paid Search")
    rows = csv_rows(download(page, "campaigns"))
    found = {row["campaign"]: float(row["conversions"]) for row in rows}
    expected = sql(
        "select campaigns.campaign_name, sum(conversions) from attribution.attribution_campaigns as credits"
        " join core.dim_campaigns as campaigns using (campaign_id)"
        " where campaigns.channel = 'Paid Search' and conversion_type = 'purchase' and model = 'linear'"
        " and date_basis = 'conversion' and credits.date between ?::date and ?::date"
        " group by 1 having sum(conversions) > 0",
        SPAN,
    )
    assert expected
    assert {name: found[name] for name, _ in expected} == pytest.approx(
        {name: float(count) for name, count in expected}
    )
    assert {row["channel"] for row in rows} == {"Paid Search"}


def test_economics_divides_sums_not_quotients(open_page: Open, sql: Sql) -> None:
    [(cost, customers, margin, months)] = sql(
        "select sum(loaded_cost), sum(new_customers), sum(gross_margin_to_date), sum(customer_months)"
        " from retention.channel_economics where period_grain = 'month' and date_basis = 'conversion'"
        " and model = 'linear' and period_start between ?::date and ?::date",
        SPAN,
    )
    page = open_page("economics")
    assert figure(page, "All costs") == pytest.approx(float(cost))
    assert figure(page, "Cost of a customer") == pytest.approx(float(cost) / customers)
    payback = float(cost) / customers / (float(margin) / months)
    assert figure(page, "Payback") == pytest.approx(payback)
    spend = sql(
        "select sum(spend) from core.fct_ad_performance_daily where date between ?::date and ?::date", SPAN
    )
    assert figure(page, "Media spend") == pytest.approx(float(spend[0][0]))


def test_data_trust_counts_what_is_late_apart_and_refused(open_page: Open, sql: Sql) -> None:
    page = open_page("trust")
    for label, query in (
        ("Late feeds", "select count(*) from trust.data_freshness where is_stale"),
        (
            "Days that do not add up",
            "select count(*) from trust.source_reconciliation where not is_reconciled",
        ),
        ("Refused records", "select count(*) from trust.quarantined_records"),
    ):
        assert figure(page, label) == sql(query)[0][0], label
    [(feeds,)] = sql("select count(*) from trust.data_freshness")
    assert len(csv_rows(download(page, "freshness"))) == feeds
    assert len(table(page, "freshness")) == min(feeds, 20)


def test_attribution_stands_beside_the_truth_of_the_simulated_company(
    open_page: Open, data_folder: Path
) -> None:
    content = json.loads((data_folder / "sandbox_truth.json").read_text())
    judged = comparison.read(Paths(data_folder).published, content["scale"], content["rows"])["purchase"]
    scores = comparison.judge([judged]).scores
    page = open_page("trust")
    rows = csv_rows(download(page, "truth_purchase"))
    assert {row["model"]: float(row["error"]) for row in rows} == pytest.approx(
        {model: score.error for model, score in scores.items()}
    )
    assert [float(row["error"]) for row in rows] == sorted(score.error for score in scores.values())


def test_definitions_come_with_the_published_file(open_page: Open, sql: Sql) -> None:
    [(said,)] = sql(
        "select comment from duckdb_columns() where schema_name = 'retention'"
        " and table_name = 'channel_economics' and column_name = 'media_spend'"
    )
    page = open_page("")
    card = page.locator('.fh-card[data-figure="Media spend"]')
    expect(card.locator(".fh-tip")).to_be_hidden()
    card.focus()  # the keyboard's hover
    expect(card.locator(".fh-tip")).to_be_visible()
    expect(card.locator(".fh-tip")).to_contain_text(said)


def test_the_keyboard_alone_reaches_filters_figures_and_downloads(open_page: Open) -> None:
    page = open_page("economics")
    reached: set[str] = set()
    for _ in range(70):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                """() => {
                  const at = document.activeElement, inside = where => at.closest(where);
                  return at.getAttribute('role') === 'combobox' ? 'filter'
                    : at.classList.contains('fh-card') ? 'figure'
                    : inside('[class*="st-key-csv_"]') ? 'csv'
                    : at.classList.contains('fh-scroll') ? 'table'
                    : inside('[data-testid="stSidebarNav"]') ? 'page' : at.tagName;
                }"""
            )
        )
    assert reached >= {"filter", "figure", "csv", "table", "page"}


def test_a_page_comes_soon_enough(open_page: Open, server: str) -> None:
    """A bound for a busy machine; docs/dashboard.md has the measurements."""
    page = open_page("")
    for name in ("Attribution", "Economics", "Data trust", "Overview"):
        started = time.monotonic()
        go_to(page, name)
        assert time.monotonic() - started < 15, name


@pytest.mark.parametrize(
    ("name", "chosen", "panel", "heading"),
    [
        (
            "funnel",
            {"funnel": "ecommerce", "stage": "cart", "split": "country"},
            "segments",
            "Cart by country",
        ),
        ("pipeline", {"grain": "month", "won_by": "team"}, "win_rates", "Win rate by team"),
        (
            "retention",
            {"basis": "revenue", "cohorts": "fiscal_quarter"},
            "cohorts",
            "Revenue still there, by cohort",
        ),
    ],
)
def test_a_link_shows_what_its_sender_saw(
    open_page: Open, name: str, chosen: dict[str, str], panel: str, heading: str
) -> None:
    page = open_page(name, **chosen)
    assert title(page, panel) == heading
    assert chosen.items() <= address(page).items()
    wrong = open_page(name, **dict.fromkeys(chosen, "no such thing"))
    assert title(wrong, panel)


def test_choices_of_a_page_survive_a_visit_to_another(open_page: Open) -> None:
    page = open_page("retention", basis="revenue")
    go_to(page, "Funnel")
    assert "basis" not in address(page)
    go_to(page, "Retention")
    assert title(page, "cohorts") == "Revenue still there, by cohort"
    assert address(page)["basis"] == "revenue"
