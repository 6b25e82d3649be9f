"""The reference against public libraries, where they compute the same thing. `make test-peers` runs this.

marketing-attribution-models 2.1.1 (Apache-2.0): first, last, linear, position-based and time-decay, per
journey; Markov removal effects of order 1, exact. Its Shapley is another game (it works with conversion rates
of channel sets up to a size), so it is left out; it has no milestone models.
ChannelAttribution 2.2.5 (GPL-3.0-or-later; not part of anything that is installed or shipped): first, last
and linear, exact; Markov of any order by simulation, so removal effects agree only roughly. By default it
cuts simulated paths at the length of the longest one in the data; here it may take a thousand steps.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter, defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import models
from tests.reference.models import Path, Touch

pytestmark = pytest.mark.peers

CONVERTED_AT = dt.datetime(2026, 5, 1, 12)
CHANNELS = ("Email", "Paid Search", "Referral", "Display")
SEPARATOR = " > "
journeys = st.lists(
    st.tuples(
        st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=7),
        st.lists(st.integers(0, 24 * 40), min_size=7, max_size=7),
        st.booleans(),
    ),
    min_size=1,
    max_size=15,
).filter(lambda found: any(is_converting for _, _, is_converting in found))


def touches(channels: list[str], ages: list[int]) -> list[Touch]:
    """A path whose touches are so many hours older than the conversion; the last is the conversion's own."""
    hours = [*sorted(ages[: len(channels) - 1], reverse=True), 0]
    return [
        Touch(str(i), "p", None, CONVERTED_AT - dt.timedelta(hours=hour), CONVERTED_AT.date(), channel, False)
        for i, (channel, hour) in enumerate(zip(channels, hours, strict=True))
    ]


def library(made: list[tuple[list[str], list[int], bool]]) -> Any:
    """marketing-attribution-models on these journeys."""
    import polars
    from mam.core import MAM

    frame = polars.DataFrame(
        {
            "id": [str(number) for number in range(len(made))],
            "path": [SEPARATOR.join(channels) for channels, _, _ in made],
            "hours": [
                SEPARATOR.join(
                    str((CONVERTED_AT - touch.at).total_seconds() / 3600) for touch in touches(path, ages)
                )
                for path, ages, _ in made
            ],
            "converted": [is_converting for _, _, is_converting in made],
        }
    )
    return MAM(
        frame,
        "journey",
        channels_colname="path",
        journey_with_conv_colname="converted",
        user_id_colname="id",
        time_till_conv_colname="hours",
        path_separator=SEPARATOR,
    )


@settings(deadline=None, derandomize=True, max_examples=60)
@given(made=journeys)
def test_heuristics_equal_marketing_attribution_models(
    made: list[tuple[list[str], list[int], bool]],
) -> None:
    mam = library(made)
    theirs = {
        "first_touch": mam.run_first_click(),
        "last_touch": mam.run_last_click(),
        "linear": mam.run_linear(),
        "position_based": mam.run_position_based(),
        "time_decay": mam.run_time_decay(half_life_hours=24 * models.HALF_LIFE_DAYS),
    }
    ours: dict[str, dict[str, float]] = {model: defaultdict(float) for model in theirs}
    for channels, ages, is_converting in made:
        if is_converting:
            path = touches(channels, ages)
            for model in theirs:
                rule = getattr(models, model)
                credit = rule(path, CONVERTED_AT) if model == "time_decay" else rule(path)
                for touch, part in zip(path, credit, strict=True):
                    ours[model][touch.channel] += part
    for model, result in theirs.items():
        content = result.to_dict()
        given_out = dict(zip(content["channels"], content["attribution"], strict=True))
        assert {channel: value for channel, value in given_out.items() if value} == pytest.approx(
            {channel: value for channel, value in ours[model].items() if value}, abs=1e-9
        ), model


@settings(deadline=None, derandomize=True, max_examples=100)
@given(made=journeys)
def test_removal_effects_equal_marketing_attribution_models(
    made: list[tuple[list[str], list[int], bool]],
) -> None:
    theirs = library(made).run_markov().metadata["removal_effect"]["removal_effect"].to_dict()
    ours = models.fit([Path(tuple(channels), is_converting) for channels, _, is_converting in made])
    assert ours.removal_effects == pytest.approx(theirs, abs=1e-9)


@pytest.fixture(scope="module")
def counted() -> tuple[list[Path], Any]:
    """Three thousand paths of a made-up market, and the same as ChannelAttribution wants them."""
    import pandas

    r = random.Random(5)
    pull = {"Email": 0.5, "Paid Search": 0.3, "Referral": 0.2, "Display": 0.05}
    paths = []
    for _ in range(3000):
        channels = tuple(r.choices(CHANNELS, k=r.choice([1, 1, 2, 3, 4])))
        paths.append(Path(channels, r.random() < max(pull[channel] for channel in channels)))
    counts: dict[tuple[str, ...], Counter[bool]] = defaultdict(Counter)
    for path in paths:
        counts[path.channels][path.is_converting] += 1
    frame = pandas.DataFrame(
        [
            {"path": SEPARATOR.join(channels), "conversions": number[True], "lost": number[False]}
            for channels, number in counts.items()
        ]
    )
    return paths, frame


def test_heuristics_equal_channel_attribution(counted: tuple[list[Path], Any]) -> None:
    from ChannelAttribution import heuristic_models

    paths, frame = counted
    theirs = heuristic_models(frame, "path", "conversions", sep=">", flg_pro=False)
    ours: dict[str, dict[str, float]] = {
        model: defaultdict(float) for model in ("first_touch", "last_touch", "linear")
    }
    for one in paths:
        if one.is_converting:
            path = touches(list(one.channels), [0] * len(one.channels))
            for model, sums in ours.items():
                for touch, part in zip(path, getattr(models, model)(path), strict=True):
                    sums[touch.channel] += part
    names = {"first_touch": "first_touch", "last_touch": "last_touch", "linear": "linear_touch"}
    for model, name in names.items():
        given_out = dict(zip(theirs["channel_name"], theirs[name], strict=True))
        assert given_out == pytest.approx(dict(ours[model]), abs=1e-6)


@pytest.mark.parametrize("order", [1, 2])
def test_removal_effects_are_near_channel_attributions_simulation(
    counted: tuple[list[Path], Any], order: int
) -> None:
    from ChannelAttribution import markov_model

    paths, frame = counted
    found = markov_model(
        frame,
        "path",
        "conversions",
        var_null="lost",
        order=order,
        out_more=True,
        sep=">",
        seed=3,
        conv_par=0.02,
        nsim_start=1e6,
        max_step=1000,
        verbose=False,
        flg_pro=False,
    )
    effects = found["removal_effects"]
    theirs = dict(zip(effects["channel_name"], effects.iloc[:, 1], strict=True))
    assert models.fit(paths, order).removal_effects == pytest.approx(theirs, abs=0.005)
