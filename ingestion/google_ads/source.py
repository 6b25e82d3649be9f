"""What is read from Google Ads: GAQL queries, the raw tables that they fill, the days that are read again.

Performance is read twice at different grain. An ad's row carries campaign, ad group, ad, network and
device. Campaigns without ads (Performance Max) appear in no ad report, so the campaigns' own totals are
read too, and staging takes what no ad accounts for as rows of the campaign. Country is not read: at ad
level the API has no geographic segment that keeps conversions, and the geographic reports leave out what
could not be located; their sums would not be the spend.

Names are read apart, as records, so that a renamed campaign changes one row and not years of days.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from ingestion.errors import BadAnswer, ConfigurationError, RequestRefused, Unreachable
from ingestion.google_ads.settings import API_VERSION, SETTINGS, SYSTEM_NAME, client_for
from ingestion.http import ApiClient, Request, after_in_body
from ingestion.records import Column, Table
from ingestion.settings import Connection, setting
from ingestion.sources import Context, Done, Item, Page, Resource, System
from ingestion.windows import days, spans, window

DAYS_PER_QUERY = 61
CLICK_DAYS = 90
"""The API keeps single clicks for 90 days and gives them day by day."""

_NAMES_OF_RESOURCES = (
    "customer.resourceName",
    "campaign.resourceName",
    "adGroup.resourceName",
    "adGroupAd.resourceName",
    "adGroupAd.ad.resourceName",
    "clickView.resourceName",
)

CUSTOMERS = Table(
    "customers",
    columns=(
        Column("customer_id", path="customer.id", required=True),
        Column("descriptive_name", path="customer.descriptiveName"),
        Column("currency_code", path="customer.currencyCode", required=True),
        Column("time_zone", path="customer.timeZone", required=True),
    ),
    key=("customer_id",),
    ignored=_NAMES_OF_RESOURCES,
    description="One advertising account.",
)
CAMPAIGNS = Table(
    "campaigns",
    columns=(
        Column("campaign_id", path="campaign.id", required=True),
        Column("name", path="campaign.name"),
        Column("status", path="campaign.status"),
        Column("channel_type", path="campaign.advertisingChannelType"),
    ),
    key=("campaign_id",),
    ignored=_NAMES_OF_RESOURCES,
    description="One campaign, removed ones included.",
)
AD_GROUPS = Table(
    "ad_groups",
    columns=(
        Column("ad_group_id", path="adGroup.id", required=True),
        Column("campaign_id", path="campaign.id"),
        Column("name", path="adGroup.name"),
    ),
    key=("ad_group_id",),
    ignored=_NAMES_OF_RESOURCES,
    description="One ad group, removed ones included.",
)
ADS = Table(
    "ads",
    columns=(
        Column("ad_group_id", path="adGroup.id", required=True),
        Column("ad_id", path="adGroupAd.ad.id", required=True),
        Column("name", path="adGroupAd.ad.name"),
        Column("type", path="adGroupAd.ad.type"),
    ),
    key=("ad_group_id", "ad_id"),
    ignored=_NAMES_OF_RESOURCES,
    description="One ad in one ad group, removed ones included.",
)
_METRICS = (
    Column("impressions", "bigint", path="metrics.impressions"),
    Column("clicks", "bigint", path="metrics.clicks"),
    Column("cost_micros", "bigint", path="metrics.costMicros"),
    Column("conversions", "double", path="metrics.conversions"),
    Column("conversions_value", "double", path="metrics.conversionsValue"),
)
AD_PERFORMANCE = Table(
    "ad_performance",
    columns=(
        Column("date", "date", path="segments.date", required=True),
        Column("campaign_id", path="campaign.id", required=True),
        Column("ad_group_id", path="adGroup.id", required=True),
        Column("ad_id", path="adGroupAd.ad.id", required=True),
        Column("network_type", path="segments.adNetworkType", required=True),
        Column("device", path="segments.device", required=True),
        *_METRICS,
    ),
    key=("date", "campaign_id", "ad_group_id", "ad_id", "network_type", "device"),
    slice_by="date",
    ignored=_NAMES_OF_RESOURCES,
    description="One ad on one day, network and device; the day is the account's own.",
)
CAMPAIGN_PERFORMANCE = Table(
    "campaign_performance",
    columns=(
        Column("date", "date", path="segments.date", required=True),
        Column("campaign_id", path="campaign.id", required=True),
        Column("network_type", path="segments.adNetworkType", required=True),
        Column("device", path="segments.device", required=True),
        *_METRICS,
    ),
    key=("date", "campaign_id", "network_type", "device"),
    slice_by="date",
    ignored=_NAMES_OF_RESOURCES,
    description="One campaign on one day, network and device: the platform's own totals.",
)
CLICKS = Table(
    "clicks",
    columns=(
        Column("date", "date", path="segments.date", required=True),
        Column("gclid", path="clickView.gclid", required=True),
        Column("campaign_id", path="campaign.id"),
        Column("ad_group_id", path="adGroup.id"),
        Column("ad_resource", path="clickView.adGroupAd"),
    ),
    key=("date", "gclid"),
    slice_by="date",
    ignored=_NAMES_OF_RESOURCES,
    description="One click with its gclid.",
)

_METRIC_FIELDS = (
    "metrics.impressions, metrics.clicks, metrics.cost_micros, metrics.conversions, metrics.conversions_value"
)
QUERIES: Mapping[str, str] = {
    "customers": (
        "SELECT customer.id, customer.descriptive_name, customer.currency_code, customer.time_zone"
        " FROM customer"
    ),
    "campaigns": (
        "SELECT campaign.id, campaign.name, campaign.status, campaign.advertising_channel_type FROM campaign"
    ),
    "ad_groups": "SELECT ad_group.id, ad_group.name, campaign.id FROM ad_group",
    "ads": "SELECT ad_group_ad.ad.id, ad_group_ad.ad.name, ad_group_ad.ad.type, ad_group.id FROM ad_group_ad",
    "ad_performance": (
        "SELECT segments.date, segments.device, segments.ad_network_type, campaign.id, ad_group.id,"
        f" ad_group_ad.ad.id, {_METRIC_FIELDS} FROM ad_group_ad"
        " WHERE segments.date BETWEEN '{first}' AND '{last}'"
    ),
    "campaign_performance": (
        "SELECT segments.date, segments.device, segments.ad_network_type, campaign.id,"
        f" {_METRIC_FIELDS} FROM campaign WHERE segments.date BETWEEN '{{first}}' AND '{{last}}'"
    ),
    "clicks": (
        "SELECT segments.date, click_view.gclid, click_view.ad_group_ad, campaign.id, ad_group.id"
        " FROM click_view WHERE segments.date = '{first}'"
    ),
}


def query(
    client: ApiClient, customer_id: str, gaql: str, method: str = "searchStream"
) -> Iterator[list[Any]]:
    """The rows of a GAQL query, batch by batch.

    Args:
        method: `searchStream` reads all rows in one answer; `search` in pages of 10,000. Where the stream
            never arrives whole, the same query is read in pages.
    Raises:
        RequestRefused: the query or the account is refused; the text is the API's own first message.
    """
    path = f"/{API_VERSION}/customers/{customer_id.replace('-', '')}/googleAds:{{}}"
    try:
        if method == "searchStream":
            try:
                batches = client.post(path.format("searchStream"), json={"query": gaql}).json()
            except Unreachable as failure:
                if "refused" in failure.what or "resolve" in failure.what:
                    raise
            else:
                if not isinstance(batches, list):
                    raise BadAnswer(SYSTEM_NAME, "searchStream answered without a list of batches.")
                for batch in batches:
                    client.require(batch, "results", optional=True)
                    yield batch.get("results") or []
                return
        pages = client.pages(
            Request(path.format("search"), "POST", json={"query": gaql}),
            next_request=after_in_body("nextPageToken", "pageToken"),
            data="results",
            optional=True,
        )
        for page in pages:
            yield page.at("results") or []
    except RequestRefused as refused:
        raise _explained(refused) from None


def _explained(refused: RequestRefused) -> RequestRefused:
    """The same error with the API's own reason, where its body has one."""
    try:
        body = orjson.loads(refused.body)
    except orjson.JSONDecodeError:
        return refused
    error = (body[0] if isinstance(body, list) and body else body).get("error", {})
    reasons = [entry for detail in error.get("details", []) for entry in detail.get("errors", [])]
    if not reasons:
        return refused
    code = ", ".join(f"{kind} {value}" for kind, value in (reasons[0].get("errorCode") or {}).items())
    return RequestRefused(
        SYSTEM_NAME,
        f"{reasons[0].get('message', error.get('message', 'the request was refused'))} ({code}).",
        "Check the account id, LOGIN_CUSTOMER_ID and the developer token's access level.",
        status=refused.status,
        body=refused.body,
    )


