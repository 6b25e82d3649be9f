"""Attribution: which channel and campaign earns the conversions, under every model, and on which paths."""

from __future__ import annotations

from typing import Any

from dashboard import charts, components, data, filters, formats
from dashboard.components import Column, Figure, panel

FILTERS = ("period", "conversion", "model", "date_basis", "channel", "country")
CHANNELS = "attribution.attribution_channels"
CREDITS = "attribution.fct_attribution"
STEPS = 2  # of a path that the Sankey shows one by one
CHANNELS_IN_PATHS = 7
OTHER = "Other"

# A conversion's country: the account's where there is one, else the person's.
_COUNTRIES = """
    select conversions.conversion_id, coalesce(accounts.country, persons.country, '(not set)') as country
    from core.fct_conversions as conversions
    left join core.dim_accounts as accounts on accounts.account_id = conversions.account_id
    left join core.dim_persons as persons on persons.person_id = conversions.person_id
"""


def render() -> None:
    chosen = filters.choose(*FILTERS)
    components.page_head("Attribution", "Which channels and campaigns earn the conversions?", chosen, FILTERS)
    models = by_model(chosen)
    _figures(chosen, models)
    _models(chosen, models)
    left, right = components.beside(1, 1)
    with left:
        _channels(chosen, models)
    with right:
        _campaigns(chosen)
    _paths(chosen)
    left, right = components.beside(1, 1)
    with left:
        _to_conversion(chosen, "touches", "Touches to conversion")
    with right:
        _to_conversion(chosen, "days", "Days from the first touch to conversion")
    _others(chosen)


def by_model(chosen: filters.Filters) -> data.Rows:
    """Credited conversions, value and spend of each channel under each model; `spend` is the same under
    all.
    """
    if chosen.country is None:
        return data.query(
            f"""
            select model, channel, sum(conversions) as conversions, sum(value) as value, sum(spend) as spend
            from {CHANNELS}
            where conversion_type = ? and date_basis = ? and date between ? and ?
            group by model, channel
            """,
            [chosen.conversion, chosen.date_basis, chosen.period.start, chosen.period.end],
        )
    credited = ", ".join(f'sum("credit_{model}") as "{model}"' for model in _model_names())
    valued = ", ".join(f'sum("credit_{model}" * value) as "{model}"' for model in _model_names())
    day = "converted_on" if chosen.date_basis == "conversion" else "coalesce(touched_on, converted_on)"
    return data.query(
        f"""
        with
        countries as ({_COUNTRIES}),
        credits as (
            select credits.* from {CREDITS} as credits
            inner join countries on countries.conversion_id = credits.conversion_id
            where credits.conversion_type = ? and countries.country = ? and {day} between ? and ?
        ),
        counts as (unpivot (select channel, {credited} from credits group by channel)
            on columns(* exclude (channel)) into name model value conversions),
        amounts as (unpivot (select channel, {valued} from credits group by channel)
            on columns(* exclude (channel)) into name model value value),
        spend as (
            select channel, sum(spend) as spend from core.fct_ad_performance_daily
            where country = ? and date between ? and ? group by channel
        )
        select
            coalesce(counts.model, ?) as model, coalesce(counts.channel, spend.channel) as channel,
            coalesce(counts.conversions, 0) as conversions, amounts.value, coalesce(spend.spend, 0) as spend
        from counts
        left join amounts on amounts.channel = counts.channel and amounts.model = counts.model
        full join spend on spend.channel = counts.channel
        """,
        [
            chosen.conversion, chosen.country, chosen.period.start, chosen.period.end,
            chosen.country, chosen.period.start, chosen.period.end, chosen.model,
        ],
    )  # fmt: skip


def _model_names() -> list[str]:
    """The models, as the published table names its columns."""
    return [name for name in filters.choices()["model"] if name.isidentifier()]


def _of_model(models: data.Rows, chosen: filters.Filters) -> data.Rows:
    rows = [
        {
            "channel": row["channel"],
            "conversions": row["conversions"],
            "value": row["value"],
            "spend": row["spend"],
            "cost_per_conversion": row["spend"] / row["conversions"]
            if row["spend"] and row["conversions"]
            else None,
            "roas": (row["value"] or 0) / row["spend"] if row["spend"] else None,
        }
        for row in models
        if row["model"] == chosen.model and (row["conversions"] or row["spend"])
    ]
    rows.sort(key=lambda row: (-row["conversions"], -row["spend"], row["channel"]))
    return data.Rows(rows, ["channel", "conversions", "value", "spend", "cost_per_conversion", "roas"])


