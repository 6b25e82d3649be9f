"""The app: subscriptions month by month, their invoices, and how often people log in.

What belongs here: what happens after a trial has begun. Who starts one and who pays is behaviour
(journeys.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sandbox.company import facts, names
from sandbox.company.frames import (
    DAY,
    HOUR,
    MINUTE,
    NEVER,
    Bools,
    Floats,
    Ints,
    codes,
    mix,
    moments,
    pick,
    table,
    text,
    uniform,
)
from sandbox.company.journeys import Outcome
from sandbox.company.people import World
from sandbox.company.web import plan_of

CHANGES = (
    "created",
    "trial_converted",
    "trial_expired",
    "upgraded",
    "downgraded",
    "seats_changed",
    "payment_failed",
    "recovered",
    "cancel_requested",
    "canceled",
    "reactivated",
)
STATUSES = ("trialing", "active", "past_due", "canceled")
FEEDBACK = ("too_expensive", "missing_features", "switched_service", "unused", "other", None)
DUNNING_DAYS = 14
RECOVERED_SHARE = 0.65  # of failed payments


@dataclass
class _Log:
    """Columns collected block by block."""

    columns: dict[str, list[np.ndarray]]

    def add(self, count: int, **values: np.ndarray | int) -> None:
        for name, value in values.items():
            self.columns.setdefault(name, []).append(
                np.broadcast_to(np.asarray(value, dtype=np.int64), (count,))
            )

    def joined(self) -> dict[str, Ints]:
        return {name: np.concatenate(parts) for name, parts in self.columns.items()}


@dataclass(frozen=True)
class Subscriptions:
    """Everything about subscriptions: their facts, their states and their bills (all as columns)."""

    person: Ints
    created_at: Ints
    anchor: Ints  # start of the first paid period, NEVER for trials that were not converted
    trial_start: Ints
    trial_end: Ints
    generation: Ints  # 0 the first, 1 a return
    yearly: Bools
    kept: Bools  # still alive when records begin
    changes: dict[str, Ints]
    bills: dict[str, Ints]
    last_use: Ints  # by subscription


def add_months(at: Ints, months: Ints | int) -> Ints:
    """The same day and time so many months later, at most the month's last day."""
    day = at // DAY
    month = day.astype("datetime64[D]").astype("datetime64[M]")
    day_of_month = day - month.astype("datetime64[D]").astype(np.int64)
    target = month + months
    length = (target + 1).astype("datetime64[D]").astype(np.int64) - target.astype("datetime64[D]").astype(
        np.int64
    )
    new_day = target.astype("datetime64[D]").astype(np.int64) + np.minimum(day_of_month, length - 1)
    return new_day * DAY + at % DAY


def seat_prices() -> Ints:
    """Monthly price of a seat by market and plan, in minor units."""
    prices = np.array(facts.PLAN_SEAT_PRICES_EUR)
    return np.round(prices[None, :] * np.array(facts.CURRENCY_PER_EUR)[:, None] / 100).astype(np.int64) * 100


def subscriptions(world: World, outcome: Outcome) -> Subscriptions:
    """Run every subscription from its trial to the end of the window."""
    person = np.flatnonzero(outcome.trial_at < world.end)
    person = person[np.lexsort((person, outcome.trial_at[person]))]
    trial_start = outcome.trial_at[person]
    trial_end = trial_start + facts.TRIAL_DAYS * DAY
    paid = outcome.paid_at[person] < NEVER
    first = _Run(world, person, np.where(paid, trial_end, NEVER), trial_start, trial_end, 0, 0)
    returns = (first.ended_at < world.end) & paid & (uniform(person, 301) < facts.REACTIVATION_SHARE)
    back = np.flatnonzero(returns)
    back_at = first.ended_at[back] + ((20 + 100 * uniform(person[back], 302)) * DAY).astype(np.int64)
    back, back_at = back[back_at < world.end], back_at[back_at < world.end]
    never = np.full(len(back), NEVER)
    second = _Run(world, person[back], back_at, never, never, 1, len(person))

    def both(name: str) -> np.ndarray:
        return np.concatenate([getattr(first, name), getattr(second, name)])

    changes = {
        name: np.concatenate([first.log.joined()[name], column])
        for name, column in second.log.joined().items()
    }
    bills = {
        name: np.concatenate([first.bill_log.joined()[name], column])
        for name, column in second.bill_log.joined().items()
    }
    ended_at = both("ended_at")
    return Subscriptions(
        both("person"),
        np.concatenate([trial_start, back_at]),
        both("anchor"),
        both("trial_start"),
        both("trial_end"),
        np.r_[np.zeros(len(person), dtype=np.int64), np.ones(len(back), dtype=np.int64)],
        both("yearly"),
        ended_at >= world.start,
        changes,
        bills,
        np.minimum(ended_at, world.end),
    )


