"""Mailchimp Marketing API 3.0: audiences and their members, campaigns, reports and the events of every
recipient, but for what the shop mails with a tool of its own.

Lists page by `count` and `offset` with `total_items`; errors are problem documents. Records are rendered by
DuckDB as JSON text, one query an endpoint and clock, because a mailing has a record per recipient.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.servers._answers import Refused, answer, basic, bearer, digest, iso, joined
from sandbox.world import World, parse_instant

DATA_CENTRE = "us21"
API_KEY = f"0123456789abcdef0123456789abcdef-{DATA_CENTRE}"
LISTS = (
    "emails", "sent_to", "members", "unsubscribes", "abuse_reports", "urls_clicked", "reports", "campaigns",
    "lists"
)  # fmt: skip
OWN = "(select list_id from email_lists where mailer = 'business')"  # the shop mails with another tool
PROBLEM = "application/problem+json; charset=utf-8"
DOCS = "https://mailchimp.com/developer/marketing/docs/errors/"


def routes(world: World) -> list[Route]:
    """Return the paths of this vendor."""

    def endpoint(handler: Callable[[Request, World], Response]) -> Callable[[Request], Any]:
        async def run(request: Request) -> Response:
            credentials = basic(request)
            given = bearer(request) if credentials is None else credentials[1]
            if given is None:
                detail = "Your request did not include an API key."
                raise Refused(_problem(401, "API Key Missing", detail))
            if given != API_KEY:
                detail = "Your API key may be invalid, or you've attempted to access the wrong datacenter."
                raise Refused(_problem(401, "API Key Invalid", detail))
            return handler(request, world)

        return run

    paths: list[tuple[str, Callable[[Request, World], Response]]] = [
        ("/3.0", _root),
        ("/3.0/", _root),
        ("/3.0/ping", lambda *_: answer({"health_status": "Everything's Chimpy!"})),
        ("/3.0/lists", _lists),
        ("/3.0/lists/{id}", _list),
        ("/3.0/lists/{id}/members", _members),
        ("/3.0/campaigns", _campaigns),
        ("/3.0/campaigns/{id}", _campaign),
        ("/3.0/reports", _reports),
        ("/3.0/reports/{id}", _report),
        ("/3.0/reports/{id}/email-activity", _activity),
        ("/3.0/reports/{id}/sent-to", _of_campaign("sent_to", _SENT)),
        ("/3.0/reports/{id}/open-details", _of_campaign("members", _OPENS, _open_totals)),
        ("/3.0/reports/{id}/unsubscribed", _of_campaign("unsubscribes", _UNSUBSCRIBED)),
        ("/3.0/reports/{id}/abuse-reports", _of_campaign("abuse_reports", _COMPLAINTS)),
        ("/3.0/reports/{id}/click-details", _of_campaign("urls_clicked", _CLICKS)),
    ]
    return [Route(path, endpoint(handler), methods=["GET"]) for path, handler in paths]


def environment(base_url: str) -> dict[str, str]:
    """Return the variables that point the connector at this server."""
    return {"SOURCES__MAILCHIMP__BASE_URL": f"{base_url}/mailchimp", "SOURCES__MAILCHIMP__API_KEY": API_KEY}


# ------------------------------------------------------------------------------------------------- errors


def _problem(status: int, title: str, detail: str, **more: Any) -> Response:
    body = {
        "type": DOCS,
        "title": title,
        "status": status,
        "detail": detail,
        "instance": str(uuid.uuid4()),
        **more,
    }
    return answer(body, status, media_type=PROBLEM)


def _invalid(name: str, message: str) -> Refused:
    errors = [{"field": name, "message": message}]
    detail = (
        "The resource submitted could not be validated. For field-specific details, see the 'errors' array."
    )
    return Refused(_problem(400, "Invalid Resource", detail, errors=errors))


def refusal(kind: str, params: Mapping[str, Any]) -> Response:
    """Return the vendor's own answer for a fault (the vendor sends no Retry-After of its own)."""
    if kind == "rate_limit":
        if params.get("bodiless"):  # at high volume the vendor's front refuses without a document
            return Response(b"", 429)
        detail = "You have exceeded the limit of 10 simultaneous connections."
        response = _problem(429, "Too Many Requests", detail)
        if "retry_after" in params:
            response.headers["Retry-After"] = str(params["retry_after"])
        return response
    if kind == "server_error":
        status = int(params.get("status", 500))
        return _problem(status, "Internal Server Error", "An unexpected internal error has occurred.")
    if kind == "expired_token":
        return _problem(
            401,
            "API Key Invalid",
            "Your API key may be invalid, or you've attempted to access the wrong datacenter.",
        )
    if kind == "expired_cursor":
        return _invalid("offset", "The offset is no longer valid.").response
    return _problem(404, "Resource Not Found", "The requested resource could not be found.")


