"""HubSpot CRM: objects (v3), associations (v4), owners, pipelines and properties of one portal.

A record's properties are the latest values of its history at the clock. Merged records: the survivor carries
the lost ids in `hs_merged_object_ids` and answers under them; archived records are listed apart. Names on the
left of the maps below are the vendor's, names on the right the company's.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.company import territories
from sandbox.servers._answers import Refused, answer, bearer, iso, json_body, split_names
from sandbox.world import World, parse_instant

ACCESS_TOKEN = "pat-eu1-sandbox-access-token"
PORTAL = 24680135
LISTS = ("results",)
CRM = territories.OWN
MINE = f"select object_id from crm_objects where crm = '{CRM}'"
SEARCH_CAP = 10_000
# Rate limits as the headers state them; refusals by count are a matter of the faults.
LIMIT_HEADERS = {
    "X-HubSpot-RateLimit-Daily": "650000",
    "X-HubSpot-RateLimit-Daily-Remaining": "649999",
    "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
    "X-HubSpot-RateLimit-Max": "190",
    "X-HubSpot-RateLimit-Remaining": "189",
}
OBJECTS = ("contacts", "companies", "deals", "calls", "meetings", "emails", "tasks", "communications")
TYPE_IDS = {
    "contacts": "0-1", "companies": "0-2", "deals": "0-3", "calls": "0-48", "meetings": "0-47",
    "emails": "0-49",
    "tasks": "0-27", "communications": "0-18",
}  # fmt: skip
SINGULAR = {
    "contact": "contacts", "company": "companies", "deal": "deals", "call": "calls", "meeting": "meetings",
    "email": "emails", "task": "tasks", "communication": "communications",
}  # fmt: skip
CRM_TYPES = {"contact": "contacts", "company": "companies", "deal": "deals"}
ACTIVITY_TYPES = {
    "call": "calls", "meeting": "meetings", "email": "emails", "task": "tasks",
    "social_message": "communications"
}  # fmt: skip
MODIFIED = dict.fromkeys(OBJECTS, "hs_lastmodifieddate") | {"contacts": "lastmodifieddate"}

INDUSTRIES = {
    "software": "COMPUTER_SOFTWARE", "architecture": "ARCHITECTURE_PLANNING", "hospitality": "HOSPITALITY",
    "retail": "RETAIL", "construction": "CONSTRUCTION", "media": "ONLINE_MEDIA",
    "education": "EDUCATION_MANAGEMENT",
}  # fmt: skip
DEAL_TYPES = {"new_business": "newbusiness", "expansion": "existingbusiness", "renewal": "renewal"}
FORECASTS = {
    "pipeline": "PIPELINE", "best_case": "BEST_CASE", "commit": "COMMIT", "closed": "CLOSED",
    "omitted": "OMIT"
}  # fmt: skip
DISPOSITIONS = {
    "CONNECTED": "f240bbac-87c9-4f6e-bf70-924b57d47db7", "NO_ANSWER": "73a0d17f-1163-4015-bdd5-ec830791da20",
    "BUSY": "9d9162e7-6cf3-4944-bf63-4dff82258764", "LEFT_VOICEMAIL": "b2cf5968-551e-4856-9783-52b3da59a7d0",
}  # fmt: skip
EMAIL_STATUS = {"SENT": "SENT", "REPLIED": "SENT", "BOUNCED": "BOUNCED"}
# Company property -> the vendor's properties that show it.
NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "contacts": {
        "email": ("email",), "first_name": ("firstname",), "last_name": ("lastname",), "phone": ("phone",),
        "country": ("country",), "job_title": ("jobtitle",), "lifecycle_stage": ("lifecyclestage",),
        "lead_status": ("hs_lead_status",), "disqualified_reason": ("disqualified_reason",),
        "owner_id": ("hubspot_owner_id",), "original_source": ("hs_analytics_source",),
        "self_reported_source": ("how_did_you_hear",), "ga_client_id": ("ga_client_ids",),
        "user_id": ("app_user_id",), "bant_budget": ("bant_budget",), "bant_authority": ("bant_authority",),
        "bant_need": ("bant_need",), "bant_timeline": ("bant_timeline",),
        "marketing_consent": ("marketing_consent",),
    },
    "companies": {
        "name": ("name",), "domain": ("domain",), "industry": ("industry",),
        "employee_count": ("numberofemployees",),
        "country": ("country",), "city": ("city",), "owner_id": ("hubspot_owner_id",),
        "is_partner": ("is_partner",),
    },
    "deals": {
        "name": ("dealname",), "pipeline": ("pipeline",), "stage": ("dealstage",), "amount": ("amount",),
        "arr": ("hs_arr",), "currency": ("deal_currency_code",), "close_date": ("closedate",),
        "closed_at": ("closedate",), "owner_id": ("hubspot_owner_id",), "opportunity_type": ("dealtype",),
        "forecast_category": ("hs_manual_forecast_category", "hs_forecast_category"),
        "next_step": ("hs_next_step",),
        "lost_reason": ("closed_lost_reason",), "won_reason": ("closed_won_reason",),
        "competitor": ("competitor",),
        "sourced_by": ("sourced_by",), "partner_company_id": ("partner_company_id",),
        "contract_start": ("contract_start",), "contract_end": ("contract_end",),
        "renewed_deal_id": ("renewed_deal_id",),
    },
}  # fmt: skip
VALUES: dict[tuple[str, str], Mapping[str, str]] = {
    ("companies", "industry"): INDUSTRIES,
    ("deals", "opportunity_type"): DEAL_TYPES,
    ("deals", "forecast_category"): FORECASTS,
}
SYSTEM = {
    "contacts": ("hs_object_id", "createdate", "lastmodifieddate", "associatedcompanyid",
    "hs_merged_object_ids"),
    "companies": ("hs_object_id", "createdate", "hs_lastmodifieddate", "hs_merged_object_ids"),
    "deals": (
        "hs_object_id", "createdate", "hs_lastmodifieddate", "hs_merged_object_ids", "hs_is_closed",
        "hs_is_closed_won", "hs_deal_stage_probability", "hs_primary_associated_company",
    ),
}  # fmt: skip
_ACTIVITY = (
    "hs_object_id", "hs_createdate", "hs_lastmodifieddate", "hs_timestamp", "hubspot_owner_id",
    "hs_object_source",
    "hs_object_source_label",
)  # fmt: skip
ACTIVITY_PROPERTIES = {
    "calls": ("hs_call_title", "hs_call_body", "hs_call_direction", "hs_call_disposition", "hs_call_duration",
              "hs_call_status"),
    "meetings": ("hs_meeting_title", "hs_meeting_body", "hs_meeting_start_time", "hs_meeting_end_time",
                 "hs_meeting_outcome"),
    "emails": ("hs_email_subject", "hs_email_text", "hs_email_direction", "hs_email_status"),
    "tasks": ("hs_task_subject", "hs_task_body", "hs_task_status", "hs_task_type", "hs_task_completion_date"),
    "communications": ("hs_communication_body", "hs_communication_channel_type",
    "hs_communication_logged_from"),
}  # fmt: skip
DEFAULTS: dict[str, tuple[str, ...]] = {
    "contacts": ("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"),
    "companies": ("createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name"),
    "deals": ("amount", "closedate", "createdate", "dealname", "dealstage", "hs_lastmodifieddate",
    "hs_object_id",
              "pipeline"),
}  # fmt: skip
ACTIVITY_DEFAULTS = ("hs_createdate", "hs_lastmodifieddate", "hs_object_id")
LABELS = {"decision_maker": "Decision maker", "champion": "Champion", "user": "User", "legal": "Legal",
          "renews": "Renews", "primary": "Primary"}  # fmt: skip
LABEL_TYPES = {"decision_maker": 101, "champion": 103, "user": 105, "legal": 107, "renews": 109}
# (from, to) -> the vendor's own type number, of plain links and of primary ones.
LINK_TYPES = {
    ("contacts", "companies"): (279, 1), ("companies", "contacts"): (280, 2), ("deals", "companies"): (341,
    5),
    ("companies", "deals"): (342, 6), ("deals", "contacts"): (3, 3), ("contacts", "deals"): (4, 4),
    ("deals", "deals"): (451, 451), ("calls", "contacts"): (194, 194), ("calls", "companies"): (182, 182),
    ("calls", "deals"): (206, 206), ("meetings", "contacts"): (200, 200), ("meetings", "companies"): (188,
    188),
    ("meetings", "deals"): (212, 212), ("emails", "contacts"): (198, 198), ("emails", "companies"): (186,
    186),
    ("emails", "deals"): (210, 210), ("tasks", "contacts"): (204, 204), ("tasks", "companies"): (192, 192),
    ("tasks", "deals"): (216, 216), ("communications", "contacts"): (81, 81),
    ("communications", "companies"): (87, 87), ("communications", "deals"): (85, 85),
}  # fmt: skip


@dataclass
class Record:
    """One record at the clock."""

    id: str
    created: datetime
    modified: datetime
    archived_at: datetime | None = None
    properties: dict[str, str | None] = field(default_factory=dict)
    history: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


@dataclass
class Portal:
    """Everything the portal holds at the clock."""

    records: dict[str, dict[str, Record]]  # object type -> id -> record, ids ascending
    winners: dict[str, dict[str, str]]  # object type -> merged id -> the record that answers for it
    links: dict[tuple[str, str], dict[str, list[tuple[str, list[str]]]]]  # (from, to) -> id -> [(id, labels)]


Records = dict[str, dict[str, Record]]
Winners = dict[str, dict[str, str]]
Moments = dict[str, dict[str, datetime]]  # object type -> merged id -> when
Links = dict[tuple[str, str], dict[str, list[tuple[str, list[str]]]]]


def routes(world: World) -> list[Route]:
    """Return the paths of this vendor."""
    known = "{kind}"
    paths: list[tuple[str, str, Callable[..., Any]]] = [
        ("GET", f"/crm/v3/objects/{known}", _list),
        ("POST", f"/crm/v3/objects/{known}/search", _search),
        ("POST", f"/crm/v3/objects/{known}/batch/read", _batch_read),
        ("GET", f"/crm/v3/objects/{known}/{{id}}", _read),
        ("POST", "/crm/v4/associations/{kind}/{to}/batch/read", _associations),
        ("GET", "/crm/v4/objects/{kind}/{id}/associations/{to}", _associations_of_one),
        ("GET", "/crm/v3/owners", _owners),
        ("GET", "/crm/v3/owners/{id}", _owner),
        ("GET", "/crm/v3/pipelines/{kind}", _pipelines),
        ("GET", "/crm/v3/properties/{kind}", _properties),
        ("GET", "/account-info/v3/details", _details),
    ]

    def endpoint(handler: Callable[..., Any], search: bool) -> Callable[[Request], Any]:
        async def run(request: Request) -> Response:
            if bearer(request) != ACCESS_TOKEN:
                raise Refused(refusal("bad_token", {}))
            try:
                body = await json_body(request) if request.method == "POST" else {}
            except ValueError:
                raise _bad("Invalid input JSON: it could not be parsed.") from None
            result = handler(request, world, body)
            response: Response = result if isinstance(result, Response) else answer(result)
            if not search:  # the search endpoints send no rate limit headers
                response.headers.update(LIMIT_HEADERS)
            return response

        return run

    return [
        Route(path, endpoint(handler, handler is _search), methods=[verb]) for verb, path, handler in paths
    ]


def environment(base_url: str) -> dict[str, str]:
    """Return the variables that point the connector at this server."""
    return {
        "SOURCES__HUBSPOT__BASE_URL": f"{base_url}/hubspot",
        "SOURCES__HUBSPOT__ACCESS_TOKEN": ACCESS_TOKEN,
    }


# ------------------------------------------------------------------------------------------------- errors


def _error(status: int, category: str, message: str, **more: Any) -> Response:
    body = {
        "status": "error",
        "message": message,
        "correlationId": str(uuid.uuid4()),
        "category": category,
        **more,
    }
    return answer(body, status)


def _bad(message: str, code: str | None = None) -> Refused:
    more = {"errors": [{"message": message, "code": code}]} if code else {}
    return Refused(_error(400, "VALIDATION_ERROR", message, **more))


def refusal(kind: str, params: Mapping[str, Any]) -> Response:
    """Return the vendor's own answer for a fault."""
    if kind == "rate_limit":
        policy = str(params.get("policy", "TEN_SECONDLY_ROLLING"))
        response = _error(
            429, "RATE_LIMITS", f"You have reached your {policy.lower()} limit.", errorType="RATE_LIMIT",
            policyName=policy,
        )  # fmt: skip
        response.headers["Retry-After"] = str(params.get("retry_after", 1))
        return response
    if kind == "server_error":
        status = int(params.get("status", 500))
        return _error(status, "INTERNAL_ERROR" if status == 500 else "SERVICE_UNAVAILABLE", "internal error")
    if kind == "expired_token":
        text = "The OAuth token used to make this call expired some time ago."
        return _error(401, "EXPIRED_AUTHENTICATION", text)
    if kind == "bad_token":
        text = (
            "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can "
            "find more "
            "details at https://developers.hubspot.com/docs/methods/auth/oauth-overview"
        )
        return _error(401, "INVALID_AUTHENTICATION", text)
    if kind == "expired_cursor":
        return _bad("The paging parameter `after` is no longer valid.", "INVALID_PAGING_TOKEN").response
    return _error(404, "OBJECT_NOT_FOUND", "resource not found")


