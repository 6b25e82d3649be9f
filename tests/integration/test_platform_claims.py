"""What platforms claim stays theirs: no published figure of our own is made from it, and no claim from ours.

Shown by the lineage of every column, from the canonical input to the published tables, in the queries that
really ran; and by the sums of each platform.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import duckdb
import pytest

from orchestration.lineage import column_lineage
from sandbox.company.restatement import restated
from tests.integration.conftest import LAST_DAY, Built, Sandbox

Column = tuple[str, str, str]  # schema, table, column
INPUT = ("intermediate", "int_ad_performance_unioned")
CLAIMS = {(*INPUT, "conversions"), (*INPUT, "conversions_value")}
PLACES = {  # the only places where a claim is published, each under its own name
    ("core", "fct_ad_performance_daily", "conversions"),
    ("core", "fct_ad_performance_daily", "conversions_value"),
    ("core", "fct_ad_performance_daily", "conversions_value_original"),
    ("attribution", "attribution_model_comparison", "claimed_conversions"),
    ("attribution", "attribution_model_comparison", "claimed_value"),
    ("attribution", "attribution_model_comparison", "claiming_platforms"),
}
# What turns an amount into the reporting currency, and what names a platform, is no figure of ours.
HARMLESS = {
    (*INPUT, "currency"),
    (*INPUT, "source_relation"),
    ("core", "fct_ad_performance_daily", "source_relation"),
    ("intermediate", "int_fx_rates", "rate"),
}


@dataclass
class Queries:
    """The queries of a finished build."""

    models: Mapping[str, Mapping[str, Any]]
    relations: Mapping[tuple[str, str], Mapping[str, str]]

    @cached_property
    def below(self) -> list[Mapping[str, Any]]:
        """The models that read the ads, directly or not, in the order of the build."""
        found: dict[str, Mapping[str, Any]] = {}
        start = next(name for name, model in self.models.items() if model["name"] == INPUT[1])
        reached, before = {start}, 0
        while len(reached) > before:
            before = len(reached)
            for name, model in self.models.items():
                if name not in reached and reached & set(model["depends_on"]["nodes"]):
                    reached.add(name)
                    found[name] = model
        return list(found.values())

    def made_from(self, model: Mapping[str, Any]) -> dict[Column, set[Column]]:
        """Each column of a model, and the columns of other relations from which it is made."""
        parents = {
            (self.models[name]["schema"], self.models[name]["name"])
            for name in model["depends_on"]["nodes"]
            if name in self.models
        }
        known = {
            name: columns for name, columns in self.relations.items() if name in parents or name[0] == "seeds"
        }
        lineage = column_lineage(model["compiled_code"], known)
        assert lineage, f"the query of {model['name']} cannot be read"
        return {
            (model["schema"], model["name"], column): {(*relation, name) for relation, name in sources}
            for column, sources in lineage.items()
        }


def spread(edges: Mapping[Column, set[Column]]) -> set[Column]:
    """All columns into which claims flow."""
    found, before = set(CLAIMS), 0
    while len(found) > before:
        before = len(found)
        found |= {column for column, sources in edges.items() if sources & found}
    return found - CLAIMS


@pytest.fixture(scope="module")
def queries(built: Built) -> Queries:
    manifest = json.loads((built.paths.data_dir / "dbt" / "manifest.json").read_text(encoding="utf-8"))
    models = {name: node for name, node in manifest["nodes"].items() if node["resource_type"] == "model"}
    relations: dict[tuple[str, str], dict[str, str]] = {}
    with duckdb.connect(str(built.paths.warehouse), read_only=True) as connection:
        rows = connection.execute(
            "select table_schema, table_name, column_name, data_type from information_schema.columns"
        ).fetchall()
    for schema, table, column, kind in rows:
        relations.setdefault((schema, table), {})[column] = kind
    return Queries(models, relations)


@pytest.fixture(scope="module")
def edges(queries: Queries) -> dict[Column, set[Column]]:
    return {
        column: sources for model in queries.below for column, sources in queries.made_from(model).items()
    }


def test_claims_are_published_only_where_they_are_named(edges: dict[Column, set[Column]]) -> None:
    assert len({column[:2] for column in edges}) > 10
    assert spread(edges) == PLACES


def test_no_claim_holds_a_figure_of_our_own(edges: dict[Column, set[Column]]) -> None:
    for column in PLACES:
        assert edges[column] <= CLAIMS | PLACES | HARMLESS, column


@pytest.mark.parametrize(
    ("written", "mixed", "betrayed"),
    [
        (
            "others.claimed_conversions,",
            "others.claimed_conversions + attributed.conversions_linear as claimed_conversions,",
            ("attribution", "attribution_model_comparison", "claimed_conversions"),
        ),
        (
            "coalesce(attributed.self_reported_conversions, 0.0) as",
            "coalesce(attributed.self_reported_conversions, others.claimed_conversions) as",
            ("attribution", "attribution_model_comparison", "self_reported_conversions"),
        ),
    ],
    ids=["ours added to theirs", "theirs in place of ours"],
)
def test_a_sum_of_both_would_be_found(
    queries: Queries, edges: dict[Column, set[Column]], written: str, mixed: str, betrayed: Column
) -> None:
    model = next(model for model in queries.below if model["name"] == betrayed[1])
    assert written in model["compiled_code"]
    spoilt = queries.made_from({**model, "compiled_code": model["compiled_code"].replace(written, mixed)})
    sources = (edges | spoilt)[betrayed]
    assert betrayed not in PLACES or sources - (CLAIMS | PLACES | HARMLESS)
    assert betrayed in PLACES or betrayed in spread(edges | spoilt)


def test_each_platforms_claims_are_its_own_sum(built: Built) -> None:
    with duckdb.connect(str(built.paths.warehouse), read_only=True) as connection:
        platforms = connection.execute(
            "select source_relation, round(sum(conversions), 6), sum(conversions_value_original)"
            " from core.fct_ad_performance_daily group by all order by all"
        ).fetchall()
        said = [
            row
            for (view,) in connection.execute(
                "select table_name from information_schema.tables"
                " where table_schema = 'staging' and table_name like 'stg_%__ad_performance'"
            ).fetchall()
            for row in connection.execute(
                "select source_relation, round(sum(conversions), 6), sum(conversions_value)"
                f" from staging.{view} group by all"
            ).fetchall()
        ]
    assert platforms == sorted(said)
    assert len({relation.split(":")[0] for relation, *_ in platforms}) >= 3


def test_a_claim_that_is_reported_under_several_names_counts_once(built: Built, sandbox: Sandbox) -> None:
    """One platform lists a purchase as three types of action; the company knows how many it claims."""
    shown = restated(sandbox.company.tables["ad_performance"], LAST_DAY)
    with duckdb.connect(str(built.paths.warehouse), read_only=True) as connection:
        connection.register("shown", shown)
        claimed = dict(
            connection.execute(
                "select replace(platform, '_ads', ''), sum(conversions) from shown group by all"
            ).fetchall()
        )
        held = dict(
            connection.execute(
                "select replace(split_part(source_relation, ':', 1), '_ads', ''), sum(conversions)"
                " from core.fct_ad_performance_daily group by all"
            ).fetchall()
        )
        (whole,) = connection.execute(
            "select sum(claimed) from (select sum(round(conversions)) as claimed from ("
            " select date, ad_id, sum(conversions) as conversions from shown where platform = 'linkedin'"
            " group by all))"
        ).fetchall()[0]
    assert held["google"] == pytest.approx(claimed["google"], abs=0.001)
    assert held["meta"] == pytest.approx(claimed["meta"], abs=0.001)
    assert held["linkedin"] == whole  # that platform rounds an ad's day
    assert all(value > 0 for value in held.values())
