"""Stripe API, version 2023-08-16: customers, subscriptions, invoices with lines, charges, refunds, the
catalogue, events.

Every object is rendered as of a moment: the lists as of the clock, an event's object as of the event. Lists
are newest first and page by `starting_after`/`ending_before`; events reach back 30 days.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.servers._answers import Refused, answer, basic, bearer, digest, epoch, joined
from sandbox.world import World

API_KEY = "sk_test_sandbox0000000000000000"
ACCOUNT = "acct_1Sandbox"
VERSION = "2023-08-16"
EVENT_DAYS = 30
INLINE_LINES = 10
LISTS = ("data",)
SUBSCRIPTION_STATES = (
    "active", "past_due", "unpaid", "canceled", "incomplete", "incomplete_expired", "trialing", "paused",
    "all",
    "ended",
)  # fmt: skip
FILTERS: dict[str, tuple[str, ...]] = {
    "customers": ("email",),
    "subscriptions": ("customer", "price", "status", "collection_method"),
    "invoices": ("customer", "subscription", "status", "collection_method"),
    "charges": ("customer", "payment_intent"),
    "refunds": ("charge", "payment_intent"),
    "products": ("active",),
    "prices": ("active", "product", "currency", "type"),
    "credit_notes": ("customer", "invoice"),
    "events": ("type", "types"),
}
NOT_BY_CREATION = ("credit_notes",)


@dataclass(frozen=True)
class Item:
    """A rendered object with what lists filter by."""

    id: str
    created: int
    raw: bytes
    facets: Mapping[str, str | None] = field(default_factory=dict)


@dataclass
class Books:
    """The company's billing tables, indexed once for ever."""

    customers: list[dict[str, Any]]
    prices: dict[str, dict[str, Any]]
    products: dict[str, dict[str, Any]]
    subscriptions: list[dict[str, Any]]
    versions: dict[str, list[dict[str, Any]]]
    invoices: list[dict[str, Any]]
    lines: dict[str, list[dict[str, Any]]]
    refunds: list[dict[str, Any]]
    refunds_of: dict[str, list[dict[str, Any]]]
    credited: dict[str, list[dict[str, Any]]]  # refunds that a credit note made, by invoice
    invoices_of: dict[str, list[dict[str, Any]]]  # by subscription, oldest first


def routes(world: World) -> list[Route]:
    """Return the paths of this vendor."""

    def endpoint(handler: Callable[[Request, World], Response]) -> Callable[[Request], Any]:
        async def run(request: Request) -> Response:
            _authenticate(request)
            response = handler(request, world)
            response.headers["Request-Id"] = "req_" + digest(request.url, world.as_of, length=14)
            response.headers["Stripe-Version"] = request.headers.get("stripe-version", VERSION)
            return response

        return run

    found = [Route("/v1/account", endpoint(_account), methods=["GET"])]
    for name in FILTERS:
        found.append(Route(f"/v1/{name}", endpoint(_listing(name)), methods=["GET"]))
        found.append(Route(f"/v1/{name}/{{id}}", endpoint(_one(name)), methods=["GET"]))
    found.append(Route("/v1/invoices/{id}/lines", endpoint(_invoice_lines), methods=["GET"]))
    return found


def environment(base_url: str) -> dict[str, str]:
    """Return the variables that point the connector at this server."""
    return {"SOURCES__STRIPE__BASE_URL": f"{base_url}/stripe", "SOURCES__STRIPE__API_KEY": API_KEY}


# ------------------------------------------------------------------------------------------------- errors


def _error(status: int, message: str, kind: str = "invalid_request_error", **more: str) -> Response:
    error: dict[str, str] = {"message": message, "type": kind, **more}
    if "code" in more:
        error["doc_url"] = f"https://stripe.com/docs/error-codes/{more['code'].replace('_', '-')}"
    return answer({"error": error}, status, {"Request-Id": "req_" + digest(message, length=14)})


def _missing(kind: str, wanted: str, param: str = "id", status: int = 404) -> Refused:
    text = f"No such {kind.rstrip('s').replace('_', ' ')}: '{wanted}'"
    return Refused(_error(status, text, code="resource_missing", param=param))


