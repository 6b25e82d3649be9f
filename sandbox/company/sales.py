"""The sales team's books: companies, contacts, deals, their history, and who talked to whom.

What belongs here: the CRM. Who becomes a lead, MQL, SQL or customer is behaviour (journeys.py); here it becomes
records with property histories, as untidy as people leave them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sandbox.company import facts, names, web
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
    moments,
    money_text,
    numbers,
    only,
    pick,
    table,
    text,
    uniform,
    weighted,
)
from sandbox.company.journeys import Outcome
from sandbox.company.people import World

TYPES = ("company", "contact", "deal")
COMPANY, CONTACT, DEAL = 0, 1, 2
_ID_BASE = (9_100_000_000, 151_000_000, 33_400_000_000)
_DUPLICATE = 50_000_000  # added to a record's number for its duplicate
_JUNK = 70_000_000  # added for deals that were entered by mistake
_PARTNERS = 60_000_000  # numbers of partner companies
PARTNER_NAMES = ("Lightplan Partners", "Nordic Fitout", "Rum & Ljus", "Bright Interiors", "Van Dam Projecten")
OWNER_LEAVES_AFTER_DAYS = 20  # days into the window at which Pieter Smit leaves
FORMER_OWNER = 3

# How deals move through the sales pipeline: (stage, share of the time to close). The last stage is the outcome.
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
ORIGINAL_SOURCES = {
    "Paid Search": "PAID_SEARCH", "Cross-network": "PAID_SEARCH", "Display": "OTHER_CAMPAIGNS",
    "Paid Video": "OTHER_CAMPAIGNS", "Paid Social": "PAID_SOCIAL", "Organic Search": "ORGANIC_SEARCH",
    "Organic Social": "SOCIAL_MEDIA", "Referral": "REFERRALS", "AI Assistant": "AI_REFERRALS",
    "Email": "EMAIL_MARKETING", "Affiliates": "REFERRALS", "Direct": "DIRECT_TRAFFIC", "Event": "OFFLINE",
    "Webinar": "OTHER_CAMPAIGNS", "Direct Mail": "OFFLINE", "Partner": "OFFLINE", "Outbound Sales": "OFFLINE",
}  # fmt: skip


def object_ids(kind: int, number: Ints) -> pa.Array:
    """CRM ids of records."""
    return numbers(number + _ID_BASE[kind])


@dataclass
class History:
    """Property values collected block by block."""

    objects: list[Ints] = field(default_factory=list)
    values: list[pa.Array] = field(default_factory=list)
    at: list[Ints] = field(default_factory=list)
    labels: list[tuple[int, str, str, str | None]] = field(default_factory=list)
    users: list[pa.Array] = field(default_factory=list)

    def add(
        self, kind: int, number: Ints, name: str, value: pa.Array | str | None, at: Ints,
        valid: Bools | None = None, source: str = "CRM_UI", source_id: str | None = None, owner: Ints | None = None,
    ) -> None:  # fmt: skip
        """Record `value` for these records at these moments (where valid and ever)."""
        rows = np.flatnonzero((at != NEVER) & (True if valid is None else valid))
        if isinstance(value, str) or value is None:
            value = pa.repeat(pa.scalar(value, pa.string()), len(number))
        self.objects.append(number[rows])
        self.values.append(value.take(pa.array(rows)))
        self.at.append(at[rows])
        self.labels.append((kind, name, source, source_id))
        users = [row[1] for row in facts.OWNERS]
        self.users.append(
            pa.nulls(len(rows), pa.string()) if owner is None or source != "CRM_UI" else pick(users, owner[rows])
        )

    def table(self, kept: tuple[Ints, Ints, Ints], end: int) -> pa.Table:
        """The table crm_property_history of the kept records, up to the end."""
        lengths = np.array([len(block) for block in self.objects])
        block = np.repeat(np.arange(len(lengths)), lengths)
        number, at = np.concatenate(self.objects), np.concatenate(self.at)
        kind = np.array([label[0] for label in self.labels])[block]
        wanted = np.zeros(len(block), dtype=bool)
        for code in range(3):
            wanted |= (kind == code) & np.isin(number, kept[code])
        rows = np.flatnonzero(wanted & (at < end))
        rows = rows[np.lexsort((block[rows], at[rows], number[rows], kind[rows]))]
        labels = block[rows]
        base = np.array(_ID_BASE)[kind[rows]]
        return table(
            "crm_property_history",
            object_type=pick(TYPES, kind[rows]),
            object_id=numbers(number[rows] + base),
            property=pick([label[1] for label in self.labels], labels),
            value=pa.concat_arrays(self.values).take(pa.array(rows)),
            changed_at=moments(at[rows]),
            source_type=pick([label[2] for label in self.labels], labels),
            source_id=pick([label[3] for label in self.labels], labels),
            updated_by=pa.concat_arrays(self.users).take(pa.array(rows)),
        )


@dataclass(frozen=True)
class Contacts:
    """Contacts, by person."""

    person: Ints
    created_at: Ints
    lead_at: Ints
    by_form: Bools
    owner: Ints
    kept: Bools


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


@dataclass(frozen=True)
class Book:
    """The CRM's records as the other parts need them."""

    contacts: Contacts
    deals: Deals
    contact_number_of_person: Ints  # -1 for those without a (kept) contact
    tables: dict[str, pa.Table]