# ------------------------------------------------------------------------------------------------- state


def _stamp(moment: datetime | None) -> str | None:
    return iso(moment, "milliseconds")


def portal(world: World) -> Portal:
    """Return the portal at the clock (built once per clock)."""
    return world.memo("hubspot portal", lambda: _build(world))


def _build(world: World) -> Portal:
    now = world.now_sql
    records: dict[str, dict[str, Record]] = {name: {} for name in OBJECTS}
    winners: dict[str, dict[str, str]] = {name: {} for name in OBJECTS}
    merges: dict[str, list[tuple[datetime, str, str]]] = defaultdict(list)
    for row in world.rows(
        f"select * from crm_objects where crm = '{CRM}' and created_at <= {now}"
        " order by object_type, cast(object_id as bigint)"
    ):
        kind = CRM_TYPES[row["object_type"]]
        if row["merged_at"] is not None and row["merged_at"] <= world.as_of.replace(tzinfo=None):
            winners[kind][row["object_id"]] = row["merged_into_id"]
            merges[kind].append((row["merged_at"], row["merged_into_id"], row["object_id"]))
            continue
        deleted = row["deleted_at"]
        gone = deleted if deleted is not None and deleted <= world.as_of.replace(tzinfo=None) else None
        created = row["created_at"]
        records[kind][row["object_id"]] = Record(
            row["object_id"], created, max(created, gone or created), gone
        )
    _fill_history(world, records)
    for kind, losses in merges.items():
        _record_merges(records[kind], winners[kind], sorted(losses))
    moments = {kind: {lost: at for at, _, lost in losses} for kind, losses in merges.items()}
    links = _links(world, records, winners, moments)
    _fill_activities(world, records, winners, moments, links)
    _derive(world, records, links)
    return Portal(records, winners, links)


