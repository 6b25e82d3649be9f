"""The file drop: everything that no connected vendor's API carries, as files with a manifest.

What belongs here: how the company's records look as files: other people's column names, local number and
date formats, encodings. `write` renders what is visible at a moment. Files are cut by month of arrival, so
that a day's run changes the running month's files only; a file whose content has not changed is not touched.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
import yaml

from sandbox.company import Company, mailing, territories
from sandbox.company.frames import money_text
from sandbox.company.restatement import to_us

FOLDERS = ("costs", "events", "offline", "consent", "surveys", "tests", "rates")
_Rows = tuple[str, bytes]


def write(company: Company, folder: Path | str, as_of: datetime) -> list[Path]:
    """Write the drop as of a moment; returns the paths of all of its files (the manifest first).

    Files that are already there with the same content stay as they are; files that are not part of the
    drop at that moment are removed from its folders.
    """
    root = Path(folder)
    wanted: dict[Path, bytes] = {root / "manifest.yml": MANIFEST.encode()}
    for name, content in _files(company, as_of):
        wanted[root / name] = content
    for name in FOLDERS:
        for path in sorted((root / name).glob("*")):
            if path not in wanted:
                path.unlink()
        (root / name).mkdir(parents=True, exist_ok=True)
    for path, content in wanted.items():
        if not path.exists() or path.read_bytes() != content:
            temporary = path.with_name(f".{path.name}.part")
            temporary.write_bytes(content)
            temporary.replace(path)
    return list(wanted)


def _files(company: Company, as_of: datetime) -> Iterator[_Rows]:
    """Name and content of every file of the drop."""
    t = company.tables

    def visible(name: str) -> pa.Table:
        table = t[name]
        return table.filter(pc.less_equal(table["visible_at"].cast(pa.int64()), to_us(as_of)))

    yield from _by_month(visible("costs"), "visible_at", "costs/kosten_{}.csv", _costs)
    helped = visible("web_events").filter(pc.equal(visible("web_events")["tool"], "help"))
    yield from _by_month(helped, "visible_at", "events/help_{}.jsonl.gz", _help_events)
    # Whom the acquired CRM knows is a member of its campaigns; nobody is on two lists.
    offline = visible("offline_touches")
    offline = offline.filter(pc.invert(territories.of_acquired(offline["contact_id"])))
    yield from _by_month(offline, "visible_at", "offline/deelnemers_{}.csv", _offline)
    answers = visible("consent_events")  # but for what the shop's own mail tool was told
    answers = answers.filter(pc.not_equal(pc.fill_null(answers["mailer"], ""), mailing.SHOP))
    yield from _by_month(answers, "visible_at", "consent/answers_{}.jsonl", _consent)
    yield from _by_month(visible("survey_responses"), "visible_at", "surveys/responses_{}.csv", _surveys)
    tests = visible("incrementality_tests")
    yield (
        "tests/incrementality.csv",
        _csv(_only(tests, [f.name for f in tests.schema if f.name != "visible_at"])),
    )
    yield from _by_month(visible("fx_rates"), "date", "rates/ecb_{}.parquet", _rates)


def _by_month(
    table: pa.Table, column: str, pattern: str, render: Callable[[pa.Table], bytes]
) -> Iterator[_Rows]:
    """One file for each month of the column, in order."""
    month = pc.utf8_slice_codeunits(table[column].cast(pa.date32()).cast(pa.string()), 0, 7)
    for name in sorted(set(month.unique().to_pylist())):
        yield pattern.format(name), render(table.filter(pc.equal(month, name)))


# ------------------------------------------------------------------------------------------------- formats
def _csv(table: pa.Table, delimiter: str = ",") -> bytes:
    sink = io.BytesIO()
    pyarrow.csv.write_csv(table, sink, pyarrow.csv.WriteOptions(delimiter=delimiter, quoting_style="needed"))
    return sink.getvalue()


def _jsonl(table: pa.Table, select: str) -> bytes:
    """One JSON object a row: `select` makes it from the columns."""
    with duckdb.connect() as connection:
        connection.execute("set threads = 1")
        connection.register("source", table)
        rows = connection.sql(f"select cast(to_json({select}) as varchar) as line from source").fetchall()
    return "".join(f"{row[0]}\n" for row in rows).encode()


def _packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def _only(table: pa.Table, names: list[str]) -> pa.Table:
    return table.select(names)


def _money(table: pa.Table, name: str) -> pa.Array:
    return money_text(table[name].to_numpy().astype(np.int64))


def _decimal_comma(amounts: pa.Array) -> pa.Array:
    """1234.50 as a Dutch spreadsheet writes it: 1.234,50."""
    swapped = pc.replace_substring(amounts, ".", ",")
    return pc.replace_substring_regex(swapped, r"^(-?\d+)(\d{3}),", r"\1.\2,")


def _local(column: pa.ChunkedArray, pattern: str) -> pa.Array:
    """UTC moments as local text of Amsterdam."""
    seconds = column.cast(pa.timestamp("s"), safe=False).cast(pa.timestamp("s", "UTC"))
    return pc.strftime(seconds.cast(pa.timestamp("s", "Europe/Amsterdam")), pattern)


# --------------------------------------------------------------------------------------------- other files
def _costs(table: pa.Table) -> bytes:
    """A Dutch bookkeeper's export: semicolons, decimal commas, day first."""

    def day(name: str) -> pa.Array:
        return pc.strftime(table[name].cast(pa.timestamp("s")), "%d-%m-%Y")

    return _csv(
        pa.table(
            {
                "Boekstuk": table["cost_id"],
                "Van": day("period_start"),
                "Tot en met": day("period_end"),
                "Soort": table["cost_type"],
                "Bedrag": _decimal_comma(_money(table, "amount_minor")),
                "Valuta": table["currency"],
                "Kanaal": table["channel"],
                "Campagne": table["campaign_id"],
                "Omschrijving": table["description"],
            }
        ),
        ";",
    )


