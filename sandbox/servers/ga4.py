"""Google Analytics 4: the event-level export as daily files in cloud storage, and the Data API's `runReport`.

The export is the BigQuery export schema as newline-delimited JSON, one gzip file a day of the property's time
zone, behind the JSON API of the storage service (list, object, download). Every night at `EXPORT_HOUR` UTC
the files of the last days are written; a day is written again on the three nights after its first, if late
events arrived. A file's `generation` is the moment of that writing. The Data API counts the same events as
the newest files hold.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.servers import _oauth as oauth
from sandbox.servers._answers import Refused, answer, bearer, json_body
from sandbox.world import World

PROPERTY = "314159265"
BUCKET = "fjordlight-ga4-export"
STREAM = "2718281828"
TIME_ZONE = "Europe/Amsterdam"
CURRENCY = "EUR"
SCOPE = (
    "https://www.googleapis.com/auth/analytics.readonly https://www.googleapis.com/auth/devstorage.read_only"
)
EXPORT_HOUR = 2
NIGHTS = 4  # the first writing of a day and three more
OBJECTS_PER_PAGE = 50  # the service may answer with fewer than maxResults
LISTS = ("items", "rows")
COUNTRIES = {"NL": ("Netherlands", "Western Europe"), "SE": ("Sweden", "Northern Europe"),
             "US": ("United States", "Northern America")}  # fmt: skip


def routes(world: World) -> list[Route]:
    """Return the paths of this vendor."""
    tokens = oauth.Tokens(SCOPE)

    async def listing(request: Request) -> Response:
        _authenticate(request, tokens)
        return _list(request, world)

    async def stored(request: Request) -> Response:
        _authenticate(request, tokens)
        return _object(request, world)

    async def report(request: Request) -> Response:
        _authenticate(request, tokens)
        return await _report(request, world)

    return [
        Route("/oauth2/token", tokens.exchange, methods=["POST"]),
        Route("/storage/v1/b/{bucket}/o", listing, methods=["GET"]),
        Route("/storage/v1/b/{bucket}/o/{name:path}", stored, methods=["GET"]),
        Route("/v1beta/properties/{property}:runReport", report, methods=["POST"]),
    ]


def environment(base_url: str) -> dict[str, str]:
    """Return the variables that point the connector at this server."""
    prefix = "SOURCES__GA4__"
    return {
        f"{prefix}EXPORT_BASE_URL": f"{base_url}/ga4",
        f"{prefix}DATA_BASE_URL": f"{base_url}/ga4",
        f"{prefix}TOKEN_URL": f"{base_url}/ga4/oauth2/token",
        f"{prefix}BUCKET": BUCKET,
        f"{prefix}CLIENT_ID": oauth.CLIENT_ID,
        f"{prefix}CLIENT_SECRET": oauth.CLIENT_SECRET,
        f"{prefix}REFRESH_TOKEN": oauth.REFRESH_TOKEN,
    }


# ------------------------------------------------------------------------------------------------- errors


def _error(status: int, name: str, message: str) -> Response:
    return answer({"error": {"code": status, "message": message, "status": name}}, status)


def refusal(kind: str, params: Mapping[str, Any]) -> Response:
    """Return the vendor's own answer for a fault."""
    if kind == "rate_limit":
        response = _error(429, "RESOURCE_EXHAUSTED", "Exhausted property tokens per hour quota.")
        response.headers["Retry-After"] = str(params.get("retry_after", 1))
        return response
    if kind == "server_error":
        status = int(params.get("status", 500))
        return _error(status, "UNAVAILABLE" if status == 503 else "INTERNAL", "Internal error encountered.")
    if kind == "expired_token":
        text = (
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or "
            "other "
            "valid authentication credential."
        )
        return _error(401, "UNAUTHENTICATED", text)
    if kind == "expired_cursor":
        return _storage_error(400, "invalid", "Invalid page token.")
    return _error(404, "NOT_FOUND", "Requested entity was not found.")


def _storage_error(status: int, reason: str, message: str) -> Response:
    errors = [{"message": message, "domain": "global", "reason": reason}]
    return answer({"error": {"code": status, "message": message, "errors": errors}}, status)


