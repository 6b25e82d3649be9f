"""Klaviyo's API: metrics, campaigns with their messages, flows, profiles and events, as JSON:API documents.

Pages follow `links.next`, whose cursor nobody is to look into; fields are asked for by sparse fieldsets, and
each path has a limit of its own per second and per minute, which is really counted here. What belongs to the
shop is here: its campaigns, and its automations as flows.

Mail that was received is an event of its own; what bounced has none. Consent is told by two further metrics.
"""

from __future__ import annotations

import base64
import re
import time
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.servers._answers import Refused, answer, digest, iso, joined
from sandbox.world import World, parse_instant

API_KEY = "pk_0123456789abcdef0123456789abcdef01"
LISTS = ("data",)
MEDIA = "application/vnd.api+json"
HOME = "https://a.klaviyo.com/api"
MAILER = "shop"
METRICS = (
    ("Received Email", "Klaviyo"),
    ("Bounced Email", "Klaviyo"),
    ("Opened Email", "Klaviyo"),
    ("Clicked Email", "Klaviyo"),
    ("Marked Email as Spam", "Klaviyo"),
    ("Subscribed to Email Marketing", "Klaviyo"),
    ("Unsubscribed from Email Marketing", "Klaviyo"),
    ("Dropped Email", "Klaviyo"),
    ("Placed Order", "Shopify"),
    ("Active on Site", "API"),
)
EVENT_FIELDS = ("datetime", "event_properties", "timestamp", "uuid")
_COMPARED = ("greater-than", "greater-or-equal", "less-than", "less-or-equal")
_TERM = re.compile(r"\s*([a-z-]+)\(([\w.]+),(\"[^\"]*\"|'[^']*'|\[[^\]]*\]|[^()]*)\)\s*(?:,|$)")


@dataclass(frozen=True)
class Path:
    """What a collection allows: calls per second and minute, page sizes, filters, sorting, fields."""

    burst: int
    steady: int
    fields: Mapping[str, tuple[str, ...]]
    size: int = 0
    most: int = 0
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sorts: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    more: tuple[str, ...] = ()


PATHS = {
    "metrics": Path(
        10,
        150,
        {"metric": ("created", "id", "integration", "name", "updated")},
        filters={"integration.name": ("equals",), "integration.category": ("equals",)},
    ),
    "campaigns": Path(
        10,
        150,
        {
            "campaign": (
                "archived",
                "audiences",
                "created_at",
                "id",
                "name",
                "scheduled_at",
                "send_options",
                "send_strategy",
                "send_time",
                "status",
                "tracking_options",
                "updated_at",
            ),
            "campaign-message": (
                "created_at",
                "definition",
                "definition.channel",
                "definition.content",
                "definition.content.from_label",
                "definition.content.subject",
                "definition.label",
                "id",
                "send_times",
                "updated_at",
            ),
        },
        size=100,
        most=100,
        filters={"messages.channel": ("equals",), "status": ("equals",), "archived": ("equals",)},
        include=("campaign-messages",),
        sorts=("created_at", "id", "name", "updated_at"),
    ),
    "flows": Path(
        3,
        60,
        {"flow": ("archived", "created", "id", "name", "status", "trigger_type", "updated")},
        size=50,
        most=50,
        filters={"status": ("equals",), "archived": ("equals",), "trigger_type": ("equals",)},
        sorts=("created", "id", "name", "updated"),
    ),
    "profiles": Path(
        75,
        750,
        {
            "profile": (
                "created",
                "email",
                "external_id",
                "first_name",
                "id",
                "last_event_date",
                "last_name",
                "locale",
                "location",
                "location.country",
                "properties",
                "subscriptions",
                "subscriptions.email",
                "subscriptions.email.marketing",
                "subscriptions.email.marketing.can_receive_email_marketing",
                "subscriptions.email.marketing.consent",
                "subscriptions.email.marketing.consent_timestamp",
                "subscriptions.email.marketing.suppression",
                "updated",
            )
        },
        size=20,
        most=100,
        filters={
            "id": ("equals",),
            "email": ("equals",),
            "created": ("greater-than", "less-than"),
            "updated": ("greater-than", "less-than"),
        },
        sorts=("created", "email", "id", "updated"),
        more=("subscriptions",),
    ),
    "events": Path(
        350,
        3500,
        {"event": (*EVENT_FIELDS, "id"), "metric": ("created", "id", "integration", "name", "updated")},
        size=200,
        most=1000,
        filters={
            "metric_id": ("equals",),
            "profile_id": ("equals",),
            "datetime": _COMPARED,
            "timestamp": _COMPARED,
        },
        include=("metric",),
        sorts=("datetime", "timestamp"),
    ),
}


