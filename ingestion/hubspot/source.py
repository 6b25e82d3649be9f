"""What is read from HubSpot: object types with their properties, histories, associations, merges; owners;
pipelines.

First load by the lists, later ones by search on the last modification (with a lag, because the search index
follows late), then batch reads, because a search gives neither history nor associations. Deleted records
appear only in the list of archived records, and a merged record is not told at all except by the survivor's
`hs_merged_object_ids`: both are looked through in every run.

A record comes as one row, its associations as a JSON list in it, so that a changed list replaces the old
one as a whole. History is one row per change: changes only ever come on top.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any

from ingestion.errors import BadAnswer
from ingestion.http import ApiClient, Request, after, after_in_body
from ingestion.hubspot.settings import SETTINGS, SYSTEM_NAME, client_for
from ingestion.records import Column, Table, Type
from ingestion.settings import Connection, setting
from ingestion.sources import Context, Item, Page, Resource, System

SEARCH_CAP = 10_000
"""A search never gives more hits than this: beyond them it goes on from the last modification that it saw."""
SEARCH_PAGE = 200
LIST_PAGE = 100
HISTORY_PAGE = 50
ASSOCIATION_BATCH = 100
LAG = timedelta(hours=1)

PropertyName = str | Callable[[Connection], str]


def _custom(key: str) -> Callable[[Connection], str]:
    """A property whose name the portal chose: the setting says it."""
    return lambda connection: setting(connection, SETTINGS, key)


@dataclass(frozen=True)
class Field:
    """One property that gets a column of its own."""

    column: str
    property: PropertyName
    type: Type = "text"
    history: bool = False

    def name(self, connection: Connection) -> str:
        return self.property if isinstance(self.property, str) else self.property(connection)


@dataclass(frozen=True)
class ObjectType:
    """One type of CRM record."""

    name: str
    id_column: str
    modified: str
    fields: tuple[Field, ...]
    associations: tuple[str, ...] = ()
    further: Callable[[Connection], Sequence[str]] = field(default=lambda _: ())
    """Properties that are kept together in the JSON column `properties`."""

    @property
    def has_history(self) -> bool:
        return any(entry.history for entry in self.fields)


CONTACTS = ObjectType(
    "contacts",
    "contact_id",
    "lastmodifieddate",
    fields=(
        Field("email", "email", "email"),
        Field("phone", "phone", "phone"),
        Field("created_at", "createdate", "timestamp"),
        Field("lifecycle_stage", "lifecyclestage", history=True),
        Field("lead_status", "hs_lead_status", history=True),
        Field("disqualified_reason", _custom("DISQUALIFIED_PROPERTY"), history=True),
        Field("owner_id", "hubspot_owner_id", history=True),
        Field("original_source", "hs_analytics_source"),
        Field("self_reported_source", _custom("SELF_REPORTED_PROPERTY")),
        Field("country", "country"),
        Field("job_title", "jobtitle"),
        Field("client_ids", _custom("CLIENT_IDS_PROPERTY")),
        Field("user_id", _custom("USER_ID_PROPERTY")),
        Field("merged_object_ids", "hs_merged_object_ids", history=True),
    ),
    associations=("companies",),
    further=lambda connection: [
        name.strip()
        for name in setting(connection, SETTINGS, "CONTACT_ATTRIBUTES").split(",")
        if name.strip()
    ],
)
COMPANIES = ObjectType(
    "companies",
    "company_id",
    "hs_lastmodifieddate",
    fields=(
        Field("name", "name"),
        Field("domain", "domain"),
        Field("industry", "industry"),
        Field("employee_count", "numberofemployees", "double"),
        Field("country", "country"),
        Field("owner_id", "hubspot_owner_id"),
        Field("is_partner", _custom("IS_PARTNER_PROPERTY"), "boolean"),
        Field("created_at", "createdate", "timestamp"),
        Field("merged_object_ids", "hs_merged_object_ids", history=True),
    ),
)
DEALS = ObjectType(
    "deals",
    "deal_id",
    "hs_lastmodifieddate",
    fields=(
        Field("name", "dealname"),
        Field("pipeline", "pipeline"),
        Field("stage", "dealstage", history=True),
        Field("amount", "amount", "money", history=True),
        Field("arr", "hs_arr", "money"),
        Field("currency", "deal_currency_code"),
        Field("created_at", "createdate", "timestamp"),
        Field("close_date", "closedate", "timestamp", history=True),
        Field("is_closed", "hs_is_closed", "boolean"),
        Field("is_won", "hs_is_closed_won", "boolean"),
        Field("won_reason", "closed_won_reason"),
        Field("lost_reason", "closed_lost_reason"),
        Field("competitor", _custom("COMPETITOR_PROPERTY")),
        Field("owner_id", "hubspot_owner_id", history=True),
        Field("probability", "hs_deal_stage_probability", "double"),
        Field("forecast_category", "hs_forecast_category", history=True),
        Field("manual_forecast_category", "hs_manual_forecast_category", history=True),
        Field("next_step", "hs_next_step"),
        Field("deal_type", "dealtype"),
        Field("contract_start", _custom("CONTRACT_START_PROPERTY"), "timestamp"),
        Field("contract_end", _custom("CONTRACT_END_PROPERTY"), "timestamp"),
        Field("renewed_deal_id", _custom("RENEWED_DEAL_PROPERTY")),
        Field("sourced_by", _custom("SOURCED_BY_PROPERTY")),
        Field("partner_company_id", _custom("PARTNER_COMPANY_PROPERTY")),
        Field("merged_object_ids", "hs_merged_object_ids", history=True),
    ),
    associations=("contacts", "companies"),
)
_ACTIVITY = (
    Field("occurred_at", "hs_timestamp", "timestamp"),
    Field("created_at", "hs_createdate", "timestamp"),
    Field("owner_id", "hubspot_owner_id"),
    Field("object_source", "hs_object_source"),
    Field("object_source_label", "hs_object_source_label"),
)
_PEOPLE = ("contacts", "companies", "deals")


def _activity(name: str, *fields: Field) -> ObjectType:
    """Titles and texts are not asked for: they hold personal matters and no measure needs them."""
    return ObjectType(name, "activity_id", "hs_lastmodifieddate", (*_ACTIVITY, *fields), associations=_PEOPLE)


CALLS = _activity(
    "calls",
    Field("direction", "hs_call_direction"),
    Field("disposition", "hs_call_disposition"),
    Field("status", "hs_call_status"),
)
MEETINGS = _activity(
    "meetings",
    Field("starts_at", "hs_meeting_start_time", "timestamp"),
    Field("ends_at", "hs_meeting_end_time", "timestamp"),
    Field("outcome", "hs_meeting_outcome"),
)
EMAILS = _activity("emails", Field("direction", "hs_email_direction"), Field("status", "hs_email_status"))
TASKS = _activity(
    "tasks",
    Field("status", "hs_task_status"),
    Field("type", "hs_task_type"),
    Field("completed_at", "hs_task_completion_date", "timestamp"),
)
COMMUNICATIONS = _activity("communications", Field("channel_type", "hs_communication_channel_type"))

OBJECT_TYPES = (CONTACTS, COMPANIES, DEALS, CALLS, MEETINGS, EMAILS, TASKS, COMMUNICATIONS)


def table_of(kind: ObjectType) -> Table:
    """The raw table of an object type: its properties as columns, its associations as JSON lists."""
    return Table(
        kind.name,
        columns=(
            Column(kind.id_column, required=True),
            Column("modified_at", "timestamp", required=True),
            # Archiving does not always move the modification: the version is the later of both.
            Column("version_at", "timestamp", required=True),
            Column("archived", "boolean"),
            Column("archived_at", "timestamp"),
            *(Column(entry.column, entry.type) for entry in kind.fields),
            Column("properties", "json"),
            *(Column(f"{target}_links", "json") for target in kind.associations),
        ),
        key=(kind.id_column,),
        version="version_at",
        cursor="modified_at",
        lag=LAG,
        description=f"One record of type {kind.name}, archived ones included.",
    )


def history_table(kind: ObjectType) -> Table:
    """The raw table of an object type's changes."""
    return Table(
        f"{kind.name}_history",
        columns=(
            Column("change_id", required=True),
            Column(kind.id_column, required=True),
            Column("field", required=True),
            Column("value"),
            Column("changed_at", "timestamp", required=True),
            Column("source_type"),
            Column("source_id"),
            Column("changed_by"),
        ),
        key=("change_id",),
        description=f"One change of one property of one of the {kind.name}; field is our name of it.",
    )


