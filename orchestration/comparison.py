"""Attribution models judged by the simulated company's truth, over several seeds.

What belongs here: building the company's warehouse once a seed, adding up what each model credits to each
channel, and the distance to what each channel truly caused. The truth is read here, after the warehouse has
been built and published; no model ever sees it.

How it is compared. A channel's true share is its incremental conversions (conversions of the window that
would not have happened without it) over the sum of all channels'; a count below zero, which is chance, counts
as zero. A model's share is its credit over all credit to channels; `(unattributed)` conversions belong to
none. Only conversion types that mean the same on both sides are compared (`COMPARED`), and only where the
truth holds enough conversions to speak of. Counts are pooled over seeds before shares are taken.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from ingestion.settings import Paths
from orchestration.pages import replace_between

# Conversion type -> the condition under which the warehouse means by it what the truth counts: leads of
# business visitors without sign-ups to the app, first deals without renewals and expansions.
COMPARED = {
    "purchase": "true",
    "trial": "true",
    "lead": "conversions.rule_id <> 'lead_sign_up'",
    "opportunity": "conversions.opportunity_type = 'new_business'",
}
BASELINES = {
    "equal_shares": "baseline: every channel the same",
    "touch_shares": "baseline: share of touches",
    "spend_shares": "baseline: share of media spend",
    "platform_claims": "baseline: what ad platforms claim",
}
WITHOUT_EFFECT = ("Affiliates", "Direct")  # the company's channels that truly cause nothing
ENOUGH = 40  # true incremental conversions, pooled over seeds

Counts = dict[str, float]  # by channel


@dataclass
class Side:
    """What one seed gave for one conversion type: the truth, and each model's credit, by channel."""

    truth: Counts
    models: dict[str, Counts]
    conversions: int = 0
    unattributed: int = 0


@dataclass(frozen=True)
class Score:
    """How far shares are from the true ones."""

    error: float  # mean absolute difference of shares, as a fraction
    rank_correlation: float
    without_effect: float  # share given to channels that cause nothing


@dataclass
class Judged:
    """A conversion type over all seeds."""

    pooled: Side
    scores: dict[str, Score] = field(default_factory=dict)
    errors_by_seed: dict[str, list[float]] = field(default_factory=dict)


def shares(counts: Mapping[str, float], channels: Sequence[str]) -> list[float]:
    """Parts of the whole, in the order of channels; negative counts are chance and count as nothing."""
    kept = [max(counts.get(channel, 0.0), 0.0) for channel in channels]
    total = sum(kept)
    return [value / total for value in kept] if total else [0.0] * len(kept)


def ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1; equal values share the mean of theirs."""
    found = []
    for value in values:
        below = sum(other < value for other in values)
        same = sum(other == value for other in values)
        found.append(below + (same + 1) / 2)
    return found


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's: the correlation of ranks; 0 where one side has no order."""
    x, y = ranks([round(value, 12) for value in a]), ranks([round(value, 12) for value in b])
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread_x = sum((value - mean_x) ** 2 for value in x)
    spread_y = sum((value - mean_y) ** 2 for value in y)
    if not spread_x or not spread_y:
        return 0.0
    together = sum((p - mean_x) * (q - mean_y) for p, q in zip(x, y, strict=True))
    return float(together / (spread_x * spread_y) ** 0.5)


def channels_of(side: Side) -> list[str]:
    """The channels that are judged: those with a true effect or with a touch on a path to a conversion."""
    touched = {channel for channel, credit in side.models.get("linear", {}).items() if credit}
    return sorted({channel for channel, count in side.truth.items() if count > 0} | touched)


def score(side: Side, model: str, channels: Sequence[str]) -> Score:
    """One model's (or baseline's) distance to the truth."""
    counts = dict.fromkeys(channels, 1.0) if model == "equal_shares" else side.models[model]
    given, true = shares(counts, channels), shares(side.truth, channels)
    return Score(
        error=sum(abs(p - q) for p, q in zip(given, true, strict=True)) / len(channels),
        rank_correlation=rank_correlation(given, true),
        without_effect=sum(
            share for channel, share in zip(channels, given, strict=True) if channel in WITHOUT_EFFECT
        ),
    )