class _Run:
    """One generation of subscriptions, advanced month by month for all of them at once."""

    def __init__(
        self,
        world: World,
        person: Ints,
        anchor: Ints,
        trial_start: Ints,
        trial_end: Ints,
        generation: int,
        base: int,
    ) -> None:
        self.world, self.person, self.anchor = world, person, anchor
        self.trial_start, self.trial_end = trial_start, trial_end
        self.number = person * 2 + generation
        self.sub = base + np.arange(len(person))
        self.market = world.market[person]
        self.plan = plan_of(person)
        self.quantity = np.where(
            self.plan == 0, 1, 1 + (-np.log(1 - uniform(self.number, 303)) * 2.2).astype(np.int64)
        )
        self.yearly = uniform(self.number, 304) < facts.YEARLY_BILLING_SHARE
        self.ended_at = np.full(len(person), NEVER)
        self.log, self.bill_log = _Log({}), _Log({})
        none = np.empty(0, dtype=np.int64)
        self._note(none, none, 0, 0)
        self._bill(none, none, none, none, 0, none, none, none)
        self._begin(generation)
        month = 1
        while self._advance(month):
            month += 1

    def _draw(self, rows: Ints, month: int, salt: int) -> Floats:
        return uniform(self.number[rows] * 64 + month, salt)

    def _monthly(self, rows: Ints) -> Ints:
        """Monthly value: a year costs ten months."""
        price = seat_prices()[self.market[rows], self.plan[rows]] * self.quantity[rows]
        return np.where(self.yearly[rows], np.round(price * facts.YEARLY_MONTHS_PAID / 12), price).astype(
            np.int64
        )

    def _note(
        self,
        rows: Ints,
        at: Ints,
        change: int | Ints,
        status: int,
        canceled_at: Ints | int = NEVER,
        ended_at: Ints | int = NEVER,
        involuntary: Bools | int = 0,
        ending: int = 0,
    ) -> None:
        """Write down a new state of these subscriptions."""
        self.log.add(
            len(rows),
            sub=self.sub[rows],
            at=at,
            change=change,
            status=status,
            plan=self.plan[rows],
            quantity=self.quantity[rows],
            yearly=self.yearly[rows],
            mrr=self._monthly(rows) * (status in (1, 2)),
            canceled_at=canceled_at,
            ended_at=ended_at,
            involuntary=involuntary,
            ending=ending,
        )

    def _bill(
        self, rows: Ints, at: Ints, start: Ints, stop: Ints, reason: int, paid_at: Ints, old: Ints, new: Ints
    ) -> None:
        """Write down a bill: `new` is charged; `old` is credited in a change within a period."""
        self.bill_log.add(
            len(rows),
            sub=self.sub[rows],
            at=at,
            start=start,
            stop=stop,
            reason=reason,
            paid_at=paid_at,
            old=old,
            new=new,
            plan=self.plan[rows],
            quantity=self.quantity[rows],
            yearly=self.yearly[rows],
        )

    def _begin(self, generation: int) -> None:
        rows = np.arange(len(self.person))
        paying = self.anchor < NEVER
        if generation == 0:
            self._note(rows, self.trial_start, 0, 0)
            lost = rows[~paying]
            at = self.trial_end[lost]
            self.ended_at[lost] = at
            self._note(lost, at, 2, 3, at - 2 * DAY, at)
            won = rows[paying]
            self._note(won, self.anchor[won], 1, 1)
        else:
            won = rows
            self._note(won, self.anchor[won], 10, 1)
        step = np.where(self.yearly[won], 12, 1)
        amount = self._monthly(won) * step
        self._bill(
            won,
            self.anchor[won],
            self.anchor[won],
            add_months(self.anchor[won], step),
            1 - generation,
            self.anchor[won] + HOUR,
            np.zeros_like(amount),
            amount,
        )

    def _advance(self, month: int) -> bool:
        """One month: changes within it, then churn, failed payments and the next bill at its end."""
        end = self.world.end
        alive = np.flatnonzero((self.anchor < end) & (self.ended_at == NEVER))
        begins = add_months(self.anchor[alive], month - 1)
        alive, begins = alive[begins < end], begins[begins < end]
        if len(alive) == 0:
            return False
        ends = add_months(self.anchor[alive], month)
        self._change_within(alive, begins, ends, month)
        # At the end of a period: the month, or the year.
        due = ~self.yearly[alive] | (month % 12 == 0)
        alive, begins, ends = alive[due], begins[due], ends[due]
        yearly = self.yearly[alive]
        churn = np.where(yearly, 1 - (1 - facts.MONTHLY_CHURN) ** 8, facts.MONTHLY_CHURN)
        # Young subscriptions end more often than old ones.
        churn = churn * (1.8 if month <= 2 else 1.0 if month <= 8 else 0.75)
        u = self._draw(alive, month, 310)
        failing = u < churn * facts.INVOLUNTARY_SHARE / (1 - RECOVERED_SHARE)
        leaving = ~failing & (u > 1 - churn * (1 - facts.INVOLUNTARY_SHARE))
        self._leave(alive[leaving], ends[leaving], month)
        going_on = ~leaving
        rows, at = alive[going_on], ends[going_on]
        rows, at, failed = rows[at < end], at[at < end], failing[going_on][at < end]
        self._renew(rows, at, failed, month)
        return True

    def _change_within(self, alive: Ints, begins: Ints, ends: Ints, month: int) -> None:
        u = self._draw(alive, month, 311)
        when = begins + (ends - begins) // 10 * (2 + (6 * self._draw(alive, month, 312)).astype(np.int64))
        up = (u < facts.MONTHLY_UPGRADE) & (self.plan[alive] < 2)
        seats = (u > 0.5) & (u < 0.5 + facts.MONTHLY_SEAT_GROWTH)
        fewer = (u > 0.8) & (u < 0.8 + facts.MONTHLY_CONTRACTION) & (self.quantity[alive] > 1)
        down = (u > 0.9) & (u < 0.9 + facts.MONTHLY_CONTRACTION) & (self.plan[alive] > 0)
        for chosen, code, charged in ((up, 3, True), (seats, 5, True), (fewer, 5, False), (down, 4, False)):
            rows, at = alive[chosen], when[chosen]
            before = self._monthly(rows)
            if code == 3:
                self.plan[rows] += 1
            elif code == 4:
                self.plan[rows] -= 1
            else:
                self.quantity[rows] += 1 if charged else -1
            self._note(rows, at, code, 1)
            if charged:
                # The rest of the period is billed at once: unused time back, remaining time on the new terms.
                stop = self._period_end(rows, month, ends[chosen])
                share = (stop - at) / np.maximum(stop - begins[chosen], 1)
                months = np.where(self.yearly[rows], np.ceil((stop - begins[chosen]) / (30 * DAY)), 1.0)
                old = np.round(before * months * share).astype(np.int64)
                new = np.round(self._monthly(rows) * months * share).astype(np.int64)
                self._bill(rows, at, at, stop, 2, at + MINUTE, old, new)

    def _period_end(self, rows: Ints, month: int, month_end: Ints) -> Ints:
        years = (month + 11) // 12
        return np.where(self.yearly[rows], add_months(self.anchor[rows], 12 * years), month_end)

    def _leave(self, rows: Ints, at: Ints, month: int) -> None:
        asked = at - (DAY + self._draw(rows, month, 313) * 20 * DAY).astype(np.int64)
        self._note(rows, asked, 8, 1, asked, NEVER, 0, 1)
        self._note(rows, at, 9, 3, asked, at)
        self.ended_at[rows] = at

    def _renew(self, rows: Ints, at: Ints, failed: Bools, month: int) -> None:
        step = np.where(self.yearly[rows], 12, 1)
        amount = self._monthly(rows) * step
        recovers = self._draw(rows, month, 314) < RECOVERED_SHARE
        settled = at + ((2 + 9 * self._draw(rows, month, 315)) * DAY).astype(np.int64)
        paid_at = np.where(~failed, at + HOUR, np.where(recovers, settled, NEVER))
        self._bill(rows, at, at, add_months(at, step), 1, paid_at, np.zeros_like(amount), amount)
        self._note(rows[failed], at[failed] + HOUR, 6, 2)
        well = failed & recovers
        self._note(rows[well], settled[well], 7, 1)
        lost = failed & ~recovers
        gone = at[lost] + DUNNING_DAYS * DAY
        self._note(rows[lost], gone, 9, 3, gone, gone, 1)
        self.ended_at[rows[lost]] = gone


