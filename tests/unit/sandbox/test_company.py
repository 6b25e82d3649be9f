"""The simulated company: same bytes for a seed, the stated size and untidiness, records that fit together."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from sandbox.company import Company, facts, generate
from sandbox.company.schema import PROPERTIES, TABLES

ROOT = Path(__file__).resolve().parents[3]


def digest(company: Company) -> str:
    """One hash over all cells of all tables."""
    total = hashlib.sha256()
    for name, table in company.tables.items():
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table.combine_chunks())
        total.update(name.encode() + b"\0" + sink.getvalue().to_pybytes())
    return total.hexdigest()


@pytest.fixture(scope="module")
def db(company: Company) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for name, table in company.tables.items():
        connection.register(name, table)
    return connection


def one(db: duckdb.DuckDBPyConnection, sql: str) -> float:
    """The single value of a query."""
    return db.execute(sql).fetchall()[0][0]


# ---------------------------------------------------------------------- determinism, size
def test_same_seed_gives_the_same_bytes_in_another_process(company: Company) -> None:
    code = (
        "from tests.unit.sandbox.test_company import digest; from sandbox.company import generate; "
        "print(digest(generate('small', 7)))"
    )
    other = {"PYTHONHASHSEED": "4711", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TZ": "Asia/Tokyo"}
    environment = {**os.environ, **other}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
        timeout=120,
        check=True,
    )
    assert done.stdout.strip() == digest(company)


def test_another_seed_gives_other_records(company: Company) -> None:
    other = generate("small", 8)
    assert other.tables["web_events"].num_rows != company.tables["web_events"].num_rows
    assert digest(other) != digest(company)


def test_small_takes_less_than_three_seconds_of_processor_time() -> None:
    before = time.process_time()
    generate("small", 9)
    assert time.process_time() - before < 3


def test_small_has_about_two_thousand_visitors_in_sixty_days(
    company: Company, db: duckdb.DuckDBPyConnection
) -> None:
    assert company.end - company.start == timedelta(days=60)
    assert company.start == datetime(2026, 5, 2, tzinfo=UTC)
    cookies = one(
        db,
        "select count(distinct client_id) from web_events "
        "where not is_bot and consent_analytics is distinct from 'denied'",
    )
    assert 1_500 < cookies < 2_700
    first, last = db.execute("select min(occurred_at), max(occurred_at) from web_events").fetchall()[0]
    assert company.start <= first.replace(tzinfo=UTC) <= last.replace(tzinfo=UTC) < company.end


# ---------------------------------------------------------------------- shape
@pytest.mark.parametrize("name", list(TABLES))
def test_table_has_its_schema_rows_and_unique_key(
    company: Company, db: duckdb.DuckDBPyConnection, name: str
) -> None:
    spec, table = TABLES[name], company.tables[name]
    assert table.schema == spec.schema
    assert table.num_rows > 0
    if spec.key:
        keys = ", ".join(spec.key)
        assert (
            one(db, f"select count(*) from (select {keys} from {name} group by all having count(*) > 1)") == 0
        )


def test_only_documented_properties_occur_and_all_important_ones_do(db: duckdb.DuckDBPyConnection) -> None:
    for kind, properties in PROPERTIES.items():
        found = {
            row[0]
            for row in db.execute(
                "select distinct property from crm_property_history where object_type = ?", [kind]
            ).fetchall()
        }
        assert found <= set(properties)
        # Partner referrals of deals are too rare for sixty days.
        assert set(properties) - found <= {"partner_company_id"}


REFERENCES = (
    ("ad_groups", "campaign_id", "ad_campaigns", "campaign_id"),
    ("ads", "ad_group_id", "ad_groups", "ad_group_id"),
    ("ad_campaigns", "account_id", "ad_accounts", "account_id"),
    ("ad_performance", "campaign_id", "ad_campaigns", "campaign_id"),
    ("ad_performance", "ad_id", "ads", "ad_id"),
    ("ad_clicks", "ad_id", "ads", "ad_id"),
    ("web_events", "gclid", "ad_clicks", "click_id"),
    ("web_events", "fbclid", "ad_clicks", "click_id"),
    ("email_events", "campaign_id", "email_campaigns", "campaign_id"),
    ("email_events", "member_id", "email_members", "member_id"),
    ("email_members", "list_id", "email_lists", "list_id"),
    ("crm_property_history", "object_id", "crm_objects", "object_id"),
    ("crm_associations", "from_id", "crm_objects", "object_id"),
    ("crm_associations", "to_id", "crm_objects", "object_id"),
    ("crm_objects", "merged_into_id", "crm_objects", "object_id"),
    ("crm_activities", "contact_id", "crm_objects", "object_id"),
    ("crm_activities", "company_id", "crm_objects", "object_id"),
    ("crm_activities", "deal_id", "crm_objects", "object_id"),
    ("crm_activities", "owner_id", "crm_owners", "owner_id"),
    ("offline_touches", "contact_id", "crm_objects", "object_id"),
    ("survey_responses", "contact_id", "crm_objects", "object_id"),
    ("billing_customers", "crm_company_id", "crm_objects", "object_id"),
    ("subscriptions", "customer_id", "billing_customers", "customer_id"),
    ("subscription_changes", "subscription_id", "subscriptions", "subscription_id"),
    ("subscription_changes", "price_id", "billing_prices", "price_id"),
    ("invoices", "customer_id", "billing_customers", "customer_id"),
    ("invoices", "subscription_id", "subscriptions", "subscription_id"),
    ("invoices", "deal_id", "crm_objects", "object_id"),
    ("invoice_lines", "invoice_id", "invoices", "invoice_id"),
    ("refunds", "invoice_id", "invoices", "invoice_id"),
    ("shop_order_lines", "product_id", "shop_products", "product_id"),
    ("shop_refund_lines", "original_line_id", "shop_order_lines", "line_id"),
)


@pytest.mark.parametrize(("child", "column", "parent", "key"), REFERENCES)
def test_references_lead_somewhere(
    db: duckdb.DuckDBPyConnection, child: str, column: str, parent: str, key: str
) -> None:
    lost = one(
        db,
        f"select count(*) from {child} c where c.{column} is not null "
        f"and c.{column} not in (select {key} from {parent} where {key} is not null)",
    )
    assert lost == 0


def test_owners_and_renewals_in_properties_exist(db: duckdb.DuckDBPyConnection) -> None:
    unknown = one(
        db,
        "select count(*) from crm_property_history where property = 'owner_id' "
        "and value not in (select owner_id from crm_owners)",
    )
    assert unknown == 0
    orphans = one(
        db,
        "select count(*) from crm_property_history where property = 'renewed_deal_id' "
        "and value not in (select object_id from crm_objects where object_type = 'deal')",
    )
    assert orphans == 0


def test_every_purchase_event_is_an_order_and_the_other_way_round(db: duckdb.DuckDBPyConnection) -> None:
    rows = db.execute(
        """
        with events as (select distinct transaction_id, value_minor, occurred_at from web_events
                        where event_name = 'purchase'),
        orders as (select order_id, sum(amount_minor) as amount, min(occurred_at) as placed_at
                   from (select distinct * from shop_order_lines) group by order_id)
        select count(*), count(*) filter (value_minor = amount), count(*) filter (occurred_at = placed_at),
               count(order_id), count(transaction_id)
        from events full join orders on transaction_id = order_id
        """
    ).fetchall()[0]
    assert rows[0] > 50
    assert set(rows) == {rows[0]}


# ---------------------------------------------------------------------- every stage
def test_every_kind_of_event_happens(db: duckdb.DuckDBPyConnection) -> None:
    expected = {
        "session_start",
        "page_view",
        "view_item",
        "add_to_cart",
        "begin_checkout",
        "purchase",
        "generate_lead",
        "newsletter_sign_up",
        "sign_up",
        "login",
        "activation_complete",
        "pql_reached",
        "start_trial",
        "invite_sent",
        "referral_sign_up",
        "chat_started",
    }
    assert {row[0] for row in db.execute("select distinct event_name from web_events").fetchall()} == expected
    touches = {row[0] for row in db.execute("select distinct touch_type from offline_touches").fetchall()}
    assert touches == {"event", "webinar", "direct_mail", "partner_referral"}
    mails = {row[0] for row in db.execute("select distinct event_type from email_events").fetchall()}
    assert mails >= {"sent", "opened", "clicked", "bounced", "unsubscribed"}
    surveys = {row[0] for row in db.execute("select distinct survey from survey_responses").fetchall()}
    assert surveys == {"nps", "csat", "how_did_you_hear"}
    states = {row[0] for row in db.execute("select distinct state from consent_events").fetchall()}
    assert states == {"granted", "denied", "withdrawn"}


@pytest.mark.parametrize(
    ("kind", "prop", "values"),
    [
        (
            "contact",
            "lifecycle_stage",
            {"subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead", "opportunity", "customer"},
        ),
        ("contact", "lead_status", {"NEW", "OPEN", "IN_PROGRESS", "UNQUALIFIED", "RECYCLED"}),
        (
            "deal",
            "stage",
            {"request", "briefing", "quote", "closedwon", "closedlost", "renewal_due", "renewal_quote"},
        ),
        ("deal", "opportunity_type", {"new_business", "renewal", "expansion"}),
    ],
)
def test_every_stage_has_something_in_it(
    db: duckdb.DuckDBPyConnection, kind: str, prop: str, values: set[str]
) -> None:
    found = {
        row[0]
        for row in db.execute(
            "select distinct value from crm_property_history where object_type = ? and property = ?",
            [kind, prop],
        ).fetchall()
    }
    assert found == values


def test_people_leave_the_funnel_in_believable_shares(db: duckdb.DuckDBPyConnection) -> None:
    leads, mqls, sqls = (
        one(
            db,
            "select count(distinct object_id) from crm_property_history where object_type = 'contact' "
            f"and property = 'lifecycle_stage' and value = '{stage}' "
            "and changed_at >= timestamp '2026-05-02'",
        )
        for stage in ("lead", "marketingqualifiedlead", "salesqualifiedlead")
    )
    assert 0.2 < mqls / leads < 0.65
    assert 0.15 < sqls / mqls < 0.75
    average = one(
        db,
        "select avg(total) from (select sum(amount_minor) / 100.0 as total from shop_order_lines "
        "where currency = 'EUR' group by order_id)",
    )
    assert 60 < average < 130


# ---------------------------------------------------------------------- untidiness
def share(db: duckdb.DuckDBPyConnection, table: str, condition: str, among: str = "true") -> float:
    """The share of rows that meet a condition."""
    return one(db, f"select avg(({condition})::int) from {table} where {among}")


def test_repeated_and_late_events_come_in_the_stated_shares(db: duckdb.DuckDBPyConnection) -> None:
    repeated = one(db, "select 1 - count(distinct event_id) / count(*) from web_events")
    assert repeated == pytest.approx(facts.REPEATED_EVENT_SHARE, rel=0.35)
    late = share(db, "web_events", "visible_at > occurred_at + interval 1 hour")
    assert late == pytest.approx(facts.LATE_EVENT_SHARE, abs=0.02)
    assert one(db, "select max(visible_at - occurred_at) <= interval 3 day from web_events")
    # A repeat is the same event, arriving later.
    differing = one(
        db,
        "select count(*) from (select event_id from web_events group by event_id having "
        "count(distinct occurred_at) > 1 or count(distinct client_id) > 1 or count(distinct event_name) > 1)",
    )
    assert differing == 0


def test_tags_are_missing_and_miswritten_in_the_stated_shares(db: duckdb.DuckDBPyConnection) -> None:
    sessions = (
        "(select distinct client_id, ga_session_id, utm_source, utm_medium, gclid, fbclid from web_events "
        "where coalesce(gclid, fbclid) is not null)"
    )
    assert share(db, sessions, "utm_source is null") == pytest.approx(facts.UTM_MISSING_SHARE, abs=0.04)
    wrong = share(
        db,
        sessions,
        "utm_source not in ('google', 'facebook', 'youtube', 'linkedin')",
        "utm_source is not null",
    )
    assert 0.01 < wrong < 0.1
    assert one(db, "select count(*) from web_events where utm_medium = 'CPC'") > 0
    assert one(db, "select count(*) from web_events where utm_source like '% '") > 0
    assert one(db, "select count(*) from web_events where utm_source = 'gogle'") > 0


def test_consent_bots_and_staff_come_in_the_stated_shares(db: duckdb.DuckDBPyConnection) -> None:
    sessions = (
        "(select distinct client_id, ga_session_id, consent_analytics, is_bot, browser, traffic_type "
        "from web_events)"
    )
    denied = share(db, sessions, "consent_analytics = 'denied'", "not is_bot and traffic_type is null")
    assert denied == pytest.approx(facts.CONSENT_DENIED_SHARE, abs=0.05)
    assert share(db, sessions, "is_bot") == pytest.approx(facts.BOT_SESSION_SHARE, abs=0.01)
    telling = "browser in ('HeadlessChrome', 'Googlebot', 'AhrefsBot')"
    assert one(db, f"select count(*) from {sessions} where is_bot <> ({telling})") == 0
    assert one(db, f"select count(*) from {sessions} where traffic_type = 'internal'") > 10


def test_devices_are_shared_and_the_kiosk_sees_many_addresses(db: duckdb.DuckDBPyConnection) -> None:
    two_users = one(
        db,
        "select count(*) from (select client_id from web_events group by 1 "
        "having count(distinct user_id) > 1)",
    )
    assert two_users >= 1
    most = one(
        db,
        "select max(n) from (select count(distinct lower(trim(customer_email))) as n from shop_order_lines "
        "where anonymous_id is not null group by anonymous_id)",
    )
    assert most > 3
    several_devices = one(
        db,
        "select count(*) from (select user_id from web_events where user_id is not null group by 1 "
        "having count(distinct client_id) > 1)",
    )
    assert several_devices > 0


def test_records_are_merged_deleted_and_reopened(db: duckdb.DuckDBPyConnection) -> None:
    for kind in ("company", "contact", "deal"):
        assert one(db, f"select count(merged_at) from crm_objects where object_type = '{kind}'") >= 1
    for kind in ("contact", "deal"):
        assert one(db, f"select count(deleted_at) from crm_objects where object_type = '{kind}'") >= 1
    machine = share(db, "email_events", "is_machine_open", "event_type = 'opened'")
    assert 0.3 < machine < 0.75
    rows = db.execute(
        "select distinct value from crm_property_history where property = 'first_name'"
    ).fetchall()
    names = {row[0] for row in rows}
    assert any(not name.isascii() for name in names)
    lost = one(
        db, "select count(*) from crm_property_history where property = 'stage' and value = 'closedlost'"
    )
    reasons = one(db, "select count(*) from crm_property_history where property = 'lost_reason'")
    assert 0 < reasons < lost
    rivals = one(db, "select count(*) from crm_property_history where property = 'competitor'")
    assert 0 < rivals < one(db, "select count(*) from crm_objects where object_type = 'deal'")


def test_records_of_a_doubled_company_move_to_the_survivor_when_it_is_merged(
    db: duckdb.DuckDBPyConnection,
) -> None:
    """Every link to a double ends with its merge, when the same record is linked to the survivor."""
    links = db.execute(
        """
        select under.removed_at = double.merged_at, moved.created_at = double.merged_at
        from crm_objects double
        join crm_associations under on under.to_type = 'company' and under.to_id = double.object_id
        left join crm_associations moved on moved.to_type = 'company' and moved.from_type = under.from_type
            and moved.to_id = double.merged_into_id and moved.from_id = under.from_id
        where double.object_type = 'company' and double.merged_at is not null
        """
    ).fetchall()
    assert len(links) >= 1
    assert set(links) == {(True, True)}


def test_deals_from_the_product_have_a_contact_who_uses_it(db: duckdb.DuckDBPyConnection) -> None:
    users = db.execute(
        """
        select source.object_id, count(user_id.value)
        from crm_property_history source
        join crm_associations a on a.from_type = 'deal' and a.from_id = source.object_id
            and a.label = 'primary' and a.to_type = 'contact'
        left join crm_property_history user_id on user_id.object_type = 'contact'
            and user_id.object_id = a.to_id and user_id.property = 'user_id'
        where source.object_type = 'deal' and source.property = 'sourced_by' and source.value = 'product'
        group by 1
        """
    ).fetchall()
    assert len(users) >= 1
    assert all(count >= 1 for _, count in users)


def test_some_qualified_leads_wait_too_long_and_some_deals_are_past_their_date(
    db: duckdb.DuckDBPyConnection,
) -> None:
    in_time, late, never = db.execute(
        """
        with contacts as (
            select object_id,
                min(changed_at) filter (
                    property = 'lifecycle_stage' and value = 'marketingqualifiedlead') as mql,
                min(changed_at) filter (property = 'lead_status' and value = 'OPEN') as opened
            from crm_property_history where object_type = 'contact' group by 1)
        select count(*) filter (opened <= mql + interval 24 hour),
            count(*) filter (opened > mql + interval 24 hour), count(*) filter (opened is null)
        from contacts where mql < timestamp '2026-06-25'
        """
    ).fetchall()[0]
    assert in_time > late >= 1
    assert never >= 1
    overdue = one(
        db,
        """
        with deals as (
            select object_id, arg_max(value, changed_at) filter (property = 'close_date') as close_date,
                arg_max(value, changed_at) filter (property = 'stage') as stage
            from crm_property_history where object_type = 'deal' group by 1)
        select count(*) from deals join crm_objects using (object_id)
        where stage not like 'closed%' and close_date < '2026-07-01' and object_type = 'deal'
            and merged_at is null and deleted_at is null
        """,
    )
    assert 1 <= overdue <= 4


def test_deals_skip_and_return_to_stages_at_medium_scale_patterns() -> None:
    from sandbox.company.deals import PATTERNS

    order = {"request": 0, "briefing": 1, "quote": 2, "closedlost": 3}
    moves = [[order[stage] for stage, _ in steps] for steps in PATTERNS]
    assert any(later < earlier for steps in moves for earlier, later in pairwise(steps))
    assert any(later > earlier + 1 for steps in moves for earlier, later in pairwise(steps))


def test_platforms_claim_the_same_conversions(db: duckdb.DuckDBPyConnection) -> None:
    claimed = one(db, "select sum(conversions) from ad_performance")
    google, meta = (
        one(db, f"select sum(conversions) from ad_performance where platform = '{name}'")
        for name in ("google_ads", "meta")
    )
    assert google > 0
    assert meta > 0
    happened = one(
        db,
        "select count(distinct event_id) from web_events "
        "where event_name in ('purchase', 'sign_up', 'generate_lead')",
    )
    assert 0.3 * happened < claimed < 1.5 * happened


# ---------------------------------------------------------------------- sums
def test_invoices_are_the_sum_of_their_lines(db: duckdb.DuckDBPyConnection) -> None:
    wrong = db.execute(
        """
        select invoice_id from invoices join (
            select invoice_id, sum(amount_minor) as amount, sum(discount_minor) as discount,
                   sum(tax_minor) as tax
            from invoice_lines group by invoice_id) as lines using (invoice_id)
        where subtotal_minor <> amount or discount_minor <> discount or tax_minor <> tax
           or total_minor <> subtotal_minor - discount_minor + tax_minor
        """
    ).fetchall()
    assert wrong == []
    assert (
        one(
            db, "select count(*) from invoices where invoice_id not in (select invoice_id from invoice_lines)"
        )
        == 0
    )


def test_subscription_versions_follow_one_another(db: duckdb.DuckDBPyConnection) -> None:
    wrong = one(
        db,
        """
        select count(*) from (
            select *, lag(changed_at) over w as before, lag(status) over w as earlier,
                   row_number() over w as expected
            from subscription_changes window w as (partition by subscription_id order by version)
        ) where version <> expected or changed_at <= before or earlier = 'canceled'
             or (status in ('trialing', 'canceled')) <> (mrr_minor = 0)
             or (status = 'canceled') <> (ended_at is not null)
        """,
    )
    assert wrong == 0


def test_refunds_never_exceed_what_was_paid(db: duckdb.DuckDBPyConnection) -> None:
    too_much = one(
        db,
        """
        select count(*) from refunds r join invoices i using (invoice_id)
        where r.amount_minor > i.total_minor or i.paid_at is null or r.created_at < i.paid_at
           or r.amount_minor <= 0
        """,
    )
    assert too_much == 0
    shop = one(
        db,
        """
        select count(*) from shop_refund_lines r
        join (select distinct line_id, amount_minor, occurred_at from shop_order_lines) o
        on r.original_line_id = o.line_id where -r.amount_minor > o.amount_minor
           or r.occurred_at < o.occurred_at
        """,
    )
    assert shop == 0


def test_spend_is_believable(db: duckdb.DuckDBPyConnection) -> None:
    rows = db.execute(
        """
        select c.channel, sum(clicks) / sum(impressions),
               sum(spend_minor / case p.currency when 'SEK' then 11.2 when 'USD' then 1.1 else 1 end) / 100
                   / sum(clicks)
        from ad_performance p join ad_campaigns c using (platform, account_id, campaign_id) group by 1
        """
    ).fetchall()
    assert {row[0] for row in rows} == {
        "Paid Search",
        "Cross-network",
        "Display",
        "Paid Video",
        "Paid Social",
    }
    for _, click_rate, price in rows:
        assert 0.002 < click_rate < 0.15
        assert 0.3 < price < 9
    assert one(db, "select count(*) from ad_performance where clicks > impressions or spend_minor < 0") == 0
