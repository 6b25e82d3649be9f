"""Faults by configuration: what goes wrong between a vendor and a client, made to happen on request.

A `Fault` says which requests it meets (a regular expression on the path, optionally the method and a text in
the query or body), what happens, and how many times. `FaultLayer` is the ASGI layer that carries them out and
that writes the request log. The vendors' own modules know nothing of it: a fault either takes the vendor's
own refusal (`rate_limit`, `server_error`, `expired_token`, `expired_cursor`), or changes the finished answer.
"""

from __future__ import annotations

import asyncio
import copy
import gzip
import json
import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOG = logging.getLogger(__name__)

# Kinds answered in the vendor's place, before it is asked.
REFUSALS = ("rate_limit", "quota", "server_error", "expired_token", "expired_cursor")
REPLACEMENTS = ("html", "no_content", "redirect", "body")
# Kinds that change a finished answer.
TRANSPORT = ("reset", "truncated", "drip", "slow")
PAGES = (
    "repeat_page",
    "repeat_cursor",
    "moving_records",
    "empty_page",
    "wrong_total",
    "foreign_next",
    "null_data",
)
RECORDS = ("missing_data", "new_field", "missing_field", "type_change", "bad_value")
KINDS = REFUSALS + REPLACEMENTS + TRANSPORT + PAGES + RECORDS

HTML = (
    b"<!DOCTYPE html><html><head><title>Temporarily unavailable</title></head>"
    b"<body>Please try later.</body></html>"
)
BAD_VALUES: Mapping[str, Any] = {
    "nan": float("nan"),
    "infinity": float("inf"),
    "huge": 2**64,
    "nul": "a\x00b",
    "surrogate": "a\ud800b",
    "null": None,
    "far_future": "2999-12-31T23:59:59.000Z",
}
TOTALS = ("total", "total_items", "rowCount", "totalResultsCount", "totalSize")
CURSORS = ("nextPageToken",)


@dataclass
class Fault:
    """One rule. `times` None means for ever; the first `skip` matching requests pass untouched.

    Parameters by kind: `rate_limit` retry_after (seconds, default 1); `quota` requests, seconds;
    `server_error` status (500); `html` status (200); `redirect` location; `body` body, status; `reset` and
    `truncated` share (of the body that is sent, 0.5); `drip` seconds between `bytes` bytes; `slow` seconds;
    `moving_records` count; `wrong_total` add; `foreign_next` origin; `new_field` name, value; `missing_field`
    name; `type_change` name, value; `bad_value` name, value (a key of BAD_VALUES), and for all four `record`
    (an index; default all). Field names may be dotted paths.
    """

    path: str
    kind: str
    times: int | None = 1
    skip: int = 0
    method: str | None = None
    contains: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    seen: int = 0
    done: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of fault {self.kind!r}; known: {', '.join(sorted(KINDS))}")
        try:
            re.compile(self.path)
        except re.error as error:
            raise ValueError(f"path {self.path!r} is no regular expression: {error}") from error

    def meets(self, method: str, path: str, text: str) -> bool:
        """Tell whether the rule is about this request (its count is not looked at)."""
        return (
            re.search(self.path, path) is not None
            and (self.method is None or self.method.upper() == method)
            and (self.contains is None or self.contains in text)
        )


@dataclass
class LoggedRequest:
    """One request as the tests see it. No token is kept, only whether one was sent."""

    at: float
    method: str
    path: str
    query: str
    body: str
    authorized: bool
    status: int = 0
    sent_bytes: int = 0
    fault: str | None = None
    changed: bool = False
    """Whether the fault found what to change in the vendor's answer."""