def refusal(kind: str, params: Mapping[str, Any]) -> Response:
    """Return the vendor's own answer for a fault."""
    if kind == "rate_limit":
        text = "Request rate limit exceeded. You can learn more about rate limits here https://stripe.com/docs/rate-limits."
        response = _error(429, text, code="rate_limit")
        response.headers["Retry-After"] = str(params.get("retry_after", 1))
        return response
    if kind == "server_error":
        text = "An unknown error occurred."
        return _error(int(params.get("status", 500)), text, "api_error")
    if kind == "expired_token":
        return _error(401, "Expired API Key provided: sk_test_****0000", code="api_key_expired")
    if kind == "expired_cursor":
        return _missing("object", "expired", "starting_after", 400).response
    text = f"Unrecognized request URL (GET: {params.get('path', '')}). Please see https://stripe.com/docs."
    return _error(404, text)


def _authenticate(request: Request) -> None:
    credentials = basic(request)
    key = bearer(request) if credentials is None else credentials[0]
    if not key:
        text = (
            "You did not provide an API key. You need to provide your API key in the Authorization header, "
            "using "
            "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
        )
        raise Refused(_error(401, text))
    if key != API_KEY:
        raise Refused(_error(401, f"Invalid API Key provided: {key[:8]}****{key[-4:]}"))


# -------------------------------------------------------------------------------------------------- books


def _by(rows: Iterable[dict[str, Any]], key: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row[key]].append(row)
    return found


def _books(world: World) -> Books:
    def build() -> Books:
        prices = {
            row["price_id"]: row for row in world.rows("select * from billing_prices order by created_at")
        }
        lines = world.rows("select * from invoice_lines order by invoice_id, line_number")
        products: dict[str, dict[str, Any]] = {}
        for row in prices.values():
            products.setdefault(row["product_id"], {**row, "name": row["product_name"]})
        invoices = world.rows("select * from invoices order by created_at")
        dates = {row["invoice_id"]: row["created_at"] for row in invoices}
        for line in sorted(lines, key=lambda row: dates[row["invoice_id"]]):
            known = {"name": line["product_name"], "created_at": dates[line["invoice_id"]], "plan": None}
            products.setdefault(line["product_id"], {"product_id": line["product_id"], **known})
        refunds = world.rows("select * from refunds order by created_at")
        contracts = {row["invoice_id"] for row in invoices if row["deal_id"] is not None}
        return Books(
            customers=world.rows("select * from billing_customers order by created_at"),
            prices=prices,
            products=products,
            subscriptions=world.rows("select * from subscriptions order by created_at"),
            versions=_by(
                world.rows("select * from subscription_changes order by subscription_id, version"),
                "subscription_id",
            ),
            invoices=invoices,
            lines=_by(lines, "invoice_id"),
            refunds=refunds,
            refunds_of=_by(refunds, "charge_id"),
            # The books of contracts are kept by credit notes; a refund of an app's invoice has none.
            credited=_by((row for row in refunds if row["invoice_id"] in contracts), "invoice_id"),
            invoices_of=_by((row for row in invoices if row["subscription_id"]), "subscription_id"),
        )

    return world.keep("stripe books", build)


def _reached(moment: datetime | None, at: datetime) -> bool:
    return moment is not None and moment <= at


# ------------------------------------------------------------------------------------------------- objects


