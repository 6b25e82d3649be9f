"""HubSpot: lists and searches, the cap of a search, batch reads, associations, merges, archived records."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ingestion.errors import BadAnswer, Unauthorized
from ingestion.hubspot import source
from ingestion.hubspot.settings import client_for
from ingestion.sources import Page
from tests.unit.systems.vendor import Asked, Reply, Vendor

CONTACTS = "/crm/v3/objects/contacts"


def record(number: int, modified: str = "2026-06-01T00:00:00.000Z", **more: Any) -> dict[str, Any]:
    properties = {
        "lastmodifieddate": modified,
        "createdate": modified,
        "email": "",
        **more.pop("properties", {}),
    }
    return {
        "id": str(number),
        "properties": properties,
        "createdAt": modified,
        "updatedAt": modified,
        "archived": False,
        **more,
    }


def rows(items: list[Any], table: str) -> list[dict[str, Any]]:
    return [
        dict(row)
        for item in items
        if isinstance(item, Page) and item.table == table
        for row in item.records or ()
    ]


def test_first_load_lists_records_histories_links_and_archived_ones(vendor: Vendor, context_of: Any) -> None:
    stage = [
        {
            "value": "customer",
            "timestamp": "2026-06-03T00:00:00.000Z",
            "sourceType": "CRM_UI",
            "updatedByUserId": 5,
        },
        {"value": "lead", "timestamp": "2026-06-01T00:00:00.000Z", "sourceType": "FORM"},
    ]
    merged = [
        {"value": "8;9", "timestamp": "2026-06-05T00:00:00.000Z"},
        {"value": "8", "timestamp": "2026-06-04T00:00:00.000Z"},
    ]
    first = record(
        1,
        propertiesWithHistory={"lifecyclestage": stage, "hs_merged_object_ids": merged},
        properties={"bant_need": "true"},
    )
    gone = record(3, archived=True, archivedAt="2026-06-07T00:00:00.000Z")

    def listing(asked: Asked) -> dict[str, Any]:
        assert asked.query["limit"] == "50"
        assert "lifecyclestage" in asked.query["propertiesWithHistory"]
        if asked.query["archived"] == "true":
            return {"results": [gone]}
        if "after" not in asked.query:
            return {"results": [first], "paging": {"next": {"after": "1"}}}
        return {"results": [record(2)]}

    vendor.on(CONTACTS, listing)
    link = {"toObjectId": 77, "associationTypes": [{"label": None}, {"label": "Primary"}]}
    vendor.on(
        "/crm/v4/associations/contacts/companies/batch/read",
        Reply(
            {
                "results": [{"from": {"id": "1"}, "to": [link]}],
                "numErrors": 1,
                "errors": [{"category": "NONE"}],
            },
            207,
        ),
    )
    items = list(source.objects(source.CONTACTS, context_of("hubspot")))
    contacts = {row["contact_id"]: row for row in rows(items, "contacts")}
    assert contacts["1"]["companies_links"] == [{"id": "77", "labels": ["Primary"]}]
    assert contacts["1"]["properties"] == {"bant_need": "true"}
    assert contacts["2"]["email"] is None
    assert contacts["3"]["archived"] is True
    assert contacts["3"]["version_at"] == "2026-06-07T00:00:00.000Z"
    history = rows(items, "contacts_history")
    assert [(row["field"], row["value"]) for row in history] == [
        ("lifecycle_stage", "customer"),
        ("lifecycle_stage", "lead"),
    ]
    assert len({row["change_id"] for row in history}) == 2
    assert [(row["merged_id"], row["into_id"], row["merged_at"][:10]) for row in rows(items, "merges")] == [
        ("8", "1", "2026-06-04"),
        ("9", "1", "2026-06-05"),
    ]


def test_later_loads_search_then_read_whole_records(vendor: Vendor, context_of: Any) -> None:
    vendor.on(f"{CONTACTS}/search", {"total": 1, "results": [record(4)]})
    vendor.on(f"{CONTACTS}/batch/read", {"results": [record(4)]})
    vendor.on(CONTACTS, {"results": []})
    vendor.on("/crm/v4/associations/contacts/companies/batch/read", {"results": []})
    cursor = datetime(2026, 6, 2, tzinfo=UTC)
    items = list(source.objects(source.CONTACTS, context_of("hubspot", cursors={"contacts": cursor})))
    assert [row["contact_id"] for row in rows(items, "contacts")] == ["4"]
    search = next(asked for asked in vendor.asked if asked.path.endswith("search")).body
    (condition,) = search["filterGroups"][0]["filters"]
    assert condition == {
        "propertyName": "lastmodifieddate",
        "operator": "GTE",
        "value": str(int(cursor.timestamp() - 3600) * 1000),
    }
    assert [asked.query["archived"] for asked in vendor.asked if asked.path == CONTACTS] == ["true"]


def test_a_search_goes_on_beyond_its_cap(
    vendor: Vendor, context_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "SEARCH_CAP", 4)
    monkeypatch.setattr(source, "SEARCH_PAGE", 2)
    everything = [record(n, f"2026-06-01T00:00:{n // 2:02d}.000Z") for n in range(11)]

    def search(asked: Asked) -> dict[str, Any]:
        bound = int(asked.body["filterGroups"][0]["filters"][0]["value"])
        hits = [r for r in everything if source._milliseconds(r["updatedAt"]) >= bound]
        start = int(asked.body.get("after", 0))
        assert start + 2 <= 4
        page: dict[str, Any] = {"total": len(hits), "results": hits[start : start + 2]}
        if start + 2 < len(hits):
            page["paging"] = {"next": {"after": str(start + 2)}}
        return page

    vendor.on(f"{CONTACTS}/search", search)
    client = client_for(context_of("hubspot").connection)
    ids = list(source.changed_ids(client, source.CONTACTS, datetime(2026, 6, 1, tzinfo=UTC)))
    assert ids == [str(n) for n in range(11)]


def test_more_equal_modification_times_than_a_search_shows_is_an_error(
    vendor: Vendor, context_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "SEARCH_CAP", 2)
    monkeypatch.setattr(source, "SEARCH_PAGE", 2)
    page = {"total": 9, "results": [record(1), record(2)], "paging": {"next": {"after": "2"}}}
    vendor.on(f"{CONTACTS}/search", page)
    client = client_for(context_of("hubspot").connection)
    with pytest.raises(BadAnswer, match="one modification time"):
        list(source.changed_ids(client, source.CONTACTS, datetime(2026, 6, 1, tzinfo=UTC)))


def test_associations_follow_their_own_pages(vendor: Vendor, context_of: Any) -> None:
    def read(asked: Asked) -> dict[str, Any]:
        results = []
        for entry in asked.body["inputs"]:
            if "after" in entry:
                results.append({"from": {"id": "1"}, "to": [{"toObjectId": "12", "associationTypes": []}]})
            else:
                target = {"toObjectId": "11", "associationTypes": [{"label": "User"}]}
                results.append({"from": {"id": "1"}, "to": [target], "paging": {"next": {"after": "x"}}})
        return {"results": results}

    vendor.on("/crm/v4/associations/deals/contacts/batch/read", read)
    found = source.associations(client_for(context_of("hubspot").connection), "deals", "contacts", ["1"])
    assert found == {"1": [{"id": "11", "labels": ["User"]}, {"id": "12", "labels": []}]}


def test_an_answer_without_results_fails(vendor: Vendor, context_of: Any) -> None:
    vendor.on(CONTACTS, {"status": "error", "message": "internal"})
    with pytest.raises(BadAnswer, match="no list at 'results'"):
        list(source.objects(source.CONTACTS, context_of("hubspot")))


def test_a_wrong_token_is_one_line_without_the_token(vendor: Vendor, context_of: Any) -> None:
    vendor.on(CONTACTS, Reply({"status": "error", "category": "INVALID_AUTHENTICATION"}, 401))
    with pytest.raises(Unauthorized) as error:
        source.check(context_of("hubspot").connection)
    assert "secret-canary" not in str(error.value)
    assert "\n" not in str(error.value)
