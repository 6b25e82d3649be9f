"""Who comes by, when, and through which door: everything that chance decides before anybody behaves.

What belongs here: the fixed part of the simulated world. People with their interest, market, company and
fixed random numbers; the touches that may reach them; the mailings. How people behave on it is in
journeys.py, which can be run again on the same world with a channel switched off.

Touches have a condition: `needs_conversion` touches (loyal visits of buyers, mailings to customers)
happen only after the person's own first conversion. They are drawn for everybody who converts in the base
run. As no true effect is negative, nobody converts in a counterfactual run who does not convert in the
base run, so none is missing there. Clicks in cart reminders happen only where the reminder goes out, that
is after a visit that leaves a cart behind and no order.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

import numpy as np

from sandbox.company import facts
from sandbox.company.frames import (
    DAY,
    HOUR,
    MINUTE,
    NEVER,
    Bools,
    Floats,
    Ints,
    group_first,
    running_total,
    stream,
    uniform,
    weighted,
)

EMAIL = facts.CHANNEL["Email"]
_HOURS_SHOP = (1, 1, 0, 0, 0, 1, 2, 4, 5, 5, 6, 6, 7, 6, 6, 6, 6, 7, 8, 10, 12, 11, 7, 3)
_HOURS_WORK = (0, 0, 0, 0, 0, 0, 1, 4, 9, 12, 12, 11, 8, 10, 11, 10, 9, 6, 3, 2, 2, 2, 1, 0)
MAILING_EVERY_DAYS = 21
MAILING_CLICK_RATE = 0.04
CART_REMINDER = 1 << 20  # the `mailing` of touches that are clicks in cart reminders
_REMINDED = 1 << 42  # added to a visit's number for the number of the click in its cart reminder


@dataclass(frozen=True)
class Touches:
    """Possible touches, sorted by person and time."""

    person: Ints
    at: Ints
    channel: Ints
    mailing: Ints  # index of the mailing for e-mail touches (or CART_REMINDER), else -1
    needs_conversion: Bools
    number: Ints  # a lasting number of the touch, for stateless draws

    @cached_property
    def acts_at(self) -> Ints:
        """When the visit reaches its point (the order, the form): two to fourteen minutes in."""
        return self.at + 2 * MINUTE + (uniform(self.number, 11) * 12 * MINUTE).astype(np.int64)


@dataclass(frozen=True)
class Mailings:
    """The calendar of regular mailings: one per audience, language and date."""

    audience: Ints  # 0 shop, 1 studio and business
    market: Ints
    at: Ints


@dataclass(frozen=True)
class Reminders:
    """Cart reminders that go out if the visit takes place and no order comes first; by visit."""

    touch: Ints  # position of the visit that leaves the cart
    sent_at: Ints
    click: Ints  # position of the touch that is the click in it, -1 for none


@dataclass(frozen=True)
class World:
    """Everything that chance decided. Arrays of people are indexed by person, of companies by company."""

    scale: str
    seed: int
    start: int  # first moment that web, ads and e-mail are recorded
    end: int
    dawn: int  # first moment that is simulated
    market: Ints
    kind: Ints
    company: Ints  # -1 for private people
    propensity: Floats
    first_at: Ints
    thresholds: Floats  # people x orders: unit-rate exponential
    luck: Floats  # people x steps: uniform
    newsletter: Bools
    unsubscribe_after: Ints  # microseconds after joining
    company_market: Ints
    company_luck: Floats
    touches: Touches
    mailings: Mailings
    reminders: Reminders
    converts: Bools  # by person: whether they convert in the base run
    mean_stock: Floats  # by kind, at the first conversion in the base run
    member_from: Ints  # moment from which the person is on a mailing list in the base run, NEVER for none

    @property
    def people(self) -> int:
        """How many people there are."""
        return len(self.market)

    @property
    def effects(self) -> Floats:
        """True effect by channel and kind."""
        return np.array([facts.TRUE_EFFECTS[name] for name in facts.CHANNELS])


def microseconds(day: date) -> int:
    """Microseconds since 1970 of the start of a day in UTC."""
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000


def build(scale: str, seed: int) -> World:
    """The world of a scale and a seed."""
    size = facts.SCALES[scale]
    start, end = microseconds(size.first_day), microseconds(size.last_day + timedelta(days=1))
    dawn = start - facts.LEAD_IN_DAYS * DAY
    rng = stream(seed, "people")

    # Visitors a day by kind, over lead-in and window.
    day_count = (end - dawn) // DAY
    weights = np.stack([_day_weights(dawn, int(day_count), start, kind) for kind in range(3)])
    in_window = weights[:, facts.LEAD_IN_DAYS :].sum(axis=1) / weights.sum(axis=1)
    counts = np.round(size.visitors * np.array(facts.KIND_WEIGHTS) / in_window).astype(np.int64)
    kind = np.repeat(np.arange(3), counts)
    n = len(kind)

    # Companies: one to four people each, who first come by within weeks of one another.
    n_b2b = int(counts[facts.B2B])
    sizes = weighted(rng.random(n_b2b), facts.COMPANY_SIZE_WEIGHTS) + 1
    n_companies = int(np.searchsorted(np.cumsum(sizes), n_b2b)) + 1
    company_of_b2b = np.repeat(np.arange(n_companies), sizes[:n_companies])[:n_b2b]
    company_market = weighted(rng.random(n_companies), facts.MARKET_WEIGHTS)

    market = weighted(rng.random(n), facts.MARKET_WEIGHTS)
    company = np.full(n, -1, dtype=np.int64)
    company[kind == facts.B2B] = company_of_b2b
    market[kind == facts.B2B] = company_market[company_of_b2b]

    # Some users of the app work at a company, too: one nobody else comes from.
    luck_of_users = stream(seed, "user companies")
    at_company = np.flatnonzero((kind == facts.SAAS) & (luck_of_users.random(n) < facts.USER_COMPANY_SHARE))
    company[at_company] = n_companies + np.arange(len(at_company))

    day = np.empty(n, dtype=np.int64)
    for code in range(3):
        chosen = kind == code
        size_of_draw = n_companies if code == facts.B2B else int(chosen.sum())
        drawn = weighted(rng.random(size_of_draw), weights[code])
        if code == facts.B2B:
            later = np.where(
                np.r_[True, company_of_b2b[1:] != company_of_b2b[:-1]], 0, rng.exponential(15, n_b2b)
            )
            drawn = drawn[company_of_b2b] + later.astype(np.int64)
        day[chosen] = drawn
    first_at = dawn + day * DAY + _time_of_day(rng, kind, market)
    propensity = np.exp(rng.normal(0, facts.PROPENSITY_SIGMA, n) - facts.PROPENSITY_SIGMA**2 / 2)
    thresholds = rng.exponential(1.0, (n, facts.MAX_ORDERS))
    luck = rng.random((n, 16))
    company_luck = np.concatenate(
        [rng.random((n_companies, 16)), luck_of_users.random((len(at_company), 16))]
    )
    company_market = np.concatenate([company_market, market[at_company]])
    newsletter = rng.random(n) < facts.NEWSLETTER_SHARE
    unsubscribe_after = (rng.exponential(1000, n) * DAY).astype(np.int64)

    touches = _acquisition(seed, kind, market, first_at, propensity, end)
    mailings = _mailings(dawn, end)

    # The base run's first conversions decide who may have later touches.
    effects = np.array([facts.TRUE_EFFECTS[name] for name in facts.CHANNELS])
    first_touch = first_crossings(touches, increments(touches, kind, propensity, effects), thresholds[:, 0])
    converted = first_touch >= 0
    converted_at = np.where(converted, touches.acts_at[np.maximum(first_touch, 0)], NEVER)
    stock = stock_until(touches, effects, kind, converted_at, n)
    mean_stock = np.array([stock[converted & (kind == code)].mean() for code in range(3)])

    agrees = luck[:, 15] < 0.75
    opening = group_first(touches.person)  # everybody's first touch, people in order
    starters = touches.person[opening]
    joined_at = np.full(n, NEVER)
    joined_at[starters] = touches.acts_at[opening]
    newsletter &= joined_at < NEVER
    newsletter[starters] &= touches.channel[opening] < facts.FIRST_OFFLINE
    member_from = np.where(newsletter, joined_at, np.where(converted & agrees, converted_at, NEVER))
    member_from = np.where(member_from < end, member_from, NEVER)
    touches = _later_touches(
        seed,
        touches,
        kind,
        market,
        propensity,
        converted_at,
        member_from,
        newsletter,
        unsubscribe_after,
        mailings,
        end,
    )
    touches, reminders = _cart_reminders(
        touches, kind, propensity, member_from, newsletter, unsubscribe_after, end
    )
    return World(
        scale=scale,
        seed=seed,
        start=start,
        end=end,
        dawn=dawn,
        market=market,
        kind=kind,
        company=company,
        propensity=propensity,
        first_at=first_at,
        thresholds=thresholds,
        luck=luck,
        newsletter=newsletter,
        unsubscribe_after=unsubscribe_after,
        company_market=company_market,
        company_luck=company_luck,
        touches=touches,
        mailings=mailings,
        reminders=reminders,
        converts=converted,
        mean_stock=mean_stock,
        member_from=member_from,
    )


# -------------------------------------------------------------------------------------------------- hazard
def increments(touches: Touches, kind: Ints, propensity: Floats, effects: Floats) -> Floats:
    """What each touch adds to its person's cumulative hazard: a visit's own part and the channel's effect."""
    kinds = kind[touches.person]
    visit = (touches.channel < facts.FIRST_OFFLINE).astype(np.float64)
    rate = np.array(facts.VISIT_HAZARD)[kinds] * propensity[touches.person]
    boost = np.where(touches.mailing == CART_REMINDER, facts.CART_REMINDER_BOOST, 1.0)
    return rate * (visit + effects[touches.channel, kinds] * boost)