def _authenticate(request: Request, tokens: oauth.Tokens) -> None:
    if not tokens.valid(bearer(request)):
        raise Refused(refusal("expired_token", {}))


# ------------------------------------------------------------------------------------------------- events


def _events(world: World) -> None:
    """Make `ga4_events`: all events in the order of their collection, with the property's day (once for
    ever)."""

    def build() -> bool:
        world.sql.execute(
            f"""create or replace temp table ga4_events as
            select *, cast(timezone('{TIME_ZONE}', timezone('UTC', occurred_at)) as date) as day,
                row_number() over () as position
            from web_events where tool = 'site'"""
        )
        return True

    world.keep("ga4 events", build)


def export_cut(as_of: datetime) -> datetime:
    """Return the moment of the newest nightly writing at a clock."""
    cut = as_of.replace(hour=EXPORT_HOUR, minute=0, second=0, microsecond=0)
    return cut if cut <= as_of else cut - timedelta(days=1)


@dataclass(frozen=True)
class ExportFile:
    """One writing of one day's file."""

    day: date
    written_at: datetime

    @property
    def name(self) -> str:
        return f"events_{self.day:%Y%m%d}.json.gz"

    @property
    def generation(self) -> str:
        return str(int(self.written_at.timestamp() * 1_000_000))


def _first_night(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, EXPORT_HOUR, tzinfo=UTC) + timedelta(days=1)


def export_files(world: World) -> list[ExportFile]:
    """Return the files in the bucket at the clock, by day."""

    def build() -> list[ExportFile]:
        _events(world)
        nights = ", ".join(
            f"count(*) filter (visible_at <= day + interval '{24 * (n + 1) + EXPORT_HOUR} hours') as n{n}"
            for n in range(NIGHTS)
        )
        cut = export_cut(world.as_of)
        files: list[ExportFile] = []
        for row in world.rows(f"select day, {nights} from ga4_events group by day order by day"):
            first, written, before = _first_night(row["day"]), None, 0
            for night in range(NIGHTS):
                moment = first + timedelta(days=night)
                if moment <= cut and row[f"n{night}"] > before:
                    written, before = moment, row[f"n{night}"]
            if written is not None:
                files.append(ExportFile(row["day"], written))
        return files

    return world.memo("ga4 files", build)


# Columns that come from the tag's own code or a list of ours: no character in them needs an escape.
PLAIN = frozenset(
    {
        "event_id",
        "client_id",
        "user_id",
        "ga_session_id",
        "session_number",
        "engagement_time_msec",
        "traffic_type",
        "transaction_id",
        "currency",
        "form_id",
        "method",
        "referral_code",
        "device_category",
        "operating_system",
        "browser",
        "language",
        "gclid",
    }
)


def _quoted(sql: str) -> str:
    """SQL of a JSON text; NULL stays NULL."""
    return f"""'"' || {sql} || '"'""" if sql in PLAIN else f"to_json(cast({sql} as varchar))"


def _text(key: str, sql: str) -> str:
    """SQL of `,"key":"value"`, NULL where the value is NULL (concat then leaves it out)."""
    return f"""',"{key}":' || {_quoted(sql)}"""


def _param(key: str, sql: str, kind: str = "string_value") -> str:
    value = f"to_json(cast({sql} as double))" if kind == "double_value" else _quoted(sql)
    return f"""',{{"key":"{key}","value":{{"{kind}":' || {value} || '}}}}'"""


def _group(key: str, *parts: str) -> str:
    """SQL of `,"key":{...}`, NULL where all parts are NULL."""
    return f"""',"{key}":{{' || nullif(substr(concat({", ".join(parts)}), 2), '') || '}}'"""


def _mapped(column: str, values: Mapping[str, str]) -> str:
    cases = " ".join(f"when '{key}' then '{value}'" for key, value in values.items())
    return f"case {column} {cases} end"