def _figures(chosen: filters.Filters, models: data.Rows) -> None:
    channels = _of_model(models, chosen)
    kept = [row for row in channels if chosen.channel in (None, row["channel"])]
    conversions, value = sum(row["conversions"] for row in kept), sum(row["value"] or 0 for row in kept)
    spend = sum(row["spend"] for row in kept)
    everything = sum(row["conversions"] for row in channels)
    unattributed = sum(row["conversions"] for row in channels if row["channel"] == "(unattributed)")
    components.figures(
        [
            Figure("Conversions", conversions, "number", f"{CHANNELS}.conversions"),
            Figure("Value", value, "money", f"{CHANNELS}.value"),
            Figure("Media spend", spend, "money", "core.fct_ad_performance_daily.spend"),
            Figure(
                "Cost per conversion",
                spend / conversions if conversions and spend else None,
                "money",
                means="Media spend of the period over its credited conversions.",
            ),
            Figure(
                "Return on spend",
                value / spend if spend else None,
                "ratio",
                means="Credited value of the period over its media spend.",
            ),
            Figure(
                "Without a touch",
                unattributed / everything if everything else None,
                "percent",
                means="Share of all channels' conversions that no touch in the window explains.",
                good="down",
            ),
        ],
        "attribution",
    )


def _models(chosen: filters.Filters, models: data.Rows) -> None:
    names = [name for name in _model_names() if any(row["model"] == name for row in models)]
    credit = {(row["channel"], row["model"]): row["conversions"] for row in models}
    channels = [row["channel"] for row in _of_model(models, chosen) if row["conversions"]]
    channels += [
        name for name in dict.fromkeys(models.column("channel"))
        if name not in channels and any(credit.get((name, model)) for model in names)
    ]  # fmt: skip
    rows = data.Rows(
        (
            {"channel": channel, **{name: credit.get((channel, name), 0.0) for name in names}}
            for channel in channels
            if chosen.channel in (None, channel)
        ),
        ["channel", *names],
    )
    with panel(
        "Models side by side",
        "models",
        rows,
        source=CREDITS,
        columns=[f"credit_{name}" for name in names],
        note="Credited conversions. The line spans what the models say, the dot is the chosen one: "
        "where the line is long, the answer depends on the model.",
        empty="No conversion of this type in this choice.",
    ) as filled:
        if filled:
            left, right = components.beside(5, 8)
            with left:
                charts.show(_spans(rows[:12], names, chosen.model), "models", "Range over models by channel")
            with right:
                ordered = [chosen.model, *(name for name in names if name != chosen.model)]
                components.table(
                    rows,
                    [
                        Column("channel", "Channel", length=24),
                        *(
                            Column(name, formats.words(name), "number", f"{CREDITS}.credit_{name}")
                            for name in ordered
                        ),
                    ],
                    "models",
                    shown=12,
                )


