"""What is read from Salesforce: records and their histories, by SOQL through queryAll.

queryAll, because query hides what was deleted or merged (a merged record names its survivor) and activities
that the org has archived. Every type is read in the order of its last modification, from the last load's on
with a lag; histories, which never change, by their creation. A locator that has expired in mid-reading is no
loss: the reading goes on from the last modification that it saw.

Only fields that the org has, and shows to our user, are asked for: `describe` tells them. Fields of the org's
own making are named by settings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ingestion.errors import BadAnswer, ConfigurationError, RequestRefused, SourceError, Unreachable
from ingestion.http import MISSING, Answer, ApiClient, Request, dig, next_link
from ingestion.records import Column, Table, Type
from ingestion.salesforce.settings import SETTINGS, SYSTEM_NAME, client_for, error_of
from ingestion.settings import Connection, setting
from ingestion.sources import Context, Item, Page, Resource, System

LAG = timedelta(hours=1)
"""Long transactions become visible after others that began, and were stamped, later."""
RESUMPTIONS = 3
"""So often a reading may lose its locator without having got any further."""

FieldName = str | Callable[[Connection], str]


def _custom(key: str) -> Callable[[Connection], str]:
    """A field whose name the org chose: the setting says it."""
    return lambda connection: setting(connection, SETTINGS, key)


@dataclass(frozen=True)
class Field:
    """One field that gets a column of its own."""

    column: str
    field: FieldName
    type: Type = "text"
    otherwise: str = ""
    """The setting that says the value where an org does not have the field."""

    def name(self, connection: Connection) -> str:
        return self.field if isinstance(self.field, str) else self.field(connection)


@dataclass(frozen=True)
class Kind:
    """One type of record. `followed`: the field that orders its readings."""

    table: str
    object: str
    id_column: str
    fields: tuple[Field, ...]
    followed: str = "SystemModstamp"
    optional: bool = False
    """Orgs without the feature do not have the type."""
    further: Callable[[Connection], Sequence[str]] | None = None
    """Fields that are kept together in the JSON column `attributes`."""
    description: str = ""

    tells_of: Kind | None = None
    """Of a history: the type whose changes it tells; they are filed under our names of its fields."""

    @property
    def is_plain(self) -> bool:
        """No setting decides what is asked for, so that pages need no rearranging."""
        own = any(not isinstance(entry.field, str) for entry in self.fields)
        return not own and self.further is None and self.tells_of is None

    def tracked(self, connection: Connection) -> dict[str, str]:
        """What histories call this type's fields -> our names: references go by what they lead to."""
        return {entry.name(connection).removesuffix("Id"): entry.column for entry in self.fields}

    @property
    def cursor(self) -> str:
        return "modified_at" if self.followed == "SystemModstamp" else "changed_at"


_DELETED = Field("is_deleted", "IsDeleted", "boolean")
_CREATED = Field("created_at", "CreatedDate", "timestamp")
_PERSON = (
    Field("email", "Email", "email"),
    Field("phone", "Phone", "phone"),
    Field("job_title", "Title"),
    Field("lead_source", "LeadSource"),
    Field("owner_id", "OwnerId"),
    Field("merged_into_id", "MasterRecordId"),
    Field("lifecycle_stage", _custom("LIFECYCLE_FIELD")),
    Field("disqualified_reason", _custom("DISQUALIFIED_FIELD")),
    Field("self_reported_source", _custom("SELF_REPORTED_FIELD")),
    Field("client_ids", _custom("CLIENT_IDS_FIELD")),
    Field("user_id", _custom("USER_ID_FIELD")),
    _DELETED,
    _CREATED,
)
_CHANGE = (
    Field("field", "Field"),
    Field("data_type", "DataType"),
    Field("old_value", "OldValue"),
    Field("new_value", "NewValue"),
    Field("changed_by", "CreatedById"),
)


def _attributes(connection: Connection) -> Sequence[str]:
    return [
        name.strip() for name in setting(connection, SETTINGS, "PERSON_ATTRIBUTES").split(",") if name.strip()
    ]


