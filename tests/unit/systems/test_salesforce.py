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
