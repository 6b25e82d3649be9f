"""The acquired firm's CRM: its query language, its refusals, and how its records hang together at a clock."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest
import requests

from sandbox.company import Company, territories
from sandbox.servers import _soql as soql
from sandbox.servers import salesforce
from sandbox.world import parse_instant
from tests.unit.sandbox.conftest import AS_OF, Client

NOW = parse_instant(AS_OF).replace(tzinfo=None)


def found(client: Client, query: str, everything: bool = True, **options: Any) -> list[dict[str, Any]]:
    """All records of a query."""
    answer = client.sales("queryAll" if everything else "query", q=query, **options).json()
    records = list(answer["records"])
    while not answer["done"]:
        answer = client.sales(answer["nextRecordsUrl"]).json()
        records += answer["records"]
    assert len(records) == answer["totalSize"]
    return records


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELECT Id, Nope FROM Lead", "INVALID_FIELD"),
        ("SELECT Nobody.Name FROM Lead", "INVALID_FIELD"),
        ("SELECT Id, id FROM Lead", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE SystemModstamp > '2026-06-01T00:00:00Z'", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE IsDeleted = 1", "INVALID_FIELD"),
        ("SELECT Id FROM Unicorn", "INVALID_TYPE"),
        ("SELECT * FROM Lead", "MALFORMED_QUERY"),
        ("SELECT Id Lead", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead WHERE", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead WHERE Status = New", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead GROUP BY Id", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead LIMIT some", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead WHERE (Status = 'New'", "MALFORMED_QUERY"),
        ("", "MALFORMED_QUERY"),
    ],
)
def test_a_query_that_the_vendor_refuses_is_refused_with_its_code(
    client: Client, query: str, code: str
) -> None:
    answer = client.sales("query", q=query)
    assert answer.status_code == 400
    assert [error["errorCode"] for error in answer.json()] == [code]


JUNE = "2026-06-0{}T{}:00:00.000+0000"
ROWS = [
    {"Id": "00QHr00000000aAIAQ", "Status": "New", "CreatedDate": JUNE.format(1, "00"), "IsDeleted": True},
    {"Id": "00QHr00000000AaIAI", "Status": "Unqualified", "CreatedDate": JUNE.format(3, "10")},
    {"Id": "00QHr000000000bIAA", "Status": None, "CreatedDate": JUNE.format(2, "00"), "IsDeleted": False},
]


@pytest.mark.parametrize(
    ("clause", "places"),
    [
        ("WHERE Status = 'new'", [0]),
        ("WHERE Status != 'New'", [1, 2]),
        ("WHERE Status = null", [2]),
        ("WHERE Status IN ('New', 'Working')", [0]),
        ("WHERE Status NOT IN ('New') AND Status <> null", [1]),
        ("WHERE Status LIKE '%quali%'", [1]),
        ("WHERE Id = '00QHr00000000aA'", [0]),
        ("WHERE NOT Status = 'New' OR IsDeleted = true", [0, 1, 2]),
        ("WHERE CreatedDate >= 2026-06-03T12:00:00+02:00", [1]),
        ("WHERE CreatedDate > 2026-06-01T00:00:00Z AND (Status = 'New' OR Status = null)", [2]),
        ("ORDER BY CreatedDate DESC LIMIT 2", [1, 2]),
        ("ORDER BY Status, Id", [2, 0, 1]),
        ("ORDER BY Status DESC NULLS FIRST", [2, 1, 0]),
    ],
)
def test_conditions_and_orders_mean_what_the_vendor_means(clause: str, places: list[int]) -> None:
    query = soql.parse(f"SELECT Id FROM Lead {clause}", salesforce.ENTITIES)
    assert [ROWS.index(row) for row in query.answer(ROWS)] == places


def test_tokens_versions_and_locators_are_refused_in_the_vendors_words(client: Client) -> None:
    base = client.setting("salesforce", "BASE_URL")
    form = {"grant_type": "client_credentials", "client_id": salesforce.CLIENT_ID, "client_secret": "no"}
    refused = requests.post(f"{base}/services/oauth2/token", data=form, timeout=30)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_client")
    form |= {"grant_type": "refresh_token", "client_secret": salesforce.CLIENT_SECRET, "refresh_token": "no"}
    assert (
        requests.post(f"{base}/services/oauth2/token", data=form, timeout=30).json()["error"]
        == "invalid_grant"
    )
    form["refresh_token"] = salesforce.REFRESH_TOKEN
    assert requests.post(f"{base}/services/oauth2/token", data=form, timeout=30).json()["instance_url"]
    assert client.sales("limits", version="v99.0").status_code == 404
    assert client.sales("limits", version="v20.0").json()[0]["errorCode"] == "UNSUPPORTED_API_VERSION"
    assert client.sales("query/01gHr0000000000AAA-2000").json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"
    assert client.sales("sobjects/Unicorn/describe").json()[0]["errorCode"] == "NOT_FOUND"
    usage = client.sales("limits")
    used = usage.headers["Sforce-Limit-Info"].removeprefix("api-usage=").split("/")
    assert usage.json()["DailyApiRequests"]["Remaining"] == int(used[1]) - int(used[0])


def test_only_so_many_locators_live(client: Client) -> None:
    query = f"SELECT {', '.join(salesforce.ENTITIES['Lead'].fields)} FROM Lead"
    page = client.sales("queryAll", batch=1, q=query).json()
    assert len(page["records"]) == salesforce.VALUES_A_PAGE // len(salesforce.ENTITIES["Lead"].fields)
    first = page["nextRecordsUrl"]
    assert client.sales(first).status_code == 200
    for _ in range(salesforce.OPEN_LOCATORS):
        client.sales("queryAll", q=query)
    assert client.sales(first).json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"


def test_records_of_the_territory_lie_here_and_nowhere_else(client: Client, company: Company) -> None:
    rows = [r for r in company.tables["crm_objects"].to_pylist() if r["created_at"] <= NOW]
    mine: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row["crm"] == territories.ACQUIRED:
            mine[row["object_type"]].add(row["object_id"])
    for kind, name in (("contact", "Lead"), ("company", "Account"), ("deal", "Opportunity")):
        held = [record["Id"] for record in found(client, f"SELECT Id FROM {name}")]
        assert Counter(held) == Counter(mine[kind])
        assert held
    countries = {r["BillingCountry"] for r in found(client, "SELECT BillingCountry FROM Account")}
    assert countries == {"United States"}
    elsewhere = client.crm("/crm/v3/objects/contacts", limit=100, properties="country").json()["results"]
    assert "US" not in {record["properties"]["country"] for record in elsewhere}


def test_ids_have_the_vendors_check_letters() -> None:
    # The vendor's own example: 001D000000IRFma is 001D000000IRFmaIAH.
    assert territories.as_type("00QD000000IRFma", "001") == "001D000000IRFmaIAH"
    assert territories.record_id("006", 62 * 61 + 10)[-5:-3] == "zA"


def test_deleted_and_archived_records_are_in_query_all_only(client: Client) -> None:
    everything = {r["Id"] for r in found(client, "SELECT Id FROM Lead")}
    standing = {r["Id"] for r in found(client, "SELECT Id FROM Lead", everything=False)}
    gone = {r["Id"] for r in found(client, "SELECT Id FROM Lead WHERE IsDeleted = true")}
    assert gone
    assert everything == standing | gone
    assert not standing & gone
    old = {r["Id"] for r in found(client, "SELECT Id FROM Task WHERE IsArchived = true")}
    assert not old & {r["Id"] for r in found(client, "SELECT Id FROM Task", everything=False)}
    merged = found(client, "SELECT Id, MasterRecordId FROM Account WHERE MasterRecordId != null")
    assert merged
    assert {r["MasterRecordId"] for r in merged} <= {
        r["Id"] for r in found(client, "SELECT Id FROM Account", everything=False)
    }


def test_a_converted_lead_has_its_contact_and_whoever_is_in_a_deal_is_one(client: Client) -> None:
    leads = found(
        client, "SELECT Id, ConvertedContactId, ConvertedDate, Status FROM Lead WHERE IsConverted = true"
    )
    contacts = {r["Id"]: r for r in found(client, "SELECT Id, CreatedDate, Lifecycle_Stage__c FROM Contact")}
    assert contacts
    assert {lead["ConvertedContactId"] for lead in leads} == set(contacts)
    assert {lead["Status"] for lead in leads} == {salesforce.CONVERTED}
    for lead in leads:
        assert lead["ConvertedDate"] >= contacts[lead["ConvertedContactId"]]["CreatedDate"][:10]
    roles = found(client, "SELECT OpportunityId, ContactId, IsPrimary FROM OpportunityContactRole")
    assert {role["ContactId"] for role in roles} <= set(contacts)
    primary = Counter(role["OpportunityId"] for role in roles if role["IsPrimary"])
    assert primary
    assert max(primary.values()) == 1


def test_histories_end_in_what_the_records_say(client: Client) -> None:
    savings: dict[str, Any] = {}
    query = "SELECT OpportunityId, StageName, Amount, CloseDate FROM OpportunityHistory ORDER BY CreatedDate"
    for saving in found(client, query):
        savings[saving["OpportunityId"]] = saving
    for deal in found(client, "SELECT Id, StageName, Amount, CloseDate FROM Opportunity"):
        for name in ("StageName", "Amount", "CloseDate"):
            assert savings[deal["Id"]][name] == deal[name]
    last: dict[tuple[str, str], Any] = {}
    moved = 0
    fields = "LeadId, Field, OldValue, NewValue, DataType"
    for change in found(client, f"SELECT {fields} FROM LeadHistory ORDER BY CreatedDate, Id"):
        if change["Field"] == "Owner" and change["DataType"] == "Text":
            assert " " in change["NewValue"], "names as people see them"
            continue
        key = (change["LeadId"], change["Field"])
        if key in last and change["Field"] not in ("created", "leadConverted"):
            assert last[key] == change["OldValue"]
            moved += 1
        last[key] = change["NewValue"]
    assert moved > 10
    columns = {"Status": "Status", "Lifecycle_Stage__c": "Lifecycle_Stage__c", "Owner": "OwnerId"}
    for lead in found(client, f"SELECT Id, {', '.join(columns.values())} FROM Lead"):
        for name, column in columns.items():
            assert last.get((lead["Id"], name), lead[column]) == lead[column]


def test_what_changed_between_two_clocks_has_a_newer_time_of_change(clean: Client) -> None:
    types = (
        "Lead",
        "Contact",
        "Account",
        "Opportunity",
        "OpportunityContactRole",
        "CampaignMember",
        "Task",
        "Event",
    )

    def states() -> dict[tuple[str, str], dict[str, Any]]:
        shown = {}
        for name in types:
            fields = ", ".join(salesforce.ENTITIES[name].fields)
            for record in found(clean, f"SELECT {fields} FROM {name}"):
                shown[name, record["Id"]] = record
        return shown

    def stated(record: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in record.items() if key not in ("SystemModstamp", "IsArchived")}

    before: dict[tuple[str, str], dict[str, Any]] = {}
    changed = 0
    for day in range(8, 29, 5):
        clock = f"2026-06-{day:02d}T00:00:00Z"
        clean.control("POST", "clock", {"as_of": clock})
        after = states()
        assert set(before) <= set(after), "nothing vanishes: it is marked as deleted"
        for key, record in after.items():
            assert record["SystemModstamp"] <= clock
            if key in before and stated(before[key]) != stated(record):
                assert record["SystemModstamp"] > before[key]["SystemModstamp"], key
                changed += 1
        before = after
    assert changed > 5
