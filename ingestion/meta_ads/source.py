"""What is read from Meta Ads: names as records, insights per ad and day through asynchronous report runs.

Country cannot be asked for together with device, so an ad's day is read twice, once by country and once by
platform and device. Each reading holds the whole spend: staging takes the one by country, the other is for
questions of placement and for the comparison of both totals.

A report that is too large, or that fails, is asked for again in halves, down to one day.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from ingestion.errors import BadAnswer, ConfigurationError, RequestRefused, SourceError, Unauthorized
from ingestion.http import Answer, ApiClient, Request
from ingestion.meta_ads.settings import SETTINGS, SYSTEM_NAME, client_for, error_code
from ingestion.records import Column, Table
from ingestion.settings import Connection
from ingestion.sources import Context, Done, Item, Page, Resource, System
from ingestion.windows import days, spans, window

PAGE = 500
DAYS_PER_REPORT = 30
REPORTS_AT_ONCE = 4
HISTORY = timedelta(days=37 * 30)  # the API refuses older days
FIRST_POLL_SECONDS, LONGEST_POLL_SECONDS, REPORT_DEADLINE_SECONDS = 1.0, 30.0, 3600.0
TOO_MUCH_DATA = (100, 1487534)
BAD_TOKEN = frozenset({102, 190, 463, 467})
NO_PERMISSION = frozenset({3, 10, 200, 272, 273, 294})

ACCOUNTS = Table(
    "accounts",
    columns=(
        Column("account_id", required=True),
        Column("name"),
        Column("currency", required=True),
        Column("timezone_name", required=True),
    ),
    key=("account_id",),
    ignored=("id",),
    description="One advertising account.",
)
CAMPAIGNS = Table(
    "campaigns",
    columns=(
        Column("campaign_id", path="id", required=True),
        Column("name"),
        Column("objective"),
        Column("effective_status"),
    ),
    key=("campaign_id",),
    description="One campaign, archived and deleted ones included.",
)
AD_SETS = Table(
    "ad_sets",
    columns=(Column("ad_set_id", path="id", required=True), Column("campaign_id"), Column("name")),
    key=("ad_set_id",),
    description="One ad set, archived and deleted ones included.",
)
ADS = Table(
    "ads",
    columns=(Column("ad_id", path="id", required=True), Column("ad_set_id", path="adset_id"), Column("name")),
    key=("ad_id",),
    description="One ad, archived and deleted ones included.",
)
_FIGURES = (
    Column("impressions", "bigint"),
    Column("clicks", "bigint"),
    Column("inline_link_clicks", "bigint"),
    Column("spend", "money"),
    Column("actions", "json"),
    Column("action_values", "json"),
)
_NAMES = (Column("campaign_name"), Column("ad_set_name", path="adset_name"), Column("ad_name"))
_AD = (
    Column("date", "date", path="date_start", required=True),
    Column("campaign_id", required=True),
    Column("ad_set_id", path="adset_id", required=True),
    Column("ad_id", required=True),
)
INSIGHTS_BY_COUNTRY = Table(
    "insights_by_country",
    columns=(*_AD, Column("country", required=True), *_NAMES, *_FIGURES),
    key=("date", "campaign_id", "ad_set_id", "ad_id", "country"),
    slice_by="date",
    ignored=("date_stop",),
    description="One ad on one day and country; the day is the account's own.",
)
INSIGHTS_BY_DEVICE = Table(
    "insights_by_device",
    columns=(
        *_AD,
        Column("publisher_platform", required=True),
        Column("impression_device", required=True),
        *_FIGURES,
    ),
    key=("date", "campaign_id", "ad_set_id", "ad_id", "publisher_platform", "impression_device"),
    slice_by="date",
    ignored=("date_stop",),
    description="One ad on one day, platform and device; the day is the account's own.",
)

_KEPT = ["ACTIVE", "PAUSED", "ARCHIVED", "DELETED", "IN_PROCESS", "WITH_ISSUES"]
EDGES = (
    (CAMPAIGNS, "campaigns", "id,name,objective,effective_status", _KEPT),
    (AD_SETS, "adsets", "id,name,campaign_id", [*_KEPT, "CAMPAIGN_PAUSED"]),
    (
        ADS,
        "ads",
        "id,name,adset_id",
        [
            *_KEPT,
            "CAMPAIGN_PAUSED",
            "ADSET_PAUSED",
            "DISAPPROVED",
            "PENDING_REVIEW",
            "PREAPPROVED",
            "PENDING_BILLING_INFO",
        ],
    ),
)
_FIGURE_FIELDS = (
    "campaign_id,adset_id,ad_id,impressions,clicks,inline_link_clicks,spend,actions,action_values"
)
BREAKDOWNS = {
    INSIGHTS_BY_COUNTRY.name: ("country", f"campaign_name,adset_name,ad_name,{_FIGURE_FIELDS}"),
    INSIGHTS_BY_DEVICE.name: ("publisher_platform,impression_device", _FIGURE_FIELDS),
}


class TooMuchData(RequestRefused):
    """The report would be too large: ask for fewer days."""


@contextmanager
def _explained() -> Iterator[None]:
    """Turn the API's refusals, nearly all of which have status 400, into what they mean."""
    try:
        yield
    except RequestRefused as refused:
        code, subcode = error_code(refused.body.encode())
        if (code, subcode) == TOO_MUCH_DATA:
            raise TooMuchData(SYSTEM_NAME, refused.what, status=refused.status, body=refused.body) from None
        if code in BAD_TOKEN:
            raise Unauthorized(
                SYSTEM_NAME,
                "the access token is wrong or has expired.",
                "Make a new one for the system user.",
            ) from None
        if code in NO_PERMISSION:
            raise Unauthorized(
                SYSTEM_NAME,
                "the access token may not read this account.",
                "Give the system user the account, and the token the permission ads_read.",
            ) from None
        raise