# ------------------------------------------------------------------------------------------------- paging


def _whole(request: Request, name: str, default: int, highest: int | None = None) -> int:
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not text.isdigit():
        raise _invalid(name, "This value should be a non-negative integer.")
    value = int(text)
    if highest is not None and value > highest:
        raise _invalid(name, f"This value should be {highest} or less.")
    return value


def _moment(request: Request, name: str) -> datetime | None:
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        return parse_instant(text.replace(" ", "+")).replace(tzinfo=None)
    except ValueError:
        raise _invalid(name, "This value is not a valid datetime.") from None


def _page(request: Request, key: str, records: Sequence[bytes], **more: Any) -> Response:
    """Return one page of already rendered records, reduced to `fields` or by `exclude_fields` where asked."""
    count, offset = _whole(request, "count", 10, 1000), _whole(request, "offset", 0)
    head = b'{"' + key.encode() + b'":' + joined(records[offset : offset + count]) + b","
    body = head + orjson.dumps({**more, "total_items": len(records), "_links": []})[1:]
    return answer(_reduced(request, body))


def _reduced(request: Request, body: bytes) -> bytes:
    fields = [name for name in request.query_params.get("fields", "").split(",") if name]
    excluded = [name for name in request.query_params.get("exclude_fields", "").split(",") if name]
    if not fields and not excluded:
        return body
    document = orjson.loads(body)
    if fields:
        document = _keep(document, fields)
    for name in excluded:
        _drop(document, name.split("."))
    return orjson.dumps(document)


def _keep(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):
        return [_keep(part, names) for part in value]
    if not isinstance(value, dict):
        return value
    below: dict[str, list[str]] = defaultdict(list)
    for name in names:
        first, _, rest = name.partition(".")
        below[first] += [rest] if rest else []
    whole = {name for name in names if "." not in name}
    return {
        key: part if key in whole else _keep(part, below[key]) for key, part in value.items() if key in below
    }


def _drop(value: Any, path: list[str]) -> None:
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, dict):
            if len(path) == 1:
                part.pop(path[0], None)
            elif path[0] in part:
                _drop(part[path[0]], path[1:])


# ------------------------------------------------------------------------------------------ SQL of records

_TIME = "strftime({}, '%Y-%m-%dT%H:%M:%S+00:00')"
_MERGE = """',"merge_fields":{"FNAME":', to_json(coalesce(m.first_name, '')), ',"LNAME":',
    to_json(coalesce(m.last_name, '')), '},"vip":false'"""
_WHO = """'"email_id":"', e.member_id, '","email_address":', to_json(any_value(e.email))"""
_WHERE = (
    """'"campaign_id":"', e.campaign_id, '","list_id":"', any_value(e.list_id), '","list_is_active":true'"""
)
_PERSON = """',"merge_fields":{"FNAME":', to_json(coalesce(any_value(m.first_name), '')), ',"LNAME":',
    to_json(coalesce(any_value(m.last_name), '')), '},"vip":false'"""
_FROM = (
    "from mailchimp_events e left join email_members m on m.list_id = e.list_id and m.member_id = e.member_id"
)
_ACTION = f"""concat('{{"action":"', case e.event_type when 'opened' then 'open' when 'clicked' then 'click'
    else 'bounce' end, '","timestamp":"', {_TIME.format("e.occurred_at")}, '"', ',"url":' || to_json(e.url),
    ',"type":' || to_json(e.bounce_type), ',"ip":' || to_json(e.ip), '}}')"""
