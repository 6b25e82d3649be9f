"""What stands in the published file, against calculations that do not use the project's SQL."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from decimal import Decimal
from itertools import pairwise

import duckdb

from sandbox.company.restatement import restated
from tests.integration.conftest import LAST_DAY, Built, Sandbox
from tests.integration.support import rows, tables

IN_SCOPE = {
    "core.dim_persons",
    "core.dim_accounts",
    "core.dim_customers",
    "core.dim_campaigns",
    "core.dim_channels",
    "core.dim_owners",
    "core.dim_dates",
    "core.fct_ad_performance_daily",
    "core.fct_sessions",
    "core.fct_touchpoints",
    "core.fct_conversions",
    "attribution.fct_attribution",
    "attribution.attribution_channels",
    "attribution.attribution_campaigns",
    "funnel.fct_funnel_stage_entries",
    "funnel.funnel_stage_conversion",
    "funnel.fct_opportunities",
    "funnel.fct_pipeline_daily",
    "funnel.pipeline_waterfall",
    "funnel.sales_cycle",
    "funnel.sales_forecast",
    "funnel.pipeline_coverage",
    "funnel.quota_attainment",
    "funnel.sales_activity",
    "funnel.win_loss",
    "retention.retention_cohorts",
    "retention.mrr_movements",
    "retention.churn",
    "retention.renewals",
    "retention.customer_lifetime_value",
    "retention.customer_segments",
    "retention.repeat_purchase",
    "retention.product_affinity",
    "retention.abandoned_carts",
    "retention.trial_conversion",
    "retention.referrals",
    "retention.customer_feedback",
    "retention.channel_economics",
    "trust.source_reconciliation",
    "trust.data_freshness",
    "trust.quarantined_records",
}

Connection = duckdb.DuckDBPyConnection


def test_every_table_in_scope_is_published_and_has_rows(published: Connection) -> None:
    present = set(tables(published))
    assert present >= IN_SCOPE
    may_be_empty = {"trust.quarantined_records", "retention.product_affinity"}  # few pairs in few orders
    empty = [
        name
        for name in sorted(IN_SCOPE - may_be_empty)
        if not rows(published, f"select count(*) as n from {name}")[0]["n"]
    ]
    assert empty == []


def test_nothing_but_marts_is_published(published: Connection) -> None:
    schemas = {
        row["s"]
        for row in rows(published, "select distinct table_schema as s from information_schema.tables")
    }
    assert schemas == {"core", "attribution", "funnel", "retention", "trust"}


def test_spend_equals_what_the_platforms_hold_to_the_cent(published: Connection, sandbox: Sandbox) -> None:
    """The company's own ad figures, restated to the clock, per account and day, in account currency."""
    truth: dict[tuple[str, dt.date], Decimal] = defaultdict(Decimal)
    connection = duckdb.connect()
    connection.register("ads", restated(sandbox.company.tables["ad_performance"], LAST_DAY))
    # One platform writes its numbers with a prefix in addresses, and without it in what it answers.
    account = "replace(account_id, 'act_', '') as account_id"
    for row in rows(connection, f"select {account}, date, sum(spend_minor) as spend from ads group by all"):
        truth[(row["account_id"], row["date"])] += Decimal(int(row["spend"])) / 100
    mart = {
        (row["account_id"], row["date"]): row["spend"]
        for row in rows(
            published,
            "select ad_account_id as account_id, date, sum(spend_original) as spend"
            " from core.fct_ad_performance_daily group by all",
        )
    }
    assert {key: value for key, value in truth.items() if value} == {
        key: value for key, value in mart.items() if value
    }


def test_opening_plus_movements_is_closing_mrr_for_every_month(published: Connection) -> None:
    months = rows(
        published,
        "select month, sum(opening_mrr) as opening, sum(new_mrr) + sum(expansion_mrr) + sum(contraction_mrr)"
        " + sum(churned_mrr) + sum(reactivation_mrr) as moved, sum(closing_mrr) as closing"
        " from retention.mrr_movements group by month order by month",
    )
    assert months
    for month in months:
        assert month["opening"] + month["moved"] == month["closing"], month
    for previous, month in pairwise(months):
        assert previous["closing"] == month["opening"]


def test_month_zero_of_every_cohort_is_one(published: Connection) -> None:
    assert (
        rows(
            published,
            "select * from retention.retention_cohorts where periods_since = 0 and retention_rate <> 1",
        )
        == []
    )


def test_touchpoints_have_unique_ids_and_a_person(published: Connection) -> None:
    found = rows(
        published,
        "select count(*) as n, count(distinct touchpoint_id) as ids, count(person_id) as persons"
        " from core.fct_touchpoints",
    )[0]
    assert found["n"] == found["ids"] == found["persons"] > 1000


def test_one_visit_earns_one_credit(published: Connection) -> None:
    """Of a session, its ad click and the form in it, one at most is eligible."""
    assert (
        rows(
            published,
            "select parent_touchpoint_id from core.fct_touchpoints"
            " where parent_touchpoint_id is not null and is_credit_eligible",
        )
        == []
    )


def test_no_clear_address_is_in_the_warehouse(built: Built) -> None:
    """No e-mail address of the company's people is found in any file of the data folder."""
    needle = b"@"
    domains = (b"@gmail.", b"@outlook.", b"@example.", b"%40gmail", b"%40example")
    found = []
    for file in built.paths.data_dir.rglob("*"):
        if file.is_file() and file.name not in {"pseudonym.key"}:
            content = file.read_bytes()
            if needle in content and any(domain in content for domain in domains):
                found.append(str(file.relative_to(built.paths.data_dir)))
    assert found == []


def test_the_truth_is_out_of_dbts_reach() -> None:
    """The simulated company's answer key is for judging models; no model may read it."""
    from ingestion.settings import PROJECT_ROOT

    naming = [
        str(file)
        for file in (PROJECT_ROOT / "dbt_project").rglob("*.sql")
        if "target" not in file.parts and "sandbox" in file.read_text(encoding="utf-8").lower()
    ]
    assert naming == []
