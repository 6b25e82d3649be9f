"""Records of the CRM in general: ids, property histories, deletion and merging.

What belongs here: what companies, contacts and deals have in common.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sandbox.company import facts, territories
from sandbox.company.frames import (
    NEVER,
    Bools,
    Ints,
    mix,
    moments,
    only,
    pick,
    table,
)
from sandbox.company.people import World
from sandbox.company.territories import COMPANY, CONTACT, DEAL, DUPLICATE, PARTNERS, object_ids

__all__ = [
    "COMPANY",
    "CONTACT",
    "DEAL",
    "DUPLICATE",
    "PARTNERS",
    "History",
    "Objects",
    "object_ids",
    "owner_of",
]

TYPES = ("company", "contact", "deal")
MISTAKE = 70_000_000  # added for deals that were entered by mistake
PARTNER_NAMES = ("Lightplan Partners", "Nordic Fitout", "Rum & Ljus", "Bright Interiors", "Van Dam Projecten")
OWNER_LEAVES_AFTER_DAYS = 20  # days into the window at which Pieter Smit leaves
FORMER_OWNER = 3


def owner_of(market: Ints, number: Ints) -> Ints:
    """The sales owner of a record: position in OWNERS."""
    return np.array(facts.MARKET_OWNERS)[market, (mix(number, 401) % np.uint64(2)).astype(np.int64)]


def _ids(world: World, kind: Ints, number: Ints) -> pa.Array:
    """The ids of records whose types stand together, one type behind the other."""
    parts = [object_ids(world, code, number[kind == code]) for code in range(3)]
    return pa.concat_arrays(parts).take(pa.array(np.argsort(np.argsort(kind, kind="stable"), kind="stable")))


def _acquired(world: World, kind: Ints, number: Ints) -> Ints:
    """1 for the records that lie in the acquired CRM."""
    found = np.zeros(len(kind), dtype=np.int64)
    for code in range(3):
        found[kind == code] = territories.is_acquired(world, code, number[kind == code])
    return found


@dataclass
class History:
    """Property values collected block by block."""

    objects: list[Ints] = field(default_factory=list)
    values: list[pa.Array] = field(default_factory=list)
    at: list[Ints] = field(default_factory=list)
    labels: list[tuple[int, str, str, str | None]] = field(default_factory=list)
    users: list[pa.Array] = field(default_factory=list)

    def add(
        self,
        kind: int,
        number: Ints,
        name: str,
        value: pa.Array | str | None,
        at: Ints,
        valid: Bools | None = None,
        source: str = "CRM_UI",
        source_id: str | None = None,
        owner: Ints | None = None,
    ) -> None:
        """Record `value` for these records at these moments (where valid and ever)."""
        rows = np.flatnonzero((at != NEVER) & (True if valid is None else valid))
        plain = isinstance(value, str) or value is None
        column = pa.repeat(pa.scalar(value, pa.string()), len(number)) if plain else value
        self.objects.append(number[rows])
        self.values.append(pc.take(column, pa.array(rows)))
        self.at.append(at[rows])
        self.labels.append((kind, name, source, source_id))
        users = [row[1] for row in facts.OWNERS]
        self.users.append(
            pa.nulls(len(rows), pa.string())
            if owner is None or source != "CRM_UI"
            else pick(users, owner[rows])
        )

    def table(self, world: World, kept: tuple[Ints, Ints, Ints]) -> pa.Table:
        """The table crm_property_history of the kept records, up to the end."""
        lengths = np.array([len(block) for block in self.objects])
        block = np.repeat(np.arange(len(lengths)), lengths)
        number, at = np.concatenate(self.objects), np.concatenate(self.at)
        kind = np.array([label[0] for label in self.labels])[block]
        wanted = np.zeros(len(block), dtype=bool)
        for code in range(3):
            wanted |= (kind == code) & np.isin(number, kept[code])
        rows = np.flatnonzero(wanted & (at < world.end))
        rows = rows[np.lexsort((block[rows], at[rows], number[rows], kind[rows]))]
        labels = block[rows]
        return table(
            "crm_property_history",
            object_type=pick(TYPES, kind[rows]),
            object_id=_ids(world, kind[rows], number[rows]),
            property=pick([label[1] for label in self.labels], labels),
            value=pa.concat_arrays(self.values).take(pa.array(rows)),
            changed_at=moments(at[rows]),
            source_type=pick([label[2] for label in self.labels], labels),
            source_id=pick([label[3] for label in self.labels], labels),
            updated_by=pa.concat_arrays(self.users).take(pa.array(rows)),
        )


@dataclass
class Objects:
    """Records collected block by block."""

    kinds: list[int] = field(default_factory=list)
    numbers: list[Ints] = field(default_factory=list)
    created: list[Ints] = field(default_factory=list)
    deleted: list[Ints] = field(default_factory=list)
    survivor: list[Ints] = field(default_factory=list)
    merged: list[Ints] = field(default_factory=list)

    def add(
        self,
        kind: int,
        number: Ints,
        created: Ints,
        deleted: Ints | None = None,
        survivor: Ints | None = None,
        merged: Ints | None = None,
    ) -> None:
        never = np.full(len(number), NEVER)
        self.kinds.append(kind)
        self.numbers.append(number)
        self.created.append(created)
        self.deleted.append(never if deleted is None else deleted)
        self.survivor.append(np.full(len(number), -1) if survivor is None else survivor)
        self.merged.append(never if merged is None else merged)

    def table(self, world: World) -> tuple[pa.Table, tuple[Ints, Ints, Ints]]:
        """The table crm_objects, and the numbers of its records by type."""
        kind = np.repeat(np.array(self.kinds), [len(block) for block in self.numbers])
        number, created = np.concatenate(self.numbers), np.concatenate(self.created)
        deleted, merged = np.concatenate(self.deleted), np.concatenate(self.merged)
        survivor = np.concatenate(self.survivor)
        end = world.end
        rows = np.flatnonzero(created < end)
        rows = rows[np.lexsort((number[rows], created[rows], kind[rows]))]
        is_merged = merged[rows] < end
        result = table(
            "crm_objects",
            object_type=pick(TYPES, kind[rows]),
            object_id=_ids(world, kind[rows], number[rows]),
            crm=pick(territories.CRMS, _acquired(world, kind[rows], number[rows])),
            created_at=moments(created[rows]),
            deleted_at=moments(np.where(deleted[rows] < end, deleted[rows], NEVER)),
            merged_into_id=only(
                _ids(world, kind[rows], np.where(is_merged, survivor[rows], number[rows])), is_merged
            ),
            merged_at=moments(np.where(is_merged, merged[rows], NEVER)),
        )
        by_kind = tuple(number[rows][kind[rows] == code] for code in range(3))
        return result, (by_kind[0], by_kind[1], by_kind[2])