def routes(world: World) -> list[Route]:
    """Return the paths of this vendor."""
    handlers: dict[str, Callable[[Asked, World], Response]] = {
        "metrics": lambda asked, world: _listed(asked, _metrics(world)),
        "campaigns": _campaigns,
        "flows": lambda asked, world: _listed(asked, _flows(world)),
        "profiles": lambda asked, world: _listed(asked, _profiles(world)),
        "events": _events,
    }

    def endpoint(name: str) -> Callable[[Request], Any]:
        async def run(request: Request) -> Response:
            _authenticate(request)
            state = _count(world, name)
            response = handlers[name](Asked.of(request, name), world)
            response.headers.update(state)
            return response

        return run

    return [
        Route(f"/api/{name}{slash}", endpoint(name), methods=["GET"]) for name in PATHS for slash in ("", "/")
    ]


def environment(base_url: str) -> dict[str, str]:
    """Return the variables that point the connector at this server."""
    return {"SOURCES__KLAVIYO__BASE_URL": f"{base_url}/klaviyo", "SOURCES__KLAVIYO__API_KEY": API_KEY}


# ------------------------------------------------------------------------------------------------- errors


def _error(status: int, code: str, title: str, detail: str, source: Mapping[str, str]) -> Response:
    error = {
        "id": digest(code, detail, length=32),
        "status": status,
        "code": code,
        "title": title,
        "detail": detail,
        "source": dict(source),
    }
    return answer({"errors": [error]}, status, media_type=MEDIA)


def _invalid(parameter: str, detail: str) -> Refused:
    return Refused(_error(400, "invalid", "Invalid input.", detail, {"parameter": parameter}))


def refusal(kind: str, params: Mapping[str, Any]) -> Response:
    """Return the vendor's own answer for a fault."""
    pointer = {"pointer": "/data/"}
    if kind == "rate_limit":
        wait = params.get("retry_after", 1)
        text = f"Request was throttled. Expected available in {wait} seconds."
        response = _error(429, "throttled", "Request was throttled.", text, pointer)
        response.headers["Retry-After"] = str(wait)
        return response
    if kind == "server_error":
        status = int(params.get("status", 500))
        return _error(
            status, "error", "A server error occurred.", "Something went wrong on our side.", pointer
        )
    if kind == "expired_token":
        title = "Incorrect authentication credentials."
        return _error(401, "authentication_failed", title, title, pointer)
    if kind == "expired_cursor":
        return _invalid("page[cursor]", "The page cursor is invalid.").response
    return _error(404, "not_found", "Not found.", "A resource with this path does not exist.", pointer)


def _authenticate(request: Request) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme != "Klaviyo-API-Key" or not key:
        title = "Authentication credentials were not provided."
        detail = "Missing or invalid authorization scheme. Please use Klaviyo-API-Key."
        raise Refused(_error(401, "not_authenticated", title, detail, {"pointer": "/data/"}))
    if key != API_KEY:
        raise Refused(refusal("expired_token", {}))
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}(\.\w+)?", request.headers.get("revision", "")):
        detail = "A revision header in the format YYYY-MM-DD[.suffix] is required."
        raise Refused(_error(400, "invalid", "Invalid input.", detail, {"parameter": "revision"}))


def _count(world: World, name: str) -> dict[str, str]:
    """Count a call against the path's two limits. Returns the headers that tell of them."""
    path, now = PATHS[name], time.monotonic()
    calls: deque[float] = world.keep(("klaviyo calls", name), lambda: deque[float]())
    with world.lock:
        while calls and now - calls[0] > 60:
            calls.popleft()
        recent = [at for at in calls if now - at < 1]
        for made, most, seconds in ((recent, path.burst, 1), (calls, path.steady, 60)):
            if len(made) >= most:
                wait = max(1, round(seconds - (now - made[0]) + 0.5))
                raise Refused(refusal("rate_limit", {"retry_after": wait}))
        calls.append(now)
    return {
        "RateLimit-Limit": f"{path.burst}, {path.burst};w=1, {path.steady};w=60",
        "RateLimit-Remaining": str(path.burst - len(recent) - 1),
        "RateLimit-Reset": "1",
    }