def accounts_and_names(context: Context) -> Iterator[Item]:
    """The account itself, and the names of its campaigns, ad groups and ads."""
    client, method = client_for(context.connection), setting(context.connection, SETTINGS, "METHOD")
    for table in (CUSTOMERS, CAMPAIGNS, AD_GROUPS, ADS):
        count = 0
        for rows in query(client, context.account, QUERIES[table.name], method):
            count += len(rows)
            yield Page(table.name, records=rows)
        if table is CUSTOMERS and not count:
            raise BadAnswer(SYSTEM_NAME, f"account {context.account} told nothing of itself.", "Run again.")


def performance(context: Context) -> Iterator[Item]:
    """The days of ads and campaigns: the first load from START_DATE on, later runs the restatement window."""
    client, method = client_for(context.connection), setting(context.connection, SETTINGS, "METHOD")
    today = account_today(client, context, method)
    first, last = window(context, AD_PERFORMANCE.name, today)
    tables = (AD_PERFORMANCE, CAMPAIGN_PERFORMANCE)
    for start, end in spans(context, (table.name for table in tables), first, last, DAYS_PER_QUERY):
        for table in tables:
            gaql = QUERIES[table.name].format(first=start.isoformat(), last=end.isoformat())
            for rows in query(client, context.account, gaql, method):
                yield Page(table.name, records=rows)
            yield Done(table.name, dict.fromkeys(days(start, end)))


