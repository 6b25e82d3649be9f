"""Deals: new business, expansions, renewals, and how they move.

What belongs here: deals and their property histories, with skipped and re-entered stages, slipped
dates, changed amounts, duplicates and mistakes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sandbox.company import facts, names, territories
from sandbox.company.crm import (
    COMPANY,
    DEAL,
    DUPLICATE,
    FORMER_OWNER,
    MISTAKE,
    OWNER_LEAVES_AFTER_DAYS,
    PARTNERS,
    History,
    Objects,
    object_ids,
    owner_of,
)
from sandbox.company.frames import (
    DAY,
    HOUR,
    MINUTE,
    NEVER,
    Bools,
    Ints,
    group_first,
    iso,
    iso_date,
    mix,
    money_text,
    pick,
    text,
    uniform,
    weighted,
)
from sandbox.company.journeys import Outcome
from sandbox.company.people import World

# How deals move through the sales pipeline: (stage, share of the time to close), then the outcome.
PATTERNS: tuple[tuple[tuple[str, float], ...], ...] = (
    (("request", 0.0), ("briefing", 0.25), ("quote", 0.55)),
    (("request", 0.0), ("quote", 0.4)),
    (("request", 0.0), ("briefing", 0.2), ("quote", 0.45), ("briefing", 0.6), ("quote", 0.8)),
    (("briefing", 0.0), ("quote", 0.5)),
    (("request", 0.0),),
    (("request", 0.0), ("briefing", 0.2), ("closedlost", 0.4), ("briefing", 0.55), ("quote", 0.75)),
)
PATTERN_WEIGHTS = (0.60, 0.12, 0.10, 0.08, 0.05, 0.05)
REOPENED = 5
RENEWAL_PATTERN = (("renewal_due", 0.0), ("renewal_quote", 0.5))
NEXT_STEPS = ("Send quote", "Plan site visit", "Wait for budget", "Call back", "Check light plan", None)


@dataclass(frozen=True)
class Deals:
    """All deals: new business, expansions, renewals."""

    number: Ints
    company: Ints
    person: Ints  # main contact
    kind: Ints  # 0 new business, 1 renewal, 2 expansion
    created_at: Ints
    closed_at: Ints
    won: Bools
    amount: Ints  # minor units at the end
    owner: Ints
    renewed: Ints  # number of the renewed deal, -1
    contract_start: Ints  # day
    kept: Bools

    def take(self, rows: Ints | Bools) -> Deals:
        """Some of them."""
        return Deals(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def decide(world: World, outcome: Outcome) -> Deals:
    """New business from behaviour; expansions and two rounds of renewals from what was won."""
    company = np.flatnonzero(outcome.opportunity_at < world.end)
    company = company[np.lexsort((company, outcome.opportunity_at[company]))]
    market = world.company_market[company]
    person = outcome.opportunity_person[company]
    low, median, high = facts.DEAL_AMOUNT_EUR
    u = np.clip(world.company_luck[company, 3], 0.001, 0.999)
    eur = np.clip(median * (u / (1 - u)) ** 0.42, low, high)
    rounded = np.round(eur * np.array(facts.CURRENCY_PER_EUR)[market] / 50) * 50
    rounded *= np.where(world.kind[person] == facts.SAAS, facts.PQL_DEAL_FACTOR, 1.0)
    amount = (rounded * 100).astype(np.int64)
    won, closed = outcome.won[company], outcome.closed_at[company]
    new = Deals(
        company,
        company,
        person,
        np.zeros(len(company), dtype=np.int64),
        outcome.opportunity_at[company],
        closed,
        won,
        amount,
        owner_of(market, company),
        np.full(len(company), -1),
        closed // DAY + 14,
        np.ones(len(company), bool),
    )
    wins = new.take(won & (closed < world.end))
    chosen = uniform(wins.number, 402) < facts.EXPANSION_SHARE
    base = wins.take(chosen)
    created = base.closed_at + ((60 + 180 * uniform(base.number, 403)) * DAY).astype(np.int64)
    expansion = _follow_up(
        base,
        2,
        10_000_000,
        created,
        created + ((15 + 40 * uniform(base.number, 404)) * DAY).astype(np.int64),
        uniform(base.number, 405) < facts.EXPANSION_WIN_RATE,
        0.2 + 0.5 * uniform(base.number, 406),
        False,
    )
    rounds = [new, expansion.take(expansion.created_at < world.end)]
    ending = wins
    for generation in (1, 2):
        ending = ending.take(uniform(ending.number, 414) >= facts.RENEWAL_FORGOTTEN_SHARE)
        created = (ending.contract_start + 365 - 90) * DAY + 8 * HOUR
        u = uniform(ending.number, 410 + generation)
        renewal = _follow_up(
            ending,
            1,
            20_000_000 * generation,
            created,
            created
            + ((45 + 55 * u) * DAY).astype(np.int64)
            + (uniform(ending.number, 413) * 8 * HOUR).astype(np.int64),
            uniform(ending.number, 415 + generation) < facts.RENEWAL_RATE,
            0.85 + 0.4 * uniform(ending.number, 420 + generation),
            True,
        )
        renewal = renewal.take(renewal.created_at < world.end)
        rounds.append(renewal)
        ending = renewal.take(renewal.won & (renewal.closed_at < world.end))
    everything = Deals(
        *(np.concatenate([getattr(part, name) for part in rounds]) for name in Deals.__dataclass_fields__)
    )
    # When the CRM was introduced, only what was alive came into it.
    ends = (everything.contract_start + 365 + 30) * DAY
    alive = (everything.closed_at >= world.start) | (everything.won & (ends >= world.start))
    needed = np.isin(everything.number, everything.renewed[alive])
    return Deals(**{**everything.__dict__, "kept": alive | needed})


def _follow_up(
    base: Deals,
    kind: int,
    offset: int,
    created: Ints,
    closed: Ints,
    won: Bools,
    factor: np.ndarray,
    renews: bool,
) -> Deals:
    """A deal with an existing customer."""
    amount = np.round(base.amount * factor / 5000).astype(np.int64) * 5000
    success = np.array(facts.SUCCESS_OWNERS)[(mix(base.company, 407) % np.uint64(2)).astype(np.int64)]
    return Deals(
        base.number + offset,
        base.company,
        base.person,
        np.full(len(base.number), kind),
        created,
        closed,
        won,
        np.maximum(amount, 100_000),
        success,
        base.number if renews else np.full(len(base.number), -1),
        base.contract_start + 365 if renews else closed // DAY + 14,
        np.ones(len(base.number), dtype=bool),
    )


def write(world: World, deals: Deals, history: History, objects: Objects) -> Deals:
    """Deals and how they moved; returns the duplicates and mistakes as deals, too."""
    d = deals.take(deals.kept)
    # Duplicates (merged into the first), and deals that were entered by mistake and deleted.
    fresh = d.take(d.kind == 0)
    doubles = max(1, round(facts.DEAL_DUPLICATE_SHARE * len(fresh.number)))
    mistakes = max(1, round(facts.DEAL_DELETED_SHARE * len(fresh.number)))
    order = np.argsort(mix(fresh.number, 501))
    late = order[fresh.created_at[order] >= world.start - 30 * DAY]
    # Where the window holds few deals, the latest ones are taken.
    late = late if len(late) >= doubles + mistakes else np.argsort(-fresh.created_at)
    twin, junk = fresh.take(late[:doubles]), fresh.take(late[doubles : doubles + mistakes])
    merged_at = twin.created_at + ((1 + 8 * uniform(twin.number, 502)) * DAY).astype(np.int64)
    deleted_at = junk.created_at + ((2 + 15 * uniform(junk.number, 503)) * DAY).astype(np.int64)
    objects.add(DEAL, d.number, d.created_at)
    objects.add(DEAL, twin.number + DUPLICATE, twin.created_at + 2 * HOUR, None, twin.number, merged_at)
    objects.add(DEAL, junk.number + MISTAKE, junk.created_at + 3 * HOUR, deleted_at)
    open_for_ever = np.full(len(twin.number), NEVER), np.full(len(junk.number), NEVER)
    extra_twin = Deals(
        **{
            **twin.__dict__,
            "number": twin.number + DUPLICATE,
            "created_at": twin.created_at + 2 * HOUR,
            "closed_at": open_for_ever[0],
            "won": np.zeros(len(twin.number), bool),
        }
    )
    extra_junk = Deals(
        **{
            **junk.__dict__,
            "number": junk.number + MISTAKE,
            "created_at": junk.created_at + 3 * HOUR,
            "closed_at": open_for_ever[1],
            "won": np.zeros(len(junk.number), bool),
        }
    )
    for part in (d, extra_twin, extra_junk):
        _write_deal_history(world, part, history)
    return Deals(
        *(
            np.concatenate([getattr(extra_twin, x), getattr(extra_junk, x)])
            for x in Deals.__dataclass_fields__
        )
    )


def _write_deal_history(world: World, d: Deals, history: History) -> None:
    number, created, closed = d.number, d.created_at, d.closed_at
    n, owner = len(number), d.owner
    is_open = closed == NEVER
    span = np.where(is_open, 60 * DAY, np.where(is_open, created, closed) - created)
    market = world.company_market[d.company]
    renewal = d.kind == 1
    owner_ids = [row[0] for row in facts.OWNERS]

    def add(name: str, value: pa.Array | str | None, at: Ints, valid: Bools | None = None) -> None:
        history.add(DEAL, number, name, value, at, valid, "CRM_UI", None, owner)

    pattern = np.where(renewal, -1, weighted(uniform(number, 510), PATTERN_WEIGHTS))
    pattern = np.where(is_open & ~renewal, 4, pattern)  # duplicates and mistakes never move
    quote_at = np.full(n, NEVER)
    for code, steps in [*enumerate(PATTERNS), (-1, RENEWAL_PATTERN)]:
        for stage, share in steps:
            at = created + (share * span).astype(np.int64)
            chosen = pattern == code
            add("stage", stage, at, chosen)
            if stage in ("quote", "renewal_quote"):
                quote_at = np.where(chosen & (quote_at == NEVER), at, quote_at)
    add("stage", pick(["closedlost", "closedwon"], d.won), closed)

    what = pick(["Project lighting", "Renewal", "Expansion"], d.kind)
    add("name", text(names.company_names(world, d.company), " - ", what), created)
    add("pipeline", pick(["sales", "renewals"], renewal), created)
    add("currency", pick(facts.CURRENCIES, market), created)
    add("opportunity_type", pick(["new_business", "renewal", "expansion"], d.kind), created)
    leaves = world.start + OWNER_LEAVES_AFTER_DAYS * DAY
    pieter = (market == 0) & (d.kind == 0) & (created < leaves) & (uniform(number, 511) < 0.25)
    add("owner_id", pick(owner_ids, np.where(pieter, FORMER_OWNER, owner)), created)
    history.add(
        DEAL,
        number,
        "owner_id",
        pick(owner_ids, owner),
        np.full(n, leaves),
        pieter & (closed > leaves),
        "CRM_UI",
        None,
        np.zeros(n, dtype=np.int64),
    )
    sourced = _sourced_by(world, d)
    add(
        "sourced_by",
        pick(("marketing", "sales", "partner", "product", "success"), sourced),
        created,
        uniform(number, 512) > 0.15,
    )
    partner = PARTNERS + (mix(number, 513) % np.uint64(5)).astype(np.int64)
    # Who brings deals to a team is a partner in the CRM that the team works in.
    acquired = territories.is_acquired(world, DEAL, number)
    at_home = PARTNERS + (mix(number, 513) % np.uint64(3)).astype(np.int64)
    partner = np.where(territories.is_acquired(world, COMPANY, partner), at_home, partner)
    abroad = PARTNERS + territories.PARTNER_COUNTRIES.index(territories.ACQUIRED_MARKETS[0])
    partner = object_ids(world, COMPANY, np.where(acquired, abroad, partner))
    add("partner_company_id", partner, created, sourced == 2)
    add("renewed_deal_id", object_ids(world, DEAL, np.maximum(d.renewed, 0)), created, d.renewed >= 0)

    # The amount: a first guess (or none), the quote, and sometimes a last discount.
    guess = (
        np.round(d.amount * np.exp(0.35 * (2 * uniform(number, 514) - 1)) / 50_000).astype(np.int64) * 50_000
    )
    guess = np.maximum(guess, 100_000)
    add("amount", money_text(guess), created, uniform(number, 515) > 0.12)
    quoted = np.where(uniform(number, 516) < 0.3, np.round(d.amount * 1.08 / 100) * 100, d.amount).astype(
        np.int64
    )
    add("amount", money_text(quoted), quote_at, quote_at > created)
    add("amount", money_text(d.amount), np.where(is_open, NEVER, closed - MINUTE), d.won)
    add(
        "arr",
        money_text(np.round(d.amount * 0.6 / 100).astype(np.int64) * 100),
        quote_at,
        uniform(number, 517) < 0.7,
    )

    # The close date: a hope, then it slips, then it is a fact.
    hope = created // DAY + 25 + (uniform(number, 518) * 45).astype(np.int64)
    hope = np.where(renewal, created // DAY + 90, hope)
    add("close_date", iso_date(hope), created)
    promised = hope
    cared_for = uniform(number, 552) >= facts.CLOSE_DATE_NEGLECTED_SHARE
    forgotten = ~renewal & ~is_open & (closed >= world.end) & (hope < world.end // DAY - 5)
    if forgotten.any() and cared_for[forgotten].all():  # one at least lies about with a date long past
        cared_for[np.flatnonzero(forgotten)[:1]] = False
    for salt in (519, 520, 521):
        noticed = (promised - 2) * DAY + 9 * HOUR + (uniform(number, salt) * 7 * HOUR).astype(np.int64)
        slips = cared_for & (noticed > created) & (noticed < closed) & (uniform(number, salt + 10) < 0.8)
        promised = np.where(
            slips, promised + 14 + (uniform(number, salt + 20) * 30).astype(np.int64), promised
        )
        add("close_date", iso_date(promised), noticed, slips)
    closed_day = np.where(is_open, 0, closed) // DAY
    add("close_date", iso_date(closed_day), closed)
    add("closed_at", iso(np.where(is_open, 0, closed)), closed)
    if (pattern == REOPENED).any():
        again = pattern == REOPENED
        lost_at = created + (0.4 * span).astype(np.int64)
        add("closed_at", iso(lost_at), lost_at, again)
        add("closed_at", None, created + (0.55 * span).astype(np.int64), again)

    add("forecast_category", "pipeline", created)
    add("forecast_category", "best_case", quote_at, quote_at > created)
    commit = created + (0.9 * span).astype(np.int64)
    add("forecast_category", "commit", commit, ~is_open & (uniform(number, 540) < np.where(d.won, 0.7, 0.15)))
    add("forecast_category", pick(["omitted", "closed"], d.won), closed)
    plan = (mix(number, 541) % np.uint64(len(NEXT_STEPS))).astype(np.int64)
    add("next_step", pick(NEXT_STEPS, plan), created, plan < len(NEXT_STEPS) - 1)
    later = created + (0.5 * span).astype(np.int64) + MINUTE
    add(
        "next_step",
        pick(NEXT_STEPS, (plan + 2) % len(NEXT_STEPS)),
        later,
        ~is_open & (uniform(number, 542) < 0.6),
    )
    why = (mix(number, 543) % np.uint64(len(facts.LOST_REASONS))).astype(np.int64)
    reason = pick(facts.LOST_REASONS, why)
    add("lost_reason", reason, closed, ~d.won & (uniform(number, 544) >= facts.LOST_REASON_MISSING_SHARE))
    add(
        "won_reason",
        pick(facts.WON_REASONS, (mix(number, 545) % np.uint64(4)).astype(np.int64)),
        closed,
        d.won & (uniform(number, 546) < 0.8),
    )
    # Competitors as people write them; of deals that went to one, few do not say to whom.
    rivals = (*facts.COMPETITORS, *facts.COMPETITORS_MISWRITTEN)
    which = (mix(number, 547) % np.uint64(3)).astype(np.int64)
    which += 3 * (uniform(number, 549) < facts.COMPETITOR_MISWRITTEN_SHARE)
    to_rival = ~d.won & (why == facts.LOST_REASONS.index("competitor"))
    known = uniform(number, 548) < np.where(to_rival, 0.85, facts.COMPETITOR_KNOWN_SHARE)
    add("competitor", pick(rivals, which), later + MINUTE, ~is_open & ~renewal & known)
    add("contract_start", iso_date(d.contract_start), closed, d.won)
    add("contract_end", iso_date(d.contract_start + 365), closed, d.won)


def _sourced_by(world: World, d: Deals) -> Ints:
    """Who brought the deal, as the CRM says: mostly by the person's first touch."""
    opening = group_first(world.touches.person)
    first_channel = np.full(world.people, facts.CHANNEL["Direct"])
    first_channel[world.touches.person[opening]] = world.touches.channel[opening]
    channel = first_channel[d.person]
    sourced = np.where(
        channel == facts.CHANNEL["Outbound Sales"], 1, np.where(channel == facts.CHANNEL["Partner"], 2, 0)
    )
    sourced = np.where(world.kind[d.person] == facts.SAAS, 3, sourced)  # people who used the app before
    sourced = np.where(uniform(d.number, 551) < 0.08, 1, sourced)  # salespeople like to claim
    return np.where(d.kind > 0, 4, sourced)
