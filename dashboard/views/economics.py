"""Economics: what each channel costs, what it brings, and how long until it has paid for itself."""

from __future__ import annotations

from dashboard import charts, components, data, filters, formats
from dashboard.components import Column, Figure, panel
from dashboard.queries.economics import SLICE, slice_of
from dashboard.queries.economics import TABLE as SOURCE

FILTERS = ("period", "channel", "model", "date_basis")
# Sums over the periods, and the quotients of the sums: the quotients of single periods cannot be averaged.
_MEASURES = """
    sum(media_spend) as media_spend, sum(loaded_cost) as loaded_cost, sum(leads) as leads, sum(mqls) as mqls,
    sum(opportunities) as opportunities, sum(wins) as wins, sum(new_customers) as new_customers,
    sum(bookings) as bookings, sum(billings) as billings,
    sum(media_spend) / nullif(sum(new_customers), 0) as cac_media,
    sum(loaded_cost) / nullif(sum(new_customers), 0) as cac_loaded,
    sum(billings) / nullif(sum(media_spend), 0) as roas,
    sum(gross_margin_to_date) as gross_margin_to_date,
    sum(ltv * new_customers) / nullif(sum(new_customers), 0) as ltv,
    sum(ltv * new_customers) / nullif(sum(loaded_cost), 0) as ltv_to_cac,
    case
        when sum(gross_margin_to_date) > 0 and sum(new_customers) > 0 and sum(loaded_cost) > 0
            and count(*) filter (where gross_margin_to_date is null) = 0
            then sum(loaded_cost) / sum(new_customers) / (sum(gross_margin_to_date) / sum(customer_months))
    end as payback_months,
    bool_and(is_mature) as is_mature
"""


def render() -> None:
    chosen = filters.choose(*FILTERS)
    components.page_head(
        "Economics", "What does a customer cost in each channel, and when has it paid?", chosen, FILTERS
    )
    now, before = _total(chosen, chosen.period), _total(chosen, chosen.period.previous)
    components.figures(_figures(now, before), "economics")
    if now["is_mature"] is False:
        components.notice(
            "Part of this period is young: its customers go on paying, so payback and value will look better "
            "later. Compare mature periods with each other.",
            "warn",
        )
    rows = by_channel(chosen)
    left, right = components.beside(1, 1)
    with left:
        _spend_to_revenue(rows)
    with right:
        _payback(rows)
    _table(rows)
    _over_time(chosen)


def _total(chosen: filters.Filters, period: filters.Period) -> data.Row:
    return data.one(f"select {_MEASURES} from {SOURCE} where {SLICE}", slice_of(chosen, period))


def by_channel(chosen: filters.Filters) -> data.Rows:
    """Everything about each channel in the period, the most expensive first."""
    return data.query(
        f"select channel, {_MEASURES} from {SOURCE} where {SLICE} group by channel"
        " having sum(loaded_cost) > 0 or sum(new_customers) > 0 or sum(billings) <> 0"
        " order by loaded_cost desc, new_customers desc, channel",
        slice_of(chosen, chosen.period),
    )


def _figures(now: data.Row, before: data.Row) -> list[Figure]:
    sums = "Of all periods and channels in the choice together."
    return [
        Figure(
            "Media spend",
            now["media_spend"],
            "money",
            f"{SOURCE}.media_spend",
            before["media_spend"],
            "neither",
        ),
        Figure(
            "All costs",
            now["loaded_cost"],
            "money",
            f"{SOURCE}.loaded_cost",
            before["loaded_cost"],
            "neither",
        ),
        Figure(
            "New customers",
            now["new_customers"],
            "integer",
            f"{SOURCE}.new_customers",
            before["new_customers"],
        ),
        Figure(
            "Cost of a customer",
            now["cac_loaded"],
            "money",
            f"{SOURCE}.cac_loaded",
            before["cac_loaded"],
            "down",
            means=sums,
        ),
        Figure(
            "Payback", now["payback_months"], "months", f"{SOURCE}.payback_months", good="down", means=sums
        ),
        Figure("LTV to CAC", now["ltv_to_cac"], "ratio", f"{SOURCE}.ltv_to_cac", means=sums),
    ]


