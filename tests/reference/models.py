"""Every attribution model in plain Python, written from the definitions and from nothing else.

What belongs here: the definitions of DATA_MODEL.md section 4, one function each, as slow and as obvious as
possible. Nothing here reads SQL; tests hold the warehouse against it. Weights are the documented ones.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from math import factorial
from typing import Any

import numpy as np

UNATTRIBUTED = "(unattributed)"
HEURISTICS = ("first_touch", "last_touch", "last_non_direct", "linear", "position_based", "time_decay")
MILESTONES = ("w_shaped", "full_path")
MODELS = (*HEURISTICS, *MILESTONES, "markov", "shapley")
DEAL_TYPES = ("opportunity", "won")  # anchored at the opportunity's creation, with the account's touches
HALF_LIFE_DAYS = 7.0
POSITION_FIRST, POSITION_LAST = 0.4, 0.4
MILESTONE_WEIGHTS: dict[str, dict[str, float]] = {
    "w_shaped": {"first_touch": 0.3, "lead_creation": 0.3, "opportunity_creation": 0.3, "rest": 0.1},
    "full_path": {
        "first_touch": 0.225,
        "lead_creation": 0.225,
        "opportunity_creation": 0.225,
        "close": 0.225,
        "rest": 0.1,
    },
}
START, CONVERTED, LOST = "(start)", "(converted)", "(lost)"


@dataclass(frozen=True)
class Touch:
    """An eligible touchpoint."""

    id: str
    person: str
    account: str | None
    at: dt.datetime
    on: dt.date
    channel: str
    is_direct: bool


@dataclass(frozen=True)
class Conversion:
    """A conversion; `anchor` is the opportunity's creation for deal types, else the conversion."""

    id: str
    type: str
    person: str | None
    account: str | None
    at: dt.datetime
    on: dt.date
    anchor: dt.datetime
    value: float


@dataclass(frozen=True)
class Deal:
    """A closed opportunity of an account or, without one, of a person."""

    account: str | None
    person: str | None
    closed_at: dt.datetime


@dataclass(frozen=True)
class Lead:
    """A CRM contact."""

    account: str | None
    person: str | None
    created_at: dt.datetime


@dataclass(frozen=True)
class History:
    """All that attribution knows."""

    touches: Sequence[Touch]
    conversions: Sequence[Conversion]
    deals: Sequence[Deal]
    leads: Sequence[Lead]
    lookback_days: Mapping[str, int]
    markov_order: int = 1


@dataclass(frozen=True)
class Path:
    """One path of channels of one fit; `touches` of the conversion it led to, if it led to one."""

    channels: tuple[str, ...]
    is_converting: bool


@dataclass
class Fit:
    """A Markov chain's removal effects over its paths."""

    removal_effects: dict[str, float]
    conversions: int
    value: float = 0.0
    paths: list[Path] = field(default_factory=list)

    @property
    def shares(self) -> dict[str, float]:
        """Removal effects as parts of their sum."""
        total = sum(self.removal_effects.values())
        return {channel: effect / total if total else 0.0 for channel, effect in self.removal_effects.items()}


# ---- Paths


def scope_of(kind: str, person: str | None, account: str | None) -> tuple[str, str] | None:
    """Whose touches count: the account's for deals that have one, else the person's."""
    if kind in DEAL_TYPES and account is not None:
        return ("account", account)
    return ("person", person) if person is not None else None


def paths_of(history: History) -> dict[str, list[Touch]]:
    """The touches that each conversion may credit, in order."""
    touches = _touches_by_scope(history)
    closings: dict[tuple[str, str], list[dt.datetime]] = defaultdict(list)
    for deal in history.deals:
        scope = scope_of("won", deal.person, deal.account)
        if scope:
            closings[scope].append(deal.closed_at)
    earlier: dict[tuple[str, tuple[str, str] | None], list[dt.datetime]] = defaultdict(list)
    for conversion in history.conversions:
        earlier[(conversion.type, scope_of(conversion.type, conversion.person, conversion.account))].append(
            conversion.at
        )
    found = {}
    for conversion in history.conversions:
        scope = scope_of(conversion.type, conversion.person, conversion.account)
        since = conversion.anchor - dt.timedelta(days=history.lookback_days[conversion.type])
        if scope is None:
            found[conversion.id] = []
            continue
        if conversion.type in DEAL_TYPES:
            ends = [moment for moment in closings[scope] if moment < conversion.anchor]
        else:
            ends = [moment for moment in earlier[(conversion.type, scope)] if moment < conversion.at]
        after = max(ends, default=None)
        found[conversion.id] = [
            touch
            for touch in touches[scope]
            if since <= touch.at <= conversion.at and (after is None or touch.at > after)
        ]
    return found


