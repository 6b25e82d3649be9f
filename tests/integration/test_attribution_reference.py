"""Attribution of the built warehouse, every conversion, against the plain-Python reference."""

from __future__ import annotations

import duckdb
import pytest

from tests.integration.conftest import Built
from tests.reference import models
from tests.reference.warehouse import differing, read_credits, read_history

Credits = dict[str, dict[str, dict[str, float]]]


@pytest.fixture(scope="module")
def history(built: Built) -> models.History:
    """What attribution read; contacts and deals are not published."""
    with duckdb.connect(str(built.paths.warehouse), read_only=True) as connection:
        return read_history(connection)


@pytest.fixture(scope="module")
def attributed(built: Built) -> Credits:
    """The published credits."""
    with duckdb.connect(str(built.paths.published), read_only=True) as connection:
        return read_credits(connection)


def test_all_models_equal_the_reference(history: models.History, attributed: Credits) -> None:
    """Windows, cycles, account scope, milestones and fits of every conversion, to 1e-9."""
    assert len(history.conversions) > 300
    assert differing(attributed, models.credits_of(history)) == []


def test_every_conversions_credits_sum_to_one_for_every_model(
    history: models.History, attributed: Credits
) -> None:
    assert attributed.keys() == {conversion.id for conversion in history.conversions}
    for conversion, touches in attributed.items():
        for model in models.MODELS:
            assert sum(credit[model] for credit in touches.values()) == pytest.approx(1, abs=1e-9), conversion