USERS = Kind(
    "users",
    "User",
    "user_id",
    (
        Field("name", "Name"),
        Field("team", _custom("TEAM_FIELD")),
        Field("manager_id", "ManagerId"),
        Field("user_type", "UserType"),
        Field("is_active", "IsActive", "boolean"),
    ),
    description="One user, former ones and machines included.",
)
LEADS = Kind(
    "leads",
    "Lead",
    "lead_id",
    (
        *_PERSON,
        Field("status", "Status"),
        Field("country", "Country"),
        Field("account_id", _custom("LEAD_ACCOUNT_FIELD")),
        Field("is_converted", "IsConverted", "boolean"),
        Field("converted_on", "ConvertedDate", "date"),
        Field("converted_contact_id", "ConvertedContactId"),
        Field("converted_account_id", "ConvertedAccountId"),
    ),
    further=_attributes,
    description="One lead, converted, merged and deleted ones included.",
)
CONTACTS = Kind(
    "contacts",
    "Contact",
    "contact_id",
    (*_PERSON, Field("account_id", "AccountId"), Field("country", "MailingCountry")),
    further=_attributes,
    description="One contact, merged and deleted ones included.",
)
ACCOUNTS = Kind(
    "accounts",
    "Account",
    "account_id",
    (
        Field("name", "Name"),
        Field("website", "Website"),
        Field("industry", "Industry"),
        Field("employee_count", "NumberOfEmployees", "bigint"),
        Field("country", "BillingCountry"),
        Field("owner_id", "OwnerId"),
        Field("is_partner", _custom("IS_PARTNER_FIELD"), "boolean"),
        Field("merged_into_id", "MasterRecordId"),
        _DELETED,
        _CREATED,
    ),
    description="One account, merged and deleted ones included.",
)
OPPORTUNITIES = Kind(
    "opportunities",
    "Opportunity",
    "opportunity_id",
    (
        Field("account_id", "AccountId"),
        Field("name", "Name"),
        Field("record_type", "RecordType.DeveloperName"),
        Field("stage", "StageName"),
        Field("amount", "Amount", "money"),
        Field("arr", _custom("ARR_FIELD"), "money"),
        Field("currency", "CurrencyIsoCode", otherwise="CURRENCY"),
        Field("close_date", "CloseDate", "date"),
        Field("is_closed", "IsClosed", "boolean"),
        Field("is_won", "IsWon", "boolean"),
        Field("probability", "Probability", "double"),
        Field("forecast_category", "ForecastCategoryName"),
        Field("next_step", "NextStep"),
        Field("type", "Type"),
        Field("owner_id", "OwnerId"),
        Field("won_reason", _custom("WON_REASON_FIELD")),
        Field("lost_reason", _custom("LOST_REASON_FIELD")),
        Field("competitor", _custom("COMPETITOR_FIELD")),
        Field("contract_start", _custom("CONTRACT_START_FIELD"), "date"),
        Field("contract_end", _custom("CONTRACT_END_FIELD"), "date"),
        Field("renewed_opportunity_id", _custom("RENEWED_FIELD")),
        Field("sourced_by", _custom("SOURCED_BY_FIELD")),
        Field("partner_account_id", _custom("PARTNER_ACCOUNT_FIELD")),
        _DELETED,
        _CREATED,
    ),
    description="One opportunity, deleted ones included.",
)
ROLES = Kind(
    "opportunity_contact_roles",
    "OpportunityContactRole",
    "role_id",
    (
        Field("opportunity_id", "OpportunityId"),
        Field("contact_id", "ContactId"),
        Field("role", "Role"),
        Field("is_primary", "IsPrimary", "boolean"),
        _DELETED,
        _CREATED,
    ),
    description="One contact's part in one opportunity.",
)
OPPORTUNITY_HISTORY = Kind(
    "opportunity_history",
    "OpportunityHistory",
    "history_id",
    (
        Field("opportunity_id", "OpportunityId"),
        Field("stage", "StageName"),
        Field("amount", "Amount", "money"),
        Field("close_date", "CloseDate", "date"),
        Field("probability", "Probability", "double"),
        Field("forecast_category", "ForecastCategory"),
        Field("changed_by", "CreatedById"),
        _CREATED,
        _DELETED,
    ),
    description="One saving of an opportunity that changed stage, amount or close date: all as saved.",
)
OPPORTUNITY_FIELD_HISTORY = Kind(
    "opportunity_field_history",
    "OpportunityFieldHistory",
    "change_id",
    (Field("opportunity_id", "OpportunityId"), *_CHANGE),
    followed="CreatedDate",
    tells_of=OPPORTUNITIES,
    description="One change of one tracked field of an opportunity.",
)
LEAD_HISTORY = Kind(
    "lead_history",
    "LeadHistory",
    "change_id",
    (Field("lead_id", "LeadId"), *_CHANGE),
    followed="CreatedDate",
    tells_of=LEADS,
    description="One change of one tracked field of a lead, its creation and its conversion.",
)
CONTACT_HISTORY = Kind(
    "contact_history",
    "ContactHistory",
    "change_id",
    (Field("contact_id", "ContactId"), *_CHANGE),
    followed="CreatedDate",
    tells_of=CONTACTS,
    optional=True,
    description="One change of one tracked field of a contact.",
)
CAMPAIGNS = Kind(
    "campaigns",
    "Campaign",
    "campaign_id",
    (
        Field("name", "Name"),
        Field("type", "Type"),
        Field("start_date", "StartDate", "date"),
        _DELETED,
        _CREATED,
    ),
    optional=True,
    description="One campaign, deleted ones included.",
)
CAMPAIGN_MEMBERS = Kind(
    "campaign_members",
    "CampaignMember",
    "member_id",
    (
        Field("campaign_id", "CampaignId"),
        Field("lead_id", "LeadId"),
        Field("contact_id", "ContactId"),
        Field("status", "Status"),
        Field("has_responded", "HasResponded", "boolean"),
        Field("responded_on", "FirstRespondedDate", "date"),
        _DELETED,
        _CREATED,
    ),
    optional=True,
    description="One lead or contact of one campaign.",
)
# Subjects and texts of activities are not asked for: they hold personal matters and no measure needs them.
_ACTIVITY = (
    Field("who_id", "WhoId"),
    Field("what_id", "WhatId"),
    Field("account_id", "AccountId"),
    Field("owner_id", "OwnerId"),
    Field("type", "Type"),
    Field("creator_type", "CreatedBy.UserType"),
    _DELETED,
    _CREATED,
)
TASKS = Kind(
    "tasks",
    "Task",
    "task_id",
    (
        *_ACTIVITY,
        Field("subtype", "TaskSubtype"),
        Field("status", "Status"),
        Field("is_closed", "IsClosed", "boolean"),
        Field("due_on", "ActivityDate", "date"),
        Field("completed_at", "CompletedDateTime", "timestamp"),
        Field("call_type", "CallType"),
        Field("call_result", "CallDisposition"),
    ),
    description="One task: a call, an e-mail, a message or something to do; archived and deleted ones too.",
)
EVENTS = Kind(
    "events",
    "Event",
    "event_id",
    (
        *_ACTIVITY,
        Field("starts_at", "StartDateTime", "timestamp"),
        Field("outcome", _custom("MEETING_OUTCOME_FIELD")),
    ),
    description="One event of a calendar; archived and deleted ones included.",
)
EMAIL_MESSAGES = Kind(
    "email_messages",
    "EmailMessage",
    "message_id",
    (
        Field("task_id", "ActivityId"),
        Field("is_incoming", "Incoming", "boolean"),
        Field("is_bounced", "IsBounced", "boolean"),
        Field("sent_at", "MessageDate", "timestamp"),
        _DELETED,
    ),
    optional=True,
    description="One e-mail, which belongs to a task.",
)
KINDS = (
    USERS,
    LEADS,
    CONTACTS,
    ACCOUNTS,
    OPPORTUNITIES,
    ROLES,
    OPPORTUNITY_HISTORY,
    OPPORTUNITY_FIELD_HISTORY,
    LEAD_HISTORY,
    CONTACT_HISTORY,
    CAMPAIGNS,
    CAMPAIGN_MEMBERS,
    TASKS,
    EVENTS,
    EMAIL_MESSAGES,
)