def owner_of(market: Ints, number: Ints) -> Ints:
    """The sales owner of a record: position in OWNERS."""
    return np.array(facts.MARKET_OWNERS)[market, (mix(number, 401) % np.uint64(2)).astype(np.int64)]


def book(world: World, outcome: Outcome, kept_users: Bools) -> Book:
    """Everything the CRM holds. `kept_users`: app users whose subscription is known."""
    deals = _deals(world, outcome)
    contacts = _contacts(world, outcome, deals, kept_users)
    history, objects = History(), _Objects()
    companies = _write_companies(world, contacts, history, objects)
    _write_contacts(world, outcome, contacts, deals, history, objects)
    extra_deals = _write_deals(world, deals, history, objects)
    objects_table, kept = objects.table(world.end)
    numbers_of = np.full(world.people, -1, dtype=np.int64)
    numbers_of[contacts.person[contacts.kept]] = contacts.person[contacts.kept]
    result = {
        "crm_owners": _owners(world),
        "crm_pipelines": _pipelines(world),
        "crm_objects": objects_table,
        "crm_property_history": history.table(kept, world.end),
        "crm_associations": _associations(world, contacts, deals, extra_deals, companies, objects),
        "crm_activities": _activities(world, outcome, contacts, deals, numbers_of),
    }
    return Book(contacts, deals, numbers_of, result)


# --------------------------------------------------------------------------------------------------- decisions
def _deals(world: World, outcome: Outcome) -> Deals:
    """New business from behaviour; expansions and two rounds of renewals from what was won."""
    company = np.flatnonzero(outcome.opportunity_at < world.end)
    company = company[np.lexsort((company, outcome.opportunity_at[company]))]
    market = world.company_market[company]
    person = outcome.opportunity_person[company]
    low, median, high = facts.DEAL_AMOUNT_EUR
    u = np.clip(world.company_luck[company, 3], 0.001, 0.999)
    eur = np.clip(median * (u / (1 - u)) ** 0.42, low, high)
    rounded = np.round(eur * np.array(facts.CURRENCY_PER_EUR)[market] / 50) * 50
    amount = (rounded * 100).astype(np.int64)
    won, closed = outcome.won[company], outcome.closed_at[company]
    new = Deals(
        company, company, person, np.zeros(len(company), dtype=np.int64), outcome.opportunity_at[company], closed, won,
        amount, owner_of(market, company), np.full(len(company), -1), closed // DAY + 14, np.ones(len(company), bool),
    )  # fmt: skip
    wins = new.take(won & (closed < world.end))
    chosen = uniform(wins.number, 402) < facts.EXPANSION_SHARE
    base = wins.take(chosen)
    created = base.closed_at + ((60 + 180 * uniform(base.number, 403)) * DAY).astype(np.int64)
    expansion = _follow_up(
        base, 2, 10_000_000, created, created + ((15 + 40 * uniform(base.number, 404)) * DAY).astype(np.int64),
        uniform(base.number, 405) < facts.EXPANSION_WIN_RATE, 0.2 + 0.5 * uniform(base.number, 406), False,
    )  # fmt: skip
    rounds = [new, expansion.take(expansion.created_at < world.end)]
    ending = wins
    for generation in (1, 2):
        created = (ending.contract_start + 365 - 90) * DAY + 8 * HOUR
        u = uniform(ending.number, 410 + generation)
        renewal = _follow_up(
            ending, 1, 20_000_000 * generation, created,
            created + ((45 + 55 * u) * DAY).astype(np.int64) + (uniform(ending.number, 413) * 8 * HOUR).astype(np.int64),
            uniform(ending.number, 415 + generation) < facts.RENEWAL_RATE,
            0.85 + 0.4 * uniform(ending.number, 420 + generation), True,
        )  # fmt: skip
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
    base: Deals, kind: int, offset: int, created: Ints, closed: Ints, won: Bools, factor: np.ndarray, renews: bool
) -> Deals:
    """A deal with an existing customer."""
    amount = np.round(base.amount * factor / 5000).astype(np.int64) * 5000
    success = np.array(facts.SUCCESS_OWNERS)[(mix(base.company, 407) % np.uint64(2)).astype(np.int64)]
    return Deals(
        base.number + offset, base.company, base.person, np.full(len(base.number), kind), created, closed, won,
        np.maximum(amount, 100_000), success, base.number if renews else np.full(len(base.number), -1),
        base.contract_start + 365 if renews else closed // DAY + 14, np.ones(len(base.number), dtype=bool),
    )  # fmt: skip


def _contacts(world: World, outcome: Outcome, deals: Deals, kept_users: Bools) -> Contacts:
    """Who is a contact: business leads and prospects, product-qualified users, business newsletter readers."""
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