# ------------------------------------------------------------------------------------------------ queries


@dataclass(frozen=True)
class Asked:
    """A request that the path allows: its filters, page, sorting and fields."""

    request: Request
    path: Path
    filters: list[tuple[str, str, str]]
    size: int
    position: int
    sort: str
    include: bool
    more: bool
    fields: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, request: Request, name: str) -> Asked:
        """Read the parameters, refusing what the vendor would refuse."""
        path, query = PATHS[name], request.query_params
        known = {"filter", "page[cursor]", *(f"fields[{kind}]" for kind in path.fields)}
        known |= {"page[size]"} if path.size else set()
        known |= {"sort"} if path.sorts else set()
        known |= {"include"} if path.include else set()
        known |= {"additional-fields[profile]"} if path.more else set()
        for parameter in query:
            if parameter not in known:
                raise _invalid(parameter, f"'{parameter}' is not a valid query parameter.")
        fields = {}
        for kind, allowed in path.fields.items():
            if f"fields[{kind}]" in query:
                fields[kind] = _chosen(query[f"fields[{kind}]"], allowed, f"fields[{kind}]")
        size = query.get("page[size]", str(path.size or 200))
        if not size.isdigit() or not 1 <= int(size) <= (path.most or 200):
            raise _invalid("page[size]", f"Page size must be an integer between 1 and {path.most}.")
        sort = query.get("sort", path.sorts[0] if path.sorts else "")
        if sort and sort.removeprefix("-") not in path.sorts:
            raise _invalid("sort", f"'{sort}' is not a valid field for sorting.")
        return cls(
            request,
            path,
            _filters(query.get("filter", ""), path.filters),
            int(size),
            _position(query.get("page[cursor]")),
            sort,
            bool(_chosen(query.get("include", ""), path.include, "include")),
            bool(
                _chosen(query.get("additional-fields[profile]", ""), path.more, "additional-fields[profile]")
            ),
            fields,
        )

    def value(self, name: str) -> str | None:
        """The value that a filter wants a field to equal."""
        return next(
            (value for operator, of, value in self.filters if (operator, of) == ("equals", name)), None
        )

    def page(self, records: Sequence[bytes], included: Sequence[bytes] = ()) -> Response:
        """One page of rendered records."""
        shown = records[self.position : self.position + self.size]
        links = {"self": str(self.request.url)}
        for name, start in (("next", self.position + self.size), ("prev", self.position - self.size)):
            if 0 <= start < len(records):
                cursor = base64.urlsafe_b64encode(f"bq:{start}".encode()).decode()
                links[name] = str(self.request.url.include_query_params(**{"page[cursor]": cursor}))
        body = b'{"data":' + joined(shown)
        if self.include:
            body += b',"included":' + joined(included)
        return answer(body + b',"links":' + orjson.dumps(links) + b"}", media_type=MEDIA)


