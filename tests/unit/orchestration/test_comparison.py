"""Judging models by the truth: shares, errors, ranks and pooling, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration import comparison
from orchestration.comparison import Side
from orchestration.pages import replace_between

CHANNELS = ["A", "B", "Direct"]


def side(truth: list[float], **models: list[float]) -> Side:
    """A seed's figures for channels A, B and Direct."""
    return Side(
        dict(zip(CHANNELS, truth, strict=True)),
        {name: dict(zip(CHANNELS, counts, strict=True)) for name, counts in models.items()},
    )


def test_shares_leave_chance_out() -> None:
    assert comparison.shares({"A": 6, "B": -2, "Direct": 2}, CHANNELS) == [0.75, 0.0, 0.25]
    assert comparison.shares({}, CHANNELS) == [0.0, 0.0, 0.0]


def test_rank_correlation_shares_the_ranks_of_equals() -> None:
    assert comparison.ranks([3.0, 1.0, 3.0]) == [2.5, 1.0, 2.5]
    assert comparison.rank_correlation([1, 2, 3], [10, 20, 90]) == pytest.approx(1)
    assert comparison.rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert comparison.rank_correlation([1, 1, 1], [1, 2, 3]) == 0
    # Ranks 1, 2, 3, 4 against 1, 3, 2, 4: 1 - 6 * 2 / (4 * 15).
    assert comparison.rank_correlation([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(0.8)


def test_a_score_is_the_mean_distance_of_shares() -> None:
    found = comparison.score(side([3, 1, 0], linear=[2, 1, 1]), "linear", CHANNELS)
    # 0.75, 0.25, 0 against 0.5, 0.25, 0.25.
    assert found.error == pytest.approx((0.25 + 0 + 0.25) / 3)
    assert found.without_effect == pytest.approx(0.25)
    equal = comparison.score(side([3, 1, 0], linear=[2, 1, 1]), "equal_shares", CHANNELS)
    assert equal.error == pytest.approx((0.75 - 1 / 3 + 1 / 3 - 0.25 + 1 / 3) / 3)


def test_seeds_are_pooled_before_shares_are_taken() -> None:
    judged = comparison.judge([side([9, 1, 0], linear=[5, 5, 0]), side([1, 9, 0], linear=[5, 5, 0])])
    assert judged.scores["linear"].error == pytest.approx(0)
    assert judged.errors_by_seed["linear"] == pytest.approx([0.4, 0.4])
    assert comparison.channels_of(judged.pooled) == ["A", "B"]


def test_the_report_names_the_best_model_first_and_what_it_cannot_judge() -> None:
    good = comparison.judge([side([60, 30, 0], linear=[6, 3, 1], last_touch=[1, 1, 8])])
    few = comparison.judge([side([1, 0, 0], linear=[1, 0, 0], last_touch=[1, 0, 0])])
    text = comparison.report("small", [1], {"purchase": good, "trial": few})
    rows = [line for line in text.splitlines() if line.startswith(("| `", "| baseline"))]
    # 66.7, 33.3, 0 against 60, 30, 10 per cent; all ranks agree.
    assert rows[0] == "| `linear` | 6.7 | 6.7 | 1.00 | 1.00 | 10 % |"
    assert rows[-1].startswith("| `last_touch` |")
    assert "Too few true incremental conversions to judge by: trial." in text


def test_a_page_without_markers_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing here\n")
    with pytest.raises(ValueError, match="lacks the markers"):
        comparison.write(page, "small", "table")
    page.write_text("a\n<b>\nold\n<e>\nz\n")
    replace_between(page, "<b>", "<e>", "new")
    assert page.read_text() == "a\n<b>\nnew\n<e>\nz\n"