def _spans(rows: list[data.Row], models: list[str], model: str) -> Any:
    chosen = charts.theme()
    made = charts.figure(height=max(4, len(rows)) * 27 + 50)
    places = list(range(len(rows)))
    low = [min(row[name] for name in models) for row in rows]
    high = [max(row[name] for name in models) for row in rows]
    made.add_bar(
        orientation="h", y=places, base=low, x=[b - a for a, b in zip(low, high, strict=True)], width=0.22,
        marker={"color": chosen.neutral}, hoverinfo="skip",
    )  # fmt: skip
    made.add_scatter(
        y=places,
        x=[row[model] for row in rows],
        mode="markers",
        marker={"size": 11, "color": chosen.accent},
        customdata=[
            f"{charts.text(row['channel'], 60)}<br>{formats.words(model)}: {formats.number(row[model])}<br>"
            f"all models: {formats.number(a)} to {formats.number(b)}"
            for row, a, b in zip(rows, low, high, strict=True)
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )
    made.update_xaxes(rangemode="tozero", showgrid=True, zeroline=False, nticks=5, tickformat="~s")
    return charts.on_rows(made, [row["channel"] for row in rows], 22)


def _channels(chosen: filters.Filters, models: data.Rows) -> None:
    rows = _of_model(models, chosen)
    with panel(
        "Channels",
        "channels",
        rows,
        source=CHANNELS,
        note=f"{formats.words(chosen.model)} model. Spend without conversions keeps its row.",
        empty="No conversion and no spend in this choice.",
    ) as filled:
        if filled:
            components.table(
                rows,
                [
                    Column("channel", "Channel", length=24),
                    Column("conversions", "Conversions", "number", bar=True),
                    Column("value", "Value", "money"),
                    Column("spend", "Spend", "money"),
                    Column("cost_per_conversion", "Cost each", "money"),
                    Column("roas", "Return", "ratio"),
                ],
                "channels",
                CHANNELS,
            )


def _campaigns(chosen: filters.Filters) -> None:
    source = "attribution.attribution_campaigns"
    if chosen.country is None:
        rows = data.query(
            f"""
            select
                coalesce(credits.campaign_name, '(not set)') as campaign,
                coalesce(campaigns.channel, '(not set)') as channel,
                sum(credits.conversions) as conversions, sum(credits.value) as value,
                sum(credits.spend) as spend,
                sum(credits.spend) / nullif(sum(credits.conversions), 0) as cost_per_conversion
            from {source} as credits
            left join core.dim_campaigns as campaigns on campaigns.campaign_id = credits.campaign_id
            where credits.conversion_type = ? and credits.date_basis = ? and credits.model = ?
                and credits.date between ? and ? and coalesce(campaigns.channel = ?, ? is null)
            group by 1, 2
            having sum(credits.conversions) > 0 or sum(credits.spend) > 0
            order by conversions desc, spend desc, campaign
            """,
            [
                chosen.conversion, chosen.date_basis, chosen.model, chosen.period.start, chosen.period.end,
                chosen.channel, chosen.channel,
            ],
        )  # fmt: skip
    else:
        rows = _campaigns_of_country(chosen)
    with panel(
        "Campaigns",
        "campaigns",
        rows,
        source=source,
        note=f"Of {chosen.channel}."
        if chosen.channel
        else "Choose a channel in the side bar to see only its own.",
        empty="No campaign of this channel in this choice.",
    ) as filled:
        if filled:
            components.table(
                rows,
                [
                    Column("campaign", "Campaign", length=30),
                    Column("channel", "Channel", length=18),
                    Column("conversions", "Conversions", "number", bar=True),
                    Column("value", "Value", "money"),
                    Column("spend", "Spend", "money"),
                ],
                "campaigns",
                source,
                shown=15,
            )


def _campaigns_of_country(chosen: filters.Filters) -> data.Rows:
    day = "converted_on" if chosen.date_basis == "conversion" else "coalesce(touched_on, converted_on)"
    return data.query(
        f"""
        with
        countries as ({_COUNTRIES}),
        credited as (
            select
                coalesce(credits.campaign_id, '(not set)') as campaign_id,
                sum(credits."credit_{_known(chosen.model)}") as conversions,
                sum(credits."credit_{_known(chosen.model)}" * credits.value) as value
            from {CREDITS} as credits
            inner join countries on countries.conversion_id = credits.conversion_id
            where credits.conversion_type = ? and countries.country = ? and {day} between ? and ?
            group by 1
        ),
        spent as (
            select campaign_id, sum(spend) as spend from core.fct_ad_performance_daily
            where country = ? and date between ? and ? group by campaign_id
        )
        select
            coalesce(campaigns.campaign_name, '(not set)') as campaign,
            coalesce(campaigns.channel, '(not set)') as channel,
            sum(coalesce(credited.conversions, 0)) as conversions, sum(credited.value) as value,
            sum(coalesce(spent.spend, 0)) as spend,
            sum(coalesce(spent.spend, 0)) / nullif(sum(credited.conversions), 0) as cost_per_conversion
        from credited
        full join spent on spent.campaign_id = credited.campaign_id
        left join core.dim_campaigns as campaigns
            on campaigns.campaign_id = coalesce(credited.campaign_id, spent.campaign_id)
        where coalesce(campaigns.channel = ?, ? is null)
        group by 1, 2
        order by conversions desc, spend desc, campaign
        """,
        [
            chosen.conversion, chosen.country, chosen.period.start, chosen.period.end,
            chosen.country, chosen.period.start, chosen.period.end, chosen.channel, chosen.channel,
        ],
    )  # fmt: skip


def _known(model: str) -> str:
    """The model's name, safe to stand in a query: it is one of the table's own columns."""
    return model if model in _model_names() else filters.PREFERRED_MODEL


def paths(chosen: filters.Filters) -> data.Rows:
    """Flows between the steps of paths: step (1 is the first touch), from channel, to channel ('' is the
    conversion).

    Touches in the same channel right after each other are one step; what comes after STEPS steps is one
    step more.
    """
    of_country = ""  # the join is what costs: at 50 million touchpoints twice the rest
    if chosen.country:
        of_country = (
            f" and credits.conversion_id in (select conversion_id from ({_COUNTRIES}) where country = ?)"
        )
    return data.query(
        f"""
        with
        touches as (
            select credits.conversion_id, credits.channel, credits.touch_position,
                lag(credits.channel)
                    over (partition by credits.conversion_id order by credits.touch_position) as before
            from {CREDITS} as credits
            where credits.conversion_type = ? and credits.converted_on between ? and ?{of_country}
        ),
        largest as (
            select channel from touches where channel <> '(unattributed)' group by channel
            order by count(*) desc, channel limit {CHANNELS_IN_PATHS}
        ),
        steps as (
            select conversion_id,
                case when channel in (from largest) then channel else '{OTHER}' end as channel,
                row_number() over (partition by conversion_id order by touch_position) as step
            from touches where channel <> '(unattributed)' and before is distinct from channel
        ),
        shown as (
            select *, max(step) over (partition by conversion_id) as steps,
                max(coalesce(step_channel, '')) over (partition by conversion_id) as held
            from (select *, case when channel = ? then channel end as step_channel from steps)
        ),
        flows as (
            select conversion_id, least(step, {STEPS + 1}) as step,
                case when step > {STEPS} then 'More touches' else channel end as channel,
                case
                    when step = steps then ''
                    when step >= {STEPS} then 'More touches'
                    else lead(channel) over (partition by conversion_id order by step)
                end as next_channel
            from shown where coalesce(held = ?, ? is null)
        )
        select step, channel, next_channel, count(distinct conversion_id) as conversions from flows
        where not (step > {STEPS} and next_channel = 'More touches')
        group by 1, 2, 3 order by 1, 4 desc, 2, 3
        """,
        [
            chosen.conversion, chosen.period.start, chosen.period.end, *filter(None, [chosen.country]),
            chosen.channel, chosen.channel, chosen.channel,
        ],
    )  # fmt: skip


def _paths(chosen: filters.Filters) -> None:
    rows = paths(chosen)
    with panel(
        "Paths to conversion",
        "paths",
        rows,
        means="Eligible touches before a conversion in their order; repeats of a channel are one step.",
        note="By channel: first and second step, then the conversion. Conversions that nobody "
        "touched are left out" + (f"; only paths with {chosen.channel} in them." if chosen.channel else "."),
        empty="No path with a touch in this choice.",
    ) as filled:
        if filled:
            charts.show(
                _sankey(rows, chosen), "paths", "Flows from the first touch to the conversion, by channel"
            )


def _sankey(rows: data.Rows, chosen: filters.Filters) -> Any:
    theme = charts.theme()
    end = (STEPS + 2, formats.words(chosen.conversion))
    nodes: dict[tuple[int, str], int] = {}
    for row in rows:
        nodes.setdefault((row["step"], row["channel"]), len(nodes))
    for row in rows:
        if row["next_channel"]:
            nodes.setdefault((row["step"] + 1, row["next_channel"]), len(nodes))
    nodes.setdefault(end, len(nodes))
    palette = charts.colours(sorted({channel for step, channel in nodes if step <= STEPS}))
    colours = [palette.get(channel, theme.neutral) for _, channel in nodes]
    targets = [
        nodes[(row["step"] + 1, row["next_channel"])] if row["next_channel"] else nodes[end] for row in rows
    ]
    made = charts.figure(height=400)
    made.update_layout(margin={"l": 4, "r": 4, "t": 6, "b": 6})
    made.add_sankey(
        arrangement="snap",
        node={
            "label": [charts.text(channel, 18) for _, channel in nodes],
            "color": colours,
            "pad": 12,
            "thickness": 12,
            "line": {"width": 0},
            "hovertemplate": "%{label}: %{value:,.0f}<extra></extra>",
        },
        link={
            "source": [nodes[(row["step"], row["channel"])] for row in rows],
            "target": targets,
            "value": rows.column("conversions"),
            "color": [_faint(palette.get(row["channel"], theme.neutral)) for row in rows],
            "hovertemplate": "%{source.label} → %{target.label}: %{value:,.0f}<extra></extra>",
        },
        textfont={"color": theme.ink, "size": 12, "shadow": "none"},
    )
    return made


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.28)"