_CONSENT = "case {} when 'granted' then 'Yes' when 'denied' then 'No' else 'Unset' end"
_VALUE = "round(value_minor / 100.0, 2)"
_ITEM = """concat('{"item_id":', to_json(i.item_id), ',"item_name":', to_json(i.item_name),
    ',"item_category":', to_json(i.item_category), ',"price":', to_json(round(i.price_minor / 100.0, 2)),
    ',"quantity":"', i.quantity, '"', case when event_name = 'purchase' then
    ',"item_revenue":' || to_json(round(i.price_minor * i.quantity / 100.0, 2)) end, '}')"""
_ITEMS = f"""case when items is not null then ',"items":[' || array_to_string(list_transform(from_json(items,
    '[{{"item_id":"VARCHAR","item_name":"VARCHAR","item_category":"VARCHAR","price_minor":"DOUBLE",
    "quantity":"BIGINT"}}]'), lambda i: {_ITEM}), ',') || ']' end"""
_PARAMS = ", ".join(
    [
        _param("ga_session_id", "ga_session_id", "int_value"),
        _param("ga_session_number", "session_number", "int_value"),
        _param("event_id", "event_id"),
        _param("page_location", "page_location"),
        _param("page_title", "page_title"),
        _param("page_referrer", "page_referrer"),
        _param("engagement_time_msec", "engagement_time_msec", "int_value"),
        _param("traffic_type", "traffic_type"),
        _param("transaction_id", "transaction_id"),
        _param("value", _VALUE, "double_value"),
        _param("currency", "currency"),
        _param("coupon", "coupon"),
        _param("form_id", "form_id"),
        _param("method", "method"),
        _param("plan", '"plan"'),
        _param("referral_code", "referral_code"),
    ]
)
_LINE = f"""concat('{{"event_date":"', strftime(day, '%Y%m%d'), '","event_timestamp":"',
    epoch_us(occurred_at),
    '","event_name":"', event_name, '","event_params":[', substr(concat({_PARAMS}), 2), ']',
    {_text("user_id", "user_id")}, ',"user_pseudo_id":', {_quoted("client_id")},
    ',"privacy_info":{{"analytics_storage":"', {_CONSENT.format("consent_analytics")}, '","ads_storage":"',
    {_CONSENT.format("consent_ads")}, '","uses_transient_token":"No"}}',
    ',"device":{{', substr(concat({_text("category", "device_category")}, {
    _text("operating_system", "operating_system")
},
    {_text("language", "language")}, {
    _group(
        "web_info",
        _text("browser", "browser"),
        _text("hostname", "split_part(split_part(page_location, '/', 3), '?', 1)"),
    )
}), 2), '}}',
    {
    _group(
        "geo",
        _text("country", _mapped("country", {k: v[0] for k, v in COUNTRIES.items()})),
        _text("sub_continent", _mapped("country", {k: v[1] for k, v in COUNTRIES.items()})),
        _text("city", "city"),
    )
},
    {
    _group(
        "collected_traffic_source",
        _text("manual_campaign_name", "utm_campaign"),
        _text("manual_source", "utm_source"),
        _text("manual_medium", "utm_medium"),
        _text("manual_content", "utm_content"),
        _text("manual_term", "utm_term"),
        _text("gclid", "gclid"),
    )
},
    ',"stream_id":"{STREAM}","platform":"WEB"',
    case when event_name = 'purchase' then ',"ecommerce":{{' || substr(concat({
    _text("transaction_id", "transaction_id")
},
        ',"purchase_revenue":' || to_json({_VALUE})), 2) || '}}' end,
    {_ITEMS},
    ',"batch_event_index":"1","batch_page_id":"', ga_session_id, '000","batch_ordering_id":"', position,
    '"}}')"""


def _contents(world: World, files: list[ExportFile]) -> list[bytes]:
    """Return the gzip bytes of the files; those that are not built yet are built together, in one query."""
    with world.lock:
        return _built(world, files)


def warm(world: World) -> None:
    """Build the files of the clock before anybody asks: it is most of what this server has to do."""
    files = export_files(world)
    for start in range(0, len(files), OBJECTS_PER_PAGE):
        _contents(world, files[start : start + OBJECTS_PER_PAGE])


