"""Connected components of millions of identity edges beside scipy.sparse.csgraph on the same edges.

Both sides get pairs of identifiers as text and give each identifier its component. scipy's own function wants
numbers: what it takes by itself, once everything is numbered and in memory, is a row of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from tests.benchmarks.harness import Row, measure, record
from tests.benchmarks.isolated import load, make_project, prepare_models

pytestmark = [pytest.mark.bench, pytest.mark.timeout(7200)]

EDGES = int(os.environ.get("FUNNELHOUSE_BENCH_EDGES", "5_000_000"))
INPUTS = {"int_identity_edges": "intermediate", "int_changed_identity_edges": "intermediate"}
COMPONENTS = "int_identity_components"


def make_edges(warehouse: Path, parquet: Path, edges: int) -> None:
    """Half of the edges chain neighbours (long paths), half join random members of a group of twenty."""
    nodes = edges * 4 // 5
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("create schema if not exists bench")
        connection.execute(
            f"""
            create or replace table bench.pairs as
            select distinct 'v1:' || md5('n' || a) as a, 'v1:' || md5('n' || b) as b
            from (
                select i as a, i + 1 as b from range({nodes - 1}) as t(i) where hash(i) % 1000 < 625
                union all
                select i as a, i - i % 20 + hash(i, k) % 20 as b
                from range({nodes - 20}) as t(i), range(1) as u(k)
                where hash(i, 'r') % 1000 < 650
            ) as drawn
            where a <> b
            """
        )
        connection.execute(
            """
            create or replace table bench.int_identity_edges as
            select
                'cookie:web:main:1' as identifier_type_a, a as identifier_a,
                'cookie:web:main:1' as identifier_type_b, b as identifier_b, true as is_used
            from (select a, b from bench.pairs union all
                  select n, n from (select a as n from bench.pairs union select b from bench.pairs)) as rows
            """
        )
        connection.execute(
            "create or replace table bench.int_changed_identity_edges as"
            " select '' as identifier_type, '' as identifier where false"
        )
        connection.execute(f"copy bench.pairs to '{parquet}' (format parquet)")


def prepare_scipy(parquet: str, labels: str) -> Callable[[], int]:
    """From pairs of text to a file with each identifier's component."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    table = pq.read_table(parquet)

    def run() -> int:
        both = pa.chunked_array([*table["a"].chunks, *table["b"].chunks])
        coded = pc.dictionary_encode(both).combine_chunks()
        codes = coded.indices.to_numpy()
        a, b = codes[: len(table)], codes[len(table) :]
        size = len(coded.dictionary)
        graph = coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(size, size)).tocsr()
        count, components = connected_components(graph, directed=False)
        pq.write_table(pa.table({"identifier": coded.dictionary, "component": components}), labels)
        return int(count)

    return run


def prepare_scipy_alone(parquet: str) -> Callable[[], int]:
    """connected_components by itself, on a matrix that is ready."""
    import numpy as np
    import pandas
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    frame = pandas.read_parquet(parquet)
    codes, names = pandas.factorize(pandas.concat([frame["a"], frame["b"]]))
    a, b = codes[: len(frame)], codes[len(frame) :]
    graph = coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(len(names), len(names))).tocsr()

    def run() -> int:
        return int(connected_components(graph, directed=False)[0])

    return run


def test_components(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", (f"intermediate/identity/{COMPONENTS}.sql",), INPUTS)
    parquet, labels = tmp_path / "pairs.parquet", tmp_path / "labels.parquet"
    make_edges(project.warehouse, parquet, EDGES)
    load(project, INPUTS, seeds=("conversion_types",))
    theirs = measure(prepare_scipy, str(parquet), str(labels))
    alone = measure(prepare_scipy_alone, str(parquet))
    ours = measure(prepare_models, str(project.folder), (COMPONENTS,))
    [(edges, same, own, other, both)] = project.rows(
        f"""
        select
            (select count(*) from bench.pairs), count(*) = count(theirs.identifier),
            count(distinct ours.component), count(distinct theirs.component),
            count(distinct (ours.component, theirs.component))
        from intermediate.{COMPONENTS} as ours
        full join '{labels}' as theirs on ours.identifier = theirs.identifier
        """
    )
    assert same
    assert own == other == both == theirs.result == alone.result  # the same partition
    what = f"connected components of {edges / 1e6:.1f} M edges between identifiers"
    figures = f"{ours.cpu_seconds:.1f} s CPU, {ours.peak_mb:,.0f} MB"
    record(
        Row(
            "identity 1 components",
            f"{what}: CPU over scipy's connected_components with the numbering of identifiers, same result",
            figures,
            f"{theirs.cpu_seconds:.1f} s CPU, {theirs.peak_mb:,.0f} MB",
            ours.cpu_seconds / theirs.cpu_seconds,
            target=2,
            note="text in, text out on both sides",
        )
    )
    record(
        Row(
            "identity 2 components alone",
            "the same over scipy's function alone, on a numbered matrix in memory",
            figures,
            f"{alone.cpu_seconds:.1f} s CPU, {alone.peak_mb:,.0f} MB",
            ours.cpu_seconds / alone.cpu_seconds,
        )
    )
