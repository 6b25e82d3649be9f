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
from tests.unit.systems.staging import Staging
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
    of_charge = {"ch_1": a_list({"id": "re_of_ch_1"}), None: a_list()}
    empty.on("/v1/refunds", lambda asked: of_charge[asked.query.get("charge")])
    context = context_of("stripe")
    cursor = context.as_of - timedelta(days=2)
    items = list(source.extract(context_of("stripe", cursors={"events": cursor})))
    assert ids(items, "invoices") == ["in_5"]
    assert ids(items, "charges") == ["ch_1"]
    assert ids(items, "refunds") == ["re_of_ch_1"]
    asked = next(asked for asked in empty.asked if asked.path == "/v1/events")
    since = str(int((cursor - timedelta(hours=1)).timestamp()))
    assert asked.query["created[gte]"] == since
    bounds = {(one.path, one.query.get("created[gte]")) for one in empty.asked}
    listed = {f"/v1/{name}" for name in ("customers", "subscriptions", "invoices", "charges", "refunds")}
    assert {path for path, bound in bounds if bound == since} == {*listed, "/v1/events"}
    assert "/v1/credit_notes" not in empty.paths()


def test_what_is_new_is_listed_by_creation_and_only_the_rest_is_read_one_by_one(
    empty: Vendor, context_of: Any
) -> None:
    changed = [event("invoice.paid", {"object": "invoice", "id": f"in_{n}"}) for n in (1, 2, 3)]
    empty.on("/v1/events", a_list(*changed))
    pages = {
        None: a_list(invoice(3, "paid", line(3)), more=True),
        "in_3": a_list(invoice(2, "open", line(2))),
    }
    empty.on("/v1/invoices", lambda asked: pages[asked.query.get("starting_after")])
    empty.on("/v1/invoices/in_1", invoice(1, "void", line(1)))
    context = context_of("stripe")
    items = list(source.extract(context_of("stripe", cursors={"events": context.as_of - timedelta(days=2)})))
    assert ids(items, "invoices") == ["in_3", "in_2", "in_1"]
    assert ids(items, "invoice_lines", "line_id") == ["il_3", "il_2", "il_1"]
    assert [path for path in empty.paths() if path.startswith("/v1/invoices/")] == ["/v1/invoices/in_1"]
    assert "/v1/credit_notes" not in empty.paths()  # their list cannot be filtered by creation


@pytest.mark.parametrize(
    ("kind", "name", "path"),
    [
        ("customer.subscription.deleted", "subscription", "/v1/subscriptions/x_1"),
        ("customer.deleted", "customer", "/v1/customers/x_1"),
        ("invoice.marked_uncollectible", "invoice", "/v1/invoices/x_1"),
        ("refund.updated", "refund", "/v1/refunds/x_1"),
        ("charge.refund.updated", "refund", "/v1/refunds/x_1"),
        ("credit_note.voided", "credit_note", "/v1/credit_notes/x_1"),
    ],
)
def test_an_old_object_that_changed_is_read_again_as_it_is_now(
    empty: Vendor, context_of: Any, kind: str, name: str, path: str
) -> None:
    empty.on("/v1/events", a_list(event(kind, {"object": name, "id": "x_1"})))
    empty.on(path, {"id": "x_1", "object": name, "status": "as it is now"})
    context = context_of("stripe")
    items = list(source.extract(context_of("stripe", cursors={"events": context.as_of - timedelta(days=20)})))
    table = next(entry.table.name for entry in source.KINDS if entry.object == name)
    assert ids(items, table) == ["x_1"]


def test_prices_that_are_no_longer_offered_are_read_too(empty: Vendor, context_of: Any) -> None:
    empty.on("/v1/prices", lambda asked: a_list({"id": f"price_{asked.query['active']}"}))
    items = list(source.extract(context_of("stripe")))
    assert ids(items, "prices") == ["price_true", "price_false"]


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
    bounds = ["created[gte]" in asked.query for asked in empty.asked if asked.path == "/v1/customers"]
    assert bounds == [True, False]  # what is new first: that it is many is no reason to list everything
    assert not [path for path in empty.paths() if path.startswith("/v1/customers/")]


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


# -------------------------------------------------------------------------------------------------- staging


def an_invoice(number: str, **more: Any) -> dict[str, Any]:
    return {
        "invoice_id": f"in_{number}",
        "customer_id": "cus_1",
        "email_hash": "v1:ann",
        "subscription_id": "sub_1",
        "status": "paid",
        "currency": "eur",
        "created_at": "2026-05-01 08:00:00",
        "paid_at": "2026-05-02 08:00:00",
        "total": 12100,
        "total_excluding_tax": 10000,
        "tax": 2100,
        "livemode": True,
        **more,
    }