MERGES = Table(
    "merges",
    columns=(
        Column("object_type", required=True),
        Column("merged_id", required=True),
        Column("into_id", required=True),
        Column("merged_at", "timestamp"),
    ),
    key=("object_type", "merged_id"),
    description="One record that was merged into another, as the survivor tells it.",
)
OWNERS = Table(
    "owners",
    columns=(
        Column("owner_id", path="id", required=True),
        Column("email", "email"),
        Column("first_name", path="firstName"),
        Column("last_name", path="lastName"),
        Column("user_id", path="userIdIncludingInactive"),
        Column("archived", "boolean"),
        Column("teams", "json"),
    ),
    key=("owner_id",),
    ignored=("createdAt", "updatedAt", "userId", "type"),
    description="One owner, former ones included.",
)
PIPELINE_STAGES = Table(
    "pipeline_stages",
    columns=(
        Column("pipeline_id", required=True),
        Column("stage_id", required=True),
        Column("pipeline_label"),
        Column("stage_label"),
        Column("display_order", "bigint"),
        Column("probability", "double"),
        Column("is_closed", "boolean"),
    ),
    key=("pipeline_id", "stage_id"),
    description="One stage of one deal pipeline.",
)


def objects(kind: ObjectType, context: Context) -> Iterator[Item]:
    """The records of one type that changed since the last load, and all archived ones, with histories."""
    client = client_for(context.connection)
    names = _Names(kind, context.connection)
    since = context.since(kind.name)
    records = listed(client, names, archived=False) if since is None else changed(client, names, since)
    for batch in _batches(records, 2_000):
        links = {
            target: associations(client, kind.name, target, [str(r["id"]) for r in batch])
            for target in kind.associations
        }
        yield from _pages(names, batch, links)
    for batch in _batches(listed(client, names, archived=True), 2_000):
        yield from _pages(names, batch, {})