# ----------------------------------------------------------------------------------------------------- objects
@dataclass
class _Objects:
    """Records collected block by block."""

    kinds: list[int] = field(default_factory=list)
    numbers: list[Ints] = field(default_factory=list)
    created: list[Ints] = field(default_factory=list)
    deleted: list[Ints] = field(default_factory=list)
    survivor: list[Ints] = field(default_factory=list)
    merged: list[Ints] = field(default_factory=list)

    def add(
        self, kind: int, number: Ints, created: Ints, deleted: Ints | None = None, survivor: Ints | None = None,
        merged: Ints | None = None,
    ) -> None:  # fmt: skip
        never = np.full(len(number), NEVER)
        self.kinds.append(kind)
        self.numbers.append(number)
        self.created.append(created)
        self.deleted.append(never if deleted is None else deleted)
        self.survivor.append(np.full(len(number), -1) if survivor is None else survivor)
        self.merged.append(never if merged is None else merged)

    def table(self, end: int) -> tuple[pa.Table, tuple[Ints, Ints, Ints]]:
        """The table crm_objects, and the numbers of its records by type."""
        kind = np.repeat(np.array(self.kinds), [len(block) for block in self.numbers])
        number, created = np.concatenate(self.numbers), np.concatenate(self.created)
        deleted, merged = np.concatenate(self.deleted), np.concatenate(self.merged)
        survivor = np.concatenate(self.survivor)
        rows = np.flatnonzero(created < end)
        rows = rows[np.lexsort((number[rows], created[rows], kind[rows]))]
        base = np.array(_ID_BASE)[kind[rows]]
        is_merged = merged[rows] < end
        result = table(
            "crm_objects",
            object_type=pick(TYPES, kind[rows]),
            object_id=numbers(number[rows] + base),
            created_at=moments(created[rows]),
            deleted_at=moments(np.where(deleted[rows] < end, deleted[rows], NEVER)),
            merged_into_id=only(numbers(np.maximum(survivor[rows], 0) + base), is_merged),
            merged_at=moments(np.where(is_merged, merged[rows], NEVER)),
        )
        by_kind = tuple(number[rows][kind[rows] == code] for code in range(3))
        return result, (by_kind[0], by_kind[1], by_kind[2])


def _write_companies(world: World, contacts: Contacts, history: History, objects: _Objects) -> Ints:
    """Companies of the kept contacts, created with the first of them; and partners."""
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
    partners = np.arange(len(PARTNER_NAMES)) + _PARTNERS
    founded = np.full(len(partners), world.dawn)
    objects.add(COMPANY, partners, founded)
    slugs = [name.lower().replace(" & ", "-").replace(" ", "-") + ".example" for name in PARTNER_NAMES]
    for name, value in {
        "name": pa.array(PARTNER_NAMES),
        "domain": pa.array(slugs),
        "industry": "construction",
        "country": pa.array(["NL", "SE", "SE", "US", "NL"]),
        "owner_id": "70000041",
        "is_partner": "true",
    }.items():
        history.add(COMPANY, partners, name, value, founded)
    return np.asarray(company)