def judge(sides: Sequence[Side]) -> Judged:
    """Scores of every model over pooled counts, and the errors that each seed alone would have shown."""
    pooled = Side(defaultdict(float), defaultdict(lambda: defaultdict(float)))
    for side in sides:
        pooled.conversions += side.conversions
        pooled.unattributed += side.unattributed
        for channel, count in side.truth.items():
            pooled.truth[channel] += count
        for model, counts in side.models.items():
            for channel, count in counts.items():
                pooled.models[model][channel] += count
    judged = Judged(pooled)
    channels = channels_of(pooled)
    for model in (*pooled.models, "equal_shares"):
        judged.scores[model] = score(pooled, model, channels)
        judged.errors_by_seed[model] = [
            score(side, model, channels).error
            for side in sides
            if sum(max(count, 0) for count in side.truth.values())
        ]
    return judged


def window(scale: str) -> tuple[dt.datetime, dt.datetime]:
    """From when to when the truth counts conversions (UTC, the end excluded)."""
    from sandbox.company.facts import SCALES

    first, last = SCALES[scale].first_day, SCALES[scale].last_day
    midnight = dt.time()
    return dt.datetime.combine(first, midnight), dt.datetime.combine(last + dt.timedelta(days=1), midnight)


def read(published: Path, scale: str, truth: Sequence[Mapping[str, Any]]) -> dict[str, Side]:
    """The truth of a company (rows of `sandbox.truth`) beside what a published warehouse of it says, by
    conversion type.
    """
    sides = {kind: Side({}, {}) for kind in COMPARED}
    for row in truth:
        if row["conversion_type"] in sides:
            sides[row["conversion_type"]].truth[row["channel"]] = row["incremental_conversions"]
    start, end = window(scale)
    with duckdb.connect(str(published), read_only=True) as connection:
        models = [
            str(name).removeprefix("credit_")
            for (name,) in connection.execute(
                "select column_name from information_schema.columns where table_schema = 'attribution'"
                " and table_name = 'fct_attribution' and starts_with(column_name, 'credit_')"
                " order by ordinal_position"
            ).fetchall()
        ]
        everywhere = {
            "touch_shares": _counts(
                connection,
                "select channel, count(*) from core.fct_touchpoints"
                " where is_credit_eligible and occurred_at >= ? and occurred_at < ? group by channel",
                start,
                end,
            ),
            "spend_shares": _counts(
                connection,
                "select channel, sum(spend) from core.fct_ad_performance_daily"
                " where date >= ? and date < ? group by channel",
                start,
                end,
            ),
            "platform_claims": _counts(
                connection,
                "select channel, sum(conversions) from core.fct_ad_performance_daily"
                " where date >= ? and date < ? group by channel",
                start,
                end,
            ),
        }
        for kind, condition in COMPARED.items():
            side = sides[kind]
            rows = connection.execute(
                f"select credits.channel, {', '.join(f'sum(credit_{model})' for model in models)}"
                " from attribution.fct_attribution as credits"
                " inner join core.fct_conversions as conversions"
                " on credits.conversion_id = conversions.conversion_id"
                " where conversions.conversion_type = ? and conversions.converted_at >= ?"
                f" and conversions.converted_at < ? and {condition} group by credits.channel",
                [kind, start, end],
            ).fetchall()
            side.models = {model: {} for model in models}
            for channel, *credit in rows:
                if channel == "(unattributed)":
                    side.unattributed = round(credit[0])
                else:
                    for model, value in zip(models, credit, strict=True):
                        side.models[model][channel] = value
            side.conversions = side.unattributed + round(sum(side.models[models[0]].values()))
            side.models |= everywhere
    return sides


def _counts(
    connection: duckdb.DuckDBPyConnection, query: str, start: dt.datetime, end: dt.datetime
) -> Counts:
    return {
        channel: float(value or 0) for channel, value in connection.execute(query, [start, end]).fetchall()
    }


def compare(scale: str, seeds: Sequence[int], tell: Callable[[str], None]) -> dict[str, Judged]:
    """Build the company's warehouse for every seed in a throw-away data folder, and judge all models."""
    from rich.console import Console

    from orchestration import demo
    from orchestration.pipeline import run_once
    from sandbox.truth import truth

    sides: dict[str, list[Side]] = defaultdict(list)
    for number, seed in enumerate(seeds, start=1):
        tell(f"Seed {seed} ({number} of {len(seeds)}): generating, loading, building …")
        with tempfile.TemporaryDirectory(prefix="funnelhouse-compare-") as folder:
            paths = Paths(Path(folder)).create()
            with demo.company(paths, scale, seed, Console(quiet=True)):
                run_once(paths, run_tests=False)
            for kind, side in read(paths.published, scale, truth(scale, seed).to_pylist()).items():
                sides[kind].append(side)
    return {kind: judge(of_kind) for kind, of_kind in sides.items()}


