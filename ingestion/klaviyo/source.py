"""What is read from Klaviyo: metrics, campaigns with their messages, flows and profiles as records, and the
events of the e-mail metrics by day.

An account's events hold everything that its shop reports; only the metrics of Klaviyo's own that tell of mail
and of consent to it are asked for, each by its id. Other integrations have metrics of the same names.

An event carries the moment at which it happened, and may come days later: a run reads the last days again as
a whole.

Names, telephone numbers, places and custom properties of profiles are not even asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from ingestion.errors import SourceError
from ingestion.http import Answer, ApiClient, next_link
from ingestion.klaviyo.settings import SETTINGS, SYSTEM_NAME, client_for
from ingestion.records import Column, Table
from ingestion.settings import Connection
from ingestion.sources import Context, Done, Item, Page, Resource, System
from ingestion.windows import days, spans, window

INTEGRATION = "klaviyo"
METRICS_READ = (
    "Received Email",
    "Bounced Email",
    "Opened Email",
    "Clicked Email",
    "Marked Email as Spam",
    "Subscribed to Email Marketing",
    "Unsubscribed from Email Marketing",
    "Unsubscribed",
)
LATE_DAYS = 4
DAYS_PER_QUERY = 366
EVENTS_A_PAGE, CAMPAIGNS_A_PAGE, FLOWS_A_PAGE, PROFILES_A_PAGE = 1000, 100, 50, 100

METRICS = Table(
    "metrics",
    columns=(
        Column("metric_id", path="id", required=True),
        Column("name", path="attributes.name", required=True),
        Column("integration", path="attributes.integration.name"),
    ),
    key=("metric_id",),
    ignored=("type", "links", "relationships", "attributes.integration"),
    description="One kind of event.",
)
CAMPAIGNS = Table(
    "campaigns",
    columns=(
        Column("campaign_id", path="id", required=True),
        Column("name", path="attributes.name"),
        Column("status", path="attributes.status"),
        Column("is_archived", "boolean", path="attributes.archived"),
        Column("created_at", "timestamp", path="attributes.created_at"),
        Column("sent_at", "timestamp", path="attributes.send_time"),
    ),
    key=("campaign_id",),
    ignored=("type", "links", "relationships"),
    description="One campaign.",
)
CAMPAIGN_MESSAGES = Table(
    "campaign_messages",
    columns=(
        Column("message_id", path="id", required=True),
        Column("campaign_id", required=True),
        Column("label", path="attributes.definition.label"),
        Column("subject_line", path="attributes.definition.content.subject"),
    ),
    key=("message_id",),
    ignored=("type", "links", "relationships", "attributes.definition.channel"),
    description="One message of a campaign; a test of two variants has two.",
)
FLOWS = Table(
    "flows",
    columns=(
        Column("flow_id", path="id", required=True),
        Column("name", path="attributes.name"),
        Column("status", path="attributes.status"),
        Column("trigger_type", path="attributes.trigger_type"),
        Column("is_archived", "boolean", path="attributes.archived"),
        Column("created_at", "timestamp", path="attributes.created"),
    ),
    key=("flow_id",),
    ignored=("type", "links", "relationships"),
    description="One flow: mail that an event sets off.",
)
_MARKETING = "attributes.subscriptions.email.marketing"
PROFILES = Table(
    "profiles",
    columns=(
        Column("profile_id", path="id", required=True),
        Column("email", "email", path="attributes.email"),
        Column("external_id", path="attributes.external_id"),
        Column("email_consent", path=f"{_MARKETING}.consent"),
        Column("email_consent_at", "timestamp", path=f"{_MARKETING}.consent_timestamp"),
        Column("can_receive_email", "boolean", path=f"{_MARKETING}.can_receive_email_marketing"),
        Column("created_at", "timestamp", path="attributes.created"),
        Column("updated_at", "timestamp", path="attributes.updated", required=True),
    ),
    key=("profile_id",),
    version="updated_at",
    cursor="updated_at",
    lag=timedelta(hours=1),
    ignored=("type", "links", "relationships", "attributes.subscriptions"),
    description="One person who may get mail.",
)
_PROPERTIES = ("attributes", "event_properties")
EVENTS = Table(
    "events",
    columns=(
        Column("event_id", path="id", required=True),
        Column("occurred_at", "timestamp", path="attributes.datetime", required=True),
        Column("metric_id", path="relationships.metric.data.id", required=True),
        Column("profile_id", path="relationships.profile.data.id"),
        Column("message_id", path=(*_PROPERTIES, "$message")),
        Column("flow_id", path=(*_PROPERTIES, "$flow")),
        Column("send_cohort", path=(*_PROPERTIES, "$_cohort$message_send_cohort")),
        Column("campaign_name", path=(*_PROPERTIES, "Campaign Name")),
        Column("recipient_email", "email", path=(*_PROPERTIES, "Recipient Email Address")),
        Column("url", path=(*_PROPERTIES, "URL")),
        Column("bounce_type", path=(*_PROPERTIES, "Bounce Type")),
        Column("is_machine_open", "boolean", path=(*_PROPERTIES, "machine_open")),
        Column("is_privacy_open", "boolean", path=(*_PROPERTIES, "Apple Privacy Open")),
    ),
    key=("event_id",),
    slice_by="occurred_at",
    # Further properties tell of places, devices and networks.
    ignored=("type", "links", "relationships", "attributes.event_properties"),
    description="One event of one profile: mail received, opened, clicked …, consent given or taken back.",
)


def pages(client: ApiClient, path: str, **params: Any) -> Iterator[Answer]:
    """All pages of a collection: the next page's link, which must keep the origin, has the cursor."""
    following = next_link("links.next", within="links")
    yield from client.pages(path, params=params, next_request=following, data="data")


