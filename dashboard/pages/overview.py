"""Overview: what changed since the period before."""

from __future__ import annotations

from dashboard import charts, components, data, filters
from dashboard.components import Column, Figure, Good, panel

FILTERS = ("period", "channel", "model", "date_basis")
TABLE = "retention.channel_economics"
MEASURES = "sum(media_spend) as media_spend, sum(leads) as leads, sum(new_customers) as new_customers"
_FIGURES: tuple[tuple[str, str, str, Good], ...] = (
    ("Media spend", "media_spend", "money", "neither"),
    ("Leads", "leads", "integer", "up"),
    ("New customers", "new_customers", "integer", "up"),
)


def render() -> None:
    chosen = filters.choose(*FILTERS)
    components.page_head("Overview", "What changed since the period before?", chosen, FILTERS)
    now, before = _totals(chosen, chosen.period), _totals(chosen, chosen.period.previous)
    components.figures(
        [
            Figure(label, now[name], kind, f"{TABLE}.{name}", before[name], good)
            for label, name, kind, good in _FIGURES
        ],
        "overview",
    )
    rows = _by_channel(chosen)
    with panel("Spend by channel", "overview_spend", rows, source=TABLE) as filled:
        if filled:
            charts.show(
                charts.horizontal_bars(rows, "channel", "media_spend", "money"),
                "overview_spend",
                "Media spend of each channel",
            )
            components.table(
                rows,
                [
                    Column("channel", "Channel"),
                    Column("media_spend", "Media spend", "money"),
                    Column("leads", "Leads", "number"),
                    Column("new_customers", "New customers", "number", bar=True),
                ],
                "overview_spend",
                TABLE,
            )


def _totals(chosen: filters.Filters, period: filters.Period) -> data.Row:
    return data.one(f"select {MEASURES} from {TABLE} where {_SLICE}", _parameters(chosen, period))


def _by_channel(chosen: filters.Filters) -> data.Rows:
    return data.query(
        f"select channel, {MEASURES} from {TABLE} where {_SLICE} group by channel"
        " order by media_spend desc, new_customers desc",
        _parameters(chosen, chosen.period),
    )


_SLICE = (
    "model = ? and date_basis = ? and period_grain = ? and period_start between ? and ?"
    " and coalesce(channel = ?, true)"
)


def _parameters(chosen: filters.Filters, period: filters.Period) -> list[object]:
    return [chosen.model, chosen.date_basis, period.grain, period.start, period.end, chosen.channel]