def report(scale: str, seeds: Sequence[int], judged: Mapping[str, Judged]) -> str:
    """The findings as Markdown: one table over all compared types, then one a type."""
    told = {kind: one for kind, one in judged.items() if sum(_positive(one)) >= ENOUGH}
    left_out = [kind for kind in judged if kind not in told]
    if not told:
        return (
            "No conversion type has enough true incremental conversions; take more seeds or a larger scale."
        )
    models = list(next(iter(told.values())).scores)
    order = sorted(models, key=lambda model: sum(one.scores[model].error for one in told.values()))
    kinds = list(told)
    lines = [
        f"Company `{scale}`, seeds {', '.join(map(str, seeds))}. Error: mean absolute difference of channel"
        " shares, in percentage points (0 is perfect; in brackets: single seeds, lowest to highest). Rank:"
        f" Spearman's correlation of shares (1 is perfect). No effect: share given to"
        f" {' and '.join(WITHOUT_EFFECT)}, which cause nothing.",
        "",
        f"| model | error, mean of types | {' | '.join(f'error: {kind}' for kind in kinds)} |"
        f" rank, mean of types | {' | '.join(f'rank: {kind}' for kind in kinds)} | no effect |",
        "|---|" + "---:|" * (3 + 2 * len(kinds)),
    ]
    for model in order:
        scores = [one.scores[model] for one in told.values()]
        single = [one.errors_by_seed[model] for one in told.values()]
        cells = [
            BASELINES.get(model, f"`{model}`"),
            f"{_mean([one.error for one in scores]) * 100:.1f}",
            *(
                f"{one.error * 100:.1f}"
                + (f" ({min(of) * 100:.1f}–{max(of) * 100:.1f})" if len(of) > 1 else "")
                for one, of in zip(scores, single, strict=True)
            ),
            f"{_mean([one.rank_correlation for one in scores]):.2f}",
            *(f"{one.rank_correlation:.2f}" for one in scores),
            f"{_mean([one.without_effect for one in scores]) * 100:.0f} %",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "| | " + " | ".join(kinds) + " |", "|---|" + "---:|" * len(kinds)]
    facts = {
        "conversions in the warehouse": [f"{one.pooled.conversions:,}" for one in told.values()],
        "of them without an eligible touch": [f"{one.pooled.unattributed:,}" for one in told.values()],
        "true incremental conversions, summed over channels": [
            f"{round(sum(_positive(one))):,}" for one in told.values()
        ],
        "channels judged": [str(len(channels_of(one.pooled))) for one in told.values()],
    }
    lines += [f"| {name} | " + " | ".join(cells) + " |" for name, cells in facts.items()]
    if left_out:
        lines += ["", f"Too few true incremental conversions to judge by: {', '.join(left_out)}."]
    best = next(model for model in order if model not in BASELINES)
    lines += ["", f"Channel shares in per cent, truth beside `{best}` and `last_touch`:", ""]
    lines += _share_table(told, best)
    return "\n".join(lines)


def _share_table(told: Mapping[str, Judged], best: str) -> list[str]:
    columns = [
        (kind, name) for kind in told for name in ("truth", best, *(["last_touch"] * (best != "last_touch")))
    ]
    found: dict[tuple[str, str], dict[str, float]] = {}
    channels: set[str] = set()
    for kind, name in columns:
        pooled = told[kind].pooled
        own = channels_of(pooled)
        counts = pooled.truth if name == "truth" else pooled.models[name]
        found[(kind, name)] = dict(zip(own, shares(counts, own), strict=True))
        channels |= set(own)
    lines = [
        "| channel | " + " | ".join(f"{kind}: {name}" for kind, name in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for channel in sorted(channels, key=lambda name: -sum(of.get(name, 0) for of in found.values())):
        cells = [
            f"{found[column][channel] * 100:.1f}" if channel in found[column] else "" for column in columns
        ]
        lines.append(f"| {channel} | " + " | ".join(cells) + " |")
    return lines


def write(page: Path, scale: str, content: str) -> None:
    """Put the findings of a scale between its markers of a page."""
    begin = f"<!-- comparison at {scale}: begin (written by `funnelhouse sandbox compare`) -->"
    replace_between(page, begin, f"<!-- comparison at {scale}: end -->", content)


def _positive(judged: Judged) -> list[float]:
    return [max(count, 0.0) for count in judged.pooled.truth.values()]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