def first_crossings(touches: Touches, added: Floats, threshold: Floats) -> Ints:
    """Per person the first touch at which the cumulative hazard reaches the threshold, or -1."""
    total = running_total(added, touches.person)
    crossed = np.flatnonzero((total >= threshold[touches.person]) & (added > 0))
    first = np.full(len(threshold), -1, dtype=np.int64)
    # Reversed, so that the earliest touch is written last.
    first[touches.person[crossed[::-1]]] = crossed[::-1]
    return first


def stock_until(touches: Touches, effects: Floats, kind: Ints, until: Ints, n: int) -> Floats:
    """Per person the summed effects of the touches up to a moment."""
    seen = touches.at <= until[touches.person]
    effect = effects[touches.channel, kind[touches.person]]
    return np.bincount(touches.person[seen], weights=effect[seen], minlength=n).astype(np.float64)


# ----------------------------------------------------------------------------------------- drawing touches
def _day_weights(dawn: int, day_count: int, start: int, kind: int) -> Floats:
    """Relative number of visitors by day: growth, season and weekday; fewer before the window."""
    day_number = dawn // DAY + np.arange(day_count)
    weekday = (day_number + 3) % 7  # 1970-01-01 was a Thursday
    months = day_number.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12
    season, week = (
        (facts.MONTH_SHOP, facts.WEEKDAY_SHOP)
        if kind == facts.SHOP
        else (facts.MONTH_WORK, facts.WEEKDAY_WORK)
    )
    growth = (1 + facts.YEARLY_GROWTH) ** (np.arange(day_count) / 365)
    density = np.where(day_number < start // DAY, facts.LEAD_IN_DENSITY[kind], 1.0)
    by_month, by_weekday = np.array(season)[months], np.array(week)[weekday]
    return np.asarray(growth * by_month * by_weekday * density, dtype=np.float64)


def _time_of_day(rng: np.random.Generator, kind: Ints, market: Ints) -> Ints:
    """Microseconds after midnight UTC at which people of this kind and market are about."""
    n = len(kind)
    u = rng.random(n)
    hour = np.where(kind == facts.SHOP, weighted(u, _HOURS_SHOP), weighted(u, _HOURS_WORK))
    local = (hour + rng.random(n)) * HOUR
    offset = np.array(facts.UTC_OFFSET_HOURS)[market] * HOUR
    return ((local - offset) % DAY).astype(np.int64)


def _acquisition(
    seed: int, kind: Ints, market: Ints, first_at: Ints, propensity: Floats, end: int
) -> Touches:
    """The touches that may happen to anybody: the first, and what follows of its own accord."""
    rng = stream(seed, "touches")
    n = len(kind)
    count = np.minimum(rng.geometric(1 - np.array(facts.TOUCH_CONTINUATION)[kind]), facts.MAX_TOUCHES)
    person = np.repeat(np.arange(n), count)
    m = len(person)
    is_first = np.zeros(m, dtype=bool)
    is_first[group_first(person)] = True
    median = np.array(facts.TOUCH_GAP_MEDIAN_DAYS)[kind[person]]
    gap = np.where(is_first, 0, median * np.exp(rng.normal(0, facts.TOUCH_GAP_SIGMA, m)))
    offset = running_total(gap, person)
    at = (
        first_at[person] // DAY * DAY
        + offset.astype(np.int64) * DAY
        + _time_of_day(rng, kind[person], market[person])
    )
    at = np.where(is_first, first_at[person], np.maximum(at, first_at[person] + 40 * MINUTE))
    channel = _channels(rng.random(m), is_first, kind[person], propensity[person])
    return _ordered(
        person, at, channel, np.full(m, -1), np.zeros(m, dtype=bool), end, np.arange(m, dtype=np.int64)
    )


def _channels(u: Floats, is_first: Bools, kind: Ints, propensity: Floats) -> Ints:
    """A channel for each touch."""
    channel = np.empty(len(u), dtype=np.int64)
    powers = np.array([facts.HARVEST_POWER.get(name, 0.0) for name in facts.CHANNELS])
    for code in range(3):
        chosen = is_first & (kind == code)
        channel[chosen] = weighted(u[chosen], facts.FIRST_TOUCH_MIX[code])
        chosen = ~is_first & (kind == code)
        weights = np.array(facts.LATER_TOUCH_MIX[code]) * propensity[chosen, None] ** powers
        edges = np.cumsum(weights, axis=1)
        channel[chosen] = (u[chosen, None] * edges[:, -1:] >= edges).sum(axis=1)
    return channel


def _mailings(dawn: int, end: int) -> Mailings:
    """One mailing per audience and language every three weeks, on Tuesday (shop) and Wednesday (studio)."""
    first_tuesday = dawn // DAY + (1 - (dawn // DAY + 3)) % 7
    send_days = np.arange(first_tuesday, end // DAY, MAILING_EVERY_DAYS)
    day, audience, market = (
        grid.ravel() for grid in np.meshgrid(send_days, np.arange(2), np.arange(3), indexing="ij")
    )
    local_nine = (9.5 - np.array(facts.UTC_OFFSET_HOURS)[market]) * HOUR
    return Mailings(audience, market, (day + audience) * DAY + local_nine.astype(np.int64))


def _later_touches(
    seed: int,
    touches: Touches,
    kind: Ints,
    market: Ints,
    propensity: Floats,
    converted_at: Ints,
    member_from: Ints,
    newsletter: Bools,
    unsubscribe_after: Ints,
    mailings: Mailings,
    end: int,
) -> Touches:
    """Add clicks in mailings, and the visits of buyers who come back."""
    rng = stream(seed, "later touches")
    # Loyal visits.
    buyers = np.flatnonzero(converted_at < end)
    count = rng.poisson(np.array(facts.LOYAL_VISITS_MEAN)[kind[buyers]])
    loyal = np.repeat(buyers, count)
    m = len(loyal)
    at = converted_at[loyal] // DAY * DAY + (1 + rng.exponential(110, m)).astype(np.int64) * DAY
    at += _time_of_day(rng, kind[loyal], market[loyal])
    channel = _channels(rng.random(m), np.zeros(m, dtype=bool), kind[loyal], propensity[loyal])
    # Clicks in mailings: every member against every mailing of its audience and language.
    people, which, clicked_at = [], [], []
    for group in np.unique(mailings.audience * 3 + mailings.market):
        sent = np.flatnonzero(mailings.audience * 3 + mailings.market == group)
        audience = (kind != facts.SHOP).astype(np.int64)
        members = np.flatnonzero((member_from < end) & (audience * 3 + market == group))
        grid = rng.random((len(members), len(sent)))
        lag = (rng.exponential(7, grid.shape) * HOUR).astype(np.int64) + 2 * MINUTE
        when = mailings.at[sent][None, :] + lag
        joined = member_from[members][:, None]
        chance = MAILING_CLICK_RATE * np.minimum(propensity[members], 3)[:, None]
        hit = (
            (grid < chance)
            & (mailings.at[sent][None, :] > joined)
            & (mailings.at[sent][None, :] < joined + unsubscribe_after[members][:, None])
        )
        row, column = np.nonzero(hit)
        people.append(members[row])
        which.append(sent[column])
        clicked_at.append(when[row, column])
    mailed = np.concatenate(people)
    base = len(touches.person)
    total = base + m + len(mailed)
    return _ordered(
        np.concatenate([touches.person, loyal, mailed]),
        np.concatenate([touches.at, at, *clicked_at]),
        np.concatenate([touches.channel, channel, np.full(len(mailed), EMAIL)]),
        np.concatenate([touches.mailing, np.full(m, -1), *which]),
        np.concatenate([touches.needs_conversion, np.ones(m, dtype=bool), ~newsletter[mailed]]),
        end,
        np.concatenate([touches.number, np.arange(base, total, dtype=np.int64) + (1 << 40)]),
    )


def leaves_cart(number: Ints) -> Bools:
    """Whether visits of shoppers, by number, put something into the cart (those with an order do anyway)."""
    return cart_depth(number) < facts.CART_SHARE


def cart_depth(number: Ints) -> Floats:
    """How deep visits of shoppers go, by number: the lower, the deeper."""
    return uniform(number, 130)


def _cart_reminders(
    touches: Touches,
    kind: Ints,
    propensity: Floats,
    member_from: Ints,
    newsletter: Bools,
    unsubscribe_after: Ints,
    end: int,
) -> tuple[Touches, Reminders]:
    """Add the clicks in reminders of carts, one a person and quarter, for members of the shop's list."""
    person = touches.person
    known = member_from[person] < NEVER
    since = np.where(known, member_from[person], 0)
    left = known & (kind[person] == facts.SHOP) & (touches.channel < facts.FIRST_OFFLINE)
    left &= leaves_cart(touches.number) & (touches.at > since)
    left &= touches.at < since + unsubscribe_after[person]
    visit = np.flatnonzero(left)
    sent_at = touches.acts_at[visit] + facts.CART_REMINDER_HOURS * HOUR
    first = group_first(person[visit] * 4096 + quarters(touches.at[visit]))
    visit, sent_at = visit[first], sent_at[first]
    who, number = person[visit], touches.number[visit]
    clicks = uniform(number, 31) < facts.CART_REMINDER_CLICK_RATE * np.minimum(propensity[who], 2)
    lag = 5 * MINUTE - (np.log(1 - uniform(number, 32)) * facts.CART_REMINDER_LAG_HOURS * HOUR).astype(
        np.int64
    )
    rows = np.flatnonzero(clicks)
    added = len(rows)
    extended = _ordered(
        np.concatenate([touches.person, who[rows]]),
        np.concatenate([touches.at, (sent_at + lag)[rows]]),
        np.concatenate([touches.channel, np.full(added, EMAIL)]),
        np.concatenate([touches.mailing, np.full(added, CART_REMINDER)]),
        np.concatenate([touches.needs_conversion, ~newsletter[who[rows]]]),
        end,
        np.concatenate([touches.number, number[rows] + _REMINDED]),
    )
    order = np.argsort(extended.number, kind="stable")
    ranked = extended.number[order]

    def position(wanted: Ints) -> Ints:
        place = np.minimum(np.searchsorted(ranked, wanted), len(ranked) - 1)
        return np.where(ranked[place] == wanted, order[place], -1)

    return extended, Reminders(position(number), sent_at, position(np.where(clicks, number + _REMINDED, -1)))


def quarters(at: Ints) -> Ints:
    """The number of the calendar quarter of moments, since 1970."""
    return (at // DAY).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) // 3


def _ordered(
    person: Ints, at: Ints, channel: Ints, mailing: Ints, needs: Bools, end: int, number: Ints
) -> Touches:
    """Touches before the end, sorted by person, time and number."""
    keep = at < end
    order = np.flatnonzero(keep)
    order = order[np.lexsort((number[order], at[order], person[order]))]
    return Touches(person[order], at[order], channel[order], mailing[order], needs[order], number[order])
