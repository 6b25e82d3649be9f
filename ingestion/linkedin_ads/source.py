"""What is read from LinkedIn Ads: names as records, analytics per creative and day.

`adAnalytics` has no pages: it cuts an answer at 15,000 elements without a word. So an answer of that length
is thrown away and asked for again in halves, down to one day. Without access it answers with an empty list:
the account is asked for first, and its own totals are read beside the creatives', as the control total.

A campaign group here is what other platforms call a campaign, a campaign an ad group, a creative an ad.
Country and device exist only as approximations that do not add up to the spend; they are not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from ingestion.errors import BadAnswer, ConfigurationError, RequestRefused, SourceError
from ingestion.http import Answer, ApiClient, after
from ingestion.linkedin_ads.settings import SETTINGS, SYSTEM_NAME, client_for
from ingestion.records import Column, Table
from ingestion.settings import Connection
from ingestion.sources import Context, Done, Item, Page, Resource, System
from ingestion.windows import days, spans, window

PAGE = 100
DAYS_PER_QUERY = 30
MOST_ELEMENTS = 15_000

ACCOUNTS = Table(
    "accounts",
    columns=(
        Column("account_id", path="id", required=True),
        Column("name"),
        Column("currency", required=True),
        Column("status"),
        Column("type"),
    ),
    key=("account_id",),
    ignored=(
        "reference",
        "test",
        "servingStatuses",
        "changeAuditStamps",
        "version",
        "notifiedOnCampaignOptimization",
        "notifiedOnCreativeApproval",
        "notifiedOnCreativeRejection",
        "notifiedOnEndOfCampaign",
        "notifiedOnNewFeaturesEnabled",
    ),
    description="One advertising account.",
)
CAMPAIGN_GROUPS = Table(
    "campaign_groups",
    columns=(
        Column("campaign_group_id", path="id", required=True),
        Column("name"),
        Column("status"),
        Column("objective", path="objectiveType"),
    ),
    key=("campaign_group_id",),
    ignored=(
        "account",
        "totalBudget",
        "dailyBudget",
        "runSchedule",
        "servingStatuses",
        "changeAuditStamps",
        "test",
        "backfilled",
        "allowedCampaignTypes",
        "budgetOptimization",
    ),
    description="One campaign group: the unified tables' campaign.",
)
CAMPAIGNS = Table(
    "campaigns",
    columns=(
        Column("campaign_id", path="id", required=True),
        Column("campaign_group", path="campaignGroup"),
        Column("name"),
        Column("status"),
        Column("type"),
        Column("objective", path="objectiveType"),
    ),
    key=("campaign_id",),
    ignored=(
        "account",
        "dailyBudget",
        "totalBudget",
        "unitCost",
        "costType",
        "runSchedule",
        "locale",
        "targetingCriteria",
        "servingStatuses",
        "changeAuditStamps",
        "version",
        "test",
        "format",
        "creativeSelection",
        "offsiteDeliveryEnabled",
        "audienceExpansionEnabled",
        "optimizationTargetType",
        "pacingStrategy",
        "storyDeliveryEnabled",
        "associatedEntity",
        "politicalIntent",
    ),
    description="One campaign: the unified tables' ad group.",
)
CREATIVES = Table(
    "creatives",
    columns=(Column("creative", path="id", required=True), Column("campaign"), Column("name")),
    key=("creative",),
    ignored=(
        "account",
        "content",
        "intendedStatus",
        "isServing",
        "isTest",
        "review",
        "servingHoldReasons",
        "createdAt",
        "createdBy",
        "lastModifiedAt",
        "lastModifiedBy",
    ),
    description="One creative: the unified tables' ad.",
)
_FIGURES = (
    Column("impressions", "bigint"),
    Column("clicks", "bigint"),
    Column("landing_page_clicks", "bigint", path="landingPageClicks"),
    Column("cost", "money", path="costInLocalCurrency"),
    Column("conversions", "bigint", path="externalWebsiteConversions"),
    Column("leads", "bigint", path="oneClickLeads"),
    Column("conversions_value", "money", path="conversionValueInLocalCurrency"),
)
CREATIVE_ANALYTICS = Table(
    "creative_analytics",
    columns=(Column("date", "date", required=True), Column("creative", required=True), *_FIGURES),
    key=("date", "creative"),
    slice_by="date",
    description="One creative on one day (UTC).",
)
ACCOUNT_ANALYTICS = Table(
    "account_analytics",
    columns=(Column("date", "date", required=True), Column("account", required=True), *_FIGURES),
    key=("date", "account"),
    slice_by="date",
    description="One account on one day (UTC): the platform's own total.",
)
PIVOTS = {CREATIVE_ANALYTICS.name: ("CREATIVE", "creative"), ACCOUNT_ANALYTICS.name: ("ACCOUNT", "account")}
EDGES = (
    (CAMPAIGN_GROUPS, "adCampaignGroups", "search"),
    (CAMPAIGNS, "adCampaigns", "search"),
    (CREATIVES, "creatives", "criteria"),
)
FIELDS = ",".join(str(column.path or column.name) for column in _FIGURES)


def account(client: ApiClient, account_id: str) -> Answer:
    """The account itself.

    Raises:
        SourceError: these credentials do not see it.
    """
    try:
        found = client.get(f"/rest/adAccounts/{account_id}")
    except RequestRefused as refused:
        raise SourceError(
            SYSTEM_NAME,
            f"account {account_id} is not visible ({refused.status}).",
            "Check `accounts`, and that the member has a role in the account.",
        ) from None
    client.require(found.json(), "id", expect_list=False)
    return found


def names(context: Context) -> Iterator[Item]:
    """The account, and the names of its campaign groups, campaigns and creatives."""
    client = client_for(context.connection)
    yield Page(ACCOUNTS.name, body=account(client, context.account).content)
    for table, edge, finder in EDGES:
        for answer in client.pages(
            f"/rest/adAccounts/{context.account}/{edge}",
            params={"q": finder, "pageSize": PAGE},
            next_request=after("metadata.nextPageToken", "pageToken"),
            data="elements",
        ):
            yield Page(table.name, body=answer.content, at="elements")


def analytics(context: Context) -> Iterator[Item]:
    """The days of all creatives and of the account: first from START_DATE on, later the restated days.

    Raises:
        SourceError: the account is not visible (the analytics would be empty without an error).
        BadAnswer: a single day has more creatives than an answer can hold.
    """
    client = client_for(context.connection)
    account(client, context.account)
    first, last = window(context, CREATIVE_ANALYTICS.name, context.as_of.date())
    for start, end in spans(context, PIVOTS, first, last, DAYS_PER_QUERY):
        for table in PIVOTS:
            yield from _read(client, context.account, table, start, end)
            yield Done(table, dict.fromkeys(days(start, end)))


def _read(client: ApiClient, account_id: str, table: str, first: date, last: date) -> Iterator[Page]:
    pivot, name = PIVOTS[table]
    # The protocol wants its parentheses and commas as they are, so the query is written out here.
    answer = client.get(
        f"/rest/adAnalytics?q=analytics&pivot={pivot}&timeGranularity=DAILY"
        f"&dateRange=(start:{_parts(first)},end:{_parts(last)})"
        f"&accounts=List(urn%3Ali%3AsponsoredAccount%3A{account_id})&fields=dateRange,pivotValues,{FIELDS}"
    )
    client.require(answer.json(), "elements")
    elements = answer.at("elements")
    if len(elements) < MOST_ELEMENTS:
        yield Page(table, records=[record(element, name) for element in elements])
        return
    if first == last:
        raise BadAnswer(
            SYSTEM_NAME,
            f"{first} has {len(elements)} elements, as many as an answer can hold: some are missing.",
            "Split the account's creatives over several accounts.",
        )
    middle = first + (last - first) // 2
    yield from _read(client, account_id, table, first, middle)
    yield from _read(client, account_id, table, date.fromordinal(middle.toordinal() + 1), last)


def _parts(day: date) -> str:
    return f"(year:{day.year},month:{day.month},day:{day.day})"


def record(element: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An element as a record: its day as one value, what it is about under `name`."""
    rest = {key: value for key, value in element.items() if key not in ("dateRange", "pivotValues")}
    start = (element.get("dateRange") or {}).get("start") or {}
    pivots = element.get("pivotValues") or [None]
    parts = [start.get(part) for part in ("year", "month", "day")]
    day = "-".join(f"{part:02d}" for part in parts if isinstance(part, int))
    return {**rest, "date": day or None, name: pivots[0]}


def check(connection: Connection) -> str:
    """Ask for each account, and for a day of analytics of one, which needs another scope."""
    if not connection.accounts:
        raise ConfigurationError(
            f"{SYSTEM_NAME}: no account is listed. Add the account's number to `accounts`."
        )
    client = client_for(connection)
    found = []
    for account_id in connection.accounts:
        answer = account(client, account_id)
        found.append(f"{answer.at('name', account_id)} ({answer.at('currency')})")
    day = date(2026, 1, 1)
    list(_read(client, connection.accounts[0], ACCOUNT_ANALYTICS.name, day, day))
    return "account " + ", ".join(found)


SYSTEM = System(
    name=SYSTEM_NAME,
    resources=(
        Resource("names", tables=(ACCOUNTS, CAMPAIGN_GROUPS, CAMPAIGNS, CREATIVES), extract=names),
        Resource("analytics", tables=(CREATIVE_ANALYTICS, ACCOUNT_ANALYTICS), extract=analytics),
    ),
    settings=SETTINGS,
    check=check,
)
