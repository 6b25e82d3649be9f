"""The web shop: what is in the orders, and what comes back.

What belongs here: order lines, coupons, refunds. Which visits end in an order is behaviour (journeys.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sandbox.company import facts, names
from sandbox.company.frames import (
    DAY,
    HOUR,
    MINUTE,
    Bools,
    Floats,
    Ints,
    mix,
    moments,
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

MAX_LINES = 3
SHIPPING_EUR_MINOR = 595
FREE_SHIPPING_FROM_EUR_MINOR = 7500
SHOP_ACCOUNT_SHARE = 0.35
KIOSK_ORDERS_AT_LEAST = 6  # so that even a small company shows a cookie with many addresses


@dataclass(frozen=True)
class Orders:
    """Orders in the window, and their lines up to MAX_LINES (quantity 0: no such line)."""

    touch: Ints
    person: Ints
    at: Ints
    market: Ints
    order_id: pa.Array
    coupon: Ints  # position in COUPONS, -1 for none
    product: Ints  # orders x MAX_LINES
    quantity: Ints
    amount: Ints  # minor units, after discount
    discount: Ints
    kiosk: Bools
    is_test: Bools


def orders(world: World, outcome: Outcome) -> Orders:
    """What was ordered in the window."""
    touches = world.touches
    touch = outcome.order_touch
    in_window = (touches.acts_at[touch] >= world.start) & (touches.acts_at[touch] < world.end)
    touch = touch[in_window]
    touch = touch[np.lexsort((touches.number[touch], touches.acts_at[touch]))]
    person, number, at = touches.person[touch], touches.number[touch], touches.acts_at[touch]
    market, n = world.market[person], len(touch)

    popularity = [p[5] for p in facts.PRODUCTS]
    lines = 1 + weighted(uniform(number, 201), (0.74, 0.20, 0.06))
    slot = number[:, None] * 4 + np.arange(MAX_LINES)
    first = weighted(uniform(number, 202), [p[5] * (1.0 if p[3] > 4000 else 0.35) for p in facts.PRODUCTS])
    product = weighted(uniform(slot.ravel(), 203), popularity).reshape(n, MAX_LINES)
    product[:, 0] = first
    # Lamps go with bulbs and dimmers.
    with_bulb = (lines > 1) & (uniform(number, 204) < 0.45)
    product[with_bulb, 1] = 8
    quantity = 1 + weighted(uniform(slot.ravel(), 205), (0.94, 0.05, 0.01)).reshape(n, MAX_LINES)
    quantity *= np.arange(MAX_LINES) < lines[:, None]
    price = local_prices()[market[:, None], product]

    channel = touches.channel[touch]
    u = uniform(number, 206)
    coupon = np.full(n, -1)
    coupon[(channel == facts.CHANNEL["Email"]) & (u < 0.5)] = 1
    coupon[(outcome.first_touch[person] == touch) & world.newsletter[person] & (u < 0.3)] = 0
    coupon[channel == facts.CHANNEL["Affiliates"]] = 2
    rate = np.where(coupon < 0, 0.0, np.where(coupon == 1, 0.15, 0.10))
    gross = price * quantity
    discount = np.round(gross * rate[:, None]).astype(np.int64)
    dutch = np.flatnonzero(market == 0)
    dutch = dutch[np.argsort(uniform(number[dutch], 207), kind="stable")]
    kiosk = np.zeros(n, dtype=bool)
    kiosk[dutch[: max(KIOSK_ORDERS_AT_LEAST, round(facts.KIOSK_ORDER_SHARE * len(dutch)))]] = True
    return Orders(
        touch,
        person,
        at,
        market,
        text("FL-", numbers(200_001 + np.arange(n))),
        coupon,
        product,
        quantity,
        gross - discount,
        discount,
        kiosk,
        uniform(number, 208) < facts.TEST_ORDER_SHARE,
    )


def local_prices() -> Ints:
    """List prices by market and product, in minor units of the market's currency."""
    prices = np.array([p[3] for p in facts.PRODUCTS])
    return np.round(prices[None, :] * np.array(facts.CURRENCY_PER_EUR)[:, None] / 100).astype(np.int64) * 100


def shop_accounts(world: World, first_order_at: Ints) -> Ints:
    """From when buyers have an account in the shop; NEVER for those without."""
    has = uniform(np.arange(world.people), 209) < SHOP_ACCOUNT_SHARE
    return np.where(has, first_order_at, np.iinfo(np.int64).max)


def items_text(book: Orders) -> pa.Array:
    """The items of each order as JSON text, for the purchase event."""
    parts: list[pa.Array] = []
    for line in range(MAX_LINES):
        product = book.product[:, line]
        fragment = text(
            "" if line == 0 else ",",
            pick(
                [
                    f'{{"item_id":"{p[0]}","item_name":"{p[1]}","item_category":"{p[2]}","price_minor":'
                    for p in facts.PRODUCTS
                ],
                product,
            ),
            local_prices()[book.market, product],
            ',"quantity":',
            book.quantity[:, line],
            "}",
        )
        parts.append(pc.fill_null(only(fragment, book.quantity[:, line] > 0), ""))
    return text("[", *parts, "]")


