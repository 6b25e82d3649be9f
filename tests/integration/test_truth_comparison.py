"""What the comparison with the truth reads from a published warehouse."""

from __future__ import annotations

import duckdb
import pytest

from orchestration import comparison
from sandbox.truth import truth
from tests.integration.conftest import Built
from tests.reference.models import MODELS


def test_every_model_gives_the_window_s_conversions_away_once(
    built: Built, published: duckdb.DuckDBPyConnection
) -> None:
    sides = comparison.read(built.paths.published, "small", truth("small", 7).to_pylist())
    assert sides.keys() == comparison.COMPARED.keys()
    start, end = comparison.window("small")
    [(orders,)] = published.execute(
        "select count(*) from core.fct_conversions"
        " where conversion_type = 'purchase' and converted_at >= ? and converted_at < ?",
        [start, end],
    ).fetchall()
    assert sides["purchase"].conversions == orders > 50
    for side in sides.values():
        assert set(MODELS) < set(side.models)
        for model in MODELS:
            credited = sum(side.models[model].values())
            assert credited == pytest.approx(side.conversions - side.unattributed)
        assert side.truth["Direct"] == side.truth["Affiliates"] == 0
        assert sum(side.models["spend_shares"].values()) > 0
    assert sum(max(count, 0) for count in sides["purchase"].truth.values()) > 30
