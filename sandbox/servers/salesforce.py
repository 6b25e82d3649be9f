"""Salesforce REST API of one org: OAuth, query and queryAll for a part of SOQL, describe, limits.

The org holds what `sandbox.company.territories` gives it. Everybody begins as a lead; with the first
opportunity the lead is converted into a contact, and what happens from then on happens to the contact.
Duplicates are merged (leads and accounts) or, where the vendor has no merge, deleted (opportunities). Names
on the right of the maps are the org's. Not modelled: what else goes into the recycle bin with a deleted
record, and that the bin is emptied.
"""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.company import territories
from sandbox.company.territories import as_type, record_id
from sandbox.servers import _soql as soql
from sandbox.servers._answers import Refused, answer, bearer, digest
from sandbox.servers._soql import Entity, stamp
from sandbox.world import World

CLIENT_ID = "3MVG9sandbox.consumer.key"
CLIENT_SECRET = "sandbox-consumer-secret"
REFRESH_TOKEN = "5Aep861sandbox.refresh.token"
ORGANIZATION = "fjordlight-us"
LISTS = ("records",)
FIRST_VERSION, LAST_VERSION = 31, 68
LARGEST_PAGE, SMALLEST_PAGE = 2000, 200
VALUES_A_PAGE = 2000  # wide records come in smaller pages, as they may: so that a small company has several
OPEN_LOCATORS = 10
DAILY_REQUESTS = 100_000
CRM = territories.ACQUIRED
MINE = f"select object_id from crm_objects where crm = '{CRM}'"

STAGES = {
    ("sales", "request"): "Qualification", ("sales", "briefing"): "Needs Analysis",
    ("sales", "quote"): "Proposal/Price Quote", ("sales", "closedwon"): "Closed Won",
    ("sales", "closedlost"): "Closed Lost", ("renewals", "renewal_due"): "Renewal Due",
    ("renewals", "renewal_quote"): "Renewal Quote", ("renewals", "closedwon"): "Closed Won",
    ("renewals", "closedlost"): "Closed Lost",
}  # fmt: skip
RECORD_TYPES = {"sales": ("Sales", 1), "renewals": ("Renewals", 2)}
FORECASTS = {  # category -> as the history of stages and the code know it, as people see it
    "pipeline": ("Pipeline", "Pipeline"), "best_case": ("BestCase", "Best Case"),
    "commit": ("Forecast", "Commit"), "closed": ("Closed", "Closed"), "omitted": ("Omitted", "Omitted"),
}  # fmt: skip
TYPES = {"new_business": "New Business", "renewal": "Renewal", "expansion": "Expansion"}
LIFECYCLE = {
    "subscriber": "Subscriber", "lead": "Lead", "marketingqualifiedlead": "MQL", "salesqualifiedlead": "SQL",
    "opportunity": "Opportunity", "customer": "Customer",
}  # fmt: skip
STATUS = {"NEW": "New", "OPEN": "Contacted", "IN_PROGRESS": "Working", "UNQUALIFIED": "Unqualified",
          "RECYCLED": "Nurturing"}  # fmt: skip
CONVERTED = "Qualified"
SOURCES = {
    "PAID_SEARCH": "Paid Search", "PAID_SOCIAL": "Paid Social", "ORGANIC_SEARCH": "Organic Search",
    "SOCIAL_MEDIA": "Social Media", "REFERRALS": "Web Referral", "EMAIL_MARKETING": "Email",
    "OFFLINE": "Offline",
    "DIRECT_TRAFFIC": "Web", "AI_REFERRALS": "AI Assistant", "OTHER_CAMPAIGNS": "Other Campaign",
}  # fmt: skip
INDUSTRIES = {
    "software": "Technology", "architecture": "Architecture", "hospitality": "Hospitality",
    "retail": "Retail", "construction": "Construction", "media": "Media", "education": "Education",
}  # fmt: skip
ROLES = {
    "decision_maker": "Decision Maker",
    "champion": "Champion",
    "user": "Business User",
    "legal": "Legal",
}
CAMPAIGN_TYPES = {"event": "Conference", "webinar": "Webinar", "direct_mail": "Direct Mail",
                  "partner_referral": "Referral Program"}  # fmt: skip
MEMBER_STATUS = {"attended": "Attended", "registered": "Registered", "no_show": "No Show", "sent": "Sent",
                 "referred": "Referred"}  # fmt: skip
RESPONDED = ("attended", "registered", "referred")
CALL_RESULTS = {"CONNECTED": "Connected", "NO_ANSWER": "No Answer", "BUSY": "Busy",
                "LEFT_VOICEMAIL": "Left Voicemail"}  # fmt: skip
MEETING_OUTCOMES = {"SCHEDULED": "Scheduled", "COMPLETED": "Completed", "NO_SHOW": "No Show",
                    "RESCHEDULED": "Rescheduled", "CANCELED": "Canceled"}  # fmt: skip
COUNTRIES = {"US": "United States", "NL": "Netherlands", "SE": "Sweden"}
QUEUE = record_id("00G", 1)
ROBOT = record_id("005", 1)

