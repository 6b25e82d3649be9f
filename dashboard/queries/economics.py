"""Which rows of the channels' economics the filters mean, for the pages that add them up."""

from __future__ import annotations

from typing import Any

from dashboard.filters import Filters, Period

TABLE = "retention.channel_economics"
SLICE = (
    "model = ? and date_basis = ? and period_grain = ? and period_start between ? and ?"
    " and coalesce(channel = ?, true)"
)


def slice_of(chosen: Filters, period: Period) -> list[Any]:
    """The parameters of SLICE."""
    return [chosen.model, chosen.date_basis, period.grain, period.start, period.end, chosen.channel]
