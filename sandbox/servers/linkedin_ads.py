"""LinkedIn's Marketing API (versioned, Rest.li 2.0): accounts, campaign groups, campaigns, creatives and
analytics.

Analytics has no pages, and silently cuts its answer at 15,000 elements. Its days are UTC days; money is text
with many decimals, now and then in powers of ten.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import pyarrow.compute as pc
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.company.restatement import restated
from sandbox.servers import _oauth as oauth
from sandbox.servers._answers import Refused, answer, bearer, joined
from sandbox.world import World

PLATFORM = "linkedin"
SCOPE = "r_ads,r_ads_reporting"
LISTS = ("elements",)
MOST_ELEMENTS = 15_000
MOST_FIELDS = 20
DEFAULT_PAGE, LARGEST_PAGE = 10, 1000
_ACCOUNT = "'urn:li:sponsoredAccount:' || account_id"
EDGES: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "adCampaignGroups": (
        "ad_campaigns",
        "search",
        {
            "id": "cast(campaign_id as bigint)",
            "account": _ACCOUNT,
            "name": "campaign_name",
            "status": "case when end_date < {today} then 'PAUSED' else 'ACTIVE' end",
            "objectiveType": "objective",
        },
    ),
    "adCampaigns": (
        "ad_groups",
        "search",
        {
            "id": "cast(ad_group_id as bigint)",
            "account": _ACCOUNT,
            "campaignGroup": "'urn:li:sponsoredCampaignGroup:' || campaign_id",
            "name": "ad_group_name",
            "status": "case when status = 'ENABLED' then 'ACTIVE' else 'PAUSED' end",
            "type": "'SPONSORED_UPDATES'",
        },
    ),
    "creatives": (
        "ads",
        "criteria",
        {
            "id": "'urn:li:sponsoredCreative:' || ad_id",
            "account": _ACCOUNT,
            "campaign": "'urn:li:sponsoredCampaign:' || ad_group_id",
            "name": "ad_name",
            "intendedStatus": "case when status = 'ENABLED' then 'ACTIVE' else 'PAUSED' end",
        },
    ),
}
PIVOTS = {
    "CREATIVE": "'urn:li:sponsoredCreative:' || ad_id",
    "CAMPAIGN": "'urn:li:sponsoredCampaign:' || ad_group_id",
    "CAMPAIGN_GROUP": "'urn:li:sponsoredCampaignGroup:' || campaign_id",
    "ACCOUNT": _ACCOUNT,
}
_MONEY = "cast(cast(sum({}) / 100 as decimal(18, 2)) as varchar) || '000000000000001'"
FIGURES = {
    "impressions": "cast(sum(impressions) as bigint)",
    "clicks": "cast(sum(clicks) + sum(impressions) // 500 as bigint)",
    "landingPageClicks": "cast(sum(clicks) as bigint)",
    # A day without cost comes as what a subtraction of doubles leaves.
    "costInLocalCurrency": (
        f"case when sum(spend_minor) = 0 then '-2E-18' else {_MONEY.format('spend_minor')} end"
    ),
    "externalWebsiteConversions": "cast(round(sum(conversions)) as bigint)",
    "oneClickLeads": "cast(0 as bigint)",
    "conversionValueInLocalCurrency": _MONEY.format("conversions_value_minor"),
}
FIELDS = ("dateRange", "pivotValues", *FIGURES)
_DAY = r"\(year:(\d{4}),month:(\d{1,2}),day:(\d{1,2})\)"


def routes(world: World) -> list[Route]:
    """Return the paths of this vendor."""
    tokens = oauth.Tokens(SCOPE)

    def endpoint(handler: Callable[[Request, World], Response]) -> Callable[[Request], Any]:
        async def run(request: Request) -> Response:
            _authenticate(request, tokens)
            return handler(request, world)

        return run

    return [
        Route("/oauth/v2/accessToken", tokens.exchange, methods=["POST"]),
        Route("/rest/adAnalytics", endpoint(_analytics), methods=["GET"]),
        Route("/rest/adAccounts/{account}", endpoint(_account), methods=["GET"]),
        Route("/rest/adAccounts/{account}/{edge}", endpoint(_edge), methods=["GET"]),
    ]


def environment(base_url: str) -> dict[str, str]:
    """Return the variables that point the connector at this server."""
    prefix = "SOURCES__LINKEDIN_ADS__"
    return {
        f"{prefix}BASE_URL": f"{base_url}/linkedin_ads",
        f"{prefix}TOKEN_URL": f"{base_url}/linkedin_ads/oauth/v2/accessToken",
        f"{prefix}CLIENT_ID": oauth.CLIENT_ID,
        f"{prefix}CLIENT_SECRET": oauth.CLIENT_SECRET,
        f"{prefix}REFRESH_TOKEN": oauth.REFRESH_TOKEN,
    }


def _error(status: int, message: str, code: int | str | None = None) -> Response:
    body: dict[str, Any] = {"status": status, "message": message}
    if code is not None:
        body["serviceErrorCode" if isinstance(code, int) else "code"] = code
    return answer(body, status)


def refusal(kind: str, params: Mapping[str, Any]) -> Response:
    """Return the vendor's own answer for a fault."""
    if kind == "rate_limit":  # no Retry-After, no header that tells of limits
        text = "Resource level throttle APPLICATION DAY limit for calls to this resource is reached."
        return _error(429, text, 101)
    if kind == "server_error":
        return _error(int(params.get("status", 500)), "Internal Server Error")
    if kind == "expired_token":
        return _error(401, "The token used in the request has expired", 65602)
    if kind == "expired_cursor":
        return _error(400, "Invalid pageToken", "INVALID_PARAMETER")
    return _error(404, "No virtual resource found", 0)


