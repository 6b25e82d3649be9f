"""Publishing to PostgreSQL, for BI tools that want a server.

The marts are copied in bulk (DuckDB writes CSV, PostgreSQL's COPY reads it; no row passes through Python)
into schemas beside the present ones; then all of them take the present ones' place. All of it is one
transaction: readers see the old or the new edition and are blocked by neither, and a failure leaves nothing
behind. Views of your own that read the old tables are pointed at the new ones in the same transaction. The
old tables are dropped afterwards, without waiting for who still reads them: the next publication tries again.

A schema that exists and is not Funnelhouse's is never touched.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import duckdb

from ingestion.settings import Paths, environment_value
from orchestration.errors import Problem, one_line
from orchestration.publication import candidate_tables, quoted

ADDRESS = "FUNNELHOUSE_POSTGRES"
READER = "FUNNELHOUSE_POSTGRES_READER"
PREFIX = "FUNNELHOUSE_POSTGRES_PREFIX"
OURS = "Published by Funnelhouse"  # a schema whose comment begins so may be replaced
NEXT, OLD = "__next", "__old"  # appended to a schema's name
CHUNK = 1 << 20
SAME_TYPES = {
    "VARCHAR": "text",
    "BOOLEAN": "boolean",
    "TINYINT": "smallint",
    "SMALLINT": "smallint",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    "HUGEINT": "numeric(38,0)",
    "FLOAT": "real",
    "DOUBLE": "double precision",
    "DATE": "date",
    "TIME": "time",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "UUID": "uuid",
    "JSON": "json",
}
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,30}")


def column_type(duckdb_type: str) -> str:
    """The PostgreSQL type that holds exactly the same values.

    Raises:
        Problem: there is none.
    """
    decimal = re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", duckdb_type)
    if decimal:
        return f"numeric({decimal[1]},{decimal[2]})"
    if duckdb_type not in SAME_TYPES:
        raise Problem(f"no type of PostgreSQL holds {duckdb_type}")
    return SAME_TYPES[duckdb_type]


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL database: its address, the role that may read, what schema names begin with."""

    address: str = field(repr=False)
    temp_dir: Path
    reader: str = "funnelhouse_reader"
    prefix: str = ""
    name: str = "PostgreSQL"

    def check(self) -> str:
        """See `outlets.Outlet.check`."""
        psycopg = _psycopg()
        try:
            with psycopg.connect(self.address, connect_timeout=10) as server:
                row = server.execute("select has_database_privilege(current_database(), 'create')").fetchone()
        except (psycopg.Error, OSError) as error:
            raise Problem(f"PostgreSQL was not reached: {self._told(error)}") from None
        if row is None or not row[0]:
            raise Problem(f"The user in {ADDRESS} may not create schemas in its database: make it the owner.")
        return f"{self.name} (reached)"

    def write(
        self, connection: Any, run_id: str, on_table: Callable[[str, int, int], None] = lambda *_: None
    ) -> None:
        """See `outlets.Outlet.write`."""
        psycopg = _psycopg()
        try:
            with psycopg.connect(self.address, connect_timeout=10, application_name="funnelhouse") as server:
                with server.transaction():
                    self._replace(server, connection, run_id, on_table)
                self._drop_old(server)
        except (psycopg.Error, duckdb.Error, OSError) as error:
            raise Problem(f"the tables of the run before stay: {self._told(error)}") from None

    def _told(self, error: Exception) -> str:
        from ingestion.http import redact

        parts = urlsplit(self.address)
        secrets = (self.address, parts.password or "", unquote(parts.password or ""))
        return redact(one_line(error), secrets)

    def _replace(self, server: Any, connection: Any, run_id: str, on_table: Any) -> None:
        # One publication at a time, whatever machine it comes from.
        server.execute("select pg_advisory_xact_lock(hashtext('funnelhouse publication'))")
        server.execute("set local lock_timeout = '30s'")
        tables = candidate_tables(connection)
        schemas = {schema: self.prefix + schema for schema in dict.fromkeys(schema for schema, _ in tables)}
        present = self._present(server, schemas.values())
        self._make_reader(server)
        for schema in schemas.values():
            server.execute(f'create schema "{schema}{NEXT}"')
            server.execute(f"""comment on schema "{schema}{NEXT}" is '{OURS}, run {run_id[:8]}'""")
        for number, (schema, table) in enumerate(tables, 1):
            on_table(f"{self.name}: {schema}.{table}", number, len(tables))
            self._copy(server, connection, schema, table, f'"{schemas[schema]}{NEXT}"."{table}"')
        views = self._views_on(server, present)
        now = time.time_ns() // 1_000_000
        for schema in schemas.values():
            if schema in present:
                server.execute(f'alter schema "{schema}" rename to "{schema}{OLD}{now}"')
            server.execute(f'alter schema "{schema}{NEXT}" rename to "{schema}"')
            server.execute(f'grant usage on schema "{schema}" to "{self.reader}"')
            server.execute(f'grant select on all tables in schema "{schema}" to "{self.reader}"')
        for view, definition in views:
            server.execute(f"create or replace view {view} as {definition}")

    def _present(self, server: Any, schemas: Iterable[str]) -> list[str]:
        """Which of the schemas exist already.

        Raises:
            Problem: one of them is somebody else's.
        """
        found = server.execute(
            "select nspname, coalesce(obj_description(oid, 'pg_namespace'), '') from pg_namespace"
            " where nspname = any(%s)",
            [list(schemas)],
        ).fetchall()
        for schema, comment in found:
            if not comment.startswith(OURS):
                raise Problem(
                    f"the database has a schema {schema} that Funnelhouse has not made. Use a database of its"
                    f" own, or set {PREFIX}, for example to funnelhouse_."
                )
        return [schema for schema, _ in found]

    def _make_reader(self, server: Any) -> None:
        known = server.execute("select 1 from pg_roles where rolname = %s", [self.reader]).fetchone()
        if known is None:
            server.execute(f'create role "{self.reader}" nologin')

    def _copy(self, server: Any, connection: Any, schema: str, table: str, target: str) -> None:
        columns = connection.execute(
            "select column_name, data_type from information_schema.columns"
            " where table_schema = ? and table_name = ? order by ordinal_position",
            [schema, table],
        ).fetchall()
        declared, selected = [], []
        for column, kind in columns:
            declared.append(f'"{column}" {column_type(kind)}')
            # The character NUL is the one thing that text cannot hold there.
            selected.append(
                f"""replace("{column}", chr(0), '') as "{column}\"""" if kind == "VARCHAR" else f'"{column}"'
            )
        server.execute(f"create table {target} ({', '.join(declared)})")
        self.temp_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.temp_dir) as folder:
            file = Path(folder) / "rows.csv"
            connection.execute(
                f"""copy (select {", ".join(selected)} from "{schema}"."{table}") to '{quoted(file)}'"""
                r" (format csv, header false, force_quote *, nullstr '\N')"
            )
            with (
                server.cursor() as cursor,
                cursor.copy(rf"copy {target} from stdin (format csv, null '\N')") as rows,
                file.open("rb") as content,
            ):
                while chunk := content.read(CHUNK):
                    rows.write(chunk)
        server.execute(f"analyze {target}")

    def _views_on(self, server: Any, schemas: Sequence[str]) -> list[tuple[str, str]]:
        """Other people's views that read these schemas' tables, in the order in which they were made."""
        found: list[tuple[str, str]] = server.execute(
            """
            with recursive dependents as (
                select distinct r.ev_class as oid
                from pg_depend d
                join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
                join pg_class t on d.refclassid = 'pg_class'::regclass and d.refobjid = t.oid
                join pg_namespace n on t.relnamespace = n.oid
                where n.nspname = any(%s)
                union
                select r.ev_class
                from dependents
                join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = dependents.oid
                join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
            )
            select format('%%I.%%I', n.nspname, v.relname), pg_get_viewdef(v.oid)
            from dependents
            join pg_class v on v.oid = dependents.oid
            join pg_namespace n on v.relnamespace = n.oid
            where v.relkind = 'v' and n.nspname <> all(%s)
            order by v.oid
            """,
            [list(schemas), list(schemas)],
        ).fetchall()
        return found

    def _drop_old(self, server: Any) -> None:
        """Drop what has been replaced, table by table; what somebody reads just now, or a materialised view
        stands on, stays until a later publication.
        """
        psycopg = _psycopg()
        server.autocommit = True
        server.execute("set lock_timeout = '2s'")
        old = server.execute(
            "select nspname from pg_namespace where nspname ~ %s"
            " and obj_description(oid, 'pg_namespace') like %s",
            [f"^{self.prefix}[a-z]+{OLD}[0-9]+$", f"{OURS}%"],
        ).fetchall()
        for (schema,) in old:
            tables = server.execute(
                "select tablename from pg_tables where schemaname = %s", [schema]
            ).fetchall()
            try:
                for (table,) in tables:
                    server.execute(f'drop table "{schema}"."{table}"')
                server.execute(f'drop schema "{schema}"')
            except psycopg.Error:
                continue


def _psycopg() -> Any:
    try:
        import psycopg
    except ImportError:
        raise Problem(f"{ADDRESS} is set, but psycopg is missing: pip install 'psycopg[binary]'.") from None
    return psycopg


def from_environment(paths: Paths) -> Postgres | None:
    """The database that the environment (or `.env`) names, or None.

    Raises:
        Problem: a variable cannot be used. The text does not show the address.
    """
    address = environment_value(ADDRESS)
    if not address:
        return None
    if urlsplit(address).scheme not in ("postgresql", "postgres"):
        raise Problem(f"{ADDRESS} must be like postgresql://user:password@host:5432/database.")
    reader = environment_value(READER) or "funnelhouse_reader"
    prefix = environment_value(PREFIX) or ""
    for variable, value in ((READER, reader), (PREFIX, prefix or "x")):
        if not _NAME.fullmatch(value):
            raise Problem(f"{variable} may only hold a-z, 0-9 and _, not {value!r}.")
    return Postgres(address, paths.temp_dir, reader, prefix)