def _to_conversion(chosen: filters.Filters, measure: str, title: str) -> None:
    source = "attribution.attribution_touches_to_conversion"
    rows = data.query(
        f"""
        select bucket, sum(conversions) as conversions, sum(value) as value,
            sum(conversions) / sum(sum(conversions)) over () as share
        from {source}
        where measure = ? and conversion_type = ? and first_touch_channel = ? and period_grain = ?
            and period_start between ? and ? and bucket not in ('(unattributed)', '0')
        group by bucket, bucket_order having sum(conversions) > 0 order by bucket_order
        """,
        [measure, chosen.conversion, chosen.channel or "(all)", chosen.period.grain, chosen.period.start,
         chosen.period.end],
    )  # fmt: skip
    note = f"Paths that began with {chosen.channel}." if chosen.channel else "All paths with a touch."
    with panel(
        title,
        f"to_conversion_{measure}",
        rows,
        source=source,
        note=note + (" Not by country." if chosen.country else ""),
        empty="No conversion with a touch in this choice.",
    ) as filled:
        if filled:
            charts.show(_columns(rows), measure, f"{title}: share of conversions")


def _columns(rows: data.Rows) -> Any:
    chosen = charts.theme()
    made = charts.figure(height=230)
    made.add_bar(
        x=[charts.text(bucket) for bucket in rows.column("bucket")],
        y=rows.column("share"),
        text=charts.written(rows.column("share"), "percent"),
        customdata=charts.written(rows.column("conversions"), "integer"),
        textposition="outside",
        cliponaxis=False,
        marker={"color": chosen.accent},
        hovertemplate="%{x}: %{customdata} conversions, %{text}<extra></extra>",
    )
    made.update_yaxes(visible=False, range=[0, max(rows.column("share")) * 1.18])
    made.update_xaxes(type="category", tickfont={"color": chosen.ink, "size": 12})
    return made