def _authenticate(request: Request, tokens: oauth.Tokens) -> None:
    token = bearer(request)
    if token is None:
        raise Refused(_error(401, "Empty oauth2 access token", 65604))
    if not tokens.valid(token):
        raise Refused(_error(401, "Invalid access token", 65600))
    version = request.headers.get("linkedin-version", "")
    if not re.fullmatch(r"20\d{4}", version):
        text = f"Requested version {version or 'null'} is not active"
        raise Refused(_error(426, text, "NONEXISTENT_VERSION"))


def _row(world: World, account: str) -> dict[str, Any]:
    rows = world.rows(
        "select cast(account_id as bigint) as id, account_name as name, currency, 'BUSINESS' as type,"
        " 'ACTIVE' as status, 'urn:li:organization:' || account_id as reference, false as test"
        f" from ad_accounts where platform = '{PLATFORM}'"
    )
    found = [row for row in rows if str(row["id"]) == account]
    if not found:
        raise Refused(_error(404, "Account not found", 100))
    return found[0]


def _account(request: Request, world: World) -> Response:
    return answer(_row(world, request.path_params["account"]))


def _edge(request: Request, world: World) -> Response:
    account, edge = request.path_params["account"], request.path_params["edge"]
    if edge not in EDGES:
        raise Refused(refusal("not_found", {}))
    _row(world, account)
    table, finder, known = EDGES[edge]
    if request.query_params.get("q") != finder:
        raise Refused(
            _error(400, f"No finder for this resource: {request.query_params.get('q')}", "BAD_REQUEST")
        )
    today = f"cast({world.now_sql} as date)"
    columns = ", ".join(f"{name} := {sql.format(today=today)}" for name, sql in known.items())
    started = f" and start_date <= {today}" if table == "ad_campaigns" else ""
    records = world.memo(
        ("linkedin", edge, account),
        lambda: world.texts(
            f"select cast(to_json(struct_pack({columns})) as varchar) from {table}"
            f" where platform = '{PLATFORM}' and account_id = '{account}'{started} order by {known['id']}"
        ),
    )
    try:
        size = int(request.query_params.get("pageSize", DEFAULT_PAGE))
        start = int(request.query_params.get("pageToken", 0))
    except ValueError:
        raise Refused(refusal("expired_cursor", {})) from None
    if not 1 <= size <= LARGEST_PAGE:
        raise Refused(_error(400, f"pageSize must lie between 1 and {LARGEST_PAGE}", "ILLEGAL_ARGUMENT"))
    metadata = f'{{"nextPageToken":"{start + size}"}}' if start + size < len(records) else "{}"
    return answer(
        b'{"elements":' + joined(records[start : start + size]) + b',"metadata":' + metadata.encode() + b"}"
    )


