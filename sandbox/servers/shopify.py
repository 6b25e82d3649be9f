"""Shopify's GraphQL Admin API: three shops, one a market, each in its own currency.

Every refusal but a bad token has status 200. Records as of the clock: an order appears when the shop has it,
changes when it is refunded, and moves to the end of what is sorted by UPDATED_AT. Times are whole seconds,
the next one after what happened. In two of the shops prices include tax.

A checkout is abandoned where a visitor left it whose address the shop knew by then: others are not listed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.company.facts import CURRENCIES, CURRENCY_PER_EUR, MARKETS, TAX_RATES
from sandbox.servers import _oauth as oauth
from sandbox.servers._answers import Refused, answer, digest, iso, json_body
from sandbox.servers._graphql import Engine, QueryError, error
from sandbox.servers._shopify_schema import SDL
from sandbox.world import World

LISTS = ("data.*.nodes",)
SCOPES = ("read_all_orders", "read_customers", "read_inventory", "read_orders", "read_products")
RECENT_TOKEN = "shpat_sandbox_recent_orders_only"
"""A token of an app without read_all_orders: it is shown the orders of 60 days, and is not told so."""
RECENT = timedelta(days=60)
VERSIONS = ("2025-10", "2026-01", "2026-04", "2026-07")
MAX_COST = 1000
BUCKET, RESTORE_RATE = 2000.0, 100.0
DOCUMENTATION = "https://shopify.dev/api/usage/rate-limits"
# Sorting by ID is by the text of the id: the sandbox's are of equal length.
SORT_FIELDS = {"CREATED_AT": "createdAt", "UPDATED_AT": "updatedAt", "PROCESSED_AT": "processedAt"}
SEARCHABLE = {"updated_at": "updatedAt", "created_at": "createdAt", "processed_at": "processedAt"}
TAX_INCLUDED = (True, True, False)
TIME_ZONES = ("Europe/Amsterdam", "Europe/Stockholm", "America/New_York")
SHOPS = tuple(f"fjordlight-{market.lower()}" for market in MARKETS)
CANCELLED_WITHIN = timedelta(days=10)
ABANDONED_AFTER = timedelta(minutes=10)
RECOVERED_WITHIN = timedelta(days=7)

Record = dict[str, Any]
ENGINE = Engine(SDL, SORT_FIELDS)


def routes(world: World) -> list[Route]:
    """Return the paths of this vendor."""
    tokens = oauth.Tokens(",".join(SCOPES), "client_credentials")

    async def graphql(request: Request) -> Response:
        return await _graphql(request, world, tokens)

    return [
        Route("/{shop}/admin/oauth/access_token", tokens.exchange, methods=["POST"]),
        Route("/{shop}/admin/api/{version}/graphql.json", graphql, methods=["POST"]),
    ]


def environment(base_url: str) -> dict[str, str]:
    """Return the variables that point the connector at this server."""
    return {
        "SOURCES__SHOPIFY__BASE_URL": f"{base_url}/shopify/{{account}}",
        "SOURCES__SHOPIFY__CLIENT_ID": oauth.CLIENT_ID,
        "SOURCES__SHOPIFY__CLIENT_SECRET": oauth.CLIENT_SECRET,
    }


def refusal(kind: str, params: Mapping[str, Any]) -> Response:
    """Return the vendor's own answer for a fault."""
    if kind == "rate_limit":
        lacking = float(params.get("retry_after", 1)) * RESTORE_RATE
        body = {
            "errors": [error("Throttled", "THROTTLED", documentation=DOCUMENTATION)],
            "extensions": _cost(MAX_COST, None, MAX_COST - lacking),
        }
        return answer(body)
    if kind == "server_error":
        return answer({"errors": "Internal Server Error"}, int(params.get("status", 500)))
    if kind == "expired_token":
        text = "[API] Invalid API key or access token (unrecognized login or wrong password)"
        return answer({"errors": text}, 401)
    if kind == "expired_cursor":
        return answer({"errors": [error("Invalid cursor for current pagination sort.", "BAD_REQUEST")]})
    return answer({"errors": "Not Found"}, 404)


