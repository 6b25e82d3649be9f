"""Two CRMs hold one company: nobody, no deal and no activity is lost or counted twice between them."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa

from sandbox.company import territories
from tests.integration.conftest import LAST_DAY


def _standing(company: Any, kind: str) -> dict[str, str]:
    """The records of a type that stand on the last day: id -> the CRM that holds it."""
    return {
        row["object_id"]: row["crm"]
        for row in company.tables["crm_objects"].to_pylist()
        if row["object_type"] == kind
        and row["created_at"] <= LAST_DAY
        and not (row["deleted_at"] and row["deleted_at"] <= LAST_DAY)
        and not (row["merged_at"] and row["merged_at"] <= LAST_DAY)
    }


def _values(company: Any, kind: str, name: str) -> dict[str, str | None]:
    """The latest value of a property, by record."""
    rows = company.tables["crm_property_history"].to_pylist()
    rows = [r for r in rows if (r["object_type"], r["property"]) == (kind, name)]
    rows = [r for r in rows if r["changed_at"] <= LAST_DAY]
    return {r["object_id"]: r["value"] for r in sorted(rows, key=lambda r: r["changed_at"])}


def test_every_deal_stands_once_with_its_amount(company: Any, published: duckdb.DuckDBPyConnection) -> None:
    standing = _standing(company, "deal")
    assert set(standing.values()) == set(territories.CRMS)
    amounts = _values(company, "deal", "amount")
    rows = published.execute(
        "select source_record_id, source_relation, amount_original from funnel.fct_opportunities"
    ).fetchall()
    found = {record: (relation.split(":")[0], amount) for record, relation, amount in rows}
    assert len(rows) == len(found)
    assert found == {
        record: (crm, Decimal(amount) if (amount := amounts.get(record)) else None)
        for record, crm in standing.items()
    }


def test_every_company_and_contact_stands_once(company: Any, published: duckdb.DuckDBPyConnection) -> None:
    accounts = published.execute("select source_record_id from core.dim_accounts").fetchall()
    assert Counter(record for (record,) in accounts) == Counter(list(_standing(company, "company")))
    # The persons of contacts: each contact is somebody's, and both records of a converted lead are one's.
    standing = _standing(company, "contact")
    emails = _values(company, "contact", "email")
    people = {(emails[record] or "").lower().strip() for record in standing}
    (persons,) = published.execute(
        "select count(*) from core.dim_persons where contact_id is not null"
    ).fetchone() or (0,)
    assert len(people) * 0.95 <= persons <= len(standing)


def test_every_activity_of_either_crm_is_counted_once(
    company: Any, published: duckdb.DuckDBPyConnection
) -> None:
    held = {row["object_id"]: row["crm"] for row in company.tables["crm_objects"].to_pylist()}
    made = [row for row in company.tables["crm_activities"].to_pylist() if row["created_at"] <= LAST_DAY]
    expected = Counter(held[row["contact_id"]] for row in made)
    rows = published.execute(
        """
        select source_relation, sum(source_total), sum(warehouse_total) from trust.source_reconciliation
        where entity = 'crm_activities' and measure = 'rows' group by 1
        """
    ).fetchall()
    assert {relation.split(":")[0]: (int(a), int(b)) for relation, a, b in rows} == {
        crm: (count, count) for crm, count in expected.items()
    }


def test_every_offline_touch_comes_by_one_road(company: Any, published: duckdb.DuckDBPyConnection) -> None:
    table: pa.Table = company.tables["offline_touches"]
    seen = [row for row in table.to_pylist() if row["visible_at"] <= LAST_DAY]
    (rows,) = published.execute(
        """
        select sum(warehouse_total) from trust.source_reconciliation
        where entity = 'offline_touches' and measure = 'rows'
        """
    ).fetchone() or (0,)
    assert int(rows) == len(seen)


def test_the_same_funnel_stage_is_no_second_entry_where_a_lead_is_converted(
    company: Any, published: duckdb.DuckDBPyConnection
) -> None:
    """Stints of SQL by the company's own book: what `opportunity` says of somebody who was SQL is none."""
    rows = company.tables["crm_property_history"].to_pylist()
    standing = _standing(company, "contact")
    entries = {
        (row["object_id"], row["changed_at"])
        for row in rows
        if row["property"] == "lifecycle_stage"
        and row["value"] == "salesqualifiedlead"
        and row["changed_at"] <= LAST_DAY
        and row["object_id"] in standing
    }
    (counted,) = published.execute(
        """
        select count(*) from funnel.fct_funnel_stage_entries
        where funnel = 'b2b' and stage = 'sql' and subject = 'person' and not is_skipped
        """
    ).fetchone() or (0,)
    assert counted == len(entries)