def _fill_history(world: World, records: dict[str, dict[str, Record]]) -> None:
    query = (
        "select object_type, object_id, property, value, changed_at, source_type, source_id, updated_by"
        f" from crm_property_history where changed_at <= {world.now_sql} and object_id in ({MINE})"
        " order by object_type, object_id, property, changed_at desc"
    )
    closings: dict[str, dict[datetime, str]] = defaultdict(dict)
    rows = world.rows(query)
    for row in rows:
        if row["property"] == "closed_at" and row["value"] is not None:
            closings[row["object_id"]][row["changed_at"]] = row["value"]
    for row in rows:
        kind = CRM_TYPES[row["object_type"]]
        record = records[kind].get(row["object_id"])
        names = NAMES[kind].get(row["property"])
        if record is None or names is None:
            continue
        at, value = row["changed_at"], row["value"]
        # The vendor has one close date: the day that is expected, from closing on the moment.
        if row["property"] == "closed_at" and value is None:
            continue
        if row["property"] == "close_date" and at in closings.get(row["object_id"], {}):
            continue
        translate = VALUES.get((kind, row["property"]))
        if translate is not None and value is not None:
            value = translate.get(value, value)
        if row["property"] in ("close_date", "closed_at") and value is not None:
            value = _stamp(parse_instant(value))
        entry: dict[str, Any] = {
            "value": value or "",
            "timestamp": _stamp(at),
            "sourceType": row["source_type"],
        }
        if row["source_id"] is not None:
            entry["sourceId"] = row["source_id"]
        if row["updated_by"] is not None and row["updated_by"].isdigit():
            entry["updatedByUserId"] = int(row["updated_by"])
        for name in names:
            record.history.setdefault(name, []).append(entry)
        record.modified = max(record.modified, at)
    for kind in CRM_TYPES.values():
        for record in records[kind].values():
            if "closedate" in record.history:
                record.history["closedate"].sort(key=lambda entry: str(entry["timestamp"]), reverse=True)
            for name, entries in record.history.items():
                record.properties[name] = entries[0]["value"] or None


