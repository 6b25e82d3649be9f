"""The one owner of HTTP: retries, rate limits, deadlines, paging guards, authentication, redaction.

    client = ApiClient("acme", base_url, auth=BearerAuth(token))
    answer = client.get("/crm/v3/owners", params={"limit": 100})  # .content, .json(), .headers, .status
    for answer in client.pages(
        "/crm/v3/objects/contacts", next_request=after("paging.next.after"), data="results"
    ): ...

What every request gets:
- up to `tries` attempts with exponential backoff and jitter for connection errors, resets, timeouts, 408,
  425, 429, 5xx, and for answers with status 200 that are no whole JSON (truncated, an HTML page, empty);
- `Retry-After` (seconds or a date) honoured; `limit_wait(answer)` lets a vendor name its own waiting time in
  a body or header;
- a total deadline (`deadline` seconds for one attempt, body included: a dripping answer ends there);
- no redirect and no next link to another origin: the token never leaves `base_url`'s origin;
- errors as SourceError: one line, no token, no query.

Paging (`pages`) fails on the first repeated page or cursor, on more than `page_cap` pages, on an answer
without the required `data`, on an answer that carries `errors` beside it. An empty page that announces
another one is asked for twice.
"""

from __future__ import annotations

import base64
import email.utils
import gzip
import hashlib
import json
import random
import re
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, ClassVar, Protocol
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree

import orjson
import requests
import urllib3

from ingestion.errors import BadAnswer, RequestRefused, SourceError, Unauthorized, Unreachable
from ingestion.settings import Connection

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
MISSING = object()


@dataclass(frozen=True)
class Answer:
    """A whole, accepted answer."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    url: str
    was_packed: bool = False
    """The content was a gzip file, which lies here unpacked."""

    def json(self) -> Any:
        """The parsed body, parsed once: do not change it. Numbers with a fraction are doubles: use it for
        control fields, give `content` to a Page."""
        return self._document

    @cached_property
    def _document(self) -> Any:
        try:
            return orjson.loads(self.content)
        except orjson.JSONDecodeError:
            # lone surrogates, NaN and integers above 2^64: the records' validation deals with them, not the
            # paging
            return json.loads(self.content.decode("utf-8", "surrogatepass"))

    def xml(self) -> ElementTree.Element:
        """The root of the parsed XML body, parsed once: do not change it."""
        return self._tree

    @cached_property
    def _tree(self) -> ElementTree.Element:
        return ElementTree.fromstring(self.content)

    def at(self, path: str, default: Any = None) -> Any:
        """The value at a dotted path, or the default."""
        found = dig(self.json(), path)
        return default if found is MISSING else found


def dig(document: Any, path: str) -> Any:
    """The value at a dotted path, or MISSING. "" is the document itself; a number is a list's position."""
    for step in filter(None, path.split(".")):
        if isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(document, list) and step.isdigit() and int(step) < len(document):
            document = document[int(step)]
        else:
            return MISSING
    return document


@dataclass(frozen=True)
class Request:
    """One request, relative to the client's base URL (or absolute with the same origin)."""

    path: str
    method: str = "GET"
    params: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    form: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def with_params(self, **params: Any) -> Request:
        """The same request with some parameters set; None removes one."""
        merged = {key: value for key, value in {**self.params, **params}.items() if value is not None}
        return Request(self.path, self.method, merged, self.json, self.form, self.headers)

    def with_json(self, **values: Any) -> Request:
        """The same request with some keys of its JSON body set; None removes one."""
        merged = {key: value for key, value in {**(self.json or {}), **values}.items() if value is not None}
        return Request(self.path, self.method, self.params, merged, self.form, self.headers)


NextRequest = Callable[[Request, Answer], "Request | None"]
"""Says from the last request and its answer what to ask next; None ends the paging."""


def after(path: str, param: str = "after") -> NextRequest:
    """A cursor in the answer (at a dotted path) that goes into a query parameter."""

    def next_request(request: Request, answer: Answer) -> Request | None:
        cursor = answer.at(path)
        return request.with_params(**{param: cursor}) if cursor not in (None, "") else None

    return next_request


def after_in_body(path: str, key: str) -> NextRequest:
    """A cursor in the answer that goes into the next request's JSON body."""

    def next_request(request: Request, answer: Answer) -> Request | None:
        cursor = answer.at(path)
        return request.with_json(**{key: cursor}) if cursor not in (None, "") else None

    return next_request