def _built(world: World, files: list[ExportFile]) -> list[bytes]:
    built: dict[ExportFile, bytes] = world.keep("ga4 contents", dict)
    missing = [file for file in files if file not in built]
    if missing:
        _events(world)
        cuts = ", ".join(
            f"(date '{file.day}', timestamp '{file.written_at.replace(tzinfo=None)}')" for file in missing
        )
        table = world.arrow(
            f"""select day, string_agg(line, chr(10) order by position) as lines
            from (select day, position, {_LINE} as line from ga4_events
                  join (values {cuts}) as cuts(day, cut) using (day) where visible_at <= cut)
            group by day"""
        )
        lines = dict(zip(table["day"].to_pylist(), table["lines"].to_pylist(), strict=True))
        with ThreadPoolExecutor(2) as pool:
            texts = (lines[file.day].encode() + b"\n" for file in missing)
            packed = pool.map(lambda text: gzip.compress(text, 1, mtime=0), texts)
            built.update(zip(missing, packed, strict=True))
    return [built[file] for file in files]


def _resource(file: ExportFile, content: bytes, base: str) -> dict[str, Any]:
    written = file.written_at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    digest = hashlib.md5(content, usedforsecurity=False).digest()
    link = f"{base}/storage/v1/b/{BUCKET}/o/{quote(file.name, safe='')}"
    return {
        "kind": "storage#object",
        "id": f"{BUCKET}/{file.name}/{file.generation}",
        "selfLink": link,
        "mediaLink": f"{link}?generation={file.generation}&alt=media",
        "name": file.name,
        "bucket": BUCKET,
        "generation": file.generation,
        "metageneration": "1",
        "contentType": "application/gzip",
        "storageClass": "STANDARD",
        "size": str(len(content)),
        "md5Hash": base64.b64encode(digest).decode(),
        "etag": base64.b64encode(file.generation.encode()).decode(),
        "timeCreated": written,
        "updated": written,
    }


def _selected(item: dict[str, Any], fields: str | None, within: str | None) -> dict[str, Any]:
    """Return the parts of an object that the partial-response parameter `fields` names."""
    if not fields:
        return item
    if within is not None:
        match = re.search(rf"(?:^|,){within}(?:\(([^)]*)\)|/([\w,]+))", fields)
        if match is None:
            return item if re.search(rf"(?:^|,){within}(?:,|$)", fields) or "*" in fields else {}
        fields = match.group(1) or match.group(2)
    wanted = {name.strip() for name in fields.split(",")}
    return item if "*" in wanted else {name: value for name, value in item.items() if name in wanted}


def _bucket(request: Request) -> None:
    if request.path_params["bucket"] != BUCKET:
        raise Refused(_storage_error(404, "notFound", "The specified bucket does not exist."))


def _list(request: Request, world: World) -> Response:
    _bucket(request)
    query = request.query_params
    try:
        limit = min(int(query.get("maxResults", "1000")), OBJECTS_PER_PAGE)
        if limit < 1:
            raise ValueError
    except ValueError:
        raise Refused(_storage_error(400, "invalid", "Invalid value for maxResults.")) from None
    prefix = query.get("prefix", "")
    after = ""
    if query.get("pageToken"):
        try:
            after = base64.b64decode(query["pageToken"], validate=True).decode()
        except ValueError:
            raise Refused(_storage_error(400, "invalid", "Invalid page token.")) from None
    low, high = query.get("startOffset", ""), query.get("endOffset")
    files = [f for f in export_files(world) if f.name.startswith(prefix) and f.name >= low]
    files = [f for f in files if f.name > after and (not high or f.name < high)]
    page = files[:limit]
    base = f"{request.url.scheme}://{request.url.netloc}/ga4"
    fields = query.get("fields")
    plain = fields and not re.search(r"\b(md5Hash|size)\b|\*", fields)
    contents = [b""] * len(page) if plain else _contents(world, page)
    items = [
        _selected(_resource(file, content, base), fields, "items")
        for file, content in zip(page, contents, strict=True)
    ]
    body: dict[str, Any] = {"kind": "storage#objects"}
    if len(files) > limit:
        body["nextPageToken"] = base64.b64encode(page[-1].name.encode()).decode()
    if items:
        body["items"] = items
    return answer(body)


