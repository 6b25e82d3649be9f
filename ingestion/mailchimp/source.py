"""What is read from Mailchimp: audiences and members as records, campaigns with their reports, and each
campaign's recipients.

A campaign's recipients, their activity, unsubscribes and complaints are slices: they are read again as a
whole when the counters in the campaign's report have moved since they were last read, and left alone
otherwise. So the rows never depend on how often they were read. (`since` of email-activity would spare
pages, but could not tell what arrived late or was taken back.)

Names, addresses, telephone numbers, IP addresses of sign-ups and merge fields are not kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ingestion.errors import BadAnswer
from ingestion.http import MISSING, Answer, ApiClient, dig, offset
from ingestion.mailchimp.settings import SETTINGS, SYSTEM_NAME, client_for
from ingestion.records import Column, Table
from ingestion.settings import Connection
from ingestion.sources import Context, Done, Item, Page, Resource, System

PAGE = 1000
_LINKS = ("_links", "list_is_active", "merge_fields", "vip", "list_id")

LISTS = Table(
    "lists",
    columns=(
        Column("list_id", path="id", required=True),
        Column("name"),
        Column("created_at", "timestamp", path="date_created"),
        Column("member_count", "bigint", path="stats.member_count"),
        Column("unsubscribe_count", "bigint", path="stats.unsubscribe_count"),
        Column("cleaned_count", "bigint", path="stats.cleaned_count"),
    ),
    key=("list_id",),
    ignored=(
        "_links",
        "web_id",
        "contact",
        "permission_reminder",
        "use_archive_bar",
        "campaign_defaults",
        "notify_on_subscribe",
        "notify_on_unsubscribe",
        "list_rating",
        "email_type_option",
        "subscribe_url_short",
        "subscribe_url_long",
        "beamer_address",
        "visibility",
        "double_optin",
        "has_welcome",
        "marketing_permissions",
        "modules",
        "stats",
    ),
    description="One audience.",
)
MEMBERS = Table(
    "members",
    columns=(
        Column("list_id", required=True),
        Column("email_id", "digest", path="id", required=True),
        Column("email", "email", path="email_address"),
        Column("status"),
        Column("source"),
        Column("language"),
        Column("signed_up_at", "timestamp", path="timestamp_signup"),
        Column("opted_in_at", "timestamp", path="timestamp_opt"),
        Column("last_changed_at", "timestamp", path="last_changed", required=True),
    ),
    key=("list_id", "email_id"),
    version="last_changed_at",
    cursor="last_changed_at",
    lag=timedelta(hours=1),
    ignored=(
        "_links",
        "full_name",
        "web_id",
        "unique_email_id",
        "contact_id",
        "email_type",
        "merge_fields",
        "interests",
        "stats",
        "ip_signup",
        "ip_opt",
        "member_rating",
        "vip",
        "email_client",
        "location",
        "marketing_permissions",
        "last_note",
        "tags_count",
        "tags",
        "unsubscribe_reason",
        "consents_to_one_to_one_messaging",
        "sms_phone_number",
        "sms_subscription_status",
        "sms_subscription_last_updated",
    ),
    description="One address in one audience.",
)
CAMPAIGNS = Table(
    "campaigns",
    columns=(
        Column("campaign_id", path="id", required=True),
        Column("list_id", path="recipients.list_id"),
        Column("type"),
        Column("status"),
        Column("title", path="settings.title"),
        Column("subject_line", path="settings.subject_line"),
        Column("send_time", "timestamp"),
        Column("created_at", "timestamp", path="create_time"),
    ),
    key=("campaign_id",),
    ignored=(
        "_links",
        "web_id",
        "parent_campaign_id",
        "archive_url",
        "long_archive_url",
        "content_type",
        "needs_block_refresh",
        "resendable",
        "variate_settings",
        "tracking",
        "rss_opts",
        "ab_split_opts",
        "social_card",
        "report_summary",
        "delivery_status",
        "resend_shortcut_eligibility",
        "recipients",
        "settings",
        "emails_sent",
    ),
    description="One mailing that was sent.",
)
REPORTS = Table(
    "reports",
    columns=(
        Column("campaign_id", path="id", required=True),
        Column("send_time", "timestamp"),
        Column("emails_sent", "bigint"),
        Column("hard_bounces", "bigint", path="bounces.hard_bounces"),
        Column("soft_bounces", "bigint", path="bounces.soft_bounces"),
        Column("opens_total", "bigint", path="opens.opens_total"),
        Column("unique_opens", "bigint", path="opens.unique_opens"),
        Column("proxy_excluded_opens", "bigint", path="opens.proxy_excluded_opens"),
        Column("clicks_total", "bigint", path="clicks.clicks_total"),
        Column("unique_subscriber_clicks", "bigint", path="clicks.unique_subscriber_clicks"),
        Column("unsubscribed", "bigint"),
        Column("abuse_reports", "bigint"),
    ),
    key=("campaign_id",),
    ignored=(
        "_links",
        "campaign_title",
        "type",
        "list_id",
        "list_is_active",
        "list_name",
        "subject_line",
        "preview_text",
        "rss_last_send",
        "forwards",
        "facebook_likes",
        "industry_stats",
        "list_stats",
        "ab_split",
        "timewarp",
        "timeseries",
        "share_report",
        "ecommerce",
        "delivery_status",
        "bounces",
        "opens",
        "clicks",
    ),
    description="One mailing's totals, as the vendor counts them.",
)
SENT_TO = Table(
    "sent_to",
    columns=(
        Column("campaign_id", required=True),
        Column("email_id", "digest", required=True),
        Column("email", "email", path="email_address"),
        Column("status"),
    ),
    key=("campaign_id", "email_id"),
    sliced=True,
    ignored=(*_LINKS, "open_count", "last_open", "absplit_group", "gmt_offset"),
    description="One recipient of one mailing.",
)
EMAIL_ACTIVITY = Table(
    "email_activity",
    columns=(
        Column("campaign_id", required=True),
        Column("email_id", "digest", required=True),
        Column("email", "email", path="email_address"),
        Column("action", required=True),
        Column("occurred_at", "timestamp", path="timestamp", required=True),
        Column("nth", "bigint", required=True),
        Column("bounce_type", path="type"),
        Column("url"),
        Column("ip_network"),
    ),
    key=("campaign_id", "email_id", "action", "occurred_at", "nth"),
    sliced=True,
    description="One open, click or bounce of one recipient; nth counts equal ones of the same second.",
)
OPEN_DETAILS = Table(
    "open_details",
    columns=(
        Column("campaign_id", required=True),
        Column("email_id", "digest", required=True),
        Column("opened_at", "timestamp", path="timestamp", required=True),
        Column("nth", "bigint", required=True),
        Column("is_proxy_open", "boolean"),
    ),
    key=("campaign_id", "email_id", "opened_at", "nth"),
    sliced=True,
    description="One open of one recipient, with the vendor's word on whether a mail proxy made it.",
)
UNSUBSCRIBES = Table(
    "unsubscribes",
    columns=(
        Column("campaign_id", required=True),
        Column("email_id", "digest", required=True),
        Column("email", "email", path="email_address"),
        Column("occurred_at", "timestamp", path="timestamp", required=True),
        Column("reason"),
    ),
    key=("campaign_id", "email_id"),
    sliced=True,
    ignored=_LINKS,
    description="One recipient who left the audience by this mailing.",
)
ABUSE_REPORTS = Table(
    "abuse_reports",
    columns=(
        Column("abuse_report_id", path="id", required=True),
        Column("campaign_id", required=True),
        Column("email_id", "digest", required=True),
        Column("email", "email", path="email_address"),
        Column("occurred_at", "timestamp", path="date", required=True),
    ),
    key=("campaign_id", "abuse_report_id"),
    sliced=True,
    ignored=_LINKS,
    description="One complaint.",
)
CLICK_DETAILS = Table(
    "click_details",
    columns=(
        Column("campaign_id", required=True),
        Column("link_id", path="id", required=True),
        Column("url"),
        Column("total_clicks", "bigint"),
        Column("unique_clicks", "bigint"),
        Column("last_click_at", "timestamp", path="last_click"),
    ),
    key=("campaign_id", "link_id"),
    sliced=True,
    ignored=("_links", "click_percentage", "unique_click_percentage", "ab_split"),
    description="One link of one mailing, with the vendor's counts.",
)


def pages(client: ApiClient, path: str, data: str, **params: Any) -> Iterator[Answer]:
    """All pages of a list, 1,000 records each."""
    yield from client.pages(
        path,
        params={"count": PAGE, "offset": 0, "exclude_fields": f"_links,{data}._links", **params},
        next_request=offset(data, "total_items", PAGE),
        data=data,
    )


def audiences(context: Context) -> Iterator[Item]:
    """Audiences, and the members that changed since the last load."""
    client = client_for(context.connection)
    since = context.since(MEMBERS.name)
    changed = {"since_last_changed": f"{since:%Y-%m-%dT%H:%M:%S}+00:00"} if since else {}
    for answer in pages(client, "/3.0/lists", "lists"):
        yield Page(LISTS.name, body=answer.content, at="lists")
        for audience in answer.at("lists"):
            for page in pages(client, f"/3.0/lists/{audience['id']}/members", "members", **changed):
                yield Page(MEMBERS.name, body=page.content, at="members")


@dataclass(frozen=True)
class Detail:
    """One part of a campaign's report: its path, the counters that tell of a change, how records are made."""

    table: Table
    path: str
    data: str
    counters: tuple[str, ...]
    rows: Callable[[Mapping[str, Any]], Iterator[dict[str, Any]]] | None = None
    paged: bool = True

    def signature(self, report: Mapping[str, Any]) -> str:
        """A digest of the counters that belong to this part."""
        told = "|".join(str(_counter(report, name)) for name in self.counters)
        return hashlib.sha256(told.encode()).hexdigest()

    def is_empty(self, report: Mapping[str, Any]) -> bool:
        """Nothing was counted, so that nothing needs to be asked for."""
        return not any(_counter(report, name) for name in self.counters)


