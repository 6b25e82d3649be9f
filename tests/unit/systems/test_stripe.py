"""Stripe: lists first, then the event log; lines of invoices; objects that no longer exist."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest

from ingestion.errors import BadAnswer, ConfigurationError, Unauthorized
from ingestion.sources import Page
from ingestion.stripe import source
from ingestion.stripe.settings import API_VERSION, client_for
from tests.unit.systems.vendor import Reply, Vendor

LISTS = (
    "products",
    "prices",
    "customers",
    "subscriptions",
    "invoices",
    "charges",
    "refunds",
    "credit_notes",
    "events",
)


def a_list(*objects: Any, more: bool = False) -> dict[str, Any]:
    return {"object": "list", "data": list(objects), "has_more": more}


def line(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"il_{number}",
        "amount": 1000,
        "period": {"start": 1, "end": 2},
        "type": "subscription",
        **more,
    }


def invoice(number: int, status: str = "paid", *lines: Any, more: bool = False) -> dict[str, Any]:
    return {
        "id": f"in_{number}",
        "object": "invoice",
        "status": status,
        "lines": {"data": list(lines), "has_more": more},
    }


def event(kind: str, subject: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"evt_{kind}_{subject['id']}",
        "type": kind,
        "created": 1781400000,
        "data": {"object": subject},
    }


@pytest.fixture
def empty(vendor: Vendor) -> Vendor:
    for name in LISTS:
        vendor.on(f"/v1/{name}", a_list())
    return vendor


def ids(items: list[Any], table: str, key: str = "id") -> list[str]:
    found: list[str] = []
    for item in items:
        if isinstance(item, Page) and item.table == table:
            if item.body is not None:
                document = orjson.loads(item.body)
                found += [r[key] for r in (document[item.at] if item.at else [document])]
            else:
                found += [str(r[key]) for r in item.records or ()]
    return found


def test_first_load_lists_everything_with_canceled_subscriptions(empty: Vendor, context_of: Any) -> None:
    pages = {
        None: a_list(invoice(2, "paid", line(1)), more=True),
        "in_2": a_list(invoice(1, "draft", line(9))),
    }
    empty.on("/v1/invoices", lambda asked: pages[asked.query.get("starting_after")])
    items = list(source.extract(context_of("stripe")))
    assert ids(items, "invoices") == ["in_2", "in_1"]
    assert ids(items, "invoice_lines", "line_id") == ["il_1"]  # a draft's lines are not final
    subscriptions = next(asked for asked in empty.asked if asked.path == "/v1/subscriptions")
    assert subscriptions.query["status"] == "all"
    assert subscriptions.headers["Stripe-Version"] == API_VERSION


def test_later_loads_read_what_the_event_log_names(empty: Vendor, context_of: Any) -> None:
    empty.on(
        "/v1/events",
        a_list(
            event("invoice.paid", {"object": "invoice", "id": "in_5"}),
            event("invoice.finalized", {"object": "invoice", "id": "in_5"}),
            event("invoice.deleted", {"object": "invoice", "id": "in_6"}),
            event("charge.refunded", {"object": "charge", "id": "ch_1"}),
        ),
    )
    empty.on("/v1/invoices/in_5", invoice(5, "paid", line(1)))
    empty.on("/v1/charges/ch_1", {"id": "ch_1", "object": "charge"})
    empty.on("/v1/refunds", lambda asked: a_list({"id": f"re_of_{asked.query['charge']}"}))
    context = context_of("stripe")
    cursor = context.as_of - timedelta(days=2)
    items = list(source.extract(context_of("stripe", cursors={"events": cursor})))
    assert ids(items, "invoices") == ["in_5"]
    assert ids(items, "charges") == ["ch_1"]
    assert ids(items, "refunds") == ["re_of_ch_1"]
    asked = next(asked for asked in empty.asked if asked.path == "/v1/events")
    assert int(asked.query["created[gte]"]) == int((cursor - timedelta(hours=1)).timestamp())
    assert "/v1/invoices" not in empty.paths()


def test_after_a_long_pause_everything_is_listed_again(empty: Vendor, context_of: Any) -> None:
    context = context_of("stripe")
    list(source.extract(context_of("stripe", cursors={"events": context.as_of - timedelta(days=40)})))
    assert {"/v1/customers", "/v1/invoices", "/v1/refunds"} <= set(empty.paths())


def test_many_changes_are_listed_rather_than_read_one_by_one(
    empty: Vendor, context_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "RELIST_ABOVE", 1)
    changed = [event("customer.updated", {"object": "customer", "id": f"cus_{n}"}) for n in range(2)]
    empty.on("/v1/events", a_list(*changed))
    context = context_of("stripe")
    list(source.extract(context_of("stripe", cursors={"events": context.as_of - timedelta(days=2)})))
    assert empty.paths().count("/v1/customers") == 1


def test_lines_beyond_the_first_ten_are_read_from_their_own_list(vendor: Vendor, context_of: Any) -> None:
    pages = {None: a_list(line(1), line(2), more=True), "il_2": a_list(line(3))}
    vendor.on("/v1/invoices/in_1/lines", lambda asked: pages[asked.query.get("starting_after")])
    found = list(
        source.lines_of(client_for(context_of("stripe").connection), invoice(1, "paid", line(1), more=True))
    )
    assert [row["line_id"] for row in found] == ["il_1", "il_2", "il_3"]


def test_discounts_and_taxes_of_a_line_are_summed(vendor: Vendor, context_of: Any) -> None:
    taxed = line(
        1,
        discount_amounts=[{"amount": 100}, {"amount": 50}],
        tax_amounts=[{"amount": 20, "inclusive": True}, {"amount": 5, "inclusive": False}],
        price={
            "id": "price_1",
            "product": "prod_1",
            "unit_amount": 500,
            "recurring": {"interval": "year", "interval_count": 1},
        },
    )
    (row,) = source.lines_of(client_for(context_of("stripe").connection), invoice(1, "paid", taxed))
    assert (row["discount_amount"], row["tax_amount"], row["inclusive_tax_amount"]) == (150, 25, 20)
    assert (row["product_id"], row["billing_interval"]) == ("prod_1", "year")


def test_a_list_that_repeats_itself_fails(vendor: Vendor, empty: Vendor, context_of: Any) -> None:
    empty.on("/v1/products", lambda asked: a_list({"id": "prod_1"}, more=True))
    with pytest.raises(BadAnswer, match="twice"):
        list(source.extract(context_of("stripe")))


def test_check_names_the_account_and_refuses_another(empty: Vendor, context_of: Any) -> None:
    empty.on("/v1/account", {"id": "acct_1"})
    assert "acct_1" in source.check(context_of("stripe", account="acct_1").connection)
    with pytest.raises(ConfigurationError, match="the key is acct_1's"):
        source.check(context_of("stripe", account="acct_2").connection)


def test_a_wrong_key_is_one_line_without_the_key(vendor: Vendor, context_of: Any) -> None:
    vendor.on(
        "/v1/account",
        Reply({"error": {"type": "invalid_request_error", "message": "Invalid API Key: sk_***"}}, 401),
    )
    with pytest.raises(Unauthorized) as error:
        source.check(context_of("stripe").connection)
    assert "secret-canary" not in str(error.value)
    assert "\n" not in str(error.value)
