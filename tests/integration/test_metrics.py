"""MetricFlow's metrics (dbt_project/models/metrics) on the published file: valid, and equal to the marts.

One engine, in this process, on one read-only connection: MetricFlow takes five seconds to start, and a query
then a few tenths of one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from metricflow.engine.metricflow_engine import MetricFlowEngine, MetricFlowQueryRequest
from metricflow.protocols.sql_client import SqlEngine
from metricflow.sql.render.duckdb_renderer import DuckDbSqlPlanRenderer
from metricflow.validation.data_warehouse_model_validator import DataWarehouseModelValidator
from metricflow_semantic_interfaces.validations.semantic_manifest_validator import SemanticManifestValidator
from metricflow_semantics.model.dbt_manifest_parser import parse_manifest_from_dbt_generated_manifest
from metricflow_semantics.model.semantic_manifest_lookup import SemanticManifestLookup

from orchestration import transform
from tests.integration.conftest import Built


class ReadOnly:
    """The published file as MetricFlow's warehouse: under the name that the manifest knows it by."""

    sql_engine_type = SqlEngine.DUCKDB
    sql_plan_renderer = DuckDbSqlPlanRenderer()

    def __init__(self, file: Path) -> None:
        self.connection = duckdb.connect()
        self.connection.execute(f"attach '{file}' as warehouse (read_only)")
        self.connection.execute("use warehouse")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql).fetchall()

    def dry_run(self, stmt: str, *_: Any, **__: Any) -> None:
        self.connection.execute(f"explain {stmt}")


class Metrics:
    """The project's metrics, asked as `mf query` asks."""

    def __init__(self, manifest: Path, published: Path) -> None:
        self.manifest = parse_manifest_from_dbt_generated_manifest(manifest.read_text())
        self.client = ReadOnly(published)
        self.engine = MetricFlowEngine(SemanticManifestLookup(self.manifest), self.client)  # type: ignore[arg-type]

    def ask(
        self, metrics: Sequence[str], by: Sequence[str] = (), where: Sequence[str] = ()
    ) -> list[tuple[Any, ...]]:
        """Rows of: what it is grouped by, in order, then the metrics, in order."""
        request = MetricFlowQueryRequest.create(
            metric_names=list(metrics), group_by_names=list(by), where_constraints=list(where)
        )
        statement = self.engine.explain(request).sql_statement
        columns = ", ".join(f'"{name}"' for name in (*by, *metrics))
        return self.client.rows(f"select {columns} from ({statement.sql})")


@pytest.fixture(scope="module")
def metrics(built: Built) -> Iterator[Metrics]:
    made = Metrics(transform.target_path(built.paths) / "semantic_manifest.json", built.paths.published)
    yield made
    made.client.connection.close()


def same(asked: Any, stored: Any) -> bool:
    if isinstance(asked, int | float) or hasattr(asked, "as_tuple"):
        known = stored is not None and asked is not None
        return known and math.isclose(float(asked), float(stored), rel_tol=1e-6, abs_tol=1e-3)
    return str(asked)[:10] == str(stored)[:10] if hasattr(asked, "year") else bool(asked == stored)


def differences(asked: list[tuple[Any, ...]], stored: list[tuple[Any, ...]], keys: int) -> list[str]:
    """What is not the same; rows whose every value is NULL or 0 may be missing on either side."""

    def by_key(rows: list[tuple[Any, ...]]) -> dict[tuple[str, ...], tuple[Any, ...]]:
        return {
            tuple(str(part)[:10] if hasattr(part, "year") else str(part) for part in row[:keys]): row[keys:]
            for row in rows
            if any(value not in (None, 0) for value in row[keys:])
        }

    here, there = by_key(asked), by_key(stored)
    found = [
        f"{key}: {here.get(key)} by MetricFlow, {there.get(key)} in the marts"
        for key in sorted(set(here) | set(there))
        if key not in here or key not in there or not all(map(same, here[key], there[key]))
    ]
    return found if there else [*found, "nothing to compare"]


