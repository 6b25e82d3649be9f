"""What is read from PostHog: the events of a project, day by day (UTC), through HogQL queries.

The database behind the API knows no cursor and answers OFFSET with rows that may move. So every run asks
first, in one query, how many events each day holds and when the latest of them arrived; a day for which that
has changed is read again as a whole and replaces what was stored. Rows are paged by (timestamp, uuid), the
order in which they are asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import orjson

from ingestion.errors import BadAnswer, ConfigurationError, RequestRefused, SourceError
from ingestion.http import ApiClient
from ingestion.posthog.settings import SETTINGS, SYSTEM_NAME, ask, client_for, late_days
from ingestion.records import Column, Table
from ingestion.settings import Connection
from ingestion.sources import GONE, Context, Done, Item, Page, Refused, Resource, System
from ingestion.windows import spans, window

PAGE = 10_000
"""Rows a query. The service allows 50,000; of events with large properties that would be 100 MB."""
MOST_DAYS = 50_000


def _property(name: str, column: str, kind: Any = "text") -> Column:
    return Column(column, kind, path=("properties", name))


EVENTS = Table(
    "events",
    columns=(
        Column("event_uuid", required=True),
        Column("occurred_at", "timestamp", required=True),
        Column("ingested_at", "timestamp"),
        Column("event", required=True),
        Column("distinct_id", required=True),
        _property("$device_id", "device_id"),
        _property("$anon_distinct_id", "anon_distinct_id"),
        _property("alias", "alias"),
        _property("$user_id", "user_id"),
        _property("$is_identified", "is_identified", "boolean"),
        _property("$process_person_profile", "process_person_profile", "boolean"),
        _property("$cookieless_mode", "cookieless_mode", "boolean"),
        _property("$session_id", "session_id"),
        _property("$lib", "lib"),
        Column("set_email", "email", path=("properties", "$set", "email")),
        Column("set_once_email", "email", path=("properties", "$set_once", "email")),
        Column("event_email", "email", path=("properties", "email")),
        _property("$current_url", "current_url"),
        _property("$screen_name", "screen_name"),
        _property("$referrer", "referrer"),
        _property("$device_type", "device_type"),
        _property("$os", "os"),
        _property("$browser", "browser"),
        _property("$raw_user_agent", "raw_user_agent"),
        _property("$geoip_country_code", "country_code"),
        _property("$internal_or_test_user", "is_internal", "boolean"),
        *(
            _property(f"utm_{name}", f"utm_{name}")
            for name in ("source", "medium", "campaign", "content", "term")
        ),
        *(
            _property(name, name)
            for name in ("gclid", "gbraid", "wbraid", "fbclid", "msclkid", "ttclid", "li_fat_id")
        ),
        _property("consent_analytics", "consent_analytics"),
        _property("consent_ads", "consent_ads"),
        _property("order_id", "order_id"),
        _property("product_id", "product_id"),
        _property("value", "value", "money"),
        _property("currency", "currency"),
        _property("referral_code", "referral_code"),
    ),
    key=("event_uuid",),
    sliced=True,
    # What person properties hold beside the address is nobody's business here.
    ignored=("properties.$set", "properties.$set_once", "properties.$ip"),
    description="One event of one day (UTC). Properties without a column stay in _extra.",
)
_COUNTS = """select
    toString(toDate(toTimeZone(timestamp, 'UTC'))) as event_day,
    count(distinct uuid) as events,
    toString(toTimeZone(max(created_at), 'UTC')) as latest
from events
where {bounds}
group by event_day
order by event_day
limit {limit}"""
_ROWS = """select
    toString(toTimeZone(timestamp, 'UTC')) as occurred_at,
    toString(uuid) as event_uuid,
    toString(toTimeZone(created_at, 'UTC')) as ingested_at,
    event,
    distinct_id,
    properties