def _record_merges(
    records: dict[str, Record], winners: dict[str, str], losses: Iterable[tuple[datetime, str, str]]
) -> None:
    """Give every survivor the ids that it took over, one history entry per merge, the newest first."""
    for at, winner_id, lost in losses:
        winner = records.get(_resolve(winners, winner_id))
        if winner is None:
            continue
        before = winner.properties.get("hs_merged_object_ids")
        value = f"{before};{lost}" if before else lost
        winner.properties["hs_merged_object_ids"] = value
        entry = {
            "value": value,
            "timestamp": _stamp(at),
            "sourceType": "MERGE_OBJECTS",
            "sourceId": f"merge:{lost}",
        }
        winner.history.setdefault("hs_merged_object_ids", []).insert(0, entry)
        winner.modified = max(winner.modified, at)


def _resolve(winners: Mapping[str, str], record_id: str) -> str:
    """Follow merges to the record that stands today."""
    while record_id in winners:
        record_id = winners[record_id]
    return record_id


def _settled(
    kind: str, record_id: str, records: Records, winners: Winners, moments: Moments
) -> tuple[Record | None, list[datetime]]:
    """Return the record that answers for an id, and when merges or archiving changed who is linked."""
    changes: list[datetime] = []
    while record_id in winners[kind]:
        changes.append(moments[kind][record_id])
        record_id = winners[kind][record_id]
    record = records[kind].get(record_id)
    if record is not None and record.archived_at is not None:
        changes.append(record.archived_at)
    return record, changes


def _links(world: World, records: Records, winners: Winners, moments: Moments) -> Links:
    found: dict[tuple[str, str], dict[str, dict[str, list[str]]]] = defaultdict(lambda: defaultdict(dict))
    query = (
        f"select *, coalesce(removed_at <= {world.now_sql}, false) as removed from crm_associations where "
        f"created_at <= {world.now_sql} and from_id in ({MINE})"
        " order by from_type, cast(from_id as bigint), created_at, cast(to_id as bigint), label"
    )
    for row in world.rows(query):
        from_kind, to_kind = CRM_TYPES[row["from_type"]], CRM_TYPES[row["to_type"]]
        one_end, one_changed = _settled(from_kind, row["from_id"], records, winners, moments)
        other_end, other_changed = _settled(to_kind, row["to_id"], records, winners, moments)
        linked = row["removed_at"] if row["removed"] else row["created_at"]
        # A record whose links change is changed itself, be it that the other end was merged or archived.
        changes = [linked] if row["removed"] else [linked, *one_changed, *other_changed]
        for end in (one_end, other_end):
            if end is not None:
                end.modified = max(end.modified, *changes)
        if (
            row["removed"]
            or one_end is None
            or other_end is None
            or one_end.archived_at
            or other_end.archived_at
        ):
            continue
        from_id, to_id = one_end.id, other_end.id
        for key, one, other in (
            ((from_kind, to_kind), from_id, to_id),
            ((to_kind, from_kind), to_id, from_id),
        ):
            labels = found[key][one].setdefault(other, [])
            if row["label"] and row["label"] not in labels:
                labels.append(row["label"])
    return {key: {one: list(others.items()) for one, others in by_id.items()} for key, by_id in found.items()}


def _fill_activities(
    world: World, records: Records, winners: Winners, moments: Moments, links: Links
) -> None:
    query = f"select * from crm_activities where created_at <= {world.now_sql} and contact_id in ({MINE})"
    query += " order by cast(activity_id as bigint)"
    now = world.as_of.replace(tzinfo=None)
    for row in world.rows(query):
        kind = ACTIVITY_TYPES[row["activity_type"]]
        settled = row["outcome_at"] is not None and row["outcome_at"] <= now
        outcome = row["outcome"] if settled else row["initial_outcome"]
        modified = max(row["created_at"], row["outcome_at"]) if settled else row["created_at"]
        record = Record(row["activity_id"], row["created_at"], modified)
        record.properties = _activity(kind, row, outcome, settled)
        records[kind][record.id] = record
        for to_kind, column in (
            ("contacts", "contact_id"),
            ("companies", "company_id"),
            ("deals", "deal_id"),
        ):
            if row[column] is None:
                continue
            target, changes = _settled(to_kind, row[column], records, winners, moments)
            record.modified = max(record.modified, *changes) if changes else record.modified
            if target is not None and target.archived_at is None:
                links.setdefault((kind, to_kind), {}).setdefault(record.id, []).append((target.id, []))
                links.setdefault((to_kind, kind), {}).setdefault(target.id, []).append((record.id, []))


