"""A small random world in canonical rows, with a history of arrivals, changes and disappearances day by day.

What belongs here: rows and when they were loaded. Everything derives from one seed.
"""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

START = date(2026, 6, 1)
WEB_TOOL, WEB_PLAIN, CRM, MAIL, ADS, BILL, DROP = (
    "toolweb:main:1",
    "plainweb:main:1",
    "crm:main:1",
    "mail:main:1",
    "ads:main:1",
    "bill:main:1",
    "drop:main:1",
)
CAMPAIGNS = {"c1": "Brand NL", "c2": "Generic SE", "c3": "Social Lead", "c4": "Late Campaign"}


def load_id(day: int) -> str:
    """The load id of a simulated day; later days sort after earlier ones."""
    return f"17800{day:05d}.0"


class Versions:
    """Versions of rows: (entity, key) -> [(from day, row or None)]."""

    def __init__(self, days: int) -> None:
        """No rows yet."""
        self.days = days
        self.versions: dict[tuple[str, Any], list[tuple[int, dict[str, Any] | None]]] = defaultdict(list)

    def tables(self, day: int) -> dict[str, list[dict[str, Any]]]:
        """What the raw tables hold after the load of `day`: rows of a slice share its load id."""
        current: dict[str, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        slice_day: dict[tuple[str, str, str], int] = defaultdict(int)
        for (entity, _), history in self.versions.items():
            for start, row in history:
                if start <= day and row is not None and row.get("_slice"):
                    place = (entity, row["source_relation"], row["_slice"])
                    slice_day[place] = max(slice_day[place], start)
            started, row = max(((s, i) for i, (s, _) in enumerate(history) if s <= day), default=(None, None))
            if started is None or history[row][1] is None:
                if started is not None:
                    for _, gone in history:
                        if gone is not None and gone.get("_slice"):
                            place = (entity, gone["source_relation"], gone["_slice"])
                            slice_day[place] = max(slice_day[place], started)
                continue
            current[entity].append((started, history[row][1]))
        return {
            entity: [
                {
                    **row,
                    "_load_id": load_id(
                        slice_day[(entity, row["source_relation"], row["_slice"])]
                        if row.get("_slice")
                        else started
                    ),
                }
                for started, row in rows
            ]
            for entity, rows in current.items()
        }

    def _put(self, entity: str, key: Any, day: int, row: dict[str, Any] | None) -> None:
        if day < self.days:
            self.versions[(entity, key)].append((day, row))
            self.versions[(entity, key)].sort(key=lambda version: version[0])


class World(Versions):
    """Everything that happens to a few people, made up from a seed."""

    def __init__(self, seed: int, days: int, people: int = 30) -> None:
        """Make up everything that happens in `days` days."""
        super().__init__(days)
        self.random = random.Random(seed)
        self._people = [self._person(number) for number in range(people)]
        self._events = 0
        for day in range(days):
            self._day(day)

    def _person(self, number: int) -> dict[str, Any]:
        r = self.random
        return {
            "number": number,
            "cookies": [f"ck{number}_{i}" for i in range(r.choice([1, 1, 2, 3]))],
            "user": f"u{number}" if r.random() < 0.6 else None,
            "email": f"v1:mail{number}" if r.random() < 0.7 else None,
            "domain": r.choice(["gmail.com", "acme.example.nl", "globex.se"]),
            "contact": f"k{number}" if r.random() < 0.5 else None,
            "customer": f"cus{number}" if r.random() < 0.4 else None,
        }

    def _moment(self, day: int) -> datetime:
        return datetime.combine(START + timedelta(days=day), datetime.min.time()) + timedelta(
            seconds=self.random.randrange(86400)
        )

    def _day(self, day: int) -> None:
        r = self.random
        for person in r.sample(self._people, k=max(3, len(self._people) // 2)):
            self._visit(person, day)
            if person["email"] and r.random() < 0.5:
                self._email(person, day)
            if person["contact"] and r.random() < 0.4:
                self._crm(person, day)
            if person["customer"] and r.random() < 0.3:
                self._buy(person, day)
        self._ads(day)
        self._rates(day)
        self._surprises(day)

    def _visit(self, person: dict[str, Any], day: int) -> None:
        r = self.random
        relation = r.choice([WEB_TOOL, WEB_PLAIN])
        cookie = "shared" if r.random() < 0.08 else r.choice(person["cookies"])
        at = self._moment(day)
        tags: dict[str, Any] = {}
        roll = r.random()
        if roll < 0.3:
            campaign = r.choice(list(CAMPAIGNS.values()))
            tags = {"utm_source": "google", "utm_medium": "cpc", "utm_campaign": campaign}
            if r.random() < 0.6:
                tags["gclid"] = f"g{day}_{person['number']}"
                self._put(
                    "ad_clicks",
                    tags["gclid"],
                    day + r.choice([0, 0, 1, 2]),
                    {
                        "source_relation": ADS,
                        "click_id": tags["gclid"],
                        "click_id_type": "gclid",
                        "clicked_at": at,
                        "account_id": "a1",
                        "campaign_id": r.choice(list(CAMPAIGNS)),
                        "ad_id": "ad1",
                    },
                )
        elif roll < 0.4:
            tags = {"utm_source": " Facebok ", "utm_medium": "Paid_Social", "utm_campaign": "social-lead"}
        elif roll < 0.6:
            tags = {
                "referrer_url": r.choice(
                    ["https://www.google.com/", "https://chatgpt.com/x", "https://blog.example.org/a"]
                )
            }
        login = person["user"] if r.random() < 0.35 else None
        arrival = day + r.choice([0, 0, 0, 1, 2])
        session = f"{cookie}.{day}.{person['number']}" if relation == WEB_TOOL else None
        for step in range(r.randrange(1, 5)):
            self._events += 1
            key = f"e{self._events}"
            name = r.choice(
                [
                    "page_view",
                    "page_view",
                    "view_item",
                    "generate_lead",
                    "sign_up",
                    "chat_started",
                    "purchase",
                ]
            )
            row = {
                "source_relation": relation,
                "event_id": key,
                "occurred_at": at,
                "anonymous_id": cookie,
                "user_id": login if step else None,
                "session_id": session,
                "event_name": name,
                "page_url": f"https://shop.fixture.nl/p{step}?x=1",
                "device_category": "mobile",
                "country": "NL",
                "consent_analytics": r.choice(["granted", "granted", "denied", None]),
                "is_bot": r.random() < 0.02,
                "_slice": at.date().isoformat(),
                **(tags if step == 0 else {}),
            }
            if name == "purchase" and person["customer"]:
                row |= {"order_id": f"ORD{person['number']}-{day}"}
            if r.random() < 0.05 and person["email"]:
                row |= {"email_hash": person["email"], "email_domain": person["domain"]}
            self._put("web_events", key, arrival, row)
            if r.random() < 0.05:
                self._put("web_events", key, arrival + 1, {**row, "utm_source": "bing", "utm_medium": "cpc"})
            if r.random() < 0.04:
                self._put("web_events", key, arrival + 2, None)
            at += timedelta(minutes=r.choice([1, 5, 20, 31, 45]))

    def _email(self, person: dict[str, Any], day: int) -> None:
        r = self.random
        for kind in r.sample(["sent", "delivered", "opened", "clicked"], k=2):
            self._events += 1
            key = f"m{self._events}"
            self._put(
                "email_events",
                key,
                day + r.choice([0, 0, 1]),
                {
                    "source_relation": MAIL,
                    "event_id": key,
                    "occurred_at": self._moment(day),
                    "event_type": kind,
                    "campaign_id": "news1",
                    "campaign_name": "News",
                    "recipient_email_hash": person["email"],
                    "email_domain": person["domain"],
                    "subscriber_id": f"s{person['number']}",
                    "is_machine_open": kind == "opened" and r.random() < 0.3,
                    "_slice": r.choice([None, "news1"]),
                },
            )

    def _crm(self, person: dict[str, Any], day: int) -> None:
        r = self.random
        at = self._moment(day)
        key = person["contact"]
        created = person.setdefault("contact_created", at)
        row = {
            "source_relation": CRM,
            "contact_id": key,
            "record_type": "contact",
            "created_at": created,
            "updated_at": at,
            "email_hash": person["email"] if r.random() < 0.7 else None,
            "email_domain": person["domain"],
            "account_id": r.choice([None, "acc1", "acc2"]),
            "is_deleted": False,
            "country": "NL",
            "anonymous_ids": f'["{person["cookies"][0]}"]' if r.random() < 0.3 else None,
        }
        if r.random() < 0.06:
            other = r.choice([p for p in self._people if p["contact"] and p is not person])
            row |= {"merged_into_id": other["contact"]}
        self._put("crm_contacts", key, day, row)
        self._events += 1
        activity = {
            "source_relation": CRM,
            "activity_id": f"t{self._events}",
            "activity_type": r.choice(["call", "meeting", "email"]),
            "direction": r.choice(["inbound", "outbound"]),
            "occurred_at": at,
            "contact_id": key,
            "outcome": None,
        }
        self._put("crm_activities", activity["activity_id"], day, activity)
        if r.random() < 0.5:
            self._put(
                "crm_activities", activity["activity_id"], day + 1, {**activity, "outcome": "CONNECTED"}
            )
        if r.random() < 0.4:
            self._put(
                "offline_touches",
                f"o{self._events}",
                day,
                {
                    "source_relation": DROP,
                    "touch_id": f"o{self._events}",
                    "occurred_at": at,
                    "touch_type": "webinar",
                    "contact_id": key,
                    "campaign_id": "w1",
                    "campaign_name": "Webinar",
                    "status": "attended",
                },
            )

    def _buy(self, person: dict[str, Any], day: int) -> None:
        self._events += 1
        key = f"r{self._events}"
        self._put(
            "revenue_events",
            key,
            day,
            {
                "source_relation": BILL,
                "revenue_event_id": key,
                "occurred_at": self._moment(day),
                "event_type": "order",
                "customer_id": person["customer"],
                "customer_email_hash": person["email"],
                "email_domain": person["domain"],
                "user_id": person["user"],
                "anonymous_id": self.random.choice([None, person["cookies"][0]]),
                "order_id": f"ord{person['number']}-{day} ",
                "amount": Decimal("10.5"),
                "currency": "EUR",
                "quantity": 1.0,
            },
        )

    def _ads(self, day: int) -> None:
        r = self.random
        for campaign, name in CAMPAIGNS.items():
            first = day + (2 if campaign == "c4" else 1)
            for restated in (first, first + 1):
                network = "facebook" if campaign == "c3" else "SEARCH"
                self._put(
                    "ad_performance",
                    (campaign, day),
                    restated,
                    {
                        "source_relation": ADS,
                        "date": START + timedelta(days=day),
                        "account_id": "a1",
                        "account_name": "Account",
                        "account_time_zone": "Europe/Stockholm",
                        "campaign_id": campaign,
                        "campaign_name": name if restated < 5 else f"{name} New",
                        "ad_id": "ad1",
                        "network_type": network,
                        "country": "NL",
                        "device": "MOBILE",
                        "impressions": 1000,
                        "clicks": r.randrange(20),
                        "spend": Decimal(r.randrange(100, 9999)) / 100,
                        "conversions": 1.0,
                        "currency": "SEK",
                        "_slice": (START + timedelta(days=day)).isoformat(),
                    },
                )

    def _rates(self, day: int) -> None:
        at = START + timedelta(days=day)
        if at.weekday() < 5:
            self._put(
                "fx_rates",
                at,
                day + 1,
                {
                    "source_relation": DROP,
                    "date": at,
                    "currency_from": "EUR",
                    "currency_to": "SEK",
                    "rate": Decimal("11.2") + Decimal(day) / 10,
                },
            )

    def _surprises(self, day: int) -> None:
        r = self.random
        if day == 0:
            for number, domain in (
                ("acc1", "acme.example.nl"),
                ("acc2", "globex.se"),
                ("acc3", "other.example.org"),
            ):
                self._put(
                    "crm_accounts",
                    number,
                    0,
                    {
                        "source_relation": CRM,
                        "account_id": number,
                        "name": number,
                        "domain": domain,
                        "is_deleted": False,
                        "created_at": datetime(2026, 5, 1),
                    },
                )
        if day == 3:
            self._put(
                "crm_accounts",
                "acc2",
                3,
                {
                    "source_relation": CRM,
                    "account_id": "acc2",
                    "name": "acc2",
                    "domain": "globex.se",
                    "is_deleted": True,
                    "deleted_at": datetime(2026, 6, 4),
                    "merged_into_id": "acc1",
                    "merged_at": datetime(2026, 6, 4),
                    "created_at": datetime(2026, 5, 1),
                },
            )
        for _ in range(2):
            person = r.choice(self._people)
            if not person["email"]:
                continue
            self._events += 1
            self._put(
                "consent_events",
                f"x{self._events}",
                day,
                {
                    "source_relation": DROP,
                    "consent_event_id": f"x{self._events}",
                    "occurred_at": self._moment(day),
                    "identifier_type": "email",
                    "identifier": person["email"],
                    "purpose": r.choice(["analytics", "marketing_email"]),
                    "state": r.choice(["granted", "withdrawn"]),
                },
            )