def warm(world: World) -> None:
    """Render all shops ahead of the first request."""
    for shop in SHOPS:
        _books(world, shop)


def _cost(requested: int, actual: int | None, left: float) -> dict[str, Any]:
    status = {"maximumAvailable": BUCKET, "currentlyAvailable": left, "restoreRate": RESTORE_RATE}
    return {"cost": {"requestedQueryCost": requested, "actualQueryCost": actual, "throttleStatus": status}}


# ----------------------------------------------------------------------------------------------- requests


async def _graphql(request: Request, world: World, tokens: oauth.Tokens) -> Response:
    shop, version = request.path_params["shop"], request.path_params["version"]
    if shop not in SHOPS or not re.fullmatch(r"20\d\d-(01|04|07|10)", version):
        raise Refused(refusal("not_found", {}))
    token = request.headers.get("x-shopify-access-token")
    if token != RECENT_TOKEN and not tokens.valid(token):
        raise Refused(refusal("expired_token", {}))
    scopes = [scope for scope in SCOPES if token != RECENT_TOKEN or scope != "read_all_orders"]
    try:
        sent = await json_body(request)
        text, variables = sent["query"], sent.get("variables") or {}
    except (ValueError, KeyError, TypeError):
        return answer({"errors": {"query": "Required parameter missing or invalid"}}, 400)
    served = max((known for known in VERSIONS if known <= version), default=VERSIONS[0])
    headers = {"X-Shopify-API-Version": served, "X-Request-Id": digest(text, variables, length=32)}
    try:
        query = ENGINE.query(text)
        price = query.cost(ENGINE.given(query, variables))
        if price > MAX_COST:
            raise QueryError(
                error(
                    f"Query cost is {price}, which exceeds the single query max cost limit ({MAX_COST}).",
                    "MAX_COST_EXCEEDED",
                    cost=price,
                    maxCost=MAX_COST,
                    documentation=DOCUMENTATION,
                )
            )
        warnings: list[Record] = []
        data, spent = ENGINE.answer(query, variables, _roots(world, shop, scopes, warnings))
    except QueryError as refused:
        return answer({"errors": refused.errors}, headers=headers)
    extensions = _cost(price, spent, BUCKET - spent)
    if warnings:
        extensions["search"] = warnings
    return answer({"data": data, "extensions": extensions}, headers=headers)


def _roots(
    world: World, shop: str, scopes: Iterable[str], warnings: list[Record]
) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
    books = _books(world, shop)
    oldest = None if "read_all_orders" in scopes else _moment(world.as_of - RECENT)

    def connection(name: str) -> Callable[[Mapping[str, Any]], Any]:
        def found(asked: Mapping[str, Any]) -> Any:
            field = SORT_FIELDS.get(str(asked.get("sortKey") or "ID"), "id")
            key = ("shopify", shop, name, field, asked.get("reverse"))
            records = world.memo(
                key,
                lambda: sorted(
                    books[name],
                    key=lambda record: (record[field], record["id"]),
                    reverse=bool(asked.get("reverse")),
                ),
            )
            if name == "orders" and oldest is not None:
                records = [record for record in records if record["createdAt"] >= oldest]
            return _searched(records, asked.get("query"), name, warnings)

        return found

    def node(identifier: str) -> Record | None:
        record: Record | None = books["nodes"].get(identifier)
        return record

    return {
        **{
            name: connection(name)
            for name in ("orders", "customers", "productVariants", "abandonedCheckouts")
        },
        "shop": lambda _: books["shop"],
        "currentAppInstallation": lambda _: {
            "__typename": "AppInstallation",
            "id": "gid://shopify/AppInstallation/1",
            "accessScopes": [{"handle": scope, "description": scope} for scope in scopes],
        },
        "node": lambda asked: node(asked["id"]),
        "nodes": lambda asked: [node(identifier) for identifier in asked["ids"]],
        "order": lambda asked: node(asked["id"]),
    }