def _counter(report: Mapping[str, Any], name: str) -> Any:
    """A counter of a report; None where the vendor leaves it out."""
    found = dig(report, name)
    return None if found is MISSING else found


def activity_rows(recipient: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One row per action of a recipient. Equal actions of one second are told apart by their number."""
    seen: dict[tuple[Any, Any], int] = {}
    actions = sorted(
        recipient.get("activity") or [],
        key=lambda a: (str(a.get("timestamp")), str(a.get("action")), str(a.get("url")), str(a.get("type"))),
    )
    for action in actions:
        same = (action.get("action"), action.get("timestamp"))
        seen[same] = seen.get(same, 0) + 1
        yield {
            "campaign_id": recipient.get("campaign_id"),
            "email_id": recipient.get("email_id"),
            "email_address": recipient.get("email_address"),
            "action": action.get("action"),
            "timestamp": action.get("timestamp"),
            "nth": seen[same],
            "type": action.get("type"),
            "url": action.get("url"),
            # The first half of the address names the network (17.x is Apple's), not the person.
            "ip_network": ".".join(str(action["ip"]).split(".")[:2])
            if "." in str(action.get("ip") or "")
            else None,
        }


def open_rows(recipient: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One row per open of a recipient."""
    seen: dict[Any, int] = {}
    for opened in sorted(
        recipient.get("opens") or [], key=lambda o: (str(o.get("timestamp")), bool(o.get("is_proxy_open")))
    ):
        moment = opened.get("timestamp")
        seen[moment] = seen.get(moment, 0) + 1
        yield {
            "campaign_id": recipient.get("campaign_id"),
            "email_id": recipient.get("email_id"),
            "timestamp": moment,
            "nth": seen[moment],
            "is_proxy_open": opened.get("is_proxy_open"),
        }


_BOUNCES = ("bounces.hard_bounces", "bounces.soft_bounces", "bounces.syntax_errors")
_OPENS = ("opens.opens_total", "opens.unique_opens", "opens.last_open", "opens.proxy_excluded_opens")
_CLICKS = ("clicks.clicks_total", "clicks.unique_clicks", "clicks.last_click")
DETAILS = (
    Detail(SENT_TO, "sent-to", "sent_to", ("emails_sent", *_BOUNCES)),
    Detail(EMAIL_ACTIVITY, "email-activity", "emails", (*_OPENS, *_CLICKS, *_BOUNCES), activity_rows),
    Detail(OPEN_DETAILS, "open-details", "members", _OPENS, open_rows),
    Detail(UNSUBSCRIBES, "unsubscribed", "unsubscribes", ("unsubscribed",)),
    Detail(ABUSE_REPORTS, "abuse-reports", "abuse_reports", ("abuse_reports",), paged=False),
    Detail(CLICK_DETAILS, "click-details", "urls_clicked", _CLICKS),
)


def campaigns(context: Context) -> Iterator[Item]:
    """Sent mailings, their reports, and the details of those whose counters have moved."""
    client = client_for(context.connection)
    for answer in pages(client, "/3.0/campaigns", "campaigns", status="sent"):
        yield Page(CAMPAIGNS.name, body=answer.content, at="campaigns")
    for answer in pages(client, "/3.0/reports", "reports"):
        yield Page(REPORTS.name, body=answer.content, at="reports")
        for report in answer.at("reports"):
            yield from _details(client, context, report)


def _details(client: ApiClient, context: Context, report: Mapping[str, Any]) -> Iterator[Item]:
    campaign_id = str(report["id"])
    for detail in DETAILS:
        signature = detail.signature(report)
        if context.slices(detail.table.name).get(campaign_id) == signature:
            continue
        if not detail.is_empty(report):
            yield from _read(client, detail, campaign_id)
        yield Done(detail.table.name, {campaign_id: signature})


def _read(client: ApiClient, detail: Detail, campaign_id: str) -> Iterator[Item]:
    path = f"/3.0/reports/{campaign_id}/{detail.path}"
    if detail.paged:
        answers = pages(client, path, detail.data)
    else:  # the one list without count and offset
        answer = client.get(path)
        client.require(answer.json(), detail.data)
        answers = iter([answer])
    for answer in answers:
        if detail.rows is None:
            yield Page(detail.table.name, body=answer.content, at=detail.data, slice=campaign_id)
        else:
            rows = [row for recipient in answer.at(detail.data) for row in detail.rows(recipient)]
            yield Page(detail.table.name, records=rows, slice=campaign_id)


def check(connection: Connection) -> str:
    """Ask for the account's name and one campaign."""
    client = client_for(connection)
    root = client.get("/3.0/", params={"fields": "account_name,account_id"}).json()
    if not isinstance(root, dict):
        raise BadAnswer(SYSTEM_NAME, "the API's root gave no account.", "Check BASE_URL.")
    client.require(client.get("/3.0/campaigns", params={"count": 1}).json(), "campaigns")
    return f"account {root.get('account_name') or root.get('account_id') or ', '.join(connection.accounts)}"


SYSTEM = System(
    name=SYSTEM_NAME,
    resources=(
        Resource("audiences", tables=(LISTS, MEMBERS), extract=audiences),
        Resource(
            "campaigns", tables=(CAMPAIGNS, REPORTS, *(detail.table for detail in DETAILS)), extract=campaigns
        ),
    ),
    settings=SETTINGS,
    check=check,
    api_version="3.0",
)
