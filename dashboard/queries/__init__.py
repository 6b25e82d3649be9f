"""What the pages ask the published file: one function a question, parameters in, rows out.

The marts compute; a query here picks rows, adds counts and amounts up, and divides sums by sums. A rate over
several periods is always made again from its counts, never averaged. Nothing here knows widgets or plotly.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from dashboard.data import Rows, query
from dashboard.filters import Filters

EVERYTHING = "all"
WILSON_Z = 1.959963984540054  # 95 %, as in the macro wilson_bound; a test holds both against each other


class Cut(NamedTuple):
    """Which rows of a mart that is split by segment: everything, once, unless said otherwise."""

    segment: str = EVERYTHING
    value: str = EVERYTHING


WHOLE = Cut()


def cut_of(chosen: Filters) -> Cut:
    """The segment that the filters mean; the channel where both are set."""
    if chosen.channel:
        return Cut("channel", chosen.channel)
    return Cut("country", chosen.country) if chosen.country else WHOLE


def segments(table: str) -> dict[str, list[str]]:
    """The segments of a mart and their values, those with most rows first.

    Args:
        table: Schema and name of a mart with the columns segment and segment_value.
    """
    found: dict[str, list[str]] = {}
    for row in query(
        f"""
        select segment, segment_value
        from {table}
        where segment <> 'all'
        group by segment, segment_value
        order by segment, count(*) desc, segment_value
        """
    ):
        found.setdefault(row["segment"], []).append(row["segment_value"])
    return found


def owner_names() -> dict[str, str]:
    """Names by owner_id; owners of one name are told apart by their team."""
    rows = query(
        """
        select owner_id,
            case
                when count(*) over (partition by owner_name) > 1 then owner_name || ' (' || team || ')'
                else owner_name
            end as owner_name
        from core.dim_owners
        order by owner_id
        """
    )
    return {row["owner_id"]: row["owner_name"] for row in rows}


def wilson(successes: float, trials: float) -> tuple[float | None, float | None, float | None]:
    """A rate and its 95 % Wilson interval out of counts; three times None at 0 trials.

    The marts hold the same for one period; this is for sums over several.
    """
    if not trials:
        return None, None, None
    share, square = successes / trials, WILSON_Z * WILSON_Z
    middle = share + square / (2 * trials)
    spread = WILSON_Z * math.sqrt(share * (1 - share) / trials + square / (4 * trials * trials))
    scale = 1 + square / trials
    low = 0.0 if successes == 0 else (middle - spread) / scale
    high = 1.0 if successes == trials else (middle + spread) / scale
    return share, low, high


RATES = ("conversion_rate", "conversion_rate_low", "conversion_rate_high")


def with_rates(
    rows: Rows, advanced: str = "advanced", entered: str = "entered", last: int | None = None
) -> Rows:
    """The rows with conversion_rate and its interval, made from two columns of counts.

    Args:
        rows: What was counted.
        advanced: Column of those that went on.
        entered: Column of those that came in.
        last: The stage_order after which nothing follows, and which has no rate.
    """
    rated = []
    for row in rows:
        bounds = (
            (None, None, None)
            if last is not None and row["stage_order"] == last
            else wilson(row[advanced], row[entered])
        )
        rated.append({**row, **dict(zip(RATES, bounds, strict=True))})
    return Rows(rated, [*rows.columns, *RATES], rows.is_cut)


def number(value: Any) -> float:
    """A number to add up: 0 where there is none."""
    return float(value or 0)