def _analytics(request: Request, world: World) -> Response:
    params = request.query_params
    if params.get("q") != "analytics":
        raise Refused(_error(400, f"No finder for this resource: {params.get('q')}", "BAD_REQUEST"))
    pivot = PIVOTS.get(params.get("pivot", ""))
    fields = params.get("fields", "impressions,clicks").split(",")
    span = re.fullmatch(rf"\(start:{_DAY}(?:,end:{_DAY})?\)", params.get("dateRange", ""))
    accounts = re.fullmatch(r"List\((.*)\)", params.get("accounts", ""))
    if pivot is None or params.get("timeGranularity") not in ("DAILY", "ALL") or not span or not accounts:
        raise Refused(_error(400, "Invalid query parameters passed to request", "ILLEGAL_ARGUMENT"))
    if any(name not in FIELDS for name in fields) or len(fields) > MOST_FIELDS:
        raise Refused(_error(400, "Invalid query parameters passed to request: fields", "ILLEGAL_ARGUMENT"))
    numbers = [int(part) if part else None for part in span.groups()]
    first = date(*numbers[:3])  # type: ignore[arg-type]
    last = date(*numbers[3:]) if numbers[3] else world.as_of.date()  # type: ignore[arg-type]
    ids = [urn.rsplit(":", 1)[-1] for urn in accounts.group(1).split(",")]
    daily = params["timeGranularity"] == "DAILY"
    elements = world.memo(
        ("linkedin analytics", pivot, tuple(fields), first, last, tuple(ids), daily),
        lambda: _elements(world, pivot, fields, first, last, ids, daily),
    )
    shown = elements[:MOST_ELEMENTS]
    return answer(b'{"paging":{"start":0,"count":10,"links":[]},"elements":' + joined(shown) + b"}")


def _elements(
    world: World, pivot: str, fields: list[str], first: date, last: date, ids: list[str], daily: bool
) -> list[bytes]:
    _prepare(world)
    known = ", ".join(f"'{account}'" for account in ids if account.isdigit()) or "''"

    def day(sql: str) -> str:
        return f"{{'year': year({sql}), 'month': month({sql}), 'day': day({sql})}}"

    packed = [f"{name} := {FIGURES[name]}" for name in fields if name in FIGURES]
    if "dateRange" in fields:
        packed.append(f"dateRange := {{'start': {day('min(day)')}, 'end': {day('max(day)')}}}")
    if "pivotValues" in fields:
        packed.append("pivotValues := [any_value(urn)]")
    grouping = "day, urn" if daily else "urn"
    return world.texts(
        f"select cast(to_json(struct_pack({', '.join(packed)})) as varchar)"
        f" from (select *, {pivot} as urn from linkedin_facts where account_id in ({known})"
        f" and day between date '{first}' and date '{last}')"
        f" group by {grouping} having sum(impressions) > 0 order by {grouping}"
    )


def _prepare(world: World) -> None:
    """Make what the platform shows at the clock: `linkedin_facts`."""

    def build() -> bool:
        table = world.company.tables["ad_performance"]
        table = table.filter(pc.equal(table["platform"], PLATFORM))
        world.sql.register("linkedin_shown", restated(table, world.as_of))
        world.sql.execute(
            "create or replace temp table linkedin_facts as"
            " select date as day, * exclude (date, platform, visible_at) from linkedin_shown"
        )
        return True

    world.memo("linkedin facts", build)
