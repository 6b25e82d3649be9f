"""A published file that holds just what the frame asks for."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
import streamlit as st

from ingestion.settings import Paths

CONTENT = """
create schema core; create schema attribution; create schema funnel; create schema trust;
create table trust.reporting_settings as select timestamp '2026-07-01 03:00:00' as as_of,
    date '2026-07-01' as as_of_date, 'EUR' as reporting_currency, 'Europe/Amsterdam' as reporting_time_zone;
comment on column trust.reporting_settings.as_of is 'The moment of the run.';
create table core.dim_channels as select 'Paid Search' as channel, 10 as channel_order
    union all select '<b>', 20;
create table core.dim_dates as select date '2026-07-01' as date, date '2026-07-01' as fiscal_quarter_start;
create table core.fct_touchpoints as select date '2025-03-05' as occurred_on;
create table core.fct_conversions as select date '2025-04-01' as converted_on, 'purchase' as conversion_type;
create table core.fct_ad_performance_daily as select date '2025-03-09' as date;
create table attribution.fct_attribution (credit_first_touch double, credit_linear double);
create table funnel.funnel_stage_conversion as select 'b2b' as funnel, 'visitor' as stage,
    'country' as segment, 'NL' as segment_value, 5 as entered;
"""


def write(folder: Path, *more: str) -> Path:
    """Publish the content, and more, by one rename, as a run does."""
    paths = Paths(folder).create()
    paths.published.parent.mkdir(exist_ok=True)
    new = paths.published.with_suffix(".new")
    with duckdb.connect(str(new)) as connection:
        for statement in (CONTENT, *more):
            connection.execute(statement)
    new.replace(paths.published)
    return paths.published


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUNNELHOUSE_DATA_DIR", str(tmp_path))
    st.cache_data.clear()
    return write(tmp_path)
