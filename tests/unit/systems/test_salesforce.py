"""Salesforce: queries from describe, pages and their totals, expired locators, limits, an org's own names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from ingestion.errors import BadAnswer, SourceError, Unauthorized, Unreachable
from ingestion.http import ApiClient
from ingestion.privacy import Pseudonyms
from ingestion.records import Converter
from ingestion.salesforce import SYSTEM, source
from ingestion.salesforce.settings import base_url, client_for, limit_wait
from ingestion.sources import Context, Page
from tests.unit.systems.conftest import AS_OF
from tests.unit.systems.staging import Staging
from tests.unit.systems.vendor import Asked, Reply, Vendor

DATA = "/services/data/v66.0"
CHANGED = "2026-06-01T10:00:{:02d}.000+0000"


def record(number: int, **more: Any) -> dict[str, Any]:
    url = f"{DATA}/sobjects/Lead/{number}"
    return {"attributes": {"type": "Lead", "url": url}, "Id": f"00Q{number:015d}",
            "SystemModstamp": CHANGED.format(number % 60), **more}  # fmt: skip


class Org:
    """An org of leads: `size` records a page. It answers as the vendor, by the query's lower bound."""

    def __init__(self, vendor: Vendor, leads: list[dict[str, Any]], size: int = 2) -> None:
        self.vendor, self.leads, self.size = vendor, leads, size
        self.queries: list[str] = []
        self.lost: set[int] = set()
        """Positions whose locator has expired (each once)."""
        vendor.on("/services/oauth2/token", {"access_token": "short-lived", "token_type": "Bearer"})
        vendor.on(f"{DATA}/queryAll", self.query)

    def shows(self, name: str, *fields: str) -> None:
        listed = [{"name": field} for field in fields]
        self.vendor.on(f"{DATA}/sobjects/{name}/describe", {"name": name, "fields": listed})

    def query(self, asked: Asked) -> Any:
        text = asked.query["q"]
        self.queries.append(text)
        bound = re.search(r"SystemModstamp >= (\S+)Z", text)
        found = [lead for lead in self.leads if not bound or lead["SystemModstamp"][:19] >= bound[1]]
        return self.page(found, 0, len(self.queries))

    def page(self, found: list[dict[str, Any]], start: int, number: int) -> Any:
        if start in self.lost:
            self.lost.discard(start)
            return Reply([{"errorCode": "INVALID_QUERY_LOCATOR", "message": "invalid query locator"}], 400)
        until = start + self.size
        body = {"totalSize": len(found), "done": until >= len(found), "records": found[start:until]}
        if until < len(found):
            path = f"{DATA}/query/01g{number}-{until}"
            self.vendor.on(path, lambda _: self.page(found, until, number))
            body["nextRecordsUrl"] = path
        return body


@pytest.fixture
def org_of(vendor: Vendor) -> Callable[..., Org]:
    def make(count: int = 5, **more: Any) -> Org:
        org = Org(vendor, [record(number) for number in range(count)], **more)
        org.shows("Lead", "Id", "SystemModstamp", "Email", "Status", "OwnerId")
        return org

    return make


def read(context: Context, kind: source.Kind = source.LEADS, since: datetime | None = None) -> list[str]:
    org = source.Org(context.connection)
    shown = org.fields(kind)
    assert shown is not None
    return [row["Id"] for answer in org.read(kind, shown, since) for row in answer.at("records")]


def test_all_pages_come_in_the_order_of_change_and_nothing_that_the_org_lacks_is_asked_for(
    org_of: Callable[..., Org], context_of: Any, vendor: Vendor
) -> None:
    org = org_of()
    assert read(context_of("salesforce")) == [lead["Id"] for lead in org.leads]
    (query,) = org.queries
    assert query == "SELECT Id, SystemModstamp, Email, OwnerId, Status FROM Lead ORDER BY SystemModstamp, Id"
    assert [asked.method for asked in vendor.asked if asked.path.endswith("/token")] == ["POST"]
    assert "grant_type=refresh_token" in str(vendor.asked[0].body), "in a person's name where one is given"