def _write_contacts(
    world: World, outcome: Outcome, contacts: Contacts, deals: Deals, history: History, objects: _Objects
) -> None:
    """Contacts and what became of them, duplicates and deleted ones included."""
    person, created, lead_at = contacts.person, contacts.created_at, contacts.lead_at
    keep = contacts.kept
    person, created, lead_at = person[keep], created[keep], lead_at[keep]
    by_form, owner = contacts.by_form[keep], contacts.owner[keep]
    n = len(person)
    mql_at, sql_at = outcome.mql_at[person], outcome.sql_at[person]
    is_pql = outcome.pql_at[person] < NEVER
    mql_at = np.where(is_pql & (uniform(person, 440) < 0.5), np.minimum(outcome.pql_at[person], NEVER - DAY) + 2 * HOUR, mql_at)
    # The company's first deal moves its sales-qualified people on.
    company = world.company[person]
    deal_at, won_at = np.full(len(world.company_market), NEVER), np.full(len(world.company_market), NEVER)
    new = deals.kind == 0
    deal_at[deals.company[new]] = deals.created_at[new]
    won_at[deals.company[new & deals.won]] = deals.closed_at[new & deals.won]
    in_deal = (company >= 0) & (sql_at < NEVER)
    opportunity_at = np.where(in_deal, np.maximum(deal_at[np.maximum(company, 0)], sql_at + HOUR * (sql_at < NEVER)), NEVER)
    opportunity_at = np.where(deal_at[np.maximum(company, 0)] == NEVER, NEVER, opportunity_at)
    customer_at = np.where(in_deal & (opportunity_at < NEVER), won_at[np.maximum(company, 0)] + 0, NEVER)
    customer_at = np.where((customer_at < NEVER) & (customer_at > opportunity_at), customer_at, NEVER)

    lost_interest = (mql_at < NEVER) & (sql_at == NEVER)
    unqualified_at = np.where(lost_interest & (uniform(person, 441) < 0.6), np.where(mql_at < NEVER, mql_at, 0) + 9 * DAY, NEVER)
    recycled = (mql_at < NEVER) & (sql_at == NEVER) & (unqualified_at == NEVER) & (uniform(person, 442) < facts.RECYCLED_SHARE / 0.2)
    recycled_at = np.where(recycled, np.where(recycled, mql_at, 0) + 12 * DAY, NEVER)
    again_at = np.where(recycled & (uniform(person, 443) < 0.6), np.where(recycled, mql_at, 0) + 45 * DAY, NEVER)

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
    second_cookie = np.zeros(n, dtype=bool)
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
        ("job_title", pick(facts.JOB_TITLES, (mix(person, 451) % np.uint64(9)).astype(np.int64)), uniform(person, 452) > 0.25),
        ("original_source", pick([ORIGINAL_SOURCES[c] for c in facts.CHANNELS], first_channel[person]), np.ones(n, bool)),
        ("self_reported_source", pick(facts.SELF_REPORTED, (mix(person, 453) % np.uint64(10)).astype(np.int64)), says),
        ("ga_client_id", web.client_ids(world, person, second_cookie), has_cookie),
        ("user_id", names.user_ids(person), is_pql),
        ("marketing_consent", pick(["false", "true"], world.member_from[person] < NEVER), np.ones(n, bool)),
    )  # fmt: skip
    # The form's cookie arrives with the form: for prospects that is later than the record.
    form_at = np.maximum(created, np.where((by_form | is_pql) & (lead_at < NEVER), lead_at, created))
    for name, value, valid in statics:
        at = form_at if name in ("ga_client_id", "self_reported_source", "user_id") else created
        history.add(CONTACT, person, name, value, at, valid, source, "quote-request")

    is_lead = created == lead_at
    history.add(CONTACT, person, "lifecycle_stage", "subscriber", created, ~is_lead, "FORM", "newsletter-footer")
    history.add(CONTACT, person, "lifecycle_stage", "lead", lead_at, None, "FORM", "quote-request")
    history.add(CONTACT, person, "lead_status", "NEW", lead_at, None, "FORM", "quote-request")
    for stage, at in (
        ("marketingqualifiedlead", mql_at), ("salesqualifiedlead", sql_at), ("lead", recycled_at),
        ("marketingqualifiedlead", again_at), ("opportunity", opportunity_at), ("customer", customer_at),
    ):  # fmt: skip
        by_machine = stage == "marketingqualifiedlead"
        history.add(CONTACT, person, "lifecycle_stage", stage, at, None,
                    "AUTOMATION_PLATFORM" if by_machine else "CRM_UI", "lead-scoring" if by_machine else None, owner)  # fmt: skip
    # Pieter Smit's records go to his colleagues when he leaves.
    leaves = world.start + OWNER_LEAVES_AFTER_DAYS * DAY
    owner_ids = [row[0] for row in facts.OWNERS]
    assigned_at = np.minimum(np.where(mql_at < NEVER, mql_at, NEVER), np.where(sql_at < NEVER, sql_at, NEVER))
    assigned_at = np.where(assigned_at < NEVER, assigned_at - MINUTE, NEVER)
    by_pieter = (market == 0) & (assigned_at < leaves) & (uniform(person, 454) < 0.3)
    history.add(CONTACT, person, "owner_id", pick(owner_ids, np.where(by_pieter, FORMER_OWNER, owner)), assigned_at,
                None, "AUTOMATION_PLATFORM", "round-robin")  # fmt: skip
    history.add(CONTACT, person, "owner_id", pick(owner_ids, owner), np.full(n, leaves), by_pieter, "CRM_UI", None,
                np.zeros(n, dtype=np.int64))  # fmt: skip
    opened = np.where(mql_at < NEVER, np.where(mql_at < NEVER, mql_at, 0) + (uniform(person, 455) ** 2 * 40 * HOUR).astype(np.int64) + 15 * MINUTE, NEVER)
    opened = np.where(opened < np.minimum(sql_at, unqualified_at), opened, NEVER)
    for status, at in (("OPEN", opened), ("IN_PROGRESS", sql_at), ("UNQUALIFIED", unqualified_at), ("RECYCLED", recycled_at)):
        history.add(CONTACT, person, "lead_status", status, at, None, "CRM_UI", None, owner)
    reasons = pick(facts.DISQUALIFIED_REASONS, (mix(person, 456) % np.uint64(5)).astype(np.int64))
    history.add(CONTACT, person, "disqualified_reason", reasons, unqualified_at, uniform(person, 457) < 0.85, "CRM_UI",
                None, owner)  # fmt: skip
    for salt, name in enumerate(("bant_budget", "bant_authority", "bant_need", "bant_timeline")):
        asked = np.where(sql_at < NEVER, np.where(sql_at < NEVER, sql_at, 0) + 5 * MINUTE, NEVER)
        answer = pick(["false", "true"], uniform(person, 460 + salt) < 0.7)
        history.add(CONTACT, person, name, answer, asked, uniform(person, 470 + salt) < 0.75, "CRM_UI", None, owner)

    # A second record of the same person, under a private address, until somebody merges it.
    doubled = (lead_at < NEVER) & (deleted == NEVER) & (uniform(person, 480) < facts.CONTACT_DUPLICATE_SHARE)
    if n and not doubled.any():
        doubled[np.flatnonzero((lead_at < NEVER) & (deleted == NEVER))[:1]] = True
    twin = person[doubled] + _DUPLICATE
    twin_at = lead_at[doubled] + ((1 + 9 * uniform(twin, 481)) * DAY).astype(np.int64)
    merged = np.where(uniform(twin, 482) < 0.8, twin_at + ((1 + 20 * uniform(twin, 483)) * DAY).astype(np.int64), NEVER)
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


