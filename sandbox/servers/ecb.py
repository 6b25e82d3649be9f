"""The central bank's reference rates: three XML documents, without authentication.

The latest published day, the last 90 calendar days, and everything; newest day first, as published. A day's
rates appear in the afternoon, so a clock before that still has yesterday's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from itertools import groupby
from typing import Any
from xml.sax.saxutils import quoteattr

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.world import World

LISTS = ("Cube",)
XML = "text/xml; charset=utf-8"
FOLDER = "/stats/eurofxref"
_OPENING = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01"'
    ' xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">\n'
    "\t<gesmes:subject>Reference rates</gesmes:subject>\n"
    "\t<gesmes:Sender>\n\t\t<gesmes:name>European Central Bank</gesmes:name>\n\t</gesmes:Sender>\n\t<Cube>\n"
)
_CLOSING = "\t</Cube>\n</gesmes:Envelope>\n"


def routes(world: World) -> list[Route]:
    """Return the paths of this publisher."""

    def endpoint(name: str, days: Callable[[list[Any]], list[Any]]) -> Route:
        def run(_: Request) -> Response:
            return Response(
                world.memo(("ecb", name), lambda: _document(days(_published(world)))), 200, media_type=XML
            )

        return Route(f"{FOLDER}/{name}", run, methods=["GET"])

    def recent(days: list[Any]) -> list[Any]:
        first = world.as_of.date() - timedelta(days=90)
        return [entry for entry in days if entry[0] >= first]

    return [
        endpoint("eurofxref-daily.xml", lambda days: days[:1]),
        endpoint("eurofxref-hist-90d.xml", recent),
        endpoint("eurofxref-hist.xml", lambda days: days),
    ]


def environment(base_url: str) -> dict[str, str]:
    """Return the variable that points the connector at this server."""
    return {"SOURCES__ECB__BASE_URL": f"{base_url}/ecb"}


def refusal(kind: str, params: Mapping[str, Any]) -> Response:
    """Return the publisher's answer for a fault: a web server's pages, for there is no API behind it."""
    known = {"rate_limit": 429, "expired_token": 401, "not_found": 404, "expired_cursor": 400}
    status = int(params.get("status", known.get(kind, 500)))
    headers = {"Retry-After": str(params["retry_after"])} if "retry_after" in params else {}
    return Response(f"<html><body><h1>{status}</h1></body></html>", status, headers, media_type="text/html")


def _published(world: World) -> list[tuple[Any, list[tuple[str, float]]]]:
    rows = world.rows(
        "select date, currency_to, rate from fx_rates"
        f" where currency_from = 'EUR' and visible_at <= {world.now_sql} order by date desc, currency_to"
    )
    return [
        (day, [(row["currency_to"], row["rate"]) for row in entries])
        for day, entries in groupby(rows, lambda row: row["date"])
    ]


def _document(days: list[tuple[Any, list[tuple[str, float]]]]) -> str:
    lines = [_OPENING]
    for day, entries in days:
        lines.append(f"\t\t<Cube time={quoteattr(day.isoformat())}>\n")
        for currency, rate in entries:
            lines.append(f"\t\t\t<Cube currency={quoteattr(currency)} rate={quoteattr(f'{rate:.10g}')}/>\n")
        lines.append("\t\t</Cube>\n")
    return "".join([*lines, _CLOSING])
