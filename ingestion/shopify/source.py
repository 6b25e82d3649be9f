"""What is read from Shopify: orders with lines, payments and refunds; customers; costs; abandoned checkouts.

An account is a shop. Everything that changes is asked for by the moment of its last change, oldest first, so
that a record that changes while the pages are read comes once more at their end. A page names its nested
records' first few; what lies beyond is read from the record itself. Refunds are read by their own ids.

Amounts are the shop's own currency (`shopMoney`), decimal text. Ids are taken out of their URIs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from ingestion.errors import BadAnswer, ConfigurationError
from ingestion.http import Answer, ApiClient, NextRequest, Request
from ingestion.records import Column, Table
from ingestion.settings import Connection, setting
from ingestion.shopify.settings import SERVED_HEADER, SETTINGS, SYSTEM_NAME, TooExpensive, client_for
from ingestion.sources import Context, Item, Page, Resource, System

# Records of one page: with its nested records a page must cost less than the 1,000 points of a single query.
ORDERS_A_PAGE = 10
CHECKOUTS_A_PAGE = 20
FLAT_PAGE = 100
REFUNDS_A_QUERY = 8
NESTED, NESTED_BEYOND = 5, 50
LAG = timedelta(hours=1)
ALL_ORDERS_SCOPE = "read_all_orders"
SCOPES = ("read_orders", "read_customers", "read_products", "read_inventory")

SHOPS = Table(
    "shops",
    columns=(
        Column("shop_id", required=True),
        Column("name"),
        Column("domain"),
        Column("currency"),
        Column("time_zone"),
    ),
    key=("shop_id",),
    description="One shop.",
)
VARIANTS = Table(
    "variants",
    columns=(
        Column("variant_id", required=True),
        Column("product_id"),
        Column("sku"),
        Column("product_title"),
        Column("variant_title"),
        Column("unit_cost", "money"),
        Column("unit_cost_currency"),
    ),
    key=("variant_id",),
    description="One variant of one product, with what a piece costs us now.",
)
CUSTOMERS = Table(
    "customers",
    columns=(
        Column("customer_id", required=True),
        Column("email", "email"),
        Column("country"),
        Column("orders", "bigint"),
        Column("created_at", "timestamp"),
        Column("updated_at", "timestamp", required=True),
    ),
    key=("customer_id",),
    version="updated_at",
    cursor="updated_at",
    lag=LAG,
    description="One customer.",
)
ORDERS = Table(
    "orders",
    columns=(
        Column("order_id", required=True),
        Column("name"),
        Column("processed_at", "timestamp"),
        Column("created_at", "timestamp"),
        Column("updated_at", "timestamp", required=True),
        Column("cancelled_at", "timestamp"),
        Column("cancel_reason"),
        Column("financial_status"),
        Column("test", "boolean"),
        Column("taxes_included", "boolean"),
        Column("currency"),
        Column("subtotal", "money"),
        Column("shipping", "money"),
        Column("tax", "money"),
        Column("total", "money"),
        Column("customer_id"),
        Column("email", "email"),
        Column("country"),
        Column("attributes", "json"),
    ),
    key=("order_id",),
    version="updated_at",
    cursor="updated_at",
    lag=LAG,
    description="One order as it is now.",
)
ORDER_LINES = Table(
    "order_lines",
    columns=(
        Column("line_id", required=True),
        Column("order_id", required=True),
        Column("position", "bigint"),
        Column("variant_id"),
        Column("sku"),
        Column("title"),
        Column("is_gift_card", "boolean"),
        Column("quantity", "bigint"),
        Column("original_total", "money"),
        Column("discount", "money"),
        Column("tax", "money"),
        Column("currency"),
    ),
    key=("line_id",),
    description="One line of one order, as it was ordered.",
)
TRANSACTIONS = Table(
    "transactions",
    columns=(
        Column("transaction_id", required=True),
        Column("order_id", required=True),
        Column("kind"),
        Column("status"),
        Column("gateway"),
        Column("test", "boolean"),
        Column("processed_at", "timestamp"),
        Column("amount", "money"),
        Column("currency"),
    ),
    key=("transaction_id",),
    description="One payment, or its refund.",
)
REFUNDS = Table(
    "refunds",
    columns=(
        Column("refund_id", required=True),
        Column("order_id", required=True),
        Column("created_at", "timestamp"),
        Column("total", "money"),
        Column("currency"),
    ),
    key=("refund_id",),
    description="One refund of one order.",
)
REFUND_LINES = Table(
    "refund_lines",
    columns=(
        Column("refund_line_id", required=True),
        Column("refund_id", required=True),
        Column("line_id"),
        Column("quantity", "bigint"),
        Column("restocked", "boolean"),
        Column("subtotal", "money"),
        Column("tax", "money"),
        Column("currency"),
    ),
    key=("refund_line_id",),
    description="One refunded line.",
)
REFUND_ADJUSTMENTS = Table(
    "refund_adjustments",
    columns=(
        Column("adjustment_id", required=True),
        Column("refund_id", required=True),
        Column("kind", required=True),
        Column("reason"),
        Column("amount", "money"),
        Column("tax", "money"),
        Column("currency"),
    ),
    key=("kind", "adjustment_id"),
    description="What a refund gave back beside its lines: shipping, or a difference to the lines' worth.",
)
CHECKOUTS = Table(
    "abandoned_checkouts",
    columns=(
        Column("checkout_id", required=True),
        Column("name"),
        Column("created_at", "timestamp"),
        Column("updated_at", "timestamp", required=True),
        Column("completed_at", "timestamp"),
        Column("customer_id"),
        Column("email", "email"),
        Column("country"),
        Column("subtotal", "money"),
        Column("total", "money"),
        Column("currency"),
        Column("attributes", "json"),
    ),
    key=("checkout_id",),
    version="updated_at",
    cursor="updated_at",
    lag=LAG,
    description="One checkout that was left with an address, later completed ones included.",
)
CHECKOUT_LINES = Table(
    "abandoned_checkout_lines",
    columns=(
        Column("line_id", required=True),
        Column("checkout_id", required=True),
        Column("variant_id"),
        Column("sku"),
        Column("title"),
        Column("quantity", "bigint"),
        Column("discounted_total", "money"),
        Column("currency"),
    ),
    key=("line_id",),
    description="One line of one abandoned checkout.",
)

_MONEY = "{ shopMoney { amount currencyCode } }"
_LINE = f"""
    id name sku quantity isGiftCard originalTotalSet {_MONEY}
    discountAllocations {{ allocatedAmountSet {_MONEY} }} taxLines {{ priceSet {_MONEY} }} variant {{ id }}"""
_REFUND_LINE = f"""
    id quantity restocked subtotalSet {_MONEY} totalTaxSet {_MONEY} lineItem {{ id }}"""
_ADJUSTMENT = f"id reason amountSet {_MONEY} taxAmountSet {_MONEY}"
_SHIPPING = f"id subtotalAmountSet {_MONEY} taxAmountSet {_MONEY}"
_CHECKOUT_LINE = f"id title sku quantity discountedTotalPriceSet {_MONEY} variant {{ id }}"


def _nested(name: str, selection: str, first: int | str = NESTED, after: str = "") -> str:
    return f"{name}(first: {first}{after}) {{ nodes {{ {selection} }} pageInfo {{ hasNextPage endCursor }} }}"


_PAGE_INFO = "pageInfo { hasNextPage endCursor }"
SHOP_QUERY = "query { shop { id name myshopifyDomain currencyCode ianaTimezone } }"
SCOPES_QUERY = "query { currentAppInstallation { accessScopes { handle } } }"
VARIANTS_QUERY = f"""query ($first: Int!, $after: String) {{
  productVariants(first: $first, after: $after) {{
    nodes {{
      id sku title product {{ id title }} inventoryItem {{ unitCost {{ amount currencyCode }} }}
    }} {_PAGE_INFO}
  }} }}"""
CUSTOMERS_QUERY = f"""query ($first: Int!, $after: String, $query: String) {{
  customers(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {{
    nodes {{
      id createdAt updatedAt numberOfOrders
      defaultEmailAddress {{ emailAddress }} defaultAddress {{ countryCodeV2 }}
    }} {_PAGE_INFO}
  }} }}"""
ORDERS_QUERY = f"""query ($first: Int!, $after: String, $query: String) {{
  orders(first: $first, after: $after, query: $query, sortKey: UPDATED_AT) {{
    nodes {{
      id name processedAt createdAt updatedAt cancelledAt cancelReason displayFinancialStatus test
      taxesIncluded currencyCode email customer {{ id }}
      shippingAddress {{ countryCodeV2 }} billingAddress {{ countryCodeV2 }}
      customAttributes {{ key value }}
      subtotalPriceSet {_MONEY} totalShippingPriceSet {_MONEY} totalTaxSet {_MONEY} totalPriceSet {_MONEY}
      {_nested("lineItems", _LINE)}
      transactions {{ id kind status gateway test processedAt amountSet {_MONEY} }}
      refunds {{ id }}
    }} {_PAGE_INFO}
  }} }}"""
REFUNDS_QUERY = f"""query ($ids: [ID!]!) {{
  nodes(ids: $ids) {{
    id
    ... on Refund {{
      createdAt totalRefundedSet {_MONEY} order {{ id }}
      {_nested("refundLineItems", _REFUND_LINE)}
      {_nested("orderAdjustments", _ADJUSTMENT)}
      {_nested("refundShippingLines", _SHIPPING)}
    }}
  }} }}"""
CHECKOUTS_QUERY = f"""query ($first: Int!, $after: String, $query: String) {{
  abandonedCheckouts(first: $first, after: $after, query: $query, sortKey: CREATED_AT) {{
    nodes {{
      id name createdAt updatedAt completedAt customAttributes {{ key value }}
      customer {{ id defaultEmailAddress {{ emailAddress }} }}
      shippingAddress {{ countryCodeV2 }} billingAddress {{ countryCodeV2 }}
      subtotalPriceSet {_MONEY} totalPriceSet {_MONEY}
      {_nested("lineItems", _CHECKOUT_LINE)}
    }} {_PAGE_INFO}
  }} }}"""


@dataclass(frozen=True)
class Shop:
    """One shop's API at one version."""

    client: ApiClient
    path: str

    @classmethod
    def of(cls, connection: Connection, shop: str) -> Shop:
        version = setting(connection, SETTINGS, "API_VERSION")
        return cls(client_for(connection, shop), f"/admin/api/{version}/graphql.json")

    def ask(self, query: str, at: str, /, *, expect_list: bool = False, **variables: Any) -> Any:
        """What stands at a dotted path of a single answer's data.

        Raises:
            BadAnswer: nothing does.
        """
        return self.answer(query, at, expect_list=expect_list, **variables).at(f"data.{at}")

    def answer(self, query: str, at: str, /, *, expect_list: bool = False, **variables: Any) -> Answer:
        """A single answer that holds something at a dotted path of its data."""
        answer = self.client.post(self.path, {"query": query, "variables": variables})
        self.client.require(answer.json(), f"data.{at}", expect_list=expect_list)
        return answer

    def pages(self, query: str, at: str, first: int, /, **variables: Any) -> Iterator[list[dict[str, Any]]]:
        """All pages of a connection, by its cursor; of fewer records where a page would be too expensive.

        Raises:
            BadAnswer: an answer has errors, no list, no page information, or repeats itself.
        """
        while True:
            body = {"query": query, "variables": {**variables, "first": first}}
            request = Request(self.path, "POST", json=body)
            try:
                for answer in self.client.pages(
                    request, next_request=_following(at), data=f"data.{at}.nodes"
                ):
                    yield answer.at(f"data.{at}.nodes")
                return
            except TooExpensive:  # the price is that of the largest page: the first one tells
                if first == 1:
                    raise
                first //= 2

    def whole(self, node: Mapping[str, Any], kind: str, name: str, selection: str) -> list[dict[str, Any]]:
        """The records of a node's nested connection, also those beyond the page that came with it."""
        held = node.get(name) or {}
        if "nodes" not in held or "pageInfo" not in held:
            raise BadAnswer(SYSTEM_NAME, f"a record of type {kind} has no {name}.", "Check API_VERSION.")
        found = list(held["nodes"])
        if not held["pageInfo"]["hasNextPage"]:
            return found
        nested = _nested(name, selection, "$first", ", after: $after")
        query = f"""query ($id: ID!, $first: Int!, $after: String) {{
  node(id: $id) {{ ... on {kind} {{ {nested} }} }} }}"""
        cursor = held["pageInfo"]["endCursor"]
        for more in self.pages(query, f"node.{name}", NESTED_BEYOND, id=node["id"], after=cursor):
            found += more
        return found


def _following(at: str) -> NextRequest:
    def next_request(request: Request, answer: Answer) -> Request | None:
        info = answer.at(f"data.{at}.pageInfo")
        if not isinstance(info, dict) or not isinstance(info.get("hasNextPage"), bool):
            raise ValueError("the answer does not say whether more follows")
        if not info["hasNextPage"]:
            return None
        if not info.get("endCursor"):
            raise ValueError("the answer says that more follows, but gives no cursor")
        return request.with_json(variables={**request.json["variables"], "after": info["endCursor"]})

    return next_request


def changed_since(context: Context, table: Table) -> str | None:
    """The search for what changed since the last load; None in the first one."""
    since = context.since(table.name)
    if since is None:
        return None
    moment = since.astimezone(UTC) if since.tzinfo else since
    return f"updated_at:>='{moment:%Y-%m-%dT%H:%M:%SZ}'"


def number(uri: str | None) -> str | None:
    """What is last in `gid://shopify/Order/450789469`, without the question mark's rest; None stays None."""
    return uri.rpartition("/")[2].partition("?")[0] if uri else None


def money(bag: Mapping[str, Any] | None) -> str | None:
    """The amount in the shop's currency, as text."""
    return (bag or {}).get("shopMoney", {}).get("amount")


def currency(bag: Mapping[str, Any] | None) -> str | None:
    return (bag or {}).get("shopMoney", {}).get("currencyCode")


def total(bags: Iterable[Mapping[str, Any]]) -> str | None:
    """The sum of amounts in the shop's currency. What is no number is left for the validation to refuse."""
    amounts = [money(bag) for bag in bags]
    try:
        return str(sum(map(Decimal, filter(None, amounts)), Decimal(0)))
    except InvalidOperation:
        return next(amount for amount in amounts if amount)


def _country(record: Mapping[str, Any]) -> str | None:
    for name in ("shippingAddress", "billingAddress"):
        code: str | None = (record[name] or {}).get("countryCodeV2")
        if code:
            return code
    return None


def _attributes(record: Mapping[str, Any]) -> dict[str, Any]:
    return {entry["key"]: entry["value"] for entry in record["customAttributes"]}


def _as_asked(extract: Callable[[Context], Iterator[Item]]) -> Callable[[Context], Iterator[Item]]:
    """An answer holds every field that was asked for: one that does not is no answer, whatever it lacks."""

    def checked(context: Context) -> Iterator[Item]:
        try:
            yield from extract(context)
        except (KeyError, TypeError, AttributeError) as error:
            raise BadAnswer(
                SYSTEM_NAME,
                f"a record is not as it was asked for ({type(error).__name__}: {error}).",
                "Nothing of this load was kept; check API_VERSION.",
            ) from error

    return checked


def catalogue(context: Context) -> Iterator[Item]:
    """The shop, and all variants with their costs: a new cost changes no variant's date."""
    shop = Shop.of(context.connection, context.account)
    found = shop.ask(SHOP_QUERY, "shop")
    yield Page(
        SHOPS.name,
        records=[
            {
                "shop_id": number(found["id"]),
                "name": found["name"],
                "domain": found["myshopifyDomain"],
                "currency": found["currencyCode"],
                "time_zone": found["ianaTimezone"],
            }
        ],
    )
    for nodes in shop.pages(VARIANTS_QUERY, "productVariants", FLAT_PAGE):
        yield Page(VARIANTS.name, records=[variant(node) for node in nodes])


def variant(node: Mapping[str, Any]) -> dict[str, Any]:
    """A variant as a record."""
    product = node["product"] or {}
    cost = (node["inventoryItem"] or {}).get("unitCost") or {}
    return {
        "variant_id": number(node["id"]),
        "product_id": number(product.get("id")),
        "sku": node["sku"] or None,
        "product_title": product.get("title"),
        "variant_title": node["title"],
        "unit_cost": cost.get("amount"),
        "unit_cost_currency": cost.get("currencyCode"),
    }


def customers(context: Context) -> Iterator[Item]:
    """The customers that changed since the last load."""
    shop = Shop.of(context.connection, context.account)
    for nodes in shop.pages(CUSTOMERS_QUERY, "customers", FLAT_PAGE, query=changed_since(context, CUSTOMERS)):
        yield Page(
            CUSTOMERS.name,
            records=[
                {
                    "customer_id": number(node["id"]),
                    "email": (node["defaultEmailAddress"] or {}).get("emailAddress"),
                    "country": (node["defaultAddress"] or {}).get("countryCodeV2"),
                    "orders": node["numberOfOrders"],
                    "created_at": node["createdAt"],
                    "updated_at": node["updatedAt"],
                }
                for node in nodes
            ],
        )


def orders(context: Context) -> Iterator[Item]:
    """The orders that changed since the last load, whole: lines, payments, refunds."""
    shop = Shop.of(context.connection, context.account)
    for nodes in shop.pages(ORDERS_QUERY, "orders", ORDERS_A_PAGE, query=changed_since(context, ORDERS)):
        yield Page(ORDERS.name, records=[order(node) for node in nodes])
        yield Page(ORDER_LINES.name, records=[line for node in nodes for line in order_lines(shop, node)])
        yield Page(TRANSACTIONS.name, records=[entry for node in nodes for entry in transactions(node)])
        refunds = [refund["id"] for node in nodes for refund in node["refunds"]]
        for start in range(0, len(refunds), REFUNDS_A_QUERY):
            yield from refunds_of(shop, refunds[start : start + REFUNDS_A_QUERY])


def order(node: Mapping[str, Any]) -> dict[str, Any]:
    """An order as a record."""
    return {
        "order_id": number(node["id"]),
        "name": node["name"],
        "processed_at": node["processedAt"],
        "created_at": node["createdAt"],
        "updated_at": node["updatedAt"],
        "cancelled_at": node["cancelledAt"],
        "cancel_reason": node["cancelReason"],
        "financial_status": node["displayFinancialStatus"],
        "test": node["test"],
        "taxes_included": node["taxesIncluded"],
        "currency": node["currencyCode"],
        "subtotal": money(node["subtotalPriceSet"]),
        "shipping": money(node["totalShippingPriceSet"]),
        "tax": money(node["totalTaxSet"]),
        "total": money(node["totalPriceSet"]),
        "customer_id": number((node["customer"] or {}).get("id")),
        "email": node["email"],
        "country": _country(node),
        "attributes": _attributes(node),
    }


def order_lines(shop: Shop, node: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The lines of an order, also those beyond the first page."""
    for position, line in enumerate(shop.whole(node, "Order", "lineItems", _LINE), start=1):
        yield {
            "line_id": number(line["id"]),
            "order_id": number(node["id"]),
            "position": position,
            "variant_id": number((line["variant"] or {}).get("id")),
            "sku": line["sku"] or None,
            "title": line["name"],
            "is_gift_card": line["isGiftCard"],
            "quantity": line["quantity"],
            "original_total": money(line["originalTotalSet"]),
            "discount": total(entry["allocatedAmountSet"] for entry in line["discountAllocations"]),
            "tax": total(entry["priceSet"] for entry in line["taxLines"]),
            "currency": currency(line["originalTotalSet"]),
        }


def transactions(node: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The payments of an order and their refunds."""
    for entry in node["transactions"]:
        yield {
            "transaction_id": number(entry["id"]),
            "order_id": number(node["id"]),
            "kind": entry["kind"],
            "status": entry["status"],
            "gateway": entry["gateway"],
            "test": entry["test"],
            "processed_at": entry["processedAt"],
            "amount": money(entry["amountSet"]),
            "currency": currency(entry["amountSet"]),
        }


def refunds_of(shop: Shop, ids: Sequence[str]) -> Iterator[Page]:
    """Refunds by their ids, with their lines, shipping and differences; in halves where too expensive.

    Raises:
        BadAnswer: a refund that its order names does not exist.
    """
    try:
        nodes = shop.ask(REFUNDS_QUERY, "nodes", expect_list=True, ids=list(ids))
    except TooExpensive:
        if len(ids) == 1:
            raise
        yield from refunds_of(shop, ids[: len(ids) // 2])
        yield from refunds_of(shop, ids[len(ids) // 2 :])
        return
    if len(nodes) != len(ids) or not all(nodes):
        raise BadAnswer(SYSTEM_NAME, "a refund that an order names is not there.", "Run again later.")
    yield Page(REFUNDS.name, records=[_refund(node) for node in nodes])
    yield Page(REFUND_LINES.name, records=[line for node in nodes for line in _refund_lines(shop, node)])
    yield Page(
        REFUND_ADJUSTMENTS.name, records=[entry for node in nodes for entry in _adjustments(shop, node)]
    )


def _refund(node: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "refund_id": number(node["id"]),
        "order_id": number(node["order"]["id"]),
        "created_at": node["createdAt"],
        "total": money(node["totalRefundedSet"]),
        "currency": currency(node["totalRefundedSet"]),
    }


def _refund_lines(shop: Shop, node: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    lines = shop.whole(node, "Refund", "refundLineItems", _REFUND_LINE)
    for position, line in enumerate(lines, start=1):
        yield {
            # Refunds of the first years have lines without ids.
            "refund_line_id": number(line["id"]) or f"{number(node['id'])}-{position}",
            "refund_id": number(node["id"]),
            "line_id": number(line["lineItem"]["id"]),
            "quantity": line["quantity"],
            "restocked": line["restocked"],
            "subtotal": money(line["subtotalSet"]),
            "tax": money(line["totalTaxSet"]),
            "currency": currency(line["subtotalSet"]),
        }


def _adjustments(shop: Shop, node: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for entry in shop.whole(node, "Refund", "orderAdjustments", _ADJUSTMENT):
        yield {
            "adjustment_id": number(entry["id"]),
            "refund_id": number(node["id"]),
            "kind": "difference",
            "reason": entry["reason"],
            "amount": money(entry["amountSet"]),
            "tax": money(entry["taxAmountSet"]),
            "currency": currency(entry["amountSet"]),
        }
    for entry in shop.whole(node, "Refund", "refundShippingLines", _SHIPPING):
        yield {
            "adjustment_id": number(entry["id"]),
            "refund_id": number(node["id"]),
            "kind": "shipping",
            "reason": None,
            "amount": money(entry["subtotalAmountSet"]),
            "tax": money(entry["taxAmountSet"]),
            "currency": currency(entry["subtotalAmountSet"]),
        }


def checkouts(context: Context) -> Iterator[Item]:
    """The abandoned checkouts that changed since the last load (the API cannot sort them by their change)."""
    shop = Shop.of(context.connection, context.account)
    for nodes in shop.pages(
        CHECKOUTS_QUERY, "abandonedCheckouts", CHECKOUTS_A_PAGE, query=changed_since(context, CHECKOUTS)
    ):
        yield Page(CHECKOUTS.name, records=[checkout(node) for node in nodes])
        yield Page(
            CHECKOUT_LINES.name,
            records=[
                {
                    "line_id": number(line["id"]),
                    "checkout_id": number(node["id"]),
                    "variant_id": number((line["variant"] or {}).get("id")),
                    "sku": line["sku"] or None,
                    "title": line["title"],
                    "quantity": line["quantity"],
                    "discounted_total": money(line["discountedTotalPriceSet"]),
                    "currency": currency(line["discountedTotalPriceSet"]),
                }
                for node in nodes
                for line in shop.whole(node, "AbandonedCheckout", "lineItems", _CHECKOUT_LINE)
            ],
        )


def checkout(node: Mapping[str, Any]) -> dict[str, Any]:
    """An abandoned checkout as a record."""
    customer = node["customer"] or {}
    return {
        "checkout_id": number(node["id"]),
        "name": node["name"],
        "created_at": node["createdAt"],
        "updated_at": node["updatedAt"],
        "completed_at": node["completedAt"],
        "customer_id": number(customer.get("id")),
        "email": (customer.get("defaultEmailAddress") or {}).get("emailAddress"),
        "country": _country(node),
        "subtotal": money(node["subtotalPriceSet"]),
        "total": money(node["totalPriceSet"]),
        "currency": currency(node["totalPriceSet"]),
        "attributes": _attributes(node),
    }


def check(connection: Connection) -> str:
    """Ask each shop who it is, at which version it answers, and what the app may read.

    Raises:
        ConfigurationError: no shop is listed, the version is not served, or a scope is missing.
    """
    if not connection.accounts:
        raise ConfigurationError(
            f"{SYSTEM_NAME}: no shop is listed. Add its name (of <name>.myshopify.com) to `accounts`."
        )
    wanted = setting(connection, SETTINGS, "API_VERSION")
    found = []
    for account in connection.accounts:
        shop = Shop.of(connection, account)
        answer = shop.answer(SHOP_QUERY, "shop")
        served = answer.headers.get(SERVED_HEADER, wanted)
        if served != wanted:
            raise ConfigurationError(
                f"{SYSTEM_NAME}: {account} answers with version {served} where {wanted} was asked for, which "
                "is not served any more. Set API_VERSION."
            )
        scopes = {
            entry["handle"]
            for entry in shop.ask(SCOPES_QUERY, "currentAppInstallation.accessScopes", expect_list=True)
        }
        missing = [scope for scope in SCOPES if scope not in scopes]
        if missing:
            raise ConfigurationError(
                f"{SYSTEM_NAME}: the app lacks {', '.join(missing)} in {account}. Add it to the app's scopes."
            )
        reach = "all orders" if ALL_ORDERS_SCOPE in scopes else f"60 days of orders (no {ALL_ORDERS_SCOPE})"
        found.append(f"{answer.at('data.shop.name')} ({answer.at('data.shop.currencyCode')}, {reach})")
    return f"version {wanted}: " + "; ".join(found)


SYSTEM = System(
    name=SYSTEM_NAME,
    resources=(
        Resource("catalogue", tables=(SHOPS, VARIANTS), extract=_as_asked(catalogue)),
        Resource("customers", tables=(CUSTOMERS,), extract=_as_asked(customers)),
        Resource(
            "orders",
            tables=(ORDERS, ORDER_LINES, TRANSACTIONS, REFUNDS, REFUND_LINES, REFUND_ADJUSTMENTS),
            extract=_as_asked(orders),
        ),
        Resource("abandoned_checkouts", tables=(CHECKOUTS, CHECKOUT_LINES), extract=_as_asked(checkouts)),
    ),
    settings=SETTINGS,
    check=check,
)