from events
where {bounds}
order by timestamp, toString(uuid)
limit {limit}"""
_FIELDS = ("occurred_at", "event_uuid", "ingested_at", "event", "distinct_id")


@dataclass(frozen=True)
class Day:
    """What the service says of a day."""

    day: date
    events: int
    latest: str

    @property
    def name(self) -> str:
        return self.day.isoformat()

    @property
    def checksum(self) -> str:
        return f"{self.events}:{self.latest}"


def events(context: Context) -> Iterator[Item]:
    """The days whose events have changed; days outside the window only where their last load was cut off."""
    client = client_for(context.connection)
    today = context.as_of.date()
    first, last = window(context, EVENTS.name, today, late_days(context.connection))
    stored = context.slices(EVENTS.name)
    for since, until in spans(context, (EVENTS.name,), first, last, (last - first).days + 1):
        # the present window has no end: a wrong clock's events are seen, not missed
        end = None if until >= today and context.bounds is None else until
        found = counts(client, context.account, since, end)
        changed = [day for day in found if context.bounds is not None or stored.get(day.name) != day.checksum]
        for days in together(changed):
            yield from read(client, context, days)
        present = {day.name for day in found}
        wanted = (since + timedelta(days=step) for step in range((until - since).days + 1))
        yield Done(
            EVENTS.name,
            {name: GONE for name in map(date.isoformat, wanted) if name in stored and name not in present},
        )


def counts(client: ApiClient, project: str, since: date, until: date | None) -> list[Day]:
    """Each day's events and the latest arrival among them, from one day to another (None: without an end)."""
    bounds = f"timestamp >= {_moment(f'{since} 00:00:00')}"
    if until is not None:
        bounds += f" and timestamp < {_moment(f'{until + timedelta(days=1)} 00:00:00')}"
    rows = ask(client, project, _COUNTS.format(bounds=bounds, limit=MOST_DAYS))
    try:
        return [Day(date.fromisoformat(day), int(events), str(latest)) for day, events, latest in rows]
    except (TypeError, ValueError):
        raise BadAnswer(SYSTEM_NAME, "the counts by day are not understood.", "Report it.") from None


def together(days: Sequence[Day]) -> Iterator[list[Day]]:
    """Neighbouring days in groups of about a page, so that quiet days cost no query each."""
    group: list[Day] = []
    for day in days:
        is_next = bool(group) and day.day == group[-1].day + timedelta(days=1)
        if group and (not is_next or sum(each.events for each in group) + day.events > PAGE):
            yield group
            group = []
        group.append(day)
    if group:
        yield group


def read(client: ApiClient, context: Context, days: Sequence[Day]) -> Iterator[Item]:
    """All events of neighbouring days, each day as pages of its own.

    Raises:
        BadAnswer: fewer events came than were counted, or the paging stands still.
    """
    low, high = f"{days[0].name} 00:00:00", f"{days[-1].day + timedelta(days=1)} 00:00:00"
    ahead = (context.as_of + timedelta(days=1)).replace(tzinfo=None).isoformat(sep=" ")
    announced = sum(day.events for day in days)
    seen: set[str] = set()
    after: tuple[str, str] | None = None
    while True:
        bounds = f"timestamp < {_moment(high)} and timestamp >= {_moment(after[0] if after else low)}"
        if after:
            bounds += f" and (timestamp > {_moment(after[0])} or toString(uuid) > '{_plain(after[1])}')"
        rows = ask(client, context.account, _ROWS.format(bounds=bounds, limit=PAGE))
        yield from _pages(rows, seen, ahead)
        # A limit of the service's own may lie below ours: only an empty page, or all events, is the end.
        if not rows or (len(rows) < PAGE and len(seen) >= announced):
            break
        last = (str(rows[-1][0]), str(rows[-1][1]))
        if after is not None and last <= after:
            raise BadAnswer(
                SYSTEM_NAME, "the paging stands still.", "Nothing of this load was kept; run again."
            )
        after = last
    if len(seen) < announced:
        raise BadAnswer(
            SYSTEM_NAME,
            f"{announced} events were counted from {days[0].name} to {days[-1].name}, and {len(seen)} came.",
            "Nothing of this load was kept; run again.",
        )
    yield Done(EVENTS.name, {day.name: day.checksum for day in days})


