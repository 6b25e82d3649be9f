"""All connectors against the sandbox: raw holds what the company has, and an idle day moves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion.registry import system
from ingestion.settings import Connection, Paths, connections
from ingestion.warehouse import LoadReport, connect, load, writer_lock
from sandbox.app import running
from sandbox.company import generate
from sandbox.environment import environment
from sandbox.servers import vendors

AS_OF = datetime(2026, 7, 1, 3, tzinfo=UTC)
SYSTEMS = tuple(sorted(vendors()))


@dataclass
class World:
    """The loaded warehouse with the company's tables beside it, and the reports of both loads."""

    paths: Paths
    sql: duckdb.DuckDBPyConnection
    first: dict[str, LoadReport]
    second: dict[str, LoadReport]
    connected: dict[str, Connection]
    base_url: str

    def value(self, query: str) -> Any:
        return self.sql.execute(query).fetchall()[0][0]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    paths = Paths.from_environment(tmp_path_factory.mktemp("data")).create()
    company = generate("small")
    patch = pytest.MonkeyPatch()
    with running(company, AS_OF) as base_url:
        for name, value in environment(base_url).items():
            patch.setenv(name, value)
        patch.setenv("SOURCES__GOOGLE_ADS__START_DATE", "2026-05-01")
        patch.setenv("SOURCES__META_ADS__START_DATE", "2026-05-01")
        patch.setenv("SOURCES__LINKEDIN_ADS__START_DATE", "2026-05-01")
        connected = {
            entry.system: Connection(
                entry.system, entry.name, entry.accounts, tuple(e for e in entry.entities if e != "ad_clicks")
            )
            for entry in connections(paths)
            if entry.system in SYSTEMS
        }
        with writer_lock(paths):
            first = {name: load(paths, connected[name], as_of=AS_OF) for name in SYSTEMS}
            second = {name: load(paths, connected[name], as_of=AS_OF) for name in SYSTEMS}
        con = connect(paths, read_only=True)
        for name, table in company.tables.items():
            con.register(f"company_{name}", table)
        yield World(paths, con, first, second, connected, base_url)
        con.close()
    patch.undo()


def test_every_record_is_accounted_for_and_none_is_refused(world: World) -> None:
    for report in world.first.values():
        assert report.quarantined == 0, report
        for name, table in report.tables.items():
            filtered = sum(table.filtered.values())
            assert (
                table.rows_in
                == table.good + table.quarantined + filtered + table.unchanged + table.superseded
            ), name


def test_no_field_of_the_vendors_is_unknown(world: World) -> None:
    unknown = {
        (name, table): dict(report.unknown_fields)
        for name, load_report in world.first.items()
        for table, report in load_report.tables.items()
        if report.unknown_fields
    }
    assert not unknown


def test_the_same_run_again_writes_nothing(world: World) -> None:
    written = {
        (name, table): report.good
        for name, load_report in world.second.items()
        for table, report in load_report.tables.items()
        if report.good
    }
    assert not written


def test_spend_is_what_the_platform_shows(world: World) -> None:
    from sandbox.company.restatement import restated

    table = world.sql.sql("from company_ad_performance").to_arrow_table()
    shown = restated(table, AS_OF.replace(tzinfo=None))
    world.sql.register("shown", shown)
    expected = world.value(
        """select sum(spend_minor) from shown
        where platform = 'google_ads' and visible_at <= timestamp '2026-07-01 03:00'"""
    )
    assert world.value("select sum(cost_micros) / 10000 from raw_google_ads.campaign_performance") == expected
    ads = world.value("select sum(cost_micros) from raw_google_ads.ad_performance")
    assert 0 < ads < expected * 10000  # Performance Max is in no ad's row


