"""How people behave: who converts, when, and through which touch, given the world and the channels that are
on.

What belongs here: behaviour only, as a pure function of the fixed world. Running it with a channel
switched off takes away that channel's effects and nothing else (the person then comes by another door, or
does not hear of us in the case of offline channels, whose touches have no visit of their own). With the
same random numbers the difference of two runs is the channel's true incremental contribution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sandbox.company import facts
from sandbox.company.frames import DAY, HOUR, MINUTE, NEVER, Bools, Floats, Ints, running_total
from sandbox.company.people import World, first_crossings, increments, stock_until


@dataclass(frozen=True)
class Outcome:
    """What happened. Moments are microseconds, NEVER for what did not happen."""

    first_touch: Ints  # by person: touch of the first conversion (order, sign-up or lead), -1 for none
    first_at: Ints  # by person
    active: Bools  # by touch: whether it took place
    order_touch: Ints  # touches that end in an order, in the order of touches
    reminded: Bools  # by cart reminder: whether it goes out
    trial_at: Ints  # by person, as everything that follows
    activated_at: Ints
    pql_at: Ints
    paid_at: Ints
    mql_at: Ints
    sql_at: Ints
    opportunity_at: Ints  # by company
    opportunity_person: Ints  # by company: whose SQL it came from, -1 for none
    closed_at: Ints  # by company
    won: Bools  # by company

    def moments(self, world: World) -> dict[str, Ints]:
        """The moments of every conversion, by conversion type."""
        kind = world.kind
        return {
            "lead": _happened(self.first_at[kind == facts.B2B]),
            "mql": _happened(self.mql_at),
            "sql": _happened(self.sql_at),
            "pql": _happened(self.pql_at),
            "opportunity": _happened(self.opportunity_at),
            "won": _happened(np.where(self.won, self.closed_at, NEVER)),
            "purchase": world.touches.acts_at[self.order_touch],
            "trial": _happened(self.trial_at),
            "subscription": _happened(self.paid_at),
        }


def behave(world: World, without: str | None = None, effects: Floats | None = None) -> Outcome:
    """Run everybody through the world; `without` names a channel to switch off.

    `effects` (channel x kind) replaces the true effects; a test sets one to zero with it.
    """
    effects = (world.effects if effects is None else effects).copy()
    if without is not None:
        effects[facts.CHANNEL[without]] = 0.0
    touches, kind, n = world.touches, world.kind, world.people
    added = increments(touches, kind, world.propensity, effects)

    first_touch = first_crossings(
        touches, np.where(touches.needs_conversion, 0.0, added), world.thresholds[:, 0]
    )
    first_at = np.where(first_touch >= 0, touches.acts_at[np.maximum(first_touch, 0)], NEVER)
    active = ~touches.needs_conversion | (touches.at > first_at[touches.person])

    order_touch, reminded, active = _shop(world, added, first_touch, first_at, active)
    stock = stock_until(touches, np.where(effects > 0, effects, 0.0), kind, first_at, n)
    lift = np.exp(facts.STOCK_LIFT * (stock - world.mean_stock[kind]))
    saas = _saas(world, first_at, lift)
    mql_at, sql_at = _qualify(world, first_at, saas[2], lift)
    opportunity_at, opportunity_person, closed_at, won = _deals(world, effects, active, sql_at)
    return Outcome(
        first_touch,
        first_at,
        active,
        order_touch,
        reminded,
        *saas,
        mql_at,
        sql_at,
        opportunity_at,
        opportunity_person,
        closed_at,
        won,
    )


def _happened(moments: Ints) -> Ints:
    return moments[moments != NEVER]


def _after(before: Ints, happens: Bools, delay: Floats) -> Ints:
    """The moment after a delay in microseconds where it happens, else NEVER."""
    valid = happens & (before != NEVER)
    return np.where(valid, np.where(valid, before, 0) + delay.astype(np.int64), NEVER)


def _delay(median_days: float, u: Floats, sigma: float = 0.9) -> Floats:
    """A log-logistic delay in microseconds with the given median."""
    odds = np.clip(u, 1e-4, 1 - 1e-4)
    return median_days * DAY * (odds / (1 - odds)) ** (sigma / 1.8) + 5 * MINUTE


def _shop(
    world: World, added: Floats, first_touch: Ints, first_at: Ints, active: Bools
) -> tuple[Ints, Bools, Bools]:
    """Orders, the cart reminders that go out, and the touches that take place with them.

    A reminder does not go out where the visit ends in an order or one comes before it is sent; but a click in
    an earlier reminder can be what brings that order. Each round settles at least everybody's next reminder.
    """
    touches, reminders = world.touches, world.reminders
    clicked = np.flatnonzero(reminders.click >= 0)
    click, possible = reminders.click[clicked], active[reminders.click[clicked]]
    while True:
        order_touch = _orders(world, added, first_touch, first_at, active)
        place = np.searchsorted(order_touch, reminders.touch)
        following = np.r_[order_touch, 0][place]
        ordered = (place < len(order_touch)) & (touches.person[following] == touches.person[reminders.touch])
        ordered &= touches.acts_at[following] < reminders.sent_at
        reminded = active[reminders.touch] & ~ordered
        if np.array_equal(active[click], possible & reminded[clicked]):
            return order_touch, reminded, active
        active = active.copy()
        active[click] = possible & reminded[clicked]


def _orders(world: World, added: Floats, first_touch: Ints, first_at: Ints, active: Bools) -> Ints:
    """Touches that end in an order: the first conversion of a shop visitor, and its repeats."""
    touches = world.touches
    shop = world.kind[touches.person] == facts.SHOP
    is_visit = touches.channel < facts.FIRST_OFFLINE
    later = shop & active & is_visit & (touches.at > first_at[touches.person])
    total = running_total(np.where(later, added * facts.REPEAT_FACTOR, 0.0), touches.person)
    limits = np.cumsum(world.thresholds[:, 1:], axis=1)
    reached = np.zeros(len(total), dtype=np.int64)
    rows = np.flatnonzero(later)
    reached[rows] = (total[rows, None] >= limits[touches.person[rows]]).sum(axis=1)
    # The count can only grow, and only at later visits: an order is placed where it does.
    previous = np.zeros(len(rows), dtype=np.int64)
    same = np.r_[False, touches.person[rows][1:] == touches.person[rows][:-1]]
    previous[same] = reached[rows[np.flatnonzero(same) - 1]]
    repeats = rows[reached[rows] > previous]
    firsts = first_touch[(first_touch >= 0) & (world.kind == facts.SHOP)]
    return np.sort(np.concatenate([firsts, repeats]))


def _saas(world: World, first_at: Ints, lift: Floats) -> tuple[Ints, Ints, Ints, Ints]:
    """Trial, activation, product-qualified and paid moments of people who signed up."""
    luck = world.luck
    signed_up = np.where(world.kind == facts.SAAS, first_at, NEVER)

    def rate(base: float) -> Floats:
        return np.minimum(base * lift, facts.RATE_CAP)

    at_once = luck[:, 0] < facts.TRIAL_AT_SIGN_UP
    trial_now = _after(signed_up, at_once, np.full(world.people, 90.0 * 1_000_000))
    activated_at = _after(signed_up, luck[:, 1] < rate(facts.ACTIVATION_RATE), _delay(0.6, luck[:, 2]))
    pql_at = _after(activated_at, luck[:, 3] < rate(facts.PQL_RATE), _delay(5.0, luck[:, 4]))
    trial_later = _after(
        pql_at, ~at_once & (luck[:, 5] < rate(facts.FREE_TO_TRIAL_RATE)), _delay(3.0, luck[:, 6])
    )
    trial_at = np.minimum(trial_now, trial_later)
    # Product-qualified users in trial pay more often; the shares keep the mean at the stated rate.
    factor = np.where(pql_at < NEVER, 1.9, 0.7)
    trial_length = np.full(world.people, facts.TRIAL_DAYS * float(DAY))
    paid_at = _after(trial_at, luck[:, 7] < rate(facts.TRIAL_TO_PAID) * factor, trial_length)
    return trial_at, activated_at, pql_at, paid_at


def _qualify(world: World, first_at: Ints, pql_at: Ints, lift: Floats) -> tuple[Ints, Ints]:
    """MQL and SQL moments of leads; product-qualified users at a company become SQLs without an MQL."""
    luck = world.luck
    lead_at = np.where(world.kind == facts.B2B, first_at, NEVER)
    mql = luck[:, 0] < np.minimum(facts.LEAD_TO_MQL * lift, facts.RATE_CAP)
    mql_at = _after(lead_at, mql, _delay(facts.MQL_DELAY_DAYS, luck[:, 1]))
    sql = luck[:, 2] < np.minimum(facts.MQL_TO_SQL * lift, facts.RATE_CAP)
    sql_at = _after(mql_at, sql, _delay(facts.SQL_DELAY_DAYS, luck[:, 3]))
    accepted = (world.company >= 0) & (luck[:, 8] < np.minimum(facts.PQL_TO_SQL * lift, facts.RATE_CAP))
    by_product = _after(pql_at, accepted, _delay(facts.PQL_SQL_DELAY_DAYS, luck[:, 9]))
    return mql_at, np.minimum(sql_at, by_product)


def _deals(world: World, effects: Floats, active: Bools, sql_at: Ints) -> tuple[Ints, Ints, Ints, Bools]:
    """One deal a company: from its first SQL that becomes an opportunity to its close."""
    luck, n_companies = world.luck, len(world.company_market)
    step = np.where(world.kind == facts.SAAS, 10, 4)  # leads and users have used other numbers so far
    people = np.arange(world.people)
    own = _after(
        sql_at,
        luck[people, step] < facts.SQL_TO_OPPORTUNITY,
        _delay(facts.OPPORTUNITY_DELAY_DAYS, luck[people, step + 1]),
    )
    # The company's earliest: people sorted latest first, so that the earliest is written last.
    people = np.flatnonzero(own != NEVER)
    people = people[np.lexsort((people, own[people]))[::-1]]
    opportunity_person = np.full(n_companies, -1, dtype=np.int64)
    opportunity_person[world.company[people]] = people
    opportunity_at = np.where(opportunity_person >= 0, own[np.maximum(opportunity_person, 0)], NEVER)

    shortest, median, longest = facts.SALES_CYCLE_DAYS
    cycle = np.clip(_delay(median, world.company_luck[:, 0], 0.75), shortest * DAY, longest * DAY)
    cycle += world.company_luck[:, 1] * 8 * HOUR
    closed_at = _after(opportunity_at, opportunity_at != NEVER, cycle)

    # Touches of all of the company's people up to the close move the odds of winning.
    touches = world.touches
    company = world.company[touches.person]
    counts = active & (company >= 0) & (touches.at <= closed_at[np.maximum(company, 0)])
    effect = effects[touches.channel, world.kind[touches.person]]
    stock = np.bincount(company[counts], weights=effect[counts], minlength=n_companies)
    kind = world.kind[np.maximum(opportunity_person, 0)]
    lift = np.exp(facts.STOCK_LIFT * 0.5 * (stock - 2.5 * world.mean_stock[kind]))
    rate = np.minimum(facts.OPPORTUNITY_TO_WON * lift, facts.RATE_CAP)
    won = (opportunity_at != NEVER) & (world.company_luck[:, 2] < rate)
    return opportunity_at, opportunity_person, closed_at, won
