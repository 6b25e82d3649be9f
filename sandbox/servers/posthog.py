"""PostHog's query endpoint: HogQL over one project's events, those of the app.

HogQL is ClickHouse's dialect, of which this server understands what one SELECT over `events` needs: columns,
comparisons, grouping, ordering, LIMIT and the functions of `FUNCTIONS`. Times without `toTimeZone` are in the
project's time zone, a query without LIMIT gives 100 rows, and none gives more than 50,000. An event that was
sent twice stands twice until the database has merged its parts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import duckdb
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.servers._answers import Refused, answer, bearer, json_body
from sandbox.world import World

PROJECT = "27182"
API_KEY = "phx_sandboxPersonalApiKey"
TIME_ZONE = "Europe/Amsterdam"
LISTS = ("results",)
DEFAULT_ROWS, MOST_ROWS = 100, 50_000
MERGED_AFTER = "interval 6 hours"  # a repeated event stands twice for so long
COLUMNS = ("uuid", "event", "properties", "timestamp", "distinct_id", "created_at", "team_id")
FUNCTIONS = {
    "toTimeZone(moment, zone)": "timezone(zone, moment)",
    "toDateTime64(text, digits, zone)": "timezone(zone, cast(text as timestamp))",
    "toDate(moment)": "cast(moment as date)",
    "toString(value)": "case when length(cast(value as varchar)) > 10 then coalesce(strftime(try_cast("
    "cast(value as varchar) as timestamp), '%Y-%m-%d %H:%M:%S.%f'), cast(value as varchar))"
    " else cast(value as varchar) end",
}
_KNOWN = {name.partition("(")[0].lower() for name in FUNCTIONS} | {"count", "count_star", "min", "max"}
_TYPES = {"UUID": "UUID", "VARCHAR": "String", "BIGINT": "UInt64", "DATE": "Date"}


def routes(world: World) -> list[Route]:
    """Return the paths of this vendor."""

    async def query(request: Request) -> Response:
        _authenticate(request)
        if request.path_params["project"] != PROJECT:
            raise Refused(_error(404, "invalid_request", "not_found", "Project not found."))
        try:
            asked = (await json_body(request)).get("query") or {}
        except (ValueError, AttributeError):
            raise _invalid("JSON parse error") from None
        if asked.get("kind") != "HogQLQuery" or not isinstance(asked.get("query"), str):
            raise _invalid("This sandbox answers queries of the kind HogQLQuery.")
        return answer(_run(world, asked["query"]))

    return [Route(f"/api/projects/{{project}}/query{end}", query, methods=["POST"]) for end in ("", "/")]


def environment(base_url: str) -> dict[str, str]:
    """Return the variables that point the connector at this server."""
    return {
        "SOURCES__POSTHOG__BASE_URL": f"{base_url}/posthog",
        "SOURCES__POSTHOG__API_KEY": API_KEY,
    }


def warm(world: World) -> None:
    """Make the events before anybody asks."""
    _database(world)


# ------------------------------------------------------------------------------------------------- errors


def _error(status: int, kind: str, code: str, detail: str) -> Response:
    return answer({"type": kind, "code": code, "detail": detail, "attr": None}, status)


def _invalid(detail: str) -> Refused:
    return Refused(_error(400, "validation_error", "invalid_input", detail))


def refusal(kind: str, params: Mapping[str, Any]) -> Response:
    """Return the vendor's own answer for a fault."""
    if kind == "rate_limit":
        seconds = params.get("retry_after", 1)
        text = f"Request was throttled. Expected available in {seconds} seconds."
        response = _error(429, "throttled_error", "throttled", text)
        response.headers["Retry-After"] = str(seconds)
        return response
    if kind == "server_error":
        return _error(int(params.get("status", 500)), "server_error", "error", "A server error occurred.")
    if kind == "expired_token":
        text = "Personal API key found in request Authorization header is invalid."
        return _error(401, "authentication_error", "authentication_failed", text)
    if kind == "expired_cursor":
        return _error(400, "validation_error", "invalid_input", "Unable to parse datetime")
    return _error(404, "invalid_request", "not_found", "Endpoint not found.")


def _authenticate(request: Request) -> None:
    token = bearer(request)
    if token is None:
        text = "Authentication credentials were not provided."
        raise Refused(_error(401, "authentication_error", "not_authenticated", text))
    if token != API_KEY:
        raise Refused(refusal("expired_token", {}))


# ------------------------------------------------------------------------------------------------- queries


def _run(world: World, text: str) -> dict[str, Any]:
    """The answer to a query. Raises Refused for what HogQL, or this part of it, does not know."""
    database = _database(world)
    with world.lock:
        limit = _checked(database, text)
        try:
            found = database.sql(f"select * from ({text}) limit {limit}")
            columns, kinds = found.columns, [str(kind) for kind in found.types]
            rows = found.fetchall()
        except duckdb.Error as error:
            raise _invalid(str(error).splitlines()[0]) from None
    return {
        "results": [[_shown(value) for value in row] for row in rows],
        "columns": columns,
        "types": [
            [name, _TYPES.get(kind, "DateTime64(6)")] for name, kind in zip(columns, kinds, strict=True)
        ],
        "hogql": text,
        "limit": limit,
        "offset": 0,
        "hasMore": len(rows) == limit,
        "is_cached": False,
        "error": None,
        "timings": [],
    }