def _activity(kind: str, row: Mapping[str, Any], outcome: str | None, settled: bool) -> dict[str, str | None]:
    automated = bool(row["is_automated"])
    shared: dict[str, str | None] = {
        "hs_timestamp": _stamp(row["occurred_at"]),
        "hs_createdate": _stamp(row["created_at"]),
        "hubspot_owner_id": row["owner_id"],
        "hs_object_source": "AUTOMATION_PLATFORM" if automated else "CRM_UI",
        "hs_object_source_label": "AUTOMATION" if automated else "CRM_UI",
    }
    outbound = (row["direction"] or "outbound") == "outbound"
    own: dict[str, str | None]
    if kind == "calls":
        own = {
            "hs_call_title": row["subject"],
            "hs_call_body": row["body"],
            "hs_call_direction": "OUTBOUND" if outbound else "INBOUND",
            "hs_call_disposition": DISPOSITIONS.get(outcome or ""),
            "hs_call_duration": str((row["duration_seconds"] or 0) * 1000),
            "hs_call_status": "COMPLETED" if outcome == "CONNECTED" else (outcome or "NO_ANSWER").replace(
                "LEFT_VOICEMAIL", "COMPLETED"),
        }  # fmt: skip
    elif kind == "meetings":
        own = {
            "hs_meeting_title": row["subject"],
            "hs_meeting_body": row["body"],
            "hs_meeting_start_time": _stamp(row["occurred_at"]),
            "hs_meeting_end_time": _stamp(row["ended_at"]),
            "hs_meeting_outcome": outcome,
        }
    elif kind == "emails":
        own = {
            "hs_email_subject": row["subject"],
            "hs_email_text": row["body"],
            "hs_email_direction": "EMAIL" if outbound else "INCOMING_EMAIL",
            "hs_email_status": EMAIL_STATUS.get(outcome or "", outcome),
        }
    elif kind == "tasks":
        own = {
            "hs_task_subject": row["subject"],
            "hs_task_body": row["body"],
            "hs_task_status": outcome,
            "hs_task_type": "TODO",
            "hs_task_completion_date": _stamp(row["outcome_at"])
            if settled and outcome == "COMPLETED"
            else None,
        }
    else:
        own = {
            "hs_communication_body": row["body"] or row["subject"],
            "hs_communication_channel_type": "LINKEDIN_MESSAGE",
            "hs_communication_logged_from": "CRM",
        }
    return shared | own


def _derive(world: World, records: dict[str, dict[str, Record]], links: Links) -> None:
    """Set the properties that the vendor computes itself."""
    stages = {row["stage_id"]: row for row in world.rows("select * from crm_pipelines")}
    for kind, by_id in records.items():
        for record in by_id.values():
            shown = record.properties
            shown["hs_object_id"] = record.id
            shown[MODIFIED[kind]] = _stamp(record.modified)
            if kind in CRM_TYPES.values():
                shown["createdate"] = _stamp(record.created)
    for contact in records["contacts"].values():
        contact.properties["associatedcompanyid"] = _primary(links, "contacts", contact.id)
    for deal in records["deals"].values():
        stage = stages.get(deal.properties.get("dealstage") or "")
        deal.properties["hs_primary_associated_company"] = _primary(links, "deals", deal.id)
        deal.properties["hs_is_closed"] = "true" if stage and stage["is_closed"] else "false"
        deal.properties["hs_is_closed_won"] = "true" if stage and stage["is_won"] else "false"
        deal.properties["hs_deal_stage_probability"] = str(stage["probability"]) if stage else None


def _primary(links: Links, kind: str, record_id: str) -> str | None:
    targets = links.get((kind, "companies"), {}).get(record_id, [])
    primary = [target for target, labels in targets if "primary" in labels]
    return primary[-1] if primary else None


# ------------------------------------------------------------------------------------------------ objects


def _kind(request: Request, name: str = "kind") -> str:
    kind = request.path_params[name]
    kind = SINGULAR.get(kind, kind)
    kind = next((known for known, type_id in TYPE_IDS.items() if type_id == kind), kind)
    if kind not in OBJECTS:
        raise Refused(_error(400, "VALIDATION_ERROR", f"Unable to infer object type from: {kind}"))
    return str(kind)


def known_properties(kind: str) -> list[str]:
    """Return the names of every property of an object type."""
    if kind in NAMES:
        own = [name for names in NAMES[kind].values() for name in names]
        return list(dict.fromkeys([*own, *SYSTEM[kind]]))
    return [*_ACTIVITY, *ACTIVITY_PROPERTIES[kind]]


def _shown(
    kind: str, record: Record, names: list[str], history: list[str], inline_links: dict[str, Any] | None
) -> Any:
    always = ("hs_object_id", "createdate" if kind in CRM_TYPES.values() else "hs_createdate", MODIFIED[kind])
    defaults = DEFAULTS.get(kind, ACTIVITY_DEFAULTS)
    wanted = dict.fromkeys([*(names or (() if history else defaults)), *history, *always])
    properties = record.properties
    known = _known(kind)
    result: dict[str, Any] = {
        "id": record.id,
        "properties": {name: properties.get(name) for name in wanted if name in known},
    }
    if history:
        result["propertiesWithHistory"] = {
            name: record.history.get(name) or _single(record, name) for name in history if name in known
        }
    result["createdAt"] = _stamp(record.created)
    result["updatedAt"] = _stamp(record.modified)
    result["archived"] = record.archived_at is not None
    if record.archived_at is not None:
        result["archivedAt"] = _stamp(record.archived_at)
    if inline_links:
        result["associations"] = inline_links
    return result


_KNOWN: dict[str, frozenset[str]] = {}


def _known(kind: str) -> frozenset[str]:
    if kind not in _KNOWN:
        _KNOWN[kind] = frozenset(known_properties(kind))
    return _KNOWN[kind]


def _single(record: Record, name: str) -> list[dict[str, Any]]:
    """Return the history of a property that has only ever had one value."""
    value = record.properties.get(name)
    if value is None:
        return []
    return [{"value": value, "timestamp": _stamp(record.created), "sourceType": "CRM_UI"}]


def _limit(value: Any, default: int, highest: int) -> int:
    try:
        limit = int(default if value in (None, "") else value)
    except (TypeError, ValueError):
        raise _bad(f"Invalid value for limit: {value}") from None
    if limit > highest:
        raise _bad(f"The limit {limit} is too large: at most {highest} are allowed.", "INVALID_LIMIT")
    return max(limit, 1)


