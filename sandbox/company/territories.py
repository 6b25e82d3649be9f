"""Which CRM holds whom: the one place that says it.

The company took over a firm in the United States, whose sales team stayed on the CRM that it had: everybody
and everything of that market lies there, the rest in the company's own. A record's id has the shape that its
CRM gives it, wherever the company writes it down (on an invoice, in a survey).

The people of customer success, and the head of sales, work in both: they have a user's seat in each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sandbox.company import facts
from sandbox.company.frames import Bools, Ints, numbers

if TYPE_CHECKING:
    from sandbox.company.people import World

OWN, ACQUIRED = "hubspot", "salesforce"
CRMS = (OWN, ACQUIRED)
ACQUIRED_MARKETS = ("US",)
ACQUIRED_TEAMS = ("Sales US",)
SHARED_TEAMS = ("Sales Management", "Customer Success")

COMPANY, CONTACT, DEAL = 0, 1, 2
ID_BASE = (9_100_000_000, 151_000_000, 33_400_000_000)
FOLLOW_UP = 10_000_000  # numbers of deals above this belong to the company of the rest
DUPLICATE = 50_000_000  # added to a record's number for its duplicate
PARTNERS = 60_000_000  # numbers of partner companies
PARTNER_COUNTRIES = ("NL", "SE", "SE", "US", "NL")

# An id of the acquired CRM: three letters for the type, the place, the number, three check letters.
_PREFIX_OF = ("001", "00Q", "006")
_PLACE = "Hr0"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECKS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def teams_of(crm: str) -> tuple[str, ...]:
    """The teams that work in a CRM."""
    own = tuple(name for name in facts.TEAM_IDS if name not in (*ACQUIRED_TEAMS, *SHARED_TEAMS))
    return (*(ACQUIRED_TEAMS if crm == ACQUIRED else own), *SHARED_TEAMS)


def is_acquired(world: World, kind: int, number: Ints) -> Bools:
    """Which of these records lie in the acquired CRM."""
    markets = [facts.MARKETS.index(name) for name in ACQUIRED_MARKETS]
    number = np.asarray(number, dtype=np.int64)
    if kind == CONTACT:
        return np.isin(world.market[number % DUPLICATE], markets)
    is_partner = (kind == COMPANY) & (number >= PARTNERS)
    company = np.where(is_partner, 0, number % FOLLOW_UP)
    partner = np.where(is_partner, number - PARTNERS, 0)
    abroad = np.array([country in ACQUIRED_MARKETS for country in PARTNER_COUNTRIES])
    return np.where(is_partner, abroad[partner], np.isin(world.company_market[company], markets))


def object_ids(world: World, kind: int, number: Ints) -> pa.Array:
    """The ids of records, each as its CRM gives them."""
    acquired = np.flatnonzero(is_acquired(world, kind, number))
    ids = numbers(np.asarray(number) + ID_BASE[kind])
    if not len(acquired):
        return ids
    place = np.zeros(len(ids), dtype=np.int64)
    place[acquired] = len(ids) + np.arange(len(acquired))
    place = np.where(place > 0, place, np.arange(len(ids)))
    return pa.concat_arrays([ids, _record_ids(_PREFIX_OF[kind], np.asarray(number)[acquired])]).take(
        pa.array(place)
    )


def of_acquired(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which ids are of records in the acquired CRM; an absent id is of none."""
    return pc.fill_null(pc.match_substring_regex(ids, "^[0-9A-Za-z]{18}$"), False)


def record_id(prefix: str, number: int) -> str:
    """The id of one record of the acquired CRM."""
    digits = ""
    for _ in range(9):
        number, digit = divmod(number, 62)
        digits = _DIGITS[digit] + digits
    text = prefix + _PLACE + digits
    return text + _check_letters(text)


def as_type(record: str, prefix: str) -> str:
    """The id that the same number has as another type of record."""
    text = prefix + record[3:15]
    return text + _check_letters(text)


def _record_ids(prefix: str, number: Ints) -> pa.Array:
    left = number.astype(np.int64)
    letters = np.frombuffer(_DIGITS.encode(), dtype=np.uint8)
    text = np.empty((len(number), 18), dtype=np.uint8)
    text[:, :6] = np.frombuffer((prefix + _PLACE).encode(), dtype=np.uint8)
    for position in range(14, 5, -1):
        text[:, position] = letters[left % 62]
        left = left // 62
    checks = np.frombuffer(_CHECKS.encode(), dtype=np.uint8)
    capital = (text[:, :15] >= ord("A")) & (text[:, :15] <= ord("Z"))
    weights = 1 << np.arange(5)
    for part in range(3):
        text[:, 15 + part] = checks[(capital[:, part * 5 : part * 5 + 5] * weights).sum(axis=1)]
    return pa.array(text.view("S18").ravel(), type=pa.binary()).cast(pa.string())


def _check_letters(text: str) -> str:
    """Three letters that tell which of the fifteen before them are capitals."""
    parts: Sequence[str] = (text[0:5], text[5:10], text[10:15])
    return "".join(_CHECKS[sum(1 << i for i, c in enumerate(part) if "A" <= c <= "Z")] for part in parts)
