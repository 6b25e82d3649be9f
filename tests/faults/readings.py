"""Every connected system's resources, read from the sandbox one by one, with faults on chosen requests.

What belongs here: how a resource is read without a warehouse, which of its requests are worth a fault, and
what came of it. No system is named: whatever is registered and has a server in the sandbox takes part.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any
from urllib.parse import parse_qs

import requests

from ingestion.errors import FunnelhouseError
from ingestion.http import dig
from ingestion.privacy import Pseudonyms
from ingestion.records import Converter
from ingestion.registry import system
from ingestion.settings import connections
from ingestion.sources import Bounds, Context, Item, Page, Refused, Resource, System
from sandbox.servers import vendors

AS_OF = datetime(2026, 7, 1, 3, tzinfo=UTC)
FIRST_DAY = "2026-06-25"
SMALL_PAGE = 12
CURSORS = {"after", "cursor", "offset", "page", "page[cursor]", "pageToken", "page_info", "starting_after"}
MOST_ITEMS = 6  # of a long reading: what stands in front of a fault and right behind it decides
DAYS = Bounds(date(2026, 6, 27), date(2026, 6, 28))


def _names() -> Iterator[tuple[str, str]]:
    """(system, resource), one resource for each function that reads."""
    for entry in connections():
        if entry.system in vendors() and entry.name == "main":
            functions = set()
            for resource in system(entry.system).resources:
                function = getattr(resource.extract, "func", resource.extract)
                if function not in functions:
                    functions.add(function)
                    yield entry.system, resource.name


NAMES = list(_names())
SYSTEMS = list(dict.fromkeys(name for name, _ in NAMES))
IDS = [f"{name}.{resource}" for name, resource in NAMES]


@dataclass(frozen=True)
class Asked:
    """One request of an undisturbed reading: of what kind, and how many of that kind came before it."""

    shape: str
    path: str
    method: str
    place: int
    before: int
    has_next_page: bool

    def and_all_after(self, kind: str, **params: Any) -> dict[str, Any]:
        """The rule for a fault on it and on everything that is asked from then on."""
        return {"kind": kind, "times": None, "skip": self.place, "params": params}

    def hit(self, kind: str, times: int | None = 1, later: int = 0, **params: Any) -> dict[str, Any]:
        """The rule for a fault on it, or on one that comes `later`."""
        skip = self.before + later
        return {
            "path": self.path,
            "method": self.method,
            "kind": kind,
            "times": times,
            "skip": skip,
            "params": params,
        }


@dataclass(frozen=True)
class Counts:
    """What became of a table's records."""

    rows_in: int
    good: Any
    refused: int
    unknown: Mapping[str, int]