def _others(chosen: filters.Filters) -> None:
    source = "attribution.attribution_model_comparison"
    rows = data.query(
        f"""
        select channel, sum("conversions_{_known(chosen.model)}") as credited,
            sum(claimed_conversions) as claimed_conversions,
            sum(self_reported_conversions) as self_reported_conversions,
            sum(incremental_conversions) as incremental_conversions,
            sum(incremental_ci_low) as incremental_ci_low, sum(incremental_ci_high) as incremental_ci_high
        from {source}
        where conversion_type = ? and period_grain = ? and period_start between ? and ?
            and coalesce(channel = ?, true)
        group by channel
        having coalesce(sum(claimed_conversions), 0) + coalesce(sum(self_reported_conversions), 0)
            + coalesce(abs(sum(incremental_conversions)), 0) > 0
        order by credited desc, channel
        """,
        [chosen.conversion, chosen.period.grain, chosen.period.start, chosen.period.end, chosen.channel],
    )
    with panel(
        "What others say",
        "others",
        rows,
        source=source,
        note="Platforms' claims overlap and are never added to our count; tests and surveys stand beside it."
        + (" All countries." if chosen.country else ""),
        empty="No platform, survey or test says anything about this type of conversion in this period.",
    ) as filled:
        if filled:
            components.table(
                rows,
                [
                    Column("channel", "Channel"),
                    Column("credited", "Credited by us", "number"),
                    Column("claimed_conversions", "Claimed by platforms", "number"),
                    Column("self_reported_conversions", "Named by customers", "number"),
                    Column("incremental_conversions", "Incremental by test", "number"),
                    Column("incremental_ci_low", "from", "number"),
                    Column("incremental_ci_high", "to", "number"),
                ],
                "others",
                source,
            )
