"""Billing: customers, invoices and refunds of the app and of business contracts.

What belongs here: documents. What is charged when is decided in saas.py (subscriptions) and sales.py
(contracts).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sandbox.company import facts, names, saas
from sandbox.company.crm import COMPANY, DEAL, object_ids
from sandbox.company.deals import Deals
from sandbox.company.frames import (
    DAY,
    HOUR,
    NEVER,
    Ints,
    codes,
    days,
    moments,
    numbers,
    only,
    pick,
    table,
    text,
    uniform,
    weighted,
)
from sandbox.company.people import World

TEST_CUSTOMER_SHARE = 0.01
UNPAID_CONTRACT_SHARE = 0.03
VOIDED_CONTRACT_SHARE = 0.02
CONTRACT_DISCOUNT_SHARE = 0.25
REASONS = ("subscription_create", "subscription_cycle", "subscription_update", "manual")
_CONTRACT = 1 << 40  # keys of contract invoices begin here


def contract_customer_ids(company: Ints) -> pa.Array:
    """cus_... of companies."""
    return text("cus_", codes(company, 801, 14))


def tables(world: World, subs: saas.Subscriptions, deals: Deals) -> dict[str, pa.Table]:
    """Customers, subscriptions, invoices, lines, refunds."""
    result = saas.tables(world, subs)
    contracts = deals.take(deals.kept & deals.won & (deals.closed_at < world.end))
    contracts = contracts.take(np.lexsort((contracts.number, contracts.closed_at)))
    result["billing_customers"] = _customers(world, subs, contracts)
    result |= _invoices(world, subs, contracts)
    return result


def _is_test(person: Ints) -> np.ndarray:
    return uniform(person, 802) < TEST_CUSTOMER_SHARE


def _customers(world: World, subs: saas.Subscriptions, contracts: Deals) -> pa.Table:
    first = subs.kept & (subs.generation == 0)
    again = subs.kept & (subs.generation == 1) & ~np.isin(subs.person, subs.person[first])
    rows = np.flatnonzero(first | again)
    person = subs.person[rows]
    created = np.where(first[rows], subs.created_at[rows], subs.created_at[rows])
    company, where = np.unique(contracts.company, return_index=True)
    founded = contracts.closed_at[where] + DAY
    saas_part = table(
        "billing_customers",
        customer_id=saas.customer_ids(person),
        created_at=moments(created),
        kind="saas",
        email=saas.addresses(world, person),
        name=text(names.first_names(world, person), " ", names.last_names(world, person)),
        country=pick(facts.MARKETS, world.market[person]),
        currency=pick(facts.CURRENCIES, world.market[person]),
        user_id=names.user_ids(person),
        company_name=None,
        crm_company_id=None,
        is_test=_is_test(person),
    )
    market = world.company_market[company]
    main = contracts.person[where]
    own = names.emails(world, main)
    shared = text("invoices@", names.company_domains(company))
    business = table(
        "billing_customers",
        customer_id=contract_customer_ids(company),
        created_at=moments(founded),
        kind="b2b",
        email=pa.chunked_array([pa.concat_arrays([own, shared])])
        .combine_chunks()
        .take(pa.array(np.arange(len(company)) + len(company) * (uniform(company, 803) < 0.4))),
        name=names.company_names(world, company),
        country=pick(facts.MARKETS, market),
        currency=pick(facts.CURRENCIES, market),
        user_id=None,
        company_name=names.company_names(world, company),
        crm_company_id=object_ids(world, COMPANY, company),
        is_test=False,
    )
    return (
        pa.concat_tables([saas_part, business])
        .combine_chunks()
        .sort_by([("created_at", "ascending"), ("customer_id", "ascending")])
    )


def _invoices(world: World, subs: saas.Subscriptions, contracts: Deals) -> dict[str, pa.Table]:
    b = subs.bills
    rows = np.flatnonzero(subs.kept[b["sub"]] & (b["at"] < world.end))
    b = {name: column[rows] for name, column in b.items()}
    n, m = len(rows), len(contracts.number)
    person = subs.person[b["sub"]]
    sub_number = person * 2 + subs.generation[b["sub"]]
    nothing = np.zeros(m, dtype=np.int64)

    # One row an invoice: first the subscriptions', then the contracts'.
    key = np.r_[sub_number * 100_000 + (b["at"] // DAY) % 100_000, contracts.number + _CONTRACT]
    market = np.r_[world.market[person], world.company_market[contracts.company]]
    at = np.r_[b["at"], contracts.closed_at + 2 * DAY]
    start = np.r_[b["start"], contracts.contract_start * DAY]
    stop = np.r_[b["stop"], (contracts.contract_start + 365) * DAY]
    is_contract = np.r_[np.zeros(n, bool), np.ones(m, bool)]
    reduced = is_contract & (uniform(key, 804) < CONTRACT_DISCOUNT_SHARE)
    net = np.r_[b["new"] - b["old"], contracts.amount]
    discount = np.where(reduced, np.round(net / 9).astype(np.int64), 0)  # ten per cent off the list price
    subtotal = net + discount
    # United States business customers pay no tax to us.
    tax = np.round(
        net * np.where(is_contract & (market == 2), 0.0, np.array(facts.TAX_RATES)[market])
    ).astype(np.int64)
    late = uniform(key, 805)
    unpaid = is_contract & (late < UNPAID_CONTRACT_SHARE)
    paid_at = np.r_[
        b["paid_at"], contracts.closed_at + 2 * DAY + ((4 + 40 * late[n:]) * DAY).astype(np.int64)
    ]
    paid_at = np.where(unpaid, NEVER, paid_at)
    written_off = np.where(
        unpaid, at + 90 * DAY, np.where(~is_contract & (paid_at == NEVER), at + 30 * DAY, NEVER)
    )
    is_test = np.r_[_is_test(person), np.zeros(m, bool)]

    # A few contract invoices were first made out wrongly and voided the next day.
    wrong = np.flatnonzero(is_contract & (uniform(key, 806) < VOIDED_CONTRACT_SHARE))
    source = np.r_[np.arange(n + m), wrong]
    is_wrong = np.arange(len(source)) >= n + m
    inv_at = at[source] - np.where(is_wrong, DAY, 0)
    keep = inv_at < world.end
    source, is_wrong, inv_at = source[keep], is_wrong[keep], inv_at[keep]
    order = np.lexsort((is_wrong, key[source], inv_at))
    source, is_wrong, inv_at = source[order], is_wrong[order], inv_at[order]
    inv_key = key[source] + np.where(is_wrong, 1 << 50, 0)
    contract = is_contract[source]
    deal_row, sub_row = np.maximum(source - n, 0), np.minimum(source, max(n - 1, 0))
    invoice_ids = text("in_1", codes(inv_key, 807, 23))
    charge_ids, intents = text("ch_3", codes(inv_key, 808, 23)), text("pi_3", codes(inv_key, 809, 23))
    paid = np.where(is_wrong, NEVER, paid_at[source])
    paid = np.where(paid < world.end, paid, NEVER)
    sub_ids = saas.subscription_ids(sub_number)
    by_company, by_person = contract_customer_ids(contracts.company), saas.customer_ids(person)
    both_customers = pa.concat_arrays([by_person, by_company])
    year = days(inv_at // DAY).cast(pa.string()).dictionary_encode()  # only the year is printed
    years = pc.utf8_slice_codeunits(year.cast(pa.string()), 0, 4)
    invoices = table(
        "invoices",
        invoice_id=invoice_ids,
        number=text("FL", years, "-", numbers(10_001 + np.arange(len(source)))),
        customer_id=both_customers.take(pa.array(source)),
        subscription_id=only(sub_ids.take(pa.array(sub_row)), ~contract)
        if n
        else pa.nulls(len(source), pa.string()),
        deal_id=only(object_ids(world, DEAL, contracts.number).take(pa.array(deal_row)), contract)
        if m
        else pa.nulls(len(source), pa.string()),
        created_at=moments(inv_at),
        due_at=moments(inv_at + np.where(contract, 30 * DAY, 0)),
        paid_at=moments(paid),
        voided_at=moments(np.where(is_wrong, inv_at + DAY - HOUR, NEVER)),
        uncollectible_at=moments(
            np.where(is_wrong | (written_off[source] >= world.end), NEVER, written_off[source])
        ),
        billing_reason=pick(REASONS, np.r_[b["reason"], nothing + 3][source]),
        currency=pick(facts.CURRENCIES, market[source]),
        subtotal_minor=subtotal[source],
        discount_minor=discount[source],
        tax_minor=tax[source],
        total_minor=(net + tax)[source],
        period_start=moments(start[source]),
        period_end=moments(stop[source]),
        charge_id=only(charge_ids, paid < NEVER),
        payment_intent_id=intents,
        is_test=is_test[source],
    )
    lines = _lines(
        b,
        contracts,
        source,
        inv_key,
        invoice_ids,
        market,
        net,
        subtotal,
        discount,
        tax,
        start,
        stop,
        sub_ids,
    )

    # Refunds of some paid invoices, whole or half.
    total = (net + tax)[source]
    refunded = (paid < NEVER) & (total > 0) & (uniform(inv_key, 810) < facts.INVOICE_REFUND_SHARE)
    r = np.flatnonzero(refunded)
    back_at = paid[r] + ((1 + 20 * uniform(inv_key[r], 811)) * DAY).astype(np.int64)
    r, back_at = r[back_at < world.end], back_at[back_at < world.end]
    r, back_at = r[np.argsort(back_at, kind="stable")], np.sort(back_at, kind="stable")
    half = uniform(inv_key[r], 812) < 0.4
    reason = weighted(uniform(inv_key[r], 813), (0.6, 0.15, 0.05, 0.2))
    refunds = table(
        "refunds",
        refund_id=text("re_3", codes(inv_key[r], 814, 23)),
        invoice_id=invoice_ids.take(pa.array(r)),
        charge_id=charge_ids.take(pa.array(r)),
        payment_intent_id=intents.take(pa.array(r)),
        customer_id=both_customers.take(pa.array(source[r])),
        created_at=moments(back_at),
        amount_minor=np.where(half, total[r] // 2, total[r]),
        currency=pick(facts.CURRENCIES, market[source[r]]),
        reason=pick(["requested_by_customer", "duplicate", "fraudulent", None], reason),
        status="succeeded",
    )
    return {"invoices": invoices, "invoice_lines": lines, "refunds": refunds}


def _lines(
    b: dict[str, Ints],
    contracts: Deals,
    source: Ints,
    inv_key: Ints,
    invoice_ids: pa.Array,
    market: Ints,
    net: Ints,
    subtotal: Ints,
    discount: Ints,
    tax: Ints,
    start: Ints,
    stop: Ints,
    sub_ids: pa.Array,
) -> pa.Table:
    """One line for a period; two for a change within one (unused time back) and for contracts."""
    n = len(b["at"])
    contract = source >= n
    sub_row = np.minimum(source, max(n - 1, 0))
    change = ~contract & (b["reason"][sub_row] == 2 if n else False)
    two = change | contract
    rows = np.repeat(np.arange(len(source)), 1 + two)
    line = np.arange(len(rows)) - np.repeat(np.cumsum(1 + two) - (1 + two), 1 + two)
    s = source[rows]
    second = line == 1
    old = np.r_[b["old"], np.zeros(len(contracts.number), dtype=np.int64)][s]
    new = np.r_[b["new"], np.zeros(len(contracts.number), dtype=np.int64)][s]
    # Contracts: 85 % design and lamps, the rest installation; what rounding leaves goes to the first line.
    rest = np.round(subtotal[s] * 0.15).astype(np.int64)
    contract_amount = np.where(second, rest, subtotal[s] - rest)
    amount = np.where(s >= n, contract_amount, np.where(change[rows], np.where(second, -old, new), new))
    rest = np.round(discount[s] * 0.15).astype(np.int64)
    line_discount = np.where(s >= n, np.where(second, rest, discount[s] - rest), 0)
    share = np.where(net[s] != 0, (amount - line_discount) / np.where(net[s] == 0, 1, net[s]), 0.0)
    first_tax = np.round(tax[s] * share).astype(np.int64)
    # The last line takes what rounding leaves.
    opening = np.where(second, np.r_[0, first_tax[:-1]], 0)
    line_tax = np.where(second, tax[s] - opening, np.where(two[rows], first_tax, tax[s]))
    plan = np.r_[b["plan"], np.full(len(contracts.number), 3)][s]
    quantity = np.r_[b["quantity"], np.ones(len(contracts.number), dtype=np.int64)][s]
    yearly = np.r_[b["yearly"], np.zeros(len(contracts.number), dtype=np.int64)][s]
    what = np.where(s >= n, np.where(second, 2, 1), np.where(change[rows], np.where(second, 4, 3), 0))
    product_name = pick(["Studio Starter", "Studio Team", "Studio Business", "Project contract"], plan)
    label = pick(["", "Design and lamps", "Installation", "Remaining time on ", "Unused time on "], what)
    is_plan = s < n
    description = pc.if_else(pa.array(is_plan), text(label, product_name), label)
    return table(
        "invoice_lines",
        line_id=text("il_1", codes(inv_key[rows] * 4 + line, 820, 23)),
        invoice_id=invoice_ids.take(pa.array(rows)),
        line_number=line + 1,
        subscription_id=only(sub_ids.take(pa.array(np.minimum(s, max(n - 1, 0)))), is_plan)
        if n
        else pa.nulls(len(rows), pa.string()),
        price_id=only(saas.price_ids(market[s], plan, yearly), is_plan),
        product_id=saas.product_ids(plan),
        product_name=product_name,
        description=description,
        quantity=quantity,
        amount_minor=amount,
        discount_minor=line_discount,
        tax_minor=line_tax,
        currency=pick(facts.CURRENCIES, market[s]),
        period_start=moments(start[s]),
        period_end=moments(stop[s]),
        is_proration=change[rows],
    )