def _write_deals(world: World, deals: Deals, history: History, objects: _Objects) -> Deals:
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
    objects.add(DEAL, twin.number + _DUPLICATE, twin.created_at + 2 * HOUR, None, twin.number, merged_at)
    objects.add(DEAL, junk.number + _JUNK, junk.created_at + 3 * HOUR, deleted_at)
    open_for_ever = np.full(len(twin.number), NEVER), np.full(len(junk.number), NEVER)
    extra_twin = Deals(**{**twin.__dict__, "number": twin.number + _DUPLICATE, "created_at": twin.created_at + 2 * HOUR,
                          "closed_at": open_for_ever[0], "won": np.zeros(len(twin.number), bool)})  # fmt: skip
    extra_junk = Deals(**{**junk.__dict__, "number": junk.number + _JUNK, "created_at": junk.created_at + 3 * HOUR,
                          "closed_at": open_for_ever[1], "won": np.zeros(len(junk.number), bool)})  # fmt: skip
    for part in (d, extra_twin, extra_junk):
        _write_deal_history(world, part, history)
    return Deals(
        *(np.concatenate([getattr(extra_twin, x), getattr(extra_junk, x)]) for x in Deals.__dataclass_fields__)
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
    history.add(DEAL, number, "owner_id", pick(owner_ids, owner), np.full(n, leaves),
                pieter & (closed > leaves), "CRM_UI", None, np.zeros(n, dtype=np.int64))  # fmt: skip
    sourced = _sourced_by(world, d)
    add("sourced_by", pick(("marketing", "sales", "partner", "product", "success"), sourced), created, uniform(number, 512) > 0.15)
    partner = object_ids(COMPANY, _PARTNERS + (mix(number, 513) % np.uint64(5)).astype(np.int64))
    add("partner_company_id", partner, created, sourced == 2)
    add("renewed_deal_id", object_ids(DEAL, np.maximum(d.renewed, 0)), created, d.renewed >= 0)

    # The amount: a first guess (or none), the quote, and sometimes a last discount.
    guess = np.round(d.amount * np.exp(0.35 * (2 * uniform(number, 514) - 1)) / 50_000).astype(np.int64) * 50_000
    guess = np.maximum(guess, 100_000)
    add("amount", money_text(guess), created, uniform(number, 515) > 0.12)
    quoted = np.where(uniform(number, 516) < 0.3, np.round(d.amount * 1.08 / 100) * 100, d.amount).astype(np.int64)
    add("amount", money_text(quoted), quote_at, quote_at > created)
    add("amount", money_text(d.amount), np.where(is_open, NEVER, closed - MINUTE), d.won)
    add("arr", money_text(np.round(d.amount * 0.6 / 100).astype(np.int64) * 100), quote_at, uniform(number, 517) < 0.7)

    # The close date: a hope, then it slips, then it is a fact.
    hope = created // DAY + 25 + (uniform(number, 518) * 45).astype(np.int64)
    hope = np.where(renewal, created // DAY + 90, hope)
    add("close_date", iso_date(hope), created)
    promised = hope
    for salt in (519, 520, 521):
        noticed = (promised - 2) * DAY + 9 * HOUR + (uniform(number, salt) * 7 * HOUR).astype(np.int64)
        slips = (noticed > created) & (noticed < closed) & (uniform(number, salt + 10) < 0.8)
        promised = np.where(slips, promised + 14 + (uniform(number, salt + 20) * 30).astype(np.int64), promised)
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
    steps = (mix(number, 541) % np.uint64(len(NEXT_STEPS))).astype(np.int64)
    add("next_step", pick(NEXT_STEPS, steps), created, steps < len(NEXT_STEPS) - 1)
    later = created + (0.5 * span).astype(np.int64) + MINUTE
    add("next_step", pick(NEXT_STEPS, (steps + 2) % len(NEXT_STEPS)), later, ~is_open & (uniform(number, 542) < 0.6))
    reason = pick(facts.LOST_REASONS, (mix(number, 543) % np.uint64(5)).astype(np.int64))
    add("lost_reason", reason, closed, ~d.won & (uniform(number, 544) >= facts.LOST_REASON_MISSING_SHARE))
    add("won_reason", pick(facts.WON_REASONS, (mix(number, 545) % np.uint64(4)).astype(np.int64)), closed,
        d.won & (uniform(number, 546) < 0.8))  # fmt: skip
    rival = pick(facts.COMPETITORS, (mix(number, 547) % np.uint64(3)).astype(np.int64))
    add("competitor", rival, later + MINUTE, ~is_open & ~renewal & (uniform(number, 548) < 0.4))
    add("contract_start", iso_date(d.contract_start), closed, d.won)
    add("contract_end", iso_date(d.contract_start + 365), closed, d.won)


def _sourced_by(world: World, d: Deals) -> Ints:
    """Who brought the deal, as the CRM says: mostly by the person's first touch."""
    opening = group_first(world.touches.person)
    first_channel = np.full(world.people, facts.CHANNEL["Direct"])
    first_channel[world.touches.person[opening]] = world.touches.channel[opening]
    channel = first_channel[d.person]
    sourced = np.where(channel == facts.CHANNEL["Outbound Sales"], 1, np.where(channel == facts.CHANNEL["Partner"], 2, 0))
    sourced = np.where(uniform(d.number, 550) < 0.05, 3, sourced)
    sourced = np.where(uniform(d.number, 551) < 0.08, 1, sourced)  # salespeople like to claim
    return np.where(d.kind > 0, 4, sourced)


# -------------------------------------------------------------------------------------------------- the rest
def _owners(world: World) -> pa.Table:
    rows = facts.OWNERS
    leaves = world.start + OWNER_LEAVES_AFTER_DAYS * DAY
    slugs = {"Å": "A", "å": "a", "ö": "o", "ä": "a"}
    mails = [f"{row[2]}.{row[3]}".lower().replace(" ", "") for row in rows]
    for letter, plain in slugs.items():
        mails = [mail.replace(letter, plain) for mail in mails]
    return table(
        "crm_owners",
        owner_id=pa.array([row[0] for row in rows]),
        user_id=pa.array([row[1] for row in rows]),
        email=pa.array([f"{mail}@fjordlight.example" for mail in mails]),
        first_name=pa.array([row[2] for row in rows]),
        last_name=pa.array([row[3] for row in rows]),
        team_id=pa.array([facts.TEAM_IDS[row[4]] for row in rows]),
        team_name=pa.array([row[4] for row in rows]),
        manager_id=pa.array([row[5] for row in rows], type=pa.string()),
        created_at=moments(np.full(len(rows), world.dawn - 30 * DAY)),
        archived_at=moments(np.where([row[7] for row in rows], leaves, NEVER)),
    )


def _pipelines(world: World) -> pa.Table:
    columns = list(zip(*facts.PIPELINES, strict=True))
    return table(
        "crm_pipelines",
        pipeline_id=pa.array(columns[0]),
        pipeline_label=pa.array(columns[1]),
        pipeline_order=pa.array([0 if name == "sales" else 1 for name in columns[0]]),
        stage_id=pa.array(columns[2]),
        stage_label=pa.array(columns[3]),
        stage_order=pa.array(columns[4]),
        probability=pa.array(columns[5]),
        is_closed=pa.array(columns[6]),
        is_won=pa.array(columns[7]),
        created_at=moments(np.full(len(columns[0]), world.dawn - 30 * DAY)),
    )


def _associations(
    world: World, contacts: Contacts, deals: Deals, extra: Deals, companies: Ints, objects: _Objects
) -> pa.Table:
    """Links: contact and deal to company, deal to its people, renewal to what it renews."""
    blocks: list[tuple[int, Ints, int, Ints, str | pa.Array, Ints, Ints]] = []
    keep = contacts.kept & (world.company[contacts.person] >= 0)
    person = contacts.person[keep]
    created = contacts.created_at[keep]
    never = np.full(len(person), NEVER)
    blocks.append((CONTACT, person, COMPANY, world.company[person], "primary", created + MINUTE, never))
    # Second records of the same person, until they are merged.
    twins = np.concatenate([b for k, b in zip(objects.kinds, objects.numbers, strict=True) if k == CONTACT][1:])
    twin_at = np.concatenate([b for k, b in zip(objects.kinds, objects.created, strict=True) if k == CONTACT][1:])
    merged = np.concatenate([b for k, b in zip(objects.kinds, objects.merged, strict=True) if k == CONTACT][1:])
    firm = world.company[twins - _DUPLICATE]
    has = (firm >= 0) & (uniform(twins, 560) < 0.5)
    blocks.append((CONTACT, twins[has], COMPANY, firm[has], "primary", twin_at[has] + MINUTE, merged[has]))

    real = deals.take(deals.kept)
    merged_deal = dict(zip(extra.number.tolist(), [NEVER] * len(extra.number), strict=True))
    for kinds, block, at in zip(objects.kinds, objects.numbers, objects.merged, strict=True):
        if kinds == DEAL:
            merged_deal |= {k: v for k, v in zip(block.tolist(), at.tolist(), strict=True) if k in merged_deal}
    for part in (real, extra):
        removed = np.array([merged_deal.get(k, NEVER) for k in part.number.tolist()], dtype=np.int64)
        blocks.append((DEAL, part.number, COMPANY, part.company, "primary", part.created_at + MINUTE, removed))
        main = (uniform(part.number, 561) > 0.03) & np.isin(part.person, person)
        who, when = part.person[main], part.created_at[main] + MINUTE
        roles = pick(("champion", "decision_maker", "user"), weighted(uniform(part.number[main], 562), (0.5, 0.35, 0.15)))
        blocks.append((DEAL, part.number[main], CONTACT, who, "primary", when, removed[main]))
        blocks.append((DEAL, part.number[main], CONTACT, who, roles, when, removed[main]))
    renewals = real.take(real.renewed >= 0)
    blocks.append((DEAL, renewals.number, DEAL, renewals.renewed, "renews", renewals.created_at + MINUTE,
                   np.full(len(renewals.number), NEVER)))  # fmt: skip

    # Colleagues of the main contact join the deal: every pair of a deal and a contact of its company.
    order = np.argsort(world.company[person], kind="stable")
    firms = world.company[person][order]
    low, high = np.searchsorted(firms, real.company, "left"), np.searchsorted(firms, real.company, "right")
    pairs = np.repeat(np.arange(len(real.number)), high - low)
    offset = np.arange(len(pairs)) - np.repeat(np.cumsum(high - low) - (high - low), high - low)
    other = order[low[pairs] + offset]
    colleague = person[other]
    joined = np.maximum(real.created_at[pairs], created[other]) + 2 * DAY
    chosen = (colleague != real.person[pairs]) & (joined < real.closed_at[pairs])
    chosen &= uniform(real.number[pairs] * 97 + colleague, 563) < 0.75
    roles = pick(("decision_maker", "user", "legal"), weighted(uniform(colleague, 564), (0.4, 0.4, 0.2)))
    rows = np.flatnonzero(chosen)
    blocks.append((DEAL, real.number[pairs[rows]], CONTACT, colleague[rows], roles.take(pa.array(rows)), joined[rows],
                   np.full(len(rows), NEVER)))  # fmt: skip
    parts = []
    for from_kind, from_number, to_kind, to_number, label, at, removed in blocks:
        keep_rows = np.flatnonzero((at < world.end) & (removed > at))
        labels = label if isinstance(label, pa.Array) else pa.repeat(pa.scalar(label), len(at))
        parts.append(
            table(
                "crm_associations",
                from_type=TYPES[from_kind],
                from_id=object_ids(from_kind, from_number[keep_rows]),
                to_type=TYPES[to_kind],
                to_id=object_ids(to_kind, to_number[keep_rows]),
                label=labels.take(pa.array(keep_rows)),
                created_at=moments(at[keep_rows]),
                removed_at=moments(np.where(removed[keep_rows] < world.end, removed[keep_rows], NEVER)),
            )
        )
    result = pa.concat_tables(parts).combine_chunks()
    return result.sort_by([(name, "ascending") for name in ("created_at", "from_type", "from_id", "to_type", "to_id", "label")])


CALL_OUTCOMES = ("CONNECTED", "NO_ANSWER", "BUSY", "LEFT_VOICEMAIL")
ACTIVITY_TYPES = ("call", "meeting", "email", "task", "social_message")
OUTCOMES = (*CALL_OUTCOMES, "SCHEDULED", "COMPLETED", "NO_SHOW", "RESCHEDULED", "CANCELED", "NOT_STARTED", "SENT",
            "REPLIED", "BOUNCED")  # fmt: skip
_O = {name: code for code, name in enumerate(OUTCOMES)}
SUBJECTS = ("Intro call", "Meeting: light plan", "Your request", "Follow up", "Hi from Fjordlight 💡")


def _activities(world: World, outcome: Outcome, contacts: Contacts, deals: Deals, number_of: Ints) -> pa.Table:
    """Outbound touches, calls after MQL, meetings before SQL, and the work on deals."""
    columns: dict[str, list[Ints]] = {}

    def add(
        kind: Ints | int, at: Ints, created: Ints, outbound: Ints | int, initial: Ints | int, final: Ints | int,
        final_at: Ints, owner: Ints, person: Ints, company: Ints, deal: Ints | int, automated: Ints | int, key: Ints,
    ) -> None:  # fmt: skip
        block = {
            "kind": kind, "at": at, "created": created, "outbound": outbound, "initial": initial, "final": final,
            "final_at": final_at, "owner": owner, "person": person, "company": company, "deal": deal,
            "automated": automated, "key": key,
        }  # fmt: skip
        for name, value in block.items():
            columns.setdefault(name, []).append(np.broadcast_to(np.asarray(value, dtype=np.int64), (len(at),)))

    touches = world.touches
    # Outbound touches are calls, mails and messages of the sales team.
    rows = np.flatnonzero(outcome.active & (touches.channel == facts.CHANNEL["Outbound Sales"]))
    rows = rows[number_of[touches.person[rows]] >= 0]
    person, number, at = touches.person[rows], touches.number[rows], touches.at[rows] + HOUR
    company = world.company[person]
    kind = np.array([2, 0, 4])[weighted(uniform(number, 601), (0.6, 0.25, 0.15))]
    answered = outcome.first_touch[person] == rows
    call = np.where(answered, _O["CONNECTED"], weighted(uniform(number, 602), (0.25, 0.5, 0.1, 0.15)))
    final = np.where(kind == 0, call, np.where((kind == 2) & answered, _O["REPLIED"], _O["SENT"]))
    owner = owner_of(world.market[person], np.maximum(company, 0))
    add(kind, at, at, 1, np.where(kind == 0, call, _O["SENT"]), final, at + 20 * HOUR, owner, person, company, -1,
        (kind == 2) & (uniform(number, 603) < 0.7), number)  # fmt: skip

    # Calls to MQLs, and the meeting that makes an SQL (or that nobody came to).
    kept = contacts.person[contacts.kept]
    owner_by_person = np.zeros(world.people, dtype=np.int64)
    owner_by_person[contacts.person] = contacts.owner
    mqls = kept[outcome.mql_at[kept] < NEVER]
    tries = 1 + weighted(uniform(mqls, 604), (0.35, 0.3, 0.2, 0.15))
    who = np.repeat(mqls, tries)
    turn = np.arange(len(who)) - np.repeat(np.cumsum(tries) - tries, tries)
    key = who * 8 + turn + (1 << 46)
    at = outcome.mql_at[who] + ((0.2 + turn * 1.5 + uniform(key, 605)) * DAY).astype(np.int64)
    last = turn == np.repeat(tries, tries) - 1
    reached = last & (uniform(key, 606) < 0.7)
    result = np.where(reached, _O["CONNECTED"], 1 + weighted(uniform(key, 607), (0.6, 0.1, 0.3)))
    add(0, at, at + 10 * MINUTE, 1, result, result, at + 10 * MINUTE, owner_by_person[who], who, world.company[who], -1,
        0, key)  # fmt: skip
    meets = np.flatnonzero((outcome.sql_at[mqls] < NEVER) | (uniform(mqls, 608) < 0.25))
    who = mqls[meets]
    held = outcome.sql_at[who] < NEVER
    at = np.where(held, outcome.sql_at[who] - HOUR * held, outcome.mql_at[who] + 6 * DAY)
    add(1, at, at - np.minimum(2 * DAY, np.maximum(at - outcome.mql_at[who], MINUTE)), -1, _O["SCHEDULED"],
        np.where(held, _O["COMPLETED"], np.where(uniform(who, 609) < 0.6, _O["NO_SHOW"], _O["CANCELED"])), at + HOUR,
        owner_by_person[who], who, world.company[who], -1, 0, who + (1 << 47))  # fmt: skip

    # Work on deals: mails both ways, calls, meetings, tasks, evenly over the deal's time.
    real = deals.take(deals.kept)
    count = 3 + (mix(real.number, 610) % np.uint64(8)).astype(np.int64)
    deal = np.repeat(np.arange(len(real.number)), count)
    turn = np.arange(len(deal)) - np.repeat(np.cumsum(count) - count, count)
    key = real.number[deal] * 16 + turn + (1 << 48)
    span = np.minimum(real.closed_at[deal], world.end) - real.created_at[deal]
    at = real.created_at[deal] + ((turn + uniform(key, 611)) / count[deal] * span).astype(np.int64)
    kind = weighted(uniform(key, 612), (0.25, 0.2, 0.4, 0.15))
    inbound = (kind != 3) & (uniform(key, 613) < 0.35)
    call = weighted(uniform(key, 614), (0.55, 0.3, 0.05, 0.1))
    meeting = np.array([_O["COMPLETED"], _O["NO_SHOW"], _O["RESCHEDULED"], _O["CANCELED"]])[
        weighted(uniform(key, 615), (0.78, 0.08, 0.08, 0.06))
    ]
    mail = np.where(~inbound & (uniform(key, 616) < 0.3), _O["REPLIED"], _O["SENT"])
    final = np.select([kind == 0, kind == 1, kind == 3], [call, meeting, _O["COMPLETED"]], mail)
    initial = np.select([kind == 0, kind == 1, kind == 3], [call, _O["SCHEDULED"], _O["NOT_STARTED"]], _O["SENT"])
    created = np.where(np.isin(kind, (1, 3)), np.maximum(at - 3 * DAY, real.created_at[deal]), at + 5 * MINUTE)
    undone = (kind == 3) & (uniform(key, 617) < 0.15)
    final_at = np.where(kind == 1, at + HOUR, np.where(kind == 3, at + 4 * HOUR, at + DAY))
    outbound = np.where(np.isin(kind, (1, 3)), -1, ~inbound)
    add(kind, at, created, outbound, initial, np.where(undone, _O["NOT_STARTED"], final), final_at, real.owner[deal],
        real.person[deal], real.company[deal], real.number[deal], 0, key)  # fmt: skip

    c = {name: np.concatenate(parts) for name, parts in columns.items()}
    recent = (c["created"] >= world.start - 365 * DAY) & (c["created"] < world.end)
    rows = np.flatnonzero(recent & (number_of[c["person"]] >= 0))
    rows = rows[np.lexsort((c["key"][rows], c["created"][rows]))]
    c = {name: column[rows] for name, column in c.items()}
    u = uniform(c["key"], 618)
    is_call, is_meeting = c["kind"] == 0, c["kind"] == 1
    spoken = is_call & (c["final"] == _O["CONNECTED"])
    return table(
        "crm_activities",
        activity_id=numbers(41_000_000_000 + np.arange(len(rows))),
        activity_type=pick(ACTIVITY_TYPES, c["kind"]),
        created_at=moments(c["created"]),
        occurred_at=moments(c["at"]),
        ended_at=moments(c["at"] + 45 * MINUTE, is_meeting),
        direction=pick(["inbound", "outbound"], np.maximum(c["outbound"], 0), c["outbound"] >= 0),
        subject=pick(SUBJECTS, np.where(is_meeting, 1, np.where(is_call, 0, 2 + (u * 3).astype(np.int64)))),
        body=pick(["Spoke about the light plan.", "Left a note."], u < 0.5, u < 0.6),
        duration_seconds=pa.array(np.where(spoken, 60 + (u * 1500).astype(np.int64), 0), mask=~is_call),
        initial_outcome=pick(OUTCOMES, c["initial"]),
        outcome=pick(OUTCOMES, c["final"]),
        outcome_at=moments(np.maximum(c["final_at"], c["created"])),
        owner_id=pick([row[0] for row in facts.OWNERS], c["owner"]),
        contact_id=object_ids(CONTACT, c["person"]),
        company_id=only(object_ids(COMPANY, np.maximum(c["company"], 0)), c["company"] >= 0),
        deal_id=only(object_ids(DEAL, np.maximum(c["deal"], 0)), c["deal"] >= 0),
        is_automated=c["automated"] == 1,
    )


__all__ = ["Book", "Contacts", "Deals", "book", "object_ids", "pc"]