# -------------------------------------------------------------------------------------------------- tables
def subscription_ids(number: Ints) -> pa.Array:
    """sub_..."""
    return text("sub_1", codes(number, 320, 23))


def customer_ids(person: Ints) -> pa.Array:
    """cus_... of people."""
    return text("cus_", codes(person, 321, 14))


def price_ids(market: Ints, plan: Ints, yearly: Ints) -> pa.Array:
    """price_... of plan, currency and interval."""
    return text("price_1", codes(market * 100 + plan * 2 + yearly, 322, 23))


def product_ids(plan: Ints) -> pa.Array:
    """prod_... of a plan; 3 is the contract of business customers."""
    return text("prod_", codes(plan, 323, 14))


def price_table(world: World) -> pa.Table:
    """All prices: plans by currency and interval, and a contract price per currency."""
    market, plan, yearly = (
        g.ravel() for g in np.meshgrid(np.arange(3), np.arange(4), np.arange(2), indexing="ij")
    )
    keep = (plan < 3) | (yearly == 0)
    market, plan, yearly = market[keep], plan[keep], yearly[keep]
    monthly = np.c_[seat_prices(), np.array([100, 100, 100])][market, plan]
    is_plan = plan < 3
    return table(
        "billing_prices",
        price_id=price_ids(market, plan, yearly),
        product_id=product_ids(plan),
        product_name=pick(["Studio Starter", "Studio Team", "Studio Business", "Project contract"], plan),
        plan=pick([*facts.PLANS, "contract"], plan),
        currency=pick(facts.CURRENCIES, market),
        interval=pick(["month", "year"], yearly, is_plan),
        unit_amount_minor=np.where(yearly == 1, monthly * facts.YEARLY_MONTHS_PAID, monthly),
        created_at=moments(np.full(len(market), world.dawn - 30 * DAY)),
    )