def _object(request: Request, world: World) -> Response:
    _bucket(request)
    name = unquote(request.path_params["name"])
    file = next((f for f in export_files(world) if f.name == name), None)
    wanted = request.query_params.get("generation")
    if file is None or (wanted is not None and wanted != file.generation):
        raise Refused(_storage_error(404, "notFound", f"No such object: {BUCKET}/{name}"))
    match = request.query_params.get("ifGenerationMatch")
    if match is not None and match != file.generation:
        text = "At least one of the pre-conditions you specified did not hold."
        raise Refused(_storage_error(412, "conditionNotMet", text))
    content = _contents(world, [file])[0]
    base = f"{request.url.scheme}://{request.url.netloc}/ga4"
    if request.query_params.get("alt") != "media":
        return answer(_selected(_resource(file, content, base), request.query_params.get("fields"), None))
    digest = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    headers = {"x-goog-generation": file.generation, "x-goog-hash": f"md5={digest}", "etag": file.generation}
    return Response(content, 200, headers, "application/gzip")


# ------------------------------------------------------------------------------------------------ Data API

# The dimensions and metrics served, as SQL over `ga4_reported`.
DIMENSIONS = {
    "date": "strftime(day, '%Y%m%d')",
    "eventName": "event_name",
    "country": f"coalesce({_mapped('country', {k: v[0] for k, v in COUNTRIES.items()})}, '(not set)')",
    "deviceCategory": "coalesce(device_category, '(not set)')",
    "browser": "coalesce(browser, '(not set)')",
    "hostName": "coalesce(split_part(split_part(page_location, '/', 3), '?', 1), '(not set)')",
    "sessionSource": "coalesce(session_source, '(direct)')",
    "sessionMedium": "coalesce(session_medium, '(none)')",
    "sessionSourceMedium": "coalesce(session_source, '(direct)') || ' / '"
    " || coalesce(session_medium, '(none)')",
    "sessionCampaignName": "coalesce(session_campaign, '(not set)')",
    "sessionDefaultChannelGroup": "session_channel",
}
METRICS = {
    "eventCount": ("TYPE_INTEGER", "count(*)"),
    "sessions": ("TYPE_INTEGER", "count(distinct (client_id, ga_session_id))"),
    "totalUsers": ("TYPE_INTEGER", "count(distinct client_id)"),
    "activeUsers": ("TYPE_INTEGER", "count(distinct client_id)"),
    "newUsers": ("TYPE_INTEGER", "count(distinct client_id) filter (session_number = 1)"),
    "screenPageViews": ("TYPE_INTEGER", "count(*) filter (event_name = 'page_view')"),
    "transactions": ("TYPE_INTEGER", "count(distinct transaction_id) filter (event_name = 'purchase')"),
    "ecommercePurchases": ("TYPE_INTEGER", "count(distinct transaction_id) filter (event_name = 'purchase')"),
    "purchaseRevenue": ("TYPE_CURRENCY", "coalesce(sum(revenue), 0)"),
    "totalRevenue": ("TYPE_CURRENCY", "coalesce(sum(revenue), 0)"),
}
_PAID = r"regexp_full_match(lower(trim(session_medium)), '(.*cp.*|ppc|retargeting|paid.*)')"
_SEARCH = "lower(trim(session_source)) in ('google', 'bing', 'duckduckgo', 'ecosia', 'yahoo', 'baidu')"
_SOCIAL = (
    "regexp_matches(lower(trim(session_source)), "
    "'^(facebook|fb|instagram|ig|linkedin|pinterest|reddit|tiktok|x|"
    "twitter|t\\.co|meta)(\\.|$)')"
)
_MEDIUM = "lower(trim(session_medium))"
CHANNEL = f"""case
    when session_source is null and session_medium is null and session_gclid is null then 'Direct'
    when lower(session_campaign) like '%cross-network%' then 'Cross-network'
    when ({_SEARCH} and {_PAID}) or (session_gclid is not null and session_medium is null) then 'Paid Search'
    when {_SOCIAL} and {_PAID} then 'Paid Social'
    when lower(trim(session_source)) like 'youtube%' and {_PAID} then 'Paid Video'
    when {_MEDIUM} in ('display', 'banner', 'expandable', 'interstitial', 'cpm') then 'Display'
    when {_PAID} then 'Paid Other'
    when {_SOCIAL} or {_MEDIUM} in ('social', 'social-network', 'social-media', 'sm') then 'Organic Social'
    when lower(trim(session_source)) like 'youtube%' or {_MEDIUM} like '%video%' then 'Organic Video'
    when {_SEARCH} or {_MEDIUM} = 'organic' then 'Organic Search'
    when {_MEDIUM} in ('referral', 'app', 'link') then 'Referral'
    when {_MEDIUM} in ('email', 'e-mail', 'e_mail', 'e mail') or lower(trim(session_source)) in
        ('email', 'e-mail', 'e_mail', 'e mail') then 'Email'
    when {_MEDIUM} = 'affiliate' then 'Affiliates'
    else 'Unassigned' end"""


