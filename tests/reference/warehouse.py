"""A warehouse's touchpoints, conversions, deals and contacts as the reference's History, and its credits."""

from __future__ import annotations

from collections import defaultdict

import duckdb

from ingestion.settings import project_vars
from tests.integration.support import rows
from tests.reference.models import MODELS, Conversion, Deal, History, Lead, Touch


def read_history(connection: duckdb.DuckDBPyConnection) -> History:
    """What attribution reads, from a warehouse file (not the published one: it needs contacts and deals)."""
    variables = project_vars()
    touches = [
        Touch(
            row["touchpoint_id"],
            row["person_id"],
            row["account_id"],
            row["occurred_at"],
            row["occurred_on"],
            row["channel"],
            row["is_direct"],
        )
        for row in rows(connection, "select * from core.fct_touchpoints where is_credit_eligible")
    ]
    conversions = [
        Conversion(
            row["conversion_id"],
            row["conversion_type"],
            row["person_id"],
            row["account_id"],
            row["converted_at"],
            row["converted_on"],
            row["anchor_at"],
            float(row["value"] or 0),
        )
        for row in rows(connection, "select * from core.fct_conversions")
    ]
    deals = [
        Deal(row["account_id"], row["person_id"], row["closed_at"])
        for row in rows(
            connection,
            "select coalesce(deals.account_id, persons.account_id) as account_id, deals.person_id, closed_at"
            " from intermediate.int_opportunities as deals"
            " left join core.dim_persons as persons on deals.person_id = persons.person_id"
            " where is_closed and closed_at is not null",
        )
    ]
    leads = [
        Lead(row["account_id"], row["person_id"], row["created_at"])
        for row in rows(
            connection,
            "select persons.account_id, persons.person_id, contacts.created_at"
            " from intermediate.int_contacts as contacts"
            " inner join intermediate.int_identity_map as identities"
            " on identities.identifier_kind = 'crm_contact'"
            " and identities.identifier = contacts.source_record_id"
            " and identities.identifier_type = 'crm_contact:' || contacts.source_relation"
            " inner join core.dim_persons as persons on identities.person_id = persons.person_id",
        )
    ]
    return History(touches, conversions, deals, leads, variables["attribution_lookback_days"])


def read_credits(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, dict[str, float]]]:
    """fct_attribution as conversion -> touchpoint -> model -> credit."""
    found: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    columns = ", ".join(f"credit_{model} as {model}" for model in MODELS)
    for row in rows(
        connection, f"select conversion_id, touchpoint_id, {columns} from attribution.fct_attribution"
    ):
        touch = row.pop("touchpoint_id")
        of_conversion = found[row.pop("conversion_id")]
        assert touch not in of_conversion, "one row per conversion and touchpoint"
        of_conversion[touch] = row
    return found


def differing(
    given: dict[str, dict[str, dict[str, float]]], expected: dict[str, dict[str, dict[str, float]]]
) -> list[str]:
    """Where credits differ by more than 1e-9, or rows are missing or too many; in words."""
    found = [f"{one}: only on one side" for one in sorted(set(given) ^ set(expected))]
    for conversion in sorted(set(given) & set(expected)):
        if set(given[conversion]) != set(expected[conversion]):
            found.append(
                f"{conversion}: touches {sorted(given[conversion])}, not {sorted(expected[conversion])}"
            )
            continue
        for touch, credit in given[conversion].items():
            for model, value in credit.items():
                wanted = expected[conversion][touch][model]
                if value is None or abs(value - wanted) > 1e-9:
                    found.append(f"{conversion} {touch} {model}: {value}, not {wanted}")
    return found