def a_line(number: str, invoice_id: str = "in_1", **more: Any) -> dict[str, Any]:
    return {
        "line_id": f"il_{number}",
        "invoice_id": invoice_id,
        "subscription_id": "sub_1",
        "price_id": "price_1",
        "product_id": "prod_1",
        "unit_amount": 10000,
        "unit_amount_decimal": "10000",
        "billing_interval": "month",
        "interval_count": 1,
        "quantity": 1,
        "amount": 10000,
        "tax_amount": 2100,
        "currency": "eur",
        "period_start": "2026-05-01 08:00:00",
        "period_end": "2026-06-01 08:00:00",
        "proration": False,
        **more,
    }


def a_charge(number: str, **more: Any) -> dict[str, Any]:
    return {
        "charge_id": f"ch_{number}",
        "status": "succeeded",
        "paid": True,
        "amount": 12100,
        "currency": "eur",
        "created_at": "2026-05-02 08:00:00",
        "livemode": True,
        **more,
    }


A_SUBSCRIPTION = {
    "subscription_id": "sub_1",
    "customer_id": "cus_1",
    "status": "active",
    "currency": "eur",
    "livemode": True,
}
REVENUE = "stg_stripe__revenue_events"


@pytest.mark.parametrize(
    ("currency", "major"),
    [("eur", 100.0), ("jpy", 10000.0), ("krw", 10000.0), ("kwd", 10.0), ("tnd", 10.0), ("ugx", 100.0)],
)
def test_minor_units_are_those_of_the_currency(staging: Staging, currency: str, major: float) -> None:
    """Most currencies have hundredths, some none, some thousandths; UGX has none and comes as hundredths."""
    staging.write(
        "stripe",
        invoices=[an_invoice("1", currency=currency)],
        invoice_lines=[a_line("1", currency=currency)],
        subscriptions=[A_SUBSCRIPTION],
        charges=[a_charge("1", invoice_id="in_1", currency=currency)],
        refunds=[{"refund_id": "re_1", "charge_id": "ch_1", "amount": 6050, "currency": currency,
                  "status": "succeeded", "created_at": "2026-06-02 08:00:00"}],
    )  # fmt: skip
    assert staging.rows(REVENUE, "event_type", "amount", "currency") == [
        ("invoice", major, currency.upper()),
        ("refund", -major / 2, currency.upper()),
    ]
    assert staging.rows("stg_stripe__subscriptions", "mrr") == [(major,)]
    assert ("amount", major) in staging.rows("stg_stripe__control_totals", "measure", "total")


def test_refunds_stand_in_their_own_month_without_their_share_of_tax(staging: Staging) -> None:
    refund = {"charge_id": "ch_1", "currency": "eur", "created_at": "2026-07-02 08:00:00"}
    staging.write(
        "stripe",
        invoices=[an_invoice("1")],
        invoice_lines=[a_line("1")],
        charges=[a_charge("1", invoice_id="in_1"), a_charge("2", amount=500)],
        refunds=[
            {**refund, "refund_id": "re_1", "amount": 6050, "status": "succeeded"},
            {**refund, "refund_id": "re_2", "amount": 6050, "status": "failed"},
            {**refund, "refund_id": "re_3", "amount": 6050, "status": "pending"},
            {**refund, "refund_id": "re_4", "amount": 500, "status": "succeeded", "charge_id": "ch_2"},
        ],
    )
    assert staging.rows(
        REVENUE, "event_type", "strftime(occurred_at, '%m-%d')", "original_order_id", "amount", "tax_amount"
    ) == [
        ("invoice", "05-02", None, 100.0, 21.0),
        ("order", "05-02", None, 5.0, 0.0),
        ("refund", "07-02", "ch_2", -5.0, 0.0),
        ("refund", "07-02", "in_1", -50.0, -10.5),
    ]


@pytest.mark.parametrize(
    ("note", "refunded", "amounts"),
    [
        ({}, None, [(-100.0, -21.0)]),  # credited to the customer's balance, or paid back elsewhere
        ({"refund_id": "re_1"}, 12100, [(-100.0, -21.0)]),  # the refund says it all
        ({"refund_id": "re_1"}, 6050, [(-50.0, -10.5), (-50.0, -10.5)]),  # half of it refunded, half credited
        ({"status": "void"}, None, []),
    ],
)
def test_credit_notes_count_for_what_they_did_not_refund(
    staging: Staging, note: dict[str, Any], refunded: int | None, amounts: list[Any]
) -> None:
    credit = {"credit_note_id": "cn_1", "invoice_id": "in_1", "customer_id": "cus_1", "status": "issued",
              "currency": "eur", "total": 12100, "total_excluding_tax": 10000,
              "created_at": "2026-07-03 08:00:00", "livemode": True, **note}  # fmt: skip
    refund = {"refund_id": "re_1", "charge_id": "ch_1", "amount": refunded, "currency": "eur",
              "status": "succeeded", "created_at": "2026-07-03 08:00:00"}  # fmt: skip
    staging.write(
        "stripe",
        invoices=[an_invoice("1")],
        invoice_lines=[a_line("1")],
        charges=[a_charge("1", invoice_id="in_1")],
        refunds=[refund] if refunded else [],
        credit_notes=[credit],
    )
    found = staging.rows(REVENUE, "amount", "tax_amount", "event_type", "original_order_id")
    assert [row[:2] for row in found if row[2] == "refund"] == amounts
    assert {row[3] for row in found if row[2] == "refund"} <= {"in_1"}