def _shown(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float | str) else str(value)


def _checked(database: duckdb.DuckDBPyConnection, text: str) -> int:
    """How many rows the query may give."""
    [(serialised,)] = database.execute("select json_serialize_sql(?)", [text]).fetchall()
    tree = json.loads(serialised)
    if tree.get("error") or len(tree.get("statements", ())) != 1:
        raise _invalid(f"Syntax error: {tree.get('error_message', 'one statement is expected')}")
    parts = list(_parts(tree["statements"][0]["node"]))
    for part in parts:
        if part.get("type") == "BASE_TABLE" and part.get("table_name") != "events":
            raise _invalid(f"Unknown table `{part.get('table_name')}`.")
        if part.get("type") in ("TABLE_FUNCTION", "EXPRESSION_LIST", "SUBQUERY"):
            raise _invalid(f"Unsupported: {part['type'].lower()}")
        name = str(part.get("function_name", "")).lower()
        if name and part.get("class") == "FUNCTION" and not part.get("is_operator") and name not in _KNOWN:
            raise _invalid(f"Unsupported function call '{name}(...)'")
    limit = re.search(r"\blimit\s+(\d+)\s*$", text, re.I)
    return min(int(limit[1]) if limit else DEFAULT_ROWS, MOST_ROWS)


def _parts(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _parts(child)


# ------------------------------------------------------------------------------------------------- events


def _database(world: World) -> duckdb.DuckDBPyConnection:
    """A database of this project's own, with the events of the clock as the view `events`."""

    def build() -> duckdb.DuckDBPyConnection:
        database = duckdb.connect(config={"threads": 2})
        database.execute("set timezone = 'UTC'")
        database.register("collected", world.arrow("select * from web_events where tool = 'app'"))
        database.execute(_EVENTS)
        database.unregister("collected")
        for name, body in FUNCTIONS.items():
            database.execute(f"create macro {name} as {body}")
        database.execute(f"set timezone = '{TIME_ZONE}'; set enable_external_access = false")
        return database

    def at_the_clock() -> bool:
        database.execute(
            f"create or replace view events as select {', '.join(COLUMNS)} from all_events"
            f" where created_at <= timezone('UTC', {world.now_sql})"
            f" and coalesce(replaced_at + {MERGED_AFTER} > timezone('UTC', {world.now_sql}), true)"
        )
        return True

    with world.lock:
        database = world.keep("posthog database", build)
        world.memo("posthog events", at_the_clock)
    return database


_PROPERTIES = """json_object(
    '$lib', 'web', '$current_url', page_location,
    '$pathname', regexp_extract(page_location, '^https?://[^/]+([^?]*)', 1),
    '$host', split_part(page_location, '/', 3), '$referrer', coalesce(page_referrer, '$direct'),
    '$referring_domain', coalesce(split_part(page_referrer, '/', 3), '$direct'),
    '$device_type', upper(device_category[1]) || device_category[2:],
    '$os', operating_system, '$browser', browser, '$browser_language', language,
    '$geoip_country_code', country, '$geoip_city_name', city,
    '$device_id', device_id, '$session_id', session_id,
    '$is_identified', user_id is not null, '$user_id', user_id,
    'consent_analytics', consent_analytics, 'consent_ads', consent_ads, 'method', method, 'plan', "plan",
    'value', value_minor / 100.0, 'currency', currency, 'referral_code', referral_code{})"""
# Every log-in identifies the user: the tool's own event just before the app's.
_EVENTS = f"""
create table all_events as
with identified as (
    select
        *,
        cast(cast(md5(client_id) as uuid) as varchar) as device_id,
        cast(cast(md5(client_id || '.' || ga_session_id) as uuid) as varchar) as session_id
    from collected
),

sent as (
    select
        cast(md5(event_id) as uuid) as uuid,
        case event_name when 'page_view' then '$pageview' else event_name end as event,
        cast(json_merge_patch('{{}}', {_PROPERTIES.format("")}) as varchar) as properties,
        timezone('UTC', occurred_at) as timestamp,
        coalesce(user_id, device_id) as distinct_id,
        timezone('UTC', visible_at) as created_at
    from identified
    union all
    select
        cast(md5(event_id || 'identify') as uuid),
        '$identify',
        cast(json_merge_patch('{{}}', {
    _PROPERTIES.format(
        ", '$anon_distinct_id', device_id, '$set', json_object('email', email), '$set_once', json_object("
        "'$initial_referrer', '$direct')"
    )
}) as varchar),
        timezone('UTC', occurred_at - interval 1 millisecond),
        user_id,
        timezone('UTC', visible_at)
    from identified
    where event_name = 'login'
)

select *, {PROJECT} as team_id, lead(created_at) over (partition by uuid order by created_at) as replaced_at
from sent
"""