def _touches_by_scope(history: History) -> dict[tuple[str, str], list[Touch]]:
    found: dict[tuple[str, str], list[Touch]] = defaultdict(list)
    for touch in sorted(history.touches, key=lambda touch: (touch.at, touch.id)):
        found[("person", touch.person)].append(touch)
        if touch.account is not None:
            found[("account", touch.account)].append(touch)
    return found


# ---- Models that look at one path


def first_touch(path: Sequence[Touch]) -> list[float]:
    """All to the first."""
    return [float(index == 0) for index in range(len(path))]


def last_touch(path: Sequence[Touch]) -> list[float]:
    """All to the last."""
    return [float(index == len(path) - 1) for index in range(len(path))]


def last_non_direct(path: Sequence[Touch]) -> list[float]:
    """All to the last that is not direct; to the last if all are."""
    chosen = max((i for i, touch in enumerate(path) if not touch.is_direct), default=len(path) - 1)
    return [float(index == chosen) for index in range(len(path))]


def linear(path: Sequence[Touch]) -> list[float]:
    """The same to each."""
    return [1 / len(path)] * len(path)


def position_based(path: Sequence[Touch]) -> list[float]:
    """40 % first, 40 % last, the rest between; two touches half each."""
    count = len(path)
    if count == 1:
        return [1.0]
    if count == 2:
        return [0.5, 0.5]
    between = (1 - POSITION_FIRST - POSITION_LAST) / (count - 2)
    return [POSITION_FIRST, *[between] * (count - 2), POSITION_LAST]


def time_decay(path: Sequence[Touch], converted_at: dt.datetime) -> list[float]:
    """2^(-days / half-life), normalised. The youngest touch's weight is divided out: it may be very small."""
    ages = [(converted_at - touch.at) / dt.timedelta(days=1) for touch in path]
    weights = [2 ** (-(age - min(ages)) / HALF_LIFE_DAYS) for age in ages]
    return [weight / sum(weights) for weight in weights]


def milestone_model(model: str, path: Sequence[Touch], milestones: Mapping[str, dt.datetime]) -> list[float]:
    """w_shaped and full_path. `milestones` says when lead_creation, opportunity_creation and close were.

    A milestone's touch is the last at or before it. What absent milestones and an absent rest leave over is
    shared by the present milestones in proportion to their weights.
    """
    weights = MILESTONE_WEIGHTS[model]
    holders = {"first_touch": 0}
    for name in weights:
        if name in milestones:
            before = [index for index, touch in enumerate(path) if touch.at <= milestones[name]]
            if before:
                holders[name] = before[-1]
    rest = [index for index in range(len(path)) if index not in holders.values()]
    given_to_rest = weights["rest"] if rest else 0.0
    present = sum(weights[name] for name in holders)
    credit = [0.0] * len(path)
    for name, index in holders.items():
        credit[index] += weights[name] / present * (1 - given_to_rest)
    for index in rest:
        credit[index] = given_to_rest / len(rest)
    return credit


def milestones_of(conversion: Conversion, history: History) -> dict[str, dt.datetime]:
    """When the milestones of a conversion were: of those that had happened when it came."""
    scope = scope_of(conversion.type, conversion.person, conversion.account)
    leads = [
        lead.created_at
        for lead in history.leads
        if scope and scope == ((scope[0], lead.account) if scope[0] == "account" else ("person", lead.person))
    ]
    found = {}
    if leads and min(leads) <= conversion.at:
        found["lead_creation"] = min(leads)
    if conversion.type in DEAL_TYPES:
        found["opportunity_creation"] = conversion.anchor
    if conversion.type == "won":
        found["close"] = conversion.at
    return found


def by_channel(path: Sequence[Touch], weights: Mapping[str, float]) -> list[float]:
    """Weights of channels, normalised over the path's own, split equally over each channel's touches."""
    own = {touch.channel for touch in path}
    total = sum(weights[channel] for channel in own)
    shares = {channel: weights[channel] / total if total else 1 / len(own) for channel in own}
    touches = {channel: sum(touch.channel == channel for touch in path) for channel in own}
    return [shares[touch.channel] / touches[touch.channel] for touch in path]


def shapley(path: Sequence[Touch]) -> list[float]:
    """The game v(S) = conversions whose channels all lie in S: equal parts for a path's channels."""
    return by_channel(path, {touch.channel: 1.0 for touch in path})


def shapley_by_coalitions(paths: Sequence[Path]) -> dict[str, float]:
    """The same game by its textbook sum over all 2^n coalitions."""
    channels = sorted({channel for path in paths for channel in path.channels})
    count = len(channels)
    sets = [frozenset(path.channels) for path in paths if path.is_converting]

    def worth(coalition: Iterable[str]) -> int:
        inside = frozenset(coalition)
        return sum(one <= inside for one in sets)

    found = {}
    for channel in channels:
        others = [other for other in channels if other != channel]
        found[channel] = sum(
            factorial(size)
            * factorial(count - size - 1)
            / factorial(count)
            * (worth({*coalition, channel}) - worth(coalition))
            for size in range(count)
            for coalition in combinations(others, size)
        )
    return found


