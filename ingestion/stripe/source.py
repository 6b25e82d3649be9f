"""What is read from Stripe: lists at first, then what is new and what the event log says has changed.

Lists can only be filtered by creation: they give what is new, a hundred a page. Updates come by `/v1/events`:
each changed object is read again as it is now, so that the order of events does not matter. The log reaches
back 30 days; after a longer pause everything is listed anew. Products and prices are few and are listed in
every run.

Invoice lines are taken once an invoice is finalised: from then on Stripe does not change them. Draft lines
come and go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ingestion.errors import BadAnswer, ConfigurationError, RequestRefused
from ingestion.http import Answer, ApiClient, after_last
from ingestion.records import Column, Table
from ingestion.settings import Connection
from ingestion.sources import Context, Item, Page, Resource, System
from ingestion.stripe.settings import API_VERSION, SETTINGS, SYSTEM_NAME, client_for

PAGE = 100
EVENT_LOG = timedelta(days=30)
SAFETY = timedelta(days=1)
"""The log is not trusted in its last day, nor is the moment of the first load: both are overlapped."""
RELIST_ABOVE = 500
"""More changed objects of one type than this are listed (100 a page) rather than read one by one."""

FINAL = ("open", "paid", "uncollectible", "void")

CUSTOMERS = Table(
    "customers",
    columns=(
        Column("customer_id", path="id", required=True),
        Column("email", "email"),
        Column("created_at", "timestamp", path="created", unit="s"),
        Column("country", path="address.country"),
        Column("currency"),
        Column("user_id", path="metadata.user_id"),
        Column("metadata", "json"),
        Column("livemode", "boolean"),
        Column("deleted", "boolean"),
    ),
    key=("customer_id",),
    ignored=(
        "object",
        "balance",
        "default_source",
        "delinquent",
        "description",
        "discount",
        "invoice_prefix",
        "invoice_settings",
        "name",
        "next_invoice_sequence",
        "phone",
        "preferred_locales",
        "shipping",
        "tax_exempt",
        "test_clock",
        "address",
        "cash_balance",
        "invoice_credit_balance",
        "customer_account",
        "sources",
        "subscriptions",
        "tax",
        "tax_ids",
    ),
    description="One customer; a deleted one keeps its id and nothing else.",
)
PRODUCTS = Table(
    "products",
    columns=(
        Column("product_id", path="id", required=True),
        Column("name"),
        Column("active", "boolean"),
        Column("metadata", "json"),
        Column("updated_at", "timestamp", path="updated", unit="s"),
    ),
    key=("product_id",),
    ignored=(
        "object",
        "created",
        "attributes",
        "default_price",
        "description",
        "features",
        "marketing_features",
        "images",
        "livemode",
        "package_dimensions",
        "shippable",
        "statement_descriptor",
        "tax_code",
        "type",
        "unit_label",
        "url",
    ),
    description="One product.",
)
PRICES = Table(
    "prices",
    columns=(
        Column("price_id", path="id", required=True),
        Column("product_id", path="product"),
        Column("nickname"),
        Column("currency"),
        Column("unit_amount", "bigint"),
        Column("unit_amount_decimal", "rate"),
        Column("billing_interval", path="recurring.interval"),
        Column("interval_count", "bigint", path="recurring.interval_count"),
        Column("active", "boolean"),
    ),
    key=("price_id",),
    ignored=(
        "object",
        "billing_scheme",
        "created",
        "custom_unit_amount",
        "livemode",
        "lookup_key",
        "metadata",
        "recurring",
        "tax_behavior",
        "tiers",
        "tiers_mode",
        "transform_quantity",
        "type",
        "currency_options",
    ),
    description="One price of one product.",
)
SUBSCRIPTIONS = Table(
    "subscriptions",
    columns=(
        Column("subscription_id", path="id", required=True),
        Column("customer_id", path="customer"),
        Column("status"),
        Column("currency"),
        Column("created_at", "timestamp", path="created", unit="s"),
        Column("start_at", "timestamp", path="start_date", unit="s"),
        Column("trial_start", "timestamp", unit="s"),
        Column("trial_end", "timestamp", unit="s"),
        Column("current_period_start", "timestamp", unit="s"),
        Column("current_period_end", "timestamp", unit="s"),
        Column("cancel_at_period_end", "boolean"),
        Column("canceled_at", "timestamp", unit="s"),
        Column("ended_at", "timestamp", unit="s"),
        Column("cancel_reason", path="cancellation_details.reason"),
        Column("cancel_feedback", path="cancellation_details.feedback"),
        Column("price_id", path="items.data.0.price.id"),
        Column("product_id", path="items.data.0.price.product"),
        Column("quantity", "double", path="items.data.0.quantity"),
        Column("billing_interval", path="items.data.0.price.recurring.interval"),
        Column("items", "json", path="items.data"),
        Column("metadata", "json"),
        Column("livemode", "boolean"),
    ),
    key=("subscription_id",),
    ignored=(
        "object",
        "application",
        "application_fee_percent",
        "automatic_tax",
        "billing_cycle_anchor",
        "billing_thresholds",
        "billing_cycle_anchor_config",
        "cancel_at",
        "cancellation_details",
        "collection_method",
        "days_until_due",
        "default_payment_method",
        "default_source",
        "default_tax_rates",
        "description",
        "discount",
        "discounts",
        "invoice_settings",
        "items",
        "latest_invoice",
        "next_pending_invoice_item_invoice",
        "on_behalf_of",
        "pause_collection",
        "payment_settings",
        "pending_invoice_item_interval",
        "pending_setup_intent",
        "pending_update",
        "plan",
        "quantity",
        "schedule",
        "test_clock",
        "transfer_data",
        "trial_settings",
    ),
    description="One subscription, canceled ones included, as it is now.",
)
INVOICES = Table(
    "invoices",
    columns=(
        Column("invoice_id", path="id", required=True),
        Column("customer_id", path="customer"),
        Column("email", "email", path="customer_email"),
        Column("country", path="customer_address.country"),
        Column("subscription_id", path="subscription"),
        Column("status"),
        Column("billing_reason"),
        Column("currency"),
        Column("created_at", "timestamp", path="created", unit="s"),
        Column("paid_at", "timestamp", path="status_transitions.paid_at", unit="s"),
        Column("finalized_at", "timestamp", path="status_transitions.finalized_at", unit="s"),
        Column("subtotal", "bigint"),
        Column("total", "bigint"),
        Column("total_excluding_tax", "bigint"),
        Column("tax", "bigint"),
        Column("amount_paid", "bigint"),
        Column("charge_id", path="charge"),
        Column("deal_id", path="metadata.deal_id"),
        Column("metadata", "json"),
        Column("livemode", "boolean"),
    ),
    key=("invoice_id",),
    ignored=(
        "object",
        "account_country",
        "account_name",
        "account_tax_ids",
        "amount_due",
        "amount_remaining",
        "amount_shipping",
        "application",
        "application_fee_amount",
        "attempt_count",
        "attempted",
        "auto_advance",
        "automatic_tax",
        "collection_method",
        "custom_fields",
        "customer_address",
        "customer_name",
        "customer_phone",
        "customer_shipping",
        "customer_tax_exempt",
        "customer_tax_ids",
        "default_payment_method",
        "default_source",
        "default_tax_rates",
        "description",
        "discount",
        "discounts",
        "due_date",
        "effective_at",
        "ending_balance",
        "footer",
        "from_invoice",
        "hosted_invoice_url",
        "invoice_pdf",
        "issuer",
        "last_finalization_error",
        "latest_revision",
        "lines",
        "next_payment_attempt",
        "number",
        "on_behalf_of",
        "paid",
        "paid_out_of_band",
        "payment_intent",
        "payment_settings",
        "period_end",
        "period_start",
        "post_payment_credit_notes_amount",
        "pre_payment_credit_notes_amount",
        "quote",
        "receipt_number",
        "rendering",
        "rendering_options",
        "shipping_cost",
        "shipping_details",
        "starting_balance",
        "statement_descriptor",
        "status_transitions",
        "subscription_details",
        "subscription_proration_date",
        "subtotal_excluding_tax",
        "test_clock",
        "threshold_reason",
        "total_discount_amounts",
        "total_tax_amounts",
        "transfer_data",
        "webhooks_delivered_at",
    ),
    description="One invoice as it is now.",
)
INVOICE_LINES = Table(
    "invoice_lines",
    columns=(
        Column("invoice_id", required=True),
        Column("line_id", required=True),
        Column("type"),
        Column("subscription_id"),
        Column("price_id"),
        Column("product_id"),
        Column("unit_amount", "bigint"),
        Column("unit_amount_decimal", "rate"),
        Column("billing_interval"),
        Column("interval_count", "bigint"),
        Column("description"),
        Column("quantity", "double"),
        Column("amount", "bigint"),
        Column("discount_amount", "bigint"),
        Column("tax_amount", "bigint"),
        Column("inclusive_tax_amount", "bigint"),
        Column("currency"),
        Column("period_start", "timestamp", unit="s"),
        Column("period_end", "timestamp", unit="s"),
        Column("proration", "boolean"),
    ),
    key=("invoice_id", "line_id"),
    description="One line of one finalised invoice; amounts in minor units.",
)
CHARGES = Table(
    "charges",
    columns=(
        Column("charge_id", path="id", required=True),
        Column("customer_id", path="customer"),
        Column("invoice_id", path="invoice"),
        Column("email", "email", path="billing_details.email"),
        Column("country", path="billing_details.address.country"),
        Column("status"),
        Column("paid", "boolean"),
        Column("amount", "bigint"),
        Column("amount_refunded", "bigint"),
        Column("currency"),
        Column("created_at", "timestamp", path="created", unit="s"),
        Column("user_id", path="metadata.user_id"),
        Column("deal_id", path="metadata.deal_id"),
        Column("metadata", "json"),
        Column("livemode", "boolean"),
    ),
    key=("charge_id",),
    ignored=(
        "object",
        "amount_captured",
        "application",
        "application_fee",
        "application_fee_amount",
        "balance_transaction",
        "billing_details",
        "calculated_statement_descriptor",
        "captured",
        "description",
        "disputed",
        "failure_balance_transaction",
        "failure_code",
        "failure_message",
        "fraud_details",
        "on_behalf_of",
        "outcome",
        "payment_intent",
        "payment_method",
        "payment_method_details",
        "radar_options",
        "receipt_email",
        "receipt_number",
        "receipt_url",
        "refunded",
        "refunds",
        "review",
        "shipping",
        "source",
        "source_transfer",
        "statement_descriptor",
        "statement_descriptor_suffix",
        "transfer",
        "transfer_data",
        "transfer_group",
        "level3",
    ),
    description="One charge.",
)
REFUNDS = Table(
    "refunds",
    columns=(
        Column("refund_id", path="id", required=True),
        Column("charge_id", path="charge"),
        Column("amount", "bigint"),
        Column("currency"),
        Column("status"),
        Column("reason"),
        Column("created_at", "timestamp", path="created", unit="s"),
        Column("metadata", "json"),
    ),
    key=("refund_id",),
    ignored=(
        "object",
        "balance_transaction",
        "description",
        "destination_details",
        "failure_balance_transaction",
        "failure_reason",
        "instructions_email",
        "next_action",
        "payment_intent",
        "receipt_number",
        "source_transfer_reversal",
        "transfer_reversal",
    ),
    description="One refund.",
)
CREDIT_NOTES = Table(
    "credit_notes",
    columns=(
        Column("credit_note_id", path="id", required=True),
        Column("invoice_id", path="invoice"),
        Column("customer_id", path="customer"),
        Column("refund_id", path="refund"),
        Column("status"),
        Column("type"),
        Column("currency"),
        Column("total", "bigint"),
        Column("total_excluding_tax", "bigint"),
        Column("created_at", "timestamp", path="created", unit="s"),
        Column("livemode", "boolean"),
    ),
    key=("credit_note_id",),
    ignored=(
        "object",
        "amount",
        "amount_shipping",
        "customer_balance_transaction",
        "discount_amount",
        "discount_amounts",
        "effective_at",
        "lines",
        "memo",
        "metadata",
        "number",
        "out_of_band_amount",
        "pdf",
        "reason",
        "shipping_cost",
        "subtotal",
        "subtotal_excluding_tax",
        "tax_amounts",
        "voided_at",
    ),
    description="One credit note.",
)
EVENTS = Table(
    "events",
    columns=(
        Column("event_id", path="id", required=True),
        Column("type"),
        Column("object_type", path="data.object.object"),
        Column("object_id", path="data.object.id"),
        Column("created_at", "timestamp", path="created", unit="s", required=True),
    ),
    key=("event_id",),
    cursor="created_at",
    lag=timedelta(hours=1),
    ignored=("object", "api_version", "data", "livemode", "pending_webhooks", "request", "account"),
    description="One entry of the event log: what changed and when, without its content.",
)


@dataclass(frozen=True)
class Kind:
    """One type of object: its table, its list, the parameters that make the list whole.

    by_creation: whether the list can be filtered by creation.
    """

    object: str
    table: Table
    path: str
    params: Mapping[str, str]
    by_creation: bool = True


KINDS = (
    Kind("customer", CUSTOMERS, "/v1/customers", {}),
    Kind("subscription", SUBSCRIPTIONS, "/v1/subscriptions", {"status": "all"}),
    Kind("invoice", INVOICES, "/v1/invoices", {}),
    Kind("charge", CHARGES, "/v1/charges", {}),
    Kind("refund", REFUNDS, "/v1/refunds", {}),
    Kind("credit_note", CREDIT_NOTES, "/v1/credit_notes", {}, by_creation=False),
)
# Subscriptions go on at prices that are no longer offered; the list of prices leaves those out unless asked.
CATALOGUE = (
    Kind("product", PRODUCTS, "/v1/products", {}),
    Kind("price", PRICES, "/v1/prices", {"active": "true"}),
    Kind("price", PRICES, "/v1/prices", {"active": "false"}),
)


def listed(client: ApiClient, path: str, params: Mapping[str, Any]) -> Iterator[Answer]:
    """All pages of a list, newest objects first."""
    yield from client.pages(
        path,
        params={"limit": PAGE, **params},
        next_request=after_last("data", "id", "starting_after", "has_more"),
        data="data",
    )


def extract(context: Context) -> Iterator[Item]:
    """Everything in the first run and after a long pause; else new objects and those that the log names."""
    client = client_for(context.connection)
    for kind in CATALOGUE:
        for answer in listed(client, kind.path, kind.params):
            yield Page(kind.table.name, body=answer.content, at="data")
    since = context.since(EVENTS.name)
    relist = since is None or _utc(since) < context.as_of - EVENT_LOG + SAFETY
    # The log is read before the lists, so that what changes meanwhile is in the next run's part of the log.
    from_moment = context.as_of - SAFETY if relist or since is None else _utc(since)
    changed: dict[str, set[str]] = {}
    for answer in listed(client, "/v1/events", {"created[gte]": int(from_moment.timestamp())}):
        yield Page(EVENTS.name, body=answer.content, at="data")
        for event in answer.at("data"):
            subject = (event.get("data") or {}).get("object") or {}
            if subject.get("id"):
                changed.setdefault(str(subject.get("object")), set()).add(str(subject["id"]))
            if event.get("type") == "charge.refunded":
                # Accounts of older API versions tell a refund by its charge alone.
                changed.setdefault("refunds of charge", set()).add(str(subject.get("id")))
    for kind in KINDS:
        ids = set(changed.get(kind.object, ()))
        if not relist and kind.by_creation:
            new = {**kind.params, "created[gte]": int(from_moment.timestamp())}
            for answer in listed(client, kind.path, new):
                found = answer.at("data")
                ids -= {str(record.get("id")) for record in found}
                yield from _page(client, kind, answer.content, "data", found)
        if relist or len(ids) > RELIST_ABOVE:
            for answer in listed(client, kind.path, kind.params):
                yield from _page(client, kind, answer.content, "data", answer.at("data"))
            continue
        for object_id in sorted(ids):
            changed_one = one(client, f"{kind.path}/{object_id}")
            if changed_one is not None:
                yield from _page(client, kind, changed_one.content, "", [changed_one.json()])
        if kind is _REFUND:
            for charge_id in sorted(changed.get("refunds of charge", ())):
                for answer in listed(client, kind.path, {"charge": charge_id}):
                    yield Page(kind.table.name, body=answer.content, at="data")


_REFUND = next(kind for kind in KINDS if kind.object == "refund")


def one(client: ApiClient, path: str) -> Answer | None:
    """One object as it is now; None where it no longer exists (a deleted draft)."""
    try:
        answer = client.get(path)
    except RequestRefused as refused:
        if refused.status == 404:
            return None
        raise
    client.require(answer.json(), "id", expect_list=False)
    return answer


def _page(client: ApiClient, kind: Kind, body: bytes, at: str, found: list[dict[str, Any]]) -> Iterator[Item]:
    yield Page(kind.table.name, body=body, at=at)
    if kind.object == "invoice":
        rows = [
            row for invoice in found if invoice.get("status") in FINAL for row in lines_of(client, invoice)
        ]
        yield Page(INVOICE_LINES.name, records=rows)


def lines_of(client: ApiClient, invoice: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The lines of an invoice; where it holds only the first ones, from its own list of lines."""
    lines = invoice.get("lines") or {}
    entries = list(lines.get("data") or [])
    if lines.get("has_more"):
        path = f"/v1/invoices/{invoice['id']}/lines"
        entries = [line for answer in listed(client, path, {}) for line in answer.at("data")]
    for line in entries:
        price = line.get("price") or {}
        recurring = price.get("recurring") or {}
        taxes = line.get("tax_amounts") or []
        period = line.get("period") or {}
        yield {
            "invoice_id": invoice.get("id"),
            "line_id": line.get("id"),
            "type": line.get("type"),
            "subscription_id": line.get("subscription"),
            "price_id": price.get("id"),
            "product_id": price.get("product"),
            "unit_amount": price.get("unit_amount"),
            "unit_amount_decimal": price.get("unit_amount_decimal"),
            "billing_interval": recurring.get("interval"),
            "interval_count": recurring.get("interval_count"),
            "description": line.get("description"),
            "quantity": line.get("quantity"),
            "amount": line.get("amount"),
            "discount_amount": sum(entry.get("amount") or 0 for entry in line.get("discount_amounts") or []),
            "tax_amount": sum(entry.get("amount") or 0 for entry in taxes),
            "inclusive_tax_amount": sum(
                entry.get("amount") or 0 for entry in taxes if entry.get("inclusive")
            ),
            "currency": line.get("currency"),
            "period_start": period.get("start"),
            "period_end": period.get("end"),
            "proration": line.get("proration"),
        }


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def check(connection: Connection) -> str:
    """Ask for the account and one object of each type: a missing permission shows at once."""
    client = client_for(connection)
    account = client.get("/v1/account").json()
    if not isinstance(account, dict) or not account.get("id"):
        raise BadAnswer(SYSTEM_NAME, "the API gave no account.", "Check BASE_URL and API_KEY.")
    if connection.accounts and account["id"] not in connection.accounts:
        raise ConfigurationError(
            f"{SYSTEM_NAME}: the key is {account['id']}'s; `accounts` lists {', '.join(connection.accounts)}."
            " Correct one of them."
        )
    for kind in (*KINDS, *CATALOGUE):
        client.require(client.get(kind.path, params={"limit": 1}).json(), "data")
    client.require(client.get("/v1/events", params={"limit": 1}).json(), "data")
    return f"account {account['id']}, API version {API_VERSION}"


SYSTEM = System(
    name=SYSTEM_NAME,
    resources=(
        Resource(
            "billing",
            tables=(*dict.fromkeys(kind.table for kind in (*CATALOGUE, *KINDS)), INVOICE_LINES, EVENTS),
            extract=extract,
        ),
    ),
    settings=SETTINGS,
    check=check,
    api_version=API_VERSION,
)