def clicks(context: Context) -> Iterator[Item]:
    """Single clicks, one query a day, at most 90 days back; a day is final once it has passed.

    The API knows clicks by their gclid only: gbraid and wbraid stand for many clicks, and no report has them.
    Only where the list of systems says that this connection provides `ad_clicks`: it costs a query a day.
    """
    if "ad_clicks" not in context.connection.entities:
        return
    client, method = client_for(context.connection), setting(context.connection, SETTINGS, "METHOD")
    today = account_today(client, context, method)
    first, last = window(context, CLICKS.name, today, restatement_days=2)
    kept_since = today - timedelta(days=CLICK_DAYS - 1)
    for day, _ in spans(context, (CLICKS.name,), first, last, days_per_query=1):
        if day < kept_since:
            continue
        for rows in query(client, context.account, QUERIES["clicks"].format(first=day), method):
            yield Page(CLICKS.name, records=rows)
        yield Done(CLICKS.name, {day.isoformat(): None})


def account_today(client: ApiClient, context: Context, method: str) -> date:
    """The present day in the account's own time zone: its reports are cut there."""
    rows = [row for batch in query(client, context.account, QUERIES["customers"], method) for row in batch]
    if not rows:
        raise BadAnswer(
            SYSTEM_NAME,
            f"account {context.account} is not visible to these credentials.",
            "Check `accounts` in the list of systems, and LOGIN_CUSTOMER_ID.",
        )
    try:
        zone = ZoneInfo(str(rows[0]["customer"]["timeZone"]))
    except (KeyError, ZoneInfoNotFoundError):
        raise BadAnswer(SYSTEM_NAME, f"account {context.account} has no known time zone.") from None
    return context.as_of.astimezone(zone).date()


def check(connection: Connection) -> str:
    """Ask for each account's name, currency and time zone."""
    client, method = client_for(connection), setting(connection, SETTINGS, "METHOD")
    if not connection.accounts:
        raise ConfigurationError(f"{SYSTEM_NAME}: no account is listed. Add the customer id to `accounts`.")
    names = []
    for account in connection.accounts:
        rows = [row for batch in query(client, account, QUERIES["customers"], method) for row in batch]
        if not rows:
            raise BadAnswer(
                SYSTEM_NAME, f"account {account} is not visible.", "Check `accounts` and LOGIN_CUSTOMER_ID."
            )
        customer = rows[0].get("customer", {})
        names.append(
            f"{customer.get('descriptiveName', account)}"
            f" ({customer.get('currencyCode')}, {customer.get('timeZone')})"
        )
    return "account " + ", ".join(names)


SYSTEM = System(
    name=SYSTEM_NAME,
    resources=(
        Resource("names", tables=(CUSTOMERS, CAMPAIGNS, AD_GROUPS, ADS), extract=accounts_and_names),
        Resource("performance", tables=(AD_PERFORMANCE, CAMPAIGN_PERFORMANCE), extract=performance),
        Resource("clicks", tables=(CLICKS,), extract=clicks),
    ),
    settings=SETTINGS,
    check=check,
    api_version=API_VERSION,
)
