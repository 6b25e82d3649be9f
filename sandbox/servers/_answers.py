"""Answers and small parsing helpers that every vendor module uses. No vendor's behaviour belongs here."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

JSON = "application/json; charset=UTF-8"


class Refused(Exception):
    """Raised by a handler to answer with the vendor's error response."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def answer(
    body: object, status: int = 200, headers: Mapping[str, str] | None = None, media_type: str = JSON
) -> Response:
    """Return a JSON response; bytes are taken as already rendered JSON."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return Response(content, status, dict(headers or {}), media_type)


def joined(records: Iterable[bytes]) -> bytes:
    """Return a JSON array of records that are already rendered."""
    return b"[" + b",".join(records) + b"]"


def bearer(request: Request) -> str | None:
    """Return the bearer token of a request, or None."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def basic(request: Request) -> tuple[str, str] | None:
    """Return user and password of HTTP Basic authentication, or None."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return user, password


def digest(*parts: object, length: int = 24) -> str:
    """Return a stable hexadecimal id of the parts (for the ids that a vendor gives and the company has
    not)."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:length]


def iso(moment: datetime | None, digits: str = "seconds", suffix: str = "Z") -> str | None:
    """Return a UTC moment as ISO text with the wished precision and zone suffix; None stays None."""
    if moment is None:
        return None
    naive = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    return naive.isoformat(timespec=digits) + suffix


def epoch(moment: datetime | None) -> int | None:
    """Return a UTC moment in whole epoch seconds; None stays None."""
    if moment is None:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


async def json_body(request: Request) -> Any:
    """Return the parsed JSON body, `{}` for an empty one. Raises ValueError when it is no JSON."""
    raw = await request.body()
    return orjson.loads(raw) if raw.strip() else {}


def split_names(values: Sequence[str]) -> list[str]:
    """Return the names of a parameter that is repeated or comma-separated, in order, without doubles."""
    names = (name.strip() for value in values for name in value.split(","))
    return list(dict.fromkeys(name for name in names if name))
