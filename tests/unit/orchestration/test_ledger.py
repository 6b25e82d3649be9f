"""What a build finds when it begins."""

from __future__ import annotations

import datetime as dt

import duckdb

from orchestration import ledger


def test_a_build_never_sees_a_replaced_slice_twice() -> None:
    """A kill between a load's commit and its pruning leaves the slice's old rows beside the new ones."""
    connection = duckdb.connect()
    connection.execute("""
        create schema raw_shop;
        create table raw_shop._slices
            (source_relation varchar, resource varchar, slice varchar, _dlt_load_id varchar);
        insert into raw_shop._slices values ('shop:main:1', 'orders', '2026-06-01', '200.0');
        create table raw_shop.orders
            (order_id varchar, source_relation varchar, _slice varchar, _dlt_load_id varchar);
        insert into raw_shop.orders values
            ('old', 'shop:main:1', '2026-06-01', '100.0'),
            ('new', 'shop:main:1', '2026-06-01', '200.0'),
            ('another slice', 'shop:main:1', '2026-05-31', '100.0'),
            ('another source', 'shop:main:2', '2026-06-01', '100.0');
    """)
    build = ledger.begin_build(connection, "run", dt.datetime(2026, 6, 2), "settings")
    left = connection.execute("select order_id from raw_shop.orders order by order_id").fetchall()
    assert left == [("another slice",), ("another source",), ("new",)]
    assert build.candidate_mark == "200.0"