def _parents(kind: Kind) -> Iterator[str]:
    """Where pages say of what type and where the parents are that a query named."""
    for entry in kind.fields:
        if isinstance(entry.field, str) and "." in entry.field:
            yield f"{entry.field.split('.')[0]}.attributes"


def table_of(kind: Kind) -> Table:
    """The raw table of a type of record."""

    def path(name: FieldName) -> str | None:
        return name if kind.is_plain and isinstance(name, str) else None

    return Table(
        kind.table,
        columns=(
            Column(kind.id_column, path=path("Id"), required=True),
            Column(kind.cursor, "timestamp", path=path(kind.followed), required=True),
            *(Column(entry.column, entry.type, path=path(entry.field)) for entry in kind.fields),
            *((Column("attributes", "json"),) if kind.further is not None else ()),
        ),
        key=(kind.id_column,),
        version=kind.cursor,
        cursor=kind.cursor,
        lag=LAG,
        ignored=("attributes", *_parents(kind)) if kind.is_plain else (),
        description=kind.description,
    )


@dataclass(frozen=True)
class Shown:
    """The fields of a type that can be asked for: column -> field, and those without a column."""

    columns: Mapping[str, str]
    further: Sequence[str]


class Org:
    """One org's API, at the version and with the limit that the connection sets."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.client: ApiClient = client_for(connection)
        self.path = f"/services/data/{setting(connection, SETTINGS, 'API_VERSION')}"
        self.usage = ""
        try:
            self.most = float(setting(connection, SETTINGS, "MAX_API_USAGE"))
        except ValueError:
            raise ConfigurationError(
                f"{SYSTEM_NAME}: MAX_API_USAGE is no number; write 0.95 for 95 %."
            ) from None

    def counted(self, answer: Answer) -> Answer:
        """The answer, unless the org's requests of the day are nearly used up: others need the rest."""
        found = re.search(r"api-usage=(\d+)/(\d+)", answer.headers.get("Sforce-Limit-Info") or "")
        if found:
            used, most = int(found[1]), int(found[2])
            self.usage = f"{used} of {most} requests of the day"
            if used > most * self.most:
                raise Unreachable(
                    SYSTEM_NAME,
                    f"{self.usage} are used up; the rest is left to others.",
                    "Run again later, raise MAX_API_USAGE, or buy more requests.",
                )
        return answer

    def fields(self, kind: Kind) -> Shown | None:
        """What the org has of a type and shows to us; None where it lacks the type.

        Raises:
            SourceError: the type, or a field that nothing goes without, is not shown.
        """
        try:
            answer = self.counted(self.client.get(f"{self.path}/sobjects/{kind.object}/describe"))
        except RequestRefused as refused:
            if refused.status == 404 and kind.optional:
                return None
            if refused.status == 404:
                raise SourceError(
                    SYSTEM_NAME,
                    f"{kind.object} is not shown.",
                    "Give the integration user a permission set that reads it, and check API_VERSION.",
                ) from None
            raise
        self.client.require(answer.json(), "fields")
        shown = {str(entry.get("name")) for entry in answer.at("fields")}
        for name in ("Id", kind.followed):
            if name not in shown:
                raise SourceError(SYSTEM_NAME, f"{kind.object} has no field {name}.", "Check API_VERSION.")
        wanted = {kind.id_column: "Id", kind.cursor: kind.followed}
        wanted |= {entry.column: entry.name(self.connection) for entry in kind.fields}
        further = kind.further(self.connection) if kind.further is not None else ()
        return Shown(
            {column: name for column, name in wanted.items() if name and _reference(name) in shown},
            [name for name in further if name in shown],
        )

    def query(self, text: str) -> Iterator[Answer]:
        """All pages of a query, deleted and archived records included.

        Raises:
            BadAnswer: fewer or more records came than were announced.
        """
        request = Request(f"{self.path}/queryAll", params={"q": text})
        came, announced = 0, 0
        for answer in self.client.pages(request, next_request=next_link("nextRecordsUrl"), data="records"):
            self.counted(answer)
            came, announced = came + len(answer.at("records")), int(answer.at("totalSize", 0))
            yield answer
        if came != announced:
            raise BadAnswer(
                SYSTEM_NAME,
                f"{announced} records were announced, but {came} came.",
                "Nothing of this load was kept; run again.",
            )

    def read(self, kind: Kind, shown: Shown, since: datetime | None) -> Iterator[Answer]:
        """The pages of a type from a moment on, in the order of `followed`.

        Where the locator expires, the reading begins again from the last record that came.
        """
        fields = ", ".join(dict.fromkeys([*shown.columns.values(), *shown.further]))
        bound = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if since is not None else None
        left = RESUMPTIONS
        while True:
            where = f" WHERE {kind.followed} >= {bound}" if bound else ""
            last = bound
            try:
                text = f"SELECT {fields} FROM {kind.object}{where} ORDER BY {kind.followed}, Id"
                for answer in self.query(text):
                    yield answer
                    records = answer.at("records")
                    last = _literal(records[-1].get(kind.followed)) if records else last
                return
            except RequestRefused as refused:
                if error_of(refused.body)[0] != "INVALID_QUERY_LOCATOR":
                    raise
                left = left - 1 if last == bound else RESUMPTIONS
                if left < 0:
                    raise BadAnswer(
                        SYSTEM_NAME,
                        f"the locator of {kind.object} expired again and again.",
                        "Other integrations of the same user open too many queries: use a user of its own.",
                    ) from None
                bound = last


