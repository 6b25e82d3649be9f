"""From the lines of an export file to columns of raw events: parsing, repeated events, unknown fields.

Lines are newline-delimited JSON in the schema of the BigQuery export (64-bit integers as strings, absent
fields left out). All work is done in columns by DuckDB: at 700,000 events a loop per event would cost
minutes.

An event's id is made of what the browser gave it: client id, microsecond, name, and what tells it apart
from another one of the same microsecond: the parameter `event_id` where the site's tag sends one (then a
resent event is one row for certain), else its place in its batch (page id, ordering id, index), else a
digest of its parameters. All of it stays the same when a day is exported again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.records import locked_down_duckdb

_TEXT_PARAMS = {
    "page_location": "page_location",
    "page_referrer": "page_referrer",
    "page_title": "page_title",
    "ga_session_id": "ga_session_id",
    "ga_session_number": "ga_session_number",
    "engagement_time_msec": "engagement_time_msec",
    "param_transaction_id": "transaction_id",
    "param_value": "value",
    "currency": "currency",
    "referral_code": "referral_code",
    "traffic_type": "traffic_type",
    "user_agent": "user_agent",
}
"""Column -> event parameter. Parameters are read once into a map; these get a column of their own."""

PARAM_COLUMNS = tuple(_TEXT_PARAMS)

_PARAM = {
    "key": "VARCHAR",
    "value": {
        "string_value": "VARCHAR",
        "int_value": "VARCHAR",
        "float_value": "VARCHAR",
        "double_value": "VARCHAR",
    },
}
_STRUCTURE = {
    "event_date": "VARCHAR",
    "event_timestamp": "VARCHAR",
    "event_name": "VARCHAR",
    "user_pseudo_id": "VARCHAR",
    "user_id": "VARCHAR",
    "event_bundle_sequence_id": "VARCHAR",
    "batch_page_id": "VARCHAR",
    "batch_ordering_id": "VARCHAR",
    "batch_event_index": "VARCHAR",
    "event_params": [_PARAM],
    "user_properties": "JSON",
    "privacy_info": {"analytics_storage": "VARCHAR", "ads_storage": "VARCHAR"},
    "device": {
        "category": "VARCHAR",
        "operating_system": "VARCHAR",
        "language": "VARCHAR",
        "web_info": {"browser": "VARCHAR", "hostname": "VARCHAR"},
        "browser": "VARCHAR",
    },
    "geo": {"country": "VARCHAR", "city": "VARCHAR"},
    "collected_traffic_source": {
        "manual_source": "VARCHAR",
        "manual_medium": "VARCHAR",
        "manual_campaign_name": "VARCHAR",
        "manual_content": "VARCHAR",
        "manual_term": "VARCHAR",
        "gclid": "VARCHAR",
    },
    "ecommerce": {"transaction_id": "VARCHAR", "purchase_revenue": "VARCHAR"},
    "items": "JSON",
    "stream_id": "VARCHAR",
    "platform": "VARCHAR",
}
# Known fields of the export that nothing here needs: aggregates, derived attributions, app-only fields.
_UNWANTED = (
    "event_previous_timestamp",
    "event_value_in_usd",
    "event_server_timestamp_offset",
    "user_first_touch_timestamp",
    "user_ltv",
    "app_info",
    "traffic_source",
    "session_traffic_source_last_click",
    "event_dimensions",
    "is_active_user",
    "publisher",
    "entrances",
)
_KNOWN = (*_STRUCTURE, *_UNWANTED)

_COLUMNS = f"""
with parsed as (
    select
        file_date,
        line,
        from_json(line, '{json.dumps(_STRUCTURE)}') as e,
        list_filter(json_keys(line), lambda k: not list_contains({list(_KNOWN)!r}, k)) as unknown
    from lines
    where json_valid(line) and json_type(line) = 'OBJECT'
),
params as (
    select
        file_date,
        e,
        line,
        unknown,
        list_transform(e.event_params, lambda p: p.key) as keys,
        list_transform(e.event_params, lambda p: coalesce(
            p.value.string_value, p.value.int_value, p.value.double_value, p.value.float_value
        )) as vals
    from parsed
)
-- a key that stands twice keeps its first value: list_position finds that one
select
    md5(concat_ws(
        chr(31),
        coalesce(e.user_pseudo_id, ''), e.event_timestamp, e.event_name,
        coalesce(
            'tag' || chr(31) || vals[list_position(keys, 'event_id')],
            'batch' || chr(31) || e.batch_page_id || chr(31) || e.batch_ordering_id
            || chr(31) || e.batch_event_index,
            md5(cast(to_json(e.event_params) as varchar))
        )
    )) as event_id,
    file_date,
    e.event_date as event_date,
    e.event_timestamp as occurred_at,
    e.event_name as event_name,
    e.user_pseudo_id as client_id,
    e.user_id as user_id,
    {", ".join(f"vals[list_position(keys, '{name}')] as {column}" for column, name in _TEXT_PARAMS.items())},
    e.collected_traffic_source.manual_source as manual_source,
    e.collected_traffic_source.manual_medium as manual_medium,
    e.collected_traffic_source.manual_campaign_name as manual_campaign_name,
    e.collected_traffic_source.manual_content as manual_content,
    e.collected_traffic_source.manual_term as manual_term,
    e.collected_traffic_source.gclid as gclid,
    e.device.category as device_category,
    e.device.operating_system as operating_system,
    coalesce(e.device.web_info.browser, e.device.browser) as browser,
    e.device.language as language,
    e.geo.country as country,
    e.geo.city as city,
    e.privacy_info.analytics_storage as analytics_storage,
    e.privacy_info.ads_storage as ads_storage,
    e.ecommerce.transaction_id as transaction_id,
    e.ecommerce.purchase_revenue as purchase_revenue,
    json_extract_string(e.items, '$[0].item_id') as item_id,
    cast(e.items as varchar) as items,
    cast(to_json(map_from_entries(list_filter(
        list_transform(keys, lambda k, i: struct_pack(k := k, v := vals[i])),
        lambda x, i: x.k is not null and not list_contains({list(_TEXT_PARAMS.values())!r}, x.k)
            and list_position(keys, x.k) = i
    ))) as varchar) as event_params,
    cast(e.user_properties as varchar) as user_properties,
    e.event_bundle_sequence_id as event_bundle_sequence_id,
    e.batch_page_id as batch_page_id,
    e.batch_ordering_id as batch_ordering_id,
    e.batch_event_index as batch_event_index,
    e.stream_id as stream_id,
    e.platform as platform,
    case
        when len(unknown) > 0
            then cast(to_json(map_from_entries(list_transform(
                unknown, lambda k: struct_pack(k := k, v := json_extract(line, '$."' || k || '"'))
            ))) as varchar)
    end as _extra