def _chosen(text: str, allowed: Sequence[str], parameter: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in allowed:
            raise _invalid(parameter, f"'{name}' is not a valid value. Valid: {', '.join(allowed)}.")
    return names


def _position(cursor: str | None) -> int:
    if not cursor:
        return 0
    try:
        mark, _, start = base64.urlsafe_b64decode(cursor).decode().partition(":")
        if mark == "bq":
            return int(start)
    except ValueError:
        pass
    raise Refused(refusal("expired_cursor", {}))


def _filters(text: str, allowed: Mapping[str, Sequence[str]]) -> list[tuple[str, str, str]]:
    """The terms of a filter: operator, field, value."""
    rest = text.strip()
    if rest.startswith("and(") and rest.endswith(")"):
        rest = rest[4:-1]
    terms = []
    while rest:
        found = _TERM.match(rest)
        if not found:
            raise _invalid("filter", f"The filter '{text}' cannot be parsed.")
        operator, name, value = found.groups()
        if operator not in allowed.get(name, ()):
            raise _invalid("filter", f"'{operator}' on '{name}' is not supported.")
        terms.append((operator, name, value.strip("\"'")))
        rest = rest[found.end() :]
    return terms


def _moment(text: str) -> datetime:
    try:
        return parse_instant(text.replace(" ", "+"))
    except ValueError:
        raise _invalid("filter", f"'{text}' is not a valid datetime.") from None


def _listed(asked: Asked, records: Iterable[dict[str, Any]]) -> Response:
    """A page of records that are filtered, sorted and cut to the asked fields here."""
    found = [record for record in records if _fits(record["attributes"], record["id"], asked.filters)]
    if asked.sort:
        name = asked.sort.removeprefix("-")
        found.sort(
            key=lambda r: (str(r["id"] if name == "id" else r["attributes"][name]), r["id"]),
            reverse=asked.sort.startswith("-"),
        )
    return asked.page([orjson.dumps(_shown(record, asked)) for record in found])


def _fits(attributes: Mapping[str, Any], identifier: str, filters: Sequence[tuple[str, str, str]]) -> bool:
    for operator, name, wanted in filters:
        value: Any = {**attributes, "id": identifier}
        for step in name.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        if operator == "equals":
            if str(value).lower() != wanted.lower():
                return False
        elif operator == "greater-than":
            if not parse_instant(str(value)) > _moment(wanted):
                return False
        elif not parse_instant(str(value)) < _moment(wanted):
            return False
    return True


def _shown(record: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
    """The record with the asked fields only."""
    attributes = dict(record["attributes"])
    if "subscriptions" in attributes and not asked.more:
        del attributes["subscriptions"]
    names = asked.fields.get(record["type"])
    if names is not None:
        attributes = _kept(attributes, names)
    return {**record, "attributes": attributes}


def _kept(value: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        first, _, rest = name.partition(".")
        if first not in value:
            continue
        if rest and isinstance(value[first], dict):
            found[first] = {**found.get(first, {}), **_kept(value[first], [rest])}
        else:
            found[first] = value[first]
    return found


# ------------------------------------------------------------------------------------------------ objects


def _ulid(kind: str, identifier: str) -> str:
    return "01" + digest("klaviyo", kind, identifier, length=24).upper()


def metric_id(name: str, integration: str = "Klaviyo") -> str:
    """The id of a metric."""
    return digest("klaviyo metric", name, integration, length=6).upper()


def _flow_id(name: str) -> str:
    return digest("klaviyo flow", name, length=6).upper()


def _object(kind: str, identifier: str, attributes: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    links = {"self": f"{HOME}/{kind}s/{identifier}/"}
    return {"type": kind, "id": identifier, "attributes": dict(attributes), **more, "links": links}


def _stamp(moment: datetime | None) -> str | None:
    return iso(moment, "seconds", "+00:00")


def _metrics(world: World) -> list[dict[str, Any]]:
    def build() -> list[dict[str, Any]]:
        born = world.rows("select min(created_at) as at from email_lists")[0]["at"]
        return [
            _object(
                "metric",
                metric_id(name, integration),
                {
                    "name": name,
                    "created": _stamp(born),
                    "updated": _stamp(born),
                    "integration": {
                        "object": "integration",
                        "id": digest("integration", integration, length=6).upper(),
                        "key": integration.lower(),
                        "name": integration,
                        "category": {"id": integration.lower(), "key": integration.lower()},
                    },
                },
            )
            for name, integration in METRICS
        ]

    return world.keep("klaviyo metrics", build)


def _mailings(world: World) -> list[dict[str, Any]]:
    return world.memo(
        "klaviyo mailings",
        lambda: world.rows(
            "select c.*, l.list_id from email_campaigns c join email_lists l using (list_id)"
            f" where l.mailer = '{MAILER}' and c.created_at <= {world.now_sql} order by c.sent_at"
        ),
    )


def flow_name(title: str) -> str:
    """The name of the flow that an automation belongs to: its texts change, the flow remains."""
    return re.sub(r" \d{4}-\d{2}-\d{2}$", "", title)


def _flows(world: World) -> list[dict[str, Any]]:
    flows: dict[str, dict[str, Any]] = {}
    for row in _mailings(world):
        if row["type"] == "automation":
            name = flow_name(row["title"])
            trigger = "Added to List" if name.endswith("Welcome") else "Metric"
            first = flows.get(name, {}).get("attributes", {}).get("created") or _stamp(row["created_at"])
            attributes = {
                "name": name,
                "status": "live",
                "archived": False,
                "created": first,
                "updated": _stamp(row["created_at"]),
                "trigger_type": trigger,
            }
            flows[name] = _object("flow", _flow_id(name), attributes)
    return list(flows.values())


def _campaigns(asked: Asked, world: World) -> Response:
    if asked.value("messages.channel") is None:
        raise _invalid("filter", "A channel filter is required to list campaigns.")
    is_email = asked.value("messages.channel") == "email"
    rows = [row for row in _mailings(world) if row["type"] == "regular" and is_email]
    rest = [term for term in asked.filters if term[1] != "messages.channel"]
    campaigns = {row["campaign_id"]: _campaign(row, world, asked.include) for row in rows}
    kept = [(key, c) for key, c in campaigns.items() if _fits(c["attributes"], c["id"], rest)]
    name = asked.sort.removeprefix("-")
    kept.sort(
        key=lambda pair: str(pair[1]["id"] if name == "id" else pair[1]["attributes"][name]),
        reverse=asked.sort.startswith("-"),
    )
    by_id = {row["campaign_id"]: row for row in rows}
    page = kept[asked.position : asked.position + asked.size]
    included = [orjson.dumps(_shown(_message(by_id[key]), asked)) for key, _ in page]
    return asked.page([orjson.dumps(_shown(campaign, asked)) for _, campaign in kept], included)


def _campaign(row: Mapping[str, Any], world: World, with_messages: bool) -> dict[str, Any]:
    sent = row["sent_at"] <= world.as_of.replace(tzinfo=None)
    identifier = _ulid("campaign", row["campaign_id"])
    links = f"{HOME}/campaigns/{identifier}"
    messages: dict[str, Any] = {
        "links": {
            "self": f"{links}/relationships/campaign-messages/",
            "related": f"{links}/campaign-messages/",
        }
    }
    if with_messages:
        messages["data"] = [{"type": "campaign-message", "id": _ulid("message", row["campaign_id"])}]
    attributes = {
        "name": row["title"],
        "status": "Sent" if sent else "Scheduled",
        "archived": False,
        "audiences": {"included": [row["list_id"][:6].upper()], "excluded": []},
        "send_options": {"use_smart_sending": True},
        "tracking_options": {"is_tracking_opens": True, "is_tracking_clicks": True},
        "send_strategy": {"method": "static", "datetime": _stamp(row["sent_at"])},
        "created_at": _stamp(row["created_at"]),
        "scheduled_at": _stamp(row["created_at"]),
        "updated_at": _stamp(row["sent_at"] if sent else row["created_at"]),
        "send_time": _stamp(row["sent_at"]),
    }
    return _object("campaign", identifier, attributes, relationships={"campaign-messages": messages})


def _message(row: Mapping[str, Any]) -> dict[str, Any]:
    attributes = {
        "definition": {
            "channel": "email",
            "label": row["title"],
            "content": {"subject": row["subject_line"], "from_label": row["from_name"]},
        },
        "send_times": [{"datetime": _stamp(row["sent_at"]), "is_local": False}],
        "created_at": _stamp(row["created_at"]),
        "updated_at": _stamp(row["created_at"]),
    }
    return _object("campaign-message", _ulid("message", row["campaign_id"]), attributes)


def _profiles(world: World) -> list[dict[str, Any]]:
    def build() -> list[dict[str, Any]]:
        now = world.as_of.replace(tzinfo=None)
        rows = world.rows(
            "select m.* from email_members m join email_lists l using (list_id)"
            f" where l.mailer = '{MAILER}' and m.subscribed_at <= {world.now_sql}"
        )
        return [_profile(row, now) for row in rows]

    return world.memo("klaviyo profiles", build)


def _profile(row: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    left, cleaned = (
        moment if moment is not None and moment <= now else None
        for moment in (row["unsubscribed_at"], row["cleaned_at"])
    )
    reasons = [("UNSUBSCRIBE", left), ("HARD_BOUNCE", cleaned)]
    changed = _stamp(max(moment for moment in (row["subscribed_at"], left, cleaned) if moment is not None))
    marketing = {
        "can_receive_email_marketing": left is None and cleaned is None,
        "consent": "UNSUBSCRIBED" if left else "SUBSCRIBED",
        "consent_timestamp": _stamp(left or row["subscribed_at"]),
        "last_updated": changed,
        "method": "FORM" if row["source"] == "Signup Form" else "API",
        "method_detail": "",
        "double_optin": False,
        "suppression": [
            {"reason": reason, "timestamp": _stamp(moment)}
            for reason, moment in reasons
            if moment is not None
        ],
        "list_suppressions": [],
    }
    attributes = {
        "email": row["email"],
        "phone_number": None,
        "external_id": None,
        "first_name": row["first_name"],
        "last_name": row["last_name"],
        "organization": None,
        "locale": f"{row['language']}-{row['country']}",
        "title": None,
        "image": None,
        "created": _stamp(row["subscribed_at"]),
        "updated": changed,
        "last_event_date": changed,
        "location": {"country": row["country"]},
        "properties": {},
        "subscriptions": {"email": {"marketing": marketing}},
    }
    return _object("profile", profile_id(row["member_id"]), attributes)


def profile_id(member_id: str) -> str:
    """The id of a profile."""
    return _ulid("profile", member_id)


# ------------------------------------------------------------------------------------------------- events

_UUID = (
    "concat(left(md5({0}), 8), '-', substr(md5({0}), 9, 4), '-', substr(md5({0}), 13, 4), '-',"
    " substr(md5({0}), 17, 4), '-', right(md5({0}), 12))"
)
_ATTRIBUTES = {
    "timestamp": "cast(epoch(occurred_at) as bigint)",
    "datetime": "strftime(occurred_at, '%Y-%m-%dT%H:%M:%S+00:00')",
    "uuid": _UUID.format("event_id"),
    # What an event has no value for is left out.
    "event_properties": """json_merge_patch('{}', json_object('Subject', subject_line,
        'Campaign Name', message_name, '$message', message, '$flow', flow,
        '$_cohort$message_send_cohort', cast(epoch(cohort) as bigint) || ':' || message,
        'Email Domain', split_part(email, '@', 2), 'Recipient Email Address', email, 'URL', url,
        'Bounce Type', bounce_type, 'machine_open', is_machine, 'Apple Privacy Open', is_machine,
        'Client Name', case when is_machine then 'Apple Mail' end,
        '$event_id', case when message is not null then message || ':' || event_id end))""",
}
_PREPARED = """create or replace temp table klaviyo_events as
    with mail as (
        select e.*, max(e.occurred_at) filter (where e.event_type = 'sent') over (
            partition by e.campaign_id, e.member_id
            order by e.occurred_at, case e.event_type when 'sent' then 0 else 1 end
            rows between unbounded preceding and current row
        ) as cohort
        from email_events e join email_lists l using (list_id)
        where l.mailer = '{mailer}'
    ),
    told as (
        select m.*, bool_or(m.event_type = 'bounced') over (
            partition by m.campaign_id, m.member_id, m.cohort
        ) as has_bounced
        from mail m
    ),
    answers as (
        select c.consent_event_id as event_id, c.occurred_at, c.visible_at, c.state, c.identifier as email,
            md5(lower(trim(c.identifier))) as member_id
        from consent_events c
        where c.mailer = '{mailer}'
    ),
    happened as (
        select t.event_id, t.occurred_at, t.visible_at, t.member_id, t.email, t.campaign_id, t.cohort, t.url,
            case t.bounce_type when 'hard' then 'Hard' when 'soft' then 'Soft' end as bounce_type,
            t.is_machine_open as is_machine,
            case t.event_type when 'sent' then 'Received Email' when 'bounced' then 'Bounced Email'
                when 'opened' then 'Opened Email' when 'clicked' then 'Clicked Email'
                when 'complained' then 'Marked Email as Spam'
                when 'unsubscribed' then 'Unsubscribed from Email Marketing' end as metric
        from told t
        where not (t.event_type = 'sent' and t.has_bounced)
        union all
        select a.event_id, a.occurred_at, a.visible_at, a.member_id, a.email, null, null, null, null, null,
            case a.state when 'granted' then 'Subscribed to Email Marketing'
                else 'Unsubscribed from Email Marketing' end
        from answers a
        -- Who leaves by a mailing has told it there.
        left join mail u on u.event_type = 'unsubscribed' and a.state = 'withdrawn'
            and u.member_id = a.member_id and u.occurred_at = a.occurred_at
        where u.event_id is null
    )
    select h.*, f.message, f.flow, f.name as message_name, f.subject_line, p.profile
    from happened h
    left join klaviyo_messages f using (campaign_id)
    join klaviyo_people p using (member_id)
    where h.visible_at <= {now}
    order by h.metric, h.occurred_at, h.event_id"""


def _prepare(world: World) -> None:
    """Make `klaviyo_events`: what has happened and arrived by the clock."""

    def build() -> bool:
        import pyarrow as pa

        mailings = _mailings(world)
        is_flow = [row["type"] == "automation" for row in mailings]
        world.sql.register(
            "klaviyo_messages",
            pa.table(
                {
                    "campaign_id": pa.array([row["campaign_id"] for row in mailings], pa.string()),
                    "message": pa.array(
                        [_ulid("message", row["campaign_id"]) for row in mailings], pa.string()
                    ),
                    "flow": pa.array(
                        [
                            _flow_id(flow_name(row["title"])) if flow else None
                            for row, flow in zip(mailings, is_flow, strict=True)
                        ],
                        pa.string(),
                    ),
                    "name": pa.array([row["title"] for row in mailings], pa.string()),
                    "subject_line": pa.array([row["subject_line"] for row in mailings], pa.string()),
                }
            ),
        )
        members = world.keep(
            "klaviyo members", lambda: world.arrow("select distinct member_id from email_members")
        )
        ids = members["member_id"].to_pylist()
        people = world.keep(
            "klaviyo people",
            lambda: pa.table({"member_id": ids, "profile": [profile_id(member) for member in ids]}),
        )
        world.sql.register("klaviyo_people", people)
        world.sql.execute(_PREPARED.format(mailer=MAILER, now=world.now_sql))
        return True

    world.memo("klaviyo events", build)


def _rendered(
    world: World, fields: tuple[str, ...]
) -> dict[str, tuple[list[datetime], list[str], list[bytes]]]:
    """Per metric: moments, profiles and records in the order of time."""
    packed = ", ".join(f"'{name}', {_ATTRIBUTES[name]}" for name in fields if name in _ATTRIBUTES)

    def related(kind: str, identifier: str) -> str:
        start = f"'{HOME}/events/' || event_id || '"
        return (
            f"json_object('data', json_object('type', '{kind}', 'id', {identifier}), 'links',"
            f" json_object('self', {start}/relationships/{kind}/', 'related', {start}/{kind}/'))"
        )

    _prepare(world)
    found: dict[str, tuple[list[datetime], list[str], list[bytes]]] = {}
    for name, integration in METRICS:
        identifier = metric_id(name, integration)
        relations = (
            f"json_object('profile', {related('profile', 'profile')},"
            f" 'metric', {related('metric', repr(identifier))})"
        )
        table = world.arrow(
            "select occurred_at, profile, cast(json_object('type', 'event', 'id', event_id, 'attributes',"
            f" json_object({packed}), 'relationships', {relations}, 'links',"
            f" json_object('self', '{HOME}/events/' || event_id || '/')) as varchar) as record"
            f" from klaviyo_events where metric = '{name}' order by occurred_at, event_id"
        )
        found[identifier] = (
            table["occurred_at"].to_pylist(),
            table["profile"].to_pylist(),
            [record.encode() for record in table["record"].to_pylist()],
        )
    return found


def _events(asked: Asked, world: World) -> Response:
    wanted = asked.value("metric_id")
    if wanted is None:
        raise _invalid("filter", "This server lists the events of one metric at a time.")
    fields = asked.fields.get("event", EVENT_FIELDS)
    metrics = world.memo(("klaviyo rendered", fields), lambda: _rendered(world, fields))
    if wanted not in metrics:
        raise _invalid("filter", f"There is no metric '{wanted}'.")
    moments, profiles, records = metrics[wanted]
    low, high = 0, len(records)
    for operator, name, value in asked.filters:
        if name in ("datetime", "timestamp"):
            moment = datetime.fromtimestamp(int(value), UTC) if name == "timestamp" else _moment(value)
            naive = moment.astimezone(UTC).replace(tzinfo=None)
            if operator.startswith("greater"):
                cut = bisect_left if operator.endswith("equal") else bisect_right
                low = max(low, cut(moments, naive))
            else:
                cut = bisect_right if operator.endswith("equal") else bisect_left
                high = min(high, cut(moments, naive))
    chosen = range(low, high)
    person = asked.value("profile_id")
    shown = [records[n] for n in chosen if person is None or profiles[n] == person]
    if asked.sort.startswith("-"):
        shown.reverse()
    metric = next(metric for metric in _metrics(world) if metric["id"] == wanted)
    return asked.page(shown, [orjson.dumps(_shown(metric, asked))])


def warm(world: World) -> None:
    """Render the events ahead of the first request."""
    fields = ("datetime", "event_properties")
    world.memo(("klaviyo rendered", fields), lambda: _rendered(world, fields))