def _following(request: Request, answer: Answer) -> Request | None:
    """The next page by its cursor: the ready-made link would carry the token."""
    if not answer.at("paging.next"):
        return None
    return request.with_params(after=answer.at("paging.cursors.after"))


def pages(client: ApiClient, path: str, **params: Any) -> Iterator[Answer]:
    """All pages of an edge."""
    with _explained():
        yield from client.pages(path, params={"limit": PAGE, **params}, next_request=_following, data="data")


def account(client: ApiClient, account_id: str) -> Answer:
    """The account itself, with its currency and time zone."""
    with _explained():
        found = client.get(f"/act_{account_id}", params={"fields": "account_id,name,currency,timezone_name"})
    client.require(found.json(), "account_id", expect_list=False)
    return found


def names(context: Context) -> Iterator[Item]:
    """The account, and the names of its campaigns, ad sets and ads."""
    client = client_for(context.connection)
    yield Page(ACCOUNTS.name, body=account(client, context.account).content)
    for table, edge, fields, statuses in EDGES:
        params = {"fields": fields, "effective_status": orjson.dumps(statuses).decode()}
        for answer in pages(client, f"/act_{context.account}/{edge}", **params):
            yield Page(table.name, body=answer.content, at="data")


@dataclass(frozen=True)
class Report:
    """Some days of one of the two tables."""

    table: str
    first: date
    last: date

    def halves(self) -> tuple[Report, Report]:
        middle = self.first + (self.last - self.first) // 2
        return (
            Report(self.table, self.first, middle),
            Report(self.table, middle + timedelta(days=1), self.last),
        )

    def form(self) -> dict[str, str]:
        breakdowns, fields = BREAKDOWNS[self.table]
        span = {"since": self.first.isoformat(), "until": self.last.isoformat()}
        return {
            "level": "ad",
            "time_increment": "1",
            "time_range": orjson.dumps(span).decode(),
            "fields": fields,
            "breakdowns": breakdowns,
            "use_account_attribution_setting": "true",
        }