MONTH = "metric_time__month"
TYPES = ("lead", "mql", "sql", "pql", "opportunity", "won", "purchase", "trial", "subscription")
CASES: list[tuple[str, list[str], list[str], list[str], str]] = [
    (
        "advertising by channel",
        [
            *("spend", "impressions", "clicks", "cost_per_click", "click_through_rate"),
            *("claimed_conversions", "claimed_conversion_value"),
        ],
        [MONTH, "channel"],
        [],
        "select date_trunc('month', date), channel, sum(spend), sum(impressions), sum(clicks),"
        " sum(spend) / nullif(sum(clicks), 0), sum(clicks) / nullif(sum(impressions), 0),"
        " sum(conversions), sum(conversions_value)"
        " from core.fct_ad_performance_daily group by 1, 2",
    ),
    (
        "advertising by initiative",
        ["spend"],
        ["campaign__initiative"],
        [],
        "select initiative, sum(spend) from core.fct_ad_performance_daily"
        " left join core.dim_campaigns using (campaign_id) group by 1",
    ),
    (
        "spend of 28 days",
        ["spend_28d"],
        ["metric_time__day"],
        ["{{ TimeDimension('metric_time', 'day') }} between '2026-06-01' and '2026-06-30'"],
        "select days.date, sum(spend) from core.dim_dates as days"
        " join core.fct_ad_performance_daily as ads on ads.date between days.date - 27 and days.date"
        " where days.date between '2026-06-01' and '2026-06-30' group by 1",
    ),
    (
        "visits",
        ["sessions", "visitors", "converted_sessions", "session_conversion_rate"],
        ["channel"],
        [],
        "select channel, count(*), count(distinct anonymous_id), count(*) filter (is_converted),"
        " count(*) filter (is_converted) / count(*) from core.fct_sessions"
        " where not is_bot and not is_internal group by 1",
    ),
    (
        "conversions by type",
        ["conversions", "bookings", "billings", "refunds", "pipeline_created"],
        [MONTH, "conversion__conversion_type"],
        [],
        "select date_trunc('month', converted_on), conversion_type, count(*), sum(bookings), sum(billings),"
        " sum(billings_refunded), sum(pipeline) from core.fct_conversions group by 1, 2",
    ),
    (
        "each type",
        ["leads", "mqls", "sqls", "pqls", "opportunities", "wins", "purchases", "trials", "subscriptions"],
        [],
        [],
        "select "
        + ", ".join(
            f"count(*) filter (conversion_type = '{kind}')"
            for kind in [
                "lead",
                "mql",
                "sql",
                "pql",
                "opportunity",
                "won",
                "purchase",
                "trial",
                "subscription",
            ]
        )
        + " from core.fct_conversions",
    ),
    (
        "costs of leads and orders",
        ["cost_per_lead", "average_order_value"],
        [],
        [],
        "select (select sum(spend) from core.fct_ad_performance_daily)"
        " / count(*) filter (conversion_type = 'lead'),"
        " sum(billings) filter (conversion_type = 'purchase')"
        " / count(*) filter (conversion_type = 'purchase') from core.fct_conversions",
    ),
    (
        "bookings of the year",
        ["bookings_year_to_date"],
        ["metric_time__day"],
        ["{{ TimeDimension('metric_time', 'day') }} = '2026-06-30'"],
        "select date '2026-06-30', sum(bookings) from core.fct_conversions"
        " where converted_on between '2026-01-01' and '2026-06-30'",
    ),
    (
        "visits that led to an order",
        ["visit_to_purchase_rate_7d"],
        [],
        [],
        # The latest visit on or before an order's day, at most seven days earlier, leads to it.
        "with visits as (select * from core.fct_sessions where not is_bot and not is_internal)"
        " select (select count(distinct conversion_id) from core.fct_conversions as orders"
        "   where conversion_type = 'purchase' and exists (select 1 from visits"
        "     where visits.person_id = orders.person_id and started_on <= converted_on"
        "       and started_on > converted_on - 7)) / count(*) from visits",
    ),
    (
        "leads that became MQLs",
        ["lead_to_mql_rate_90d"],
        [],
        [],
        "with leads as (select * from core.fct_conversions where conversion_type = 'lead')"
        " select (select count(distinct conversion_id) from core.fct_conversions as mqls"
        "   where conversion_type = 'mql' and exists (select 1 from leads"
        "     where leads.person_id = mqls.person_id and leads.converted_on <= mqls.converted_on"
        "       and leads.converted_on > mqls.converted_on - 90)) / count(*) from leads",
    ),
    (
        "return on ad spend",
        ["billings_linear", "roas"],
        ["channel"],
        ["{{ Entity('channel') }} <> '(unattributed)'"],
        "select channel, sum(value) filter (conversion_type = 'purchase'),"
        " sum(value) filter (conversion_type = 'purchase') / nullif((select sum(spend)"
        "   from core.fct_ad_performance_daily as ads where ads.channel = marts.channel), 0)"
        " from attribution.attribution_channels as marts"
        " where model = 'linear' and date_basis = 'conversion' and channel <> '(unattributed)' group by 1",
    ),
    (
        "a funnel's stages",
        ["stage_entered", "stage_advanced", "stage_lost", "stage_conversion_rate"],
        [MONTH, "stage_cohort__funnel", "stage_cohort__stage"],
        [],
        "select period_start, funnel, stage, entered, advanced, lost, advanced / nullif(entered, 0)"
        " from funnel.funnel_stage_conversion where period_grain = 'month' and segment = 'all'",
    ),
    (
        "deals won",
        ["deals_closed", "deals_won", "won_amount", "win_rate", "average_deal", "average_sales_cycle"],
        [MONTH],
        [],
        "select date_trunc('month', closed_on), count(*), count(*) filter (is_won),"
        " sum(amount) filter (is_won), count(*) filter (is_won) / count(*),"
        " avg(amount) filter (is_won), avg(days_to_close) filter (is_won)"
        " from funnel.fct_opportunities where is_closed group by 1",
    ),
    (
        "deals created, by team",
        ["deals_created"],
        ["owner__team"],
        [],
        "select coalesce(dim_owners.team, 'None'), count(*) from funnel.fct_opportunities"
        " left join core.dim_owners using (owner_id) group by 1",
    ),
    (
        "open pipeline on the latest day of each month",
        ["open_pipeline", "open_deals"],
        [MONTH],
        [],
        "select date_trunc('month', date), sum(amount), count(*) from funnel.fct_pipeline_daily"
        " where date in (select max(date) from funnel.fct_pipeline_daily group by date_trunc('month', date))"
        " group by 1",
    ),
    (
        "quota",
        ["bookings_quota", "bookings_against_quota", "quota_attainment"],
        [MONTH],
        [],
        "select period_start, quota, actual, attainment from funnel.quota_attainment"
        " where holder_type = 'all' and metric = 'bookings' and period_grain = 'month'",
    ),
    (
        "forecast",
        ["forecast_bookings"],
        [MONTH],
        [],
        "select period_start, expected_amount from funnel.sales_forecast"
        " where is_current and segment = 'all' and period_grain = 'month'",
    ),
    (
        "movements of MRR",
        ["new_mrr", "expansion_mrr", "contraction_mrr", "churned_mrr", "reactivation_mrr"],
        [MONTH],
        [],
        "select month, new_mrr, expansion_mrr, contraction_mrr, churned_mrr, reactivation_mrr"
        " from retention.churn",
    ),
    (
        "MRR and its growth",
        ["mrr", "net_mrr_growth"],
        [MONTH],
        ["{{ TimeDimension('metric_time', 'month') }} between '2026-01-01' and '2026-06-01'"],
        "select month, closing_mrr, (closing_mrr - opening_mrr) / nullif(opening_mrr, 0) from retention.churn"
        " where month between '2026-01-01' and '2026-06-01'",
    ),
    (
        "churn and retention of revenue",
        ["subscriber_churn_rate", "gross_revenue_retention", "net_revenue_retention"],
        [MONTH],
        ["{{ Dimension('churn_month__is_complete') }}"],
        "select month, customer_churn_rate, gross_revenue_retention, net_revenue_retention"
        " from retention.churn where is_complete",
    ),
    (
        "cohorts",
        ["cohort_active", "cohort_size", "retention_rate"],
        [MONTH, "cohort__periods_since"],
        [],
        "select cohort_period, periods_since, active, cohort_size, retention_rate"
        " from retention.retention_cohorts where period_grain = 'month' and segment = 'all'"
        " and basis = 'customers' and is_complete",
    ),
    (
        "what a customer costs",
        ["media_spend", "loaded_cost", "won_customers", "cac_loaded", "cac_media"],
        [MONTH, "channel"],
        [],
        "select period_start, channel, media_spend, loaded_cost, new_customers, cac_loaded, cac_media"
        " from retention.channel_economics where period_grain = 'month' and model = 'linear'"
        " and date_basis = 'conversion'",
    ),
    (
        "what a customer brings",
        ["new_customers", "average_lifetime_value"],
        [MONTH],
        [],
        "select date_trunc('month', first_purchase_on), count(*), avg(lifetime_value)"
        " from core.dim_customers left join retention.customer_lifetime_value using (customer_id,"
        " first_purchase_on) group by 1",
    ),
    (
        "customers to date",
        ["customers_ever"],
        ["metric_time__day"],
        ["{{ TimeDimension('metric_time', 'day') }} = '2026-06-30'"],
        "select date '2026-06-30', count(*) from core.dim_customers where first_purchase_on <= '2026-06-30'",
    ),
    (
        "reconciliation",
        ["figures_compared", "figures_equal", "reconciled_share"],
        ["reconciliation__source_relation"],
        [],
        "select source_relation, count(*), count(*) filter (is_reconciled),"
        " count(*) filter (is_reconciled) / count(*) from trust.source_reconciliation group by 1",
    ),
    (
        "bookings by fiscal quarter",
        ["won_amount"],
        ["metric_time__fiscal_quarter"],
        [],
        "select fiscal_quarter_start, sum(amount) from funnel.fct_opportunities"
        " join core.dim_dates on date = closed_on where is_won group by 1",
    ),
]
MODELS = (
    *("first_touch", "last_touch", "last_non_direct", "linear", "position_based", "time_decay"),
    *("w_shaped", "full_path", "markov", "shapley"),
)