_STAMPS = {"CreatedDate": "datetime", "SystemModstamp": "datetime", "IsDeleted": "boolean"}
_PERSON = {
    "Id": "id", "Email": "email", "Phone": "phone", "FirstName": "string", "LastName": "string",
    "Title": "string", "LeadSource": "picklist", "OwnerId": "reference", "MasterRecordId": "reference",
    "Lifecycle_Stage__c": "picklist", "Disqualified_Reason__c": "picklist", "How_Heard__c": "string",
    "GA_Client_Ids__c": "string", "App_User_Id__c": "string", "BANT_Budget__c": "picklist",
    "BANT_Authority__c": "picklist", "BANT_Need__c": "picklist", "BANT_Timeline__c": "picklist",
    "Marketing_Consent__c": "picklist", **_STAMPS,
}  # fmt: skip
_CHANGE = {
    "Id": "id", "IsDeleted": "boolean", "CreatedById": "reference", "CreatedDate": "datetime",
    "Field": "picklist", "DataType": "picklist", "OldValue": "string", "NewValue": "string",
}  # fmt: skip
_ACTIVITY = {
    "Id": "id", "WhoId": "reference", "WhatId": "reference", "AccountId": "reference", "Subject": "string",
    "OwnerId": "reference", "CreatedById": "reference", "Type": "picklist", "IsArchived": "boolean",
    **_STAMPS,
}  # fmt: skip
_ROLE = Entity("UserRole", "00E", {"Id": "id", "Name": "string"})
_USER = {
    "Id": "id", "FirstName": "string", "LastName": "string", "Name": "string", "Email": "email",
    "IsActive": "boolean", "UserType": "picklist", "ManagerId": "reference", "UserRoleId": "reference",
    "CreatedDate": "datetime", "SystemModstamp": "datetime",
}  # fmt: skip
_RECORD_TYPE = Entity("RecordType", "012", {"Id": "id", "DeveloperName": "string", "Name": "string"})
ENTITIES = {
    entity.name: entity
    for entity in (
        Entity("Organization", "00D", {"Id": "id", "Name": "string", "InstanceName": "string",
               "IsSandbox": "boolean", "OrganizationType": "picklist"}),
        Entity("User", "005", _USER, {"UserRole": _ROLE}),
        Entity("Lead", "00Q", {**_PERSON, "Company": "string", "Country": "string", "Status": "picklist",
               "IsConverted": "boolean", "ConvertedDate": "date", "ConvertedContactId": "reference",
               "ConvertedAccountId": "reference", "Account__c": "reference"}),
        Entity("Contact", "003", {**_PERSON, "AccountId": "reference", "MailingCountry": "string"}),
        Entity("Account", "001", {"Id": "id", "Name": "string", "Website": "string", "Industry": "picklist",
               "NumberOfEmployees": "int", "BillingCountry": "string", "BillingCity": "string",
               "OwnerId": "reference", "MasterRecordId": "reference", "Is_Partner__c": "boolean", **_STAMPS}),
        Entity("Opportunity", "006", {"Id": "id", "AccountId": "reference", "Name": "string",
               "RecordTypeId": "reference", "StageName": "picklist", "Amount": "currency",
               "ARR__c": "currency",
               "CurrencyIsoCode": "picklist", "CloseDate": "date", "IsClosed": "boolean", "IsWon": "boolean",
               "Probability": "percent", "ForecastCategory": "picklist", "ForecastCategoryName": "picklist",
               "NextStep": "string", "Type": "picklist", "OwnerId": "reference", "Loss_Reason__c": "picklist",
               "Won_Reason__c": "picklist", "Competitor__c": "string", "Contract_Start__c": "date",
               "Contract_End__c": "date", "Renewed_Opportunity__c": "reference", "Sourced_By__c": "picklist",
               "Partner_Account__c": "reference", **_STAMPS}, {"RecordType": _RECORD_TYPE}),
        Entity("OpportunityContactRole", "00K", {"Id": "id", "OpportunityId": "reference",
               "ContactId": "reference", "Role": "picklist", "IsPrimary": "boolean", **_STAMPS}),
        Entity("OpportunityHistory", "008", {"Id": "id", "OpportunityId": "reference",
               "CreatedById": "reference", "StageName": "picklist", "Amount": "currency",
               "ExpectedRevenue": "currency", "CloseDate": "date", "Probability": "percent",
               "ForecastCategory": "picklist", "CurrencyIsoCode": "picklist", **_STAMPS}),
        Entity("OpportunityFieldHistory", "017", {**_CHANGE, "OpportunityId": "reference"}),
        Entity("LeadHistory", "017", {**_CHANGE, "LeadId": "reference"}),
        Entity("ContactHistory", "017", {**_CHANGE, "ContactId": "reference"}),
        Entity("Campaign", "701", {"Id": "id", "Name": "string", "Type": "picklist", "Status": "picklist",
               "StartDate": "date", "EndDate": "date", **_STAMPS}),
        Entity("CampaignMember", "00v", {"Id": "id", "CampaignId": "reference", "LeadId": "reference",
               "ContactId": "reference", "Status": "picklist", "HasResponded": "boolean",
               "FirstRespondedDate": "date", **_STAMPS}),
        Entity("Task", "00T", {**_ACTIVITY, "TaskSubtype": "picklist", "Status": "picklist",
               "ActivityDate": "date", "CompletedDateTime": "datetime", "IsClosed": "boolean",
               "CallType": "picklist", "CallDisposition": "string", "CallDurationInSeconds": "int"},
               {"CreatedBy": Entity("User", "005", _USER)}),
        Entity("Event", "00U", {**_ACTIVITY, "StartDateTime": "datetime", "EndDateTime": "datetime",
               "ActivityDate": "date", "Meeting_Outcome__c": "picklist"},
               {"CreatedBy": Entity("User", "005", _USER)}),
        Entity("EmailMessage", "02s", {"Id": "id", "ActivityId": "reference", "RelatedToId": "reference",
               "Incoming": "boolean", "Status": "picklist", "MessageDate": "datetime", "IsBounced": "boolean",
               **_STAMPS}),
    )
}  # fmt: skip
HAS_NO_BIN = ("User", "Organization")  # types whose records are never deleted

Rows = dict[str, list[dict[str, Any]]]
Value = tuple[datetime, str | None, str | None]  # when, what, who


# -------------------------------------------------------------------------------------------------- the paths


