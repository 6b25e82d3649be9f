"""What people and companies are called, and their addresses, as they type them.

What belongs here: text that identifies somebody, as a pure function of the person's number.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sandbox.company import facts
from sandbox.company.frames import Ints, mix, numbers, pick, text, uniform
from sandbox.company.people import World

_FIRST = [name for market in facts.FIRST_NAMES for name in market]
_LAST = [name for market in facts.LAST_NAMES for name in market]
_ASCII_FIRST = (
    "jan",
    "emma",
    "sem",
    "julia",
    "daan",
    "lotte",
    "bram",
    "fleur",
    "thijs",
    "noa",
    "youssef",
    "fatima",
    "lina",
    "erik",
    "astrid",
    "lars",
    "elin",
    "oskar",
    "maja",
    "ake",
    "saga",
    "nils",
    "ebba",
    "bjorn",
    "zoja",
    "linnea",
    "james",
    "olivia",
    "liam",
    "ava",
    "noah",
    "mia",
    "ethan",
    "zoe",
    "jose",
    "priya",
    "wei",
    "mohammed",
    "chloe",
)
_ASCII_LAST = (
    "devries",
    "jansen",
    "bakker",
    "vandenberg",
    "smit",
    "meijer",
    "yilmaz",
    "degroot",
    "mulder",
    "bos",
    "andersson",
    "johansson",
    "karlsson",
    "nilsson",
    "lindberg",
    "oberg",
    "sjostrom",
    "akesson",
    "holm",
    "ek",
    "smith",
    "johnson",
    "obrien",
    "garcia",
    "nguyen",
    "williams",
    "brown",
    "patel",
    "kim",
    "davis",
)
WORK_ADDRESS_SHARE_SAAS = 0.4
MISTYPED_ADDRESS_SHARE = 0.05  # another case, a trailing blank


def first_index(world: World, person: Ints) -> Ints:
    """Position of people's first name."""
    return world.market[person] * 13 + (mix(person, 51) % np.uint64(13)).astype(np.int64)


def last_index(world: World, person: Ints) -> Ints:
    """Position of people's last name."""
    return world.market[person] * 10 + (mix(person, 52) % np.uint64(10)).astype(np.int64)


def first_names(world: World, person: Ints) -> pa.Array:
    """First names, emoji and other scripts included."""
    return pick(_FIRST, first_index(world, person))


def last_names(world: World, person: Ints) -> pa.Array:
    """Last names."""
    return pick(_LAST, last_index(world, person))


def _company_words(company: Ints) -> tuple[Ints, Ints]:
    return (
        (mix(company, 53) % np.uint64(len(facts.COMPANY_WORDS))).astype(np.int64),
        (mix(company, 54) % np.uint64(len(facts.COMPANY_NOUNS))).astype(np.int64),
    )


def company_names(world: World, company: Ints) -> pa.Array:
    """Legal names."""
    word, noun = _company_words(company)
    suffix = pick(facts.COMPANY_SUFFIXES, world.company_market[company])
    number = text(" ", numbers(company + 1))
    return text(pick(facts.COMPANY_WORDS, word), " ", pick(facts.COMPANY_NOUNS, noun), number, " ", suffix)


def company_domains(company: Ints) -> pa.Array:
    """Web domains: under .example, so that none of them can be real."""
    word, noun = _company_words(company)
    words = pick([w.lower() for w in facts.COMPANY_WORDS], word)
    nouns = pick([w.lower() for w in facts.COMPANY_NOUNS], noun)
    return text(words, "-", nouns, numbers(company + 1), ".example")


def emails(world: World, person: Ints) -> pa.Array:
    """Everybody's own address: at work for business people and some app users, else at a free provider."""
    free = pick(
        facts.FREE_MAIL_DOMAINS, (mix(person, 55) % np.uint64(len(facts.FREE_MAIL_DOMAINS))).astype(np.int64)
    )
    own_firm = text("studio-", numbers(person), ".example")
    work = company_domains(np.maximum(world.company[person], 0))
    at_firm = (world.kind[person] == facts.SAAS) & (uniform(person, 56) < WORK_ADDRESS_SHARE_SAAS)
    domain = pc.if_else(
        pa.array(world.company[person] >= 0), work, pc.if_else(pa.array(at_firm), own_firm, free)
    )
    return text(_local_part(world, person), "@", domain)


def private_emails(world: World, person: Ints) -> pa.Array:
    """A second, private address."""
    free = pick(
        facts.FREE_MAIL_DOMAINS, (mix(person, 57) % np.uint64(len(facts.FREE_MAIL_DOMAINS))).astype(np.int64)
    )
    return text(_local_part(world, person), ".prive@", free)


def _local_part(world: World, person: Ints) -> pa.Array:
    first = pick(_ASCII_FIRST, first_index(world, person))
    last = pick(_ASCII_LAST, last_index(world, person))
    return text(first, ".", last, numbers(person))


def typed(addresses: pa.Array, number: Ints) -> pa.Array:
    """Addresses as people type them on an occasion: some in another case, some with a trailing blank."""
    u = uniform(number, 58)
    upper = pc.if_else(pa.array(u < MISTYPED_ADDRESS_SHARE * 0.7), pc.utf8_capitalize(addresses), addresses)
    return pc.if_else(pa.array(u > 1 - MISTYPED_ADDRESS_SHARE * 0.3), text(addresses, " "), upper)


def user_ids(person: Ints) -> pa.Array:
    """The app's and shop's account id."""
    return text("u_", numbers(person + 1_000_000))


def phones(world: World, person: Ints) -> pa.Array:
    """Phone numbers in assorted notations; null for a third."""
    digits = (mix(person, 59) % np.uint64(9_000_000)).astype(np.int64) + 1_000_000
    style = (mix(person, 60) % np.uint64(2)).astype(np.int64)
    prefix = pick(
        ["+31 6 1", "06-1", "+46 70 ", "070-", "+1 212 ", "(212) "], world.market[person] * 2 + style
    )
    return pick(text(prefix, numbers(digits)), np.arange(len(person)), uniform(person, 61) >= 1 / 3)