def next_link(path: str, within: str = "") -> NextRequest:
    """A URL in the answer, which must keep the origin. `within`: the object that every page has, the last
    one too; a page without it says nothing about what follows and is an error."""

    def next_request(request: Request, answer: Answer) -> Request | None:
        if within and not isinstance(answer.at(within), dict):
            raise ValueError(f"the page has no {within!r}, so that nothing says whether it is the last one")
        link = answer.at(path)
        return Request(str(link), headers=request.headers) if link else None

    return next_request


def after_last(data: str, identifier: str, param: str, more: str) -> NextRequest:
    """The last record's identifier goes into a parameter while the flag at `more` is true."""

    def next_request(request: Request, answer: Answer) -> Request | None:
        document = answer.json()
        if dig(document, more) is not True:
            return None
        records = dig(document, data)
        last = dig(records[-1], identifier) if records else MISSING
        if last is MISSING:
            raise ValueError("the answer says that more follows, but its page is empty")
        return request.with_params(**{param: last})

    return next_request


def offset(data: str, total: str, size: int, param: str = "offset") -> NextRequest:
    """Offsets until the total is reached. The total is read on each page; a page that is empty before it is
    an error."""

    def next_request(request: Request, answer: Answer) -> Request | None:
        document = answer.json()
        count, expected = len(dig(document, data)), dig(document, total)
        start = int(request.params.get(param, 0))
        if not isinstance(expected, int):
            raise ValueError(f"the answer has no number at {total}")
        reached = start + count
        if reached >= expected and count < size:
            return None
        if count == 0:
            if reached < expected:
                raise ValueError(f"page at {param} {start} is empty, but {expected} records were announced")
            return None
        return request.with_params(**{param: reached})

    return next_request


@dataclass
class Observed:
    """What answers say beside their content: the server's time, and the end of an API's version."""

    clock_skew: float | None = None
    """Seconds by which this machine's clock is ahead of the server's (by the answer that came closest)."""
    notices: list[str] = field(default_factory=list)

    def take(self, headers: Mapping[str, str]) -> None:
        try:
            skew = time.time() - email.utils.parsedate_to_datetime(headers["Date"]).timestamp()
        except (KeyError, TypeError, ValueError):
            skew = None
        if skew is not None and (self.clock_skew is None or abs(skew) < abs(self.clock_skew)):
            self.clock_skew = skew
        for name, value in headers.items():
            notice = f"{name}: {' '.join(str(value).split())[:200]}"
            if _ENDING.search(name) and notice not in self.notices:
                self.notices.append(notice)


_ENDING = re.compile(r"deprecat|sunset|version-warning", re.IGNORECASE)
_observed: ContextVar[Observed | None] = ContextVar("observed", default=None)


@contextmanager
def observing() -> Iterator[Observed]:
    """Note what the answers within this block say beside their content."""
    seen = Observed()
    mark = _observed.set(seen)
    try:
        yield seen
    finally:
        _observed.reset(mark)


class Auth(Protocol):
    """Puts credentials into headers, and knows what must never be printed."""

    def headers(self, client: ApiClient) -> Mapping[str, str]: ...

    def secrets(self) -> tuple[str, ...]: ...

    def renew(self) -> bool:
        """After a 401: forget a short-lived token. True if another try makes sense."""


@dataclass
class NoAuth:
    def headers(self, client: ApiClient) -> Mapping[str, str]:  # noqa: ARG002
        return {}

    def secrets(self) -> tuple[str, ...]:
        return ()

    def renew(self) -> bool:
        return False


@dataclass
class HeaderAuth:
    """Fixed headers, for instance an API key."""

    values: Mapping[str, str] = field(repr=False)

    def headers(self, client: ApiClient) -> Mapping[str, str]:  # noqa: ARG002
        return self.values

    def secrets(self) -> tuple[str, ...]:
        return tuple(part for value in self.values.values() for part in value.split(" ") if len(part) > 5)

    def renew(self) -> bool:
        return False


def BearerAuth(token: str) -> HeaderAuth:
    return HeaderAuth({"Authorization": f"Bearer {token}"})


def BasicAuth(user: str, password: str) -> HeaderAuth:
    coded = base64.b64encode(f"{user}:{password}".encode()).decode()
    return HeaderAuth({"Authorization": f"Basic {coded}"})