class Server:
    """The tokens that were given out, the open query locators, and the requests of the day."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tokens: set[str] = set()
        self.locators: OrderedDict[str, tuple[str, list[bytes], int]] = OrderedDict()
        self.requests = 0

    def endpoint(self, handler: Callable[[Request], Response]) -> Callable[[Request], Any]:
        async def run(request: Request) -> Response:
            token = bearer(request)
            if token not in self.tokens:
                raise Refused(refusal("expired_token" if token else "no_token", {}))
            version = re.fullmatch(r"v(\d+)\.0", request.path_params["version"])
            if version is None or int(version[1]) > LAST_VERSION:
                raise Refused(refusal("not_found", {}))
            if int(version[1]) < FIRST_VERSION:
                text = "The requested API version has been retired."
                raise Refused(_error(410, "UNSUPPORTED_API_VERSION", text))
            self.requests += 1
            response = handler(request)
            response.headers["Sforce-Limit-Info"] = f"api-usage={self.requests}/{DAILY_REQUESTS}"
            return response

        return run

    async def token(self, request: Request) -> Response:
        """Answer the token endpoint: client credentials, or a refresh token."""
        form = {key: values[0] for key, values in parse_qs((await request.body()).decode()).items()}
        grant = form.get("grant_type")
        if grant not in ("client_credentials", "refresh_token"):
            return _refused_token("unsupported_grant_type", "grant type not supported")
        if form.get("client_id") != CLIENT_ID:
            return _refused_token("invalid_client_id", "client identifier invalid")
        if form.get("client_secret") != CLIENT_SECRET:
            return _refused_token("invalid_client", "invalid client credentials")
        if grant == "refresh_token" and form.get("refresh_token") != REFRESH_TOKEN:
            return _refused_token("invalid_grant", "expired access/refresh token")
        token = f"00DHr0000000001!{secrets.token_urlsafe(24)}"
        self.tokens.add(token)
        base = str(request.base_url).rstrip("/")
        body = {
            "access_token": token,
            "signature": secrets.token_urlsafe(24),
            "scope": "api",
            "instance_url": base,
            "id": f"{base}/id/{record_id('00D', 1)}/{ROBOT}",
            "token_type": "Bearer",
            "issued_at": str(int(self.world.as_of.timestamp() * 1000)),
        }
        return answer(body, headers={"Cache-Control": "no-store"})

    def query(self, request: Request) -> Response:
        """Answer a query: its first page, and a locator for the others."""
        everything = request.url.path.rstrip("/").endswith("queryAll")
        text = request.query_params.get("q")
        if not text:
            raise Refused(_error(400, "MALFORMED_QUERY", "A query string has to be specified"))
        try:
            query = soql.parse(text, ENTITIES)
        except soql.Refusal as refused:
            raise Refused(_error(400, refused.code, refused.message)) from None
        rows = org(self.world)[query.entity.name]
        if not everything:
            rows = [row for row in rows if not row.get("IsDeleted") and not row.get("IsArchived")]
        found = query.answer(rows)
        if query.counts:
            return answer({"totalSize": len(found), "done": True, "records": []})
        version = request.path_params["version"]
        records = [_shown(query.entity, row, query.fields, version) for row in found]
        locator = as_type(record_id("01g", int(digest(secrets.token_hex(8), length=12), 16)), "01g")
        size = min(_batch_size(request), VALUES_A_PAGE // max(len(query.fields), 1))
        if len(records) > size:
            self.locators[locator] = (version, [_rendered(one) for one in records], size)
            while len(self.locators) > OPEN_LOCATORS:  # as many as one user may keep open; the oldest goes
                self.locators.popitem(last=False)
        return self._page(locator, version, [_rendered(one) for one in records], size, 0)

    def more(self, request: Request) -> Response:
        """Answer a locator: the page from its position on."""
        name, _, position = request.path_params["locator"].partition("-")
        found = self.locators.get(name)
        if found is None or not position.isdigit() or int(position) >= len(found[1]):
            raise Refused(refusal("expired_cursor", {}))
        version, records, size = found
        return self._page(name, version, records, size, int(position))

    def _page(self, locator: str, version: str, records: list[bytes], size: int, start: int) -> Response:
        until = start + size
        done = until >= len(records)
        follows = "" if done else f',"nextRecordsUrl":"/services/data/{version}/query/{locator}-{until}"'
        head = f'{{"totalSize":{len(records)},"done":{"true" if done else "false"}{follows},"records":['
        return answer(head.encode() + b",".join(records[start:until]) + b"]}")

    def describe(self, request: Request) -> Response:
        """Answer what fields a type of record has."""
        name = request.path_params["name"]
        entity = next((e for key, e in ENTITIES.items() if key.lower() == name.lower()), None)
        if entity is None:
            raise Refused(refusal("not_found", {}))
        fields = [
            {
                "name": one,
                "label": one.removesuffix("__c").replace("_", " "),
                "type": kind,
                "custom": one.endswith("__c"),
                "nillable": one != "Id",
                "filterable": True,
                "sortable": True,
            }
            for one, kind in entity.fields.items()
        ]
        return answer({"name": entity.name, "keyPrefix": entity.prefix, "queryable": True, "fields": fields})

    def limits(self, _: Request) -> Response:
        """Answer the org's limits."""
        left = DAILY_REQUESTS - self.requests
        return answer({"DailyApiRequests": {"Max": DAILY_REQUESTS, "Remaining": left}})


def routes(world: World) -> list[Route]:
    """Return the paths of this vendor."""
    server = Server(world)
    base = "/services/data/{version}"
    paths = (
        (f"{base}/query", server.query),
        (f"{base}/query/", server.query),
        (f"{base}/queryAll", server.query),
        (f"{base}/queryAll/", server.query),
        (f"{base}/query/{{locator}}", server.more),
        (f"{base}/sobjects/{{name}}/describe", server.describe),
        (f"{base}/limits", server.limits),
    )
    return [
        Route("/services/oauth2/token", server.token, methods=["POST"]),
        *(Route(path, server.endpoint(handler), methods=["GET"]) for path, handler in paths),
    ]


def environment(base_url: str) -> dict[str, str]:
    """Return the variables that point the connector at this server."""
    prefix = "SOURCES__SALESFORCE__"
    return {
        f"{prefix}BASE_URL": f"{base_url}/salesforce",
        f"{prefix}CLIENT_ID": CLIENT_ID,
        f"{prefix}CLIENT_SECRET": CLIENT_SECRET,
    }


