"""The answer key: counterfactual runs on the same random numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sandbox.company import facts, people
from sandbox.company.journeys import behave
from sandbox.company.people import World
from sandbox.truth import CONVERSION_TYPES, count, truth, write


@pytest.fixture(scope="module")
def world() -> World:
    return people.build("small", 7)


@pytest.fixture(scope="module")
def table() -> dict[tuple[str, str], dict[str, int]]:
    return {(row["channel"], row["conversion_type"]): row for row in truth("small", 7).to_pylist()}


def test_truth_covers_every_channel_and_type(table: dict[tuple[str, str], dict[str, int]]) -> None:
    assert set(table) == {(channel, kind) for channel in facts.CHANNELS for kind in CONVERSION_TYPES}
    for row in table.values():
        assert row["incremental_conversions"] == row["conversions"] - row["conversions_without"]


@pytest.mark.parametrize("channel", ["Affiliates", "Direct"])
def test_channels_without_effect_add_nothing(
    table: dict[tuple[str, str], dict[str, int]], channel: str
) -> None:
    touches = facts.FIRST_TOUCH_MIX[facts.SHOP][facts.CHANNEL[channel]]
    assert touches > 0
    assert all(table[channel, kind]["incremental_conversions"] == 0 for kind in CONVERSION_TYPES)


def test_setting_an_effect_to_zero_makes_its_truth_zero_and_others_keep_theirs(world: World) -> None:
    effects = world.effects.copy()
    effects[facts.CHANNEL["Paid Social"]] = 0
    base = count(world, behave(world, None, effects))
    assert count(world, behave(world, "Paid Social", effects)) == base
    # Switching a channel off is the same as having no effect.
    assert count(world, behave(world, "Paid Social")) == base
    assert count(world, behave(world, "Paid Search", effects)) != base


def test_the_base_run_is_unchanged_by_counterfactual_runs(world: World) -> None:
    before = behave(world)
    for channel in facts.CHANNELS:
        behave(world, channel)
    after = behave(world)
    for name in before.__dataclass_fields__:
        assert np.array_equal(getattr(before, name), getattr(after, name))


def test_strong_channels_add_conversions(table: dict[tuple[str, str], dict[str, int]]) -> None:
    for channel in ("Paid Search", "Paid Social", "Organic Search"):
        assert table[channel, "purchase"]["incremental_conversions"] > 0
    assert table["Event", "lead"]["incremental_conversions"] > 0
    assert table["Event", "purchase"]["incremental_conversions"] == 0


def test_nobody_converts_earlier_or_anew_without_a_channel(world: World) -> None:
    base = behave(world).first_at
    for channel in facts.CHANNELS:
        assert (behave(world, channel).first_at >= base).all()


def test_cart_reminders_go_out_only_where_no_order_came_first_and_bring_orders(world: World) -> None:
    outcome, reminders, touches = behave(world), world.reminders, world.touches
    assert outcome.reminded.sum() > 20
    ordered = {(int(p), int(at)) for p, at in zip(
        touches.person[outcome.order_touch], touches.acts_at[outcome.order_touch], strict=True
    )}  # fmt: skip
    for row in range(len(reminders.touch)):
        visit = int(reminders.touch[row])
        person, left_at = int(touches.person[visit]), int(touches.acts_at[visit])
        first = [at for who, at in ordered if who == person and left_at <= at < reminders.sent_at[row]]
        assert outcome.reminded[row] == (bool(outcome.active[visit]) and not first)
        if reminders.click[row] >= 0 and not outcome.reminded[row]:
            assert not outcome.active[reminders.click[row]]
    # Their effect is that of e-mail: with it some clicks end in an order that do not end in one without.
    clicks = reminders.click[(reminders.click >= 0) & outcome.reminded]
    assert (
        np.isin(clicks, outcome.order_touch).sum() > np.isin(clicks, behave(world, "Email").order_touch).sum()
    )


def test_truth_is_reproducible_and_written_as_json(tmp_path: Path) -> None:
    first, second = truth("small", 7), truth("small", 7)
    assert first.equals(second)
    assert not first.equals(truth("small", 8))
    written = json.loads(write(tmp_path / "truth.json", "small", 7).read_text(encoding="utf-8"))
    assert written["rows"] == first.to_pylist()
    assert (written["scale"], written["seed"]) == ("small", 7)


def test_no_dbt_model_reads_the_truth() -> None:
    models = Path(__file__).resolve().parents[3] / "dbt_project" / "models"
    readers = [
        path for path in models.rglob("*.sql") if "truth" in path.read_text(encoding="utf-8").lower().split()
    ]
    assert readers == []
