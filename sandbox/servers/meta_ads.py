"""Meta's Marketing API (Graph): an ad account, its campaigns, ad sets and ads, and insights, at once or
through asynchronous report runs.

Figures are strings; conversions are lists of actions, several types of which mean one and the same purchase.
Refusals, rate limits too, have status 400. Country and device cannot be asked for in one report.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qs

import pyarrow.compute as pc
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.company.restatement import restated
from sandbox.servers._answers import Refused, answer, bearer, digest, joined
from sandbox.world import World

PLATFORM = "meta"
VERSION = "v25.0"
ACCESS_TOKEN = "sandbox-meta-token"
LISTS = ("data",)
HISTORY = timedelta(days=37 * 31)
REPORT_ROWS = 500_000  # more rows than this are "too much data"

ACCOUNT_FIELDS = ("id", "account_id", "name", "currency", "timezone_name")
EDGES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "campaigns": (
        "ad_campaigns",
        {
            "id": "campaign_id",
            "name": "campaign_name",
            "objective": "objective",
            "status": "case when end_date < {today} then 'PAUSED' else 'ACTIVE' end",
            "effective_status": "case when end_date < {today} then 'PAUSED' else 'ACTIVE' end",
            "account_id": "replace(account_id, 'act_', '')",
        },
    ),
    "adsets": (
        "ad_groups",
        {
            "id": "ad_group_id",
            "name": "ad_group_name",
            "campaign_id": "campaign_id",
            "account_id": "replace(account_id, 'act_', '')",
            "effective_status": "case when status = 'ENABLED' then 'ACTIVE' else 'PAUSED' end",
        },
    ),
    "ads": (
        "ads",
        {
            "id": "ad_id",
            "name": "ad_name",
            "adset_id": "ad_group_id",
            "campaign_id": "campaign_id",
            "account_id": "replace(account_id, 'act_', '')",
            "effective_status": "case when status = 'ENABLED' then 'ACTIVE' else 'PAUSED' end",
        },
    ),
}
LEVELS = {"ad": ("campaign_id", "ad_group_id", "ad_id"), "campaign": ("campaign_id",), "account": ()}
BREAKDOWNS = {
    "country": "country",
    "publisher_platform": "network_type",
    "impression_device": "case device when 'MOBILE' then 'android_smartphone' when 'TABLET' then 'ipad'"
    " else 'desktop' end",
}
COMBINATIONS = (
    (),
    ("country",),
    ("impression_device",),
    ("publisher_platform",),
    ("publisher_platform", "impression_device"),
)
ATTRIBUTES = {
    "account_id": "replace(account_id, 'act_', '')",
    "account_name": "any_value(account_name)",
    "account_currency": "any_value(currency)",
    "campaign_id": "campaign_id",
    "campaign_name": "any_value(campaign_name)",
    "adset_id": "ad_group_id",
    "adset_name": "any_value(ad_group_name)",
    "ad_id": "ad_id",
    "ad_name": "any_value(ad_name)",
    "objective": "any_value(objective)",
}
_COUNT = "cast(sum({}) as varchar)"
# An action list: the pixel's own type, and the two that hold it too.
_LIST = """case when sum(conversions) > 0 then list_transform(
    case when any_value(objective) = 'OUTCOME_LEADS'
        then ['offsite_conversion.fb_pixel_lead', 'lead', 'onsite_web_lead']
        else ['offsite_conversion.fb_pixel_purchase', 'purchase', 'omni_purchase'] end,
    lambda kind: {{'action_type': kind, 'value': cast({} as varchar)}}) end"""
FIGURES = {
    "impressions": _COUNT.format("impressions"),
    "clicks": _COUNT.format("clicks + cast(impressions * 0.004 as bigint)"),
    "inline_link_clicks": _COUNT.format("clicks"),
    "spend": "cast(cast(sum(spend_minor) / 100 as decimal(18, 2)) as varchar)",
    "actions": _LIST.format("round(sum(conversions), 6)"),
    "action_values": _LIST.format("cast(sum(conversions_value_minor) / 100 as decimal(18, 2))"),
}
FIELDS = (*ATTRIBUTES, *FIGURES)


def routes(world: World) -> list[Route]:
    """Return the paths of this vendor."""

    async def node(request: Request) -> Response:
        _authenticate(request)
        name = request.path_params["node"]
        if name.startswith("act_"):
            fields = _names(request.query_params.get("fields", "id,account_id"), ACCOUNT_FIELDS)
            row = _account(world, name)
            return answer({field: row[field] for field in fields})
        return answer(_status(world, name))

    async def edge(request: Request) -> Response:
        _authenticate(request)
        name, wanted = request.path_params["node"], request.path_params["edge"]
        params = dict(request.query_params)
        if wanted == "insights" and name.startswith("act_"):
            _account(world, name)
            if request.method == "POST":
                form = {key: values[0] for key, values in parse_qs((await request.body()).decode()).items()}
                return answer({"report_run_id": _run(world, name, form)})
            return _page(request, _insights(world, name, params))
        if wanted == "insights":
            asked = _runs(world).get(name)
            if asked is None:
                raise _missing(name)
            return _page(request, _insights(world, *asked))
        if wanted not in EDGES or not name.startswith("act_"):
            raise _missing(f"{name}/{wanted}")
        return _page(request, _objects(world, name, wanted, params))

    return [
        Route(f"/{VERSION}/{{node}}", node, methods=["GET"]),
        Route(f"/{VERSION}/{{node}}/{{edge}}", edge, methods=["GET", "POST"]),
    ]


def environment(base_url: str) -> dict[str, str]:
    """Return the variables that point the connector at this server."""
    return {
        "SOURCES__META_ADS__BASE_URL": f"{base_url}/meta_ads",
        "SOURCES__META_ADS__ACCESS_TOKEN": ACCESS_TOKEN,
    }


# ------------------------------------------------------------------------------------------------- errors


def _error(
    message: str, code: int, kind: str = "OAuthException", subcode: int | None = None, status: int = 400
) -> Response:
    error: dict[str, Any] = {"message": message, "type": kind, "code": code}
    if subcode is not None:
        error["error_subcode"] = subcode
    return answer({"error": {**error, "fbtrace_id": "A" + digest(message, length=22)}}, status)


def _missing(name: str) -> Refused:
    text = (
        f"Unsupported get request. Object with ID '{name}' does not exist, cannot be loaded due to missing "
        "permissions, or does not support this operation."
    )
    return Refused(_error(text, 100, "GraphMethodException", 33))


def refusal(kind: str, params: Mapping[str, Any]) -> Response:
    """Return the vendor's own answer for a fault."""
    if kind == "rate_limit":
        text = "There have been too many calls to this ad-account. Wait a bit and try again."
        response = _error(text, 80000, subcode=2446079)
        usage = {
            "type": "ads_insights",
            "call_count": 100,
            "total_cputime": 40,
            "total_time": 55,
            "estimated_time_to_regain_access": float(params.get("retry_after", 0)) / 60,
        }
        response.headers["X-Business-Use-Case-Usage"] = json.dumps({"1080": [usage]})
        return response
    if kind == "server_error":
        status = int(params.get("status", 500))
        return _error("An unknown error has occurred.", 2, subcode=1504044, status=status)
    if kind == "expired_token":
        text = "Error validating access token: Session has expired on Friday, 26-Jun-26 03:00:00 PDT."
        return _error(text, 190, subcode=463, status=401)
    if kind == "expired_cursor":
        return _error("(#100) Invalid parameter: after", 100)
    return _error("Unknown path components", 2500, status=404)