def _spend_to_revenue(rows: data.Rows) -> None:
    paid = data.Rows([row for row in rows if row["loaded_cost"]], rows.columns)
    with panel(
        "What goes in, what comes out",
        "in_out",
        paid,
        source=SOURCE,
        note="All costs of a channel beside what its new customers have brought in gross margin so far.",
        empty="No channel cost anything in this choice.",
    ) as filled:
        if filled:
            theme = charts.theme()
            made = charts.paired_bars(
                paid,
                "channel",
                (
                    ("All costs", "loaded_cost", theme.neutral),
                    ("Gross margin so far", "gross_margin_to_date", theme.accent),
                ),
                "money_compact",
            )
            charts.show(made, "in_out", "All costs and gross margin so far by channel")


def _payback(rows: data.Rows) -> None:
    known = data.Rows(
        sorted(
            (row for row in rows if row["payback_months"] is not None and row["loaded_cost"]),
            key=lambda row: row["payback_months"],
        ),
        rows.columns,
    )
    with panel(
        "Months until a customer has paid",
        "payback",
        known,
        source=SOURCE,
        note="Of gross margin, all costs counted. Channels without new customers or margin have no figure.",
        empty="No channel with costs, new customers and a margin in this choice.",
    ) as filled:
        if filled:
            charts.show(
                charts.bars(known, "channel", "payback_months", "number"),
                "payback",
                "Months until a new customer has paid for itself, by channel",
            )


def _table(rows: data.Rows) -> None:
    with panel(
        "Every channel",
        "economics_channels",
        rows,
        source=SOURCE,
        note="Bookings and billings are different things and are never added up.",
    ) as filled:
        if filled:
            components.table(
                rows,
                [
                    Column("channel", "Channel", length=24),
                    Column("media_spend", "Media", "money"),
                    Column("loaded_cost", "All costs", "money", bar=True),
                    Column("leads", "Leads", "number"),
                    Column("mqls", "MQLs", "number"),
                    Column("opportunities", "Deals", "number"),
                    Column("wins", "Won", "number"),
                    Column("new_customers", "New customers", "number"),
                    Column("bookings", "Bookings", "money"),
                    Column("billings", "Billings", "money"),
                    Column("cac_loaded", "CAC", "money"),
                    Column("ltv", "LTV", "money"),
                    Column("ltv_to_cac", "LTV:CAC", "ratio"),
                    Column("payback_months", "Payback", "months"),
                ],
                "economics_channels",
                SOURCE,
            )


def _over_time(chosen: filters.Filters) -> None:
    start = min(chosen.period.start, filters.add_months(chosen.period.end, -11))
    rows = data.query(
        f"""
        select period_start as month, sum(media_spend) as media_spend, sum(loaded_cost) as loaded_cost,
            sum(loaded_cost) / nullif(sum(new_customers), 0) as cac_loaded,
            sum(media_spend) / nullif(sum(new_customers), 0) as cac_media
        from {SOURCE}
        where model = ? and date_basis = ? and period_grain = 'month' and period_start between ? and ?
            and coalesce(channel = ?, true)
        group by period_start order by period_start
        """,
        [chosen.model, chosen.date_basis, start, chosen.period.end, chosen.channel],
    )
    left, right = components.beside(1, 1)
    months = rows.column("month")
    with left, panel("Costs by month", "costs", rows, source=SOURCE) as filled:
        if filled:
            charts.show(
                charts.lines(
                    {
                        "All costs": (months, rows.column("loaded_cost")),
                        "Media spend": (months, rows.column("media_spend")),
                    },
                    "money",
                ),
                "costs",
                "All costs and media spend by month",
            )
    with right:
        dear = data.Rows([row for row in rows if not formats.is_missing(row["cac_loaded"])], rows.columns)
        with panel(
            "Cost of a new customer by month",
            "cac",
            dear,
            source=SOURCE,
            empty="No new customer in these months.",
        ) as filled:
            if filled:
                months = dear.column("month")
                charts.show(
                    charts.lines(
                        {
                            "With all costs": (months, dear.column("cac_loaded")),
                            "Media alone": (months, dear.column("cac_media")),
                        },
                        "money",
                    ),
                    "cac",
                    "Cost of a new customer by month, with all costs and with media alone",
                )