def test_without_a_refresh_token_the_app_works_in_its_own_name(
    org_of: Callable[..., Org], context_of: Any, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    org_of()
    context = context_of("salesforce")
    context.connection.values.pop("REFRESH_TOKEN")
    assert len(read(context)) == 5
    assert "grant_type=client_credentials" in str(vendor.asked[0].body)
    assert all(asked.headers["Authorization"] == "Bearer short-lived" for asked in vendor.asked[1:])


def test_a_later_load_reads_from_the_cursor_with_a_lag(org_of: Callable[..., Org], context_of: Any) -> None:
    org = org_of(8)
    found = read(context_of("salesforce"), since=datetime(2026, 6, 1, 10, 0, 5, tzinfo=UTC))
    assert found == [lead["Id"] for lead in org.leads[5:]]
    cursor = datetime(2026, 6, 1, 11, 0, 5, tzinfo=UTC)
    context = context_of("salesforce", cursors={"leads": cursor})
    assert context.since("leads") == datetime(2026, 6, 1, 10, 0, 5, tzinfo=UTC)


def test_an_expired_locator_costs_no_record(org_of: Callable[..., Org], context_of: Any) -> None:
    org = org_of(7)
    org.lost = {2, 4}
    found = read(context_of("salesforce"))
    assert sorted(set(found)) == [lead["Id"] for lead in org.leads]
    assert len(org.queries) == 3
    assert "WHERE SystemModstamp >= 2026-06-01T10:00:01Z" in org.queries[1]


def test_a_locator_that_never_lives_is_an_error(org_of: Callable[..., Org], context_of: Any) -> None:
    org = org_of(6)
    for lead in org.leads:
        lead["SystemModstamp"] = CHANGED.format(0)  # one saving of many records: no reading gets further
    org.lost = _Everything()
    with pytest.raises(BadAnswer, match="locator of Lead expired again and again"):
        read(context_of("salesforce"))


class _Everything(set[int]):
    def __contains__(self, position: object) -> bool:
        return position != 0


@pytest.mark.parametrize("add", [-1, 1])
def test_fewer_or_more_records_than_announced_are_an_error(
    org_of: Callable[..., Org], context_of: Any, vendor: Vendor, add: int
) -> None:
    org = org_of(2)

    def wrong(asked: Asked) -> Any:
        return {**org.query(asked), "totalSize": 2 + add}

    vendor.on(f"{DATA}/queryAll", wrong)
    with pytest.raises(BadAnswer, match="records were announced, but 2 came"):
        read(context_of("salesforce"))


def test_a_next_page_elsewhere_is_refused_and_sees_no_token(
    org_of: Callable[..., Org], context_of: Any, vendor: Vendor
) -> None:
    org_of()
    elsewhere = Vendor()
    page = {"totalSize": 9, "done": False, "records": [record(1)],
            "nextRecordsUrl": f"{elsewhere.url}{DATA}/query/01g-2000"}  # fmt: skip
    vendor.on(f"{DATA}/queryAll", page)
    try:
        with pytest.raises(BadAnswer, match="another origin"):
            read(context_of("salesforce"))
        assert elsewhere.asked == []
    finally:
        elsewhere.close()


def test_too_many_requests_at_once_are_waited_for_but_the_days_are_not(
    org_of: Callable[..., Org], context_of: Any, vendor: Vendor
) -> None:
    org = org_of()
    refusals = iter(["ConcurrentPerOrgLongTxn Limit exceeded."] * 2)

    def busy(asked: Asked) -> Any:
        message = next(refusals, None)
        refused = Reply([{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": message}], 403)
        return refused if message else org.query(asked)

    vendor.on(f"{DATA}/queryAll", busy)
    assert len(read(context_of("salesforce"))) == 5
    used_up = [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}]
    vendor.on(f"{DATA}/queryAll", Reply(used_up, 403))
    asked = len(vendor.asked)
    with pytest.raises(Unreachable, match="limited for another 3600 s"):
        read(context_of("salesforce"))
    assert sum(request.path.endswith("queryAll") for request in vendor.asked[asked:]) == 1
    assert limit_wait(403, {}, b'[{"errorCode":"INSUFFICIENT_ACCESS"}]') is None


def test_the_rest_of_the_days_requests_is_left_to_others(
    org_of: Callable[..., Org], context_of: Any, vendor: Vendor
) -> None:
    org = org_of()
    usage = {"Sforce-Limit-Info": "api-usage=96/100"}
    vendor.on(f"{DATA}/queryAll", lambda asked: Reply(org.query(asked), headers=usage))
    with pytest.raises(Unreachable, match="96 of 100 requests of the day are used up"):
        read(context_of("salesforce"))
    assert len(read(context_of("salesforce", values={"MAX_API_USAGE": "0.97"}))) == 5


def test_a_type_that_is_hidden_is_an_error_unless_orgs_may_lack_it(
    org_of: Callable[..., Org], context_of: Any, vendor: Vendor
) -> None:
    org_of()
    org = source.Org(context_of("salesforce").connection)
    assert org.fields(source.CAMPAIGN_MEMBERS) is None
    with pytest.raises(SourceError, match=r"Account is not shown\. Give the integration user"):
        org.fields(source.ACCOUNTS)


def test_a_parents_field_is_asked_for_where_the_reference_to_it_is_shown(
    org_of: Callable[..., Org], context_of: Any
) -> None:
    org = org_of()
    org.shows("Opportunity", "Id", "SystemModstamp", "StageName", "RecordTypeId", "Rival__c")
    context = context_of("salesforce", values={"COMPETITOR_FIELD": "Rival__c", "CURRENCY": "USD"})
    shown = source.Org(context.connection).fields(source.OPPORTUNITIES)
    assert shown is not None
    assert shown.columns == {
        "opportunity_id": "Id",
        "modified_at": "SystemModstamp",
        "record_type": "RecordType.DeveloperName",
        "stage": "StageName",
        "competitor": "Rival__c",
    }
    org.leads = [record(1, StageName="Closed Won", RecordType={"DeveloperName": "Renewals"}, Rival__c="")]
    (answer,) = source.Org(context.connection).read(source.OPPORTUNITIES, shown, None)
    page = source._page(source.OPPORTUNITIES, shown, answer, context.connection)
    (row,) = page.records or ()
    assert (row["stage"], row["record_type"], row["competitor"]) == ("Closed Won", "Renewals", None)
    assert row["currency"] == "USD", "an org with one currency does not say it with each opportunity"


def test_histories_are_filed_under_our_names_of_the_fields(context_of: Any) -> None:
    context = context_of("salesforce", values={"LIFECYCLE_FIELD": "Phase__c"})
    shown = source.Shown({"change_id": "Id", "field": "Field", "new_value": "NewValue"}, ())
    rows = [
        {"Id": "1", "Field": name, "NewValue": "x"}
        for name in ("Phase__c", "Owner", "Status", "leadConverted")
    ]

    class Answered:
        def at(self, _: str) -> Any:
            return rows

    page = source._page(source.LEAD_HISTORY, shown, Answered(), context.connection)  # type: ignore[arg-type]
    assert [row["field"] for row in page.records or ()] == [
        "lifecycle_stage",
        "owner_id",
        "status",
        "leadConverted",
    ]


def test_pages_of_plain_types_are_typed_without_being_rearranged() -> None:
    owner = {"attributes": {"type": "User", "url": "/x"}, "UserType": "AutomatedProcess"}
    task = {"attributes": {"type": "Task"}, "Id": "00T1", "SystemModstamp": CHANGED.format(1)}
    task |= {"CreatedBy": owner, "ActivityDate": "2026-06-01", "IsDeleted": True, "CompletedDateTime": None}
    timeless = {"attributes": {"type": "Task"}, "Id": "00T2", "SystemModstamp": None}
    body = orjson.dumps({"records": [task, timeless]})
    table = source.table_of(source.TASKS)
    converter = Converter(table, "salesforce:main:acme", Pseudonyms(b"k" * 32), AS_OF)
    converted = converter.convert([Page("tasks", body=body, at="records")])
    assert converted.unknown == {}
    (row,) = converted.good.to_pylist()
    assert (row["task_id"], row["creator_type"], row["is_deleted"]) == ("00T1", "AutomatedProcess", True)
    assert row["modified_at"] == datetime(2026, 6, 1, 10, 0, 1)
    assert row["_extra"] is None
    assert converted.quarantined.num_rows == 1, "a record without a time of change cannot be followed"


def test_a_wrong_secret_is_one_line_without_it(context_of: Any, vendor: Vendor) -> None:
    refused = {"error": "invalid_client", "error_description": "invalid client credentials"}
    vendor.on("/services/oauth2/token", Reply(refused, 400))
    with pytest.raises(Unauthorized) as error:
        SYSTEM.check(context_of("salesforce").connection)
    assert "secret-canary" not in str(error.value)
    assert "\n" not in str(error.value)


def test_the_address_comes_from_the_orgs_name(context_of: Any) -> None:
    connection = context_of("salesforce", account="acme").connection
    connection.values.pop("BASE_URL")
    assert base_url(connection) == "https://acme.my.salesforce.com"


def test_an_ended_session_is_renewed_once(
    org_of: Callable[..., Org], context_of: Any, vendor: Vendor
) -> None:
    org = org_of()
    ended: Iterator[bool] = iter([True])

    def query(asked: Asked) -> Any:
        gone = Reply([{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}], 401)
        return gone if next(ended, False) else org.query(asked)

    vendor.on(f"{DATA}/queryAll", query)
    client: ApiClient = client_for(context_of("salesforce").connection)
    assert client.get(f"{DATA}/queryAll", params={"q": "SELECT Id FROM Lead"}).at("totalSize") == 5
    assert sum(asked.path.endswith("/token") for asked in vendor.asked) == 2


# ---------------------------------------------------------------------------------------------------- staging

MAYA, QUEUE, ROBOT = "005Hr0000000001IAA", "00GHr0000000001MAA", "005Hr0000000009IAA"
USERS: list[dict[str, Any]] = [
    {"user_id": MAYA, "name": "Maya Thompson", "team": "Sales US", "user_type": "Standard"},
    {"user_id": ROBOT, "name": "Automated Process", "user_type": "AutomatedProcess"},
]


def test_leads_and_contacts_are_one_list_and_queues_and_machines_own_nobody(staging: Staging) -> None:
    lead = {"lead_id": "00Q1", "created_at": "2026-05-01", "country": "United States",
            "status": "Qualified", "is_converted": True, "converted_on": "2026-06-01",
            "converted_contact_id": "0031", "converted_account_id": "0011", "owner_id": MAYA,
            "client_ids": "1.2; 3.4", "attributes": '{"bant_need":"true"}'}  # fmt: skip
    waiting = {"lead_id": "00Q2", "created_at": "2026-05-02", "owner_id": QUEUE, "account_id": "0012"}
    merged = {"lead_id": "00Q3", "created_at": "2026-05-03", "is_deleted": True, "merged_into_id": "00Q2"}
    contact = {"contact_id": "0031", "created_at": "2026-06-01", "owner_id": ROBOT, "account_id": "0011"}
    told = {
        "change_id": "1",
        "lead_id": "00Q1",
        "field": "leadConverted",
        "changed_at": "2026-06-01 14:30:00",
    }
    staging.write(
        "salesforce", users=USERS, leads=[lead, waiting, merged], contacts=[contact], lead_history=[told]
    )
    assert staging.rows(
        "stg_salesforce__crm_contacts", "contact_id", "record_type", "converted_contact_id",
        "strftime(converted_at, '%d %H:%M')", "account_id", "owner_id", "lead_status", "country",
        "anonymous_ids", "is_deleted", "merged_into_id",
    ) == [
        ("0031", "contact", None, None, "0011", None, None, None, None, False, None),
        ("00Q1", "lead", "0031", "01 14:30", "0011", MAYA, "Qualified", "US", '["1.2","3.4"]', False, None),
        ("00Q2", "lead", None, None, "0012", None, None, None, None, False, None),
        ("00Q3", "lead", None, None, None, None, None, None, None, True, "00Q2"),
    ]  # fmt: skip
    assert staging.rows("stg_salesforce__crm_owners", "owner_id", "team") == [(MAYA, "Sales US")]


def test_a_saving_tells_what_differs_from_the_one_before_and_owners_go_by_their_ids(staging: Staging) -> None:
    savings = [("1", "Qualification", None, "2026-07-01", "2026-06-01"),
               ("2", "Qualification", "500", "2026-07-01", "2026-06-02"),
               ("3", "Closed Won", "500", "2026-06-09", "2026-06-09"),
               ("4", "Closed Won", "450", "2026-06-09", "2026-06-12")]  # fmt: skip
    history = [
        {"history_id": number, "opportunity_id": "0061", "stage": stage, "amount": amount,
         "close_date": close, "created_at": at} for number, stage, amount, close, at in savings
    ]  # fmt: skip
    changes = [
        {"change_id": "5", "field": "owner_id", "data_type": "Text", "old_value": "Jo", "new_value": "Maya"},
        {
            "change_id": "6",
            "field": "owner_id",
            "data_type": "EntityId",
            "old_value": ROBOT,
            "new_value": MAYA,
        },
        {"change_id": "7", "field": "forecast_category", "old_value": "Pipeline", "new_value": "Best Case"},
        {"change_id": "8", "field": "next_step", "new_value": "Call"},
    ]
    when = {"opportunity_id": "0061", "changed_at": "2026-06-05"}
    deal = {"opportunity_id": "0061", "stage": "Closed Won", "is_closed": True, "is_won": True,
            "amount": "450", "probability": "100", "type": "Existing Business", "close_date": "2026-06-09",
            "created_at": "2026-06-01", "currency": "usd"}  # fmt: skip
    staging.write(
        "salesforce", users=USERS, opportunities=[deal], opportunity_history=history,
        opportunity_field_history=[{**when, **change} for change in changes],
    )  # fmt: skip
    assert staging.rows(
        "stg_salesforce__crm_stage_history", "change_id", "field", "from_value", "to_value"
    ) == [
        ("1:amount", "amount", None, ""),
        ("1:close_date", "close_date", None, "2026-07-01"),
        ("1:stage", "stage", None, "Qualification"),
        ("2:amount", "amount", "", "500.0000"),
        ("3:close_date", "close_date", "2026-07-01", "2026-06-09"),
        ("3:stage", "stage", "Qualification", "Closed Won"),
        ("4:amount", "amount", "500.0000", "450.0000"),
        ("6", "owner_id", None, MAYA),
        ("7", "forecast_category", "pipeline", "best_case"),
    ]
    # Closed when it entered the stage, not when saved last; an org without record types has a pipeline, too.
    assert staging.rows(
        "stg_salesforce__crm_opportunities", "strftime(closed_at, '%m-%d')", "probability", "pipeline",
        "opportunity_type", "currency", "amount",
    ) == [("06-09", 1.0, "sales", "expansion", "USD", 450.0)]  # fmt: skip


def test_tasks_and_events_are_the_activities_that_they_stand_for(staging: Staging) -> None:
    at = {"created_at": "2026-06-01 10:00:00", "completed_at": "2026-06-02 11:00:00", "owner_id": MAYA}
    tasks = [
        {"task_id": "00T1", "subtype": "Call", "call_type": "Inbound", "call_result": "No Answer",
         "who_id": "00Q1", **at},
        {"task_id": "00T2", "subtype": "Email", "creator_type": "AutomatedProcess", "what_id": "0061", **at},
        {"task_id": "00T3", "type": "LinkedIn", "subtype": "Task", "what_id": "0011", **at},
        {"task_id": "00T4", "subtype": "Task", "type": "Other", "status": "Not Started",
         "due_on": "2026-06-09", **at},
        {"task_id": "00T5", "subtype": "Call", "is_deleted": True, **at},
    ]  # fmt: skip
    email = {"message_id": "02s1", "task_id": "00T2", "is_incoming": True, "sent_at": "2026-06-01 09:58:00"}
    event = {"event_id": "00U1", "starts_at": "2026-06-03 15:00:00", "outcome": "No Show",
             "account_id": "0011", **{key: at[key] for key in ("created_at", "owner_id")}}  # fmt: skip
    lead = {"lead_id": "00Q1", "account_id": "0019", "created_at": "2026-05-01"}
    staging.write("salesforce", tasks=tasks, email_messages=[email], events=[event], leads=[lead])
    assert staging.rows(
        "stg_salesforce__crm_activities", "activity_id", "activity_type", "direction",
        "strftime(occurred_at, '%d %H:%M')", "strftime(scheduled_for, '%d')", "account_id", "opportunity_id",
        "outcome", "is_automated",
    ) == [
        ("00T1", "call", "inbound", "01 10:00", None, "0019", None, "no_answer", False),
        ("00T2", "email", "inbound", "01 09:58", None, None, "0061", "sent", True),
        ("00T3", "social_message", "outbound", "01 10:00", None, None, None, "linkedin", False),
        ("00T4", "task", None, "02 11:00", "09", None, None, "not_started", False),
        ("00U1", "meeting", None, "03 15:00", "03", "0011", None, "no_show", False),
    ]  # fmt: skip


def test_campaigns_in_the_world_are_touches_and_those_of_other_tools_are_not(staging: Staging) -> None:
    campaigns = [{"campaign_id": f"701{n}", "type": kind, "name": f"C{n}"} for n, kind in enumerate(
        ("Webinar", "Trade Show", "Email", "Dinner with clients"))]  # fmt: skip
    members = [
        {"member_id": "1", "campaign_id": "7010", "lead_id": "00Q1", "contact_id": "0031",
         "status": "Attended", "created_at": "2026-06-01 10:00:00", "responded_on": "2026-06-01"},
        {"member_id": "2", "campaign_id": "7011", "lead_id": "00Q2", "status": "No Show",
         "created_at": "2026-06-02 10:00:00"},
        {"member_id": "3", "campaign_id": "7011", "lead_id": "00Q3", "status": "Attended",
         "created_at": "2026-06-02 10:00:00", "responded_on": "2026-06-05"},
        {"member_id": "4", "campaign_id": "7012", "lead_id": "00Q2", "created_at": "2026-06-02"},
        {"member_id": "5", "campaign_id": "7013", "lead_id": "00Q2", "created_at": "2026-06-02"},
        {"member_id": "6", "campaign_id": "7010", "lead_id": "00Q2", "created_at": "2026-06-02",
         "is_deleted": True},
    ]  # fmt: skip
    staging.write("salesforce", campaigns=campaigns, campaign_members=members)
    assert staging.rows(
        "stg_salesforce__offline_touches", "touch_id", "touch_type", "contact_id", "status",
        "strftime(occurred_at, '%d %H:%M')",
    ) == [
        ("1", "webinar", "0031", "attended", "01 10:00"),
        ("2", "event", "00Q2", "no_show", "02 10:00"),
        ("3", "event", "00Q3", "attended", "05 00:00"),
        ("5", "dinner_with_clients", "00Q2", None, "02 00:00"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("website", "domain"),
    [
        ("https://www.Acme.example/en?x=1", "acme.example"),
        ("acme.example", "acme.example"),
        ("www.acme.example/", "acme.example"),
        (None, None),
    ],
)
def test_a_website_is_read_however_it_was_typed(
    staging: Staging, website: str | None, domain: str | None
) -> None:
    account = {"account_id": "0011", "website": website, "country": "USA", "created_at": "2026-06-01",
               "modified_at": "2026-06-09", "is_deleted": True, "merged_into_id": "0012"}  # fmt: skip
    staging.write("salesforce", accounts=[account])
    assert staging.rows(
        "stg_salesforce__crm_accounts", "domain", "country", "merged_into_id", "strftime(merged_at, '%d')"
    ) == [(domain, "US", "0012", "09")]