def _inline(portal_now: Portal, kind: str, record_id: str, to_kinds: list[str]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for to_kind in to_kinds:
        targets = portal_now.links.get((kind, to_kind), {}).get(record_id, [])
        results: list[dict[str, str]] = []
        for target, labels in targets:
            plain = f"{kind[:-1] if kind != 'companies' else 'company'}_to_"
            plain += "company" if to_kind == "companies" else to_kind[:-1]
            results.append({"id": target, "type": plain})
            results += [{"id": target, "type": f"{plain}_{label}"} for label in labels if label != "primary"]
        if results:
            shown[to_kind] = {"results": results}
    return shown


def _associated_kinds(request: Request) -> list[str]:
    names = split_names(request.query_params.getlist("associations"))
    kinds = [SINGULAR.get(name, name) for name in names]
    for kind in kinds:
        if kind not in OBJECTS:
            raise _bad(f"Unable to infer object type from: {kind}")
    return kinds


def _truth(value: str | None) -> bool:
    return (value or "false").lower() == "true"


def _list(request: Request, world: World, _: Any) -> Any:
    kind, query, now = _kind(request), request.query_params, portal(world)
    names = split_names(query.getlist("properties"))
    history = split_names(query.getlist("propertiesWithHistory"))
    limit = _limit(query.get("limit"), 10, 50 if history else 100)
    archived = _truth(query.get("archived"))
    kinds = _associated_kinds(request)
    ordered = world.memo(
        ("hubspot list", kind, archived),
        lambda: [r for r in now.records[kind].values() if (r.archived_at is not None) == archived],
    )
    start = 0
    if query.get("after"):
        if not query["after"].isdigit():
            raise _bad(f"Invalid paging token: {query['after']}")
        start = _position(world, kind, archived, ordered, int(query["after"]))
    page = ordered[start : start + limit]
    body: dict[str, Any] = {
        "results": [_shown(kind, r, names, history, _inline(now, kind, r.id, kinds)) for r in page]
    }
    if start + limit < len(ordered):
        after = page[-1].id
        link = request.url.include_query_params(after=after)
        body["paging"] = {"next": {"after": after, "link": str(link)}}
    return body


def _position(world: World, kind: str, archived: bool, ordered: list[Record], after: int) -> int:
    """Return the index of the first record behind an id (ids ascend)."""
    import bisect

    ids = world.memo(("hubspot ids", kind, archived), lambda: [int(record.id) for record in ordered])
    return bisect.bisect_right(ids, after)


def _read(request: Request, world: World, _: Any) -> Any:
    kind, now, query = _kind(request), portal(world), request.query_params
    names = split_names(query.getlist("properties"))
    history = split_names(query.getlist("propertiesWithHistory"))
    wanted = request.path_params["id"]
    if query.get("idProperty") == "email" and kind == "contacts":
        match = (
            r.id
            for r in now.records[kind].values()
            if (r.properties.get("email") or "").lower() == wanted.lower()
        )
        wanted = next(match, wanted)
    record = now.records[kind].get(_resolve(now.winners[kind], wanted))
    if record is None or (record.archived_at is not None) != _truth(query.get("archived")):
        raise Refused(refusal("not_found", {}))
    return _shown(kind, record, names, history, _inline(now, kind, record.id, _associated_kinds(request)))


def _batch(results: list[Any], errors: list[Any] | None = None) -> Response:
    stamp = _stamp(datetime.now(UTC))
    body: dict[str, Any] = {
        "status": "COMPLETE",
        "results": results,
        "startedAt": stamp,
        "completedAt": stamp,
    }
    if errors:
        body |= {"numErrors": len(errors), "errors": errors}
    return answer(body, 207 if errors else 200)


def _inputs(body: Mapping[str, Any], highest: int) -> list[str]:
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(i, dict) and "id" in i for i in inputs):
        raise _bad('Invalid input JSON: "inputs" must be a list of {"id": ...}.')
    if len(inputs) > highest:
        raise _bad(f"The maximum number of inputs in a batch request is {highest}.", "BATCH_SIZE_EXCEEDED")
    return list(dict.fromkeys(str(i["id"]) for i in inputs))


def _batch_read(request: Request, world: World, body: Any) -> Any:
    kind, now = _kind(request), portal(world)
    names, history = body.get("properties") or [], body.get("propertiesWithHistory") or []
    archived = _truth(request.query_params.get("archived"))
    results, missing = [], []
    found: set[str] = set()
    for wanted in _inputs(body, 50 if history else 100):
        record = now.records[kind].get(_resolve(now.winners[kind], wanted))
        if record is None or (record.archived_at is not None) != archived:
            missing.append(wanted)
        elif record.id not in found:
            found.add(record.id)
            results.append(_shown(kind, record, names, history, None))
    errors = [
        {
            "status": "error",
            "category": "OBJECT_NOT_FOUND",
            "message": f"Could not get some {kind.upper()} objects, they may be deleted or not exist. "
            "Check that ids are valid.",
            "context": {"ids": missing},
            "errors": [],
            "links": {},
        }
    ]
    return _batch(results, errors if missing else None)


# ------------------------------------------------------------------------------------------------- search


def _comparable(value: Any) -> tuple[int, Any]:
    """Return a value so that times, numbers and texts each compare among themselves."""
    text = str(value)
    try:
        return (0, float(text))
    except ValueError:
        pass
    try:
        return (0, parse_instant(text).timestamp() * 1000)
    except ValueError:
        return (1, text.lower())