@dataclass
class Reading:
    """One resource of one system, for its first account."""

    base_url: str
    system: System
    resource: Resource
    context: Context
    items: list[str] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def read(self) -> list[str]:
        """The first items, each as a digest of its content."""
        return [digest(item) for item in islice(self.resource.extract(self.context), MOST_ITEMS)]

    def undisturbed(self) -> Reading:
        """Read once without faults, to know what is right and what is asked."""
        self.control("DELETE", "requests")
        self.items = self.read()
        log = self.log()
        counts: Counter[tuple[str, str]] = Counter()
        for place, entry in enumerate(log):
            path, method = pattern(entry["path"]), entry["method"]
            follows = place + 1 < len(log) and _is_next(entry, log[place + 1])
            self.asked.append(Asked(shape(entry), path, method, place, counts[path, method], follows))
            counts[path, method] += 1
        return self

    def places(self, most: int = 2, following: bool = False) -> list[Asked]:
        """Requests of different kinds; `following`: those with another page behind them."""
        first: dict[str, Asked] = {}
        for asked in self.asked:
            if asked.has_next_page or not following:
                first.setdefault(asked.shape, asked)
        found = list(first.values())
        return found[:: max(1, -(-len(found) // most))]

    def outcome(self, *rules: Mapping[str, Any]) -> list[str] | FunnelhouseError:
        """What came of a reading with faults: its items, or the one-line error. Anything else is raised."""
        self.control("DELETE", "requests")
        self.control("POST", "faults", {"rules": [{"path": f"^/{self.system.name}/", **r} for r in rules]})
        try:
            return self.read()
        except FunnelhouseError as error:
            return error
        finally:
            self.control("DELETE", "faults")

    def converted(self, *rules: Mapping[str, Any]) -> dict[str, Counts]:
        """What becomes of each table's records when some of them are spoilt."""
        self.control("DELETE", "requests")
        self.control("POST", "faults", {"rules": [{"path": f"^/{self.system.name}/", **r} for r in rules]})
        try:
            items = list(islice(self.resource.extract(self.context), 3 * MOST_ITEMS))
        finally:
            self.control("DELETE", "faults")
        made = {}
        for table in self.resource.tables:
            converter = Converter(table, "a:b:c", Pseudonyms(b"k" * 32, keep_clear=False), AS_OF)
            mine = [item for item in items if item.table == table.name]
            done = converter.convert([item for item in mine if isinstance(item, Page)])
            refused = sum(len(item.payloads) for item in mine if isinstance(item, Refused))
            filtered = sum(sum(item.filtered.values()) for item in mine if isinstance(item, Page))
            made[table.name] = Counts(
                done.rows_in + refused + filtered,
                done.good.drop_columns(["_extra"]),
                done.quarantined.num_rows + refused,
                done.unknown,
            )
        return made

    def log(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.control("GET", "requests")["requests"]
        return found

    @property
    def is_asked_by_field(self) -> bool:
        """GraphQL gives the fields that a query names and no others."""
        return any("graphql" in asked.path for asked in self.asked)

    def changed(self) -> int:
        """How many answers held records that the fault could reach (rows of bare values, XML: none)."""
        return sum(entry["changed"] for entry in self.log())

    def faulted(self) -> int:
        return sum(entry["fault"] is not None for entry in self.log())

    def control(self, method: str, what: str, body: Any = None) -> Any:
        answer = requests.request(method, f"{self.base_url}/_sandbox/{what}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()


def reading_of(base_url: str, name: str, resource: str) -> Reading:
    """A resource of the connection in the project's own list, narrowed to its first account."""
    connection = next(entry for entry in connections() if entry.system == name and entry.name == "main")
    connection = replace(connection, accounts=connection.accounts[:1])
    of = system(name)
    chosen = next(entry for entry in of.resources if entry.name == resource)
    return Reading(
        base_url,
        of,
        chosen,
        Context(
            connection,
            connection.accounts[0],
            AS_OF,
            bounds=DAYS if all(table.is_sliced for table in chosen.tables) else None,
            variables={"ads_restatement_days": 3},
            lags={table.name: table.lag for table in of.tables},
        ),
    ).undisturbed()


def small_pages() -> Iterator[tuple[Any, str, int]]:
    """(module, constant, small value) of every system's page sizes, so that small lists have pages."""
    for name in SYSTEMS:
        package = importlib.import_module(f"ingestion.{name}")
        for info in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"ingestion.{name}.{info.name}")
            for constant, value in vars(module).items():
                if re.fullmatch(r"(\w+_)?PAGE(_SIZE)?", constant) and isinstance(value, int):
                    yield module, constant, min(value, SMALL_PAGE)


LOCATOR = r"(?=[A-Za-z]*[0-9])[0-9A-Za-z]{15,}(?:\\?-[0-9]+)?"  # a place in a result, new with each query
IDS_IN_SHAPES = rf"{LOCATOR}|[0-9a-f]{{8,}}|[0-9]{{4,}}"


def pattern(path: str) -> str:
    """The path as a pattern for faults, whatever ids stand in it."""
    return "^" + re.sub(rf"{LOCATOR}|[0-9a-f]{{8,}}|[0-9]{{6,}}", "[^/]+", re.escape(path)) + "$"


def shape(entry: Mapping[str, Any]) -> str:
    """What kind of request it is: without ids, days and cursors."""
    body = re.sub(r"\d{4}-\d\d-\d\d|[0-9a-f]{8,}|\d+", "*", entry["body"][:200])
    return f"{entry['method']} {re.sub(IDS_IN_SHAPES, '*', entry['path'])} {body}"


def _is_next(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the second request asks for the page behind the first one's: its cursor is all that differs."""
    if one["method"] == other["method"] == "POST":
        return one["path"] == other["path"] and _is_same_query_further_on(one["body"], other["body"])
    if one["method"] != "GET" or other["method"] != "GET":
        return False
    if other["path"].startswith(one["path"].rstrip("/") + "/") and not other["query"]:
        return True  # a cursor in the path
    before, after = (parse_qs(entry["query"]) for entry in (one, other))
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    return one["path"] == other["path"] and bool(changed) and changed <= CURSORS


def digest(item: Item) -> str:
    """An item's content in a few letters."""
    if not isinstance(item, Page):
        return repr(item)
    if item.arrow is not None:
        content: Any = item.arrow.num_rows  # a fault on a file writes it anew, with other spellings
    elif item.records is not None:
        content = list(item.records)
    elif item.lines or not (item.body or b"").lstrip().startswith((b"{", b"[")):
        content = item.body
    else:  # the records, however the answer around them was written
        content = dig(json.loads(item.body or b""), item.at)
    return f"{item.table} {item.slice} {hashlib.sha256(repr(content).encode()).hexdigest()}"


def _is_same_query_further_on(one: str, other: str) -> bool:
    """Whether two bodies hold the same query with other variables, of which only cursors differ."""
    try:
        before, after = json.loads(one), json.loads(other)
        given, moved = before["variables"], after["variables"]
    except (ValueError, KeyError, TypeError):
        return False
    changed = {name for name in {*given, *moved} if given.get(name) != moved.get(name)}
    return before["query"] == after["query"] and bool(changed) and changed <= CURSORS