_ACTIVITY = f"""select e.campaign_id, concat('{{', {_WHERE}, ',', {_WHO}, ',"activity":[',
    string_agg({_ACTION}, ',' order by e.occurred_at, e.event_id), '],"_links":[]}}') as record
    from mailchimp_events e where e.event_type in ('opened', 'clicked', 'bounced') {{more}}
    group by e.campaign_id, e.member_id order by e.campaign_id, e.member_id"""
_SENT = f"""select e.campaign_id, concat('{{', {_WHO}, {_PERSON}, ',"status":"',
    coalesce(max(e.bounce_type) filter (e.event_type = 'bounced'), 'sent'), '","open_count":',
    count(*) filter (e.event_type = 'opened'),
    ',"last_open":"' || {_TIME.format("max(e.occurred_at) filter (e.event_type = 'opened')")} || '"',
    ',', {_WHERE}, ',"_links":[]}}') as record {_FROM}
    group by e.campaign_id, e.member_id having bool_or(e.event_type = 'sent') order by e.campaign_id,
    e.member_id"""
_OPENS = f"""select e.campaign_id, concat('{{', {_WHERE}, ',"contact_status":"',
    case when bool_or(m.cleaned_at <= {{now}}) then 'cleaned' when bool_or(m.unsubscribed_at <= {{now}})
    then 'unsubscribed' else 'subscribed' end, '",', {_WHO}, {_PERSON}, ',"opens_count":', count(*),
    ',"proxy_excluded_opens_count":', count(*) filter (not coalesce(e.is_machine_open, false)), ',"opens":[',
    string_agg(concat('{{"timestamp":"', {_TIME.format("e.occurred_at")}, '","is_proxy_open":',
    coalesce(e.is_machine_open, false), '}}'), ',' order by e.occurred_at, e.event_id), '],"_links":[]}}')
    as record
    {_FROM} where e.event_type = 'opened'
    group by e.campaign_id, e.member_id order by e.campaign_id, e.member_id"""
_UNSUBSCRIBED = f"""select e.campaign_id, concat('{{', {_WHO}, {_PERSON}, ',"timestamp":"',
    {_TIME.format("min(e.occurred_at)")}, '","reason":"None given",', {_WHERE}, ',"_links":[]}}') as record
    {_FROM} where e.event_type = 'unsubscribed'
    group by e.campaign_id, e.member_id order by e.campaign_id, e.member_id"""
_COMPLAINTS = f"""select e.campaign_id, concat('{{"id":', hash(min(e.event_id)) % 1000000000, ',', {_WHERE},
    ',', {_WHO},
    {_PERSON}, ',"date":"', {_TIME.format("min(e.occurred_at)")}, '","_links":[]}}') as record
    {_FROM} where e.event_type = 'complained'
    group by e.campaign_id, e.member_id order by e.campaign_id, e.member_id"""
_CLICKS = f"""select e.campaign_id, concat('{{"id":"', left(md5(e.url), 10), '","url":', to_json(e.url),
    ',"total_clicks":',
    count(*), ',"click_percentage":', round(count(*) / sum(count(*)) over (partition by e.campaign_id), 6),
    ',"unique_clicks":', count(distinct e.member_id), ',"unique_click_percentage":',
    round(count(distinct e.member_id) / sum(count(distinct e.member_id)) over (partition by e.campaign_id),
    6),
    ',"last_click":"', {_TIME.format("max(e.occurred_at)")}, '","campaign_id":"', e.campaign_id,
    '","_links":[]}}') as record
    from mailchimp_events e where e.event_type = 'clicked'
    group by e.campaign_id, e.url order by e.campaign_id, e.url"""


def _prepare(world: World) -> None:
    """Make `mailchimp_events`: the recipient events that have arrived by the clock."""

    def build() -> bool:
        world.sql.execute(
            "create or replace temp table mailchimp_events as select * from email_events"
            f" where visible_at <= {world.now_sql} and list_id in {OWN} order by campaign_id, member_id"
        )
        return True

    world.memo("mailchimp events", build)