@pytest.mark.parametrize(
    ("platform", "reading", "spend", "clicks"),
    [
        ("meta", "raw_meta_ads.insights_by_country", "spend", "inline_link_clicks"),
        ("meta", "raw_meta_ads.insights_by_device", "spend", "inline_link_clicks"),
        ("linkedin", "raw_linkedin_ads.creative_analytics", "cost", "landing_page_clicks"),
        ("linkedin", "raw_linkedin_ads.account_analytics", "cost", "landing_page_clicks"),
    ],
)
def test_each_reading_of_a_social_platform_holds_what_it_shows(
    world: World, platform: str, reading: str, spend: str, clicks: str
) -> None:
    from sandbox.company.restatement import restated

    table = world.sql.sql(f"from company_ad_performance where platform = '{platform}'").to_arrow_table()
    world.sql.register("shown_social", restated(table, AS_OF.replace(tzinfo=None)))
    expected = world.sql.execute(
        "select sum(spend_minor) / 100, sum(impressions), sum(clicks) from shown_social"
    ).fetchall()[0]
    held = world.sql.execute(
        f"select sum({spend}), sum(impressions), sum({clicks}) from {reading}"
    ).fetchall()[0]
    assert expected[0] > 0
    assert [float(value) for value in held] == [float(value) for value in expected]


def test_each_collected_event_is_one_row(world: World) -> None:
    expected = world.value(
        """select count(distinct event_id) from company_web_events
        where tool = 'site'
            and cast(timezone('Europe/Amsterdam', timezone('UTC', occurred_at)) as date) < date '2026-06-30'
            and visible_at <= timestamp '2026-06-30 02:00'"""
    )
    assert world.value("select count(*) from raw_ga4.events where file_date < date '2026-06-30'") >= expected
    assert world.value("select count(*) - count(distinct event_id) from raw_ga4.events") == 0
    repeated = world.first["ga4"].tables["events"].filtered["repeated event"]
    total = world.value("select count(*) from raw_ga4.events")
    assert world.value("select sum(event_count) from raw_ga4.daily_report") == total + repeated


def test_each_product_event_is_one_row_and_its_user_is_known(world: World) -> None:
    expected = world.value(
        """select count(distinct event_id) + count(distinct event_id) filter (event_name = 'login')
        from company_web_events where tool = 'app' and visible_at <= timestamp '2026-07-01 03:00'"""
    )
    assert expected == world.value("select count(*) from raw_posthog.events") > 500
    assert world.value("select count(*) - count(distinct event_uuid) from raw_posthog.events") == 0
    users = "select distinct user_id from {} where user_id is not null"
    assert (
        world.value(
            f"select count(*) from ({users.format('raw_posthog.events')})"
            f" where user_id in ({users.format('raw_ga4.events')})"
        )
        > 20
    ), "users of the app are known from the site by the same id"


def test_reference_rates_are_those_published_by_the_clock(world: World) -> None:
    expected = world.value(
        """select count(*) from company_fx_rates
        where currency_from = 'EUR' and visible_at <= timestamp '2026-07-01 03:00'"""
    )
    agreeing = world.value(
        """select count(*) from raw_ecb.rates as rates
        inner join company_fx_rates as published
            on rates.date = published.date and rates.currency = published.currency_to
        where published.currency_from = 'EUR' and round(published.rate, 8) = rates.rate"""
    )
    assert expected == agreeing == world.value("select count(*) from raw_ecb.rates") > 80


def test_recipients_and_their_actions_are_what_the_reports_count(world: World) -> None:
    reported = world.sql.execute(
        """select sum(emails_sent), sum(opens_total), sum(clicks_total), sum(hard_bounces + soft_bounces),
            sum(unsubscribed), sum(abuse_reports), sum(opens_total - proxy_excluded_opens)
        from raw_mailchimp.reports"""
    ).fetchall()[0]
    held = world.sql.execute(
        """select (select count(*) from raw_mailchimp.sent_to),
            count(*) filter (action = 'open'), count(*) filter (action = 'click'),
            count(*) filter (action = 'bounce'), (select count(*) from raw_mailchimp.unsubscribes),
            (select count(*) from raw_mailchimp.abuse_reports),
            (select count(*) from raw_mailchimp.open_details where is_proxy_open)
        from raw_mailchimp.email_activity"""
    ).fetchall()[0]
    assert held == reported
    assert held[1] > 0