@pytest.mark.parametrize("status", ["draft", "open", "void", "uncollectible"])
def test_only_paid_invoices_are_revenue(staging: Staging, status: str) -> None:
    staging.write(
        "stripe",
        invoices=[
            an_invoice("1", status=status, paid_at=None),
            # Written off, and paid after all.
            an_invoice("2", paid_at="2026-08-01 08:00:00"),
        ],
        invoice_lines=[a_line("1"), a_line("2", "in_2")],
        subscriptions=[A_SUBSCRIPTION],
        credit_notes=[
            {"credit_note_id": "cn_1", "invoice_id": "in_1", "status": "issued", "currency": "eur",
             "total": 12100, "total_excluding_tax": 10000, "created_at": "2026-05-03 08:00:00"}
        ],
    )  # fmt: skip
    assert staging.rows(REVENUE, "order_id", "strftime(occurred_at, '%m-%d')", "amount") == [
        ("in_2", "08-01", 100.0)
    ]
    assert len(staging.rows("stg_stripe__subscriptions", "valid_from")) == 1


def test_a_change_within_a_period_is_billed_by_both_halves_and_versioned_by_the_new_one(
    staging: Staging,
) -> None:
    half = {"proration": True, "period_start": "2026-05-16 08:00:00"}
    staging.write(
        "stripe",
        invoices=[an_invoice("1"), an_invoice("2", created_at="2026-05-16 08:00:00",
                                              paid_at="2026-05-16 09:00:00")],
        invoice_lines=[
            a_line("1"),
            a_line("2", "in_2", **half, amount=-5000, quantity=1, tax_amount=-1050),
            a_line("3", "in_2", **half, amount=10000, quantity=2, unit_amount=10000, tax_amount=2100),
        ],
        subscriptions=[A_SUBSCRIPTION],
    )  # fmt: skip
    assert staging.rows(REVENUE, "order_id", "amount") == [("in_1", 100.0), ("in_2", -50.0), ("in_2", 100.0)]
    assert staging.rows(
        "stg_stripe__subscriptions", "strftime(valid_from, '%m-%d')", "strftime(valid_to, '%m-%d')",
        "quantity", "mrr",
    ) == [("05-01", "05-16", 1.0, 100.0), ("05-16", None, 2.0, 200.0)]  # fmt: skip


@pytest.mark.parametrize(
    ("subscription", "valid_to", "is_involuntary"),
    [
        ({"status": "canceled", "canceled_at": "2026-05-20 08:00:00", "ended_at": "2026-05-20 08:00:00",
          "cancel_reason": "payment_failed"}, "05-20", True),
        ({"status": "canceled", "canceled_at": "2026-05-20 08:00:00", "ended_at": "2026-06-01 08:00:00",
          "cancel_reason": "cancellation_requested"}, "06-01", False),
        # Canceled for the period's end, which has not come.
        ({"status": "active", "canceled_at": "2026-05-20 08:00:00"}, None, False),
        ({"status": "unpaid"}, "06-01", None),
        ({"status": "past_due"}, None, None),
    ],
)  # fmt: skip
def test_a_canceled_subscription_ends_when_it_ended(
    staging: Staging, subscription: dict[str, Any], valid_to: str | None, is_involuntary: bool | None
) -> None:
    staging.write(
        "stripe",
        invoices=[an_invoice("1")],
        invoice_lines=[a_line("1")],
        subscriptions=[{**A_SUBSCRIPTION, **subscription}],
    )
    assert staging.rows("stg_stripe__subscriptions", "strftime(valid_to, '%m-%d')", "is_involuntary") == [
        (valid_to, is_involuntary)
    ]


def test_objects_of_test_mode_are_marked_and_make_no_subscription(staging: Staging) -> None:
    staging.write(
        "stripe",
        invoices=[an_invoice("1", livemode=False)],
        invoice_lines=[a_line("1")],
        subscriptions=[{**A_SUBSCRIPTION, "livemode": False}],
        charges=[a_charge("1", invoice_id="in_1", livemode=False), a_charge("2", livemode=False)],
        refunds=[{"refund_id": "re_1", "charge_id": "ch_1", "amount": 100, "currency": "eur",
                  "status": "succeeded", "created_at": "2026-06-02 08:00:00"}],
    )  # fmt: skip
    assert staging.rows(REVENUE, "event_type", "is_test") == [
        ("invoice", True), ("order", True), ("refund", True),
    ]  # fmt: skip
    assert staging.rows("stg_stripe__subscriptions", "subscription_id") == []
