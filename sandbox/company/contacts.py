"""Contacts and companies: who they are and what became of them.

What belongs here: records of people and companies with their property histories, duplicates and deleted ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sandbox.company import facts, names, web
from sandbox.company.crm import (
    COMPANY,
    CONTACT,
    DUPLICATE,
    FORMER_OWNER,
    OWNER_LEAVES_AFTER_DAYS,
    PARTNER_NAMES,
    PARTNERS,
    History,
    Objects,
    owner_of,
)
from sandbox.company.deals import Deals
from sandbox.company.frames import (
    DAY,
    HOUR,
    MINUTE,
    NEVER,
    Bools,
    Ints,
    group_first,
    mix,
    numbers,
    pick,
    rank_in_group,
    uniform,
)
from sandbox.company.journeys import Outcome
from sandbox.company.people import World
from sandbox.company.territories import PARTNER_COUNTRIES

DOUBLE_NOTICED_SHARE = 0.85  # of companies that were entered twice
ORIGINAL_SOURCES = {
    "Paid Search": "PAID_SEARCH",
    "Cross-network": "PAID_SEARCH",
    "Display": "OTHER_CAMPAIGNS",
    "Paid Video": "OTHER_CAMPAIGNS",
    "Paid Social": "PAID_SOCIAL",
    "Organic Search": "ORGANIC_SEARCH",
    "Organic Social": "SOCIAL_MEDIA",
    "Referral": "REFERRALS",
    "AI Assistant": "AI_REFERRALS",
    "Email": "EMAIL_MARKETING",
    "Affiliates": "REFERRALS",
    "Direct": "DIRECT_TRAFFIC",
    "Event": "OFFLINE",
    "Webinar": "OTHER_CAMPAIGNS",
    "Direct Mail": "OFFLINE",
    "Partner": "OFFLINE",
    "Outbound Sales": "OFFLINE",
}


@dataclass(frozen=True)
class Contacts:
    """Contacts, by person."""

    person: Ints
    created_at: Ints
    lead_at: Ints
    by_form: Bools
    owner: Ints
    kept: Bools


def first_call(person: Ints, qualified_at: Ints, sql_at: Ints) -> Ints:
    """When sales first called those who qualified: mostly within hours, for some too late or never."""
    odds = np.clip(uniform(person, 455), 1e-3, 1 - 1e-3)
    hours = facts.FIRST_CALL_MEDIAN_HOURS * (odds / (1 - odds)) ** 0.75
    forgotten = (sql_at == NEVER) & (uniform(person, 459) < facts.CALL_FORGOTTEN_SHARE)
    valid = (qualified_at < NEVER) & ~forgotten
    since = np.where(valid, qualified_at, 0)
    wait = (hours * HOUR).astype(np.int64) + 10 * MINUTE
    # Whoever met sales was called before.
    wait = np.where(
        sql_at < NEVER, np.minimum(wait, (np.where(sql_at < NEVER, sql_at, 0) - since) // 2), wait
    )
    return np.where(valid, since + wait, NEVER)


def qualified(world: World, outcome: Outcome) -> Ints:
    """By person: when marketing or the use of the app passed them to sales."""
    return np.minimum(outcome.mql_at, np.where(world.company >= 0, outcome.pql_at, NEVER))


def decide(world: World, outcome: Outcome, deals: Deals, kept_users: Bools) -> Contacts:
    """Who is a contact: business leads and prospects, product-qualified users, newsletter readers."""
    touches = world.touches
    offline = np.flatnonzero((touches.channel >= facts.FIRST_OFFLINE) & outcome.active)
    met_at = np.full(world.people, NEVER)
    met_at[touches.person[offline[::-1]]] = touches.at[offline[::-1]] + HOUR
    lead_at = np.where(world.kind == facts.B2B, outcome.first_at, NEVER)
    reader_at = np.where(world.newsletter & (world.kind != facts.SHOP), world.member_from, NEVER)
    created = np.minimum.reduce([met_at, lead_at, outcome.pql_at, reader_at])
    person = np.flatnonzero(created < world.end)
    person = person[np.lexsort((person, created[person]))]
    lead_touch = outcome.first_touch[person]
    by_form = (lead_at[person] < NEVER) & (touches.channel[np.maximum(lead_touch, 0)] < facts.FIRST_OFFLINE)
    deal_companies = np.unique(deals.company[deals.kept])
    kept = created[person] >= world.start - 60 * DAY
    kept |= (world.company[person] >= 0) & np.isin(world.company[person], deal_companies)
    kept |= kept_users[person] & (outcome.pql_at[person] < NEVER)
    market = world.market[person]
    key = np.where(world.company[person] >= 0, world.company[person], person)
    lead = np.minimum(lead_at[person], outcome.pql_at[person])
    return Contacts(person, created[person], lead, by_form, owner_of(market, key), kept)


@dataclass(frozen=True)
class Doubles:
    """Second records of companies: what comes in while one exists is filed under it until they are merged."""

    company: Ints  # sorted
    created_at: Ints
    merged_at: Ints  # NEVER for those nobody has noticed

    def holding(self, company: Ints, at: Ints) -> tuple[Bools, Ints]:
        """Which records of these companies and moments go under the double, and when they are moved."""
        if len(self.company) == 0:
            return np.zeros(len(company), dtype=bool), np.full(len(company), NEVER)
        place = np.minimum(np.searchsorted(self.company, company), len(self.company) - 1)
        held = (
            (self.company[place] == company) & (at >= self.created_at[place]) & (at < self.merged_at[place])
        )
        return held, self.merged_at[place]


def write_companies(world: World, contacts: Contacts, history: History, objects: Objects) -> Doubles:
    """Companies of the kept contacts, created with the first of them; their doubles; and partners."""
    mine = contacts.kept & (world.company[contacts.person] >= 0)
    company, first = np.unique(world.company[contacts.person[mine]], return_index=True)
    created = contacts.created_at[mine][first] - MINUTE
    objects.add(COMPANY, company, created)
    market = world.company_market[company]
    size = np.exp(2.5 + 1.4 * np.sqrt(-2 * np.log(1 - 0.999 * uniform(company, 430)))).astype(np.int64)
    cities = [city for group in facts.CITIES for city in group]
    owner = owner_of(market, company)
    draw = mix(company, 431)
    values: dict[str, pa.Array | str] = {
        "name": names.company_names(world, company),
        "domain": names.company_domains(company),
        "industry": pick(facts.INDUSTRIES, (draw % np.uint64(7)).astype(np.int64)),
        "employee_count": numbers(size),
        "country": pick(facts.MARKETS, market),
        "city": pick(cities, market * 5 + (draw % np.uint64(5)).astype(np.int64)),
        "owner_id": pick([row[0] for row in facts.OWNERS], owner),
        "is_partner": "false",
    }
    for name, value in values.items():
        missing = (name in ("industry", "employee_count")) & (uniform(company, 432) < 0.1)
        history.add(COMPANY, company, name, value, created, ~missing, "INTEGRATION", "enrichment")
    doubles = _double(world, contacts, mine)
    twin = doubles.company + DUPLICATE
    objects.add(COMPANY, twin, doubles.created_at, None, doubles.company, doubles.merged_at)
    for name, value in {
        "name": names.company_names(world, doubles.company),
        "country": pick(facts.MARKETS, world.company_market[doubles.company]),
        "is_partner": "false",
    }.items():
        history.add(COMPANY, twin, name, value, doubles.created_at, None, "INTEGRATION", "form")
    partners = np.arange(len(PARTNER_NAMES)) + PARTNERS
    founded = np.full(len(partners), world.dawn)
    objects.add(COMPANY, partners, founded)
    slugs = [name.lower().replace(" & ", "-").replace(" ", "-") + ".example" for name in PARTNER_NAMES]
    for name, value in {
        "name": pa.array(PARTNER_NAMES),
        "domain": pa.array(slugs),
        "industry": "construction",
        "country": pa.array(PARTNER_COUNTRIES),
        "owner_id": "70000041",
        "is_partner": "true",
    }.items():
        history.add(COMPANY, partners, name, value, founded)
    return doubles


def _double(world: World, contacts: Contacts, mine: Bools) -> Doubles:
    """Companies that were entered again with their second contact, under a name without a domain."""
    person, created = contacts.person[mine], contacts.created_at[mine]
    order = np.lexsort((created, world.company[person]))
    company, created = world.company[person][order], created[order]
    second = np.flatnonzero(rank_in_group(company) == 1)
    second = second[created[second] >= world.start]
    chosen = uniform(company[second], 433) < facts.COMPANY_DUPLICATE_SHARE
    if len(second) and not chosen.any():
        chosen[np.argmin(uniform(company[second], 433))] = True
    company, at = company[second][chosen], created[second][chosen] - MINUTE
    merged_at = at + ((1 + 25 * uniform(company, 435)) * DAY).astype(np.int64)
    noticed = uniform(company, 434) < DOUBLE_NOTICED_SHARE
    # One at least is merged, in the last days: runs of single days then see an account go.
    latest = np.flatnonzero(at < world.end - 4 * DAY)
    if len(latest):
        latest = latest[[np.argmax(at[latest])]]
        noticed[latest], merged_at[latest] = True, np.minimum(merged_at[latest], world.end - 2 * DAY)
    return Doubles(company, at, np.where(noticed, merged_at, NEVER))


def write(
    world: World, outcome: Outcome, contacts: Contacts, deals: Deals, history: History, objects: Objects
) -> None:
    """Contacts and what became of them, duplicates and deleted ones included."""
    person, created, lead_at = contacts.person, contacts.created_at, contacts.lead_at
    keep = contacts.kept
    person, created, lead_at = person[keep], created[keep], lead_at[keep]
    by_form, owner = contacts.by_form[keep], contacts.owner[keep]
    n = len(person)
    mql_at, sql_at = outcome.mql_at[person], outcome.sql_at[person]
    is_pql = outcome.pql_at[person] < NEVER
    company = world.company[person]
    mql_at = np.where(
        is_pql & (company >= 0) & (uniform(person, 440) < 0.8),
        np.minimum(outcome.pql_at[person], NEVER - DAY) + 10 * MINUTE,
        mql_at,
    )
    # The company's first deal moves its sales-qualified people on.
    deal_at, won_at = np.full(len(world.company_market), NEVER), np.full(len(world.company_market), NEVER)
    new = deals.kind == 0
    deal_at[deals.company[new]] = deals.created_at[new]
    won_at[deals.company[new & deals.won]] = deals.closed_at[new & deals.won]
    in_deal = (company >= 0) & (sql_at < NEVER)
    opportunity_at = np.where(
        in_deal, np.maximum(deal_at[np.maximum(company, 0)], sql_at + HOUR * (sql_at < NEVER)), NEVER
    )
    opportunity_at = np.where(deal_at[np.maximum(company, 0)] == NEVER, NEVER, opportunity_at)
    customer_at = np.where(in_deal & (opportunity_at < NEVER), won_at[np.maximum(company, 0)] + 0, NEVER)
    customer_at = np.where((customer_at < NEVER) & (customer_at > opportunity_at), customer_at, NEVER)

    lost_interest = (mql_at < NEVER) & (sql_at == NEVER)
    unqualified_at = np.where(
        lost_interest & (uniform(person, 441) < 0.6), np.where(mql_at < NEVER, mql_at, 0) + 9 * DAY, NEVER
    )
    recycled = (
        (mql_at < NEVER)
        & (sql_at == NEVER)
        & (unqualified_at == NEVER)
        & (uniform(person, 442) < facts.RECYCLED_SHARE / 0.2)
    )
    recycled_at = np.where(recycled, np.where(recycled, mql_at, 0) + 12 * DAY, NEVER)
    again_at = np.where(
        recycled & (uniform(person, 443) < 0.6), np.where(recycled, mql_at, 0) + 45 * DAY, NEVER
    )

    deletable = (mql_at == NEVER) & (uniform(person, 444) < facts.CONTACT_DELETED_SHARE * 2)
    if n and not deletable.any():
        deletable[np.flatnonzero(mql_at == NEVER)[:1]] = True
    deleted = np.where(deletable, created + ((5 + 60 * uniform(person, 445)) * DAY).astype(np.int64), NEVER)
    objects.add(CONTACT, person, created, deleted)

    channel = world.touches.channel[group_first(world.touches.person)]
    first_channel = np.full(world.people, facts.CHANNEL["Direct"])
    first_channel[world.touches.person[group_first(world.touches.person)]] = channel
    source = "FORM"
    market = world.market[person]
    _, on_second = web.touch_devices(world)
    second_cookie = on_second[np.maximum(outcome.first_touch[person], 0)]
    analytics, _ = web.consent_of(world)
    has_cookie = (by_form | is_pql) & (analytics[person] != 1) & (uniform(person, 446) < 0.9)
    says = (by_form | is_pql) & (uniform(person, 447) < 0.35)
    first_names = names.first_names(world, person)
    statics: tuple[tuple[str, pa.Array | str, Bools], ...] = (
        ("email", names.typed(names.emails(world, person), person + (1 << 42)), np.ones(n, bool)),
        ("first_name", first_names, uniform(person, 448) > 0.06),
        ("last_name", names.last_names(world, person), uniform(person, 449) > 0.03),
        ("phone", names.phones(world, person), uniform(person, 61) >= 1 / 3),
        ("country", pick(facts.MARKETS, market), uniform(person, 450) > 0.04),
        (
            "job_title",
            pick(facts.JOB_TITLES, (mix(person, 451) % np.uint64(9)).astype(np.int64)),
            uniform(person, 452) > 0.25,
        ),
        (
            "original_source",
            pick([ORIGINAL_SOURCES[c] for c in facts.CHANNELS], first_channel[person]),
            np.ones(n, bool),
        ),
        (
            "self_reported_source",
            pick(facts.SELF_REPORTED, (mix(person, 453) % np.uint64(10)).astype(np.int64)),
            says,
        ),
        ("ga_client_id", web.client_ids(world, person, second_cookie), has_cookie),
        ("user_id", names.user_ids(person), is_pql),
        ("marketing_consent", pick(["false", "true"], world.member_from[person] < NEVER), np.ones(n, bool)),
    )
    # The form's cookie arrives with the form: for prospects that is later than the record.
    form_at = np.maximum(created, np.where((by_form | is_pql) & (lead_at < NEVER), lead_at, created))
    for name, value, valid in statics:
        at = form_at if name in ("ga_client_id", "self_reported_source", "user_id") else created
        history.add(CONTACT, person, name, value, at, valid, source, "quote-request")

    is_lead = created == lead_at
    history.add(
        CONTACT, person, "lifecycle_stage", "subscriber", created, ~is_lead, "FORM", "newsletter-footer"
    )
    history.add(CONTACT, person, "lifecycle_stage", "lead", lead_at, None, "FORM", "quote-request")
    history.add(CONTACT, person, "lead_status", "NEW", lead_at, None, "FORM", "quote-request")
    for stage, at in (
        ("marketingqualifiedlead", mql_at),
        ("salesqualifiedlead", sql_at),
        ("lead", recycled_at),
        ("marketingqualifiedlead", again_at),
        ("opportunity", opportunity_at),
        ("customer", customer_at),
    ):
        by_machine = stage == "marketingqualifiedlead"
        history.add(
            CONTACT,
            person,
            "lifecycle_stage",
            stage,
            at,
            None,
            "AUTOMATION_PLATFORM" if by_machine else "CRM_UI",
            "lead-scoring" if by_machine else None,
            owner,
        )
    # Pieter Smit's records go to his colleagues when he leaves.
    leaves = world.start + OWNER_LEAVES_AFTER_DAYS * DAY
    owner_ids = [row[0] for row in facts.OWNERS]
    assigned_at = np.minimum(np.where(mql_at < NEVER, mql_at, NEVER), np.where(sql_at < NEVER, sql_at, NEVER))
    assigned_at = np.where(assigned_at < NEVER, assigned_at - MINUTE, NEVER)
    by_pieter = (market == 0) & (assigned_at < leaves) & (uniform(person, 454) < 0.3)
    history.add(
        CONTACT,
        person,
        "owner_id",
        pick(owner_ids, np.where(by_pieter, FORMER_OWNER, owner)),
        assigned_at,
        None,
        "AUTOMATION_PLATFORM",
        "round-robin",
    )
    history.add(
        CONTACT,
        person,
        "owner_id",
        pick(owner_ids, owner),
        np.full(n, leaves),
        by_pieter,
        "CRM_UI",
        None,
        np.zeros(n, dtype=np.int64),
    )
    called_at = first_call(person, qualified(world, outcome)[person], sql_at)
    opened = np.where(called_at < NEVER, np.where(called_at < NEVER, called_at, 0) + 5 * MINUTE, NEVER)
    opened = np.where(mql_at < NEVER, np.maximum(opened, np.where(mql_at < NEVER, mql_at, 0) + MINUTE), NEVER)
    opened = np.where(opened < np.minimum(sql_at, unqualified_at), opened, NEVER)
    for status, at in (
        ("OPEN", opened),
        ("IN_PROGRESS", sql_at),
        ("UNQUALIFIED", unqualified_at),
        ("RECYCLED", recycled_at),
    ):
        history.add(CONTACT, person, "lead_status", status, at, None, "CRM_UI", None, owner)
    reasons = pick(facts.DISQUALIFIED_REASONS, (mix(person, 456) % np.uint64(5)).astype(np.int64))
    history.add(
        CONTACT,
        person,
        "disqualified_reason",
        reasons,
        unqualified_at,
        uniform(person, 457) < 0.85,
        "CRM_UI",
        None,
        owner,
    )
    for salt, name in enumerate(("bant_budget", "bant_authority", "bant_need", "bant_timeline")):
        asked = np.where(sql_at < NEVER, np.where(sql_at < NEVER, sql_at, 0) + 5 * MINUTE, NEVER)
        answer = pick(["false", "true"], uniform(person, 460 + salt) < 0.7)
        history.add(
            CONTACT, person, name, answer, asked, uniform(person, 470 + salt) < 0.75, "CRM_UI", None, owner
        )

    # A second record of the same person, under a private address, until somebody merges it.
    doubled = (lead_at < NEVER) & (deleted == NEVER) & (uniform(person, 480) < facts.CONTACT_DUPLICATE_SHARE)
    if n and not doubled.any():
        doubled[np.flatnonzero((lead_at < NEVER) & (deleted == NEVER))[:1]] = True
    twin = person[doubled] + DUPLICATE
    twin_at = lead_at[doubled] + ((1 + 9 * uniform(twin, 481)) * DAY).astype(np.int64)
    merged = np.where(
        uniform(twin, 482) < 0.8, twin_at + ((1 + 20 * uniform(twin, 483)) * DAY).astype(np.int64), NEVER
    )
    objects.add(CONTACT, twin, twin_at, None, person[doubled], merged)
    owners_of_twin = person[doubled]
    for name, value in {
        "email": names.private_emails(world, owners_of_twin),
        "first_name": names.first_names(world, owners_of_twin),
        "last_name": names.last_names(world, owners_of_twin),
        "lifecycle_stage": "lead",
        "lead_status": "NEW",
        "original_source": "DIRECT_TRAFFIC",
        "ga_client_id": web.client_ids(world, owners_of_twin, np.ones(len(twin), dtype=bool)),
        "marketing_consent": "true",
    }.items():
        history.add(CONTACT, twin, name, value, twin_at, None, "FORM", "quote-request")