def _grouped(world: World, query: str) -> dict[str, list[bytes]]:
    _prepare(world)
    table = world.arrow(query.replace("{now}", world.now_sql))
    found: dict[str, list[bytes]] = defaultdict(list)
    for campaign, record in zip(table.column(0).to_pylist(), table.column(1).to_pylist(), strict=True):
        found[campaign].append(record.encode())
    return found


def _sent_campaign(request: Request, world: World) -> dict[str, Any]:
    """Return the campaign of the path, refusing one that was not sent by the clock."""
    campaign = _all_campaigns(world).get(request.path_params["id"])
    if campaign is None or campaign["status"] != "sent":
        raise Refused(refusal("not_found", {}))
    return campaign


def _of_campaign(
    key: str, query: str, totals: Callable[[World, str], dict[str, Any]] | None = None
) -> Callable[[Request, World], Response]:
    def run(request: Request, world: World) -> Response:
        campaign = _sent_campaign(request, world)["id"]
        records = world.memo(("mailchimp", key), lambda: _grouped(world, query)).get(campaign, [])
        more = totals(world, campaign) if totals else {}
        return _page(request, key, records, campaign_id=campaign, **more)

    return run


def _open_totals(world: World, campaign: str) -> dict[str, Any]:
    counts = _counts(world).get(campaign, {})
    return {
        "total_opens": counts.get("opens", 0),
        "total_proxy_excluded_opens": counts.get("human_opens", 0),
    }


def _activity(request: Request, world: World) -> Response:
    campaign = _sent_campaign(request, world)["id"]
    since = _moment(request, "since")
    if since is None:
        records = world.memo(
            "mailchimp activity", lambda: _grouped(world, _ACTIVITY.replace("{more}", ""))
        ).get(campaign, [])
    else:
        more = f"and e.campaign_id = '{campaign}' and e.occurred_at > timestamp '{since.isoformat(sep=' ')}'"
        key = ("mailchimp activity", campaign, since)
        records = world.memo(key, lambda: _grouped(world, _ACTIVITY.replace("{more}", more))).get(
            campaign, []
        )
    return _page(request, "emails", records, campaign_id=campaign)


# ------------------------------------------------------------------------------- audiences, mailings, reports


def _stamp(moment: datetime | None) -> str:
    return iso(moment, "seconds", "+00:00") or ""


def _counts(world: World) -> dict[str, dict[str, Any]]:
    """Return the figures of every campaign's report."""
    query = """select campaign_id, count(*) filter (event_type = 'sent') as sent,
        count(*) filter (event_type = 'bounced' and bounce_type = 'hard') as hard,
        count(*) filter (event_type = 'bounced' and bounce_type = 'soft') as soft,
        count(*) filter (event_type = 'opened') as opens,
        count(*) filter (event_type = 'opened' and not coalesce(is_machine_open, false)) as human_opens,
        count(distinct member_id) filter (event_type = 'opened') as openers,
        count(distinct member_id) filter (event_type = 'opened' and not coalesce(is_machine_open, false))
        as human_openers,
        max(occurred_at) filter (event_type = 'opened') as last_open,
        count(*) filter (event_type = 'clicked') as clicks,
        count(distinct member_id) filter (event_type = 'clicked') as clickers,
        count(distinct (member_id, url)) filter (event_type = 'clicked') as unique_clicks,
        max(occurred_at) filter (event_type = 'clicked') as last_click,
        count(distinct member_id) filter (event_type = 'unsubscribed') as unsubscribed,
        count(distinct member_id) filter (event_type = 'complained') as complained
        from mailchimp_events group by campaign_id"""
    _prepare(world)
    return world.memo("mailchimp counts", lambda: {row["campaign_id"]: row for row in world.rows(query)})


def _list_names(world: World) -> dict[str, str]:
    return world.keep(
        "mailchimp lists", lambda: {r["list_id"]: r["name"] for r in world.rows("select * from email_lists")}
    )