def _searched(records: list[Record], text: str | None, name: str, warnings: list[Record]) -> list[Record]:
    """What a search finds; a filter that does not exist is passed over with a warning, as the vendor does."""
    for part in re.split(r"\s+AND\s+", text.strip()) if text and text.strip() else ():
        term = re.fullmatch(r"(\w+):(<=|>=|<|>|)'?([^']+)'?", part)
        field = SEARCHABLE.get(term[1]) if term else None
        if term is None or field is None:
            warnings.append(
                {"path": [name], "query": text, "warnings": [{"field": part, "code": "invalid_field"}]}
            )
            continue
        wanted = term[3]
        holds: Mapping[str, Callable[[str], bool]] = {
            ">=": lambda have, want=wanted: have >= want,  # type: ignore[misc]
            "<=": lambda have, want=wanted: have <= want,  # type: ignore[misc]
            ">": lambda have, want=wanted: have > want,  # type: ignore[misc]
            "<": lambda have, want=wanted: have < want,  # type: ignore[misc]
            "": lambda have, want=wanted: have == want,  # type: ignore[misc]
        }
        records = [record for record in records if holds[term[2]](record[field])]
    return records


# -------------------------------------------------------------------------------------------------- books


def _moment(value: datetime) -> str:
    """The first whole second at or after a moment."""
    naive = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    if naive.microsecond:
        naive = naive.replace(microsecond=0) + timedelta(seconds=1)
    return iso(naive) or ""


def _books(world: World, shop: str) -> Mapping[str, Any]:
    return world.memo(("shopify", shop), lambda: _build(world, SHOPS.index(shop)))


def _gid(kind: str, number: object) -> str:
    return f"gid://shopify/{kind}/{number}"


def _build(world: World, market: int) -> Mapping[str, Any]:
    """Everything that one shop shows at the clock."""
    books: dict[str, Any] = {"nodes": {}, "shop": _shop(market), "productVariants": _variants(world, market)}
    variants = {variant["sku"]: variant for variant in books["productVariants"]}
    customers: dict[str, Record] = {}
    books["orders"] = _orders(world, market, variants, customers)
    books["customers"] = list(customers.values())
    books["abandonedCheckouts"] = _checkouts(world, market, variants, customers)
    for record in (*books["orders"], *books["abandonedCheckouts"]):
        books["nodes"][record["id"]] = record
        for refund in record.get("refunds", ()):
            books["nodes"][refund["id"]] = refund
    return books


def _bag(minor: int, market: int) -> Record:
    amount = f"{'-' if minor < 0 else ''}{abs(minor) // 100}.{abs(minor) % 100:02d}"
    money = {"amount": amount, "currencyCode": CURRENCIES[market]}
    return {"shopMoney": money, "presentmentMoney": money}


def _shop(market: int) -> Record:
    return {
        "__typename": "Shop",
        "id": _gid("Shop", 6_800_000_001 + market),
        "name": f"Fjordlight {MARKETS[market]}",
        "myshopifyDomain": f"{SHOPS[market]}.myshopify.com",
        "currencyCode": CURRENCIES[market],
        "ianaTimezone": TIME_ZONES[market],
        "taxesIncluded": TAX_INCLUDED[market],
        "email": "shop@fjordlight.example",
    }


def _variants(world: World, market: int) -> list[Record]:
    found = []
    since = "2024-01-01T00:00:00Z"
    for number, row in enumerate(world.rows("select * from shop_products order by product_id"), start=1):
        cost = round(row["cost_eur_minor"] * CURRENCY_PER_EUR[market])
        price = round(row["price_eur_minor"] * CURRENCY_PER_EUR[market] / 100) * 100
        found.append(
            {
                "id": _gid("ProductVariant", 4_400_000_000 + number),
                "sku": row["product_id"],
                "title": "Default Title",
                "displayName": row["product_name"],
                "price": _bag(price, market)["shopMoney"]["amount"],
                "product": {
                    "id": _gid("Product", 7_700_000_000 + number),
                    "title": row["product_name"],
                    "productType": row["category"],
                },
                "inventoryItem": {
                    "id": _gid("InventoryItem", 4_500_000_000 + number),
                    "sku": row["product_id"],
                    "tracked": True,
                    "unitCost": _bag(cost, market)["shopMoney"],
                },
                "createdAt": since,
                "updatedAt": since,
            }
        )
    return found


