"""Shopify: errors with status 200, prices of queries, cursors at two levels, refunds by their ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
import requests

from ingestion.errors import BadAnswer, ConfigurationError, Unauthorized, Unreachable
from ingestion.privacy import Pseudonyms
from ingestion.records import Converter
from ingestion.shopify import SYSTEM, source
from ingestion.shopify.settings import API_VERSION, limit_wait
from ingestion.sources import Context, Page
from sandbox.app import running
from sandbox.servers import _oauth as oauth
from sandbox.servers import shopify as server
from tests.unit.systems.conftest import AS_OF
from tests.unit.systems.staging import Staging
from tests.unit.systems.vendor import Asked, Vendor

PATH = f"/admin/api/{API_VERSION}/graphql.json"
RESOURCES = {resource.name: resource for resource in SYSTEM.resources}


def bag(amount: str, currency: str = "EUR") -> dict[str, Any]:
    return {"shopMoney": {"amount": amount, "currencyCode": currency}}


def nested(*nodes: Any, after: str | None = None) -> dict[str, Any]:
    return {"nodes": list(nodes), "pageInfo": {"hasNextPage": after is not None, "endCursor": after}}


def line(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"gid://shopify/LineItem/{number}",
        "name": "Desk lamp",
        "sku": "D1",
        "quantity": 1,
        "isGiftCard": False,
        "originalTotalSet": bag("60.50"),
        "discountAllocations": [],
        "taxLines": [{"priceSet": bag("8.00")}, {"priceSet": bag("2.50")}],
        "variant": {"id": "gid://shopify/ProductVariant/7"},
        **more,
    }


def order(number: int, *lines: Any, after: str | None = None, **more: Any) -> dict[str, Any]:
    moment = "2026-06-10T08:00:00Z"
    return {
        "id": f"gid://shopify/Order/{number}",
        "name": f"#{number}",
        **dict.fromkeys(("processedAt", "createdAt", "updatedAt"), moment),
        **dict.fromkeys(("cancelledAt", "cancelReason", "customer", "billingAddress")),
        "displayFinancialStatus": "PAID",
        "test": False,
        "taxesIncluded": True,
        "currencyCode": "EUR",
        "email": "ann@example.com",
        "shippingAddress": {"countryCodeV2": "NL"},
        "customAttributes": [{"key": "client_id", "value": "12.34"}],
        **dict.fromkeys(
            ("subtotalPriceSet", "totalShippingPriceSet", "totalTaxSet", "totalPriceSet"), bag("60.50")
        ),
        "lineItems": nested(*lines, after=after),
        "transactions": [],
        "refunds": [],
        **more,
    }


def refund(number: int) -> dict[str, Any]:
    return {
        "id": f"gid://shopify/Refund/{number}",
        "createdAt": "2026-06-12T08:00:00Z",
        "totalRefundedSet": bag("60.50"),
        "order": {"id": "gid://shopify/Order/1"},
        "refundLineItems": nested(
            {
                "id": f"gid://shopify/RefundLineItem/{number}",
                "quantity": 1,
                "restocked": True,
                "subtotalSet": bag("60.50"),
                "totalTaxSet": bag("10.50"),
                "lineItem": {"id": "gid://shopify/LineItem/1"},
            }
        ),
        "orderAdjustments": nested(
            {"id": "gid://shopify/OrderAdjustment/5", "reason": "REFUND_DISCREPANCY",
             "amountSet": bag("-3.00"), "taxAmountSet": bag("0.00")}
        ),
        "refundShippingLines": nested(
            {"id": "gid://shopify/RefundShippingLine/6", "subtotalAmountSet": bag("5.95"),
             "taxAmountSet": bag("0.00")}
        ),
    }  # fmt: skip


def failing(code: str, **extensions: Any) -> dict[str, Any]:
    return {"errors": [{"message": f"it is {code}", "extensions": {"code": code}}], "extensions": extensions}


class Shop:
    """A shop that answers each root field with a page for each cursor."""

    def __init__(self, vendor: Vendor) -> None:
        self.vendor = vendor
        self.pages: dict[str, dict[str | None, Any]] = {}
        vendor.on(PATH, self.answer)

    def answer(self, asked: Asked) -> Any:
        for name, pages in self.pages.items():
            if f"  {name}(" in asked.body["query"] or f"{{ {name}(" in asked.body["query"]:
                found = pages[asked.body["variables"].get("after")]
                return found if isinstance(found, dict) and "errors" in found else {"data": {name: found}}
        raise AssertionError(asked.body["query"])

    def asked(self, name: str) -> list[dict[str, Any]]:
        return [one.body["variables"] for one in self.vendor.asked if f"{name}(" in one.body["query"]]


@pytest.fixture
def shop(vendor: Vendor) -> Shop:
    return Shop(vendor)


@pytest.fixture
def context(context_of: Callable[..., Context]) -> Context:
    return context_of("shopify", "lamps")


def read(context: Context, resource: str = "orders") -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for item in RESOURCES[resource].extract(context):
        assert isinstance(item, Page)
        found.setdefault(item.table, []).extend(dict(record) for record in item.records or ())
    return found


# ------------------------------------------------------------------------------------- errors with status 200


@pytest.mark.parametrize("resource", sorted(RESOURCES))
@pytest.mark.parametrize(
    "body",
    [
        failing("INTERNAL_SERVER_ERROR"),
        {"data": None, **failing("INTERNAL_SERVER_ERROR")},
        {"data": {"orders": nested(), "customers": nested()}, **failing("SOME_FIELD_FAILED")},
        {"data": None},
        {"data": {}},
        {"data": {"orders": {"nodes": None}}},
        {"data": {"orders": {"nodes": []}, "customers": {"nodes": []}, "shop": None}},
        {"errors": "Unavailable Shop"},
    ],
)
def test_errors_or_missing_data_with_status_200_are_never_no_rows(
    vendor: Vendor, context: Context, resource: str, body: Any
) -> None:
    vendor.on(PATH, lambda _: body)
    with pytest.raises(BadAnswer):
        read(context, resource)


def test_a_throttled_query_waits_until_its_points_are_back(
    shop: Shop, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("ingestion.http.time.sleep", waits.append)
    status = {"maximumAvailable": 2000.0, "currentlyAvailable": 102.0, "restoreRate": 100.0}
    throttled = failing("THROTTLED", cost={"requestedQueryCost": 752, "throttleStatus": status})
    answers = iter([throttled, throttled, nested(order(1, line(1)))])
    shop.pages["orders"] = {None: None}
    shop.vendor.on(
        PATH, lambda _: found if "errors" in (found := next(answers)) else {"data": {"orders": found}}
    )
    assert [row["order_id"] for row in read(context)["orders"]] == ["1"]
    assert waits == [6.5, 6.5]
    assert limit_wait(200, {}, b'{"data": {"note": "THROTTLED"}}') is None


def test_a_query_throttled_for_ever_fails(shop: Shop, context: Context) -> None:
    shop.pages["orders"] = {None: failing("THROTTLED")}
    with pytest.raises(Unreachable, match="limit"):
        read(context)
    assert len(shop.vendor.asked) == 5


def test_too_expensive_a_page_is_asked_for_in_halves(shop: Shop, context: Context) -> None:
    def answer(asked: Asked) -> Any:
        if asked.body["variables"]["first"] > 3:
            return failing("MAX_COST_EXCEEDED")
        return {"data": {"orders": nested(order(1, line(1)))}}

    shop.vendor.on(PATH, answer)
    assert len(read(context)["orders"]) == 1
    assert [one.body["variables"]["first"] for one in shop.vendor.asked] == [10, 5, 2]


def test_a_missing_scope_says_so(shop: Shop, context: Context) -> None:
    shop.pages["abandonedCheckouts"] = {None: failing("ACCESS_DENIED")}
    with pytest.raises(Unauthorized, match="lacks a permission: it is ACCESS_DENIED"):
        read(context, "abandoned_checkouts")


def test_a_record_without_a_field_that_was_asked_for_fails(shop: Shop, context: Context) -> None:
    lacking = order(1, line(1))
    del lacking["refunds"]
    shop.pages["orders"] = {None: nested(lacking)}
    with pytest.raises(BadAnswer, match="refunds"):
        read(context)


# -------------------------------------------------------------------------------------------------- cursors


def test_pages_follow_the_cursor_and_ask_for_what_changed(shop: Shop, context_of: Any) -> None:
    shop.pages["orders"] = {None: nested(order(1, line(1)), after="c1"), "c1": nested(order(2, line(2)))}
    cursor = datetime(2026, 6, 14, 12)
    context = context_of("shopify", "lamps", cursors={"orders": cursor})
    assert [row["order_id"] for row in read(context)["orders"]] == ["1", "2"]
    assert {asked["query"] for asked in shop.asked("orders")} == {"updated_at:>='2026-06-14T11:00:00Z'"}
    assert all("sortKey: UPDATED_AT" in one.body["query"] for one in shop.vendor.asked)
    assert all(one.headers["X-Shopify-Access-Token"] == "secret-canary-7f3a" for one in shop.vendor.asked)
    first = context_of("shopify", "lamps")
    read(first)
    assert shop.asked("orders")[-1]["query"] is None


@pytest.mark.parametrize(
    "page_info",
    [None, {}, {"hasNextPage": None, "endCursor": None}, {"hasNextPage": True, "endCursor": None}],
)
def test_a_page_that_does_not_say_what_follows_fails(shop: Shop, context: Context, page_info: Any) -> None:
    shop.pages["orders"] = {None: {"nodes": [order(1, line(1))], "pageInfo": page_info}}
    with pytest.raises(BadAnswer):
        read(context)


def test_a_repeated_cursor_fails(shop: Shop, context: Context) -> None:
    shop.pages["orders"] = {
        None: nested(order(1, line(1)), after="c"),
        "c": nested(order(2, line(2)), after="c"),
    }
    with pytest.raises(BadAnswer, match="same cursor twice"):
        read(context)


def test_lines_beyond_the_first_page_are_read_from_the_order(shop: Shop, context: Context) -> None:
    shop.pages["orders"] = {None: nested(order(1, line(1), line(2), after="l2"), order(2, line(9)))}
    shop.pages["node"] = {
        "l2": {"lineItems": nested(line(3), after="l3")},
        "l3": {"lineItems": nested(line(4))},
    }
    found = read(context)["order_lines"]
    assert [(row["order_id"], row["line_id"], row["position"]) for row in found] == [
        ("1", "1", 1), ("1", "2", 2), ("1", "3", 3), ("1", "4", 4), ("2", "9", 1),
    ]  # fmt: skip
    assert [asked["id"] for asked in shop.asked("node")] == ["gid://shopify/Order/1"] * 2


def test_refunds_are_read_by_their_ids_with_all_that_went_back(shop: Shop, context: Context) -> None:
    numbers = range(1, source.REFUNDS_A_QUERY + 2)
    ids = [{"id": f"gid://shopify/Refund/{number}"} for number in numbers]
    shop.pages["orders"] = {None: nested(order(1, line(1), refunds=ids))}
    shop.vendor.on(
        PATH,
        lambda asked: (
            {"data": {"nodes": [refund(int(one.rpartition("/")[2])) for one in wanted]}}
            if (wanted := asked.body["variables"].get("ids"))
            else shop.answer(asked)
        ),
    )
    found = read(context)
    assert [row["refund_id"] for row in found["refunds"]] == [str(number) for number in numbers]
    assert [len(asked["ids"]) for asked in shop.asked("nodes")] == [source.REFUNDS_A_QUERY, 1]
    assert found["refund_lines"][0] == {
        "refund_line_id": "1",
        "refund_id": "1",
        "line_id": "1",
        "quantity": 1,
        "restocked": True,
        "subtotal": "60.50",
        "tax": "10.50",
        "currency": "EUR",
    }
    kinds = [(row["kind"], row["amount"], row["reason"]) for row in found["refund_adjustments"]]
    assert kinds[:2] == [("difference", "-3.00", "REFUND_DISCREPANCY"), ("shipping", "5.95", None)]


def test_a_refund_that_is_named_but_not_there_fails(shop: Shop, context: Context) -> None:
    shop.pages["orders"] = {None: nested(order(1, line(1), refunds=[{"id": "gid://shopify/Refund/1"}]))}
    shop.pages["nodes"] = {None: [None]}
    with pytest.raises(BadAnswer, match="a refund that an order names"):
        read(context)


# -------------------------------------------------------------------------------------------------- records


def test_amounts_are_the_shops_own_and_summed_as_decimals() -> None:
    held = {"shopMoney": {"amount": "0.10", "currencyCode": "EUR"},
            "presentmentMoney": {"amount": "1.12", "currencyCode": "SEK"}}  # fmt: skip
    assert (source.money(held), source.currency(held)) == ("0.10", "EUR")
    assert source.total([bag("0.10"), bag("0.20")]) == "0.30"
    assert source.total([bag("0.10"), bag("a lot")]) == "0.10"
    assert source.number("gid://shopify/MailingAddress/12?model_name=Order") == "12"


def test_good_records_are_typed_and_a_bad_one_goes_to_the_quarantine(shop: Shop, context: Context) -> None:
    wrong = order(2, line(2), totalPriceSet=bag("a lot"))
    shop.pages["orders"] = {None: nested(order(1, line(1)), wrong)}
    converter = Converter(source.ORDERS, "shopify:main:lamps", Pseudonyms(b"k" * 32), AS_OF)
    converted = converter.convert([Page("orders", records=read(context)["orders"])])
    assert (converted.good.num_rows, converted.quarantined.num_rows) == (1, 1)
    assert "ann@example.com" not in str(converted.good.to_pylist()) + str(converted.quarantined.to_pylist())
    assert converted.good["attributes"].to_pylist() == ['{"client_id":"12.34"}']
    assert converted.unknown == {}


def test_an_app_of_the_organisation_fetches_its_token_from_each_shop(vendor: Vendor, context_of: Any) -> None:
    values = {"BASE_URL": f"{vendor.url}/{{account}}", "ACCESS_TOKEN": ""}
    context = context_of("shopify", "lamps", values=values)
    vendor.on("/lamps/admin/oauth/access_token", {"access_token": "of-lamps", "expires_in": 86399})
    vendor.on(f"/lamps{PATH}", {"data": {"customers": nested()}})
    read(context, "customers")
    exchange, query = vendor.asked
    assert exchange.body.startswith("grant_type=client_credentials&client_id=")
    assert "refresh_token" not in exchange.body
    assert query.headers["X-Shopify-Access-Token"] == "of-lamps"
    assert "Authorization" not in query.headers


def test_an_older_app_has_a_token_for_each_shop(vendor: Vendor, context_of: Any) -> None:
    vendor.on(PATH, {"data": {"customers": nested()}})
    read(context_of("shopify", "my-lamps", values={"ACCESS_TOKEN_MY_LAMPS": "of-my-lamps"}), "customers")
    assert vendor.asked[-1].headers["X-Shopify-Access-Token"] == "of-my-lamps"


# -------------------------------------------------------------------------------------------------- staging


def an_order(number: str, **more: Any) -> dict[str, Any]:
    return {
        "order_id": number,
        "name": f"#{number}",
        "processed_at": "2026-06-10 08:00:00",
        "updated_at": "2026-06-10 08:00:00",
        "financial_status": "PAID",
        "test": False,
        "taxes_included": False,
        "currency": "EUR",
        "subtotal": "110.00",
        "shipping": "5.95",
        "email_hash": "v1:ann",
        "country": "NL",
        "attributes": '{"client_id":"12.34","user_id":"u1"}',
        **more,
    }


def a_line(number: str, order_id: str, **more: Any) -> dict[str, Any]:
    return {
        "line_id": number,
        "order_id": order_id,
        "position": 1,
        "variant_id": "7",
        "sku": "D1",
        "title": "Desk lamp",
        "is_gift_card": False,
        "quantity": 2,
        "original_total": "121.00",
        "discount": "11.00",
        "tax": "23.10",
        "currency": "EUR",
        **more,
    }


A_VARIANT = {"variant_id": "7", "sku": "D1", "unit_cost": "20.00", "unit_cost_currency": "EUR"}


def test_lines_count_after_discount_without_tax_and_shipping(staging: Staging) -> None:
    staging.write(
        "shopify",
        variants=[A_VARIANT],
        orders=[
            an_order("1"),
            # The same goods at prices that include 21 per cent: 146.41 - 13.31 - 23.10 = 110.
            an_order("2", taxes_included=True, subtotal="133.10", currency="EUR", test=True),
        ],
        order_lines=[
            a_line("11", "1"),
            a_line("12", "1", position=2, variant_id=None, sku=None, title="Tip", quantity=1,
                   original_total="3.00", discount=None, tax=None),
            a_line("21", "2", original_total="146.41", discount="13.31"),
        ],
    )  # fmt: skip
    assert staging.rows(
        "stg_shopify__revenue_events", "revenue_event_id", "amount", "discount_amount", "tax_amount",
        "shipping_amount", "cost_amount", "is_test",
    ) == [
        ("line-11", 110.0, 11.0, 23.1, 5.95, 40.0, False),
        ("line-12", 3.0, 0.0, 0.0, 0.0, None, False),
        ("line-21", 110.0, 11.0, 23.1, 5.95, 40.0, True),
    ]  # fmt: skip
    assert staging.rows(
        "stg_shopify__revenue_events", "order_id", "product_id", "anonymous_id", "user_id",
        "customer_email_hash", "country",
    )[0] == ("1", "D1", "12.34", "u1", "v1:ann", "NL")  # fmt: skip


def test_refunds_stand_in_their_own_month_with_their_order(staging: Staging) -> None:
    staging.write(
        "shopify",
        variants=[A_VARIANT],
        orders=[an_order("1"), an_order("2", taxes_included=True)],
        order_lines=[a_line("11", "1"), a_line("21", "2", original_total="146.41", discount="13.31")],
        refunds=[
            {"refund_id": "5", "order_id": "1", "created_at": "2026-07-02 09:00:00"},
            {"refund_id": "6", "order_id": "2", "created_at": "2026-07-03 09:00:00"},
        ],
        refund_lines=[
            {"refund_line_id": "51", "refund_id": "5", "line_id": "11", "quantity": 1, "restocked": True,
             "subtotal": "55.00", "tax": "11.55", "currency": "EUR"},
            {"refund_line_id": "61", "refund_id": "6", "line_id": "21", "quantity": 1, "restocked": False,
             "subtotal": "66.55", "tax": "11.55", "currency": "EUR"},
        ],
        refund_adjustments=[
            {"adjustment_id": "1", "refund_id": "5", "kind": "difference", "amount": "-3.00", "tax": "-0.63",
             "currency": "EUR"},
            {"adjustment_id": "1", "refund_id": "5", "kind": "shipping", "amount": "5.95", "tax": "1.25",
             "currency": "EUR"},
        ],
    )  # fmt: skip
    found = staging.rows(
        "stg_shopify__revenue_events", "revenue_event_id", "original_order_id", "order_id",
        "strftime(occurred_at, '%m-%d')", "amount", "tax_amount", "shipping_amount", "cost_amount",
        "event_type",
    )  # fmt: skip
    assert [row for row in found if row[-1] == "refund"] == [
        ("refund-difference-1", "1", None, "07-02", -3.0, -0.63, None, None, "refund"),
        ("refund-line-51", "1", None, "07-02", -55.0, -11.55, None, -20.0, "refund"),
        ("refund-line-61", "2", None, "07-03", -55.0, -11.55, None, 0.0, "refund"),
        ("refund-shipping-1", "1", None, "07-02", 0.0, -1.25, -5.95, None, "refund"),
    ]
    totals = staging.rows(
        "stg_shopify__control_totals", "strftime(date, '%m-%d')", "total", "measure", order_by="measure, date"
    )
    assert totals == [
        (
            "06-10",
            196.9,
            "amount",
        ),  # 110, and 110 less the tax inside it: the order's own word, not the lines'
        ("07-02", -58.0, "amount"),
        ("07-03", -55.0, "amount"),
        ("06-10", 2.0, "rows"),
        ("07-02", 3.0, "rows"),
        ("07-03", 1.0, "rows"),
    ]


@pytest.mark.parametrize(
    ("status", "cancelled_at", "counts"),
    [
        ("PAID", None, True),
        ("PENDING", None, True),
        (None, None, True),
        ("REFUNDED", "2026-06-11 08:00:00", True),
        ("PENDING", "2026-06-11 08:00:00", False),
        ("AUTHORIZED", "2026-06-11 08:00:00", False),
        ("VOIDED", None, False),
        ("EXPIRED", None, False),
    ],
)
def test_orders_that_were_never_paid_count_neither_with_their_lines_nor_with_what_went_back(
    staging: Staging, status: str | None, cancelled_at: str | None, counts: bool
) -> None:
    staging.write(
        "shopify",
        orders=[an_order("1", financial_status=status, cancelled_at=cancelled_at)],
        order_lines=[a_line("11", "1")],
        refunds=[{"refund_id": "5", "order_id": "1", "created_at": "2026-06-11 08:00:00"}],
        refund_lines=[
            {"refund_line_id": "51", "refund_id": "5", "line_id": "11", "quantity": 2, "restocked": True,
             "subtotal": "110.00", "tax": "0.00", "currency": "EUR"}
        ],
    )  # fmt: skip
    amounts = [110.0, -110.0] if counts else []
    assert [row[0] for row in staging.rows(
        "stg_shopify__revenue_events", "amount", order_by="occurred_at"
    )] == amounts  # fmt: skip
    assert len(staging.rows("stg_shopify__control_totals", "total")) == 2 * len(amounts)


def test_gift_cards_are_no_revenue_and_shipping_moves_to_the_first_line_that_is(staging: Staging) -> None:
    card = a_line("11", "1", is_gift_card=True, original_total="50.00", discount=None, tax=None)
    staging.write(
        "shopify",
        orders=[an_order("1", subtotal="160.00")],
        order_lines=[card, a_line("12", "1", position=2)],
    )
    assert staging.rows("stg_shopify__revenue_events", "revenue_event_id", "amount", "shipping_amount") == [
        ("line-12", 110.0, 5.95)
    ]
    assert ("amount", 110.0) in staging.rows("stg_shopify__control_totals", "measure", "total")


def test_costs_in_another_currency_are_unknown_not_mixed(staging: Staging) -> None:
    staging.write(
        "shopify",
        variants=[{**A_VARIANT, "unit_cost_currency": "USD"}],
        orders=[an_order("1")],
        order_lines=[a_line("11", "1")],
    )
    assert staging.rows("stg_shopify__revenue_events", "cost_amount") == [(None,)]


def test_a_checkout_that_was_left_is_the_event_that_fills_abandoned_carts(staging: Staging) -> None:
    left = {"created_at": "2026-06-10 08:00:00", "updated_at": "2026-06-10 08:10:00", "email_hash": "v1:ann",
            "subtotal": "60.50", "total": "66.45", "currency": "eur"}  # fmt: skip
    staging.write(
        "shopify",
        abandoned_checkouts=[
            {**left, "checkout_id": "1", "attributes": '{"client_id":"12.34"}'},
            {**left, "checkout_id": "2", "customer_id": "9", "attributes": "{}"},
        ],
    )
    assert staging.rows(
        "stg_shopify__web_events", "event_id", "anonymous_id", "event_name", "email_hash", "value", "currency"
    ) == [
        ("checkout-1", "12.34", "begin_checkout", "v1:ann", 60.5, "EUR"),
        ("checkout-2", "customer-9", "begin_checkout", "v1:ann", 60.5, "EUR"),
    ]
    assert ("web_events", 2.0) in staging.rows("stg_shopify__control_totals", "entity", "total")


# ---------------------------------------------------------------------------------------------- the sandbox


class Tables:
    """A company of three orders, one of them long ago."""

    def __init__(self) -> None:
        import duckdb

        con = duckdb.connect()
        con.execute(
            """
            create table shop_products as
            select 'D1' as product_id, 'Desk lamp' as product_name, 'desk' as category,
                cast(6000 as bigint) as price_eur_minor, cast(2500 as bigint) as cost_eur_minor;
            create table shop_order_lines as
            select 'FL-' || n || '-' || line as line_id, 'FL-' || n as order_id, moment as occurred_at,
                moment + interval 1 hour as visible_at, 'C30000' || n as customer_id,
                'ann' || n || '@example.com' as customer_email, cast(null as varchar) as user_id,
                '1.' || n as anonymous_id, 'D1' as product_id, 'Desk lamp' as product_name,
                cast(1 as bigint) as quantity, cast(5000 as bigint) as amount_minor,
                cast(500 as bigint) as discount_minor, cast(1050 as bigint) as tax_minor,
                cast(0 as bigint) as shipping_minor, cast(2500 as bigint) as cost_minor,
                'EUR' as currency, 'NL' as country, false as is_test
            from (values (1, timestamp '2026-02-01 10:00:00.25'), (2, timestamp '2026-06-01 10:00:00'),
                (3, timestamp '2026-06-10 10:00:00')) as orders (n, moment), range(1, 8) as lines (line);
            create table shop_refund_lines as
            select 'R-' || line_id as refund_line_id, order_id as original_order_id,
                line_id as original_line_id, timestamp '2026-06-03 09:00:00' as occurred_at,
                timestamp '2026-06-03 09:30:00' as visible_at, customer_id, customer_email, product_id,
                product_name, quantity, -amount_minor as amount_minor, -tax_minor as tax_minor,
                -cost_minor as cost_minor, currency, country
            from shop_order_lines where order_id = 'FL-2';
            create table web_events as
            select 'begin_checkout' as event_name, '1.3' as client_id, cast(77 as bigint) as ga_session_id,
                timestamp '2026-06-12 08:00:00' as occurred_at, cast(12000 as bigint) as value_minor,
                '[{"item_id":"D1","item_name":"Desk lamp","price_minor":6000,"quantity":2}]' as items,
                'EUR' as currency, false as is_bot
            """
        )
        names = ("shop_products", "shop_order_lines", "shop_refund_lines", "web_events")
        self.tables = {name: con.sql(f"from {name}").to_arrow_table() for name in names}


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with running(Tables(), AS_OF) as url:
        yield url


@pytest.fixture
def live(base_url: str, context_of: Callable[..., Context]) -> Callable[..., Context]:
    """A context at the sandbox's server, with an older app's token where one is given."""

    def make(token: str = "", **more: Any) -> Context:
        values = {
            "BASE_URL": f"{base_url}/shopify/{{account}}",
            "CLIENT_ID": oauth.CLIENT_ID,
            "CLIENT_SECRET": oauth.CLIENT_SECRET,
            "ACCESS_TOKEN": token,
        }
        return context_of("shopify", "fjordlight-nl", values=values, **more)

    return make


def sent(base_url: str, query: str, **variables: Any) -> Any:
    url = f"{base_url}/shopify/fjordlight-nl{PATH}"
    headers = {"X-Shopify-Access-Token": server.RECENT_TOKEN}
    answer = requests.post(url, json={"query": query, "variables": variables}, headers=headers, timeout=30)
    assert answer.status_code == 200
    return answer.json()


def test_every_query_is_allowed_by_the_schema_and_below_the_price_of_one(
    live: Callable[..., Context],
) -> None:
    found = {name: read(live(), name) for name in RESOURCES}
    assert len(found["orders"]["order_lines"]) == 3 * 7  # five come with the order
    assert len(found["orders"]["refund_lines"]) == 7
    assert found["abandoned_checkouts"]["abandoned_checkout_lines"][0]["quantity"] == 2
    assert found["catalogue"]["variants"][0]["unit_cost"] == "25.00"
    assert {table.name for resource in SYSTEM.resources for table in resource.tables} == {
        name for tables in found.values() for name in tables
    }
    (first, *_) = found["orders"]["orders"]
    assert first["processed_at"] == "2026-02-01T10:00:01Z"  # whole seconds, the next one
    cancelled = next(row for row in found["orders"]["orders"] if row["cancelled_at"])
    assert (cancelled["name"], cancelled["financial_status"]) == ("FL-2", "REFUNDED")


def test_a_refund_moves_its_order_to_the_end_of_what_changed(live: Callable[..., Context]) -> None:
    cursor = datetime(2026, 6, 3, 10, 0)  # an hour back is before the refund, and after the order
    found = read(live(cursors={"orders": cursor}))
    assert [row["name"] for row in found["orders"]] == ["FL-2", "FL-3"]


def test_a_reading_every_other_day_equals_one_at_the_end(live: Callable[..., Context], base_url: str) -> None:
    tables = {table.name: table for table in SYSTEM.tables}

    def taken(**more: Any) -> dict[tuple[Any, ...], Any]:
        return {
            (table, *(record[key] for key in tables[table].key)): record
            for resource in RESOURCES
            for table, records in read(live(**more), resource).items()
            for record in records
        }

    at_the_end = taken()
    state: dict[tuple[Any, ...], Any] = {}
    cursors: dict[str, datetime] = {}
    try:
        for day in range(1, 16, 2):
            clock = {"as_of": f"2026-06-{day:02d}T03:00:00Z"}
            requests.post(f"{base_url}/_sandbox/clock", json=clock, timeout=30).raise_for_status()
            found = taken(cursors=dict(cursors))
            assert day == 1 or len(found) < len(at_the_end)
            state |= found
            for (table, *_), record in found.items():
                if tables[table].cursor:
                    moment = datetime.fromisoformat(record["updated_at"][:-1])
                    cursors[table] = max(cursors.get(table, moment), moment)
    finally:
        requests.post(f"{base_url}/_sandbox/clock", json={"as_of": AS_OF.isoformat()}, timeout=30)
    assert state == at_the_end
    assert len(state) > 40


def test_without_the_scope_only_sixty_days_of_orders_are_shown_and_doctor_says_so(
    live: Callable[..., Context],
) -> None:
    recent = live(server.RECENT_TOKEN)
    assert {row["name"] for row in read(recent)["orders"]} == {"FL-2", "FL-3"}
    assert "60 days of orders (no read_all_orders)" in SYSTEM.check(recent.connection)
    assert "all orders" in SYSTEM.check(live().connection)


def test_a_version_that_is_no_longer_served_is_named(live: Callable[..., Context], base_url: str) -> None:
    context = live()
    connection = context.connection
    older = type(connection)(
        connection.system, accounts=connection.accounts,
        values={**connection.values, "API_VERSION": "2024-01"},
    )  # fmt: skip
    with pytest.raises(ConfigurationError, match="answers with version 2025-10 where 2024-01"):
        SYSTEM.check(older)


def test_a_wrong_token_is_one_line_without_it(live: Callable[..., Context]) -> None:
    with pytest.raises(Unauthorized) as error:
        SYSTEM.check(live("secret-canary-9c1d").connection)
    assert "secret-canary" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("query", "code", "text"),
    [
        (
            "{ orders(first: 5) { nodes { id colour } } }",
            "undefinedField",
            "Field 'colour' doesn't exist on type 'Order'",
        ),
        ("{ orders(first: 5) { nodes { id ", None, "syntax error"),
        ("{ orders { nodes { id } } }", "BAD_REQUEST", "you must provide one of first or last"),
        ("{ orders(first: 251) { nodes { id } } }", "ARGUMENT_OUT_OF_RANGE", "between 1 and 250"),
        ("{ orders(first: 5, sortKey: COLOUR) { nodes { id } } }", "invalidQuery", "COLOUR"),
        ('{ orders(first: 5, after: "x") { nodes { id } } }', "BAD_REQUEST", "Invalid cursor"),
        (
            "{ orders(first: 250) { nodes { id lineItems(first: 9) { nodes { id } } } } }",
            "MAX_COST_EXCEEDED",
            "Query cost is 3002, which exceeds the single query max cost limit (1000).",
        ),
    ],
)  # fmt: skip
def test_the_sandbox_refuses_what_the_vendor_would(base_url: str, query: str, code: str, text: str) -> None:
    answer = sent(base_url, query)
    assert "data" not in answer
    (error,) = answer["errors"]
    assert text in error["message"]
    assert (error.get("extensions") or {}).get("code") == code


def test_the_sandbox_passes_over_a_filter_that_does_not_exist_and_warns(base_url: str) -> None:
    answer = sent(
        base_url, '{ orders(first: 5, query: "colour:red") { nodes { name } pageInfo { hasNextPage } } }'
    )
    assert len(answer["data"]["orders"]["nodes"]) == 2
    assert answer["extensions"]["search"][0]["warnings"][0]["code"] == "invalid_field"
    cost = answer["extensions"]["cost"]
    assert (cost["requestedQueryCost"], cost["actualQueryCost"]) == (7, 4)


def test_cursors_of_the_sandbox_hold_while_records_move(base_url: str) -> None:
    query = """query ($after: String) { orders(first: 1, after: $after, sortKey: UPDATED_AT) {
        edges { cursor node { name } } pageInfo { hasNextPage endCursor } } }"""
    first = sent(base_url, query)["data"]["orders"]
    second = sent(base_url, query, after=first["pageInfo"]["endCursor"])["data"]["orders"]
    names = [part["edges"][0]["node"]["name"] for part in (first, second)]
    assert (names, second["pageInfo"]["hasNextPage"]) == (["FL-2", "FL-3"], False)
    assert first["edges"][0]["cursor"] == first["pageInfo"]["endCursor"]


def test_a_throttled_answer_of_the_sandbox_is_the_vendors() -> None:
    response = server.refusal("rate_limit", {"retry_after": 3})
    assert response.status_code == 200
    assert limit_wait(200, {}, bytes(response.body)) == 3.0
