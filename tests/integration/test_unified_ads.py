"""Each platform's own rows in the unified ads table: its names for things, its breakdowns, its sums."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import pytest

from sandbox.company.restatement import restated
from tests.integration.conftest import LAST_DAY, Built, Sandbox

IDS, KINDS = ("campaign_id", "ad_group_id", "ad_id"), ("country", "device", "network_type")
NOT_SET = "(not set)"


@pytest.mark.parametrize(
    ("platform", "system", "constant"),
    [
        # Two countries of an ad's day are two rows; the device cannot be had beside the country.
        ("meta", "meta_ads", {"device": NOT_SET, "network_type": NOT_SET}),
        # Campaign groups are the campaigns; country and device do not add up and are not read.
        ("linkedin", "linkedin_ads", {"country": NOT_SET, "device": NOT_SET, "network_type": "linkedin"}),
        # Performance Max has neither ad groups nor ads: its spend is the campaign's.
        ("google_ads", "google_ads", {"country": NOT_SET}),
    ],
)
def test_rows_are_those_of_the_platform(
    built: Built, sandbox: Sandbox, platform: str, system: str, constant: Mapping[str, str]
) -> None:
    figures = "sum(impressions), sum(clicks)"
    ids = [f"coalesce({name}, '{NOT_SET}')" for name in IDS]
    kinds = [f"'{constant[name]}'" if name in constant else f"lower({name})" for name in KINDS]
    with duckdb.connect(str(built.paths.warehouse), read_only=True) as connection:
        connection.register("shown", restated(sandbox.company.tables["ad_performance"], LAST_DAY))
        wanted = connection.execute(
            f"select date, {', '.join(ids + kinds)}, {figures}, sum(spend_minor) / 100 from shown"
            f" where platform = '{platform}' group by all having sum(impressions) > 0 order by all"
        ).fetchall()
        found = connection.execute(
            f"select date, {', '.join(IDS)}, {', '.join(f'lower({name})' for name in KINDS)}, {figures},"
            f" cast(sum(spend) as double) from staging.stg_{system}__ad_performance"
            " group by all having sum(impressions) > 0 order by all"
        ).fetchall()
    assert len(wanted) > 500
    assert found == wanted
