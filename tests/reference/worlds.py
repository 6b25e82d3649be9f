"""Random small worlds in canonical rows, many side by side in one warehouse.

What belongs here: hypothesis strategies, and the rows of a world on its first and its second day. On the
second day late touches and orders have come in, contacts have merged, records have vanished (erasure), deals
were won. The ids of worlds never meet; their months do, so that Markov fits mix a few of them.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from tests.unit.dbt.world import BILL, CRM, DROP, WEB_PLAIN, Versions

START = dt.datetime(2024, 1, 10)
DAYS_BETWEEN_WORLDS = 4
AS_OF = dt.datetime(2031, 1, 1)
OFFLINE = ("webinar", "event", "direct_mail", "partner_referral")
VISITS = ("direct", "search", "email", "bot")
STAGES = ("lead", "marketingqualifiedlead", "salesqualifiedlead")
PERSONS = 4


@dataclass(frozen=True)
class Person:
    """Someone with an e-mail address; with a CRM contact where `created` says when it was made."""

    account: str | None
    created: int | None


@dataclass(frozen=True)
class TouchOf:
    """A touch of a person; `version`: 0 there from the first day, 1 comes late, 2 vanishes."""

    person: int
    hour: int
    kind: str
    version: int


@dataclass(frozen=True)
class Order:
    """A purchase."""

    person: int
    hour: int
    version: int


@dataclass(frozen=True)
class StageEntry:
    """A contact reaches a stage of the lead's life."""

    person: int
    hour: int
    stage: str


@dataclass(frozen=True)
class Opportunity:
    """A deal of a contact, with or without an account; `won` None: still open on the first day, won later."""

    person: int
    has_account: bool
    created: int
    days: int
    won: bool | None


@dataclass(frozen=True)
class World:
    """Everything that happens to a few people."""

    persons: tuple[Person, ...]
    touches: tuple[TouchOf, ...]
    orders: tuple[Order, ...]
    stages: tuple[StageEntry, ...]
    opportunities: tuple[Opportunity, ...]
    merged: tuple[int, int] | None
    erased: int | None


# Whole hours make ties; lookbacks and the half-life put edges at 7, 30, 90 and 180 days. Most of what happens
# lies in a few days, or no path would be longer than a touch or two.
BASE = 24 * 200
EDGES = tuple(BASE - days * 24 + hours for days in (0, 7, 30, 90, 180) for hours in (-1, 0, 1))
FEW_DAYS = tuple(range(BASE - 24 * 12, BASE + 1, 3))
HOURS = st.sampled_from((*FEW_DAYS * 2, *EDGES * 2, *range(0, BASE + 24 * 60, 72)))
WHO = st.integers(0, PERSONS - 1)
VERSIONS = st.sampled_from([0, 0, 0, 0, 1, 2])


def _tuples(of: st.SearchStrategy[Any], *, at_most: int, at_least: int = 0) -> st.SearchStrategy[Any]:
    return st.lists(of, min_size=at_least, max_size=at_most).map(tuple)


worlds = st.builds(
    World,
    persons=_tuples(
        st.builds(
            Person,
            st.sampled_from([None, "a", "a", "b"]),
            st.one_of(st.none(), st.sampled_from(FEW_DAYS), st.sampled_from(range(0, BASE, 24))),
        ),
        at_least=PERSONS,
        at_most=PERSONS,
    ),
    touches=_tuples(
        st.builds(
            TouchOf,
            WHO,
            HOURS,
            st.sampled_from((*OFFLINE, *OFFLINE, "no_show", "cold_call", *VISITS)),
            VERSIONS,
        ),
        at_most=24,
        at_least=10,
    ),
    orders=_tuples(st.builds(Order, WHO, HOURS, VERSIONS), at_most=4, at_least=1),
    stages=_tuples(st.builds(StageEntry, WHO, HOURS, st.sampled_from(STAGES)), at_most=5, at_least=2),
    opportunities=_tuples(
        st.builds(
            Opportunity,
            WHO,
            st.booleans(),
            HOURS,
            st.sampled_from([0, 1, 20, 200]),
            st.sampled_from([True, True, False, None]),
        ),
        at_most=3,
        at_least=1,
    ),
    merged=st.one_of(st.none(), st.tuples(WHO, WHO).filter(lambda pair: pair[0] != pair[1])),
    erased=st.one_of(st.none(), st.none(), WHO),
)