class FaultBook:
    """The rules in force and the log of requests; safe to use from the test's thread."""

    def __init__(self, rules: Iterable[Fault | Mapping[str, Any]] = ()) -> None:
        self._lock = threading.Lock()
        self.rules: list[Fault] = []
        self.requests: deque[LoggedRequest] = deque(maxlen=20_000)
        self._windows: dict[int, deque[float]] = {}
        self.add(rules)

    def add(self, rules: Iterable[Fault | Mapping[str, Any]]) -> None:
        """Put rules behind those in force. Raises ValueError or TypeError for a rule that is not
        understood."""
        made = [rule if isinstance(rule, Fault) else Fault(**rule) for rule in rules]
        with self._lock:
            self.rules.extend(made)

    def clear(self) -> None:
        """Remove all rules; the log stays."""
        with self._lock:
            self.rules.clear()

    def forget_requests(self) -> None:
        """Empty the log."""
        with self._lock:
            self.requests.clear()

    def take(self, method: str, path: str, text: str) -> Fault | None:
        """Return the first rule that meets this request and is not used up, counting it."""
        with self._lock:
            for rule in self.rules:
                if not rule.meets(method, path, text):
                    continue
                if rule.kind == "quota" and not self._over_quota(rule):
                    continue
                rule.seen += 1
                if rule.seen <= rule.skip or (rule.times is not None and rule.done >= rule.times):
                    continue
                rule.done += 1
                return rule
        return None

    def _over_quota(self, rule: Fault) -> bool:
        window = self._windows.setdefault(id(rule), deque())
        now = time.monotonic()
        while window and now - window[0] > float(rule.params.get("seconds", 10)):
            window.popleft()
        if len(window) >= int(rule.params.get("requests", 100)):
            return True
        window.append(now)
        return False

    def describe(self) -> list[dict[str, Any]]:
        """Return the rules with how often each was met and carried out."""
        with self._lock:
            return [asdict(rule) for rule in self.rules]