def _pages(rows: Sequence[Sequence[Any]], seen: set[str], ahead: str) -> Iterator[Item]:
    """The rows as JSON lines by day, each event once: until the database has merged its parts, an event that
    was sent twice stands twice."""
    lines: dict[str, list[bytes]] = {}
    repeated: dict[str, int] = {}
    early: dict[str, list[str]] = {}
    for row in rows:
        if len(row) != len(_FIELDS) + 1:
            raise BadAnswer(SYSTEM_NAME, "a row has not the columns that were asked for.", "Report it.")
        day, identifier = str(row[0])[:10], str(row[1])
        lines.setdefault(day, [])
        if identifier in seen:
            repeated[day] = repeated.get(day, 0) + 1
            continue
        seen.add(identifier)
        line = _line(row)
        if str(row[0]) > ahead:
            early.setdefault(day, []).append(line.decode("utf-8", "backslashreplace"))
        else:
            lines[day].append(line)
    for day, events_of_day in lines.items():
        if day in early:
            reasons = ["occurred_at: lies in the future"] * len(early[day])
            yield Refused(EVENTS.name, early[day], reasons, slice=day)
        filtered = {"repeated event": repeated[day]} if day in repeated else {}
        yield Page(EVENTS.name, body=b"\n".join(events_of_day), lines=True, slice=day, filtered=filtered)


def _line(row: Sequence[Any]) -> bytes:
    """One event as a line of JSON. Its properties, which come as a text of JSON, stand in it as they came."""
    head = dict(zip(_FIELDS, row[:-1], strict=True))
    try:
        made = orjson.dumps(head)
    except (TypeError, orjson.JSONEncodeError):  # half a surrogate pair
        made = json.dumps(head).encode()
    # line breaks within JSON are blanks; those in its texts are escaped
    properties = str(row[-1] or "{}").replace("\r", " ").replace("\n", " ")
    return made[:-1] + b',"properties":' + properties.encode("utf-8", "surrogatepass") + b"}"


def _moment(text: str) -> str:
    """A moment in UTC as HogQL: without a time zone it would be the project's."""
    return f"toDateTime64('{_plain(text)}', 6, 'UTC')"


def _plain(text: str) -> str:
    """A text that may stand in quotes: the service's own ids and times, and nothing else."""
    if not all(char.isalnum() or char in " -:." for char in text):
        raise BadAnswer(SYSTEM_NAME, "an event's uuid or time is not understood.", "Report it.")
    return text


def check(connection: Connection) -> str:
    """Ask each project for its latest event."""
    if not connection.accounts:
        raise ConfigurationError(
            f"{SYSTEM_NAME}: no project is listed. Add its id (Settings, Project) to `accounts`."
        )
    client = client_for(connection)
    found = []
    query = (
        "select toString(toTimeZone(timestamp, 'UTC')) as latest from events order by timestamp desc limit 1"
    )
    for project in connection.accounts:
        try:
            rows = ask(client, project, query)
        except RequestRefused as refused:
            raise SourceError(
                SYSTEM_NAME,
                f"project {project} cannot be asked ({refused.status}).",
                "Check `accounts`, BASE_URL (US or EU) and the key's scope query:read.",
            ) from None
        found.append(f"{project} (latest event {str(rows[0][0])[:19] if rows else 'none'})")
    return "project " + ", ".join(found)


SYSTEM = System(
    name=SYSTEM_NAME,
    resources=(Resource("events", tables=(EVENTS,), extract=events),),
    settings=SETTINGS,
    check=check,
)
