"""Fjordlight, a company that does not exist: `generate(scale, seed)` gives its records as Arrow tables.

What belongs here: the order in which the parts are put together. The shape of the tables is in schema.py,
the numbers that shape the company in facts.py. The same scale and seed give the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from sandbox.company import advertising, billing, facts, mailing, office, people, saas, sales, shop, web
from sandbox.company.frames import DAY, NEVER
from sandbox.company.journeys import Outcome, behave
from sandbox.company.schema import TABLES

__all__ = ["SCALES", "Company", "generate"]

SCALES = tuple(facts.SCALES)


@dataclass(frozen=True)
class Company:
    """The records of one company: `tables` by the names of schema.TABLES."""

    scale: str
    seed: int
    start: datetime  # first moment that web, ads and e-mail are recorded
    end: datetime
    tables: dict[str, pa.Table]


def generate(scale: str, seed: int = 7) -> Company:
    """Generate the company at a scale (small, medium, large)."""
    world = people.build(scale, seed)
    outcome = behave(world)

    ads = advertising.catalogue()
    clicks = advertising.assign(world, ads)
    subscriptions = saas.subscriptions(world, outcome)
    app = saas.app_use(world, outcome, subscriptions, web.E)
    orders = shop.orders(world, outcome)

    # Accounts: users of the app from their sign-up, and some buyers from their first order.
    user_since = np.where(world.kind == facts.SAAS, outcome.first_at, NEVER)
    buyers = shop.shop_accounts(world, np.where(world.kind == facts.SHOP, outcome.first_at, NEVER))
    user_since = np.minimum(user_since, buyers)
    kiosk = web.first_touch_of(world, orders.touch[orders.kiosk])
    visits = web.sessions(world, outcome, app.person, app.at, app.acts_at, user_since, kiosk)

    # The session of each touch and of each order, -1 for touches without one.
    session_of_touch = np.full(len(world.touches.person), -1, dtype=np.int64)
    session_of_touch[visits.touch[visits.touch >= 0]] = np.flatnonzero(visits.touch >= 0)
    at_order = session_of_touch[orders.touch]
    order_cookie = visits.client_id.take(pa.array(np.maximum(at_order, 0), mask=at_order < 0))
    order_logged_in = (at_order >= 0) & visits.logged_in[np.maximum(at_order, 0)]

    tables = advertising.tables(world, outcome, ads, clicks, web.touch_devices(world)[0])
    how = web.arrivals(world, visits, ads, clicks, mailing.mailing_tags(world), mailing.reminder_tags())
    referral_codes = saas.referral_codes(world, outcome)
    tables["web_events"] = web.events(
        world, visits, how, _marks(world, outcome, orders, app, buyers), _order_facts(orders), referral_codes
    )
    tables |= mailing.tables(world, outcome)
    kept_users = np.zeros(world.people, dtype=bool)
    kept_users[subscriptions.person[subscriptions.kept & (subscriptions.anchor < NEVER)]] = True
    book = sales.book(world, outcome, kept_users)
    tables |= book.tables
    tables |= billing.tables(world, subscriptions, book.deals)
    tables |= shop.tables(world, orders, order_cookie, order_logged_in)
    passing = _first_passing_cookie(world, visits)
    tables |= office.tables(world, outcome, book, orders, tables["ad_performance"], passing)

    return Company(
        scale, seed, _moment(world.start), _moment(world.end), {name: tables[name] for name in TABLES}
    )


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at // 1_000_000, tz=UTC)


def _marks(
    world: people.World, outcome: Outcome, orders: shop.Orders, app: saas.AppUse, buyers: np.ndarray
) -> web.Marks:
    """What visits and app sessions are about."""
    touches = world.touches
    order_of_touch = np.full(len(touches.person), -1, dtype=np.int64)
    order_of_touch[orders.touch] = np.arange(len(orders.touch))
    firsts = outcome.first_touch
    kind = world.kind
    signs_up = web.first_touch_of(world, firsts[kind == facts.SAAS])
    at_once = (outcome.trial_at < NEVER) & (outcome.trial_at - outcome.first_at < DAY // 24)
    by_friends = [facts.CHANNEL[name] for name in ("Referral", "Direct", "Organic Social")]
    referral = np.isin(touches.channel[np.maximum(firsts, 0)], by_friends)
    opening = np.r_[True, touches.person[1:] != touches.person[:-1]]
    return web.Marks(
        order_of_touch=order_of_touch,
        newsletter_touch=opening & world.newsletter[touches.person],
        lead_touch=web.first_touch_of(world, firsts[kind == facts.B2B]),
        sign_up_touch=signs_up,
        trial_touch=signs_up & at_once[touches.person],
        account_touch=web.first_touch_of(world, np.where(buyers < NEVER, firsts, -1)),
        referred=referral & (saas.referred_luck(world) < facts.REFERRED_SHARE),
        app_event=app.event,
    )


def _order_facts(orders: shop.Orders) -> web.OrderFacts:
    """What purchase events carry; one order at least, so that positions always exist."""
    if len(orders.touch) == 0:
        raise ValueError("the company has no order: the scale is too small")
    return web.OrderFacts(
        order_id=orders.order_id,
        items=shop.items_text(orders),
        value=orders.amount.sum(axis=1),
        currency=orders.market,
        coupon=pa.array(facts.COUPONS).take(pa.array(np.maximum(orders.coupon, 0), mask=orders.coupon < 0)),
        product=orders.product[:, 0],
    )


def _first_passing_cookie(world: people.World, visits: web.Sessions) -> pa.Array:
    """The client id of everybody's first session, where consent was refused."""
    refused = np.flatnonzero((visits.person >= 0) & (visits.consent_analytics == 1) & (visits.touch >= 0))
    position = np.full(world.people, -1, dtype=np.int64)
    position[visits.person[refused[::-1]]] = refused[::-1]
    refuses = (web.consent_of(world)[0] == 1) & (position >= 0)
    return visits.client_id.take(pa.array(np.maximum(position, 0), mask=~refuses))