def _records(document: Any, lists: Sequence[str]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield (holder, key) of every list of records in an answer (a stream's answer is a list of holders).

    A list's name may be a dotted path, in which `*` stands for every name.
    """
    for path in lists:
        *steps, key = path.split(".")
        holders: list[Any] = document if isinstance(document, list) else [document]
        for step in steps:
            known = [holder for holder in holders if isinstance(holder, dict)]
            holders = [value for holder in known for name, value in holder.items() if step in ("*", name)]
        for holder in holders:
            if isinstance(holder, dict) and isinstance(holder.get(key), list):
                yield holder, key


def _walk(record: dict[str, Any], name: str) -> tuple[dict[str, Any], str] | None:
    """Return the holder and last part of a dotted field name, or None where the record lacks the way."""
    *parents, last = name.split(".")
    holder: Any = record
    for part in parents:
        holder = holder.get(part) if isinstance(holder, dict) else None
    return (holder, last) if isinstance(holder, dict) else None


def _spoil(record: Any, fault: Fault) -> None:
    """Change one record as the fault says."""
    name = str(fault.params.get("name", "surprise"))
    place = _walk(record, name) if isinstance(record, dict) else None
    if place is None:
        return
    holder, last = place
    if fault.kind == "missing_field":
        holder.pop(last, None)
    elif fault.kind == "bad_value":
        holder[last] = BAD_VALUES[str(fault.params.get("value", "nan"))]
    else:
        default: Any = "new" if fault.kind == "new_field" else {"unexpected": "object"}
        holder[last] = copy.deepcopy(fault.params.get("value", default))


def _spoil_records(records: list[Any], fault: Fault) -> None:
    wanted = fault.params.get("record")
    for index, record in enumerate(records):
        if wanted is None or index == wanted:
            _spoil(record, fault)


def change_document(document: Any, fault: Fault, lists: Sequence[str], asked_cursor: str | None) -> Any:
    """Return the answer changed as the fault says; an answer without such a place comes back as it is."""
    places = list(_records(document, lists))
    for holder, key in places:
        if fault.kind in RECORDS and fault.kind != "missing_data":
            _spoil_records(holder[key], fault)
        elif fault.kind == "missing_data":
            del holder[key]
        elif fault.kind == "null_data":
            holder[key] = None
        elif fault.kind == "empty_page":
            holder[key] = []
        elif fault.kind == "moving_records":
            del holder[key][: int(fault.params.get("count", 1))]
        elif fault.kind == "repeat_cursor" and asked_cursor is not None and "pageInfo" in holder:
            holder["pageInfo"]["endCursor"] = asked_cursor
    if isinstance(document, dict):
        if fault.kind == "wrong_total":
            for key in TOTALS:
                if key in document:
                    document[key] = max(0, int(document[key]) + int(fault.params.get("add", -1)))
        following = (
            (document.get("paging") or {}).get("next") if isinstance(document.get("paging"), dict) else None
        )
        if fault.kind == "repeat_cursor" and asked_cursor is not None:
            for key in CURSORS:
                if key in document:
                    document[key] = asked_cursor
            if isinstance(following, dict):
                following["after"] = asked_cursor
        if fault.kind == "foreign_next" and isinstance(following, dict):
            path = re.sub(r"^https?://[^/]+", "", str(following.get("link", "")))
            following["link"] = str(fault.params["origin"]).rstrip("/") + path
    return document


def _asked_cursor(query: str, body: bytes) -> str | None:
    """Return the cursor that the request carried, in its query or its JSON body."""
    asked = parse_qs(query)
    for name in ("after", "pageToken", "starting_after"):
        if name in asked:
            return asked[name][0]
    try:
        sent = json.loads(body) if body else {}
    except ValueError:
        return None
    if isinstance(sent, dict) and isinstance(sent.get("variables"), dict):
        sent = sent["variables"]
    cursor = (sent.get("pageToken") or sent.get("after")) if isinstance(sent, dict) else None
    return None if cursor is None else str(cursor)


def _reset_headers(headers: list[tuple[bytes, bytes]], length: int) -> list[tuple[bytes, bytes]]:
    return [
        *(h for h in headers if h[0].lower() != b"content-length"),
        (b"content-length", str(length).encode()),
    ]


class FaultLayer:
    """ASGI layer: logs every request, carries out the faults of the book."""

    def __init__(self, app: ASGIApp, book: FaultBook, vendors: Mapping[str, ModuleType]) -> None:
        self.app = app
        self.book = book
        self.vendors = vendors
        self._last_body: dict[str, tuple[int, list[tuple[bytes, bytes]], bytes]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/_sandbox"):
            await self.app(scope, receive, send)
            return
        body = await _read(receive)
        path, query = scope["path"], scope["query_string"].decode("latin-1")
        entry = LoggedRequest(
            at=datetime.now(UTC).timestamp(),
            method=scope["method"],
            path=path,
            query=query,
            body=body[:4000].decode("utf-8", "replace") if "token" not in path else "",
            authorized=any(
                name == b"authorization" or name.endswith(b"access-token") for name, _ in scope["headers"]
            ),
        )
        self.book.requests.append(entry)
        fault = self.book.take(scope["method"], path, f"{query}\n{entry.body}") if self.book.rules else None

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry.status = message["status"]
            else:
                entry.sent_bytes += len(message.get("body", b""))
            await send(message)

        if fault is None and not self.book.rules:
            await self._ask(scope, _replay(body), counted)
            return
        vendor = self.vendors.get(path.split("/")[1])
        if fault is not None:
            entry.fault = fault.kind
            prepared = self._instead(fault, vendor)
            if prepared is not None:
                await prepared(scope, _replay(body), counted)
                return
            if fault.kind == "slow":
                await asyncio.sleep(float(fault.params.get("seconds", 1)))
        status, headers, content = await _collect(self._ask, scope, body)
        if fault is not None and fault.kind == "repeat_page" and path in self._last_body:
            status, headers, content = self._last_body[path]
        self._last_body[path] = (status, headers, content)
        if fault is not None:
            lists = getattr(vendor, "LISTS", ())
            before = content
            headers, content = _changed(fault, lists, headers, content, _asked_cursor(query, body))
            entry.changed = content is not before
        await _deliver(fault, status, headers, content, counted)

    async def _ask(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the vendor answer; an error of the sandbox itself is said aloud, not only answered with 500."""
        try:
            await self.app(scope, receive, send)
        except Exception:
            LOG.exception("the sandbox failed at %s %s", scope["method"], scope["path"])
            raise

    def _instead(self, fault: Fault, vendor: ModuleType | None) -> Response | None:
        """Return the answer given in the vendor's place, or None when the vendor is to be asked."""
        if fault.kind in REFUSALS and vendor is not None:
            kind = "rate_limit" if fault.kind == "quota" else fault.kind
            refusal: Callable[[str, dict[str, Any]], Response] = vendor.refusal
            return refusal(kind, fault.params)
        if fault.kind == "html":
            return Response(HTML, int(fault.params.get("status", 200)), media_type="text/html; charset=utf-8")
        if fault.kind == "no_content":
            return Response(status_code=204)
        if fault.kind == "redirect":
            return Response(status_code=302, headers={"location": str(fault.params["location"])})
        if fault.kind == "body":
            raw = json.dumps(fault.params.get("body")).encode()
            return Response(raw, int(fault.params.get("status", 200)), media_type="application/json")
        return None


def _changed(
    fault: Fault, lists: Sequence[str], headers: list[tuple[bytes, bytes]], content: bytes, cursor: str | None
) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return headers and content with the fault's change to pages or records worked in."""
    if fault.kind not in PAGES + RECORDS or fault.kind == "repeat_page":
        return headers, content
    if content[:2] == b"\x1f\x8b":  # a file of records, one JSON object a line
        lines = gzip.decompress(content).splitlines()
        records = [json.loads(line) for line in lines]
        _spoil_records(records, fault)
        if repr(records) == repr([json.loads(line) for line in lines]):
            return headers, content
        content = gzip.compress("\n".join(map(json.dumps, records)).encode(), 1)
        # The digest header would tell of the change; a file that a vendor wrote so has a fitting one.
        headers = [header for header in headers if not header[0].lower().endswith(b"-hash")]
        return _reset_headers(headers, len(content)), content
    try:
        document = json.loads(content)
    except ValueError:
        return headers, content
    before = json.dumps(document)
    after = json.dumps(change_document(document, fault, lists, cursor))
    if after == before:
        return headers, content
    return _reset_headers(headers, len(after)), after.encode("ascii")


async def _deliver(
    fault: Fault | None, status: int, headers: list[tuple[bytes, bytes]], content: bytes, send: Send
) -> None:
    """Send the answer whole, or as brokenly as the fault says."""
    kind = fault.kind if fault else ""
    params = fault.params if fault else {}
    part = content[: int(len(content) * float(params.get("share", 0.5)))]
    if kind == "truncated":
        headers, content = _reset_headers(headers, len(part)), part
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if kind == "reset":
        # Fewer bytes than Content-Length announced, and then nothing: the server closes the connection.
        await send({"type": "http.response.body", "body": part, "more_body": True})
        await asyncio.sleep(0.02)
        return
    if kind == "drip":
        size = int(params.get("bytes", 1))
        for start in range(0, len(content), size):
            await send(
                {"type": "http.response.body", "body": content[start : start + size], "more_body": True}
            )
            await asyncio.sleep(float(params.get("seconds", 0.1)))
        content = b""
    await send({"type": "http.response.body", "body": content})


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes) -> Receive:
    """Return a receive function that gives the body that was already read, once."""
    given = False

    async def receive() -> Message:
        nonlocal given
        if given:
            await asyncio.sleep(3600)
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _collect(app: ASGIApp, scope: Scope, body: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Run the app and return its whole answer."""
    start: dict[str, Any] = {}
    parts: list[bytes] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            parts.append(message.get("body", b""))

    await app(scope, _replay(body), send)
    return int(start["status"]), list(start.get("headers", [])), b"".join(parts)
