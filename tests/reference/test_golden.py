"""The reference itself: the golden case by hand, and what must hold of its models for any paths."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import models
from tests.reference.models import Path, Touch

# The golden case of the data model: converted (True) or not, every conversion worth 1.
GOLDEN = [
    Path(tuple(channels), is_converting)
    for channels, is_converting in (
        ("A", True),
        ("A", False),
        ("B", False),
        ("AB", True),
        ("AB", True),
        ("BA", False),
        ("ABA", True),
        ("B", False),
    )
]
NOON = dt.datetime(2026, 5, 1, 12)


def touches(channels: str, hours: list[int] | None = None) -> list[Touch]:
    """A path through these channels, D being direct, an hour apart unless said otherwise."""
    return [
        Touch(f"t{i}", "p", None, NOON + dt.timedelta(hours=hour), NOON.date(), channel, channel == "D")
        for i, (channel, hour) in enumerate(zip(channels, hours or range(len(channels)), strict=True))
    ]


def credited(paths: list[Path], weights: dict[str, float]) -> dict[str, float]:
    """Credits of the converting paths, summed by channel."""
    sums: dict[str, float] = defaultdict(float)
    for path in paths:
        if path.is_converting:
            own = touches("".join(path.channels))
            for touch, credit in zip(own, models.by_channel(own, weights), strict=True):
                sums[touch.channel] += credit
    return sums


def test_golden_case_of_markov_and_shapley() -> None:
    fit = models.fit(GOLDEN)
    assert fit.removal_effects == pytest.approx({"A": 0.75, "B": 0.642857}, abs=1e-6)
    totals = {channel: share * fit.conversions for channel, share in fit.shares.items()}
    assert totals == pytest.approx({"A": 2.153846, "B": 1.846154}, abs=1e-6)
    assert credited(GOLDEN, fit.removal_effects) == pytest.approx({"A": 2.615385, "B": 1.384615}, abs=1e-6)
    assert credited(GOLDEN, {"A": 1, "B": 1}) == pytest.approx({"A": 2.5, "B": 1.5})
    assert models.shapley_by_coalitions(GOLDEN) == pytest.approx({"A": 2.5, "B": 1.5})


def test_second_order_by_hand() -> None:
    """A>B converts, B>A does not, and A and B alone do half the time: order 2 knows, order 1 does not."""
    paths = [Path(("A", "B"), True), Path(("B", "A"), False), Path(("A",), True), Path(("B",), False)]
    # From the start: AB 1/4, BA 1/4, A 1/4, B 1/4. Order 2 keeps (A,B) apart from (B): P = 1/2.
    # Without B: start -> A (1/2), then converted 1/2, to B 1/2: P = 1/4. Without A: B alone never converts.
    assert models.fit(paths, 2).removal_effects == pytest.approx({"A": 1.0, "B": 0.5})
    # Order 1: from A 1/3 each to B, converted, lost; from B 1/3 each to A, converted, lost: P(conv) = 1/2.
    # Without A or B: 1/2 x 1/3 = 1/6.
    assert models.fit(paths, 1).removal_effects == pytest.approx({"A": 2 / 3, "B": 2 / 3})


def test_milestones_by_hand() -> None:
    path = touches("ABCDE")
    day = {name: NOON + dt.timedelta(hours=hour) for name, hour in (("lead", 1), ("deal", 3), ("close", 9))}
    milestones = {"lead_creation": day["lead"], "opportunity_creation": day["deal"]}
    assert models.milestone_model("w_shaped", path, milestones) == pytest.approx([0.3, 0.3, 0.05, 0.3, 0.05])
    milestones["close"] = day["close"]
    assert models.milestone_model("full_path", path, milestones) == pytest.approx(
        [0.225, 0.225, 0.1, 0.225, 0.225]
    )
    # One touch holds everything; a milestone before the first touch is absent.
    assert models.milestone_model("full_path", path[:1], milestones) == pytest.approx([1.0])
    early = {"lead_creation": NOON - dt.timedelta(days=1)}
    assert models.milestone_model("w_shaped", path, early) == pytest.approx([0.9, *[0.025] * 4])
    # Two touches, both milestones: no rest, its weight is shared in proportion.
    both = {"lead_creation": NOON, "opportunity_creation": day["deal"]}
    assert models.milestone_model("w_shaped", path[:2], both) == pytest.approx([2 / 3, 1 / 3])


paths_of_any_kind = st.lists(
    st.builds(Path, st.lists(st.sampled_from("ABCD"), min_size=1, max_size=6).map(tuple), st.booleans()),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(paths=paths_of_any_kind)
def test_shapley_of_touches_equals_the_sum_over_all_coalitions(paths: list[Path]) -> None:
    expected = {channel: worth for channel, worth in models.shapley_by_coalitions(paths).items() if worth}
    found = credited(paths, dict.fromkeys("ABCD", 1.0))
    assert dict(found) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(paths=paths_of_any_kind, order=st.sampled_from([1, 2]))
def test_removal_effects_lie_between_nothing_and_everything(paths: list[Path], order: int) -> None:
    effects = models.fit(paths, order).removal_effects
    on_converting = {channel for path in paths if path.is_converting for channel in path.channels}
    for channel, effect in effects.items():
        assert -1e-12 <= effect <= 1 + 1e-12
        # Order 1 forgets the way, so a channel off all converting paths may still lead to one there.
        if channel in on_converting:
            assert effect > 0
        elif order == 1 and not on_converting:
            assert effect == 0


@settings(deadline=None, derandomize=True, max_examples=60)
@given(paths=paths_of_any_kind)
def test_repeats_in_a_row_do_not_matter_to_the_first_order(paths: list[Path]) -> None:
    joined = [
        Path(
            tuple(c for i, c in enumerate(path.channels) if i == 0 or c != path.channels[i - 1]),
            path.is_converting,
        )
        for path in paths
    ]
    assert models.fit(paths).removal_effects == pytest.approx(models.fit(joined).removal_effects, abs=1e-12)
