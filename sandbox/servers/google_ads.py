"""Google Ads API v25 over REST: `googleAds:search` and `googleAds:searchStream` for GAQL queries.

The answers are rendered by DuckDB: a query's fields become one nested struct per row, grouped over the
figures that the platform shows at the company's clock (days of the last four weeks are restated as the clock
moves).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.company.restatement import restated
from sandbox.servers import _gaql as gaql
from sandbox.servers import _oauth as oauth
from sandbox.servers._answers import Refused, answer, bearer, digest, joined, json_body
from sandbox.world import World

PLATFORM = "google_ads"
VERSION = "v25"
DEVELOPER_TOKEN = "sandbox-developer-token"
SCOPE = "https://www.googleapis.com/auth/adwords"
PAGE_ROWS = 10_000
CLICK_DAYS = 90
LISTS = ("results",)
FAILURE = f"type.googleapis.com/google.ads.googleads.{VERSION}.errors.GoogleAdsFailure"

INT64, NUMBER, TEXT, ENUM, BOOL, DATE, TEXTS = "int64", "double", "string", "enum", "bool", "date", "strings"
METRIC_RESOURCES = ("customer", "campaign", "ad_group", "ad_group_ad")


@dataclass(frozen=True)
class Field:
    """A field of the query language: its SQL over the relation of its resource, its type, where it may
    stand."""

    sql: str
    kind: str = TEXT
    resources: tuple[str, ...] = (*METRIC_RESOURCES, "click_view")
    filterable: bool = True


def _name_of(kind: str, *parts: str) -> str:
    tail = " || '~' || ".join(parts)
    return f"'customers/' || account_id || '/{kind}/' || {tail}"


_CAMPAIGN = ("campaign", "ad_group", "ad_group_ad", "click_view")
_GROUP = ("ad_group", "ad_group_ad", "click_view")
_AD = ("ad_group_ad",)
_CLICK = ("click_view",)

# Attributes: SQL over the columns of `_ENTITIES` below.
ATTRIBUTES: dict[str, Field] = {
    "customer.resource_name": Field("'customers/' || account_id"),
    "customer.id": Field("account_id", INT64),
    "customer.descriptive_name": Field("account_name"),
    "customer.currency_code": Field("account_currency"),
    "customer.time_zone": Field("account_time_zone"),
    "customer.manager": Field("false", BOOL),
    "customer.test_account": Field("false", BOOL),
    "customer.auto_tagging_enabled": Field("true", BOOL),
    "customer.status": Field("'ENABLED'", ENUM),
    "campaign.resource_name": Field(_name_of("campaigns", "campaign_id"), TEXT, _CAMPAIGN),
    "campaign.id": Field("campaign_id", INT64, _CAMPAIGN),
    "campaign.name": Field("campaign_name", TEXT, _CAMPAIGN),
    "campaign.status": Field("campaign_status", ENUM, _CAMPAIGN),
    "campaign.advertising_channel_type": Field("campaign_type", ENUM, _CAMPAIGN),
    "campaign.start_date_time": Field("campaign_start || ' 00:00:00'", TEXT, _CAMPAIGN),
    "campaign.end_date_time": Field("campaign_end || ' 23:59:59'", TEXT, _CAMPAIGN),
    "campaign.campaign_budget": Field(_name_of("campaignBudgets", "budget_id"), TEXT, _CAMPAIGN),
    "campaign_budget.resource_name": Field(_name_of("campaignBudgets", "budget_id"), TEXT, ("campaign",)),
    "campaign_budget.id": Field("budget_id", INT64, ("campaign",)),
    "campaign_budget.amount_micros": Field("budget_micros", INT64, ("campaign",)),
    "ad_group.resource_name": Field(_name_of("adGroups", "ad_group_id"), TEXT, _GROUP),
    "ad_group.id": Field("ad_group_id", INT64, _GROUP),
    "ad_group.name": Field("ad_group_name", TEXT, _GROUP),
    "ad_group.status": Field("ad_group_status", ENUM, _GROUP),
    "ad_group.campaign": Field(_name_of("campaigns", "campaign_id"), TEXT, _GROUP),
    "ad_group_ad.resource_name": Field(_name_of("adGroupAds", "ad_group_id", "ad_id"), TEXT, _AD),
    "ad_group_ad.ad_group": Field(_name_of("adGroups", "ad_group_id"), TEXT, _AD),
    "ad_group_ad.status": Field("ad_status", ENUM, _AD),
    "ad_group_ad.ad.resource_name": Field(_name_of("ads", "ad_id"), TEXT, _AD),
    "ad_group_ad.ad.id": Field("ad_id", INT64, _AD),
    "ad_group_ad.ad.name": Field("ad_name", TEXT, _AD),
    "ad_group_ad.ad.type": Field("ad_type", ENUM, _AD),
    "ad_group_ad.ad.final_urls": Field("final_urls", TEXTS, _AD, filterable=False),
    "click_view.resource_name": Field(_name_of("clickViews", "click_date", "gclid"), TEXT, _CLICK),
    "click_view.gclid": Field("gclid", TEXT, _CLICK),
    "click_view.ad_group_ad": Field(_name_of("adGroupAds", "ad_group_id", "ad_id"), TEXT, _CLICK),
    "click_view.keyword_info.text": Field("keyword", TEXT, _CLICK),
}
SEGMENTS: dict[str, Field] = {
    "segments.date": Field("day", DATE),
    "segments.week": Field("strftime(date_trunc('week', day::date), '%Y-%m-%d')", DATE, METRIC_RESOURCES),
    "segments.month": Field("strftime(date_trunc('month', day::date), '%Y-%m-%d')", DATE, METRIC_RESOURCES),
    "segments.year": Field("year(day::date)", NUMBER, METRIC_RESOURCES),
    "segments.device": Field("device", ENUM),
    "segments.ad_network_type": Field("network_type", ENUM),
    "segments.click_type": Field("'URL_CLICKS'", ENUM, _CLICK),
}
_CORE_DATES = ("segments.date", "segments.week", "segments.month", "segments.year")
_COST = "sum(spend_minor) * 10000"
METRICS: dict[str, Field] = {
    "metrics.impressions": Field("sum(impressions)", INT64, METRIC_RESOURCES),
    "metrics.clicks": Field("sum(clicks)", INT64, METRIC_RESOURCES),
    "metrics.interactions": Field("sum(clicks)", INT64, METRIC_RESOURCES),
    "metrics.cost_micros": Field(_COST, INT64, METRIC_RESOURCES),
    "metrics.conversions": Field("sum(conversions)", NUMBER, METRIC_RESOURCES),
    "metrics.conversions_value": Field("sum(conversions_value_minor) / 100", NUMBER, METRIC_RESOURCES),
    "metrics.all_conversions": Field("sum(conversions)", NUMBER, METRIC_RESOURCES),
    "metrics.all_conversions_value": Field("sum(conversions_value_minor) / 100", NUMBER, METRIC_RESOURCES),
    "metrics.ctr": Field("sum(clicks) / nullif(sum(impressions), 0)", NUMBER, METRIC_RESOURCES),
    "metrics.average_cpc": Field(f"{_COST} / nullif(sum(clicks), 0)", NUMBER, METRIC_RESOURCES),
    "metrics.average_cpm": Field(f"{_COST} * 1000 / nullif(sum(impressions), 0)", NUMBER, METRIC_RESOURCES),
    "metrics.cost_per_conversion": Field(f"{_COST} / nullif(sum(conversions), 0)", NUMBER, METRIC_RESOURCES),
}
FIELDS = ATTRIBUTES | SEGMENTS | METRICS
RESOURCES = (*METRIC_RESOURCES, "click_view")

_ACCOUNT = "a.account_id, a.account_name, a.currency as account_currency, a.time_zone as account_time_zone"
_CAMPAIGN_COLUMNS = """c.campaign_id, c.campaign_name, c.campaign_type,
    case when c.end_date < {today} then c.status else 'ENABLED' end as campaign_status,
    strftime(c.start_date, '%Y-%m-%d') as campaign_start, strftime(c.end_date, '%Y-%m-%d') as campaign_end,
    cast(cast(c.campaign_id as bigint) + 1 as varchar) as budget_id,
    coalesce(c.daily_budget_minor, 0) * 10000 as budget_micros"""
_GROUP_COLUMNS = "g.ad_group_id, g.ad_group_name, g.status as ad_group_status"
_AD_COLUMNS = """d.ad_id, d.ad_name, d.ad_type, d.status as ad_status,
    case when d.final_url is null then [] else [d.final_url] end as final_urls"""
_JOIN_CAMPAIGN = """ad_campaigns c join ad_accounts a on a.platform = c.platform
    and a.account_id = c.account_id
    and c.platform = '{platform}' and c.start_date <= {today}"""
_JOIN_GROUP = (
    _JOIN_CAMPAIGN
    + """ join ad_groups g on g.platform = c.platform and g.account_id = c.account_id
    and g.campaign_id = c.campaign_id"""
)
_JOIN_AD = (
    _JOIN_GROUP
    + """ join ads d on d.platform = g.platform and d.account_id = g.account_id
    and d.ad_group_id = g.ad_group_id"""
)
_ENTITIES: dict[str, str] = {
    "customer": f"select {_ACCOUNT} from ad_accounts a where a.platform = '{{platform}}'",
    "campaign": f"select {_ACCOUNT}, {_CAMPAIGN_COLUMNS} from {_JOIN_CAMPAIGN}",
    "ad_group": f"select {_ACCOUNT}, {_CAMPAIGN_COLUMNS}, {_GROUP_COLUMNS} from {_JOIN_GROUP}",
    "ad_group_ad": f"select {_ACCOUNT}, {_CAMPAIGN_COLUMNS}, {_GROUP_COLUMNS}, {_AD_COLUMNS} from {_JOIN_AD}",
    "click_view": f"""select {_ACCOUNT}, {_CAMPAIGN_COLUMNS}, {_GROUP_COLUMNS}, k.ad_id, k.click_id as gclid,
        k.keyword, k.device, k.network_type, k.click_date as day, k.click_date
        from {_JOIN_CAMPAIGN}
        join google_ads_clicks k on k.account_id = c.account_id and k.campaign_id = c.campaign_id
        left join ad_groups g on g.platform = c.platform and g.account_id = c.account_id
            and g.campaign_id = c.campaign_id and g.ad_group_id = k.ad_group_id""",
}
_KEYS: dict[str, tuple[str, ...]] = {
    "customer": ("account_id",),
    "campaign": ("account_id", "campaign_id"),
    "ad_group": ("account_id", "campaign_id", "ad_group_id"),
    "ad_group_ad": ("account_id", "campaign_id", "ad_group_id", "ad_id"),
}
_COMPARISONS = {
    "=": "=",
    "!=": "<>",
    ">": ">",
    ">=": ">=",
    "<": "<",
    "<=": "<=",
    "LIKE": "like",
    "NOT LIKE": "not like",
}


def routes(world: World) -> list[Route]:
    """Return the paths of this vendor."""
    tokens = oauth.Tokens(SCOPE)

    async def call(request: Request) -> Response:
        method = request.path_params["method"]
        stream = method == "searchStream"
        try:
            if method not in ("search", "searchStream"):
                raise Refused(refusal("not_found", {"path": request.url.path}))
            _authenticate(request, tokens)
            customer = _customer(request, world)
            return await _search(request, world, customer, stream)
        except Refused as refused:
            if not stream:
                raise
            # A stream's answer is an array, and so is its error.
            body = refused.response.body
            return answer(b"[" + bytes(body) + b"]", refused.response.status_code)

    async def accessible(request: Request) -> Response:
        _authenticate(request, tokens)
        return answer({"resourceNames": [f"customers/{account}" for account in sorted(_accounts(world))]})

    return [
        Route("/oauth2/token", tokens.exchange, methods=["POST"]),
        Route(f"/{VERSION}/customers/{{customer}}/googleAds:{{method}}", call, methods=["POST"]),
        Route(f"/{VERSION}/customers:listAccessibleCustomers", accessible, methods=["GET"]),
    ]


def environment(base_url: str) -> dict[str, str]:
    """Return the variables that point the connector at this server."""
    prefix = "SOURCES__GOOGLE_ADS__"
    return {
        f"{prefix}BASE_URL": f"{base_url}/google_ads",
        f"{prefix}TOKEN_URL": f"{base_url}/google_ads/oauth2/token",
        f"{prefix}DEVELOPER_TOKEN": DEVELOPER_TOKEN,
        f"{prefix}CLIENT_ID": oauth.CLIENT_ID,
        f"{prefix}CLIENT_SECRET": oauth.CLIENT_SECRET,
        f"{prefix}REFRESH_TOKEN": oauth.REFRESH_TOKEN,
    }


# ------------------------------------------------------------------------------------------------- errors


def _failure(
    status: int, name: str, kind: str, code: str, message: str, text: str, where: str = ""
) -> Response:
    """Return the vendor's error body: a status, and a GoogleAdsFailure with one error."""
    error: dict[str, Any] = {"errorCode": {kind: code}, "message": message}
    if where:
        error["location"] = {"fieldPathElements": [{"fieldName": where}]}
    request_id = digest(kind, code, message, length=22)
    details = [{"@type": FAILURE, "errors": [error], "requestId": request_id}]
    body = {"error": {"code": status, "message": text, "status": name, "details": details}}
    return answer(body, status, {"request-id": request_id})