def tables(world: World, subs: Subscriptions) -> dict[str, pa.Table]:
    """Subscriptions, their versions and their prices."""
    order = np.lexsort((subs.person, subs.created_at))
    order = order[subs.kept[order]]
    number = subs.person * 2 + subs.generation
    market = world.market[subs.person]
    facts_table = table(
        "subscriptions",
        subscription_id=subscription_ids(number[order]),
        customer_id=customer_ids(subs.person[order]),
        created_at=moments(subs.created_at[order]),
        billing_anchor=moments(
            np.where(subs.anchor[order] < NEVER, subs.anchor[order], subs.trial_end[order])
        ),
        currency=pick(facts.CURRENCIES, market[order]),
        trial_start=moments(subs.trial_start[order]),
        trial_end=moments(subs.trial_end[order]),
        deal_id=pa.nulls(len(order), pa.string()),
    )
    c = subs.changes
    keep = np.flatnonzero(subs.kept[c["sub"]] & (c["at"] < world.end))
    rows = keep[np.lexsort((c["change"][keep], c["at"][keep], c["sub"][keep]))]
    sub, yearly = c["sub"][rows], c["yearly"][rows]
    starts = np.flatnonzero(np.r_[True, sub[1:] != sub[:-1]])
    version = np.arange(len(rows)) - np.repeat(starts, np.diff(np.r_[starts, len(rows)])) + 1
    unit = seat_prices()[market[sub], c["plan"][rows]] * np.where(yearly == 1, facts.YEARLY_MONTHS_PAID, 1)
    ending = c["canceled_at"][rows] < NEVER
    feedback = (mix(number[sub], 324) % np.uint64(len(FEEDBACK))).astype(np.int64)
    versions = table(
        "subscription_changes",
        subscription_id=subscription_ids(number[sub]),
        version=version,
        changed_at=moments(c["at"][rows]),
        status=pick(STATUSES, c["status"][rows]),
        plan=pick(facts.PLANS, c["plan"][rows]),
        price_id=price_ids(market[sub], c["plan"][rows], yearly),
        quantity=c["quantity"][rows],
        unit_amount_minor=unit,
        interval=pick(["month", "year"], yearly),
        mrr_minor=c["mrr"][rows],
        cancel_at_period_end=c["ending"][rows] == 1,
        canceled_at=moments(c["canceled_at"][rows]),
        ended_at=moments(c["ended_at"][rows]),
        cancel_reason=pick(["cancellation_requested", "payment_failed"], c["involuntary"][rows], ending),
        cancel_feedback=pick(FEEDBACK, feedback, ending & (c["involuntary"][rows] == 0)),
        change_type=pick(CHANGES, c["change"][rows]),
    )
    return {
        "subscriptions": facts_table,
        "subscription_changes": versions,
        "billing_prices": price_table(world),
    }