def _all_campaigns(world: World) -> dict[str, dict[str, Any]]:
    def build() -> dict[str, dict[str, Any]]:
        counts, names = _counts(world), _list_names(world)
        found: dict[str, dict[str, Any]] = {}
        for row in world.rows(
            f"select * from email_campaigns where created_at <= {world.now_sql} and list_id in {OWN}"
            " order by sent_at"
        ):
            sent = row["sent_at"] is not None and row["sent_at"] <= world.as_of.replace(tzinfo=None)
            count = counts.get(row["campaign_id"], {})
            campaign: dict[str, Any] = {
                "id": row["campaign_id"],
                "web_id": int(row["campaign_id"][:7], 16),
                "type": "regular",
                "create_time": _stamp(row["created_at"]),
                "status": "sent" if sent else "save",
                "emails_sent": count.get("sent", 0),
                "content_type": "template",
                "recipients": {
                    "list_id": row["list_id"],
                    "list_is_active": True,
                    "list_name": names.get(row["list_id"], ""),
                    "segment_text": "",
                    "recipient_count": count.get("sent", 0),
                },
                "settings": {
                    "subject_line": row["subject_line"],
                    "title": row["title"],
                    "from_name": row["from_name"],
                    "reply_to": "hello@fjordlight.example",
                    "use_conversation": False,
                    "to_name": "*|FNAME|*",
                },
                "tracking": {
                    "opens": True,
                    "html_clicks": True,
                    "text_clicks": False,
                    "google_analytics": row["utm_campaign"] or "",
                },
                "_links": [],
            }
            if sent:
                campaign["send_time"] = _stamp(row["sent_at"])
                campaign["report_summary"] = {
                    "opens": count.get("opens", 0),
                    "unique_opens": count.get("openers", 0),
                    "open_rate": _share(count.get("openers", 0), count),
                    "clicks": count.get("clicks", 0),
                    "subscriber_clicks": count.get("clickers", 0),
                    "click_rate": _share(count.get("clickers", 0), count),
                }
            found[row["campaign_id"]] = campaign
        return found

    return world.memo("mailchimp campaigns", build)


def _share(part: int, count: Mapping[str, Any]) -> float:
    delivered = count.get("sent", 0) - count.get("hard", 0) - count.get("soft", 0)
    return round(part / delivered, 6) if delivered > 0 else 0.0


def _campaigns(request: Request, world: World) -> Response:
    query = request.query_params
    campaigns = list(_all_campaigns(world).values())
    for name in ("status", "type"):
        if query.get(name):
            campaigns = [c for c in campaigns if c[name] == query[name]]
    if query.get("list_id"):
        campaigns = [c for c in campaigns if c["recipients"]["list_id"] == query["list_id"]]
    campaigns = _between(request, campaigns, "send_time", "since_send_time", "before_send_time")
    campaigns = _between(request, campaigns, "create_time", "since_create_time", "before_create_time")
    if query.get("sort_field") in ("create_time", "send_time"):
        field = query["sort_field"]
        campaigns.sort(key=lambda c: c.get(field, ""), reverse=query.get("sort_dir", "ASC").upper() == "DESC")
    return _page(request, "campaigns", [orjson.dumps(campaign) for campaign in campaigns])


def _between(request: Request, records: list[Any], name: str, since: str, before: str) -> list[Any]:
    low, high = _moment(request, since), _moment(request, before)
    if low is not None:
        records = [r for r in records if r.get(name, "") >= _stamp(low)]
    if high is not None:
        records = [r for r in records if r.get(name) and r[name] < _stamp(high)]
    return records


def _campaign(request: Request, world: World) -> Response:
    campaign = _all_campaigns(world).get(request.path_params["id"])
    if campaign is None:
        raise Refused(refusal("not_found", {}))
    return answer(_reduced(request, orjson.dumps(campaign)))


def _types(world: World) -> dict[str, str]:
    """Return what a report calls each campaign; the list of campaigns calls an automation's e-mail
    regular."""
    return {
        row["campaign_id"]: row["type"] for row in world.rows("select campaign_id, type from email_campaigns")
    }