def _authenticate(request: Request) -> None:
    token = bearer(request) or request.query_params.get("access_token")
    if token is None:
        text = "An access token is required to request this resource."
        raise Refused(_error(text, 104))
    if token != ACCESS_TOKEN:
        raise Refused(_error("Invalid OAuth access token - Cannot parse access token", 190, status=401))


# ------------------------------------------------------------------------------------------------ objects


def _account(world: World, node: str) -> dict[str, Any]:
    rows = world.rows(
        "select account_id as id, replace(account_id, 'act_', '') as account_id, account_name as name,"
        f" currency, time_zone as timezone_name from ad_accounts where platform = '{PLATFORM}'"
    )
    found = [row for row in rows if row["id"] == node]
    if not found:
        raise _missing(node)
    return found[0]


def _names(text: str, known: Sequence[str]) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise Refused(_error(f"(#100) Tried accessing nonexisting field ({name})", 100))
    return names


def _objects(world: World, node: str, edge: str, params: Mapping[str, str]) -> list[bytes]:
    _account(world, node)
    table, known = EDGES[edge]
    fields = _names(params.get("fields", "id"), tuple(known))
    statuses = _listed(params.get("effective_status", "[]"), "effective_status")
    today = f"cast({world.now_sql} as date)"
    columns = ", ".join(
        f"{name} := {known[name].format(today=today)}" for name in dict.fromkeys(["id", *fields])
    )
    shown = known["effective_status"].format(today=today)
    started = f" and start_date <= {today}" if table == "ad_campaigns" else ""
    wanted = ", ".join(f"'{status}'" for status in statuses if status.isidentifier())
    chosen = f" and ({shown}) in ({wanted})" if statuses else ""
    return world.texts(
        f"select cast(to_json(struct_pack({columns})) as varchar) from {table}"
        f" where platform = '{PLATFORM}' and account_id = '{node}'{started}{chosen}"
        f" order by {known['id']}"
    )