def _invalid(kind: str, code: str, message: str, where: str = "") -> Refused:
    text = "Request contains an invalid argument."
    return Refused(_failure(400, "INVALID_ARGUMENT", kind, code, message, text, where))


_CREDENTIALS = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
    "valid "
    "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
)


def refusal(kind: str, params: Mapping[str, Any]) -> Response:
    """Return the vendor's own answer for a fault."""
    if kind == "rate_limit":
        response = _failure(
            429, "RESOURCE_EXHAUSTED", "quotaError", "RESOURCE_TEMPORARILY_EXHAUSTED",
            "Too many requests. Retry in a moment.", "Resource has been exhausted (e.g. check quota).",
        )  # fmt: skip
        response.headers["Retry-After"] = str(params.get("retry_after", 1))
        return response
    if kind == "server_error":
        status = int(params.get("status", 500))
        name, text = ("UNAVAILABLE", "The service is currently unavailable.") if status == 503 else (
            "INTERNAL", "Internal error encountered.")  # fmt: skip
        return _failure(status, name, "internalError", "TRANSIENT_ERROR", "A transient error occurred.", text)
    if kind == "expired_token":
        return _failure(
            401,
            "UNAUTHENTICATED",
            "authenticationError",
            "OAUTH_TOKEN_EXPIRED",
            "OAuth token expired.",
            _CREDENTIALS,
        )
    if kind == "expired_cursor":
        return _invalid(
            "requestError", "EXPIRED_PAGE_TOKEN", "Page token has expired.", "page_token"
        ).response
    body = {"error": {"code": 404, "message": "Requested entity was not found.", "status": "NOT_FOUND"}}
    return answer(body, 404)


