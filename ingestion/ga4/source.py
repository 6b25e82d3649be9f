"""What is read from Google Analytics 4: the export's files in a bucket, and the Data API's counts of the same
days.

The vendor exports events to BigQuery. A scheduled query or job copies each day to a bucket as
newline-delimited JSON (`EXPORT DATA OPTIONS(format='JSON', compression='GZIP')`), one or more objects a
day, the day in their names. Days are rewritten for up to three days as late events arrive: an object's
generation changes, and the day is read again as a whole.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote

from ingestion.errors import BadAnswer, ConfigurationError, RequestRefused
from ingestion.ga4.events import PARAM_COLUMNS, Parser
from ingestion.ga4.settings import SETTINGS, SYSTEM_NAME, client_for
from ingestion.http import ApiClient, Request, after
from ingestion.records import Column, Table, Type
from ingestion.settings import Connection, setting
from ingestion.sources import Context, Done, Item, Page, Refused, Resource, System

PAGE_BYTES = 48 * 1024 * 1024
"""Unpacked bytes that are parsed at once: about 40,000 events. Larger pages only cost memory."""
REPORT_ROWS = 100_000
REPORT_DAYS = 4
"""The Data API's counts move as late events arrive, for as many days as the export is rewritten, and one."""

_DAY = re.compile(r"(?<!\d)(20\d{2})(\d{2})(\d{2})(?!\d{6}\d)")

_PARAM_TYPES: Mapping[str, Type] = {
    "ga_session_number": "bigint",
    "engagement_time_msec": "bigint",
    "param_value": "money",
}

EVENTS = Table(
    "events",
    columns=(
        Column("event_id", required=True),
        Column("file_date", "date", required=True),
        Column("event_date", "date", format="%Y%m%d", required=True),
        Column("occurred_at", "timestamp", unit="us", required=True),
        Column("event_name", required=True),
        Column("client_id"),
        Column("user_id"),
        *(Column(name, _PARAM_TYPES.get(name, "text")) for name in PARAM_COLUMNS),
        Column("manual_source"),
        Column("manual_medium"),
        Column("manual_campaign_name"),
        Column("manual_content"),
        Column("manual_term"),
        Column("gclid"),
        Column("device_category"),
        Column("operating_system"),
        Column("browser"),
        Column("language"),
        Column("country"),
        Column("city"),
        Column("analytics_storage"),
        Column("ads_storage"),
        Column("transaction_id"),
        Column("purchase_revenue", "money"),
        Column("item_id"),
        Column("items", "json"),
        Column("event_params", "json"),
        Column("user_properties", "json"),
        Column("event_bundle_sequence_id", "bigint"),
        Column("batch_page_id", "bigint"),
        Column("batch_ordering_id", "bigint"),
        Column("batch_event_index", "bigint"),
        Column("stream_id"),
        Column("platform"),
    ),
    key=("event_id", "file_date"),
    sliced=True,
    description="One event of one exported day. event_params: parameters without a column, as one object.",
)
DAILY_REPORT = Table(
    "daily_report",
    columns=(
        Column("date", "date", format="%Y%m%d", required=True),
        Column("event_name", required=True),
        Column("event_count", "bigint"),
        Column("total_users", "bigint"),
        Column("purchase_revenue", "money"),
    ),
    key=("date", "event_name"),
    slice_by="date",
    description="One event name on one day of the property, as the Data API counts it.",
)
DIMENSIONS = {"date": "date", "eventName": "event_name"}
METRICS = {"eventCount": "event_count", "totalUsers": "total_users", "purchaseRevenue": "purchase_revenue"}