def _address(kind: str, number: int, market: int) -> Record:
    return {"id": _gid("MailingAddress", f"{number}?model_name={kind}"), "countryCodeV2": MARKETS[market]}


def _customer(row: Mapping[str, Any], at: str, customers: dict[str, Record], market: int) -> Record:
    """The customer of an order, made at the first one."""
    number = 8_000_000_000 + int(row["customer_id"][1:])
    known = customers.get(row["customer_id"])
    if known is None:
        known = customers[row["customer_id"]] = {
            "id": _gid("Customer", number),
            "createdAt": at,
            "updatedAt": at,
            "numberOfOrders": "0",
            "firstName": None,
            "lastName": None,
            "defaultEmailAddress": {"emailAddress": row["customer_email"].strip()},
            "defaultAddress": _address("CustomerAddress", number, market),
        }
    return known


def _attributes(client_id: str | None, user_id: str | None = None) -> list[Record]:
    """What the shop's theme writes into the cart: the site's cookie, and who was logged in."""
    given = {"client_id": client_id, "user_id": user_id}
    return [{"key": key, "value": value} for key, value in given.items() if value is not None]


def _orders(
    world: World, market: int, variants: Mapping[str, Record], customers: dict[str, Record]
) -> list[Record]:
    lines = world.rows(
        "select distinct on (line_id) * from shop_order_lines"
        f" where visible_at <= {world.now_sql} and country = '{MARKETS[market]}' order by line_id, visible_at"
    )
    back: dict[str, list[Record]] = {}
    for row in world.rows(
        f"select * from shop_refund_lines where visible_at <= {world.now_sql}"
        f" and country = '{MARKETS[market]}' order by occurred_at, refund_line_id"
    ):
        back.setdefault(row["original_order_id"], []).append(row)
    of_order: dict[str, list[Record]] = {}
    for row in sorted(lines, key=lambda row: (row["occurred_at"], row["line_id"])):
        of_order.setdefault(row["order_id"], []).append(row)
    return [_order(rows, back.get(name, []), market, variants, customers) for name, rows in of_order.items()]