def _offline(table: pa.Table) -> bytes:
    """Lists of attendees, typed by hand: local time, day first."""
    return _csv(
        pa.table(
            {
                "Nr": table["touch_id"],
                "Wanneer": _local(table["occurred_at"], "%d-%m-%Y %H:%M"),
                "Soort": table["touch_type"],
                "CRM-nummer": table["contact_id"],
                "E-mail": table["email"],
                "CRM-bedrijf": table["company_id"],
                "Actie": table["campaign_id"],
                "Naam actie": table["campaign_name"],
                "Status": table["status"],
            }
        ),
        ";",
    )


def _help_events(table: pa.Table) -> bytes:
    """The help centre's calls, as Segment writes them into a warehouse's bucket."""
    select = """{
        type: case event_name when 'page_view' then 'page' else 'identify' end,
        messageId: 'ajs-next-' || event_id,
        anonymousId: cast(cast(md5(client_id) as uuid) as varchar), userId: user_id,
        timestamp: strftime(occurred_at, '%Y-%m-%dT%H:%M:%S.%fZ'),
        receivedAt: strftime(visible_at, '%Y-%m-%dT%H:%M:%S.%fZ'), channel: 'client',
        name: case event_name when 'page_view' then page_title end,
        properties: {url: page_location, title: page_title, referrer: page_referrer},
        traits: {email: email},
        context: {
            page: {url: page_location, referrer: page_referrer}, locale: language,
            location: {country: country, city: city},
            device: {type: device_category}, os: {name: operating_system}, browser: browser,
            consent: {categoryPreferences: {
                analytics: consent_analytics = 'granted', advertising: consent_ads = 'granted'
            }}
        },
        writeKey: 'fjordlight-help'
    }"""
    return _packed(_jsonl(table, select))


def _consent(table: pa.Table) -> bytes:
    select = """{
        id: consent_event_id, answered_at: strftime(occurred_at, '%Y-%m-%dT%H:%M:%S.%fZ'),
        identifier_type: identifier_type, identifier: identifier, purpose: purpose, state: state
    }"""
    return _jsonl(table, select)