class _Names:
    """An object type with the property names of one portal."""

    def __init__(self, kind: ObjectType, connection: Connection) -> None:
        self.kind = kind
        self.columns = {entry.column: entry.name(connection) for entry in kind.fields}
        self.history = {entry.name(connection): entry.column for entry in kind.fields if entry.history}
        self.further = list(kind.further(connection))
        self.wanted = list(dict.fromkeys([*self.columns.values(), *self.further, kind.modified]))


def listed(client: ApiClient, names: _Names, *, archived: bool) -> Iterator[dict[str, Any]]:
    """Every record of a type by the list, with histories."""
    params: dict[str, Any] = {
        "limit": HISTORY_PAGE if names.history else LIST_PAGE,
        "archived": str(archived).lower(),
        "properties": ",".join(names.wanted),
    }
    if names.history:
        params["propertiesWithHistory"] = ",".join(names.history)
    path = f"/crm/v3/objects/{names.kind.name}"
    for page in client.pages(path, params=params, next_request=after("paging.next.after"), data="results"):
        yield from page.at("results")


def changed(client: ApiClient, names: _Names, since: datetime) -> Iterator[dict[str, Any]]:
    """The records that were modified since a moment, read whole."""
    size = HISTORY_PAGE if names.history else LIST_PAGE
    path = f"/crm/v3/objects/{names.kind.name}/batch/read"
    for ids in _batches(changed_ids(client, names.kind, since), size):
        body: dict[str, Any] = {
            "inputs": [{"id": record_id} for record_id in ids],
            "properties": names.wanted,
            "propertiesWithHistory": list(names.history),
        }
        results = client.post(path, json=body).at("results")
        if not isinstance(results, list):
            raise BadAnswer(
                SYSTEM_NAME, f"the batch read of {names.kind.name} has no results.", "Run again later."
            )
        # What was archived or merged since the search is missing; the archived list or its survivor tells.
        yield from results


def changed_ids(client: ApiClient, kind: ObjectType, since: datetime) -> Iterator[str]:
    """The ids of records modified at or after a moment, oldest modification first, each id once.

    Raises BadAnswer where more records share one modification time than a search can give.
    """
    moment = since.astimezone(UTC) if since.tzinfo else since.replace(tzinfo=UTC)
    start = int(moment.timestamp() * 1000)
    seen: set[str] = set()
    while True:
        request = Request(
            f"/crm/v3/objects/{kind.name}/search",
            "POST",
            json={
                "filterGroups": [
                    {"filters": [{"propertyName": kind.modified, "operator": "GTE", "value": str(start)}]}
                ],
                "sorts": [{"propertyName": kind.modified, "direction": "ASCENDING"}],
                "properties": [kind.modified],
                "limit": SEARCH_PAGE,
            },
        )
        hits, last, total = 0, start, 0
        for page in client.pages(request, next_request=_within_cap, data="results"):
            total = int(page.at("total", 0))
            for record in page.at("results"):
                hits += 1
                last = _milliseconds(record["properties"].get(kind.modified) or record["updatedAt"])
                if record["id"] not in seen:
                    seen.add(record["id"])
                    yield str(record["id"])
        if hits >= total:
            return
        if last <= start:
            raise BadAnswer(
                SYSTEM_NAME,
                f"more than {SEARCH_CAP} {kind.name} have one modification time: no search can list them.",
                f"Load {kind.name} anew: drop raw_{SYSTEM_NAME}.{kind.name} and run again.",
            )
        start = last