def test_metrics_equal_the_marts(metrics: Metrics) -> None:
    wrong = {
        name: found[:5]
        for name, names, by, where, sql in CASES
        if (found := differences(metrics.ask(names, by, where), metrics.client.rows(sql), len(by)))
    }
    assert wrong == {}


def test_each_attribution_model_is_what_its_report_says(metrics: Metrics) -> None:
    names = [f"conversions_{model}" for model in MODELS]
    asked = metrics.ask(names, [MONTH, "channel", "credit__conversion_type"])
    columns = ", ".join(f"coalesce(sum(conversions) filter (model = '{model}'), 0)" for model in MODELS)
    report = (
        "select date_trunc('month', date), channel, conversion_type, {} from attribution.attribution_channels"
        " where date_basis = 'conversion' group by all"
    )
    assert differences(asked, metrics.client.rows(report.format(columns)), 3) == []
    asked = metrics.ask([f"billings_{model}" for model in MODELS], ["channel"])
    columns = ", ".join(f"coalesce(sum(value) filter (model = '{model}'), 0)" for model in MODELS)
    sql = (
        f"select channel, {columns} from attribution.attribution_channels"
        " where date_basis = 'conversion' and conversion_type = 'purchase' group by 1"
    )
    assert differences(asked, metrics.client.rows(sql), 1) == []


