"""A system that is small enough to break on purpose: record-wise contacts, ads by day, drops by file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from ingestion.http import ApiClient, BearerAuth, NextRequest, after
from ingestion.records import Column, Table
from ingestion.settings import Connection, Paths
from ingestion.sources import GONE, Context, Done, Item, Page, Resource, System
from ingestion.warehouse import connect

AS_OF = datetime(2026, 7, 1, 3, tzinfo=UTC)
TOKEN = "canary-token-5f1e"
CONTACTS = Table(
    "contacts",
    columns=(
        Column("contact_id", path="id", required=True),
        Column("email", "email", path="properties.email"),
        Column("amount", "money", path="properties.amount"),
        Column("visits", "bigint", path="properties.visits"),
        Column("updated_at", "timestamp", path="updatedAt", required=True),
        Column("notes", "json", path="properties.notes"),
    ),
    key=("contact_id",),
    cursor="updated_at",
    lag=timedelta(hours=1),
)
ADS = Table(
    "ads",
    columns=(
        Column("date", "date", required=True),
        Column("campaign_id"),
        Column("country"),
        Column("spend", "money", required=True),
    ),
    key=("date", "campaign_id", "country"),
    slice_by="date",
)
DROPS = Table(
    "drops", columns=(Column("event_id", required=True), Column("name")), key=("event_id",), sliced=True
)
CONNECTION = Connection("toy", "main", ("1",))


def system_over_http(url: str, next_request: NextRequest | None = None, **options: Any) -> System:
    """Contacts from `url`/contacts in pages: {"results": [...], "paging": {"next": {"after": …}}}."""

    def contacts(context: Context) -> Iterator[Item]:
        client = ApiClient("toy", url, auth=BearerAuth(TOKEN), **{"backoff": 0.01, "tries": 3, **options})
        since = context.since("contacts")
        params = {"since": since.isoformat()} if since else {}
        for answer in client.pages(
            "/contacts",
            next_request=next_request or after("paging.next.after"),
            data="results",
            params=params,
        ):
            yield Page("contacts", body=answer.content, at="results")

    return System("toy", (Resource("contacts", (CONTACTS,), contacts),), check=lambda _: "ok")


def system_of(data: Mapping[str, Any]) -> System:
    """Everything from dictionaries: contacts (records), ads (records of 2026-06-01..05), drops (file ->
    records)."""

    def contacts(context: Context) -> Iterator[Item]:
        since = context.since("contacts")
        for record in data.get("contacts", []):
            if (
                since is None
                or record.get("updatedAt") is None
                or record["updatedAt"] >= since.isoformat()[:19]
            ):
                yield Page("contacts", records=[record])

    def ads(context: Context) -> Iterator[Item]:
        first, last = date(2026, 6, 1), date(2026, 6, 5)
        if context.bounds is not None:
            first, last = context.bounds.date_from, context.bounds.date_to
        days = [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]
        yield Page("ads", records=[record for record in data.get("ads", []) if record["date"] in days])
        yield Done("ads", dict.fromkeys(days))

    def drops(context: Context) -> Iterator[Item]:
        stored = context.slices("drops")
        files: Mapping[str, Any] = data.get("drops", {})
        for name, records in files.items():
            checksum = hashlib.md5(json.dumps(records).encode()).hexdigest()
            if stored.get(name) != checksum:
                yield Page("drops", records=records, slice=name)
                yield Done("drops", {name: checksum})
        yield Done("drops", {name: GONE for name in stored if name not in files})

    return System(
        "toy",
        (
            Resource("contacts", (CONTACTS,), contacts),
            Resource("ads", (ADS,), ads),
            Resource("drops", (DROPS,), drops),
        ),
        check=lambda _: "ok",
    )


def contact(number: int, day: int = 1, **properties: Any) -> dict[str, Any]:
    properties = {
        "email": f"person{number}@customer.example",
        "amount": f"{number}.50",
        "visits": number,
        **properties,
    }
    return {"id": str(number), "updatedAt": f"2026-06-{day:02}T10:00:00Z", "properties": properties}


def content(paths: Paths, with_load_ids: bool = False) -> dict[str, list[tuple[Any, ...]]]:
    """Every raw table's rows, sorted; without load ids and the time of last sight unless they are asked
    for."""
    left_out = set() if with_load_ids else {"_dlt_load_id", "last_seen_at", "first_seen_at"}
    found = {}
    with connect(paths) as con:
        tables = con.execute(
            "select table_name from information_schema.tables where table_schema = 'raw_toy'"
            " and not starts_with(table_name, '_dlt') order by 1"
        ).fetchall()
        for (name,) in tables:
            relation = con.sql(f'select * from raw_toy."{name}"')
            kept = [column for column in relation.columns if column not in left_out]
            rows = con.sql(f'select {", ".join(kept)} from raw_toy."{name}"').fetchall()
            found[name] = sorted(rows, key=repr)
    return found


def rows(paths: Paths, sql: str) -> list[tuple[Any, ...]]:
    with connect(paths) as con:
        return con.sql(sql).fetchall()