def test_the_events_of_both_mail_tools_are_the_company_s(world: World) -> None:
    wanted = world.sql.execute(
        """select count(*) filter (event_type = 'sent'), count(*) filter (event_type = 'opened'),
            count(*) filter (event_type = 'clicked'), count(*) filter (event_type = 'bounced'),
            count(*) filter (event_type = 'unsubscribed'), count(*) filter (event_type = 'complained')
        from company_email_events where visible_at <= timestamp '2026-07-01 03:00'"""
    ).fetchall()[0]
    held = world.sql.execute(
        """with shop as (
            select name, message_id from raw_klaviyo.events join raw_klaviyo.metrics using (metric_id)
        )

        select
            (select sum(emails_sent) from raw_mailchimp.reports)
                + count(*) filter (name in ('Received Email', 'Bounced Email')),
            (select sum(opens_total) from raw_mailchimp.reports) + count(*) filter (name = 'Opened Email'),
            (select sum(clicks_total) from raw_mailchimp.reports) + count(*) filter (name = 'Clicked Email'),
            (select sum(hard_bounces + soft_bounces) from raw_mailchimp.reports)
                + count(*) filter (name = 'Bounced Email'),
            (select sum(unsubscribed) from raw_mailchimp.reports)
                + count(*) filter (name = 'Unsubscribed from Email Marketing' and message_id is not null),
            (select sum(abuse_reports) from raw_mailchimp.reports)
                + count(*) filter (name = 'Marked Email as Spam')
        from shop"""
    ).fetchall()[0]
    assert held == wanted


def test_records_merges_and_deletions_are_the_company_s(world: World) -> None:
    for kind, table in (("contact", "contacts"), ("company", "companies"), ("deal", "deals")):
        gone = f"merged_at <= timestamp '{AS_OF:%Y-%m-%d %H:%M}'"
        born = (
            f"crm = 'hubspot' and object_type = '{kind}' and created_at <= timestamp '{AS_OF:%Y-%m-%d %H:%M}'"
        )
        assert world.value(f"select count(*) from raw_hubspot.{table}") == world.value(
            f"select count(*) from company_crm_objects where {born} and not coalesce({gone}, false)"
        )
        assert world.value(f"select count(*) from raw_hubspot.{table} where archived") == world.value(
            f"""select count(*) from company_crm_objects where {born} and not coalesce({gone}, false)
            and deleted_at <= timestamp '{AS_OF:%Y-%m-%d %H:%M}'"""
        )
    assert world.value("select count(*) from raw_hubspot.merges") > 0
    stages = world.value("select count(*) from raw_hubspot.deals_history where field = 'stage'")
    assert stages >= world.value("select count(*) from raw_hubspot.deals")


def test_the_acquired_crm_holds_the_rest_of_the_company_s_records(world: World) -> None:
    now = f"timestamp '{AS_OF:%Y-%m-%d %H:%M}'"
    mine = f"crm = 'salesforce' and created_at <= {now}"
    for kind, table, gone in (
        ("contact", "leads", "coalesce(deleted_at, merged_at)"),
        ("company", "accounts", "merged_at"),
        ("deal", "opportunities", "coalesce(deleted_at, merged_at)"),
    ):
        born = f"{mine} and object_type = '{kind}'"
        held = world.value(f"select count(*) from raw_salesforce.{table}")
        assert held == world.value(f"select count(*) from company_crm_objects where {born}")
        # A duplicate of somebody who is a contact by then is converted into that contact.
        taken = (
            "is_converted and converted_contact_id in (select converted_contact_id from raw_salesforce.leads"
        )
        taken += " group by 1 having count(*) > 1)" if kind == "contact" else ""
        removed = world.value(f"select count(*) from raw_salesforce.{table} where is_deleted")
        lost = world.value(f"select count(*) from company_crm_objects where {born} and {gone} <= {now}")
        twins = (
            world.value(f"select count(*) from raw_salesforce.leads where {taken}")
            if kind == "contact"
            else 0
        )
        assert removed == lost - twins // 2
    activities = world.value(
        f"""select count(*) from company_crm_activities where created_at <= {now}
        and contact_id in (select object_id from company_crm_objects where crm = 'salesforce')"""
    )
    assert activities == world.value(
        "select (select count(*) from raw_salesforce.tasks) + (select count(*) from raw_salesforce.events)"
    )
    touches = f"company_offline_touches where contact_id like '00Q%' and visible_at <= {now}"
    members = world.value("select count(*) from raw_salesforce.campaign_members")
    assert members == world.value(f"select count(*) from {touches}") > 0


