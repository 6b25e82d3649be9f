"""Column lineage of a compiled model, by sqlglot: which columns of which parents each column is made from.

dagster-dbt's own `fetch_column_metadata` optimises and re-parses the query once for every column: 70 s of CPU
for 142 models, measured. Qualifying each query once and walking one scope gives the same leaves in 1.5 s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError
from sqlglot.lineage import lineage
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import build_scope
from sqlglot.schema import MappingSchema

Relation = tuple[str, str]  # (schema, table)


def column_lineage(
    sql: str, relations: Mapping[Relation, Mapping[str, str]], dialect: str = "duckdb"
) -> dict[str, set[tuple[Relation, str]]]:
    """Column -> the (relation, column) pairs that it is made from; {} where sqlglot cannot read the query.

    Args:
        sql: the compiled query of a model.
        relations: the columns (name -> type) of every relation that the query may read.
        dialect: the query's SQL dialect.
    """
    schema = MappingSchema(dialect=dialect)
    for (namespace, relation), columns in relations.items():
        name = exp.table_(relation, db=namespace, quoted=True)
        schema.add_table(name, dict(columns), dialect=dialect, match_depth=False)
    try:
        tree = parse_one(sql, dialect=dialect)
        for table in tree.find_all(exp.Table):
            table.set("catalog", None)  # one database: schema and table name a relation
        query: Any = qualify(
            tree, schema=schema, dialect=dialect, validate_qualify_columns=False, identify=False
        )
        scope = build_scope(query)
        return {
            name.lower(): {
                ((node.expression.db, node.expression.name), node.name.split(".")[-1].strip('"').lower())
                for node in lineage(
                    name, query, schema=schema, dialect=dialect, scope=scope, trim_selects=False, copy=False
                ).walk()
                if not node.downstream and isinstance(node.expression, exp.Table)
            }
            for name in query.named_selects
        }
    except (SqlglotError, ValueError, RecursionError):
        return {}