def metrics(client: ApiClient) -> Iterator[Answer]:
    """All pages of metrics."""
    return pages(client, "/api/metrics", **{"fields[metric]": "name,integration"})


def names(context: Context) -> Iterator[Item]:
    """Campaigns with their messages, and flows; archived ones must be asked for apart."""
    client = client_for(context.connection)
    for archived in ("equals(archived,false)", "equals(archived,true)"):
        for answer in pages(
            client,
            "/api/campaigns",
            **{
                "filter": f"and(equals(messages.channel,'email'),{archived})",
                "include": "campaign-messages",
                "fields[campaign]": "name,status,archived,created_at,send_time",
                "fields[campaign-message]": "definition.label,definition.channel,definition.content.subject",
                "page[size]": CAMPAIGNS_A_PAGE,
            },
        ):
            yield Page(CAMPAIGNS.name, body=answer.content, at="data")
            yield Page(CAMPAIGN_MESSAGES.name, records=list(messages(answer.json())))
        flow_fields = "name,status,archived,created,trigger_type"
        for answer in pages(
            client,
            "/api/flows",
            **{"filter": archived, "fields[flow]": flow_fields, "page[size]": FLOWS_A_PAGE},
        ):
            yield Page(FLOWS.name, body=answer.content, at="data")


def messages(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The included messages of a page of campaigns, each with the id of the campaign that names it."""
    campaign_of = {
        reference["id"]: campaign["id"]
        for campaign in document["data"]
        for reference in campaign.get("relationships", {}).get("campaign-messages", {}).get("data") or ()
    }
    for included in document.get("included") or ():
        yield {**included, "campaign_id": campaign_of.get(included.get("id"))}


def profiles(context: Context) -> Iterator[Item]:
    """The profiles that changed since the last load."""
    client = client_for(context.connection)
    since = context.since(PROFILES.name)
    changed = {"filter": f"greater-than(updated,{since:%Y-%m-%dT%H:%M:%S}Z)"} if since else {}
    for answer in pages(
        client,
        "/api/profiles",
        **changed,
        **{
            "additional-fields[profile]": "subscriptions",
            "fields[profile]": "email,external_id,created,updated,subscriptions.email.marketing.consent,"
            "subscriptions.email.marketing.consent_timestamp,"
            "subscriptions.email.marketing.can_receive_email_marketing",
            "sort": "updated",
            "page[size]": PROFILES_A_PAGE,
        },
    ):
        yield Page(PROFILES.name, body=answer.content, at="data")


def events(context: Context) -> Iterator[Item]:
    """Metrics, and the events of those that tell of mail: the first load from START_DATE on, later runs the
    last days."""
    client = client_for(context.connection)
    wanted = []
    for answer in metrics(client):
        yield Page(METRICS.name, body=answer.content, at="data")
        wanted += [metric["id"] for metric in answer.at("data") if tells_of_mail(metric)]
    first, last = window(context, EVENTS.name, context.as_of.date(), LATE_DAYS)
    for start, end in spans(context, (EVENTS.name,), first, last, DAYS_PER_QUERY):
        for metric_id in wanted:
            for answer in pages(client, "/api/events", **of_metric(metric_id, start, end)):
                yield Page(EVENTS.name, body=answer.content, at="data")
        yield Done(EVENTS.name, dict.fromkeys(days(start, end)))


def tells_of_mail(metric: Mapping[str, Any]) -> bool:
    """Whether a metric is one of those that are read, and Klaviyo's own."""
    attributes = metric.get("attributes") or {}
    integration = (attributes.get("integration") or {}).get("name") or ""
    return attributes.get("name") in METRICS_READ and integration.lower() == INTEGRATION


def of_metric(metric_id: str, first: date, last: date) -> dict[str, Any]:
    """The parameters that ask for a metric's events of some days (UTC)."""
    return {
        "filter": f'and(equals(metric_id,"{metric_id}"),greater-or-equal(datetime,{first}T00:00:00Z),'
        f"less-than(datetime,{last + timedelta(days=1)}T00:00:00Z))",
        "fields[event]": "datetime,event_properties",
        "sort": "datetime",
        "page[size]": EVENTS_A_PAGE,
    }


def check(connection: Connection) -> str:
    """Ask for the metrics, and for one event, campaign, flow and profile: each needs a scope of its own.

    Raises:
        SourceError: the account has none of the metrics that tell of mail.
    """
    client = client_for(connection)
    found = [metric for answer in metrics(client) for metric in answer.at("data") if tells_of_mail(metric)]
    if not found:
        raise SourceError(
            SYSTEM_NAME,
            "the account has no e-mail metrics.",
            "Check that the key belongs to the account that sends mail.",
        )
    day = date(2026, 1, 1)
    for path, asked in (
        ("events", of_metric(found[0]["id"], day, day)),
        ("campaigns", {"filter": "equals(messages.channel,'email')"}),
        ("flows", {}),
        ("profiles", {"fields[profile]": "updated"}),
    ):
        client.require(client.get(f"/api/{path}", params={**asked, "page[size]": 1}).json(), "data")
    return f"{len(found)} e-mail metrics; events, campaigns, flows and profiles can be read"


SYSTEM = System(
    name=SYSTEM_NAME,
    resources=(
        Resource("names", tables=(CAMPAIGNS, CAMPAIGN_MESSAGES, FLOWS), extract=names),
        Resource("profiles", tables=(PROFILES,), extract=profiles),
        Resource("events", tables=(METRICS, EVENTS), extract=events),
    ),
    settings=SETTINGS,
    check=check,
)