@dataclass
class RefreshTokenAuth:
    """OAuth 2.0: a refresh token is exchanged for a short-lived access token (form POST to `token_url`).

    The token URL may lie on another origin than the API; it gets the client's secret, never the access token.
    `extra` are fixed headers beside the bearer token.
    """

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)
    extra: Mapping[str, str] = field(default_factory=dict, repr=False)
    _access_token: str | None = field(default=None, repr=False)
    _expires: float = 0.0
    _grant: ClassVar[str] = "refresh_token"
    _remedy: ClassVar[str] = "Check CLIENT_ID, CLIENT_SECRET and REFRESH_TOKEN, or authorise again."

    @classmethod
    def of(cls, connection: Connection, token_url: str) -> RefreshTokenAuth:
        """With the connection's CLIENT_ID, CLIENT_SECRET and REFRESH_TOKEN.

        Raises ConfigurationError where one is missing.
        """
        return cls(
            token_url=token_url,
            client_id=connection.require("CLIENT_ID"),
            client_secret=connection.require("CLIENT_SECRET"),
            refresh_token=connection.require("REFRESH_TOKEN"),
        )

    def headers(self, client: ApiClient) -> Mapping[str, str]:
        if self._access_token is None or time.monotonic() >= self._expires:
            parts = urlsplit(self.token_url)
            tokens = ApiClient(
                client.system,
                f"{parts.scheme}://{parts.netloc}",
                tries=client.tries,
                deadline=client.deadline,
                backoff=client.backoff,
                secrets=self.secrets(),
            )
            try:
                answer = tokens.request(Request(parts.path or "/", "POST", form=self._form()))
            except RequestRefused as error:
                raise Unauthorized(
                    client.system,
                    f"the token endpoint refused the {self._grant.replace('_', ' ')} ({error.status}).",
                    self._remedy,
                ) from None
            token = answer.at("access_token")
            if not token:
                raise BadAnswer(client.system, "the token endpoint's answer has no access_token.")
            self._access_token = str(token)
            self._expires = time.monotonic() + max(30.0, float(answer.at("expires_in", 3600)) - 60.0)
        return {**self._credential(self._access_token), **self.extra}

    def _form(self) -> dict[str, str]:
        return {
            "grant_type": self._grant,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "refresh_token": self.refresh_token,
        }

    def _credential(self, token: str) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {token}"}

    def secrets(self) -> tuple[str, ...]:
        values = (self.client_secret, self.refresh_token, self._access_token or "", *self.extra.values())
        return tuple(value for value in values if len(value) > 5)

    def renew(self) -> bool:
        renewed, self._access_token = self._access_token is not None, None
        return renewed


@dataclass
class ClientCredentialsAuth(RefreshTokenAuth):
    """OAuth 2.0: an app's own id and secret are exchanged for a short-lived access token.

    `header` carries the token bare where the vendor wants it in a header of its own.
    """

    refresh_token: str = field(default="", repr=False)
    header: str | None = None
    _grant: ClassVar[str] = "client_credentials"
    _remedy: ClassVar[str] = "Check CLIENT_ID and CLIENT_SECRET, and that the app is installed there."

    def _form(self) -> dict[str, str]:
        return {name: value for name, value in super()._form().items() if name != "refresh_token"}

    def _credential(self, token: str) -> Mapping[str, str]:
        return super()._credential(token) if self.header is None else {self.header: token}


_QUERY = re.compile(r"(https?://[^\s?#'\"]+)[?#][^\s'\"]*")
_CREDENTIALS_IN_URL = re.compile(r"(https?://)[^/\s@]+@")


def redact(text: str, secrets: tuple[str, ...] = ()) -> str:
    """The text without secrets, without the queries of URLs and without e-mail addresses."""
    from ingestion.privacy import EMAIL

    for secret in sorted(secrets, key=len, reverse=True):
        if secret:
            text = text.replace(secret, "[secret]")
    text = _QUERY.sub(r"\1?[query]", _CREDENTIALS_IN_URL.sub(r"\1[secret]@", text))
    return EMAIL.sub("[e-mail address]", text)


class _Retry(Exception):
    """This attempt failed in a way that another one may cure."""

    def __init__(self, what: str, wait: float | None = None) -> None:
        self.what, self.wait = what, wait
        super().__init__(what)