def _reported(world: World) -> None:
    """Make `ga4_reported`: the events of the newest files, with session source and revenue in EUR."""

    def build() -> bool:
        _events(world)
        cut = export_cut(world.as_of)
        naive = cut.replace(tzinfo=None).isoformat(sep=" ")
        world.sql.execute(
            f"""create or replace temp table ga4_reported as
            with shown as (
                select day, position, event_name, client_id, ga_session_id, session_number, country,
                device_category,
                    browser, page_location, transaction_id, value_minor, currency, utm_source, utm_medium,
                    utm_campaign, gclid, case when page_referrer not like '%fjordlight.example%'
                    then split_part(page_referrer, '/', 3) end as host
                from ga4_events
                where visible_at <= timestamp '{naive}'
                    and visible_at <= day + interval '{24 * NIGHTS + EXPORT_HOUR} hours'
                    and day + interval '{24 + EXPORT_HOUR} hours' <= timestamp '{naive}'),
            sessions as (
                select client_id, ga_session_id, unnest(min_by(struct_pack(
                    session_source := coalesce(utm_source, host),
                    session_medium := coalesce(utm_medium, case when host is not null then 'referral' end),
                    session_campaign := utm_campaign, session_gclid := gclid), position))
                from shown group by client_id, ga_session_id),
            rates as (
                select date as rate_date, currency_from, rate from fx_rates where currency_to = '{CURRENCY}'),
            orders as (
                select o.position,
                    o.value_minor / 100.0 * case when o.currency = '{CURRENCY}' then 1 else r.rate end
                    as revenue
                from (select * from shown where event_name = 'purchase' qualify row_number() over (
                    partition by client_id, transaction_id order by position) = 1) o
                asof left join rates r on o.currency = r.currency_from and o.day >= r.rate_date)
            select s.* exclude (utm_source, utm_medium, utm_campaign, gclid, host), {CHANNEL}
            as session_channel,
                session_source, session_medium, session_campaign, o.revenue
            from shown s join sessions using (client_id, ga_session_id) left join orders o using (position)"""
        )
        return True

    world.memo("ga4 reported", build)


def _day(text: str, world: World) -> date:
    today = world.as_of.date()
    if text == "today":
        return today
    if text == "yesterday":
        return today - timedelta(days=1)
    ago = re.fullmatch(r"(\d+)daysAgo", text)
    if ago:
        return today - timedelta(days=int(ago.group(1)))
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    message = f"Invalid date: {text}. Use YYYY-MM-DD, today, yesterday or NdaysAgo."
    raise Refused(_error(400, "INVALID_ARGUMENT", message))