# ---- Markov


def fit(paths: Sequence[Path], order: int = 1) -> Fit:
    """Removal effects: by how much the probability of converting falls when a channel leads to nothing."""
    counts: dict[Any, dict[Any, int]] = defaultdict(lambda: defaultdict(int))
    for path in paths:
        for before, after in pairwise([START, *_states(path.channels, order), _end(path)]):
            counts[before][after] += 1
    whole = _reach(counts, removed=None)
    channels = sorted({channel for path in paths for channel in path.channels})
    effects = {
        channel: 1 - _reach(counts, removed=channel) / whole if whole > 0 else 0.0 for channel in channels
    }
    return Fit(effects, sum(path.is_converting for path in paths), paths=list(paths))


def _states(channels: Sequence[str], order: int) -> list[tuple[str, ...]]:
    """The last `order` channels at each step; the last of a state is where one is."""
    return [tuple(channels[max(0, index + 1 - order) : index + 1]) for index in range(len(channels))]


def _end(path: Path) -> str:
    return CONVERTED if path.is_converting else LOST


def _reach(counts: Mapping[Any, Mapping[Any, int]], removed: str | None) -> float:
    """The probability of ever converting, from the start, where entering `removed` ends in nothing."""
    states = list(counts)
    place = {state: index for index, state in enumerate(states)}
    matrix = np.eye(len(states))
    converting = np.zeros(len(states))
    for state, following in counts.items():
        leaving = sum(following.values())
        for after, number in following.items():
            if after == CONVERTED:
                converting[place[state]] += number / leaving
            elif after != LOST and after[-1] != removed:
                matrix[place[state], place[after]] -= number / leaving
    return float(np.linalg.solve(matrix, converting)[place[START]])


def markov_fits(
    history: History, paths: Mapping[str, Sequence[Touch]], order: int
) -> dict[tuple[str, dt.date], Fit]:
    """A fit per conversion type and calendar month: of the conversion, else of the last touch."""
    collected: dict[tuple[str, dt.date], list[Path]] = defaultdict(list)
    values: dict[tuple[str, dt.date], float] = defaultdict(float)
    converted: dict[str, set[tuple[str, str] | None]] = defaultdict(set)
    for conversion in history.conversions:
        converted[conversion.type].add(scope_of(conversion.type, conversion.person, conversion.account))
        if paths[conversion.id]:
            key = (conversion.type, conversion.on.replace(day=1))
            collected[key].append(Path(tuple(touch.channel for touch in paths[conversion.id]), True))
            values[key] += conversion.value
    for kind, lookback in history.lookback_days.items():
        scopes: dict[tuple[str, str], list[Touch]] = defaultdict(list)
        for touch in sorted(history.touches, key=lambda touch: (touch.at, touch.id)):
            scope = scope_of(kind, touch.person, touch.account)
            if scope and scope not in converted[kind]:
                scopes[scope].append(touch)
        for touches in scopes.values():
            since = touches[-1].at - dt.timedelta(days=lookback)
            channels = tuple(touch.channel for touch in touches if touch.at >= since)
            collected[(kind, touches[-1].on.replace(day=1))].append(Path(channels, False))
    found = {}
    for key, of_key in collected.items():
        found[key] = fit(of_key, order)
        found[key].value = values[key]
    return found


# ---- Everything


def credits_of(history: History) -> dict[str, dict[str, dict[str, float]]]:
    """Conversion -> touchpoint -> model -> credit, as fct_attribution should have it."""
    paths = paths_of(history)
    fits = markov_fits(history, paths, history.markov_order)
    found = {}
    for conversion in history.conversions:
        path = paths[conversion.id]
        if not path:
            found[conversion.id] = {UNATTRIBUTED: dict.fromkeys(MODELS, 1.0)}
            continue
        milestones = milestones_of(conversion, history)
        effects = fits[(conversion.type, conversion.on.replace(day=1))].removal_effects
        columns = {
            "first_touch": first_touch(path),
            "last_touch": last_touch(path),
            "last_non_direct": last_non_direct(path),
            "linear": linear(path),
            "position_based": position_based(path),
            "time_decay": time_decay(path, conversion.at),
            "w_shaped": milestone_model("w_shaped", path, milestones),
            "full_path": milestone_model("full_path", path, milestones),
            "markov": by_channel(path, effects),
            "shapley": shapley(path),
        }
        found[conversion.id] = {
            touch.id: {model: columns[model][index] for model in MODELS} for index, touch in enumerate(path)
        }
    return found