# --------------------------------------------------------------------------------------------- the request


def _authenticate(request: Request, tokens: oauth.Tokens) -> None:
    token = bearer(request)
    if token is None:
        text = "Request is missing required authentication credential. Expected OAuth 2 access token."
        body = {"error": {"code": 401, "message": text, "status": "UNAUTHENTICATED"}}
        raise Refused(answer(body, 401, {"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"'}))
    if not tokens.valid(token):
        message = "OAuth token that was passed is not valid."
        raise Refused(
            _failure(
                401, "UNAUTHENTICATED", "authenticationError", "OAUTH_TOKEN_INVALID", message, _CREDENTIALS
            )
        )
    developer = request.headers.get("developer-token")
    if developer is None:
        message = "Developer token is missing in request."
        raise _invalid("requestError", "DEVELOPER_TOKEN_PARAMETER_MISSING", message)
    if developer != DEVELOPER_TOKEN:
        message = "The developer token is not valid."
        raise Refused(
            _failure(
                401,
                "UNAUTHENTICATED",
                "authenticationError",
                "DEVELOPER_TOKEN_INVALID",
                message,
                _CREDENTIALS,
            )
        )


def _accounts(world: World) -> dict[str, dict[str, Any]]:
    query = f"select * from ad_accounts where platform = '{PLATFORM}'"
    return world.keep("google_ads accounts", lambda: {row["account_id"]: row for row in world.rows(query)})


def _customer(request: Request, world: World) -> str:
    customer = request.path_params["customer"]
    if not customer.isdigit():
        raise _invalid("requestError", "INVALID_CUSTOMER_ID", f"Invalid customer ID '{customer}'.")
    if customer not in _accounts(world):
        message = (
            "User doesn't have permission to access customer. Note: If you're accessing a client customer, "
            "the "
            "manager's customer id must be set in the 'login-customer-id' header."
        )
        text = "The caller does not have permission"
        raise Refused(
            _failure(403, "PERMISSION_DENIED", "authorizationError", "USER_PERMISSION_DENIED", message, text)
        )
    return str(customer)


async def _search(request: Request, world: World, customer: str, stream: bool) -> Response:
    try:
        body = await json_body(request)
    except ValueError:
        text = "Invalid JSON payload received."
        raise Refused(
            answer({"error": {"code": 400, "message": text, "status": "INVALID_ARGUMENT"}}, 400)
        ) from None
    known = {"query", "validateOnly", "searchSettings", "summaryRowSetting", "pageToken", "pageSize"}
    spare = [name for name in body if re.sub(r"_(\w)", lambda m: m[1].upper(), name) not in known]
    if stream:
        spare += [name for name in body if name in ("pageToken", "pageSize", "page_token", "page_size")]
    if spare:
        text = f'Invalid JSON payload received. Unknown name "{spare[0]}": Cannot find field.'
        raise Refused(answer({"error": {"code": 400, "message": text, "status": "INVALID_ARGUMENT"}}, 400))
    if body.get("pageSize") or body.get("page_size"):
        message = "Setting the page size is not supported. Search Responses will have fixed page size of"
        message += " '10000' rows."
        raise _invalid("requestError", "PAGE_SIZE_NOT_SUPPORTED", message, "page_size")
    text = body.get("query")
    if not isinstance(text, str) or not text.strip():
        raise _invalid("requestError", "REQUIRED_FIELD_MISSING", "Required field is missing.", "query")
    try:
        query = gaql.parse(text)
        _check(query, world, customer)
        key = (PLATFORM, customer, " ".join(text.split()))
        rows = world.memo(key, lambda: world.texts(_sql(query, world, customer)))
    except gaql.QueryError as error:
        raise _invalid("queryError", error.code, str(error)) from error
    mask = ",".join(_camel(name) for name in query.fields)
    request_id = digest(text, world.as_of, length=22)
    headers = {"request-id": request_id}
    if stream:
        tail = orjson.dumps({"fieldMask": mask, "requestId": request_id})[1:]
        pages = [rows[at : at + PAGE_ROWS] for at in range(0, len(rows), PAGE_ROWS)] or [[]]
        chunks = (b'{"results":' + joined(page) + b"," + tail if page else b"{" + tail for page in pages)
        return answer(joined(chunks), headers=headers)
    start = _start(body.get("pageToken") or body.get("page_token"), world, text)
    page = rows[start : start + PAGE_ROWS]
    rest: dict[str, Any] = {"fieldMask": mask}
    if start + PAGE_ROWS < len(rows):
        rest["nextPageToken"] = _page_token(start + PAGE_ROWS, world, text)
    if (body.get("searchSettings") or {}).get("returnTotalResultsCount"):
        rest["totalResultsCount"] = str(len(rows))
    tail = orjson.dumps(rest)[1:]
    return answer(b'{"results":' + joined(page) + b"," + tail if page else b"{" + tail, headers=headers)


def _page_token(start: int, world: World, text: str) -> str:
    return base64.urlsafe_b64encode(f"{start}:{digest(text, world.as_of, length=12)}".encode()).decode()


def _start(token: str | None, world: World, text: str) -> int:
    """Return the row at which the page begins, refusing a token of another query or another time."""
    if not token:
        return 0
    try:
        start, _, stamp = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
        at = int(start)
    except ValueError:
        raise _invalid("requestError", "INVALID_PAGE_TOKEN", "Page token is invalid.", "page_token") from None
    if stamp != digest(text, world.as_of, length=12):
        raise _invalid("requestError", "EXPIRED_PAGE_TOKEN", "Page token has expired.", "page_token")
    return at


# ----------------------------------------------------------------------------------------- query to answer


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def _check(query: gaql.Query, world: World, customer: str) -> None:
    """Raise QueryError for fields, resources and combinations that the vendor refuses."""
    if query.resource not in RESOURCES:
        code = "BAD_RESOURCE_TYPE_IN_FROM_CLAUSE"
        raise gaql.QueryError(code, f"Error in query: '{query.resource}' is not a valid resource name.")
    unknown = [name for name in query.mentioned() if name not in FIELDS]
    if unknown:
        names = ", ".join(f"'{name}'" for name in unknown)
        raise gaql.QueryError("UNRECOGNIZED_FIELD", f"Unrecognized fields in the query: {names}.")
    for name in query.mentioned():
        if query.resource not in FIELDS[name].resources:
            kind = name.partition(".")[0]
            code = {
                "metrics": "PROHIBITED_METRIC_IN_SELECT_OR_WHERE_CLAUSE",
                "segments": "PROHIBITED_SEGMENT_IN_SELECT_OR_WHERE_CLAUSE",
            }.get(kind, "PROHIBITED_RESOURCE_TYPE_IN_SELECT_CLAUSE")
            message = (
                f"Cannot select or filter on the following field: '{name}', since it is incompatible with "
            )
            raise gaql.QueryError(code, message + f"the resource in FROM: {query.resource}.")
    for condition in query.conditions:
        _literals(condition)
    for name, _ in query.orderings:
        if name not in query.fields and not name.startswith(f"{query.resource}."):
            message = f"'{name}' must be in the SELECT clause to be in ORDER BY."
            raise gaql.QueryError("EXPECTED_REFERENCED_FIELD_IN_SELECT_CLAUSE", message)
    dates = [c for c in query.conditions if c.field in _CORE_DATES]
    if any(name in _CORE_DATES for name in query.fields) and not _bounded(dates):
        message = "The query must contain a finite date range filter on a core date segment."
        raise gaql.QueryError("EXPECTED_FILTERS_ON_DATE_RANGE", message)
    if query.resource == "click_view":
        _check_click_days([c for c in dates if c.field == "segments.date"], world, customer)


def _bounded(dates: Iterable[gaql.Condition]) -> bool:
    operators = {c.operator for c in dates}
    closed = bool(operators & {"=", "BETWEEN", "DURING", "IN"})
    return closed or (bool(operators & {">", ">="}) and bool(operators & {"<", "<="}))


def _check_click_days(dates: list[gaql.Condition], world: World, customer: str) -> None:
    days: set[str] = set()
    for condition in dates:
        if condition.operator in ("=", "BETWEEN"):
            days.update(condition.values)
    if len(days) != 1:
        message = (
            "The query must have a filter limiting the results to one day when click_view is selected from."
        )
        raise gaql.QueryError("EXPECTED_FILTERS_ON_DATE_RANGE", message)
    earliest = _today(world, customer) - timedelta(days=CLICK_DAYS)
    if days.pop() < earliest.isoformat():
        message = f"Clicks can be queried for up to {CLICK_DAYS} days before the time of the request."
        raise gaql.QueryError("DATE_RANGE_TOO_WIDE", message)


def _today(world: World, customer: str) -> Any:
    """Return the account's own date at the clock."""
    zone = _accounts(world)[customer]["time_zone"]
    query = f"select cast(timezone('{zone}', timezone('UTC', {world.now_sql})) as date) as day"
    return world.memo(("google_ads today", zone), lambda: world.rows(query)[0]["day"])


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _literals(condition: gaql.Condition) -> list[str]:
    """Return a condition's values as SQL literals of its field's type, refusing what does not fit."""
    kind = FIELDS[condition.field].kind
    if not FIELDS[condition.field].filterable:
        message = f"The field '{condition.field}' cannot be used in the WHERE clause."
        raise gaql.QueryError("PROHIBITED_FIELD_IN_WHERE_CLAUSE", message)
    known = {*_COMPARISONS, "IN", "NOT IN", "BETWEEN", "DURING", "IS NULL", "IS NOT NULL", "REGEXP_MATCH"}
    if condition.operator not in known | {"NOT REGEXP_MATCH"}:
        message = f"Operator '{condition.operator}' is not usable with the field '{condition.field}'."
        raise gaql.QueryError("OPERATOR_FIELD_MISMATCH", message)
    if condition.operator == "DURING":
        return []
    if kind == DATE:
        for value in condition.values:
            if not re.fullmatch(r"\d{4}-?\d{2}-?\d{2}", value):
                raise gaql.QueryError("INVALID_DATE_FORMAT", f"Invalid date format: '{value}'.")
        return [
            _quoted(re.sub(r"^(\d{4})-?(\d{2})-?(\d{2})$", r"\1-\2-\3", value)) for value in condition.values
        ]
    if kind in (INT64, NUMBER):
        for value in condition.values:
            if not re.fullmatch(r"-?\d+(\.\d+)?", value):
                raise gaql.QueryError("BAD_NUMBER", f"Error in query: cannot parse number '{value}'.")
        return list(condition.values)
    if kind == ENUM:
        for value in condition.values:
            if not re.fullmatch(r"[A-Z_0-9]+", value):
                message = f"Invalid enum value cannot be included in WHERE clause: '{value}'."
                raise gaql.QueryError("BAD_ENUM_CONSTANT", message)
    return [_quoted(value) for value in condition.values]


_DURING = {
    "TODAY": (0, 0), "YESTERDAY": (1, 1), "LAST_7_DAYS": (7, 1), "LAST_14_DAYS": (14, 1),
    "LAST_30_DAYS": (30, 1)
}  # fmt: skip


def _condition_sql(condition: gaql.Condition, world: World, customer: str) -> str:
    known = FIELDS[condition.field]
    left = (
        f"cast({known.sql} as bigint)"
        if known.kind == INT64 and "sum(" not in known.sql
        else f"({known.sql})"
    )
    values = _literals(condition)
    operator = condition.operator
    if operator in ("IS NULL", "IS NOT NULL"):
        return f"{left} {operator.lower()}"
    if operator in ("IN", "NOT IN"):
        return f"{left} {operator.lower()} ({', '.join(values)})"
    if operator == "BETWEEN":
        return f"{left} between {values[0]} and {values[1]}"
    if operator == "DURING":
        today = _today(world, customer)
        span = _DURING.get(condition.values[0].upper())
        if span is None:
            if condition.values[0].upper() != "THIS_MONTH":
                message = f"Invalid value in DURING: '{condition.values[0]}'."
                raise gaql.QueryError("INVALID_VALUE_WITH_DURING_OPERATOR", message)
            return f"{left} between '{today.replace(day=1)}' and '{today}'"
        return f"{left} between '{today - timedelta(days=span[0])}' and '{today - timedelta(days=span[1])}'"
    if operator.endswith("REGEXP_MATCH"):
        return f"{'not ' if operator.startswith('NOT') else ''}regexp_full_match({left}, {values[0]})"
    return f"{left} {_COMPARISONS[operator]} {values[0]}"


def _value_sql(name: str) -> str:
    """Return the SQL of a field as the JSON answer holds it: 64-bit integers are text."""
    known = FIELDS[name]
    if name in METRICS:
        if known.kind == INT64:
            return f"cast(cast(coalesce({known.sql}, 0) as bigint) as varchar)"
        return f"cast(coalesce({known.sql}, 0) as double)"
    if name == "segments.year":
        return f"cast({known.sql} as integer)"
    return f"cast({known.sql} as varchar)" if known.kind == INT64 else known.sql


def _struct(tree: Mapping[str, Any]) -> str:
    inner = (
        f"'{key}': {_struct(value) if isinstance(value, dict) else value}" for key, value in tree.items()
    )
    return "{" + ", ".join(inner) + "}"


def _sql(query: gaql.Query, world: World, customer: str) -> str:
    """Return the SQL whose first column is each row of the answer as JSON text, in the answer's order."""
    _prepare(world)
    names = list(query.fields)
    if query.parameters.get("omit_unselected_resource_names", "false").lower() != "true":
        resources = [n.rpartition(".")[0] for n in names if n in ATTRIBUTES] + [query.resource]
        names = [
            f"{r}.resource_name" for r in dict.fromkeys(resources) if f"{r}.resource_name" in FIELDS
        ] + names
    tree: dict[str, Any] = {}
    select: list[str] = []
    for index, name in enumerate(dict.fromkeys(names)):
        select.append(f"{_value_sql(name)} as v{index}")
        *parents, last = _camel(name).split(".")
        holder = tree
        for part in parents:
            holder = holder.setdefault(part, {})
        holder[last] = f"v{index}"
    segmented = [n for n in query.mentioned() if n in SEGMENTS]
    with_metrics = any(name in METRICS for name in query.mentioned())
    inner = [c for c in query.conditions if c.field in SEGMENTS]
    outer = [c for c in query.conditions if c.field in ATTRIBUTES]
    having = [_condition_sql(c, world, customer) for c in query.conditions if c.field in METRICS]
    where = [f"account_id = '{customer}'", *(_condition_sql(c, world, customer) for c in outer)]
    source = f"google_ads_{query.resource} e"
    if query.resource == "click_view":
        where += [_condition_sql(c, world, customer) for c in inner]
    elif with_metrics or segmented:
        keys = _KEYS[query.resource]
        conditions = " and ".join(["true", *(_condition_sql(c, world, customer) for c in inner)])
        whole = " and ".join(f"{key} is not null" for key in keys)
        selected = any(n in SEGMENTS for n in query.fields)
        # Without a segment every entity has a row, with one only what had impressions.
        join = "join" if selected else "left join"
        facts = f"(select * from google_ads_facts where {whole} and {conditions}) f"
        source += f" {join} {facts} using ({', '.join(keys)})"
        if selected:
            having.append("sum(impressions) + sum(clicks) + sum(spend_minor) + sum(conversions) > 0")
    order = [f"{_order_sql(name)} {'desc' if down else 'asc'}" for name, down in query.orderings]
    order += [f"v{index}" for index, name in enumerate(dict.fromkeys(names)) if name not in METRICS]
    grouped = ""
    if query.resource != "click_view" and (with_metrics or segmented):
        grouped = f"group by all having {' and '.join(having)}" if having else "group by all"
        orderings = [name for name, _ in query.orderings if name not in query.fields]
        select += [f"{FIELDS[name].sql} as o{i}" for i, name in enumerate(orderings)]
    limit = f"limit {query.limit}" if query.limit is not None else ""
    rendered = (
        f"json_merge_patch('{{}}', to_json({_struct(tree)}))"
        if _nullable(names)
        else f"to_json({_struct(tree)})"
    )
    return (
        f"select cast({rendered} as varchar) from (select {', '.join(select)} from {source}"
        f" where {' and '.join(where)} {grouped} order by {', '.join(order) or '1'} {limit})"
    )


def _order_sql(name: str) -> str:
    known = FIELDS[name]
    return f"cast({known.sql} as bigint)" if known.kind == INT64 and name not in METRICS else known.sql


def _nullable(names: Iterable[str]) -> bool:
    loose = ("campaign.end_date_time", "click_view.", "ad_group.", "ad_group_ad.ad.name")
    return any(name.startswith(loose) for name in names)


def _prepare(world: World) -> None:
    """Make what the platform shows at the clock: `google_ads_facts` and a table for each resource."""

    def build() -> bool:
        table = world.company.tables["ad_performance"]
        table = table.filter(pc.equal(table["platform"], PLATFORM))
        shown: pa.Table = restated(table, world.as_of)
        world.sql.register("google_ads_shown", shown)
        world.sql.execute(
            "create or replace temp table google_ads_facts as select strftime(date, '%Y-%m-%d') as day,"
            " * exclude (date, platform, visible_at, country, currency) from google_ads_shown"
        )
        world.sql.execute(
            "create or replace temp table google_ads_clicks as select k.account_id, k.campaign_id, "
            "k.ad_group_id,"
            " k.ad_id, k.click_id, k.keyword, k.device, k.network_type,"
            " strftime(timezone(a.time_zone, timezone('UTC', k.clicked_at)), '%Y-%m-%d') as click_date"
            " from ad_clicks k join ad_accounts a using (platform, account_id)"
            f" where k.platform = '{PLATFORM}' and k.click_id_type = 'gclid' and k.visible_at <= "
            f"{world.now_sql}"
        )
        today = f"cast(timezone(a.time_zone, timezone('UTC', {world.now_sql})) as date)"
        for resource, entities in _ENTITIES.items():
            order = "account_id, click_date, gclid" if resource == "click_view" else "account_id"
            world.sql.execute(
                f"create or replace temp table google_ads_{resource} as"
                f" {entities.format(platform=PLATFORM, today=today)} order by {order}"
            )
        return True

    world.memo("google_ads facts", build)