def test_every_metric_is_held_against_the_marts(metrics: Metrics) -> None:
    """A metric whose name nobody compares is compared through those that are made of it."""
    inputs = {
        metric.name: {entry.name for entry in metric.input_metrics} for metric in metrics.manifest.metrics
    }
    compared = {name for case in CASES for name in case[1]}
    compared |= {f"{kind}_{model}" for kind in ("conversions", "billings") for model in MODELS}
    for name in list(compared):
        compared |= inputs[name]
    documented = {metric.name for metric in metrics.manifest.metrics if metric.label}
    assert documented - compared == {"quarantined_records"}  # the sandbox is refused nothing
    assert metrics.ask(["quarantined_records"]) in ([], [(None,)], [(0,)])


def test_the_definitions_are_valid(metrics: Metrics) -> None:
    """What `mf validate-configs` checks: the definitions, and that the warehouse can plan each of them."""
    semantic = SemanticManifestValidator().validate_semantic_manifest(metrics.manifest)
    assert [str(issue) for issue in semantic.errors] == []
    validator = DataWarehouseModelValidator(metrics.client)  # type: ignore[arg-type]
    for look in (
        validator.validate_semantic_models,
        validator.validate_dimensions,
        validator.validate_entities,
        validator.validate_simple_metrics,
    ):
        assert [str(issue) for issue in look(metrics.manifest).errors] == []