def test_invoices_lines_and_refunds_are_the_company_s(world: World) -> None:
    for raw, own, moment in (
        ("invoices", "invoices", "created_at"),
        ("refunds", "refunds", "created_at"),
        ("subscriptions", "subscriptions", "created_at"),
    ):
        assert world.value(f"select count(*) from raw_stripe.{raw}") == world.value(
            f"select count(*) from company_{own} where {moment} <= timestamp '2026-07-01 03:00'"
        )
    assert world.value("select sum(amount - discount_amount) from raw_stripe.invoice_lines") == world.value(
        """select sum(lines.amount_minor - lines.discount_minor) from company_invoice_lines as lines
        inner join company_invoices as invoices using (invoice_id)
        where invoices.created_at <= timestamp '2026-07-01 03:00'"""
    )


def test_orders_lines_and_refunds_are_the_company_s(world: World) -> None:
    lines = (
        "(select distinct * from company_shop_order_lines where visible_at <= timestamp '2026-07-01 03:00')"
    )
    minor = "cast(sum({}) * 100 as bigint)"
    for raw, own in (
        (
            "select count(*), count(distinct order_id), sum(quantity) from raw_shopify.order_lines",
            f"select count(*), count(distinct order_id), sum(quantity) from {lines}",
        ),
        (
            f"""select currency, {minor.format("total")}, {minor.format("shipping")}
            from raw_shopify.orders group by 1 order by 1""",
            f"""select currency, sum(amount_minor + tax_minor + shipping_minor), sum(shipping_minor)
            from {lines} group by 1 order by 1""",
        ),
        (
            f"""select {minor.format("lines.subtotal + case when taxes_included then 0 else lines.tax end")}
            from raw_shopify.refund_lines as lines
            inner join raw_shopify.refunds using (source_relation, refund_id)
            inner join raw_shopify.orders using (source_relation, order_id)""",
            """select -sum(amount_minor + tax_minor) from company_shop_refund_lines
            where visible_at <= timestamp '2026-07-01 03:00'""",
        ),
        (
            f"""select {minor.format("unit_cost * quantity")} from raw_shopify.order_lines
            inner join raw_shopify.variants using (source_relation, variant_id)""",
            f"select sum(cost_minor) from {lines}",
        ),
    ):
        assert world.sql.execute(raw).fetchall() == world.sql.execute(own).fetchall()
    assert world.value("select count(email_hash) from raw_shopify.abandoned_checkouts") > 0


def test_no_address_lies_in_the_warehouse_in_clear_text(world: World) -> None:
    rows = world.sql.execute("select distinct lower(email) from company_email_members").fetchall()
    addresses = {address.encode() for (address,) in rows}
    assert len(addresses) > 100
    found = set()
    for path in Path(world.paths.data_dir).rglob("*"):
        parts = path.read_bytes().lower().split(b"@") if path.is_file() else []
        for before, behind in pairwise(parts):
            near = before[-64:] + b"@" + behind[:64]
            found |= {address for address in addresses if address in near}
    assert not found


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_check_says_what_it_reached(world: World, name: str) -> None:
    line = system(name).check(world.connected[name])
    assert line
    assert "\n" not in line
