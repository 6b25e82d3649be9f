"""The quarantine: what was refused, why, and trying again after a fix.

Records of record-wise tables are replayed from their payloads, in which addresses stand as pseudonyms
already. Slices (files, days) are never patched row by row: their marks are forgotten, so that the next load
reads them whole.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ingestion.privacy import PSEUDONYM_WITH_DOMAIN, Pseudonyms
from ingestion.records import Converter, Table
from ingestion.registry import system as registered_system
from ingestion.settings import Connection, Paths
from ingestion.sources import Context, Item, Page, Resource, System
from ingestion.warehouse import QUARANTINE, SLICES, clean_start, connect, load


@dataclass(frozen=True)
class Record:
    """One refused record."""

    quarantine_id: str
    system: str
    source_relation: str
    resource: str
    reason: str
    payload: str
    slice: str | None
    line: int | None
    first_seen_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True)
class Replay:
    """What a replay did for one connection."""

    system: str
    connection: str
    loaded: int
    still_refused: int
    read_again: tuple[str, ...] = ()
    """Slices that the next load reads whole (days outside its window: `funnelhouse backfill`)."""


def list_records(paths: Paths, system: str | None = None, limit: int = 100) -> list[Record]:
    """The latest refused records, newest first."""
    if not paths.warehouse.exists():
        return []
    found: list[Record] = []
    with connect(paths) as con:
        datasets = con.execute(
            "select distinct table_schema from information_schema.tables where table_name = ?"
            " and starts_with(table_schema, 'raw_') and not ends_with(table_schema, '_staging')",
            [QUARANTINE],
        ).fetchall()
        for (dataset,) in datasets:
            name = dataset.removeprefix("raw_")
            if system is not None and name != system:
                continue
            rows = con.execute(
                "select quarantine_id, source_relation, resource, reason, payload, _slice, _line, "
                "first_seen_at,"
                f" last_seen_at from {dataset}.{QUARANTINE} order by last_seen_at desc, "
                "quarantine_id limit ?",
                [limit],
            ).fetchall()
            found += [Record(row[0], name, *row[1:]) for row in rows]
    found.sort(key=lambda record: (record.last_seen_at, record.quarantine_id), reverse=True)
    return found[:limit]


def replay(paths: Paths, connections: Sequence[Connection], as_of: datetime | None = None) -> list[Replay]:
    """Try every refused record of these connections again. The caller holds the writer lock."""
    return [_replay(paths, connection, as_of or datetime.now(UTC)) for connection in connections]


def _replay(paths: Paths, connection: Connection, as_of: datetime) -> Replay:
    clean_start(paths, connection)
    moment = as_of.replace(tzinfo=UTC) if as_of.tzinfo is None else as_of
    waiting = _waiting(paths, connection)
    tables = {table.name: table for table in registered_system(connection.system).tables}
    pseudonyms = Pseudonyms.for_folder(paths.key_file)
    ready: dict[tuple[str, str], list[str]] = {}
    cured: list[str] = []
    refused = 0
    slices: set[tuple[str, str, str]] = set()
    for (relation, resource), records in waiting.items():
        table = tables.get(resource)
        if table is None:
            refused += len(records)
        elif table.is_sliced:
            refused += len(records)
            slices |= {(relation, resource, slice_) for _, _, slice_ in records if slice_ is not None}
        else:
            payloads = [_without_domains(payload, table) for _, payload, _ in records]
            converter = Converter(table, relation, pseudonyms, moment)
            body = "\n".join(payloads).encode()
            converted = converter.convert([Page(resource, body=body, lines=True)])
            bad = set(converted.quarantined["_line"].to_pylist())
            good = [number for number in range(len(records)) if number + 1 not in bad]
            ready[relation, resource] = [payloads[number] for number in good]
            cured += [records[number][0] for number in good]
            refused += len(bad)
    if cured:
        load(paths, connection, system=_replaying(connection, tables, ready), as_of=moment)
    with connect(paths) as con:
        dataset = connection.dataset
        if cured:
            con.execute(
                f"delete from {dataset}.{QUARANTINE} where quarantine_id in (select unnest(?))", [cured]
            )
        for relation, resource, slice_ in slices:
            con.execute(
                f"update {dataset}.{SLICES} set checksum = '' where source_relation = ? and "
                "resource = ? and slice = ?",
                [relation, resource, slice_],
            )
    return Replay(
        connection.system,
        connection.name,
        loaded=len(cured),
        still_refused=refused,
        read_again=tuple(sorted({f"{resource}: {slice_}" for _, resource, slice_ in slices})),
    )


def _waiting(
    paths: Paths, connection: Connection
) -> dict[tuple[str, str], list[tuple[str, str, str | None]]]:
    """(source_relation, resource) -> [(id, payload, slice)] of one connection."""
    found: dict[tuple[str, str], list[tuple[str, str, str | None]]] = defaultdict(list)
    if not paths.warehouse.exists():
        return found
    with connect(paths) as con:
        exists = con.execute(
            "select 1 from information_schema.tables where table_schema = ? and table_name = ?",
            [connection.dataset, QUARANTINE],
        ).fetchone()
        if exists:
            rows = con.execute(
                "select source_relation, resource, quarantine_id, payload, _slice from "
                f"{connection.dataset}.{QUARANTINE}"
                " where starts_with(source_relation, ?) order by first_seen_at, quarantine_id",
                [connection.source_relation("")],
            ).fetchall()
            for relation, resource, *record in rows:
                found[relation, resource].append((record[0], record[1], record[2]))
    return found


def _replaying(
    connection: Connection, tables: dict[str, Table], ready: dict[tuple[str, str], list[str]]
) -> System:
    """A system that yields the cured payloads instead of asking the vendor."""

    def resource(name: str) -> Resource:
        def extract(context: Context) -> Iterator[Item]:
            payloads = ready.get((connection.source_relation(context.account), name))
            if payloads:
                yield Page(name, body="\n".join(payloads).encode(), lines=True)

        return Resource(name, (tables[name],), extract)

    prefix = connection.source_relation("")
    accounts = tuple(sorted({relation.removeprefix(prefix) for relation, _ in ready}))
    return System(
        name=connection.system,
        resources=tuple(resource(name) for name in sorted({name for _, name in ready})),
        check=lambda _: "",
        accounts=lambda _: accounts,
    )


def _without_domains(payload: str, table: Table) -> str:
    """The payload on one line, with "v1:…/example.com" shortened to "v1:…" but for the declared address
    columns."""
    addresses = {column.steps for column in table.columns if column.type == "email"}

    def walk(value: Any, steps: tuple[str, ...]) -> Any:
        if isinstance(value, dict):
            return {key: walk(child, (*steps, key)) for key, child in value.items()}
        if isinstance(value, list):
            return [walk(child, steps) for child in value]
        if isinstance(value, str) and steps not in addresses:
            return PSEUDONYM_WITH_DOMAIN.sub(r"\1", value)
        return value

    try:
        document = json.loads(payload)
    except ValueError:
        return " ".join(payload.split())
    if PSEUDONYM_WITH_DOMAIN.search(payload) is None:
        return payload.replace("\n", " ").replace("\r", " ")
    return json.dumps(walk(document, ()))