def tables(world: World, book: Orders, cookie: pa.Array, logged_in: Bools) -> dict[str, pa.Table]:
    """The shop's tables. `cookie` and `logged_in` are those of each order's session."""
    rows, line = np.nonzero(book.quantity)
    market = book.market[rows]
    product, quantity = book.product[rows, line], book.quantity[rows, line]
    amount, discount = book.amount[rows, line], book.discount[rows, line]
    number = world.touches.number[book.touch]
    per_eur = np.array(facts.CURRENCY_PER_EUR)
    tax = np.round(amount * np.array(facts.TAX_RATES)[market]).astype(np.int64)
    cost = np.round(np.array([p[4] for p in facts.PRODUCTS])[product] * quantity * per_eur[market]).astype(
        np.int64
    )
    total_eur = book.amount.sum(axis=1) / per_eur[book.market]
    shipping_fee = np.round(SHIPPING_EUR_MINOR * per_eur).astype(np.int64)[book.market]
    shipping = np.where(total_eur < FREE_SHIPPING_FROM_EUR_MINOR, shipping_fee, 0)
    visible = book.at + 20 * MINUTE + (uniform(number, 210) * 4 * HOUR).astype(np.int64)
    late = uniform(number, 211) < facts.LATE_EVENT_SHARE
    visible = np.where(late, book.at + DAY + (uniform(number, 212) * 2 * DAY).astype(np.int64), visible)
    address = names.typed(names.emails(world, book.person), number)
    has_cookie = book.kiosk | (uniform(number, 213) >= facts.ORDER_COOKIE_MISSING_SHARE)
    customer = text("C", numbers(book.person + 300_000))
    row = pa.array(rows)
    result = table(
        "shop_order_lines",
        line_id=text(book.order_id.take(row), "-", numbers(line + 1)),
        order_id=book.order_id.take(row),
        occurred_at=moments(book.at[rows]),
        visible_at=moments(visible[rows]),
        customer_id=customer.take(row),
        customer_email=address.take(row),
        user_id=pick(names.user_ids(book.person), rows, logged_in[rows]),
        anonymous_id=pick(cookie, rows, has_cookie[rows]),
        product_id=pick([p[0] for p in facts.PRODUCTS], product),
        product_name=pick([p[1] for p in facts.PRODUCTS], product),
        quantity=quantity,
        amount_minor=amount,
        discount_minor=discount,
        tax_minor=tax,
        shipping_minor=np.where(line == 0, shipping[rows], 0),
        cost_minor=cost,
        currency=pick(facts.CURRENCIES, market),
        country=pick(facts.MARKETS, market),
        is_test=book.is_test[rows],
    )
    line_number = number[rows] * 4 + line
    twice = np.flatnonzero(uniform(line_number, 214) < facts.REPEATED_LINE_SHARE)
    again = pa.array(np.sort(np.r_[np.arange(len(rows)), twice]))
    return {
        "shop_products": _products(),
        "shop_order_lines": result.take(again),
        "shop_refund_lines": _refunds(book, number, address, customer, rows, line, tax, cost),
    }


def _products() -> pa.Table:
    columns = list(zip(*facts.PRODUCTS, strict=True))
    return table(
        "shop_products",
        product_id=pa.array(columns[0]),
        product_name=pa.array(columns[1]),
        category=pa.array(columns[2]),
        price_eur_minor=pa.array(columns[3]),
        cost_eur_minor=pa.array(columns[4]),
    )


def _refunds(
    book: Orders,
    number: Ints,
    address: pa.Array,
    customer: pa.Array,
    rows: Ints,
    line: Ints,
    tax: Ints,
    cost: Ints,
) -> pa.Table:
    """Whole orders or their first line sent back, days to weeks later."""
    returned = uniform(number, 220) < facts.ORDER_REFUND_SHARE
    whole: Floats = uniform(number, 221)
    chosen = np.flatnonzero(returned[rows] & ((whole[rows] < 0.6) | (line == 0)))
    order, product = rows[chosen], book.product[rows[chosen], line[chosen]]
    at = book.at[order] + 3 * DAY + (uniform(number[order], 222) * 22 * DAY).astype(np.int64)
    sort = np.argsort(at, kind="stable")
    chosen, order, product, at = chosen[sort], order[sort], product[sort], at[sort]
    restocked = mix(number[order], 223) % np.uint64(5) != 0
    place = pa.array(order)
    line_id = text(book.order_id.take(place), "-", numbers(line[chosen] + 1))
    return table(
        "shop_refund_lines",
        refund_line_id=text("R-", line_id),
        original_order_id=book.order_id.take(place),
        original_line_id=line_id,
        occurred_at=moments(at),
        visible_at=moments(at + 30 * MINUTE),
        customer_id=customer.take(place),
        customer_email=address.take(place),
        product_id=pick([p[0] for p in facts.PRODUCTS], product),
        product_name=pick([p[1] for p in facts.PRODUCTS], product),
        quantity=book.quantity[order, line[chosen]],
        amount_minor=-book.amount[order, line[chosen]],
        tax_minor=-tax[chosen],
        cost_minor=np.where(restocked, -cost[chosen], 0),
        currency=pick(facts.CURRENCIES, book.market[order]),
        country=pick(facts.MARKETS, book.market[order]),
    )