def objects_by_day(client: ApiClient, bucket: str, prefix: str) -> dict[date, list[tuple[str, str]]]:
    """The export's objects as day -> [(name, generation)]. Intraday files are left out: daily ones follow."""
    days: dict[date, list[tuple[str, str]]] = defaultdict(list)
    pages = client.pages(
        f"/storage/v1/b/{quote(bucket, safe='')}/o",
        params={
            "prefix": prefix,
            "maxResults": 1000,
            "fields": "nextPageToken,items(name,generation,md5Hash)",
        },
        next_request=after("nextPageToken", "pageToken"),
        data="items",
        optional=True,
    )
    for page in pages:
        for entry in page.at("items") or []:
            name = str(entry["name"])
            found = _DAY.search(name)
            if found is None or "intraday" in name:
                continue
            try:
                day = date(*(int(part) for part in found.groups()))
            except ValueError:
                continue
            days[day].append((name, str(entry.get("generation") or entry.get("md5Hash"))))
    return {day: sorted(days[day]) for day in sorted(days)}


def checksum(objects: Iterable[tuple[str, str]]) -> str:
    """A digest of a day's objects and generations: another one means that the day was rewritten."""
    return hashlib.sha256(
        "\n".join(f"{name} {generation}" for name, generation in objects).encode()
    ).hexdigest()


def read_object(client: ApiClient, bucket: str, name: str) -> bytes:
    """One object's content, unpacked. Raises BadAnswer where the answer is not that file."""
    path = f"/storage/v1/b/{quote(bucket, safe='')}/o/{quote(name, safe='')}"
    answer = client.request(Request(path, params={"alt": "media"}), expect="file")
    # the store itself may unpack what it keeps packed, and says so
    unpacked = answer.was_packed or "x-goog-stored-content-encoding" in answer.headers
    if name.endswith(".gz") and not unpacked:
        raise BadAnswer(SYSTEM_NAME, f"the answer for the file {name} is not that file.", "Run again.")
    return answer.content


def extract(context: Context) -> Iterator[Item]:
    """Days whose files changed since they were loaded, and the Data API's counts of them and recent days."""
    exports = client_for(context.connection, "EXPORT_BASE_URL")
    bucket = context.connection.require("BUCKET")
    days = objects_by_day(exports, bucket, prefix(context.connection, context.account))
    sums = {day: checksum(objects) for day, objects in days.items()}
    stored = context.slices(EVENTS.name)
    if stored and not days:
        raise BadAnswer(
            SYSTEM_NAME,
            f"bucket {bucket} lists no file any more, though {len(stored)} days were loaded.",
            "Check BUCKET and PREFIX, and that the daily export job runs.",
        )
    if context.bounds is not None:
        wanted = [day for day in days if context.bounds.date_from <= day <= context.bounds.date_to]
    else:
        wanted = [day for day in days if stored.get(day.isoformat()) != sums[day]]
    parser = Parser()
    files: list[tuple[str, bytes]] = []
    size = 0
    for day in wanted:
        for name, _ in days[day]:
            content = read_object(exports, bucket, name)
            files.append((day.isoformat(), content))
            size += len(content)
        if size >= PAGE_BYTES or day == wanted[-1]:
            yield from _events(parser, files)
            read = {date.fromisoformat(file_day) for file_day, _ in files}
            yield Done(EVENTS.name, {read_day.isoformat(): sums[read_day] for read_day in sorted(read)})
            files, size = [], 0
    yield from _daily_report(context, days, wanted)


def _events(parser: Parser, files: list[tuple[str, bytes]]) -> Iterator[Item]:
    parsed = parser.parse(files)
    filtered = {"repeated event": parsed.repeated} if parsed.repeated else {}
    events = parsed.events.append_column("_slice", parsed.events["file_date"])
    yield Page(EVENTS.name, arrow=events, filtered=filtered)
    for file_day in dict.fromkeys(day for day, _ in parsed.malformed):
        lines = [line for day, line in parsed.malformed if day == file_day]
        yield Refused(EVENTS.name, payloads=lines, reasons=["no JSON object"] * len(lines), slice=file_day)