def _test(record: Record, part: Mapping[str, Any]) -> bool:
    operator = part.get("operator")
    value = record.properties.get(part["propertyName"])
    if operator == "HAS_PROPERTY":
        return value is not None
    if operator == "NOT_HAS_PROPERTY":
        return value is None
    if operator in ("NEQ", "NOT_IN", "NOT_CONTAINS_TOKEN") and value is None:
        return True
    if value is None:
        return False
    have = _comparable(value)
    if operator in ("IN", "NOT_IN"):
        return (have in [_comparable(v) for v in part.get("values", [])]) == (operator == "IN")
    if operator in ("CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"):
        inside = str(part.get("value", "")).strip("*").lower() in value.lower()
        return inside == (operator == "CONTAINS_TOKEN")
    want = _comparable(part.get("value", ""))
    if operator == "BETWEEN":
        return want <= have <= _comparable(part.get("highValue", ""))
    tests: dict[str, bool] = {
        "EQ": have == want, "NEQ": have != want, "LT": have < want, "LTE": have <= want, "GT": have > want,
        "GTE": have >= want,
    }  # fmt: skip
    return tests[str(operator)]


OPERATORS = {
    "EQ", "NEQ", "LT", "LTE", "GT", "GTE", "BETWEEN", "IN", "NOT_IN", "HAS_PROPERTY", "NOT_HAS_PROPERTY",
    "CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN",
}  # fmt: skip


def _search(request: Request, world: World, body: Any) -> Any:
    kind, now = _kind(request), portal(world)
    groups = body.get("filterGroups") or []
    if len(groups) > 6:
        raise _bad("Too many filterGroups: at most 6 are allowed.")
    known = _known(kind)
    for part in (part for group in groups for part in group.get("filters", [])):
        if part.get("operator") not in OPERATORS:
            raise _bad(
                f"Invalid input JSON: operator {part.get('operator')} is not one of {sorted(OPERATORS)}"
            )
        if part.get("propertyName") not in known:
            raise _bad("There was a problem with the request.", "UNKNOWN_PROPERTY")
    limit = _limit(body.get("limit"), 10, 200)
    after = str(body.get("after") or "0")
    if not after.isdigit():
        raise _bad(f"Invalid paging token: {after}")
    start = int(after)
    if start + limit > SEARCH_CAP:
        raise _bad(
            f"Paging through results is limited to {SEARCH_CAP} total results. Please use filters to narrow."
        )
    sorts = body.get("sorts") or []
    key = ("hubspot search", kind, repr(groups), repr(sorts), str(body.get("query", "")))
    found = world.memo(
        key, lambda: _found(now, kind, groups, sorts, str(body.get("query", "")).lower(), known)
    )
    page = found[start : start + limit]
    result: dict[str, Any] = {
        "total": len(found),
        "results": [_shown(kind, record, body.get("properties") or [], [], None) for record in page],
    }
    if start + limit < len(found):
        result["paging"] = {"next": {"after": str(start + limit)}}
    return result


def _found(
    now: Portal, kind: str, groups: list[Any], sorts: list[Any], text: str, known: frozenset[str]
) -> list[Record]:
    records = [r for r in now.records[kind].values() if r.archived_at is None]
    if groups:
        records = [r for r in records if any(all(_test(r, f) for f in g.get("filters", [])) for g in groups)]
    if text:
        records = [
            r for r in records if any(text in (value or "").lower() for value in r.properties.values())
        ]
    for sort in reversed(sorts):
        name = sort if isinstance(sort, str) else str(sort.get("propertyName", ""))
        falling = (isinstance(sort, str) and sort.startswith("-")) or (
            isinstance(sort, dict) and sort.get("direction") == "DESCENDING"
        )
        name = name.lstrip("-")
        if name not in known:
            raise _bad("There was a problem with the request.", "UNKNOWN_PROPERTY")
        empty = (2, "") if not falling else (-1, "")
        records.sort(
            key=lambda r: empty if r.properties.get(name) is None else _comparable(r.properties[name]),
            reverse=falling,
        )
    return records


# ------------------------------------------------------------------------------- associations and the rest


def _types(from_kind: str, to_kind: str, labels: list[str]) -> list[dict[str, Any]]:
    plain, primary = LINK_TYPES.get((from_kind, to_kind), (999, 999))
    types: list[dict[str, Any]] = [{"category": "HUBSPOT_DEFINED", "typeId": plain, "label": None}]
    for label in labels:
        if label == "primary" and "companies" in (from_kind, to_kind):
            types.append({"category": "HUBSPOT_DEFINED", "typeId": primary, "label": LABELS[label]})
        else:
            back = 0 if from_kind == "deals" else 1
            number = LABEL_TYPES.get(label, 111) + back
            types.append({"category": "USER_DEFINED", "typeId": number, "label": LABELS.get(label, label)})
    return types


def _associations(request: Request, world: World, body: Any) -> Any:
    from_kind, to_kind, now = _kind(request), _kind(request, "to"), portal(world)
    results, missing = [], []
    for wanted in _inputs(body, 1000):
        record_id = _resolve(now.winners[from_kind], wanted)
        targets = now.links.get((from_kind, to_kind), {}).get(record_id)
        if not targets:
            missing.append(wanted)
            continue
        to = [
            {"toObjectId": t, "associationTypes": _types(from_kind, to_kind, labels)} for t, labels in targets
        ]
        results.append({"from": {"id": wanted}, "to": to})
    errors = [
        {
            "status": "error",
            "category": "OBJECT_NOT_FOUND",
            "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
            "message": f"No {TYPE_IDS[to_kind]} is associated with {TYPE_IDS[from_kind]}-{record_id}.",
            "context": {"fromObjectId": [record_id], "fromObjectType": [TYPE_IDS[from_kind]],
                        "toObjectType": [TYPE_IDS[to_kind]]},
            "errors": [],
            "links": {},
        }
        for record_id in missing
    ]  # fmt: skip
    return _batch(results, errors)