def _shown_report(campaign: Mapping[str, Any], world: World) -> dict[str, Any]:
    count = _counts(world).get(campaign["id"], {})
    recipients, settings = campaign["recipients"], campaign["settings"]
    return {
        "id": campaign["id"],
        "campaign_title": settings["title"],
        "type": world.keep("mailchimp types", lambda: _types(world))[campaign["id"]],
        "list_id": recipients["list_id"],
        "list_is_active": True,
        "list_name": recipients["list_name"],
        "subject_line": settings["subject_line"],
        "preview_text": "",
        "emails_sent": count.get("sent", 0),
        "abuse_reports": count.get("complained", 0),
        "unsubscribed": count.get("unsubscribed", 0),
        "send_time": campaign["send_time"],
        "bounces": {
            "hard_bounces": count.get("hard", 0),
            "soft_bounces": count.get("soft", 0),
            "syntax_errors": 0,
        },
        "forwards": {"forwards_count": 0, "forwards_opens": 0},
        "opens": {
            "opens_total": count.get("opens", 0),
            "proxy_excluded_opens": count.get("human_opens", 0),
            "unique_opens": count.get("openers", 0),
            "proxy_excluded_unique_opens": count.get("human_openers", 0),
            "open_rate": _share(count.get("openers", 0), count),
            "last_open": _stamp(count.get("last_open")),
        },
        "clicks": {
            "clicks_total": count.get("clicks", 0),
            "unique_clicks": count.get("unique_clicks", 0),
            "unique_subscriber_clicks": count.get("clickers", 0),
            "click_rate": _share(count.get("clickers", 0), count),
            "last_click": _stamp(count.get("last_click")),
        },
        "_links": [],
    }


def _all_reports(world: World) -> list[dict[str, Any]]:
    campaigns = (c for c in _all_campaigns(world).values() if c["status"] == "sent")
    return world.memo("mailchimp reports", lambda: [_shown_report(campaign, world) for campaign in campaigns])


def _reports(request: Request, world: World) -> Response:
    reports = _between(request, _all_reports(world), "send_time", "since_send_time", "before_send_time")
    if request.query_params.get("type"):
        reports = [r for r in reports if r["type"] == request.query_params["type"]]
    return _page(request, "reports", [orjson.dumps(report) for report in reports])


def _report(request: Request, world: World) -> Response:
    campaign = _sent_campaign(request, world)
    return answer(_reduced(request, orjson.dumps(_shown_report(campaign, world))))


def _shown_list(row: Mapping[str, Any], world: World) -> dict[str, Any]:
    now = world.now_sql
    counts = world.rows(
        f"""select count(*) filter (cleaned_at <= {now}) as cleaned,
        count(*) filter (unsubscribed_at <= {now} and not coalesce(cleaned_at <= {now}, false))
        as unsubscribed,
        count(*) as total from email_members where list_id = '{row["list_id"]}' and subscribed_at <= {now}"""
    )[0]
    return {
        "id": row["list_id"],
        "web_id": int(row["list_id"][:7], 16),
        "name": row["name"],
        "permission_reminder": "You asked for our letters on our site.",
        "use_archive_bar": True,
        "date_created": _stamp(row["created_at"]),
        "list_rating": 4,
        "email_type_option": False,
        "double_optin": False,
        "has_welcome": False,
        "marketing_permissions": False,
        "visibility": "prv",
        "stats": {
            "member_count": counts["total"] - counts["cleaned"] - counts["unsubscribed"],
            "total_contacts": counts["total"],
            "unsubscribe_count": counts["unsubscribed"],
            "cleaned_count": counts["cleaned"],
            "campaign_count": sum(
                c["recipients"]["list_id"] == row["list_id"] for c in _all_campaigns(world).values()
            ),
        },
        "_links": [],
    }


def _all_lists(world: World) -> dict[str, dict[str, Any]]:
    query = (
        f"select * from email_lists where created_at <= {world.now_sql} and list_id in {OWN} order by list_id"
    )
    return world.memo(
        "mailchimp all lists", lambda: {r["list_id"]: _shown_list(r, world) for r in world.rows(query)}
    )


