"""The sales team's books: the CRM's tables.

What belongs here: how the CRM's parts are put together, owners, pipelines, and who belongs to what.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sandbox.company import contacts as contacts_
from sandbox.company import deals as deals_
from sandbox.company import facts
from sandbox.company.activities import activities
from sandbox.company.contacts import Contacts, Doubles
from sandbox.company.crm import (
    COMPANY,
    CONTACT,
    DEAL,
    DUPLICATE,
    OWNER_LEAVES_AFTER_DAYS,
    TYPES,
    History,
    Objects,
    object_ids,
)
from sandbox.company.deals import Deals
from sandbox.company.frames import (
    DAY,
    MINUTE,
    NEVER,
    Bools,
    Ints,
    moments,
    pick,
    table,
    uniform,
    weighted,
)
from sandbox.company.journeys import Outcome
from sandbox.company.people import World


@dataclass(frozen=True)
class Book:
    """The CRM's records as the other parts need them."""

    contacts: Contacts
    deals: Deals
    contact_number_of_person: Ints  # -1 for those without a (kept) contact
    tables: dict[str, pa.Table]


def book(world: World, outcome: Outcome, kept_users: Bools) -> Book:
    """Everything the CRM holds. `kept_users`: app users whose subscription is known."""
    deals = deals_.decide(world, outcome)
    contacts = contacts_.decide(world, outcome, deals, kept_users)
    history, objects = History(), Objects()
    doubles = contacts_.write_companies(world, contacts, history, objects)
    contacts_.write(world, outcome, contacts, deals, history, objects)
    extra_deals = deals_.write(world, deals, history, objects)
    objects_table, kept = objects.table(world)
    numbers_of = np.full(world.people, -1, dtype=np.int64)
    numbers_of[contacts.person[contacts.kept]] = contacts.person[contacts.kept]
    result = {
        "crm_owners": _owners(world),
        "crm_pipelines": _pipelines(world),
        "crm_objects": objects_table,
        "crm_property_history": history.table(world, kept),
        "crm_associations": _associations(world, contacts, doubles, deals, extra_deals, objects),
        "crm_activities": activities(world, outcome, contacts, deals, numbers_of),
    }
    return Book(contacts, deals, numbers_of, result)


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
    world: World, contacts: Contacts, doubles: Doubles, deals: Deals, extra: Deals, objects: Objects
) -> pa.Table:
    """Links: contact and deal to company, deal to its people, renewal to what it renews."""
    blocks: list[tuple[int, Ints, int, Ints, str | pa.Array, Ints, Ints]] = []

    def at_company(kind: int, number: Ints, company: Ints, at: Ints, removed: Ints) -> None:
        """Link records to their company: to its second record until that is merged into the first."""
        held, merged_at = doubles.holding(company, at)
        under = company + DUPLICATE
        blocks.append((kind, number, COMPANY, company, "primary", np.where(held, merged_at, at), removed))
        blocks.append(
            (
                kind,
                number[held],
                COMPANY,
                under[held],
                "primary",
                at[held],
                np.minimum(removed, merged_at)[held],
            )
        )

    keep = contacts.kept & (world.company[contacts.person] >= 0)
    person = contacts.person[keep]
    created = contacts.created_at[keep]
    never = np.full(len(person), NEVER)
    at_company(CONTACT, person, world.company[person], created + MINUTE, never)
    # Second records of the same person, until they are merged.
    twins = np.concatenate(
        [b for k, b in zip(objects.kinds, objects.numbers, strict=True) if k == CONTACT][1:]
    )
    twin_at = np.concatenate(
        [b for k, b in zip(objects.kinds, objects.created, strict=True) if k == CONTACT][1:]
    )
    merged = np.concatenate(
        [b for k, b in zip(objects.kinds, objects.merged, strict=True) if k == CONTACT][1:]
    )
    firm = world.company[twins - DUPLICATE]
    has = (firm >= 0) & (uniform(twins, 560) < 0.5)
    at_company(CONTACT, twins[has], firm[has], twin_at[has] + MINUTE, merged[has])

    real = deals.take(deals.kept)
    merged_deal = dict(zip(extra.number.tolist(), [NEVER] * len(extra.number), strict=True))
    for kinds, block, at in zip(objects.kinds, objects.numbers, objects.merged, strict=True):
        if kinds == DEAL:
            merged_deal |= {
                k: v for k, v in zip(block.tolist(), at.tolist(), strict=True) if k in merged_deal
            }
    for part in (real, extra):
        removed = np.array([merged_deal.get(k, NEVER) for k in part.number.tolist()], dtype=np.int64)
        at_company(DEAL, part.number, part.company, part.created_at + MINUTE, removed)
        main = (uniform(part.number, 561) > 0.03) & np.isin(part.person, person)
        who, when = part.person[main], part.created_at[main] + MINUTE
        roles = pick(
            ("champion", "decision_maker", "user"),
            weighted(uniform(part.number[main], 562), (0.5, 0.35, 0.15)),
        )
        blocks.append((DEAL, part.number[main], CONTACT, who, "primary", when, removed[main]))
        blocks.append((DEAL, part.number[main], CONTACT, who, roles, when, removed[main]))
    renewals = real.take(real.renewed >= 0)
    blocks.append(
        (
            DEAL,
            renewals.number,
            DEAL,
            renewals.renewed,
            "renews",
            renewals.created_at + MINUTE,
            np.full(len(renewals.number), NEVER),
        )
    )

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
    blocks.append(
        (
            DEAL,
            real.number[pairs[rows]],
            CONTACT,
            colleague[rows],
            roles.take(pa.array(rows)),
            joined[rows],
            np.full(len(rows), NEVER),
        )
    )
    parts = []
    for from_kind, from_number, to_kind, to_number, label, at, removed in blocks:
        keep_rows = np.flatnonzero((at < world.end) & (removed > at))
        labels = label if isinstance(label, pa.Array) else pa.repeat(pa.scalar(label), len(at))
        parts.append(
            table(
                "crm_associations",
                from_type=TYPES[from_kind],
                from_id=object_ids(world, from_kind, from_number[keep_rows]),
                to_type=TYPES[to_kind],
                to_id=object_ids(world, to_kind, to_number[keep_rows]),
                label=labels.take(pa.array(keep_rows)),
                created_at=moments(at[keep_rows]),
                removed_at=moments(np.where(removed[keep_rows] < world.end, removed[keep_rows], NEVER)),
            )
        )
    result = pa.concat_tables(parts).combine_chunks()
    return result.sort_by(
        [(name, "ascending") for name in ("created_at", "from_type", "from_id", "to_type", "to_id", "label")]
    )