@dataclass(frozen=True)
class AppUse:
    """Sessions in the app: who, when, what for."""

    person: Ints
    at: Ints
    acts_at: Ints
    event: Ints  # code in web.E


def app_use(world: World, outcome: Outcome, subs: Subscriptions, event_codes: dict[str, int]) -> AppUse:
    """Activation, product-qualified moments, trials from the free plan, invitations, and plain log-ins."""
    users = np.flatnonzero((world.kind == facts.SAAS) & (outcome.first_at < world.end))
    since = outcome.first_at[users]
    last_use = np.full(world.people, 0, dtype=np.int64)
    np.maximum.at(last_use, subs.person[subs.anchor < NEVER], subs.last_use[subs.anchor < NEVER])
    fading = since + (-np.log(1 - uniform(users, 330)) * 14 * DAY).astype(np.int64)
    until = np.minimum(np.maximum(last_use[users], fading), world.end)
    spans = np.maximum(until - since, 0) / DAY
    logins = np.floor(spans / (4.0 + 6.0 * uniform(users, 331)) + uniform(users, 332)).astype(np.int64)
    person = np.repeat(users, logins)
    position = np.arange(len(person)) - np.repeat(np.cumsum(logins) - logins, logins)
    key = person * 4096 + position
    width = np.repeat((until - since) / np.maximum(logins, 1), logins)
    start = np.repeat(since, logins)
    at = start + 30 * MINUTE + ((position + uniform(key, 333)) * width).astype(np.int64)
    blocks = [(person, at, event_codes["login"])]
    later_trial = np.where(outcome.trial_at > outcome.first_at + HOUR, outcome.trial_at, NEVER)
    invites = (outcome.activated_at < NEVER) & (uniform(np.arange(world.people), 334) < facts.INVITER_SHARE)
    invited_at = np.where(invites, np.where(invites, outcome.activated_at, 0) + 2 * DAY, NEVER)
    for moment, name in (
        (outcome.activated_at, "activation_complete"),
        (outcome.pql_at, "pql_reached"),
        (later_trial, "start_trial"),
        (invited_at, "invite_sent"),
    ):
        who = np.flatnonzero(moment < world.end)
        blocks.append((who, moment[who], event_codes[name]))
    people = np.concatenate([b[0] for b in blocks])
    when = np.concatenate([b[1] for b in blocks])
    what = np.concatenate([np.full(len(b[0]), b[2]) for b in blocks])
    order = np.lexsort((what, people, when))
    people, when, what = people[order], when[order], what[order]
    return AppUse(people, when - 2 * MINUTE, when, what)


def addresses(world: World, person: Ints) -> pa.Array:
    """Billing addresses of app customers: mostly the sign-up's, sometimes a private one."""
    own = names.typed(names.emails(world, person), person + (1 << 41))
    return pc.if_else(pa.array(uniform(person, 335) < 0.06), names.private_emails(world, person), own)


def referred_luck(world: World) -> Floats:
    """Whether people who came by Referral were invited by a user."""
    return uniform(np.arange(world.people), 340)


def referral_codes(world: World, outcome: Outcome) -> pa.Array:
    """By person: the code to hand on (inviters), or the code used (that of some earlier inviter)."""
    inviters = np.flatnonzero(
        (outcome.activated_at < NEVER) & (uniform(np.arange(world.people), 334) < facts.INVITER_SHARE)
    )
    own = np.arange(world.people)
    if len(inviters):
        invited_at = outcome.activated_at[inviters] + 2 * DAY
        order = np.argsort(invited_at, kind="stable")
        earlier = np.searchsorted(invited_at[order], outcome.first_at, side="right")
        chosen = (uniform(own, 341) * np.maximum(earlier, 1)).astype(np.int64)
        used = inviters[order][np.minimum(chosen, len(inviters) - 1)]
        own = np.where(np.isin(own, inviters), own, used)
    return text("FRIEND-", codes(own, 342, 6))