def _order(
    rows: list[Record],
    returned: list[Record],
    market: int,
    variants: Mapping[str, Record],
    customers: dict[str, Record],
) -> Record:
    first = rows[0]
    number = 5_600_000_000 + int(re.sub(r"\D", "", first["order_id"]))
    placed = _moment(first["occurred_at"])
    seen = max(row["visible_at"] for row in rows)
    late = seen - first["occurred_at"] > timedelta(
        hours=5
    )  # from the showroom's till, when it was online again
    changed = max([seen, *(row["visible_at"] for row in returned)])
    customer = _customer(first, placed, customers, market)
    customer["numberOfOrders"] = str(int(customer["numberOfOrders"]) + 1)
    customer["updatedAt"] = max(customer["updatedAt"], _moment(seen))
    lines = {
        row["line_id"]: _line(row, number, place, market, variants) for place, row in enumerate(rows, start=1)
    }
    gone = {row["original_line_id"]: row["quantity"] for row in returned}
    for name, line in lines.items():
        line["currentQuantity"] = line["quantity"] - gone.get(name, 0)
    whole = bool(returned) and all(line["currentQuantity"] == 0 for line in lines.values())
    soon = whole and returned[-1]["occurred_at"] - first["occurred_at"] < CANCELLED_WITHIN
    included = TAX_INCLUDED[market]
    tax = sum(row["tax_minor"] for row in rows)
    subtotal = sum(row["amount_minor"] for row in rows) + (tax if included else 0)
    shipping = sum(row["shipping_minor"] for row in rows)
    total = subtotal + shipping + (0 if included else tax)
    order: Record = {
        "__typename": "Order",
        "id": _gid("Order", number),
        "name": first["order_id"],
        "createdAt": _moment(seen) if late else placed,
        "processedAt": placed,
        "updatedAt": _moment(changed),
        "cancelledAt": _moment(returned[-1]["occurred_at"]) if soon else None,
        "cancelReason": "CUSTOMER" if soon else None,
        "displayFinancialStatus": "REFUNDED" if whole else "PARTIALLY_REFUNDED" if returned else "PAID",
        "test": first["is_test"],
        "taxesIncluded": included,
        "currencyCode": CURRENCIES[market],
        "presentmentCurrencyCode": CURRENCIES[market],
        "email": first["customer_email"],
        "customer": customer,
        "customAttributes": _attributes(first["anonymous_id"], first["user_id"]),
        "shippingAddress": _address("Order", number, market),
        "billingAddress": _address("Order", number, market),
        "subtotalPriceSet": _bag(subtotal, market),
        "totalShippingPriceSet": _bag(shipping, market),
        "totalTaxSet": _bag(tax, market),
        "totalPriceSet": _bag(total, market),
        "totalDiscountsSet": _bag(sum(row["discount_minor"] for row in rows), market),
        "lineItems": list(lines.values()),
        "refunds": [],
    }
    order["transactions"] = [_transaction(number, 0, "SALE", placed, total, first["is_test"], market)]
    for place, moment in enumerate(sorted({row["occurred_at"] for row in returned}), start=1):
        of_moment = [row for row in returned if row["occurred_at"] == moment]
        refund = _refund(order, of_moment, number * 10 + place, lines, market)
        order["refunds"].append(refund)
        money = -sum(row["amount_minor"] + row["tax_minor"] for row in of_moment)
        order["transactions"].append(
            _transaction(number, place, "REFUND", _moment(moment), money, first["is_test"], market)
        )
    order["totalRefundedSet"] = _bag(-sum(row["amount_minor"] + row["tax_minor"] for row in returned), market)
    return order


def _line(row: Record, order: int, place: int, market: int, variants: Mapping[str, Record]) -> Record:
    variant = variants[row["product_id"]]
    tax = row["tax_minor"]
    discount, net = row["discount_minor"], row["amount_minor"]
    if TAX_INCLUDED[market]:
        discount = round(discount * (1 + TAX_RATES[market]))
        net += tax
    original = net + discount
    rate = TAX_RATES[market]
    return {
        "__typename": "LineItem",
        "id": _gid("LineItem", order * 10 + place),
        "name": row["product_name"],
        "title": row["product_name"],
        "sku": row["product_id"],
        "quantity": row["quantity"],
        "isGiftCard": False,
        "originalUnitPriceSet": _bag(round(original / row["quantity"]), market),
        "originalTotalSet": _bag(original, market),
        "discountAllocations": [{"allocatedAmountSet": _bag(discount, market)}] if discount else [],
        "taxLines": [
            {"title": "Tax", "rate": rate, "ratePercentage": rate * 100, "priceSet": _bag(tax, market)}
        ],
        "variant": variant,
        "product": variant["product"],
    }


def _transaction(order: int, place: int, kind: str, at: str, minor: int, test: bool, market: int) -> Record:
    return {
        "__typename": "OrderTransaction",
        "id": _gid("OrderTransaction", order * 10 + place),
        "kind": kind,
        "status": "SUCCESS",
        "gateway": "shopify_payments",
        "test": test,
        "processedAt": at,
        "createdAt": at,
        "amountSet": _bag(minor, market),
    }


def _refund(
    order: Record, rows: list[Record], number: int, lines: Mapping[str, Record], market: int
) -> Record:
    moment = _moment(rows[0]["occurred_at"])
    items = []
    for place, row in enumerate(rows, start=1):
        tax = -row["tax_minor"]
        subtotal = -row["amount_minor"] + (tax if TAX_INCLUDED[market] else 0)
        items.append(
            {
                "id": _gid("RefundLineItem", number * 10 + place),
                "quantity": row["quantity"],
                "restocked": row["cost_minor"] != 0,
                "subtotalSet": _bag(subtotal, market),
                "totalTaxSet": _bag(tax, market),
                "lineItem": lines[row["original_line_id"]],
            }
        )
    return {
        "__typename": "Refund",
        "id": _gid("Refund", number),
        "createdAt": moment,
        "updatedAt": moment,
        "note": None,
        "order": order,
        "totalRefundedSet": _bag(-sum(row["amount_minor"] + row["tax_minor"] for row in rows), market),
        "refundLineItems": items,
        "orderAdjustments": [],
        "refundShippingLines": [],
    }


