"""What the funnel, pipeline and retention pages ask, held against the marts: one period as the mart has it,
several periods out of their counts, amounts to the cent; and the pages themselves on one row, and on nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import data
from dashboard.figures import pipeline as pipeline_figures
from dashboard.figures import retention as retention_figures
from dashboard.filters import Period, add_months, month_end
from dashboard.queries import Cut, funnel, owner_names, pipeline, retention, segments, wilson
from tests.integration.conftest import Built

PAGES = ("funnel", "pipeline", "retention")
YEAR = Period(dt.date(2025, 7, 1), dt.date(2026, 6, 30), "month", "a year")


@pytest.fixture
def mart(built: Built, monkeypatch: pytest.MonkeyPatch) -> Iterator[duckdb.DuckDBPyConnection]:
    """The published file, which the dashboard is set on too."""
    monkeypatch.setenv("FUNNELHOUSE_DATA_DIR", str(built.paths.data_dir))
    with duckdb.connect(str(built.paths.published), read_only=True, config=data.CONFIG) as connection:
        yield connection


def rows(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: list[Any] | None = None
) -> list[dict[str, Any]]:
    cursor = connection.execute(sql, parameters or [])
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def month(start: dt.date) -> Period:
    return Period(start, month_end(start), "month", "a month")


# Funnel


def test_the_interval_made_from_counts_is_the_marts(mart: duckdb.DuckDBPyConnection) -> None:
    found = rows(
        mart,
        "select advanced, entered, conversion_rate, conversion_rate_low, conversion_rate_high"
        " from funnel.funnel_stage_conversion where conversion_rate is not null",
    )
    assert len(found) > 1000
    for row in found:
        made = wilson(row["advanced"], row["entered"])
        theirs = (row["conversion_rate"], row["conversion_rate_low"], row["conversion_rate_high"])
        assert made == pytest.approx(theirs, abs=1e-12)


def test_stages_of_one_mature_month_are_the_marts(mart: duckdb.DuckDBPyConnection) -> None:
    start = mart.execute(
        "select max(period_start) from funnel.funnel_stage_conversion where period_grain = 'month'"
        " and segment = 'all' and funnel = 'ecommerce' and stage = 'cart' and is_mature"
    ).fetchall()[0][0]
    theirs = {
        row["stage"]: row
        for row in rows(
            mart,
            "select * from funnel.funnel_stage_conversion where period_grain = 'month' and segment = 'all'"
            " and funnel = 'ecommerce' and period_start = ?",
            [start],
        )
    }
    ours = funnel.stages(funnel="ecommerce", period=month(start))
    assert [row["stage"] for row in ours] == sorted(theirs, key=lambda stage: theirs[stage]["stage_order"])
    judged = [row for row in ours if theirs[row["stage"]]["is_mature"]]
    assert judged
    for row in judged:
        assert row["conversion_rate"] == theirs[row["stage"]]["conversion_rate"]
        assert row["attainment"] == theirs[row["stage"]]["attainment"]
    for row in ours:
        assert row["entered"] == theirs[row["stage"]]["entered"]
        if not theirs[row["stage"]]["is_mature"]:
            assert row["conversion_rate"] is None
    assert ours[-1]["conversion_rate"] is None


def test_rates_over_several_months_come_from_counts(mart: duckdb.DuckDBPyConnection) -> None:
    stages = funnel.stages(funnel="b2b", period=YEAR)
    differ = 0
    for stage, entered, mature, advanced, mean in mart.execute(
        "select stage, sum(entered), sum(entered) filter (where is_mature),"
        " sum(advanced) filter (where is_mature),"
        " avg(conversion_rate) filter (where is_mature) from funnel.funnel_stage_conversion"
        " where period_grain = 'month' and segment = 'all' and funnel = 'b2b' and stage <> 'advocate'"
        " and period_start between ? and ? group by stage",
        [YEAR.start, YEAR.end],
    ).fetchall():
        ours = next(row for row in stages if row["stage"] == stage)
        assert ours["entered"] == entered
        if mature:
            assert ours["conversion_rate"] == advanced / mature
            differ += ours["conversion_rate"] != pytest.approx(mean, rel=1e-6)
    assert differ, "no stage on which a mean of rates would be wrong"
    paid = funnel.stages(funnel="b2b", period=YEAR, cut=Cut("channel", "Paid Search"))
    split = funnel.stage_segments(funnel="b2b", stage="visitor", segment="channel", period=YEAR)
    by_channel = {row["segment_value"]: row for row in split}
    assert by_channel["Paid Search"]["conversion_rate"] == paid[0]["conversion_rate"]
    assert sum(row["entered"] for row in split) == stages[0]["entered"]


def test_frameworks_add_up_counts(mart: duckdb.DuckDBPyConnection) -> None:
    for framework in funnel.frameworks():
        ours = funnel.framework_stages(framework=framework, funnel="saas", period=YEAR)
        theirs = mart.execute(
            "select framework_stage, sum(entered), sum(advanced) from funnel.funnel_framework_summary"
            " where period_grain = 'month' and segment = 'all' and funnel = 'saas' and framework = ?"
            " and period_start between ? and ? group by framework_order, framework_stage"
            " order by framework_order",
            [framework, YEAR.start, YEAR.end],
        ).fetchall()
        assert [(row["stage"], row["entered"], row["advanced"]) for row in ours] == theirs
        assert all(
            row["conversion_rate"] == row["advanced"] / row["entered"] for row in ours[:-1] if row["entered"]
        )
        assert ours[-1]["conversion_rate"] is None


def test_leaks_stand_in_the_order_of_their_worth(mart: duckdb.DuckDBPyConnection) -> None:
    theirs = mart.execute(
        "select stage, expected_value_per_month from funnel.funnel_bottlenecks where segment = 'all'"
        " and funnel = 'ecommerce' and expected_value_per_month > 0 order by bottleneck_rank"
    ).fetchall()
    ours = [row for row in funnel.leaks(funnel="ecommerce") if row["expected_value_per_month"]]
    assert theirs
    assert [(row["stage"], row["expected_value_per_month"]) for row in ours] == [
        (stage, float(value)) for stage, value in theirs
    ]
    by_channel = funnel.leaks_by_segment(funnel="b2b", segment="channel")
    worths = [row["expected_value_per_month"] for row in by_channel]
    assert worths == sorted(worths, reverse=True)


def test_time_in_stage_is_of_one_mature_quarter(mart: duckdb.DuckDBPyConnection) -> None:
    ours = funnel.time_in_stage(funnel="b2b", period=YEAR)
    assert ours
    for row in ours:
        theirs = mart.execute(
            "select max(period_start), max_by(median_hours_in_stage, period_start) / 24,"
            " max_by(p90_hours_in_stage, period_start) / 24 from funnel.funnel_stage_conversion"
            " where period_grain = 'fiscal_quarter' and segment = 'all' and funnel = 'b2b' and stage = ?"
            " and is_mature and median_hours_in_stage is not null and period_start <= ?",
            [row["stage"], YEAR.end],
        ).fetchall()[0]
        assert (row["period_start"], row["median_days"], row["p90_days"]) == theirs


def test_handoffs_by_owner_and_channel_are_the_whole(mart: duckdb.DuckDBPyConnection) -> None:
    for kind in funnel.handoff_types():
        whole = funnel.handoff_split(handoff_type=kind, segment="all", period=YEAR)
        assert len(whole) == 1
        for split in ("owner", "channel"):
            parts = funnel.handoff_split(handoff_type=kind, segment=split, period=YEAR)
            assert len({row["name"] for row in parts}) == len(parts) > 1
            for column in ("passed", "accepted", "rejected", "recycled", "open", "within_sla", "beyond_sla"):
                assert sum(row[column] for row in parts) == whole[0][column], (kind, split, column)
        assert whole[0]["sla_rate"] == whole[0]["within_sla"] / (
            whole[0]["within_sla"] + whole[0]["beyond_sla"]
        )
        listed = funnel.rejection_reasons(handoff_type=kind, period=YEAR)
        given = mart.execute(
            "select sum(rejected - rejected_without_reason) from funnel.handoff_alignment"
            " where period_grain = 'month' and segment = 'all' and handoff_type = ?"
            " and period_start between ? and ?",
            [kind, YEAR.start, YEAR.end],
        ).fetchall()[0][0]
        assert sum(row["rejected"] for row in listed if row["reason"] != "(not set)") == (given or 0)


# Pipeline


def test_the_drawn_waterfall_adds_up(mart: duckdb.DuckDBPyConnection) -> None:
    cuts = [Cut(), *(Cut("team", team) for team in segments("funnel.pipeline_waterfall")["team"][:1])]
    drawn = 0
    for scope in pipeline.SCOPES:
        for cut in cuts:
            for row in pipeline.waterfall(scope=scope, grain="fiscal_quarter", cut=cut):
                moved = sum(sign * row[column] for column, sign, _ in pipeline.WATERFALL_STEPS)
                assert row["start_amount"] + moved == pytest.approx(row["end_amount"], abs=0.001)
                bars = pipeline_figures.pipeline_waterfall(row, "EUR").data[0]
                # The columns end where the mart does: nothing that moves money is left out of the figure.
                assert bars.base[-1] + bars.y[-1] == pytest.approx(row["end_amount"], abs=0.001)
                before = bars.base[-2] if len(bars.y) > 2 else bars.y[0]
                assert before <= row["end_amount"] + 0.001
                drawn += 1
    assert drawn > 10


def test_the_forecast_and_its_backtest_are_the_marts(mart: duckdb.DuckDBPyConnection) -> None:
    theirs = rows(
        mart,
        "select * from funnel.sales_forecast where is_current and period_grain = 'fiscal_quarter'"
        " and segment = 'all' order by period_start",
    )
    ours = pipeline.forecast(grain="fiscal_quarter")
    assert [row["expected_amount"] for row in ours] == [float(row["expected_amount"]) for row in theirs]
    for row in ours:
        parts = row["won_to_date"] + row["expected_from_open"] + row["expected_from_uncreated"]
        assert parts == pytest.approx(row["expected_amount"], abs=0.01)
    for accuracy in pipeline.backtest_accuracy(grain="month"):
        past = [
            row
            for row in pipeline.backtest(grain="month", horizon=accuracy["horizon"])
            if row["error_naive_last_period"] is not None
        ]
        assert len(past) == accuracy["forecasts"]
        came = sum(row["actual_amount"] for row in past)
        assert accuracy["off_by"] == pytest.approx(sum(abs(row["error"]) for row in past) / came)
        assert accuracy["within_interval"] == pytest.approx(
            sum(bool(row["is_within_interval"]) for row in past) / len(past)
        )


def test_win_rates_are_won_over_closed(mart: duckdb.DuckDBPyConnection) -> None:
    deals = dict(
        mart.execute(
            "select is_won, count(*) from funnel.fct_opportunities"
            " where is_closed and closed_on between ? and ?"
            " group by is_won",
            [YEAR.start, YEAR.end],
        ).fetchall()
    )
    for split in ("competitor", "owner", "team", "opportunity_type"):
        parts = pipeline.win_rates(period=YEAR, segment=split)
        assert sum(row["won"] for row in parts) == deals[True]
        assert sum(row["lost"] for row in parts) == deals[False]
        assert all(row["win_rate"] == row["won"] / (row["won"] + row["lost"]) for row in parts)
    reasons = pipeline.win_loss_reasons(period=YEAR)
    assert sum(row["deals"] for row in reasons) == sum(deals.values())
    for outcome in ("won", "lost"):
        assert sum(row["share_of_outcome"] for row in reasons if row["outcome"] == outcome) == pytest.approx(
            1
        )


def test_everything_that_needs_attention_has_a_reason_an_owner_and_a_day(
    mart: duckdb.DuckDBPyConnection,
) -> None:
    listed = pipeline.attention()
    assert (
        len(listed)
        == mart.execute("select count(*) from funnel.leads_needing_attention").fetchall()[0][0]
        > 0
    )
    assert all(row["reason"] and row["owner_name"] and row["since"] for row in listed)
    total = pipeline.attention_total()
    deals = {row["subject_id"]: row["amount"] or 0 for row in listed if row["subject"] == "opportunity"}
    assert (total["deals"], total["amount"]) == (len(deals), pytest.approx(sum(deals.values())))
    assert total["leads"] == len({row["subject_id"] for row in listed if row["subject"] == "person"})
    owner = next(row["owner_id"] for row in listed if row["owner_id"])
    some = pipeline.attention(subject="opportunity", reason="single_contact", owner_id=owner)
    assert some == [
        row
        for row in listed
        if (row["subject"], row["reason"], row["owner_id"]) == ("opportunity", "single_contact", owner)
    ]
    assert owner in owner_names()


def test_quotas_and_coverage_are_the_marts(mart: duckdb.DuckDBPyConnection) -> None:
    for metric, holders in pipeline.quota_metrics().items():
        period = pipeline.quota_periods(grain="month", metric=metric)[0]
        found = pipeline.attainment(grain="month", metric=metric, period_start=period["period_start"])
        assert {row["holder_type"] for row in found} == set(holders)
        for row in found:
            assert row["attainment"] == pytest.approx(row["actual"] / row["quota"])
    for row in pipeline.coverage(grain="fiscal_quarter", holder_type="team"):
        if not row["is_quota_met"]:
            assert row["coverage"] == pytest.approx(row["open_amount"] / row["remaining_quota"])


# Retention


def test_movements_of_recurring_revenue_are_those_of_churn(mart: duckdb.DuckDBPyConnection) -> None:
    theirs = rows(
        mart,
        "select * from retention.churn where month between ? and ? order by month",
        [YEAR.start, YEAR.end],
    )
    ours = retention.mrr_months(period=YEAR)
    assert [row["month"] for row in ours] == [row["month"] for row in theirs]
    columns = ["opening_mrr", "closing_mrr", *(column for column, _ in retention.BRIDGE_STEPS)]
    for mine, other in zip(ours, theirs, strict=True):
        for column in columns:
            assert mine[column] == pytest.approx(float(other[column]), abs=0.001)
        assert mine["closing_customers"] == other["closing_customers"]
    plans = ["(not set)", *segments("retention.retention_cohorts")["plan"]]
    split = [retention.mrr_months(period=YEAR, cut=Cut("plan", plan)) for plan in dict.fromkeys(plans)]
    for column in columns:
        assert sum(row[column] for part in split for row in part) == pytest.approx(
            sum(row[column] for row in ours), abs=0.01
        )


def test_the_drawn_bridge_adds_up(mart: duckdb.DuckDBPyConnection) -> None:
    months = retention.mrr_months(period=YEAR)
    bridge = retention.mrr_bridge(months)
    assert bridge["opening_mrr"] == months[0]["opening_mrr"]
    assert bridge["closing_mrr"] == months[-1]["closing_mrr"]
    moved = sum(bridge[column] for column, _ in retention.BRIDGE_STEPS)
    assert bridge["opening_mrr"] + moved == pytest.approx(bridge["closing_mrr"], abs=0.001)
    bars = retention_figures.mrr_bridge(bridge, "EUR").data[0]
    assert bars.y[-1] == bridge["closing_mrr"]
    assert retention.mrr_bridge(data.Rows()) == {}


def test_curves_are_sums_over_cohorts(mart: duckdb.DuckDBPyConnection) -> None:
    chosen = {"grain": "month", "since": YEAR.start, "until": YEAR.end}
    for basis in retention.BASES:
        cohorts = retention.cohorts(basis=basis, **chosen)
        first = {row["cohort_period"]: row["revenue"] for row in cohorts if row["periods_since"] == 0}
        curve = retention.retention_curve(basis=basis, segment="all", **chosen)
        assert curve[0]["retention_rate"] == pytest.approx(1)
        for point in curve:
            over = [
                row
                for row in cohorts
                if row["periods_since"] == point["periods_since"] and row["is_complete"]
            ]
            assert len(over) == point["cohorts"]
            if basis == "revenue":
                wanted = sum(row["revenue"] for row in over) / sum(
                    first[row["cohort_period"]] for row in over
                )
            else:
                wanted = sum(row["active"] for row in over) / sum(row["cohort_size"] for row in over)
            assert point["retention_rate"] == pytest.approx(wanted)


def test_what_a_customer_costs_comes_from_sums(mart: duckdb.DuckDBPyConnection) -> None:
    chosen = {"model": "linear", "date_basis": "conversion", "only_mature": False}
    where = (
        " from retention.channel_economics"
        " where period_grain = 'month' and model = 'linear' and date_basis = 'conversion'"
    )
    start = mart.execute(f"select max(period_start) {where} and ltv_to_cac is not null").fetchall()[0][0]
    theirs = {row["channel"]: row for row in rows(mart, f"select * {where} and period_start = ?", [start])}
    one_month = retention.ltv_to_cac(period=month(start), **chosen)
    assert any(row["ltv_to_cac"] for row in one_month)
    for row in one_month:
        for column in ("cac_loaded", "ltv", "ltv_to_cac", "payback_months"):
            wanted = theirs[row["channel"]][column]
            if wanted is not None:
                # The mart rounds amounts to four digits before it publishes them.
                assert row[column] == pytest.approx(float(wanted), rel=1e-3, abs=1e-3), (
                    row["channel"],
                    column,
                )
    span = Period(add_months(start, -5), month_end(start), "month", "")
    for only_mature in (True, False):
        found = retention.ltv_to_cac(period=span, **{**chosen, "only_mature": only_mature})
        spent, won = mart.execute(
            f"select sum(loaded_cost), sum(new_customers) {where} and period_start between ? and ?"
            " and (is_mature or not ?)",
            [span.start, span.end, only_mature],
        ).fetchall()[0]
        assert sum(row["loaded_cost"] for row in found) == pytest.approx(float(spent))
        assert sum(row["new_customers"] for row in found) == pytest.approx(won)


def test_renewals_and_segments_are_the_whole(mart: duckdb.DuckDBPyConnection) -> None:
    span = Period(dt.date(2025, 1, 1), dt.date(2027, 12, 31), "month", "")
    renewals, amount = mart.execute(
        "select count(*), sum(amount_due) from retention.renewals where due_month between ? and ?",
        [span.start, span.end],
    ).fetchall()[0]
    ours = retention.renewal_months(period=span)
    assert sum(row["renewals"] for row in ours) == renewals > 0
    assert sum(row["amount_due"] for row in ours) == pytest.approx(float(amount))
    due = retention.renewals_open()
    assert [row for row in due if row["is_at_risk"]] == retention.renewals_open(only_at_risk=True)
    customers = mart.execute("select count(*) from retention.customer_segments").fetchall()[0][0]
    assert sum(row["customers"] for row in retention.customer_segments()) == customers
    by_model = [retention.customer_segments(business_model=model) for model in retention.business_models()]
    assert sum(row["customers"] for part in by_model for row in part) == customers
    values = retention.lifetime_value(by="channel")
    assert sum(row["customers"] for row in values) == customers


# The pages themselves


def page(name: str, **address: str) -> AppTest:
    """One page, drawn outside of a browser."""

    def script(name: str) -> None:
        import importlib

        importlib.import_module(f"dashboard.views.{name}").render()

    test = AppTest.from_function(script, kwargs={"name": name}, default_timeout=60)
    for key, value in address.items():
        test.query_params[key] = value
    return test.run()


@pytest.fixture(scope="package", params=[0, 1], ids=["no row", "one row"])
def hardly_anything(
    request: pytest.FixtureRequest, built: Built, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A data folder whose published file has no, or one, row in every table."""
    folder = tmp_path_factory.mktemp("hardly_anything")
    (folder / "published").mkdir()
    with duckdb.connect(str(folder / "published" / "funnelhouse.duckdb")) as small:
        small.execute(f"attach '{built.paths.published}' as whole (read_only)")
        for schema, table in small.execute(
            "select schema_name, table_name from duckdb_tables() where database_name = 'whole'"
        ).fetchall():
            small.execute(f'create schema if not exists "{schema}"')
            kept = 1 if table == "reporting_settings" else request.param
            small.execute(
                f'create table "{schema}"."{table}" as from whole."{schema}"."{table}" limit {kept}'
            )
    return folder


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("address", [{}, {"period": "last_4_weeks", "channel": "Email"}], ids=["", "narrow"])
def test_a_page_draws(mart: duckdb.DuckDBPyConnection, name: str, address: dict[str, str]) -> None:
    drawn = page(name, **address)
    assert not drawn.exception, drawn.exception[0].message
    assert len(drawn.get("plotly_chart")) >= 3


@pytest.mark.parametrize("name", PAGES)
def test_a_page_stands_without_data(
    hardly_anything: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("FUNNELHOUSE_DATA_DIR", str(hardly_anything))
    drawn = page(name)
    assert not drawn.exception, drawn.exception[0].message