def _customer(row: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {
        "user_id": row["user_id"],
        "company": row["company_name"],
        "crm_company_id": row["crm_company_id"],
    }
    country = row["country"]
    address = {
        "city": None,
        "country": country,
        "line1": None,
        "line2": None,
        "postal_code": None,
        "state": None,
    }
    return {
        "id": row["customer_id"],
        "object": "customer",
        "address": address if country else None,
        "balance": 0,
        "created": epoch(row["created_at"]),
        "currency": _lower(row["currency"]),
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": row["email"],
        "invoice_prefix": digest(row["customer_id"], length=8).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": not row["is_test"],
        "metadata": {key: value for key, value in metadata.items() if value is not None},
        "name": row["name"],
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def _lower(currency: str | None) -> str | None:
    return None if currency is None else currency.lower()


def _product(row: Mapping[str, Any]) -> dict[str, Any]:
    created = epoch(row["created_at"])
    return {
        "id": row["product_id"],
        "object": "product",
        "active": True,
        "created": created,
        "default_price": None,
        "description": None,
        "features": [],
        "images": [],
        "livemode": True,
        "metadata": {"plan": row["plan"]} if row["plan"] else {},
        "name": row["name"],
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "unit_label": None,
        "updated": created,
        "url": None,
    }


def _price(row: Mapping[str, Any]) -> dict[str, Any]:
    recurring = None
    if row["interval"]:
        recurring = {
            "aggregate_usage": None,
            "interval": row["interval"],
            "interval_count": 1,
            "usage_type": "licensed",
        }
    return {
        "id": row["price_id"],
        "object": "price",
        "active": row.get("active", True),
        "billing_scheme": "per_unit",
        "created": epoch(row["created_at"]),
        "currency": _lower(row["currency"]),
        "custom_unit_amount": None,
        "livemode": True,
        "lookup_key": None,
        "metadata": {},
        "nickname": row["plan"],
        "product": row["product_id"],
        "recurring": recurring,
        "tax_behavior": "exclusive",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if recurring else "one_time",
        "unit_amount": row["unit_amount_minor"],
        "unit_amount_decimal": str(row["unit_amount_minor"]),
    }


def _add_months(moment: datetime, months: int) -> datetime:
    """Return the same day and time some months later, the month's last day where it is shorter."""
    month = moment.month - 1 + months
    year, month = moment.year + month // 12, month % 12 + 1
    last = (datetime(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)).day
    return moment.replace(year=year, month=month, day=min(moment.day, last))


def _period(row: Mapping[str, Any], state: Mapping[str, Any], at: datetime) -> tuple[datetime, datetime]:
    """Return the subscription's current period at a moment."""
    if state["status"] == "trialing" and row["trial_start"] is not None:
        return row["trial_start"], row["trial_end"]
    anchor = row["billing_anchor"] or row["created_at"]
    step = 12 if state["interval"] == "year" else 1
    until = min(at, state["ended_at"]) if state["ended_at"] is not None else at
    count = max(0, ((until.year - anchor.year) * 12 + until.month - anchor.month) // step)
    while count > 0 and _add_months(anchor, count * step) > until:
        count -= 1
    return _add_months(anchor, count * step), _add_months(anchor, (count + 1) * step)


def _subscription(row: Mapping[str, Any], books: Books, at: datetime) -> dict[str, Any] | None:
    """Return the subscription as of a moment, None before its first state."""
    states = [state for state in books.versions.get(row["subscription_id"], []) if state["changed_at"] <= at]
    if not states:
        return None
    state = states[-1]
    start, end = _period(row, state, at)
    price = _price(books.prices[state["price_id"]])
    item_id = "si_" + digest(row["subscription_id"], length=14)
    item = {
        "id": item_id,
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": epoch(row["created_at"]),
        "metadata": {},
        "price": price,
        "quantity": state["quantity"],
        "subscription": row["subscription_id"],
        "tax_rates": [],
    }
    items = {
        "object": "list",
        "data": [item],
        "has_more": False,
        "url": f"/v1/subscription_items?subscription={row['subscription_id']}",
    }
    latest = [
        invoice["invoice_id"]
        for invoice in books.invoices_of.get(row["subscription_id"], [])
        if invoice["created_at"] <= at
    ]
    return {
        "id": row["subscription_id"],
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"enabled": False},
        "billing_cycle_anchor": epoch(row["billing_anchor"] or row["created_at"]),
        "billing_thresholds": None,
        "cancel_at": epoch(end) if state["cancel_at_period_end"] else None,
        "cancel_at_period_end": bool(state["cancel_at_period_end"]),
        "canceled_at": epoch(state["canceled_at"]),
        "cancellation_details": {
            "comment": None,
            "feedback": state["cancel_feedback"],
            "reason": state["cancel_reason"],
        },
        "collection_method": "charge_automatically",
        "created": epoch(row["created_at"]),
        "currency": _lower(row["currency"]),
        "current_period_end": epoch(end),
        "current_period_start": epoch(start),
        "customer": row["customer_id"],
        "days_until_due": None,
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discount": None,
        "ended_at": epoch(state["ended_at"]),
        "items": items,
        "latest_invoice": latest[-1] if latest else None,
        "livemode": row["livemode"],
        "metadata": {"plan": state["plan"]},
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": epoch(row["created_at"]),
        "status": state["status"],
        "test_clock": None,
        "transfer_data": None,
        "trial_end": epoch(row["trial_end"]),
        "trial_settings": {"end_behavior": {"missing_payment_method": "cancel"}},
        "trial_start": epoch(row["trial_start"]),
    }


def _line(row: Mapping[str, Any], invoice: Mapping[str, Any], books: Books) -> dict[str, Any]:
    known = books.prices.get(row["price_id"] or "")
    if known is None:  # an item without a catalogue price gets one of its own, as the vendor makes it
        quantity = row["quantity"] or 1
        known = {
            "price_id": "price_" + digest(row["line_id"], length=24),
            "product_id": row["product_id"],
            "plan": None,
            "interval": None,
            "active": False,
            "currency": row["currency"],
            "unit_amount_minor": round(row["amount_minor"] / quantity),
            "created_at": invoice["created_at"],
        }
    discount, tax = row["discount_minor"] or 0, row["tax_minor"] or 0
    subscribed = row["subscription_id"] is not None and not row["is_proration"]
    return {
        "id": row["line_id"],
        "object": "line_item",
        "amount": row["amount_minor"],
        "amount_excluding_tax": row["amount_minor"],
        "currency": _lower(row["currency"]),
        "description": row["description"],
        "discount_amounts": [{"amount": discount, "discount": _discount_id(invoice)}] if discount else [],
        "discountable": True,
        "discounts": [],
        "livemode": not invoice["is_test"],
        "metadata": {},
        "period": {"end": epoch(row["period_end"]), "start": epoch(row["period_start"])},
        "price": _price(known),
        "proration": bool(row["is_proration"]),
        "proration_details": {"credited_items": None},
        "quantity": row["quantity"],
        "subscription": row["subscription_id"],
        "tax_amounts": [_tax(tax, invoice)] if tax else [],
        "tax_rates": [],
        "type": "subscription" if subscribed else "invoiceitem",
    }


def _discount_id(invoice: Mapping[str, Any]) -> str:
    return "di_" + digest(invoice["invoice_id"], length=24)


def _tax(amount: int, invoice: Mapping[str, Any]) -> dict[str, Any]:
    rate = "txr_" + digest(invoice["currency"], length=24)
    return {
        "amount": amount,
        "inclusive": False,
        "tax_rate": rate,
        "taxability_reason": None,
        "taxable_amount": None,
    }


def _invoice(
    row: Mapping[str, Any], books: Books, at: datetime, customers: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the invoice as of a moment."""
    paid, voided = _reached(row["paid_at"], at), _reached(row["voided_at"], at)
    lost = _reached(row["uncollectible_at"], at)
    status = "paid" if paid else "void" if voided else "uncollectible" if lost else "open"
    due = max(0, row["total_minor"])
    lines = books.lines.get(row["invoice_id"], [])
    shown = [_line(line, row, books) for line in lines[:INLINE_LINES]]
    customer = customers.get(row["customer_id"], {})
    discount, tax = row["discount_minor"] or 0, row["tax_minor"] or 0
    net = row["subtotal_minor"] - discount
    charged = paid and row["charge_id"] is not None
    return {
        "id": row["invoice_id"],
        "object": "invoice",
        "account_country": "NL",
        "account_name": "Fjordlight",
        "account_tax_ids": None,
        "amount_due": due,
        "amount_paid": due if paid else 0,
        "amount_remaining": 0 if paid else due,
        "amount_shipping": 0,
        "application": None,
        "application_fee_amount": None,
        "attempt_count": 1 if paid or lost else 0,
        "attempted": paid or lost,
        "auto_advance": False,
        "automatic_tax": {"enabled": False, "status": None},
        "billing_reason": row["billing_reason"],
        "charge": row["charge_id"] if charged else None,
        "collection_method": "charge_automatically" if row["subscription_id"] else "send_invoice",
        "created": epoch(row["created_at"]),
        "currency": _lower(row["currency"]),
        "custom_fields": None,
        "customer": row["customer_id"],
        "customer_address": None,
        "customer_email": customer.get("email"),
        "customer_name": customer.get("name"),
        "customer_phone": None,
        "customer_shipping": None,
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discount": None,
        "discounts": [],
        "due_date": None if row["subscription_id"] else epoch(row["due_at"]),
        "effective_at": epoch(row["created_at"]),
        "ending_balance": 0,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "last_finalization_error": None,
        "latest_revision": None,
        "lines": {
            "object": "list",
            "data": shown,
            "has_more": len(lines) > INLINE_LINES,
            "url": f"/v1/invoices/{row['invoice_id']}/lines",
        },
        "livemode": not row["is_test"],
        "metadata": {"deal_id": row["deal_id"]} if row["deal_id"] else {},
        "next_payment_attempt": None,
        "number": row["number"],
        "on_behalf_of": None,
        "paid": paid,
        "paid_out_of_band": False,
        "payment_intent": row["payment_intent_id"],
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": None,
        },
        "period_end": epoch(row["period_end"]),
        "period_start": epoch(row["period_start"]),
        "post_payment_credit_notes_amount": sum(
            note["amount_minor"]
            for note in books.credited.get(row["invoice_id"], [])
            if note["created_at"] <= at
        ),
        "pre_payment_credit_notes_amount": 0,
        "quote": None,
        "receipt_number": None,
        "rendering_options": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": 0,
        "statement_descriptor": None,
        "status": status,
        "status_transitions": {
            "finalized_at": epoch(row["created_at"]),
            "marked_uncollectible_at": epoch(row["uncollectible_at"]) if lost else None,
            "paid_at": epoch(row["paid_at"]) if paid else None,
            "voided_at": epoch(row["voided_at"]) if voided else None,
        },
        "subscription": row["subscription_id"],
        "subtotal": row["subtotal_minor"],
        "subtotal_excluding_tax": row["subtotal_minor"],
        "tax": tax,
        "test_clock": None,
        "total": row["total_minor"],
        "total_discount_amounts": [{"amount": discount, "discount": _discount_id(row)}] if discount else [],
        "total_excluding_tax": net,
        "total_tax_amounts": [_tax(tax, row)] if tax else [],
        "transfer_data": None,
        "webhooks_delivered_at": epoch(row["created_at"]),
    }


def _charge(
    row: Mapping[str, Any], books: Books, at: datetime, customers: Mapping[str, Any]
) -> dict[str, Any]:
    refunded = sum(
        r["amount_minor"] for r in books.refunds_of.get(row["charge_id"], []) if r["created_at"] <= at
    )
    customer = customers.get(row["customer_id"], {})
    blank = dict.fromkeys(("city", "line1", "line2", "postal_code", "state"))
    return {
        "id": row["charge_id"],
        "object": "charge",
        "amount": max(0, row["total_minor"]),
        "amount_captured": max(0, row["total_minor"]),
        "amount_refunded": refunded,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": "txn_" + digest(row["charge_id"], length=24),
        "billing_details": {
            "address": {**blank, "country": customer.get("country")},
            "email": customer.get("email"),
            "name": customer.get("name"),
            "phone": None,
        },
        "calculated_statement_descriptor": "FJORDLIGHT",
        "captured": True,
        "created": epoch(row["paid_at"]),
        "currency": _lower(row["currency"]),
        "customer": row["customer_id"],
        "description": None,
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "invoice": row["invoice_id"],
        "livemode": not row["is_test"],
        "metadata": {},
        "on_behalf_of": None,
        "outcome": None,
        "paid": True,
        "payment_intent": row["payment_intent_id"],
        "payment_method": None,
        "payment_method_details": None,
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": None,
        "refunded": refunded >= row["total_minor"] > 0,
        "review": None,
        "shipping": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "succeeded",
        "transfer_data": None,
        "transfer_group": None,
    }


def _refund(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row["refund_id"],
        "object": "refund",
        "amount": row["amount_minor"],
        "balance_transaction": "txn_" + digest(row["refund_id"], length=24),
        "charge": row["charge_id"],
        "created": epoch(row["created_at"]),
        "currency": _lower(row["currency"]),
        "metadata": {},
        "payment_intent": row["payment_intent_id"],
        "reason": row["reason"],
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": row["status"],
        "transfer_reversal": None,
    }


def _credit_note(refund: Mapping[str, Any], invoice: Mapping[str, Any]) -> dict[str, Any]:
    """The note that made a refund of a contract's invoice."""
    total = refund["amount_minor"]
    net = round(total * (invoice["total_minor"] - (invoice["tax_minor"] or 0)) / invoice["total_minor"])
    tax = {**_tax(total - net, invoice), "inclusive": False}
    note_id = "cn_1" + digest(refund["refund_id"], length=23)
    line = {
        "id": "cnli_1" + digest(refund["refund_id"], "line", length=23),
        "object": "credit_note_line_item",
        "amount": net,
        "amount_excluding_tax": net,
        "description": "Refund",
        "discount_amount": 0,
        "discount_amounts": [],
        "livemode": not invoice["is_test"],
        "quantity": 1,
        "tax_amounts": [tax] if total > net else [],
        "tax_rates": [],
        "type": "custom_line_item",
        "unit_amount": net,
        "unit_amount_decimal": str(net),
        "unit_amount_excluding_tax": str(net),
    }
    return {
        "id": note_id,
        "object": "credit_note",
        "amount": total,
        "amount_shipping": 0,
        "created": epoch(refund["created_at"]),
        "currency": _lower(refund["currency"]),
        "customer": refund["customer_id"],
        "customer_balance_transaction": None,
        "discount_amount": 0,
        "discount_amounts": [],
        "effective_at": epoch(refund["created_at"]),
        "invoice": invoice["invoice_id"],
        "lines": {
            "object": "list",
            "data": [line],
            "has_more": False,
            "url": f"/v1/credit_notes/{note_id}/lines",
        },
        "livemode": not invoice["is_test"],
        "memo": None,
        "metadata": {},
        "number": f"{invoice['number']}-CN-01",
        "out_of_band_amount": None,
        "pdf": f"https://pay.stripe.com/credit_notes/{note_id}/pdf",
        "reason": "order_change",
        "refund": refund["refund_id"],
        "shipping_cost": None,
        "status": "issued",
        "subtotal": net,
        "subtotal_excluding_tax": net,
        "tax_amounts": [tax] if total > net else [],
        "total": total,
        "total_excluding_tax": net,
        "type": "post_payment",
        "voided_at": None,
    }


# --------------------------------------------------------------------------------------------------- lists


def _now(world: World) -> datetime:
    return world.as_of.replace(tzinfo=None)


def _customers_by_id(world: World) -> dict[str, dict[str, Any]]:
    rows = _books(world).customers
    return world.keep("stripe customers", lambda: {row["customer_id"]: row for row in rows})


def _subscription_rows(world: World) -> list[dict[str, Any]]:
    """Return the subscriptions with the mode (live or test) of their customer."""

    def build() -> list[dict[str, Any]]:
        customers = _customers_by_id(world)
        return [
            {**row, "livemode": not customers[row["customer_id"]]["is_test"]}
            for row in _books(world).subscriptions
        ]

    return world.keep("stripe subscriptions", build)


def _item(shown: Mapping[str, Any], **facets: str | None) -> Item:
    return Item(shown["id"], shown["created"], orjson.dumps(shown), facets)


def _render(world: World, name: str) -> list[Item]:
    """Return every object of a list at the clock, newest first."""
    books, now, customers = _books(world), _now(world), _customers_by_id(world)
    items: list[Item] = []
    if name == "customers":
        items = [
            _item(_customer(row), email=row["email"]) for row in books.customers if row["created_at"] <= now
        ]
    elif name == "products":
        items = [
            _item(_product(row), active="true") for row in books.products.values() if row["created_at"] <= now
        ]
    elif name == "prices":
        for row in books.prices.values():
            if row["created_at"] <= now:
                shown = _price(row)
                facets = {"product": shown["product"], "currency": shown["currency"], "type": shown["type"]}
                items.append(_item(shown, active=str(shown["active"]).lower(), **facets))
    elif name == "subscriptions":
        for row in _subscription_rows(world):
            shown_subscription = _subscription(row, books, now)
            if shown_subscription is not None:
                price = shown_subscription["items"]["data"][0]["price"]["id"]
                facets = {
                    "status": shown_subscription["status"],
                    "price": price,
                    "customer": row["customer_id"],
                }
                items.append(_item(shown_subscription, collection_method="charge_automatically", **facets))
    elif name == "invoices":
        for row in books.invoices:
            if row["created_at"] <= now:
                shown = _invoice(row, books, now, customers)
                facets = {
                    key: shown[key] for key in ("customer", "subscription", "status", "collection_method")
                }
                items.append(_item(shown, **facets))
    elif name == "charges":
        for row in books.invoices:
            if row["charge_id"] is not None and _reached(row["paid_at"], now):
                shown = _charge(row, books, now, customers)
                items.append(
                    _item(shown, customer=row["customer_id"], payment_intent=row["payment_intent_id"])
                )
    elif name == "refunds":
        for row in books.refunds:
            if row["created_at"] <= now:
                items.append(
                    _item(_refund(row), charge=row["charge_id"], payment_intent=row["payment_intent_id"])
                )
    elif name == "credit_notes":
        for refund, invoice in _noted(books):
            if refund["created_at"] <= now:
                shown = _credit_note(refund, invoice)
                items.append(_item(shown, customer=shown["customer"], invoice=shown["invoice"]))
    elif name == "events":
        items = _events(world)
    items.sort(key=lambda item: (item.created, item.id), reverse=True)
    return items


def _noted(books: Books) -> Iterable[tuple[dict[str, Any], dict[str, Any]]]:
    """The refunds that a credit note made, each with its invoice."""
    by_id = {row["invoice_id"]: row for row in books.invoices}
    return [(refund, by_id[name]) for name, refunds in books.credited.items() for refund in refunds]


def _all(world: World, name: str) -> list[Item]:
    return world.memo(("stripe", name), lambda: _render(world, name))


def _events(world: World) -> list[Item]:
    """Return an event for every change of the last 30 days, each with its object as it was then."""
    books, now, customers = _books(world), _now(world), _customers_by_id(world)
    since = now - timedelta(days=EVENT_DAYS)
    items: list[Item] = []

    def add(
        kind: str, moment: datetime | None, render: Callable[[datetime], Mapping[str, Any] | None]
    ) -> None:
        if moment is None or not since < moment <= now:
            return
        shown = render(moment)
        if shown is None:
            return
        event = {
            "id": "evt_" + digest(kind, shown["id"], moment.isoformat(), length=24),
            "object": "event",
            "api_version": VERSION,
            "created": epoch(moment),
            "data": {"object": shown},
            "livemode": shown.get("livemode", True),
            "pending_webhooks": 0,
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
        }
        items.append(_item(event, type=kind))

    for row in books.customers:
        add("customer.created", row["created_at"], lambda _, row=row: _customer(row))  # type: ignore[misc]
    for row in books.products.values():
        add("product.created", row["created_at"], lambda _, row=row: _product(row))  # type: ignore[misc]
    for row in books.prices.values():
        add("price.created", row["created_at"], lambda _, row=row: _price(row))  # type: ignore[misc]
    for row in _subscription_rows(world):
        states = books.versions.get(row["subscription_id"], [])
        kinds = {
            invoice["created_at"]: "updated" for invoice in books.invoices_of.get(row["subscription_id"], [])
        }
        for state in states:  # a renewal's invoice begins a period and so updates the subscription, too
            ended = state["status"] == "canceled"
            first = state["version"] == 1
            kinds[state["changed_at"]] = "created" if first else "deleted" if ended else "updated"
        for moment, kind in kinds.items():
            add(f"customer.subscription.{kind}", moment,
                lambda at, row=row: _subscription(row, books, at))  # type: ignore[misc]  # fmt: skip
    for row in books.invoices:
        moments = (
            ("created", row["created_at"]), ("finalized", row["created_at"]), ("paid", row["paid_at"]),
            ("voided", row["voided_at"]), ("marked_uncollectible", row["uncollectible_at"]),
        )  # fmt: skip
        for kind, moment in moments:
            add(f"invoice.{kind}", moment, lambda at, row=row: _invoice(row, books, at, customers))  # type: ignore[misc]
        if row["charge_id"] is not None:
            add("charge.succeeded", row["paid_at"], lambda at, row=row: _charge(row, books, at, customers))  # type: ignore[misc]
    charged = {row["charge_id"]: row for row in books.invoices if row["charge_id"] is not None}
    for row in books.refunds:
        add("refund.created", row["created_at"], lambda _, row=row: _refund(row))  # type: ignore[misc]
        if row["charge_id"] in charged:
            add("charge.refunded", row["created_at"],
                lambda at, row=charged[row["charge_id"]]: _charge(row, books, at, customers))  # type: ignore[misc]  # fmt: skip
    for refund, invoice in _noted(books):
        add("credit_note.created", refund["created_at"],
            lambda _, refund=refund, invoice=invoice: _credit_note(refund, invoice))  # type: ignore[misc]  # fmt: skip
    return items


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not text.lstrip("-").isdigit():
        raise Refused(_error(400, f"Invalid integer: {text}", code="parameter_invalid_integer", param=name))
    return int(text)


def _checked(request: Request, name: str) -> None:
    """Refuse parameters that the list does not know."""
    common = {"limit", "starting_after", "ending_before", "expand", *FILTERS[name]}
    if name not in NOT_BY_CREATION:
        common.add("created")
    for given in request.query_params:
        if given.partition("[")[0] not in common:
            text = f"Received unknown parameter: {given}"
            raise Refused(_error(400, text, code="parameter_unknown", param=given))


def _filtered(request: Request, name: str, items: list[Item]) -> list[Item]:
    query = request.query_params
    bounds: dict[str, Callable[[int, int], bool]] = {
        "created[gte]": lambda have, want: have >= want, "created[gt]": lambda have, want: have > want,
        "created[lte]": lambda have, want: have <= want, "created[lt]": lambda have, want: have < want,
        "created": lambda have, want: have == want,
    }  # fmt: skip
    for bound, holds in bounds.items():
        if bound in query:
            want = _number(request, bound, 0)
            items = [item for item in items if holds(item.created, want)]
    for facet in FILTERS[name]:
        value = query.get(facet)
        if facet == "status" and name == "subscriptions":
            value = value or ""
            if value and value not in SUBSCRIPTION_STATES:
                text = f"Invalid status: must be one of {', '.join(SUBSCRIPTION_STATES)}"
                raise Refused(_error(400, text, param="status"))
            if value == "all":
                continue
            if value in ("", "ended"):
                items = [i for i in items if (i.facets["status"] == "canceled") == (value == "ended")]
                continue
        if facet == "types":
            wanted = set(query.getlist("types[]")) | {
                v for k, v in query.multi_items() if k.startswith("types[")
            }
            items = [item for item in items if item.facets["type"] in wanted] if wanted else items
        elif facet == "type" and value and "*" in value:
            items = [item for item in items if (item.facets["type"] or "").startswith(value.rstrip("*"))]
        elif value:
            items = [item for item in items if item.facets.get(facet) == value]
    return items


def _paged(request: Request, items: list[Item], kind: str, url: str) -> Response:
    limit = _number(request, "limit", 10)
    if not 1 <= limit <= 100:
        bound = "less than or equal to 100" if limit > 100 else "greater than or equal to 1"
        text = f"This value must be {bound}."
        raise Refused(_error(400, text, code="parameter_invalid_integer", param="limit"))
    start, end = 0, len(items)
    query = request.query_params
    ids = {item.id: index for index, item in enumerate(items)}
    for name in ("starting_after", "ending_before"):
        if query.get(name) and query[name] not in ids:
            raise _missing(kind, query[name], name, 400)
    if query.get("starting_after"):
        start = ids[query["starting_after"]] + 1
        more = start + limit < end
        page = items[start : start + limit]
    elif query.get("ending_before"):
        end = ids[query["ending_before"]]
        more = end - limit > 0
        page = items[max(0, end - limit) : end]
    else:
        more = limit < end
        page = items[:limit]
    head = orjson.dumps({"object": "list", "url": url, "has_more": more})[:-1]
    return answer(
        head + b',"data":' + joined(item.raw for item in page) + b"}", media_type="application/json"
    )


def _listing(name: str) -> Callable[[Request, World], Response]:
    def run(request: Request, world: World) -> Response:
        _checked(request, name)
        key = ("stripe filtered", name, str(sorted(_facet_params(request))))
        items = world.memo(key, lambda: _filtered(request, name, _all(world, name)))
        return _paged(request, items, name, f"/v1/{name}")

    return run


def _facet_params(request: Request) -> list[tuple[str, str]]:
    skip = ("limit", "starting_after", "ending_before", "expand")
    return [(key, value) for key, value in request.query_params.multi_items() if key not in skip]


def _one(name: str) -> Callable[[Request, World], Response]:
    def run(request: Request, world: World) -> Response:
        items = world.memo(("stripe ids", name), lambda: {item.id: item for item in _all(world, name)})
        wanted = request.path_params["id"]
        if wanted not in items:
            raise _missing(name, wanted)
        return answer(items[wanted].raw, media_type="application/json")

    return run


def _invoice_lines(request: Request, world: World) -> Response:
    wanted = request.path_params["id"]
    invoice = next((row for row in _books(world).invoices if row["invoice_id"] == wanted), None)
    if invoice is None or invoice["created_at"] > _now(world):
        raise _missing("invoices", wanted)
    lines = [_line(line, invoice, _books(world)) for line in _books(world).lines.get(wanted, [])]
    created = epoch(invoice["created_at"]) or 0
    items = [Item(line["id"], created, orjson.dumps(line)) for line in lines]
    return _paged(request, items, "line_items", f"/v1/invoices/{wanted}/lines")


def _account(_: Request, __: World) -> Response:
    return answer(
        {
            "id": ACCOUNT,
            "object": "account",
            "business_type": "company",
            "charges_enabled": True,
            "country": "NL",
            "created": 1_704_067_200,
            "default_currency": "eur",
            "details_submitted": True,
            "email": "billing@fjordlight.example",
            "metadata": {},
            "payouts_enabled": True,
            "type": "standard",
        }
    )