def _checkouts(
    world: World, market: int, variants: Mapping[str, Record], customers: Mapping[str, Record]
) -> list[Record]:
    """Checkouts of earlier buyers in visits without a purchase, by the last event of the visit."""
    rows = world.rows(
        f"""
        with bought as (
            select distinct client_id, ga_session_id from web_events where event_name = 'purchase'
        ),
        orders as (
            select distinct order_id, occurred_at, visible_at, anonymous_id, customer_id,
                lower(trim(customer_email)) as email
            from shop_order_lines
            where visible_at <= {world.now_sql} and country = '{MARKETS[market]}'
        ),
        visits as (
            select client_id, ga_session_id, min(occurred_at) as started_at, max(occurred_at) as left_at,
                max_by(value_minor, occurred_at) as value_minor, max_by(items, occurred_at) as items
            from web_events
            where event_name = 'begin_checkout' and currency = '{CURRENCIES[market]}' and not is_bot
                and occurred_at <= {world.now_sql}
            group by client_id, ga_session_id
        ),
        known as (
            select visits.client_id, visits.ga_session_id, any_value(orders.customer_id) as customer_id
            from visits
            inner join orders
                on visits.client_id = orders.anonymous_id and orders.visible_at <= visits.left_at
            group by visits.client_id, visits.ga_session_id
            having count(distinct orders.email) = 1
        )
        select visits.*, known.customer_id, min(orders.occurred_at) as bought_at,
            min_by(orders.visible_at, orders.occurred_at) as bought_seen_at
        from visits
        inner join known using (client_id, ga_session_id)
        anti join bought using (client_id, ga_session_id)
        left join orders
            on known.customer_id = orders.customer_id and orders.occurred_at > visits.left_at
        group by all
        order by started_at, client_id
        """
    )
    found = []
    for row in rows:
        left = row["left_at"] + ABANDONED_AFTER
        if left > world.as_of.replace(tzinfo=None):
            continue
        number = 3_300_000_000 + int(digest(row["client_id"], row["ga_session_id"], length=7), 16)
        recovered = row["bought_at"] is not None and row["bought_at"] - left < RECOVERED_WITHIN
        done = _moment(row["bought_at"]) if recovered else None
        changed = row["bought_seen_at"] if recovered else left
        lines = [
            {
                "id": _gid("AbandonedCheckoutLineItem", number * 10 + place),
                "title": item["item_name"],
                "sku": item["item_id"],
                "quantity": item["quantity"],
                "discountedTotalPriceSet": _bag(item["price_minor"] * item["quantity"], market),
                "originalTotalPriceSet": _bag(item["price_minor"] * item["quantity"], market),
                "variant": variants[item["item_id"]],
            }
            for place, item in enumerate(orjson.loads(row["items"]), start=1)
        ]
        found.append(
            {
                "__typename": "AbandonedCheckout",
                "id": _gid("AbandonedCheckout", number),
                "name": f"#{number}",
                "abandonedCheckoutUrl": f"https://{SHOPS[market]}.myshopify.com/checkouts/{number}/recover",
                "createdAt": _moment(row["started_at"]),
                "updatedAt": _moment(max(left, changed)),
                "completedAt": done,
                "customer": customers[row["customer_id"]],
                "customAttributes": _attributes(row["client_id"]),
                "shippingAddress": _address("Checkout", number, market),
                "billingAddress": None,
                "subtotalPriceSet": _bag(row["value_minor"], market),
                "totalPriceSet": _bag(row["value_minor"], market),
                "totalTaxSet": _bag(0, market),
                "lineItems": lines,
            }
        )
    return found