def _listed(text: str, name: str) -> list[str]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise Refused(_error(f"(#100) Param {name} must be an array.", 100))
    return [str(value) for value in found]


def _page(request: Request, records: list[bytes]) -> Response:
    """One page with its cursors; `next` carries the token only where the caller's query did."""
    params = request.query_params
    try:
        limit = int(params.get("limit", 25))
        start = int(base64.urlsafe_b64decode(params["after"])) + 1 if params.get("after") else 0
    except ValueError:
        raise Refused(refusal("expired_cursor", {})) from None
    shown = records[start : start + limit]
    if not shown:
        return answer({"data": []})
    last = start + len(shown) - 1

    def cursor(position: int) -> str:
        return base64.urlsafe_b64encode(str(position).encode()).decode()

    paging: dict[str, Any] = {"cursors": {"before": cursor(start), "after": cursor(last)}}
    if last + 1 < len(records):
        paging["next"] = str(request.url.include_query_params(after=cursor(last)))
    return answer(b'{"data":' + joined(shown) + b',"paging":' + json.dumps(paging).encode() + b"}")


# ----------------------------------------------------------------------------------------------- insights


def _runs(world: World) -> dict[str, tuple[str, dict[str, str]]]:
    """The report runs of the present clock: id -> account and parameters."""
    return world.memo("meta runs", dict)


def _run(world: World, node: str, form: dict[str, str]) -> str:
    _parsed(form)
    run = str(int(digest(node, sorted(form.items()), world.as_of, length=13), 16))
    _runs(world)[run] = (node, form)
    return run


def _status(world: World, run: str) -> dict[str, Any]:
    """A run's state. The first run of a clock takes two looks, all others are ready at once."""
    runs = _runs(world)
    if run not in runs:
        raise _missing(run)
    node, form = runs[run]
    looked: list[str] = world.memo("meta looked at", list)
    is_ready = bool(looked)
    looked.append(run)
    span = _parsed(form)["span"]
    return {
        "id": run,
        "account_id": node.removeprefix("act_"),
        "time_ref": int(world.as_of.timestamp()),
        "async_status": "Job Completed" if is_ready else "Job Running",
        "async_percent_completion": 100 if is_ready else 40,
        "date_start": span[0],
        "date_stop": span[1],
    }


