"""The ads server's query language: what a query says is what comes back."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.servers._gaql import Condition, QueryError, parse
from tests.unit.sandbox.conftest import Client


def _rows(client: Client, query: str) -> list[Any]:
    answer = client.ads(query)
    assert answer.status_code == 200, answer.text
    return answer.json().get("results", [])


def test_a_query_is_parsed_whole() -> None:
    query = parse(
        "select campaign.id, metrics.clicks from campaign"
        " WHERE segments.date BETWEEN '2026-06-01' AND \"2026-06-02\""
        " and campaign.status IN ('ENABLED', PAUSED) AND campaign.name NOT LIKE 'it\\'s%'"
        " AND metrics.clicks > 3"
        " ORDER BY metrics.clicks DESC, campaign.id LIMIT 5 PARAMETERS include_drafts=true"
    )
    assert (query.fields, query.resource, query.limit) == (["campaign.id", "metrics.clicks"], "campaign", 5)
    assert query.conditions == [
        Condition("segments.date", "BETWEEN", ("2026-06-01", "2026-06-02")),
        Condition("campaign.status", "IN", ("ENABLED", "PAUSED")),
        Condition("campaign.name", "NOT LIKE", ("it's%",)),
        Condition("metrics.clicks", ">", ("3",)),
    ]
    assert query.orderings == [("metrics.clicks", True), ("campaign.id", False)]
    assert query.parameters == {"include_drafts": "true"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("FROM campaign", "EXPECTED_SELECT"),
        ("SELECT campaign.id", "EXPECTED_FROM"),
        ("SELECT campaign.id FROM", "UNEXPECTED_END_OF_QUERY"),
        ("SELECT campaign.id FROM campaign WHERE campaign.id", "UNEXPECTED_END_OF_QUERY"),
        ("SELECT campaign.id FROM campaign WHERE campaign.id ~ 1", "UNEXPECTED_INPUT"),
        ("SELECT campaign.id FROM campaign WHERE campaign.id IN ()", "PROHIBITED_EMPTY_LIST_IN_CONDITION"),
        ("SELECT campaign.id FROM campaign WHERE campaign.id IN 1", "EXPECTED_LIST"),
        ("SELECT campaign.id FROM campaign WHERE segments.date BETWEEN 'a' 'b'", "EXPECTED_AND"),
        ("SELECT campaign.id FROM campaign ORDER campaign.id", "EXPECTED_BY"),
        ("SELECT campaign.id FROM campaign LIMIT many", "BAD_LIMIT_VALUE"),
        ("SELECT campaign.id FROM campaign nonsense", "UNEXPECTED_INPUT"),
    ],
)
def test_what_is_no_query_is_refused_with_its_code(text: str, code: str) -> None:
    with pytest.raises(QueryError) as refused:
        parse(text)
    assert refused.value.code == code


def test_conditions_filter_and_orderings_order(client: Client) -> None:
    campaigns = _rows(client, "SELECT campaign.id, campaign.name, campaign.status FROM campaign")
    some = [row["campaign"]["id"] for row in campaigns[:2]]
    chosen = _rows(client, f"SELECT campaign.id FROM campaign WHERE campaign.id IN ({', '.join(some)})")
    assert {row["campaign"]["id"] for row in chosen} == set(some)
    rest = _rows(client, f"SELECT campaign.id FROM campaign WHERE campaign.id NOT IN ({', '.join(some)})")
    assert len(chosen) + len(rest) == len(campaigns)
    name = campaigns[0]["campaign"]["name"]
    found = _rows(client, f"SELECT campaign.id FROM campaign WHERE campaign.name LIKE '{name[:5]}%'")
    assert campaigns[0]["campaign"]["id"] in {row["campaign"]["id"] for row in found}
    ordered = _rows(client, "SELECT campaign.id FROM campaign ORDER BY campaign.name DESC")
    by_id = {row["campaign"]["id"]: row["campaign"]["name"] for row in campaigns}
    names = [by_id[row["campaign"]["id"]] for row in ordered]
    assert names == sorted(names, reverse=True)
    assert [row["campaign"]["id"] for row in _rows(client, "SELECT campaign.id FROM campaign LIMIT 2")] == [
        row["campaign"]["id"] for row in campaigns[:2]
    ]


def test_figures_are_summed_over_what_is_not_selected(client: Client) -> None:
    where = " WHERE segments.date BETWEEN '2026-06-01' AND '2026-06-30'"
    daily = _rows(client, "SELECT segments.date, metrics.clicks, metrics.impressions FROM customer" + where)
    devices = _rows(client, "SELECT segments.device, metrics.clicks FROM customer" + where)
    whole = _rows(client, "SELECT metrics.clicks, metrics.impressions, metrics.ctr FROM customer" + where)
    assert len(daily) == 30
    assert len(whole) == 1
    total = int(whole[0]["metrics"]["clicks"])
    assert (
        sum(int(r["metrics"]["clicks"]) for r in daily)
        == sum(int(r["metrics"]["clicks"]) for r in devices)
        == total
    )
    assert whole[0]["metrics"]["ctr"] == pytest.approx(total / int(whole[0]["metrics"]["impressions"]))
    months = _rows(client, "SELECT segments.month, metrics.clicks FROM customer" + where)
    assert [(r["segments"]["month"], int(r["metrics"]["clicks"])) for r in months] == [("2026-06-01", total)]
    many = _rows(
        client, "SELECT segments.date, metrics.clicks FROM customer" + where + " AND metrics.clicks > 20"
    )
    assert [r["segments"]["date"] for r in many] == sorted(
        r["segments"]["date"] for r in daily if int(r["metrics"]["clicks"]) > 20
    )
    week = _rows(
        client, "SELECT segments.date, metrics.clicks FROM customer WHERE segments.date DURING LAST_7_DAYS"
    )
    assert {r["segments"]["date"] for r in week} == {f"2026-06-{day}" for day in range(24, 31)}


def test_campaigns_without_figures_are_listed_unless_a_segment_is_asked_for(client: Client) -> None:
    all_of_them = _rows(client, "SELECT campaign.id FROM campaign")
    early = " WHERE segments.date = '2020-01-01'"
    idle = _rows(client, "SELECT campaign.id, metrics.clicks FROM campaign" + early)
    assert len(idle) == len(all_of_them)
    assert {row["metrics"]["clicks"] for row in idle} == {"0"}
    assert _rows(client, "SELECT campaign.id, segments.date, metrics.clicks FROM campaign" + early) == []


def test_resource_names_come_along_unless_omitted(client: Client) -> None:
    query = "SELECT ad_group.id, campaign.name FROM ad_group LIMIT 1"
    row = _rows(client, query)[0]
    assert row["adGroup"]["resourceName"] == f"customers/4815162342/adGroups/{row['adGroup']['id']}"
    assert row["campaign"]["resourceName"].startswith("customers/4815162342/campaigns/")
    slim = _rows(client, query + " PARAMETERS omit_unselected_resource_names=true")[0]
    assert set(slim["adGroup"]) == {"id"}


def test_a_campaign_shows_its_days_in_the_accounts_own_time_zone(clean: Client) -> None:
    clean.control("POST", "clock", {"as_of": "2026-06-11T00:30:00Z"})  # still the 10th in New York
    query = "SELECT segments.date, metrics.clicks FROM customer"
    query += " WHERE segments.date BETWEEN '2026-06-08' AND '2026-06-12'"
    last = {
        account: max(row["segments"]["date"] for row in clean.ads(query, account=account).json()["results"])
        for account in ("4815162342", "4815162344")
    }
    assert last == {"4815162342": "2026-06-10", "4815162344": "2026-06-09"}