def _associations_of_one(request: Request, world: World, _: Any) -> Any:
    from_kind, to_kind, now = _kind(request), _kind(request, "to"), portal(world)
    record_id = _resolve(now.winners[from_kind], request.path_params["id"])
    if record_id not in now.records[from_kind]:
        raise Refused(refusal("not_found", {}))
    targets = now.links.get((from_kind, to_kind), {}).get(record_id, [])
    return {
        "results": [
            {"toObjectId": target, "associationTypes": _types(from_kind, to_kind, labels)}
            for target, labels in targets
        ]
    }


def _all_owners(world: World) -> list[dict[str, Any]]:
    teams = ", ".join(f"'{team}'" for team in territories.teams_of(CRM))
    rows = world.rows(
        f"select * from crm_owners where created_at <= {world.now_sql} and team_name in ({teams})"
        " order by cast(owner_id as bigint)"
    )
    shown = []
    for row in rows:
        left = row["archived_at"]
        archived = left is not None and left <= world.as_of.replace(tzinfo=None)
        changed = left if archived else row["created_at"]
        owner: dict[str, Any] = {
            "id": row["owner_id"],
            "email": row["email"],
            "type": "PERSON",
            "firstName": row["first_name"],
            "lastName": row["last_name"],
            "userIdIncludingInactive": int(row["user_id"]),
            "createdAt": _stamp(row["created_at"]),
            "updatedAt": _stamp(changed),
            "archived": archived,
        }
        if not archived:
            owner["userId"] = int(row["user_id"])
            owner["teams"] = [{"id": str(row["team_id"]), "name": row["team_name"], "primary": True}]
        shown.append(owner)
    return shown


def _owners(request: Request, world: World, _: Any) -> Any:
    query = request.query_params
    limit = _limit(query.get("limit"), 100, 500)
    archived = _truth(query.get("archived"))
    owners = [owner for owner in _all_owners(world) if owner["archived"] == archived]
    if query.get("email"):
        owners = [owner for owner in owners if owner["email"].lower() == query["email"].lower()]
    after = query.get("after", "0")
    if not after.isdigit():
        raise _bad(f"Invalid paging token: {after}")
    owners = [owner for owner in owners if int(owner["id"]) > int(after)]
    body: dict[str, Any] = {"results": owners[:limit]}
    if len(owners) > limit:
        last = owners[limit - 1]["id"]
        body["paging"] = {"next": {"after": last, "link": str(request.url.include_query_params(after=last))}}
    return body


def _owner(request: Request, world: World, _: Any) -> Any:
    archived = _truth(request.query_params.get("archived"))
    for owner in _all_owners(world):
        if owner["id"] == request.path_params["id"] and owner["archived"] == archived:
            return owner
    raise Refused(refusal("not_found", {}))


def _pipelines(request: Request, world: World, _: Any) -> Any:
    kind = _kind(request)
    pipelines: dict[str, dict[str, Any]] = {}
    rows = (
        world.rows("select * from crm_pipelines order by pipeline_order, stage_order")
        if kind == "deals"
        else []
    )
    for row in rows:
        stamp = _stamp(row["created_at"])
        pipeline = pipelines.setdefault(
            row["pipeline_id"],
            {
                "id": row["pipeline_id"],
                "label": row["pipeline_label"],
                "displayOrder": row["pipeline_order"],
                "stages": [],
                "createdAt": stamp,
                "updatedAt": stamp,
                "archived": False,
            },
        )
        pipeline["stages"].append(
            {
                "id": row["stage_id"],
                "label": row["stage_label"],
                "displayOrder": row["stage_order"],
                "metadata": {
                    "isClosed": "true" if row["is_closed"] else "false",
                    "probability": str(row["probability"]),
                },
                "createdAt": stamp,
                "updatedAt": stamp,
                "archived": False,
                "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
            }
        )
    return {"results": list(pipelines.values())}


_DATETIMES = {
    "createdate",
    "closedate",
    "lastmodifieddate",
    "hs_lastmodifieddate",
    "hs_createdate",
    "hs_timestamp",
    "hs_meeting_start_time",
    "hs_meeting_end_time",
    "hs_task_completion_date",
}
_NUMBERS = {
    "amount",
    "hs_arr",
    "numberofemployees",
    "hs_call_duration",
    "hs_deal_stage_probability",
    "hs_object_id",
}
_CUSTOM = {
    "ga_client_ids",
    "app_user_id",
    "how_did_you_hear",
    "disqualified_reason",
    "is_partner",
    "competitor",
    "contract_start",
    "contract_end",
    "renewed_deal_id",
    "sourced_by",
    "partner_company_id",
    "bant_budget",
    "bant_authority",
    "bant_need",
    "bant_timeline",
    "marketing_consent",
}


def _properties(request: Request, _: World, __: Any) -> Any:
    kind = _kind(request)
    group = {"contacts": "contactinformation", "companies": "companyinformation", "deals": "dealinformation"}
    return {
        "results": [
            {
                "name": name,
                "label": name.removeprefix("hs_").replace("_", " ").capitalize(),
                "type": "datetime" if name in _DATETIMES else "number" if name in _NUMBERS else "string",
                "fieldType": "date" if name in _DATETIMES else "number" if name in _NUMBERS else "text",
                "description": "",
                "groupName": group.get(kind, "engagement"),
                "options": [],
                "hidden": False,
                "archived": False,
                "hubspotDefined": name not in _CUSTOM,
            }
            for name in sorted(_known(kind))
        ]
    }


def _details(_: Request, __: World, ___: Any) -> Any:
    return {
        "portalId": PORTAL,
        "accountType": "STANDARD",
        "timeZone": "Europe/Amsterdam",
        "companyCurrency": "EUR",
        "additionalCurrencies": ["SEK", "USD"],
        "utcOffset": "+02:00",
        "utcOffsetMilliseconds": 7_200_000,
        "uiDomain": "app.hubspot.com",
        "dataHostingLocation": "eu1",
    }