def _within_cap(request: Request, answer: Any) -> Request | None:
    following = after_in_body("paging.next.after", "after")(request, answer)
    if following is None or int(following.json["after"]) + SEARCH_PAGE > SEARCH_CAP:
        return None
    return following


def associations(
    client: ApiClient, from_type: str, to_type: str, ids: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """From each id to the records of another type that it is associated with: [{"id", "labels"}], by id."""
    found: dict[str, dict[str, set[str]]] = {}
    path = f"/crm/v4/associations/{from_type}/{to_type}/batch/read"
    inputs: list[dict[str, str]] = [{"id": record_id} for record_id in ids]
    asked: set[tuple[str, str]] = set()
    while inputs:
        chunk, inputs = inputs[:ASSOCIATION_BATCH], inputs[ASSOCIATION_BATCH:]
        # Ids without any association come back as errors of a 207: that is no failure.
        results = client.post(path, json={"inputs": chunk}).at("results")
        if not isinstance(results, list):
            raise BadAnswer(
                SYSTEM_NAME, f"the associations of {from_type} have no results.", "Run again later."
            )
        for result in results:
            record_id = str(result["from"]["id"])
            targets = found.setdefault(record_id, {})
            for target in result["to"]:
                labels = targets.setdefault(str(target["toObjectId"]), set())
                labels.update(
                    kind["label"] for kind in target.get("associationTypes", []) if kind.get("label")
                )
            cursor = ((result.get("paging") or {}).get("next") or {}).get("after")
            if cursor:
                if (record_id, cursor) in asked:
                    raise BadAnswer(
                        SYSTEM_NAME, f"the associations of {from_type} gave the same cursor twice."
                    )
                asked.add((record_id, cursor))
                inputs.append({"id": record_id, "after": cursor})
    return {
        record_id: [{"id": target, "labels": sorted(labels)} for target, labels in sorted(targets.items())]
        for record_id, targets in found.items()
    }


def _pages(
    names: _Names,
    records: Sequence[Mapping[str, Any]],
    links: Mapping[str, Mapping[str, list[dict[str, Any]]]],
) -> Iterator[Item]:
    """Pages of the object table, of its history and of merges, from records as the API gives them."""
    kind = names.kind
    yield Page(kind.name, records=[_row(names, record, links) for record in records])
    if not kind.has_history:
        return
    changes: list[dict[str, Any]] = []
    merges: list[dict[str, Any]] = []
    for record in records:
        for name, entries in (record.get("propertiesWithHistory") or {}).items():
            column = names.history.get(name)
            if column == "merged_object_ids":
                merges.extend(merges_of(kind.name, str(record["id"]), entries))
            elif column is not None:
                changes.extend(_change(kind, str(record["id"]), column, entry) for entry in entries)
    yield Page(f"{kind.name}_history", records=changes)
    yield Page(MERGES.name, records=merges)


ENVELOPE = frozenset(
    {
        "id",
        "properties",
        "propertiesWithHistory",
        "associations",
        "createdAt",
        "updatedAt",
        "archived",
        "archivedAt",
        "url",
    }
)
"""What stands around a record's properties, known and read or not needed."""


def _row(
    names: _Names, record: Mapping[str, Any], links: Mapping[str, Mapping[str, list[dict[str, Any]]]]
) -> dict[str, Any]:
    values = record.get("properties") or {}
    kind = names.kind
    modified = values.get(kind.modified) or record.get("updatedAt")
    archived_at = record.get("archivedAt")
    row: dict[str, Any] = {
        kind.id_column: record.get("id"),
        "modified_at": modified,
        "version_at": max(modified, archived_at) if modified and archived_at else modified,
        "archived": record.get("archived", False),
        "archived_at": archived_at,
        **{column: values.get(name) or None for column, name in names.columns.items()},
    }
    further = {name: values[name] for name in names.further if values.get(name) is not None}
    row["properties"] = further or None
    for target in kind.associations:
        row[f"{target}_links"] = links.get(target, {}).get(str(record.get("id"))) or None
    # what the API adds to its records goes on, so that it is kept and reported
    return {**{name: value for name, value in record.items() if name not in ENVELOPE}, **row}


def _change(kind: ObjectType, record_id: str, column: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """One change. Its id is made of what it says, so that the same change read twice is one row."""
    said = (kind.name, record_id, column, str(entry.get("timestamp")), str(entry.get("value")))
    return {
        "change_id": hashlib.sha256("\x1f".join(said).encode("utf-8", "surrogatepass")).hexdigest(),
        kind.id_column: record_id,
        "field": column,
        "value": entry.get("value"),
        "changed_at": entry.get("timestamp"),
        "source_type": entry.get("sourceType"),
        "source_id": entry.get("sourceId"),
        "changed_by": entry.get("updatedByUserId"),
    }


def merges_of(object_type: str, record_id: str, entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The merges that the history of `hs_merged_object_ids` tells: each id from its first naming on."""
    found: dict[str, Any] = {}
    for entry in sorted(entries, key=lambda entry: str(entry.get("timestamp"))):
        for merged_id in str(entry.get("value") or "").split(";"):
            if merged_id.strip():
                found.setdefault(merged_id.strip(), entry.get("timestamp"))
    return [
        {"object_type": object_type, "merged_id": merged_id, "into_id": record_id, "merged_at": moment}
        for merged_id, moment in found.items()
        if merged_id != record_id
    ]


def owners(context: Context) -> Iterator[Item]:
    """Owners, present and former."""
    client = client_for(context.connection)
    for archived in ("false", "true"):
        params = {"limit": 100, "archived": archived}
        for page in client.pages(
            "/crm/v3/owners", params=params, next_request=after("paging.next.after"), data="results"
        ):
            yield Page(OWNERS.name, body=page.content, at="results")


def pipeline_stages(context: Context) -> Iterator[Item]:
    """The stages of the deal pipelines."""
    client = client_for(context.connection)
    document = client.get("/crm/v3/pipelines/deals").json()
    client.require(document, "results")
    known = {*ENVELOPE, "label", "stages", "displayOrder"}
    rows = [
        {
            **{name: value for name, value in pipeline.items() if name not in known},
            "pipeline_id": pipeline.get("id"),
            "pipeline_label": pipeline.get("label"),
            "stage_id": stage.get("id"),
            "stage_label": stage.get("label"),
            "display_order": stage.get("displayOrder"),
            "probability": (stage.get("metadata") or {}).get("probability"),
            "is_closed": (stage.get("metadata") or {}).get("isClosed"),
        }
        for pipeline in document["results"]
        for stage in pipeline.get("stages") or []
    ]
    yield Page(PIPELINE_STAGES.name, records=rows)


def _batches(values: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(values)
    while batch := list(islice(iterator, size)):
        yield batch


def _milliseconds(text: str) -> int:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def check(connection: Connection) -> str:
    """Ask for one record of each type: a missing scope shows at once."""
    client = client_for(connection)
    for kind in OBJECT_TYPES:
        document = client.get(f"/crm/v3/objects/{kind.name}", params={"limit": 1}).json()
        client.require(document, "results")
    client.require(client.get("/crm/v3/owners", params={"limit": 1}).json(), "results")
    kinds = ", ".join(kind.name for kind in OBJECT_TYPES)
    return f"portal {', '.join(connection.accounts)}: {kinds} and owners can be read"


def _resource(kind: ObjectType) -> Resource:
    tables = (table_of(kind), history_table(kind)) if kind.has_history else (table_of(kind),)
    return Resource(kind.name, tables=tables, extract=partial(objects, kind))


# Merges are told by contacts, companies and deals alike, and the tables of one resource are loaded together.
_CRM = (CONTACTS, COMPANIES, DEALS)


def crm_objects(context: Context) -> Iterator[Item]:
    """Contacts, companies and deals, with histories and merges."""
    for kind in _CRM:
        yield from objects(kind, context)


SYSTEM = System(
    name=SYSTEM_NAME,
    resources=(
        Resource(
            "crm_objects",
            tables=(*(table_of(kind) for kind in _CRM), *(history_table(kind) for kind in _CRM), MERGES),
            extract=crm_objects,
        ),
        *(_resource(kind) for kind in OBJECT_TYPES if kind not in _CRM),
        Resource("owners", tables=(OWNERS,), extract=owners),
        Resource("pipeline_stages", tables=(PIPELINE_STAGES,), extract=pipeline_stages),
    ),
    settings=SETTINGS,
    check=check,
    api_version="v3, associations v4",
)
