"""The tables of trust hold what they promise on the built warehouse."""

from __future__ import annotations

import duckdb


def test_every_source_is_reconciled_row_for_row_in_all_that_has_a_date(
    published: duckdb.DuckDBPyConnection,
) -> None:
    """What data_freshness counts in the warehouse, source_reconciliation has counted in raw, day by day."""
    rows = published.sql(
        """
        select f.source_relation, f.entity, f.records, sum(r.source_total) as in_raw,
            bool_and(r.is_reconciled)
        from trust.data_freshness f
        left join trust.source_reconciliation r
            on r.source_relation = f.source_relation and r.entity = f.entity and r.measure = 'rows'
        where f.latest_record_at is not null
        group by all
        """
    ).fetchall()
    assert len(rows) > 20
    assert [row for row in rows if row[2] != row[3] or row[4] is not True] == []


def test_money_is_reconciled_in_every_currency_of_its_source(published: duckdb.DuckDBPyConnection) -> None:
    found = published.sql(
        """
        select entity, measure, list_sort(list_distinct(list(currency))), sum(abs(source_total)) > 0,
            sum(abs(difference))
        from trust.source_reconciliation where measure <> 'rows' group by all order by 1, 2
        """
    ).fetchall()
    three = ["EUR", "SEK", "USD"]
    assert {(entity, measure): currencies for entity, measure, currencies, *_ in found} == {
        ("ad_performance", "spend"): three,
        ("costs", "amount"): three,
        ("crm_opportunities", "amount"): three,
        ("revenue_events", "amount"): three,
    }
    assert all(has_money and not differs for *_, has_money, differs in found)