def _daily_report(context: Context, days: Mapping[date, Any], changed: list[date]) -> Iterator[Item]:
    if context.bounds is not None:
        first, last = context.bounds.date_from, context.bounds.date_to
    elif not days:
        return
    else:
        last = max(days)
        stored = context.slices(DAILY_REPORT.name)
        recent = last - timedelta(days=REPORT_DAYS - 1)
        first = min([recent, *changed, *(day for day in days if not stored.get(day.isoformat()))])
    client = client_for(context.connection, "DATA_BASE_URL")
    body = {
        "dateRanges": [{"startDate": first.isoformat(), "endDate": last.isoformat()}],
        "dimensions": [{"name": name} for name in DIMENSIONS],
        "metrics": [{"name": name} for name in METRICS],
        "limit": str(REPORT_ROWS),
    }
    for rows in report(client, context.account, body):
        yield Page(DAILY_REPORT.name, records=rows)
    span = (last - first).days + 1
    yield Done(DAILY_REPORT.name, {(first + timedelta(days=step)).isoformat(): None for step in range(span)})


def report(client: ApiClient, property_id: str, body: Mapping[str, Any]) -> Iterator[list[dict[str, str]]]:
    """The rows of a runReport request, page by page, as dictionaries by our names.

    Raises:
        BadAnswer: a page is empty before rowCount is reached, or rows were withheld (data thresholds).
    """
    path = f"/v1beta/properties/{property_id}:runReport"
    names = [*DIMENSIONS.values(), *METRICS.values()]
    reached = 0
    while True:
        document = client.post(path, json={**body, "offset": str(reached)}).json()
        client.require(document, "dimensionHeaders")
        total = int(document.get("rowCount", 0))
        rows = document.get("rows") or []
        if not rows and reached < total:
            raise BadAnswer(
                SYSTEM_NAME, f"runReport announced {total} rows and stopped at {reached}.", "Run again."
            )
        if rows:
            yield [
                dict(
                    zip(
                        names,
                        (cell.get("value") for cell in (*row["dimensionValues"], *row["metricValues"])),
                        strict=True,
                    )
                )
                for row in rows
            ]
        reached += len(rows)
        if reached >= total:
            return


def prefix(connection: Connection, account: str) -> str:
    """The beginning of the object names; `{property}` in the setting stands for the property's id."""
    return setting(connection, SETTINGS, "PREFIX").replace("{property}", account)


def check(connection: Connection) -> str:
    """List the export's objects and ask the Data API for one row of each property."""
    if not connection.accounts:
        raise ConfigurationError(f"{SYSTEM_NAME}: no property is listed. Add the property id to `accounts`.")
    bucket = connection.require("BUCKET")
    exports = client_for(connection, "EXPORT_BASE_URL")
    data = client_for(connection, "DATA_BASE_URL")
    found = []
    for account in connection.accounts:
        try:
            days = objects_by_day(exports, bucket, prefix(connection, account))
        except RequestRefused as refused:
            raise BadAnswer(
                SYSTEM_NAME, f"bucket {bucket} cannot be listed ({refused.status}).", "Check BUCKET."
            ) from None
        if not days:
            raise BadAnswer(
                SYSTEM_NAME,
                f"bucket {bucket} holds no file of a day that begins with {prefix(connection, account)!r}.",
                "Check BUCKET and PREFIX, and that the daily export job runs.",
            )
        yesterday = {"startDate": "yesterday", "endDate": "yesterday"}
        body = {
            "dateRanges": [yesterday],
            "dimensions": [{"name": name} for name in DIMENSIONS],
            "metrics": [{"name": name} for name in METRICS],
            "limit": "1",
        }
        next(report(data, account, body), None)
        found.append(f"property {account} with {len(days)} exported days, the last {max(days).isoformat()}")
    return "; ".join(found)


SYSTEM = System(
    name=SYSTEM_NAME,
    resources=(Resource("export", tables=(EVENTS, DAILY_REPORT), extract=extract),),
    settings=SETTINGS,
    check=check,
    api_version="v1beta",
)