def insights(context: Context) -> Iterator[Item]:
    """The days of all ads: the first load from START_DATE on, later runs the restatement window.

    Raises:
        BadAnswer: the account has no known time zone, or the report of a single day fails.
    """
    client = client_for(context.connection)
    today = account_today(account(client, context.account), context)
    first, last = window(context, INSIGHTS_BY_COUNTRY.name, today)
    first = max(first, today - HISTORY)
    waiting = deque(
        Report(table, start, end)
        for start, end in spans(context, BREAKDOWNS, first, last, DAYS_PER_REPORT)
        for table in BREAKDOWNS
    )
    started: deque[tuple[Report, str]] = deque()
    while waiting or started:
        if waiting and len(started) < REPORTS_AT_ONCE:
            report = waiting.popleft()
            try:
                started.append((report, _start(client, context.account, report)))
            except TooMuchData as refused:
                waiting.extendleft(reversed(_smaller(report, refused.what)))
            continue
        report, run = started.popleft()
        failure = _wait(client, run)
        if failure:
            waiting.extendleft(reversed(_smaller(report, failure)))
            continue
        for answer in pages(client, f"/{run}/insights"):
            yield Page(report.table, body=answer.content, at="data")
        yield Done(report.table, dict.fromkeys(days(report.first, report.last)))


def _smaller(report: Report, why: str) -> tuple[Report, Report]:
    if report.first == report.last:
        raise BadAnswer(
            SYSTEM_NAME, f"the report of {report.first} could not be made: {why}", "Run again later."
        )
    return report.halves()


def _start(client: ApiClient, account_id: str, report: Report) -> str:
    with _explained():
        answer = client.request(Request(f"/act_{account_id}/insights", "POST", form=report.form()))
    run = answer.at("report_run_id")
    if not run:
        raise BadAnswer(SYSTEM_NAME, "the answer names no report run.", "Run again later.")
    return str(run)


def _wait(client: ApiClient, run: str) -> str:
    """Wait until a report is made. Gives "" where it is ready, else why it never will be.

    Raises:
        BadAnswer: an hour was not enough.
    """
    pause, waited = FIRST_POLL_SECONDS, 0.0
    while waited <= REPORT_DEADLINE_SECONDS:
        with _explained():
            answer = client.get(
                f"/{run}", params={"fields": "async_status,async_percent_completion,error_message"}
            )
        status = str(answer.at("async_status", "unknown"))
        if status == "Job Completed":
            return ""
        if status in ("Job Failed", "Job Skipped"):
            return f"{status}. {answer.at('error_message') or ''}".strip()
        time.sleep(pause)
        waited, pause = waited + pause, min(pause * 2, LONGEST_POLL_SECONDS)
    raise BadAnswer(SYSTEM_NAME, "a report was not ready after an hour.", "Run again later.")


def account_today(answer: Answer, context: Context) -> date:
    """The present day in the account's own time zone: its reports are cut there."""
    try:
        zone = ZoneInfo(str(answer.json()["timezone_name"]))
    except (KeyError, TypeError, ValueError, ZoneInfoNotFoundError):
        raise BadAnswer(SYSTEM_NAME, f"account {context.account} has no known time zone.") from None
    return context.as_of.astimezone(zone).date()


def check(connection: Connection) -> str:
    """Ask for each account's name, currency and time zone."""
    if not connection.accounts:
        raise ConfigurationError(
            f"{SYSTEM_NAME}: no account is listed. Add the account's number (without act_) to `accounts`."
        )
    client = client_for(connection)
    found = []
    for account_id in connection.accounts:
        try:
            answer = account(client, account_id)
        except RequestRefused as refused:
            raise SourceError(
                SYSTEM_NAME, f"account {account_id} is not visible ({refused.status}).", "Check `accounts`."
            ) from None
        found.append(
            f"{answer.at('name', account_id)} ({answer.at('currency')}, {answer.at('timezone_name')})"
        )
    return "account " + ", ".join(found)


SYSTEM = System(
    name=SYSTEM_NAME,
    resources=(
        Resource("names", tables=(ACCOUNTS, CAMPAIGNS, AD_SETS, ADS), extract=names),
        Resource("insights", tables=(INSIGHTS_BY_COUNTRY, INSIGHTS_BY_DEVICE), extract=insights),
    ),
    settings=SETTINGS,
    check=check,
)