@dataclass
class ApiClient:
    """A client for one system.

    Args:
        system: the name that error lines begin with.
        base_url: scheme, host and base path. http is accepted for loopback hosts only.
        auth: see BearerAuth, BasicAuth, HeaderAuth, RefreshTokenAuth.
        tries: attempts per request, the first included.
        connect_timeout, read_timeout: seconds per connect and per read.
        deadline: seconds for one attempt from its start to the last byte of its body.
        backoff: the first waiting time in seconds; it doubles up to `max_wait`, with jitter.
        max_wait: the longest single waiting time, also for Retry-After: a longer one fails at once and says
            so.
        limit_wait: (status, headers, body) -> seconds to wait where the vendor signals its limit in its own
            way, else None.
        refuse: raises where an accepted answer is an error in the vendor's own words (GraphQL: status 200).
        headers: fixed headers of every request.
        secrets: further texts that must never be printed.
    """

    system: str
    base_url: str
    auth: Auth = field(default_factory=NoAuth)
    tries: int = 5
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    deadline: float = 300.0
    backoff: float = 0.5
    max_wait: float = 120.0
    page_cap: int = 100_000
    limit_wait: Callable[[int, Mapping[str, str], bytes], float | None] | None = None
    refuse: Callable[[Answer], None] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        self.origin = _origin(self.base_url)
        loopback = parts.hostname in ("127.0.0.1", "localhost", "::1")
        if (
            parts.scheme not in ("https", "http")
            or not parts.hostname
            or (parts.scheme == "http" and not loopback)
        ):
            raise SourceError(
                self.system,
                "its base URL is no https address.",
                "Correct BASE_URL (http is for loopback only).",
            )
        self._session = requests.Session()
        self._session.trust_env = True
        self._session.headers["User-Agent"] = "funnelhouse"
        self._session.headers["Accept"] = "application/json"

    # ---- requests

    def get(self, path: str, params: Mapping[str, Any] | None = None, **options: Any) -> Answer:
        return self.request(Request(path, params=params or {}), **options)

    def post(
        self, path: str, json: Any = None, params: Mapping[str, Any] | None = None, **options: Any
    ) -> Answer:
        return self.request(Request(path, "POST", params=params or {}, json=json), **options)

    def request(self, request: Request, *, expect: str = "json") -> Answer:
        """One request with all retries. `expect`: "json" or "xml" (a whole document), "lines" (anything
        but a page for people), "file" (the same, unpacked where it is gzip) or "bytes" (anything)."""
        url = self._url(request.path)
        renewed = False
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = self._attempt(request, url, expect)
            except _Retry as failure:
                if attempt >= self.tries:
                    raise Unreachable(
                        self.system,
                        f"{request.method} {self._shown(url)} failed {attempt} times; the last "
                        f"time: {failure.what}.",
                        "Check the address and the vendor's status page, then run again.",
                    ) from None
                wait = failure.wait
                if wait is None:
                    wait = min(self.max_wait, self.backoff * 2 ** (attempt - 1)) * random.uniform(0.75, 1.25)
                elif wait > self.max_wait:
                    raise Unreachable(
                        self.system,
                        f"{request.method} {self._shown(url)} is limited for another {wait:.0f} s.",
                        "Run again after that time.",
                    ) from None
                time.sleep(wait)
                continue
            if answer.status == 401 and not renewed and self.auth.renew():
                renewed = True
                continue
            accepted = self._accepted(request, answer)
            if self.refuse is not None:
                self.refuse(accepted)
            return accepted

    def pages(
        self,
        path: str | Request,
        *,
        next_request: NextRequest,
        data: str,
        params: Mapping[str, Any] | None = None,
        expect_list: bool = True,
        optional: bool = False,
    ) -> Iterator[Answer]:
        """All pages. `data`: the dotted path at which each answer must hold its records, as a list.

        optional: the vendor leaves the key out when there is nothing (documented for some): then an absent
            key is an empty page.
        """
        request = path if isinstance(path, Request) else Request(path, params=params or {})
        seen_pages: set[bytes] = set()
        seen_requests: set[str] = {repr(request)}
        for _ in range(self.page_cap):
            answer, following = self._page(request, next_request, data, expect_list, optional)
            found = dig(answer.json(), data)
            if following is not None and (found is MISSING or not found):
                # Pages may be empty before the last one, but records are lost where one came out empty by
                # mistake: it is asked for once more.
                answer, following = self._page(request, next_request, data, expect_list, optional)
                found = dig(answer.json(), data)
            if found is not MISSING and found:
                digest = hashlib.sha256(answer.content).digest()
                if digest in seen_pages:
                    raise BadAnswer(
                        self.system,
                        f"{self._shown(answer.url)} gave the same page twice.",
                        "Nothing of this load was kept; run again, and report it to the vendor if it stays.",
                    )
                seen_pages.add(digest)
            yield answer
            if following is None:
                return
            if repr(following) in seen_requests:
                raise BadAnswer(
                    self.system,
                    f"{self._shown(answer.url)} gave the same cursor twice.",
                    "Nothing of this load was kept; run again, and report it to the vendor if it stays.",
                )
            seen_requests.add(repr(following))
            request = following
        raise BadAnswer(self.system, f"more than {self.page_cap} pages; this cannot be right.")

    def _page(
        self, request: Request, next_request: NextRequest, data: str, expect_list: bool, optional: bool
    ) -> tuple[Answer, Request | None]:
        """One page, and the request for the page behind it (None: there is none)."""
        answer = self.request(request)
        self.require(answer.json(), data, expect_list=expect_list, optional=optional)
        try:
            return answer, next_request(request, answer)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise BadAnswer(self.system, f"{self._shown(answer.url)}: {redact(str(error))}.") from None

    def require(self, document: Any, data: str, *, expect_list: bool = True, optional: bool = False) -> None:
        """Refuse an answer with status 200 that carries an error or lacks its data."""
        if isinstance(document, dict):
            for key in ("errors", "error"):
                if document.get(key):
                    raise BadAnswer(
                        self.system, f"the answer has status 200 but carries {key!r}.", "Run again later."
                    )
        found = dig(document, data)
        if found is MISSING and optional and isinstance(document, dict):
            return
        if found is MISSING or found is None or (expect_list and not isinstance(found, list)):
            raise BadAnswer(
                self.system,
                f"the answer has no {'list' if expect_list else 'value'} at {data or 'its top'!r}.",
                "Nothing of this load was kept. Check the API version that the connector asks for.",
            )

    # ---- one attempt

    def _attempt(self, request: Request, url: str, expect: str) -> Answer:
        end = time.monotonic() + self.deadline
        headers = {**self.headers, **self.auth.headers(self), **request.headers}
        try:
            with self._session.request(
                request.method,
                url,
                params=dict(request.params),
                json=request.json,
                data=dict(request.form) if request.form is not None else None,
                headers=headers,
                timeout=(self.connect_timeout, min(self.read_timeout, self.deadline)),
                allow_redirects=False,
                stream=True,
            ) as response:
                content = self._body(response, end)
                answer = Answer(response.status_code, response.headers, content, url)
        except _Retry:
            raise
        except requests.exceptions.SSLError:
            raise Unreachable(
                self.system, f"the certificate of {self.origin} is not trusted.", "Check BASE_URL."
            ) from None
        except requests.exceptions.ConnectTimeout:
            raise _Retry("no connection in time") from None
        except requests.exceptions.Timeout:
            raise _Retry("no answer in time") from None
        except (
            requests.exceptions.ConnectionError,
            requests.exceptions.ChunkedEncodingError,
            OSError,
        ) as error:
            raise _Retry(_connection_error(error)) from None
        except urllib3.exceptions.TimeoutError:
            raise _Retry("no answer in time") from None
        except urllib3.exceptions.HTTPError as error:
            raise _Retry(_connection_error(error)) from None
        except requests.exceptions.RequestException as error:
            raise SourceError(
                self.system, f"{request.method} {self._shown(url)} cannot be sent ({type(error).__name__})."
            ) from None
        seen = _observed.get()
        if seen is not None:
            seen.take(answer.headers)
        if self.limit_wait is not None:
            wait = self.limit_wait(answer.status, answer.headers, answer.content)
            if wait is not None:
                raise _Retry("the vendor's limit was reached", wait)
        if answer.status in RETRIED:
            raise _Retry(f"status {answer.status}", _retry_after(answer.headers.get("Retry-After")))
        if 200 <= answer.status < 300 and expect != "bytes":
            self._whole(answer, expect)
        if expect == "file" and answer.content.startswith(b"\x1f\x8b"):
            try:
                return replace(answer, content=gzip.decompress(answer.content), was_packed=True)
            except (EOFError, OSError, zlib.error):
                raise _Retry("a gzip file that is cut off or damaged") from None
        return answer

    def _body(self, response: requests.Response, end: float) -> bytes:
        """The whole body, or _Retry where it drips past the deadline, is cut off or shorter than
        announced."""
        parts = []
        reader = response.raw
        while True:
            # read1 returns what one read of the socket gave, so that a dripping sender cannot hold us past
            # the deadline
            part = (
                reader.read1(1 << 20, decode_content=True) if hasattr(reader, "read1") else reader.read(65536)
            )
            if time.monotonic() > end:
                raise Unreachable(
                    self.system,
                    f"{self._shown(response.url)} did not finish its answer within {self.deadline:.0f} s.",
                    "Run again later.",
                )
            if not part:
                if getattr(reader, "closed", True) or reader._fp is None or reader._fp.isclosed():
                    break
                continue
            parts.append(part)
        if reader.length_remaining not in (0, None):
            raise _Retry("the answer was cut off")
        return b"".join(parts)

    def _whole(self, answer: Answer, expect: str) -> None:
        start = answer.content[:200].lstrip().lower()
        kind = answer.headers.get("Content-Type", "").lower()
        if start.startswith((b"<!doctype", b"<html")) or "text/html" in kind:
            raise _Retry("an HTML page instead of data")
        if expect in ("lines", "file"):
            return
        if not start:
            raise _Retry("an empty answer")
        if expect == "xml" and b"<!doctype" in answer.content.lower():
            raise _Retry("XML with a type declaration")
        try:
            if expect == "xml":
                answer.xml()
            else:
                answer.json()
        except (ValueError, UnicodeDecodeError, ElementTree.ParseError):
            raise _Retry(f"{expect.upper()} that is cut off or malformed") from None

    def _accepted(self, request: Request, answer: Answer) -> Answer:
        if 200 <= answer.status < 300:
            return answer
        shown = f"{request.method} {self._shown(answer.url)}"
        if 300 <= answer.status < 400:
            target = urljoin(answer.url, answer.headers.get("Location", ""))
            where = "another origin" if _origin(target) != self.origin else "another address"
            raise BadAnswer(
                self.system, f"{shown} was redirected to {where}, which is not followed.", "Check BASE_URL."
            )
        if answer.status in (401, 403):
            raise Unauthorized(
                self.system,
                f"{shown} was refused ({answer.status}): the credentials "
                + ("are wrong or have expired." if answer.status == 401 else "lack a permission."),
                "Check them with `funnelhouse doctor`.",
            )
        body = redact(answer.content[:2000].decode("utf-8", "replace"), self._secrets())
        raise RequestRefused(
            self.system,
            f"{shown} was refused ({answer.status}): {' '.join(body.split())[:300]}",
            status=answer.status,
            body=body,
        )

    # ---- helpers

    def _url(self, path: str) -> str:
        url = (
            path
            if re.match(r"[a-z]+://|//", path, re.I)
            else self.base_url.rstrip("/") + "/" + path.lstrip("/")
        )
        if path.startswith("//") or _origin(url) != self.origin:
            raise BadAnswer(
                self.system,
                "a link leads to another origin and is not followed.",
                "Check BASE_URL; the token was not sent.",
            )
        return url

    def _secrets(self) -> tuple[str, ...]:
        return (*self.secrets, *self.auth.secrets())

    def _shown(self, url: str | None) -> str:
        """A URL as it may be printed: no query, no secret."""
        parts = urlsplit(url or "")
        return redact(f"{parts.scheme}://{parts.netloc}{parts.path}", self._secrets())


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    try:
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        port = None
    return parts.scheme.lower(), (parts.hostname or "").lower(), port


def _retry_after(value: str | None) -> float | None:
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _connection_error(error: Exception) -> str:
    text = str(error).lower()
    if "refused" in text:
        return "the connection was refused"
    if "name or service" in text or "resolve" in text or "getaddrinfo" in text:
        return "the host name does not resolve"
    if "incompleteread" in text or "prematurely" in text:
        return "the answer was cut off"
    if "reset" in text or "aborted" in text:
        return "the connection was reset"
    return f"no connection ({type(error).__name__})"