def _surveys(table: pa.Table) -> bytes:
    return _csv(
        pa.table(
            {
                "response": table["response_id"],
                "submitted_at": pc.strftime(
                    table["occurred_at"].cast(pa.timestamp("s"), safe=False), "%Y-%m-%dT%H:%M:%SZ"
                ),
                "email": table["email"],
                "contact": table["contact_id"],
                "survey": table["survey"],
                "score": table["score"],
                "answer": table["answer"],
            }
        )
    )


def _rates(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pyarrow.parquet.write_table(_only(table, ["date", "currency_from", "currency_to", "rate"]), sink)
    return sink.getvalue()


# ------------------------------------------------------------------------------------------------ manifest
def _c(column: str, **options: Any) -> dict[str, Any]:
    return {"column": column, **options}


_CONSENT = (
    'case "context.consent.categoryPreferences.{}"'
    " when 'true' then 'granted' when 'false' then 'denied' end"
)
_DESCRIPTION: dict[str, Any] = {
    "version": 1,
    "name": "drop",
    "entities": {
        "costs": {
            "path": "costs/kosten_*.csv",
            "delimiter": ";",
            "decimal_separator": ",",
            "thousands_separator": ".",
            "date_format": "%d-%m-%Y",
            "columns": {
                "period_start": "Van",
                "period_end": "Tot en met",
                "cost_type": "Soort",
                "amount": "Bedrag",
                "currency": "Valuta",
                "channel": "Kanaal",
                "campaign_id": "Campagne",
            },
        },
        "web_events": {
            "path": "events/help_*.jsonl.gz",
            "columns": {
                "event_id": "messageId",
                "occurred_at": "timestamp",
                "anonymous_id": "anonymousId",
                "user_id": "userId",
                "email": "traits.email",
                "event_name": {
                    "sql": "case type when 'page' then 'page_view' when 'identify' then 'login'"
                    " else event end"
                },
                "page_url": {"sql": 'coalesce("properties.url", "context.page.url")'},
                "referrer_url": "context.page.referrer",
                "utm_source": "context.campaign.source",
                "utm_medium": "context.campaign.medium",
                "utm_campaign": "context.campaign.name",
                "utm_content": "context.campaign.content",
                "utm_term": "context.campaign.term",
                "device_category": "context.device.type",
                "country": "context.location.country",
                "consent_analytics": {"sql": _CONSENT.format("analytics")},
                "consent_ads": {"sql": _CONSENT.format("advertising")},
                "properties": "properties",
            },
        },
        "offline_touches": {
            "path": "offline/deelnemers_*.csv",
            "delimiter": ";",
            "timestamp_format": "%d-%m-%Y %H:%M",
            "time_zone": "Europe/Amsterdam",
            "columns": {
                "touch_id": "Nr",
                "occurred_at": "Wanneer",
                "touch_type": "Soort",
                "contact_id": "CRM-nummer",
                "email": "E-mail",
                "account_id": "CRM-bedrijf",
                "campaign_id": "Actie",
                "campaign_name": "Naam actie",
                "status": "Status",
            },
        },
        "consent_events": {
            "path": "consent/answers_*.jsonl",
            "columns": {
                "consent_event_id": "id",
                "occurred_at": "answered_at",
                "identifier_type": "identifier_type",
                "identifier": "identifier",
                "purpose": "purpose",
                "state": "state",
            },
        },
        "survey_responses": {
            "path": "surveys/responses_*.csv",
            "columns": {
                "response_id": "response",
                "occurred_at": "submitted_at",
                "email": "email",
                "contact_id": "contact",
                "survey": "survey",
                "score": "score",
                "answer": "answer",
            },
        },
        "incrementality_tests": {
            "path": "tests/incrementality.csv",
            "columns": {
                name: name
                for name in (
                    "test_id",
                    "channel",
                    "date_from",
                    "date_to",
                    "method",
                    "incremental_conversions",
                    "ci_low",
                    "ci_high",
                )
            },
        },
        "fx_rates": {
            "path": "rates/ecb_*.parquet",
            "columns": {name: name for name in ("date", "currency_from", "currency_to", "rate")},
        },
    },
}
MANIFEST = (
    "# What no connected vendor carries, as files. Written by the sandbox; see ingestion/files/README.md\n"
    + yaml.safe_dump(_DESCRIPTION, sort_keys=False, allow_unicode=True, width=110)
)
