"""How advertising platforms correct their figures: the one rule, used by every server and by the file drop.

What belongs here: the function from the final `ad_performance` to what a platform shows at a moment.

For 28 days after a day is first reported its figures move: conversions come in late, invalid clicks
and impressions are taken out, and their cost is credited. With age = whole days since `visible_at` plus
one, up to 28:

- impressions and spend start 2 % too high, clicks 3 %, and fall in a straight line;
- conversions and their value start at 45 % and rise towards the final figure with a half-life of four days.

From an age of 28 on, the figures are final. The rule is a pure function of the row and the moment.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

RESTATEMENT_DAYS = 28
SPEND_EXCESS = 0.02
CLICK_EXCESS = 0.03
CONVERSIONS_MISSING = 0.55
CONVERSIONS_HALF_LIFE_DAYS = 4.0

_DAY_US = 86_400_000_000


def to_us(moment: datetime) -> int:
    """Microseconds since 1970 of a moment; a zone-less one is UTC."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    delta = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def restated(table: pa.Table, as_of: datetime) -> pa.Table:
    """The rows of `ad_performance` that a platform shows at `as_of`, with the figures it shows then."""
    now = to_us(as_of)
    table = table.filter(pc.less_equal(table["visible_at"].cast(pa.int64()), now))
    age = (now - table["visible_at"].cast(pa.int64()).to_numpy()) // _DAY_US + 1
    open_share = np.clip(RESTATEMENT_DAYS - age, 0, None) / (RESTATEMENT_DAYS - 1)
    missing = np.where(
        age >= RESTATEMENT_DAYS, 0.0, CONVERSIONS_MISSING * 0.5 ** ((age - 1) / CONVERSIONS_HALF_LIFE_DAYS)
    )
    factors = {
        "impressions": 1 + SPEND_EXCESS * open_share,
        "clicks": 1 + CLICK_EXCESS * open_share,
        "spend_minor": 1 + SPEND_EXCESS * open_share,
        "conversions_value_minor": 1 - missing,
    }
    for name, factor in factors.items():
        shown = np.floor(table[name].to_numpy() * factor + 0.5).astype(np.int64)
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(shown))
    shown_conversions = np.round(table["conversions"].to_numpy() * (1 - missing), 6)
    return table.set_column(
        table.schema.get_field_index("conversions"), "conversions", pa.array(shown_conversions)
    )