def _filter_sql(expression: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return the SQL of a FilterExpression (and, or, not, string, inList, between, numeric)."""

    def quoted(value: object) -> str:
        return "'" + str(value).replace("'", "''") + "'"

    for key, word in (("andGroup", " and "), ("orGroup", " or ")):
        if key in expression:
            parts = [_filter_sql(part, names) for part in expression[key].get("expressions", [])]
            return "(" + word.join(parts or ["true"]) + ")"
    if "notExpression" in expression:
        return f"not ({_filter_sql(expression['notExpression'], names)})"
    single = expression.get("filter", {})
    name = single.get("fieldName", "")
    if name not in names:
        raise Refused(_error(400, "INVALID_ARGUMENT", f"Field {name} is not a valid dimension or metric."))
    sql = names[name]
    if "stringFilter" in single:
        sought = single["stringFilter"]
        value = str(sought.get("value", ""))
        if not sought.get("caseSensitive"):
            sql, value = f"lower({sql})", value.lower()
        kind = sought.get("matchType", "EXACT")
        tests = {
            "EXACT": f"{sql} = {quoted(value)}",
            "BEGINS_WITH": f"starts_with({sql}, {quoted(value)})",
            "ENDS_WITH": f"ends_with({sql}, {quoted(value)})",
            "CONTAINS": f"contains({sql}, {quoted(value)})",
            "FULL_REGEXP": f"regexp_full_match({sql}, {quoted(value)})",
            "PARTIAL_REGEXP": f"regexp_matches({sql}, {quoted(value)})",
        }
        if kind in tests:
            return tests[kind]
    if "inListFilter" in single:
        values = ", ".join(quoted(value) for value in single["inListFilter"].get("values", []))
        return f"{sql} in ({values})"
    if "numericFilter" in single:
        numeric = single["numericFilter"]
        operator = {"EQUAL": "=", "LESS_THAN": "<", "LESS_THAN_OR_EQUAL": "<=", "GREATER_THAN": ">",
                    "GREATER_THAN_OR_EQUAL": ">="}.get(numeric.get("operation", ""))  # fmt: skip
        value = numeric.get("value", {})
        if operator:
            return f"{sql} {operator} {float(value.get('int64Value', value.get('doubleValue', 0)))}"
    raise Refused(_error(400, "INVALID_ARGUMENT", "The filter is not understood."))


def _report_number(value: object, name: str) -> int:
    try:
        number = int(str(value))
    except ValueError:
        raise Refused(_error(400, "INVALID_ARGUMENT", f"Invalid value for {name}.")) from None
    if number < 0:
        raise Refused(_error(400, "INVALID_ARGUMENT", f"{name} must not be negative."))
    return number


def _compatible(names: list[str], known: Mapping[str, Any], what: str) -> None:
    for name in names:
        if name not in known:
            text = (
                f"Did you mean {sorted(known)[0]}? Field {name} is not a valid {what}. For a list of valid "
                f"dimensions and metrics, see "
                f"https://developers.google.com/analytics/devguides/reporting/data/v1/"
                "api-schema "
            )
            raise Refused(_error(400, "INVALID_ARGUMENT", text))


async def _report(request: Request, world: World) -> Response:
    if request.path_params["property"] != PROPERTY:
        text = (
            "User does not have sufficient permissions for this property. To learn more about Property ID, "
            "see "
            "https://developers.google.com/analytics/devguides/reporting/data/v1/property-id."
        )
        raise Refused(_error(403, "PERMISSION_DENIED", text))
    try:
        body = await json_body(request)
    except ValueError:
        raise Refused(_error(400, "INVALID_ARGUMENT", "Invalid JSON payload received.")) from None
    dimensions = [part.get("name", "") for part in body.get("dimensions", [])]
    metrics = [part.get("name", "") for part in body.get("metrics", [])]
    _compatible(dimensions, DIMENSIONS, "dimension")
    _compatible(metrics, METRICS, "metric")
    if not dimensions and not metrics:
        raise Refused(_error(400, "INVALID_ARGUMENT", "At least one dimension or metric is required."))
    ranges = body.get("dateRanges", [])
    if not ranges:
        raise Refused(_error(400, "INVALID_ARGUMENT", "A dateRange is required."))
    spans = [
        (_day(str(r.get("startDate", "")), world), _day(str(r.get("endDate", "")), world)) for r in ranges
    ]
    if any(start > end for start, end in spans):
        raise Refused(_error(400, "INVALID_ARGUMENT", "startDate must not be after endDate."))
    limit = _report_number(body.get("limit", 10_000), "limit") or 10_000
    if limit > 250_000:
        raise Refused(_error(400, "INVALID_ARGUMENT", "limit must be at most 250000."))
    offset = _report_number(body.get("offset", 0), "offset")
    _reported(world)
    rows = world.rows(_report_sql(body, dimensions, metrics, spans))
    shown = [
        {
            "dimensionValues": [{"value": row[f"d{i}"]} for i in range(len(dimensions))],
            "metricValues": [{"value": row[f"m{i}"]} for i in range(len(metrics))],
        }
        for row in rows[offset : offset + limit]
    ]
    result: dict[str, Any] = {
        "dimensionHeaders": [{"name": name} for name in dimensions],
        "metricHeaders": [{"name": name, "type": METRICS[name][0]} for name in metrics],
        "rows": shown,
        "rowCount": len(rows),
        "metadata": {"currencyCode": CURRENCY, "timeZone": TIME_ZONE},
        "kind": "analyticsData#runReport",
    }
    result = {key: value for key, value in result.items() if value not in ([], 0)}
    if body.get("returnPropertyQuota"):
        result["propertyQuota"] = {
            "tokensPerDay": {"consumed": 1, "remaining": 199_999},
            "tokensPerHour": {"consumed": 1, "remaining": 39_999},
            "concurrentRequests": {"consumed": 0, "remaining": 10},
            "serverErrorsPerProjectPerHour": {"consumed": 0, "remaining": 10},
            "potentiallyThresholdedRequestsPerHour": {"consumed": 0, "remaining": 120},
            "tokensPerProjectPerHour": {"consumed": 1, "remaining": 13_999},
        }
    return answer(result)


def _report_sql(
    body: Mapping[str, Any], dimensions: list[str], metrics: list[str], spans: list[tuple[date, date]]
) -> str:
    where = [" or ".join(f"day between date '{start}' and date '{end}'" for start, end in spans)]
    if body.get("dimensionFilter"):
        where.append(_filter_sql(body["dimensionFilter"], DIMENSIONS))
    having = [" or ".join(f"{METRICS[name][1]} <> 0" for name in metrics)] if metrics else []
    if body.get("keepEmptyRows"):
        having = []
    if body.get("metricFilter"):
        having.append(_filter_sql(body["metricFilter"], {name: sql for name, (_, sql) in METRICS.items()}))
    order: list[str] = []
    for part in body.get("orderBys", []):
        name = part.get("dimension", {}).get("dimensionName") or part.get("metric", {}).get("metricName", "")
        if name not in dimensions + metrics:
            raise Refused(
                _error(400, "INVALID_ARGUMENT", f"Unable to order by {name}: it is not in the request.")
            )
        sql = DIMENSIONS[name] if name in dimensions else METRICS[name][1]
        order.append(f"{sql} {'desc' if part.get('desc') else 'asc'}")
    order += [f"{METRICS[name][1]} desc" for name in metrics[:1]] if not order else []
    order += [DIMENSIONS[name] for name in dimensions]
    select = [f"{DIMENSIONS[name]} as d{i}" for i, name in enumerate(dimensions)]
    for i, name in enumerate(metrics):
        kind, sql = METRICS[name]
        shown = f"round({sql}, 6)" if kind == "TYPE_CURRENCY" else sql
        select.append(f"cast({shown} as varchar) as m{i}")
    groups = ", ".join(DIMENSIONS[name] for name in dimensions)
    return (
        f"select {', '.join(select)} from ga4_reported where {' and '.join(f'({part})' for part in where)}"
        f" {'group by ' + groups if groups else ''}"
        f" {'having ' + ' and '.join(f'({part})' for part in having) if having else ''}"
        f" {'order by ' + ', '.join(order) if groups else ''}"
    )