from params
"""

_REPEATED = """
select position from (
    select
        position,
        row_number() over (
            partition by event_id, file_date
            order by
                event_bundle_sequence_id, event_params, batch_page_id, batch_ordering_id, batch_event_index
        ) as nth
    from (select *, row_number() over () - 1 as position from columns)
)
where nth > 1
"""
_MALFORMED = "select file_date, line from lines where not json_valid(line) or json_type(line) <> 'OBJECT'"
# Rows a batch: DuckDB scans Arrow batches in parallel, one thread each.
_BATCH = 8192


@dataclass(frozen=True)
class Parsed:
    """Events as text columns, and what did not become one."""

    events: pa.Table
    repeated: int
    malformed: tuple[tuple[str, str], ...]


class Parser:
    """Parses lines in an in-memory DuckDB, over many files."""

    def __init__(self) -> None:
        self._connection = locked_down_duckdb()

    def parse(self, files: Iterable[tuple[str, bytes]]) -> Parsed:
        """The events of some days' files (day, JSON lines): each one once a day, in columns of text.

        A line that is no JSON object is returned in `malformed` with its day, as it stands.
        """
        text = pa.concat_tables(_lines(day, content) for day, content in files)
        self._connection.register("lines", text)
        columns = self._connection.sql(_COLUMNS).to_arrow_table()
        malformed: tuple[tuple[str, str], ...] = ()
        if columns.num_rows < text.num_rows:
            malformed = tuple(
                (day, line.strip()) for day, line in self._connection.sql(_MALFORMED).fetchall()
            )
        self._connection.unregister("lines")
        self._connection.register("columns", columns)
        repeated = self._connection.sql(_REPEATED).to_arrow_table()["position"].to_numpy()
        self._connection.unregister("columns")
        is_first = np.ones(columns.num_rows, dtype=bool)
        is_first[repeated] = False
        events = columns.filter(pa.array(is_first)) if len(repeated) else columns
        return Parsed(events, len(repeated), malformed)


def _lines(day: str, content: bytes) -> pa.Table:
    """The lines of a file as text; what is no UTF-8 is replaced, so that one bad line costs no file."""
    if not content.endswith(b"\n"):
        content += b"\n"
    ends = np.flatnonzero(np.frombuffer(content, dtype=np.uint8) == ord("\n"))
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), ends + 1])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(content)]
    lines = pa.Array.from_buffers(pa.large_binary(), len(ends), buffers)
    try:
        texts = lines.cast(pa.large_string())
    except pa.ArrowInvalid:
        texts = pa.array([line.decode("utf-8", "replace") for line in lines.to_pylist()], pa.large_string())
    if np.diff(offsets).min() < len("{}\n"):
        texts = texts.filter(pc.not_equal(pc.utf8_trim_whitespace(texts), ""))
    days = pa.repeat(pa.scalar(day, pa.string()), len(texts))
    whole = pa.table({"file_date": days, "line": texts})
    return pa.Table.from_batches(whole.to_batches(max_chunksize=_BATCH), schema=whole.schema)