class Rows(Versions):
    """The canonical rows of many worlds on two days."""

    def __init__(self, made: list[World]) -> None:
        """Lay the worlds out one after the other in time."""
        super().__init__(days=2)
        for number, world in enumerate(made):
            self._start = START + dt.timedelta(days=DAYS_BETWEEN_WORLDS * number)
            self._name = f"w{number}"
            self._world(world)

    def _at(self, hour: int) -> dt.datetime:
        return self._start + dt.timedelta(hours=hour)

    def _versioned(self, entity: str, key: str, version: int, row: dict[str, Any]) -> None:
        self._put(entity, key, int(version == 1), row)
        if version == 2:
            self._put(entity, key, 1, None)

    def _world(self, world: World) -> None:
        for account in {person.account for person in world.persons} - {None}:
            key = f"{self._name}-{account}"
            content = {"source_relation": CRM, "account_id": key, "name": key, "is_deleted": False}
            self._put("crm_accounts", key, 0, {**content, "created_at": self._at(0)})
        for number, person in enumerate(world.persons):
            self._person(number, person, world)
        for number, touch in enumerate(world.touches):
            self._touch(f"{self._name}-t{number:02}", touch, world)
        for number, order in enumerate(world.orders):
            self._order(f"{self._name}-o{number}", order)
        for number, entry in enumerate(world.stages):
            self._stage(f"{self._name}-s{number}", entry, world)
        for number, opportunity in enumerate(world.opportunities):
            self._opportunity(f"{self._name}-d{number}", opportunity, world)

    def _email(self, person: int) -> dict[str, str]:
        return {"email_hash": f"v1:{self._name}-{person}", "email_domain": "gmail.com"}

    def _person(self, number: int, person: Person, world: World) -> None:
        # Everybody has a cookie that was seen with the address, long before anything else.
        self._visit(f"{self._name}-v{number}", number, -24 * 400 + number, "bot", 0, self._email(number))
        if person.created is None:
            return
        key = f"{self._name}-k{number}"
        row = {
            "source_relation": CRM,
            "contact_id": key,
            "record_type": "contact",
            "created_at": self._at(person.created),
            "updated_at": self._at(person.created),
            "account_id": f"{self._name}-{person.account}" if person.account else None,
            "is_deleted": False,
            **self._email(number),
        }
        self._put("crm_contacts", key, 0, row)
        if world.merged and world.merged[0] == number and world.persons[world.merged[1]].created is not None:
            later = {**row, "merged_into_id": f"{self._name}-k{world.merged[1]}"}
            self._put("crm_contacts", key, 1, {**later, "updated_at": self._at(BASE * 2)})
        elif world.erased == number:
            self._put("crm_contacts", key, 1, None)

    def _touch(self, key: str, touch: TouchOf, world: World) -> None:
        version = 2 if world.erased == touch.person and touch.version == 0 else touch.version
        if touch.kind in VISITS:
            self._visit(key, touch.person, touch.hour, touch.kind, version, {})
        elif touch.kind == "cold_call":
            row = {
                "source_relation": CRM,
                "activity_id": key,
                "activity_type": "call",
                "direction": "outbound",
                "occurred_at": self._at(touch.hour),
                "contact_id": f"{self._name}-k{touch.person}",
            }
            self._versioned("crm_activities", key, version, row)
        else:
            is_missed = touch.kind == "no_show"
            row = {
                "source_relation": DROP,
                "touch_id": key,
                "occurred_at": self._at(touch.hour),
                "touch_type": "webinar" if is_missed else touch.kind,
                "status": "no_show" if is_missed else "attended",
                "email_hash": f"v1:{self._name}-{touch.person}",
            }
            self._versioned("offline_touches", key, version, row)

    def _visit(
        self, key: str, person: int, hour: int, kind: str, version: int, identity: dict[str, str]
    ) -> None:
        tags = {
            "search": {"utm_source": "google", "utm_medium": "cpc"},
            "email": {"utm_source": "newsletter", "utm_medium": "email"},
        }.get(kind, {})
        row = {
            "source_relation": WEB_PLAIN,
            "event_id": key,
            "occurred_at": self._at(hour),
            "anonymous_id": f"{self._name}-c{person}",
            "event_name": "page_view",
            "page_url": "https://shop.fixture.nl/",
            "is_bot": kind == "bot",
            "_slice": f"{self._name}-{hour // 24}",
            **tags,
            **identity,
        }
        self._versioned("web_events", key, version, row)

    def _order(self, key: str, order: Order) -> None:
        row = {
            "source_relation": BILL,
            "revenue_event_id": key,
            "occurred_at": self._at(order.hour),
            "event_type": "order",
            "customer_id": f"{self._name}-{order.person}",
            "customer_email_hash": f"v1:{self._name}-{order.person}",
            "order_id": key,
            "amount": Decimal(10 + order.hour % 7),
            "currency": "EUR",
            "quantity": 1.0,
        }
        self._versioned("revenue_events", key, order.version, row)

    def _stage(self, key: str, entry: StageEntry, world: World) -> None:
        if world.persons[entry.person].created is None:
            return
        row = {
            "source_relation": CRM,
            "change_id": key,
            "object_type": "contact",
            "object_id": f"{self._name}-k{entry.person}",
            "field": "lifecycle_stage",
            "to_value": entry.stage,
            "changed_at": self._at(entry.hour),
        }
        self._put("crm_stage_history", key, 0, row)

    def _opportunity(self, key: str, deal: Opportunity, world: World) -> None:
        person = world.persons[deal.person]
        account = f"{self._name}-{person.account}" if person.account and deal.has_account else None
        created = self._at(deal.created)
        row = {
            "source_relation": CRM,
            "opportunity_id": key,
            "account_id": account,
            "name": key,
            "pipeline": "sales",
            "stage": "request",
            "amount": Decimal(1000),
            "currency": "EUR",
            "created_at": created,
            "updated_at": created,
            "is_closed": False,
            "is_won": False,
            "is_deleted": False,
        }
        closing = {
            "is_closed": True,
            "closed_at": created + dt.timedelta(days=deal.days),
            "updated_at": created + dt.timedelta(days=deal.days),
        }
        won = {**closing, "stage": "closedwon", "is_won": True}
        if deal.won is None:
            self._put("crm_opportunities", key, 0, row)
            self._put("crm_opportunities", key, 1, {**row, **won})
        else:
            final = won if deal.won else {**closing, "stage": "closedlost"}
            self._put("crm_opportunities", key, 0, {**row, **final})
        if person.created is not None:
            link = {
                "source_relation": CRM,
                "opportunity_id": key,
                "contact_id": f"{self._name}-k{deal.person}",
                "is_primary": True,
                "added_at": created,
            }
            self._put("crm_opportunity_contacts", key, 0, link)