def _reference(name: str) -> str:
    """The field that must be there for a field to be asked for: of a parent's field the reference to it."""
    parent, dot, _ = name.partition(".")
    if not dot:
        return name
    return parent.removesuffix("__r") + "__c" if parent.endswith("__r") else parent + "Id"


def _literal(moment: Any) -> str | None:
    """A moment of an answer as a query wants it."""
    try:
        return datetime.fromisoformat(str(moment)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return None


def extract(context: Context) -> Iterator[Item]:
    """All types, one after the other."""
    org = Org(context.connection)
    for kind in KINDS:
        shown = org.fields(kind)
        if shown is None:
            continue
        for answer in org.read(kind, shown, context.since(kind.table)):
            yield _page(kind, shown, answer, context.connection)


def _page(kind: Kind, shown: Shown, answer: Answer, connection: Connection) -> Page:
    if kind.is_plain:
        return Page(kind.table, body=answer.content, at="records")
    defaults = {
        entry.column: setting(connection, SETTINGS, entry.otherwise) or None
        for entry in kind.fields
        if entry.otherwise and entry.column not in shown.columns
    }
    tracked = kind.tells_of.tracked(connection) if kind.tells_of is not None else {}
    rows = []
    for record in answer.at("records"):
        row = defaults | {column: _of(record, name) for column, name in shown.columns.items()}
        if kind.further is not None:
            kept = {_plain(name): record[name] for name in shown.further if record.get(name) is not None}
            row["attributes"] = kept or None
        if kind.tells_of is not None:
            row["field"] = tracked.get(str(row.get("field")), row.get("field"))
        rows.append(row)
    return Page(kind.table, records=rows)


def _of(record: Mapping[str, Any], name: str) -> Any:
    found = dig(record, name)
    return None if found is MISSING or found == "" else found


def _plain(name: str) -> str:
    """An org's own field's name without its ending, in small letters: BANT_Budget__c is bant_budget."""
    return name.removesuffix("__c").lower()


def check(connection: Connection) -> str:
    """Ask for the org and every type's fields: a missing permission shows at once."""
    org = Org(connection)
    (answer,) = org.query("SELECT Id, Name FROM Organization")
    missing = [kind.object for kind in KINDS if org.fields(kind) is None]
    without = f"; not there: {', '.join(missing)}" if missing else ""
    name, count = answer.at("records.0.Name"), len(KINDS) - len(missing)
    return f"org {name}: {count} types can be read{without}; {org.usage}"


SYSTEM = System(
    name=SYSTEM_NAME,
    resources=(Resource("org", tables=tuple(table_of(kind) for kind in KINDS), extract=extract),),
    settings=SETTINGS,
    check=check,
)