def _lists(request: Request, world: World) -> Response:
    records = [orjson.dumps(shown) for shown in _all_lists(world).values()]
    constraints = {"may_create": False, "max_instances": 5, "current_total_instances": len(records)}
    return _page(request, "lists", records, constraints=constraints)


def _list(request: Request, world: World) -> Response:
    shown = _all_lists(world).get(request.path_params["id"])
    if shown is None:
        raise Refused(refusal("not_found", {}))
    return answer(_reduced(request, orjson.dumps(shown)))


_STATUS = """case when m.cleaned_at <= {now} then 'cleaned' when m.unsubscribed_at <= {now}
    then 'unsubscribed'
    else 'subscribed' end"""
_CHANGED = """greatest(m.subscribed_at, case when m.cleaned_at <= {now} then m.cleaned_at end,
    case when m.unsubscribed_at <= {now} then m.unsubscribed_at end)"""
_MEMBER = f"""select concat('{{"id":"', m.member_id, '","email_address":', to_json(m.email),
    ',"unique_email_id":"',
    m.unique_email_id, '","contact_id":"', md5(m.list_id || m.member_id), '","full_name":',
    to_json(trim(concat(m.first_name, ' ', m.last_name))), ',"web_id":', ('0x' || left(m.member_id,
    7))::bigint,
    ',"email_type":"html","status":"', status, '"', {_MERGE},
    case when status = 'unsubscribed' then ',"unsubscribe_reason":"N/A (Unsubscribed by the member)"' end,
    ',"stats":{{"avg_open_rate":0,"avg_click_rate":0}},"ip_signup":"","timestamp_signup":"',
    {_TIME.format("m.subscribed_at")}, '","ip_opt":"","timestamp_opt":"', {_TIME.format("m.subscribed_at")},
    '","member_rating":2,"last_changed":"', {_TIME.format("changed")}, '","language":',
    to_json(coalesce(m.language, '')),
    ',"email_client":"","location":{{"latitude":0,"longitude":0,"gmtoff":0,"dstoff":0,"country_code":',
    to_json(coalesce(m.country, '')), ',"timezone":"","region":""}},"source":', to_json(coalesce(m.source,
    '')),
    ',"tags_count":0,"tags":[],"list_id":"', m.list_id, '","_links":[]}}') as record
    from (select *, {_STATUS} as status, {_CHANGED} as changed from email_members m
    where m.subscribed_at <= {{now}}) m
    where {{where}} order by m.subscribed_at, m.member_id"""


def _members(request: Request, world: World) -> Response:
    list_id = request.path_params["id"]
    if list_id not in _all_lists(world):
        raise Refused(refusal("not_found", {}))
    where = [f"m.list_id = '{list_id}'"]
    status = request.query_params.get("status")
    if status:
        known = ("subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived")
        if status not in known:
            raise _invalid("status", f"Value must be one of: {', '.join(known)}.")
        where.append(f"m.status = '{status}'")
    for name, test in (
        ("since_last_changed", "m.changed >= "), ("before_last_changed", "m.changed < "),
        ("since_timestamp_opt", "m.subscribed_at >= "), ("before_timestamp_opt", "m.subscribed_at < "),
    ):  # fmt: skip
        moment = _moment(request, name)
        if moment is not None:
            where.append(f"{test} timestamp '{moment.isoformat(sep=' ')}'")
    query = _MEMBER.replace("{where}", " and ".join(where)).replace("{now}", world.now_sql)
    records = world.memo(("mailchimp members", tuple(where)), lambda: world.texts(query))
    return _page(request, "members", records, list_id=list_id)


def _root(_: Request, __: World) -> Response:
    return answer(
        {
            "account_id": digest("fjordlight", length=26),
            "login_id": "1",
            "account_name": "Fjordlight",
            "email": "hello@fjordlight.example",
            "role": "owner",
            "member_since": "2024-01-15T09:00:00+00:00",
            "pricing_plan_type": "monthly",
            "account_timezone": "Europe/Amsterdam",
            "total_subscribers": 0,
            "_links": [],
        }
    )