def _error(status: int, code: str, message: str) -> Response:
    return answer([{"message": message, "errorCode": code}], status)


def _refused_token(code: str, description: str) -> Response:
    return answer({"error": code, "error_description": description}, 400)


def refusal(kind: str, params: Mapping[str, Any]) -> Response:
    """Return the vendor's own answer for a fault."""
    if kind == "rate_limit":
        scope = str(params.get("scope", "ConcurrentPerOrgLongTxn"))
        return _error(403, "REQUEST_LIMIT_EXCEEDED", f"{scope} Limit exceeded.")
    if kind == "server_error":
        return _error(int(params.get("status", 500)), "UNKNOWN_EXCEPTION", "An unexpected error occurred.")
    if kind == "expired_token":
        return _error(401, "INVALID_SESSION_ID", "Session expired or invalid")
    if kind == "no_token":
        return _error(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
    if kind == "expired_cursor":
        return _error(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
    return _error(404, "NOT_FOUND", "The requested resource does not exist")


def _batch_size(request: Request) -> int:
    asked = re.search(r"batchSize=(\d+)", request.headers.get("Sforce-Query-Options", ""), re.I)
    return min(max(int(asked[1]), SMALLEST_PAGE), LARGEST_PAGE) if asked else LARGEST_PAGE


def _rendered(record: Mapping[str, Any]) -> bytes:
    return bytes(answer(dict(record)).body)


def _shown(entity: Entity, row: Mapping[str, Any], fields: list[str], version: str) -> dict[str, Any]:
    url = f"/services/data/{version}/sobjects/{entity.name}/{row['Id']}"
    record: dict[str, Any] = {"attributes": {"type": entity.name, "url": url}}
    for name in fields:
        first, _, rest = name.partition(".")
        if not rest:
            record[name] = row.get(name)
            continue
        parent = row.get(first)
        if parent is None:
            record[first] = None
            continue
        of = entity.parents[first]
        there = f"/services/data/{version}/sobjects/{of.name}/{parent['Id']}"
        shown = record.setdefault(first, {"attributes": {"type": of.name, "url": there}})
        shown[rest] = parent.get(rest)
    return record


# -------------------------------------------------------------------------------------------------- the org


def org(world: World) -> Rows:
    """Return the org's records at the clock, by type (built once per clock)."""
    return world.memo("salesforce org", lambda: _Org(world).build())


def warm(world: World) -> None:
    """Build the org ahead of the first request."""
    org(world)


@dataclass
class _Record:
    """One of the company's records with its values in time order."""

    id: str
    created: datetime
    deleted: datetime | None
    merged_into: str | None
    merged: datetime | None
    values: dict[str, list[Value]] = field(default_factory=dict)

    def at(self, name: str, moment: datetime, before: bool = False) -> str | None:
        """The value at a moment, or just before it."""
        values = [v for v in self.values.get(name, ()) if v[0] < moment or (v[0] == moment and not before)]
        return values[-1][1] if values else None

    def changes(self, names: tuple[str, ...] | None, since: datetime, until: datetime) -> Iterator[datetime]:
        """The moments at which one of the properties changed."""
        for name, values in self.values.items():
            if names is None or name in names:
                yield from (value[0] for value in values if since <= value[0] <= until)


class _Org:
    """Puts the org together; the methods fill `rows` type by type."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.now = world.as_of.replace(tzinfo=None)
        self.rows: Rows = {name: [] for name in ENTITIES}
        self.users: dict[str, str] = {}
        self.records: dict[str, dict[str, _Record]] = {"company": {}, "contact": {}, "deal": {}}
        # Links: record -> [(from, until, to)] to its companies; deal -> contacts with labels.
        self.homes: dict[str, list[tuple[datetime, datetime, str]]] = defaultdict(list)
        self.people: dict[tuple[str, str], list[tuple[datetime, datetime | None, str]]] = defaultdict(list)
        self.converted: dict[str, datetime] = {}

    def build(self) -> Rows:
        self._users()
        self._read()
        self._convert()
        self._accounts()
        self._people()
        self._opportunities()
        self._roles()
        self._campaigns()
        self._activities()
        return self.rows

    # ---- what lies below

    def _users(self) -> None:
        org_row = {"Id": record_id("00D", 1), "Name": "Fjordlight US", "InstanceName": "USA1",
                   "IsSandbox": False,
                   "OrganizationType": "Enterprise Edition"}  # fmt: skip
        self.rows["Organization"].append(org_row)
        robot = {"Id": ROBOT, "LastName": "Automated Process", "Name": "Automated Process", "IsActive": True,
                 "UserType": "AutomatedProcess", "CreatedDate": "2019-01-01T00:00:00.000+0000",
                 "SystemModstamp": "2019-01-01T00:00:00.000+0000"}  # fmt: skip
        self.rows["User"].append(robot)
        teams = ", ".join(f"'{team}'" for team in territories.teams_of(CRM))
        for row in self.world.rows(
            f"select * from crm_owners where team_name in ({teams}) order by owner_id"
        ):
            user = record_id("005", int(row["owner_id"]))
            self.users |= {row["owner_id"]: user, row["user_id"]: user}
            role = {"Id": record_id("00E", int(row["team_id"])), "Name": row["team_name"]}
            left = row["archived_at"] is not None and row["archived_at"] <= self.now
            self.rows["User"].append(
                {
                    "Id": user,
                    "FirstName": row["first_name"],
                    "LastName": row["last_name"],
                    "Name": f"{row['first_name']} {row['last_name']}",
                    "Email": row["email"],
                    "IsActive": not left,
                    "UserType": "Standard",
                    "ManagerId": record_id("005", int(row["manager_id"])) if row["manager_id"] else None,
                    "UserRoleId": role["Id"],
                    "UserRole": role,
                    "CreatedDate": stamp(row["created_at"]),
                    "SystemModstamp": stamp(row["archived_at"] if left else row["created_at"]),
                }
            )

    def _read(self) -> None:
        now = self.world.now_sql

        def past(moment: datetime | None) -> datetime | None:
            return moment if moment is not None and moment <= self.now else None

        for row in self.world.rows(
            f"select * from crm_objects where crm = '{CRM}' and created_at <= {now} order by object_id"
        ):
            merged = past(row["merged_at"])
            self.records[row["object_type"]][row["object_id"]] = _Record(
                row["object_id"],
                row["created_at"],
                past(row["deleted_at"]),
                row["merged_into_id"] if merged else None,
                merged,
            )
        for row in self.world.rows(
            "select object_type, object_id, property, value, changed_at, updated_by from crm_property_history"
            f" where changed_at <= {now} and object_id in ({MINE}) order by changed_at"
        ):
            record = self.records[row["object_type"]][row["object_id"]]
            who = self.users.get(row["updated_by"] or "", ROBOT)
            value = (row["changed_at"], row["value"], who)
            record.values.setdefault(row["property"], []).append(value)
        for row in self.world.rows(
            f"select * from crm_associations where created_at <= {now} and from_id in ({MINE})"
            " order by created_at, from_id, to_id, label"
        ):
            if row["to_type"] == "company":
                until = row["removed_at"] or datetime.max
                self.homes[row["from_id"]].append((row["created_at"], until, row["to_id"]))
            elif row["to_type"] == "contact":
                link = (row["created_at"], past(row["removed_at"]), row["label"])
                self.people[row["from_id"], row["to_id"]].append(link)

    def _convert(self) -> None:
        """A lead is converted when it becomes part of an opportunity."""
        joined: dict[str, datetime] = {}
        for (_, contact), links in self.people.items():
            joined[contact] = min([joined.get(contact, datetime.max), *(link[0] for link in links)])
        for name, record in self.records["contact"].items():
            moments = [joined[name]] if name in joined else []
            moments += [
                at for at, value, _ in record.values.get("lifecycle_stage", ()) if value == "opportunity"
            ]
            if moments and (record.deleted is None or min(moments) < record.deleted):
                self.converted[name] = min(moments)

    def _account(self, record: str, moment: datetime) -> str | None:
        """The account of a record at a moment, followed through the merges until then."""
        found = [to for since, until, to in self.homes[record] if since <= moment < until]
        return self._standing(found[-1], moment) if found else None

    def _standing(self, company: str, moment: datetime) -> str:
        record = self.records["company"].get(company)
        while record is not None and record.merged is not None and record.merged <= moment:
            company = str(record.merged_into)
            record = self.records["company"].get(company)
        return company

    def _moves(self, record: str, since: datetime, until: datetime) -> Iterator[datetime]:
        """When a record's account changed: linked, unlinked, or merged into another."""
        for begins, ends, company in self.homes[record]:
            merged = self.records["company"][company].merged
            moments = (begins, ends, merged if merged and begins <= merged < ends else None)
            yield from (at for at in moments if at is not None and since <= at <= until)

    def _owner(self, owner: str | None, otherwise: str = ROBOT) -> str:
        return self.users.get(owner or "", otherwise)

    # ---- accounts, leads, contacts

    def _accounts(self) -> None:
        survivors: dict[str, datetime] = {}
        for record in self.records["company"].values():
            if record.merged is not None:
                into = str(record.merged_into)
                survivors[into] = max(survivors.get(into, datetime.min), record.merged)
        for name, record in self.records["company"].items():
            said = {key: values[-1][1] for key, values in record.values.items()}
            changed = [record.created, *record.changes(None, record.created, self.now)]
            changed += [at for at in (record.merged, survivors.get(name)) if at is not None]
            employees = said.get("employee_count")
            self.rows["Account"].append(
                {
                    "Id": name,
                    "Name": said.get("name"),
                    "Website": f"https://www.{said['domain']}/" if said.get("domain") else None,
                    "Industry": INDUSTRIES.get(said.get("industry") or ""),
                    "NumberOfEmployees": int(employees) if employees else None,
                    "BillingCountry": COUNTRIES.get(said.get("country") or ""),
                    "BillingCity": said.get("city"),
                    "OwnerId": self._owner(said.get("owner_id")),
                    "MasterRecordId": record.merged_into,
                    "Is_Partner__c": said.get("is_partner") == "true",
                    **self._stamps(record.created, changed, record.merged is not None),
                }
            )

    def _people(self) -> None:
        for name, record in self.records["contact"].items():
            converted = self.converted.get(name)
            self._lead(name, record, converted)
            if converted is not None:
                self._contact(name, record, converted)

    def _person(self, record: _Record, moment: datetime) -> dict[str, Any]:
        def said(name: str) -> str | None:
            return record.at(name, moment)

        answers = {"true": "true", "false": "false"}
        return {
            "Email": said("email"),
            "Phone": said("phone"),
            "FirstName": said("first_name"),
            "LastName": said("last_name") or "[not provided]",
            "Title": said("job_title"),
            "LeadSource": SOURCES.get(said("original_source") or ""),
            "How_Heard__c": said("self_reported_source"),
            "GA_Client_Ids__c": said("ga_client_id"),
            "App_User_Id__c": said("user_id"),
            "Disqualified_Reason__c": said("disqualified_reason"),
            **{
                f"BANT_{part.title()}__c": answers.get(said(f"bant_{part}") or "")
                for part in ("budget", "authority", "need", "timeline")
            },
            "Marketing_Consent__c": answers.get(said("marketing_consent") or ""),
        }

    def _lead(self, name: str, record: _Record, converted: datetime | None) -> None:
        until = converted or record.merged or self.now
        account = self._account(name, until)
        # A duplicate of somebody who is a contact by now is converted into that contact, else merged.
        into = record.merged_into
        taken = into if into and self.converted.get(into, datetime.max) <= (record.merged or until) else None
        at = converted or (record.merged if taken else None)
        contact = as_type(taken or name, "003") if at else None
        changed = [record.created, *record.changes(None, record.created, until)]
        changed += [
            *self._moves(name, record.created, until),
            *filter(None, (at, record.merged, record.deleted)),
        ]
        firm = self.records["company"].get(account or "")
        self.rows["Lead"].append(
            {
                "Id": name,
                **self._person(record, until),
                "Company": (firm.at("name", until) if firm else None) or "[not provided]",
                "Country": COUNTRIES.get(record.at("country", until) or ""),
                "Status": CONVERTED if at else STATUS.get(record.at("lead_status", until) or "", "New"),
                "Lifecycle_Stage__c": LIFECYCLE.get(
                    record.at("lifecycle_stage", until, before=at is not None) or ""
                ),
                "OwnerId": self._owner(record.at("owner_id", until), QUEUE),
                "IsConverted": at is not None,
                "ConvertedDate": at.date().isoformat() if at else None,
                "ConvertedContactId": contact,
                "ConvertedAccountId": account if at else None,
                "Account__c": account,
                "MasterRecordId": into if into and not taken else None,
                **self._stamps(
                    record.created, changed, bool(record.deleted or (record.merged and not taken))
                ),
            }
        )
        key = {"LeadId": name}
        self._change("LeadHistory", key, record.created, "created", None, None, ROBOT)
        self._followed("LeadHistory", key, record, record.created, until, "Lifecycle_Stage__c",
                       "lifecycle_stage", LIFECYCLE, open_end=at is not None)  # fmt: skip
        self._followed("LeadHistory", key, record, record.created, until, "Disqualified_Reason__c",
                       "disqualified_reason", None)  # fmt: skip
        status = self._followed("LeadHistory", key, record, record.created, until, "Status", "lead_status",
                                STATUS, first="New", open_end=at is not None)  # fmt: skip
        self._owners("LeadHistory", key, record, record.created, until, QUEUE)
        if at is not None:
            who = self._owner(record.at("owner_id", at))
            self._change("LeadHistory", key, at, "Status", status, CONVERTED, who)
            self._change("LeadHistory", key, at, "leadConverted", None, None, who)

    def _contact(self, name: str, record: _Record, converted: datetime) -> None:
        contact = as_type(name, "003")
        changed = [
            converted,
            *record.changes(None, converted, self.now),
            *self._moves(name, converted, self.now),
        ]
        changed += filter(None, (record.deleted,))
        first_owner = self._owner(record.at("owner_id", converted), self._converter(name))
        self.rows["Contact"].append(
            {
                "Id": contact,
                **self._person(record, self.now),
                "AccountId": self._account(name, self.now),
                "MailingCountry": COUNTRIES.get(record.at("country", self.now) or ""),
                "OwnerId": self._owner(record.at("owner_id", self.now), first_owner),
                "Lifecycle_Stage__c": LIFECYCLE.get(record.at("lifecycle_stage", self.now) or ""),
                "MasterRecordId": None,
                **self._stamps(converted, changed, record.deleted is not None),
            }
        )
        key = {"ContactId": contact}
        self._change("ContactHistory", key, converted, "contactCreatedFromLead", None, None, first_owner)
        self._followed("ContactHistory", key, record, converted, self.now, "Lifecycle_Stage__c",
                       "lifecycle_stage", LIFECYCLE)  # fmt: skip
        self._owners("ContactHistory", key, record, converted, self.now, first_owner)

    def _converter(self, contact: str) -> str:
        """Who converts a lead that nobody owned: the owner of the first opportunity."""
        deals = sorted((links[0][0], deal) for (deal, who), links in self.people.items() if who == contact)
        for at, deal in deals:
            record = self.records["deal"].get(deal)
            if record is not None:
                return self._owner(record.at("owner_id", at))
        return ROBOT

    # ---- histories of fields

    def _change(self, entity: str, key: Mapping[str, str], at: datetime, name: str, old: Any, new: Any,
                who: str, data_type: str = "Text") -> None:  # fmt: skip
        number = int(digest(entity, *key.values(), at, name, data_type, new, length=12), 16)
        self.rows[entity].append(
            {
                "Id": record_id("017", number),
                "IsDeleted": False,
                **key,
                "CreatedById": who,
                "CreatedDate": stamp(at),
                "Field": name,
                "DataType": data_type,
                "OldValue": old,
                "NewValue": new,
            }
        )

    def _followed(
        self,
        entity: str,
        key: Mapping[str, str],
        record: _Record,
        since: datetime,
        until: datetime,
        name: str,
        own: str,
        names: Mapping[str, str] | None,
        first: str | None = None,
        open_end: bool = False,
    ) -> str | None:
        """Write the changes of a field after `since`, and return its value at the end. What a record began
        with is no change."""
        held = first or record.at(own, since)
        held = (names or {}).get(held or "", held)
        for at, value, who in record.values.get(own, ()):
            if at <= since or at > until or (open_end and at == until):
                continue
            new = (names or {}).get(value or "", value)
            if new != held:
                self._change(entity, key, at, name, held, new, who or ROBOT)
            held = new
        return held

    def _owners(self, entity: str, key: Mapping[str, str], record: _Record, since: datetime, until: datetime,
                first: str) -> None:  # fmt: skip
        """A change of owner is told twice: by the names that people see, and by ids."""
        shown = {row["Id"]: row["Name"] for row in self.rows["User"]} | {QUEUE: "Inbound queue"}
        held = self._owner(record.at("owner_id", since), first)
        for at, value, who in record.values.get("owner_id", ()):
            new = self._owner(value, first)
            if since < at <= until and new != held:
                self._change(entity, key, at, "Owner", shown[held], shown[new], who or ROBOT)
                self._change(entity, key, at, "Owner", held, new, who or ROBOT, "EntityId")
                held = new

    # ---- opportunities

    def _opportunities(self) -> None:
        stages = {(row["pipeline_id"], row["stage_id"]): row for row in self.world.rows("from crm_pipelines")}
        for name, record in self.records["deal"].items():
            said = {key: values[-1][1] for key, values in record.values.items()}
            pipeline = said["pipeline"] or "sales"
            stage = stages[pipeline, str(said["stage"])]
            gone = (
                record.deleted or record.merged
            )  # two opportunities cannot be merged: the second is deleted
            changed = [record.created, *record.changes(None, record.created, self.now)]
            changed += [*self._moves(name, record.created, self.now), *filter(None, (gone,))]
            label, number = RECORD_TYPES[pipeline]
            kind = {"Id": record_id("012", number), "DeveloperName": label, "Name": label}
            self.rows["Opportunity"].append(
                {
                    "Id": name,
                    "AccountId": self._account(name, gone or self.now),
                    "Name": said.get("name"),
                    "RecordTypeId": kind["Id"],
                    "RecordType": kind,
                    "StageName": STAGES[pipeline, stage["stage_id"]],
                    "Amount": _number(said.get("amount")),
                    "ARR__c": _number(said.get("arr")),
                    "CurrencyIsoCode": said.get("currency"),
                    "CloseDate": said.get("close_date"),
                    "IsClosed": stage["is_closed"],
                    "IsWon": stage["is_won"],
                    "Probability": round(stage["probability"] * 100, 2),
                    "ForecastCategory": FORECASTS[said["forecast_category"] or "pipeline"][0],
                    "ForecastCategoryName": FORECASTS[said["forecast_category"] or "pipeline"][1],
                    "NextStep": said.get("next_step"),
                    "Type": TYPES.get(said.get("opportunity_type") or ""),
                    "OwnerId": self._owner(said.get("owner_id")),
                    "Loss_Reason__c": said.get("lost_reason"),
                    "Won_Reason__c": said.get("won_reason"),
                    "Competitor__c": said.get("competitor"),
                    "Contract_Start__c": said.get("contract_start"),
                    "Contract_End__c": said.get("contract_end"),
                    "Renewed_Opportunity__c": said.get("renewed_deal_id"),
                    "Sourced_By__c": said.get("sourced_by"),
                    "Partner_Account__c": said.get("partner_company_id"),
                    **self._stamps(record.created, changed, gone is not None),
                }
            )
            self._stage_history(name, record, pipeline, stages, gone is not None)
            key = {"OpportunityId": name}
            self._change("OpportunityFieldHistory", key, record.created, "created", None, None, ROBOT)
            forecasts = {key: shown for key, (_, shown) in FORECASTS.items()}
            self._followed("OpportunityFieldHistory", key, record, record.created, self.now,
                           "ForecastCategoryName", "forecast_category", forecasts)  # fmt: skip
            self._followed("OpportunityFieldHistory", key, record, record.created, self.now, "NextStep",
                           "next_step", None)  # fmt: skip
            self._owners("OpportunityFieldHistory", key, record, record.created, self.now, ROBOT)

    def _stage_history(
        self, name: str, record: _Record, pipeline: str, stages: Mapping[tuple[str, str], Any], gone: bool
    ) -> None:
        """A row for each saving that changed the stage, the amount or the close date: all three as saved."""
        moments: dict[datetime, datetime] = {}  # by second, as saved
        for at in record.changes(("stage", "amount", "close_date"), record.created, self.now):
            second = at.replace(microsecond=0)
            moments[second] = max(at, moments.get(second, at))
        before: tuple[Any, ...] | None = None
        for second, at in sorted(moments.items()):
            stage = stages[pipeline, str(record.at("stage", at))]
            amount, close = _number(record.at("amount", at)), record.at("close_date", at)
            if (stage["stage_id"], amount, close) == before:
                continue
            before = (stage["stage_id"], amount, close)
            percent = round(stage["probability"] * 100, 2)
            who = [value[2] for value in record.values["stage"] if value[0] <= at][-1]
            self.rows["OpportunityHistory"].append(
                {
                    "Id": record_id("008", int(digest(name, second, length=12), 16)),
                    "OpportunityId": name,
                    "CreatedById": who,
                    "StageName": STAGES[pipeline, stage["stage_id"]],
                    "Amount": amount,
                    "ExpectedRevenue": None if amount is None else round(amount * percent / 100, 2),
                    "CloseDate": close,
                    "Probability": percent,
                    "ForecastCategory": FORECASTS[record.at("forecast_category", at) or "pipeline"][0],
                    "CurrencyIsoCode": record.at("currency", at),
                    **self._stamps(at, [at], gone),
                }
            )

    def _roles(self) -> None:
        for (deal, contact), links in self.people.items():
            since = self.converted.get(contact)
            if since is None or deal not in self.records["deal"]:
                continue
            labels = [label for _, _, label in links if label and label != "primary"]
            removed = [until for _, until, _ in links if until is not None]
            created = min(link[0] for link in links)
            changed = [*(link[0] for link in links), *removed]
            self.rows["OpportunityContactRole"].append(
                {
                    "Id": record_id("00K", int(digest(deal, contact, length=12), 16)),
                    "OpportunityId": deal,
                    "ContactId": as_type(contact, "003"),
                    "Role": ROLES.get(labels[0]) if labels else None,
                    "IsPrimary": any(label == "primary" for _, _, label in links),
                    **self._stamps(created, changed, len(removed) == len(links)),
                }
            )

    # ---- campaigns and activities

    def _campaigns(self) -> None:
        rows = self.world.rows(
            f"select * from offline_touches where contact_id in ({MINE}) order by occurred_at, touch_id"
        )
        campaigns: dict[str, list[dict[str, Any]]] = defaultdict(list)
        held: set[tuple[str, str]] = set()
        for row in rows:
            # Nobody is twice a member of one campaign: the second time is a campaign of its own.
            name, turn = row["campaign_id"], 1
            while (name, row["contact_id"]) in held:
                turn += 1
                name = f"{row['campaign_id']} {turn}"
            held.add((name, row["contact_id"]))
            campaigns[name].append(row)
        for name, members in campaigns.items():
            shown = [row for row in members if row["visible_at"] <= self.now]
            if not shown:
                continue
            campaign = record_id("701", int(digest(name, length=12), 16))
            starts = members[0]["occurred_at"].replace(hour=0, minute=0, second=0, microsecond=0)
            self.rows["Campaign"].append(
                {
                    "Id": campaign,
                    "Name": members[0]["campaign_name"],
                    "Type": CAMPAIGN_TYPES[members[0]["touch_type"]],
                    "Status": "Completed",
                    "StartDate": starts.date().isoformat(),
                    "EndDate": None,
                    **self._stamps(starts, [shown[0]["visible_at"]], False),
                }
            )
            for row in shown:
                lead, converted = row["contact_id"], self.converted.get(row["contact_id"])
                responded = row["status"] in RESPONDED
                changed = [row["visible_at"], *([converted] if converted else [])]
                self.rows["CampaignMember"].append(
                    {
                        "Id": record_id("00v", int(digest(row["touch_id"], length=12), 16)),
                        "CampaignId": campaign,
                        "LeadId": lead,
                        "ContactId": as_type(lead, "003") if converted else None,
                        "Status": MEMBER_STATUS[row["status"]],
                        "HasResponded": responded,
                        "FirstRespondedDate": row["occurred_at"].date().isoformat() if responded else None,
                        **self._stamps(row["occurred_at"], changed, False),
                    }
                )

    def _activities(self) -> None:
        for row in self.world.rows(
            f"select * from crm_activities where created_at <= {self.world.now_sql}"
            f" and contact_id in ({MINE}) order by activity_id"
        ):
            person = self.records["contact"].get(row["contact_id"])
            converted = self.converted.get(row["contact_id"])
            account = self._standing(row["company_id"], self.now) if row["company_id"] else None
            stands = person is not None and person.deleted is None
            who = as_type(row["contact_id"], "003") if converted else row["contact_id"]
            # Only contacts' activities can be about something: an opportunity, else the account.
            about = (row["deal_id"] or account) if converted or not stands else None
            settled = row["outcome_at"] is not None and row["outcome_at"] <= self.now
            changed = [row["created_at"], *([row["outcome_at"]] if settled else [])]
            changed += [at for at in (converted, person.deleted if person else None) if at is not None]
            merged = self.records["company"][row["company_id"]].merged if row["company_id"] else None
            changed += [merged] if merged else []
            shared = {
                "WhoId": who if stands else None,
                "WhatId": about,
                "AccountId": account if about else None,
                "Subject": row["subject"],
                "OwnerId": self._owner(row["owner_id"]),
                "CreatedById": ROBOT if row["is_automated"] else self._owner(row["owner_id"]),
            }
            shared["CreatedBy"] = {
                "Id": shared["CreatedById"],
                "UserType": "AutomatedProcess" if row["is_automated"] else "Standard",
            }
            outcome = row["outcome"] if settled else row["initial_outcome"]
            number = int(row["activity_id"])
            if row["activity_type"] == "meeting":
                self._event(record_id("00U", number), row, outcome, shared, changed)
            else:
                self._task(record_id("00T", number), row, outcome, shared, changed)

    def _event(self, name: str, row: Mapping[str, Any], outcome: str | None, shared: dict[str, Any],
               changed: list[datetime]) -> None:  # fmt: skip
        self.rows["Event"].append(
            {
                "Id": name,
                **shared,
                "Type": "Meeting",
                "StartDateTime": stamp(row["occurred_at"]),
                "EndDateTime": stamp(row["ended_at"]),
                "ActivityDate": row["occurred_at"].date().isoformat(),
                "Meeting_Outcome__c": MEETING_OUTCOMES.get(outcome or ""),
                "IsArchived": (self.now - row["occurred_at"]).days > 365,
                **self._stamps(row["created_at"], changed, False),
            }
        )

    def _task(self, name: str, row: Mapping[str, Any], outcome: str | None, shared: dict[str, Any],
              changed: list[datetime]) -> None:  # fmt: skip
        kind = row["activity_type"]
        closed = kind != "task" or outcome == "COMPLETED"
        inbound = row["direction"] == "inbound"
        # The telephone and the mailbox log by themselves: such a task is as old as the call or the mail.
        created = row["created_at"] if kind == "task" else min(row["created_at"], row["occurred_at"])
        done = (row["outcome_at"] if kind == "task" else row["created_at"]) if closed else None
        self.rows["Task"].append(
            {
                "Id": name,
                **shared,
                "Type": {"call": "Call", "email": "Email", "social_message": "LinkedIn"}.get(kind, "Other"),
                "TaskSubtype": {"call": "Call", "email": "Email"}.get(kind, "Task"),
                "Status": "Completed" if closed else "Not Started",
                "ActivityDate": row["occurred_at"].date().isoformat(),
                "CompletedDateTime": stamp(done),
                "IsClosed": closed,
                "CallType": ("Inbound" if inbound else "Outbound") if kind == "call" else None,
                "CallDisposition": CALL_RESULTS.get(outcome or "") if kind == "call" else None,
                "CallDurationInSeconds": row["duration_seconds"] if kind == "call" else None,
                "IsArchived": closed and (self.now - row["occurred_at"]).days > 365,
                **self._stamps(created, changed, False),
            }
        )
        if kind == "email":
            bounced = outcome == "BOUNCED"
            self.rows["EmailMessage"].append(
                {
                    "Id": record_id("02s", int(row["activity_id"])),
                    "ActivityId": name,
                    "RelatedToId": shared["WhatId"],
                    "Incoming": inbound,
                    "Status": "1" if inbound else "3",  # read, sent
                    "MessageDate": stamp(row["occurred_at"]),
                    "IsBounced": bounced,
                    **self._stamps(row["created_at"], [row["created_at"], *changed[1:2]], False),
                }
            )

    def _stamps(self, created: datetime, changed: list[datetime], deleted: bool) -> dict[str, Any]:
        return {
            "CreatedDate": stamp(created),
            "SystemModstamp": stamp(max(at for at in changed if at <= self.now)),
            "IsDeleted": deleted,
        }


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)