def _parsed(params: Mapping[str, str]) -> dict[str, Any]:
    """The parameters of a report, or the vendor's refusal."""
    fields = _names(params.get("fields", "impressions,spend"), FIELDS)
    level = params.get("level", "account")
    if level not in LEVELS:
        raise Refused(_error(f"(#100) level must be one of the following values: {', '.join(LEVELS)}", 100))
    breakdowns = tuple(name for name in params.get("breakdowns", "").split(",") if name)
    if any(name not in BREAKDOWNS for name in breakdowns):
        raise Refused(_error("(#100) breakdowns must be one of the supported values.", 100))
    if tuple(sorted(breakdowns)) not in {tuple(sorted(allowed)) for allowed in COMBINATIONS}:
        text = f"(#100) Current combination of data breakdown columns ({', '.join(breakdowns)}) is invalid"
        raise Refused(_error(text, 100))
    try:
        span = json.loads(params["time_range"])
        since, until = date.fromisoformat(span["since"]), date.fromisoformat(span["until"])
    except (KeyError, ValueError, TypeError):
        raise Refused(_error("(#100) Must be a time range with since and until.", 100)) from None
    if until < since:
        raise Refused(_error("(#100) until must not lie before since.", 100))
    return {
        "fields": fields,
        "level": level,
        "breakdowns": breakdowns,
        "span": (since.isoformat(), until.isoformat()),
        "daily": params.get("time_increment") == "1",
    }


def _insights(world: World, node: str, params: Mapping[str, str]) -> list[bytes]:
    asked = _parsed(params)
    since = asked["span"][0]
    if date.fromisoformat(since) < world.as_of.date() - HISTORY:
        text = "(#3018) The start date of the time range cannot be beyond 37 months from the current date"
        raise Refused(_error(text, 3018))
    key = ("meta insights", node, json.dumps(asked, sort_keys=True))
    rows = world.memo(key, lambda: _rendered(world, node, asked))
    if len(rows) > REPORT_ROWS:
        raise Refused(_error("Please reduce the amount of data you're asking for", 100, subcode=1487534))
    return rows


def _rendered(world: World, node: str, asked: Mapping[str, Any]) -> list[bytes]:
    _prepare(world)
    since, until = asked["span"]
    groups = {"day": "day", **{name: name for name in ("account_id", *LEVELS[asked["level"]])}}
    if not asked["daily"]:
        groups["day"] = f"'{since}'"
    groups.update({name: BREAKDOWNS[name] for name in asked["breakdowns"]})
    keys = ", ".join(f"{sql} as k_{name}" for name, sql in groups.items())
    known = ATTRIBUTES | FIGURES
    unavailable = {"campaign_id", "ad_group_id", "ad_id"} - set(LEVELS[asked["level"]])
    fields = [name for name in asked["fields"] if known[name] not in unavailable]
    stop = "k_day" if asked["daily"] else f"'{until}'"
    packed = [f"{name} := {known[name]}" for name in fields]
    packed += [f"date_start := k_day, date_stop := {stop}"]
    packed += [f"{name} := k_{name}" for name in asked["breakdowns"]]
    return world.texts(
        # Fields without a value are left out, as the vendor does.
        f"select cast(json_merge_patch('{{}}', to_json(struct_pack({', '.join(packed)}))) as varchar)"
        f" from (select *, {keys} from meta_facts where account_id = '{node}'"
        f" and day between '{since}' and '{until}')"
        f" group by {', '.join(f'k_{name}' for name in groups)}, account_id"
        f"{''.join(f', {name}' for name in LEVELS[asked['level']])}"
        " having sum(impressions) > 0 order by all"
    )


def _prepare(world: World) -> None:
    """Make what the platform shows at the clock: `meta_facts`."""

    def build() -> bool:
        table = world.company.tables["ad_performance"]
        world.sql.register(
            "meta_shown", restated(table.filter(pc.equal(table["platform"], PLATFORM)), world.as_of)
        )
        world.sql.execute(
            "create or replace temp table meta_facts as select strftime(f.date, '%Y-%m-%d') as day,"
            " f.* exclude (date, platform, visible_at), a.account_name, c.campaign_name, c.objective,"
            " g.ad_group_name, d.ad_name from meta_shown f"
            f" join ad_accounts a on a.platform = '{PLATFORM}' and a.account_id = f.account_id"
            f" join ad_campaigns c on c.platform = '{PLATFORM}' and c.campaign_id = f.campaign_id"
            f" join ad_groups g on g.platform = '{PLATFORM}' and g.ad_group_id = f.ad_group_id"
            f" join ads d on d.platform = '{PLATFORM}' and d.ad_group_id = f.ad_group_id"
            " and d.ad_id = f.ad_id"
        )
        return True

    world.memo("meta facts", build)
