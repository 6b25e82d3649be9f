"""The warehouse's models on random worlds against the plain-Python reference, before and after a second day.

Hypothesis makes the worlds; all of them go through one dbt project, so that sixty worlds cost two runs of
dbt. The reference reads touchpoints, conversions, deals and contacts as built, never credits or fits.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from itertools import pairwise

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.reference import models
from tests.reference.warehouse import differing, read_credits, read_history
from tests.reference.worlds import AS_OF, Rows, World, worlds
from tests.unit.dbt.project import Project, with_upstream
from tests.unit.dbt.world import load_id

WORLDS = 60
MODELS = with_upstream("fct_attribution", "dim_persons", "int_fx_rates")
MARKOV = ("int_markov_transitions", "int_markov_removals", "attribution_markov_channels")
Fits = dict[tuple[str, dt.date, str], tuple[float, float, float, int]]


@dataclass
class Day:
    """What was built on a day, and what the reference says of it."""

    history: models.History
    paths: dict[str, list[models.Touch]]
    given: dict[str, dict[str, dict[str, float]]]
    fits: dict[int, Fits]  # by order of the chain


def made_by_hypothesis() -> list[World]:
    """Sixty worlds, the same in every run."""
    made: list[World] = []

    @settings(
        max_examples=WORLDS,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(world=worlds)
    def collect(world: World) -> None:
        made.append(world)

    collect()
    return made


def _fits(project: Project) -> Fits:
    """(type, month, channel) -> removal effect, its share, attributed and all conversions of the fit."""
    return {
        (kind, month, channel): figures
        for kind, month, channel, *figures in project.rows(
            "select conversion_type, month, channel, removal_effect, removal_share, attributed_conversions,"
            " conversions from attribution.attribution_markov_channels"
        )
    }


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Day]:
    """Both days, built one after the other in one warehouse; then the chains of the second order."""
    project = Project(tmp_path_factory.mktemp("worlds"), models=MODELS)
    rows = Rows(made_by_hypothesis())
    found = []
    for day in (0, 1):
        project.write(rows.tables(day), AS_OF + dt.timedelta(days=day), load_id(0) if day else "")
        project.dbt("build", "--exclude-resource-type", "test", "unit_test")
        with duckdb.connect(str(project.warehouse)) as connection:
            history = read_history(connection)
            given = read_credits(connection)
        found.append(Day(history, models.paths_of(history), given, {1: _fits(project)}))
    project.dbt("run", "-s", *MARKOV, "--vars", "{markov_order: 2}")
    found[1].fits[2] = _fits(project)
    return found


def test_worlds_hold_what_the_models_differ_in(days: list[Day]) -> None:
    """The property is worth something: every kind of path is there, on both days."""
    for day in days:
        paths = list(day.paths.values())
        assert sum(len(path) > 3 for path in paths) > 40
        assert sum(not path for path in paths) > 20
        assert any(a.at == b.at for path in paths for a, b in pairwise(path))
        assert any(touch.is_direct for path in paths for touch in path)
        kinds = {conversion.type for conversion in day.history.conversions}
        assert kinds >= {"lead", "mql", "sql", "opportunity", "won", "purchase"}
        milestones = [
            frozenset(models.milestones_of(conversion, day.history))
            for conversion in day.history.conversions
            if day.paths[conversion.id]
        ]
        assert {frozenset(), frozenset({"lead_creation"})} < set(milestones)
        assert frozenset({"opportunity_creation", "close"}) in milestones
        assert frozenset({"lead_creation", "opportunity_creation", "close"}) in milestones
    assert days[0].paths.keys() != days[1].paths.keys()
    both = days[0].paths.keys() & days[1].paths.keys()
    assert sum(days[0].paths[one] != days[1].paths[one] for one in both) > 20


@pytest.mark.parametrize("day", [0, 1])
def test_all_ten_models_equal_the_reference(days: list[Day], day: int) -> None:
    """Row by row to 1e-9: on the second day after late touches, merges, erased records and won deals."""
    assert differing(days[day].given, models.credits_of(days[day].history)) == []


@pytest.mark.parametrize("day", [0, 1])
def test_credits_are_conserved(days: list[Day], day: int) -> None:
    """Each model gives each conversion away once, no more and no less, and nothing twice."""
    for conversion, touches in days[day].given.items():
        for model in models.MODELS:
            assert sum(credit[model] for credit in touches.values()) == pytest.approx(1, abs=1e-9), conversion


@pytest.mark.parametrize(("day", "order"), [(0, 1), (1, 1), (1, 2)])
def test_markov_fits_equal_the_reference(days: list[Day], day: int, order: int) -> None:
    """Removal effects and channel totals of every conversion type and month in which somebody converted."""
    found = days[day]
    expected = {
        (kind, month, channel): (
            effect,
            one.shares[channel],
            one.shares[channel] * one.conversions,
            one.conversions,
        )
        for (kind, month), one in models.markov_fits(found.history, found.paths, order).items()
        for channel, effect in one.removal_effects.items()
        if one.conversions
    }
    given = found.fits[order]
    assert given.keys() == expected.keys()
    different = {
        key: (given[key], value)
        for key, value in expected.items()
        if tuple(given[key]) != pytest.approx(value, abs=1e-9)
    }
    assert different == {}
    # The chains are worth something: many, and with effects that nobody could guess.
    assert len({(kind, month) for kind, month, _ in expected}) > 40
    assert len({round(effect, 6) for effect, *_ in expected.values()}) > 30
