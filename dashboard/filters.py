"""What is chosen: period, channel, country, funnel, model and date basis, kept in the address and shared by
all pages.

The address wins when it changes (a link, the back button), else the session does: moving to another page
empties the address, and the choice is written into it again. Whatever stands in an address is checked against
what there is; the rest falls back to the default.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import streamlit as st

from dashboard import data, formats

ALL = "all"
DEFAULT_PERIOD = "last_3_months"
PREFERRED_MODEL = "linear"
PREFERRED_CONVERSION = "purchase"
PERIODS = {
    "last_4_weeks": "Last 4 weeks",
    "last_month": "Last month",
    "last_3_months": "Last 3 months",
    "last_6_months": "Last 6 months",
    "last_12_months": "Last 12 months",
    "this_quarter": "This quarter to date",
    "last_quarter": "Last quarter",
    "all_time": "All time",
}
CUSTOM = "custom"
LABELS = {
    "period": "Period",
    "channel": "Channel",
    "country": "Country",
    "funnel": "Funnel",
    "conversion": "Conversion",
    "model": "Attribution model",
    "date_basis": "Date basis",
}
DATE_BASES = {"conversion": "Day of the conversion", "touch": "Day of the touch"}
NAMES = tuple(LABELS)
TREND_MONTHS = 12
_STATE, _WRITTEN = "funnelhouse.filters", "funnelhouse.address"


@dataclass(frozen=True)
class Period:
    """Days `start` to `end`, both inclusive, made of whole weeks or whole months (the running one to date).

    `grain` is the period_grain whose rows fill it exactly: `period_start between start and end`.
    `trend_grain` suits a line over it.
    """

    start: dt.date
    end: dt.date
    grain: str
    label: str

    @property
    def days(self) -> int:
        return (self.end - self.start).days + 1

    @property
    def trend_grain(self) -> str:
        return "week" if self.days <= 215 else "month"

    @property
    def previous(self) -> Period:
        """The time before it, as long: as many weeks or months."""
        end = self.start - dt.timedelta(days=1)
        if self.grain == "week":
            start = self.start - dt.timedelta(days=self.days)
        else:
            start = add_months(self.start, -months_between(self.start, self.end))
        return Period(start, end, self.grain, "the period before")

    @property
    def trend(self) -> Period:
        """The months up to its end: a year of them where it is shorter."""
        first = add_months(self.end, 1 - TREND_MONTHS)
        return replace(self, start=min(self.start.replace(day=1), first), grain="month")

    def __str__(self) -> str:
        return f"{formats.date(self.start)} to {formats.date(self.end)}"


@dataclass(frozen=True)
class Filters:
    """The choice. `channel` and `country` are None for all."""

    period: Period
    channel: str | None
    country: str | None
    funnel: str
    conversion: str
    model: str
    date_basis: str


def add_months(day: dt.date, months: int) -> dt.date:
    """The first of the month so many months later."""
    index = day.year * 12 + day.month - 1 + months
    return dt.date(index // 12, index % 12 + 1, 1)


def month_end(day: dt.date) -> dt.date:
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])


def months_between(start: dt.date, end: dt.date) -> int:
    """Months that the days touch."""
    return (end.year - start.year) * 12 + end.month - start.month + 1


def period_of(text: str, today: dt.date, first: dt.date, quarter_start: dt.date) -> Period:
    """The period that a choice or an address means; the default for what is none.

    Args:
        text: a name of PERIODS or `2026-01-01..2026-03-31`, which is widened to whole months.
        today: the day of the run; it is not complete.
        first: the first day with data.
        quarter_start: of today's fiscal quarter.
    """
    month = today.replace(day=1)
    last_day = month - dt.timedelta(days=1)
    first_of_text, dots, last_of_text = text.partition("..")
    if dots:
        try:
            start = dt.date.fromisoformat(first_of_text).replace(day=1)
            end = min(month_end(dt.date.fromisoformat(last_of_text)), max(today, month_end(first)))
        except ValueError:
            return period_of(DEFAULT_PERIOD, today, first, quarter_start)
        start = max(start, first.replace(day=1))
        if start > end:
            return period_of(DEFAULT_PERIOD, today, first, quarter_start)
        return Period(start, end, "month", f"{start:%b %Y} to {end:%b %Y}")
    if text == "last_4_weeks":
        monday = today - dt.timedelta(days=today.weekday())
        return Period(
            monday - dt.timedelta(weeks=4), monday - dt.timedelta(days=1), "week", PERIODS["last_4_weeks"]
        )
    spans = {"last_month": 1, "last_3_months": 3, "last_6_months": 6, "last_12_months": 12}
    if text in spans:
        return Period(add_months(month, -spans[text]), last_day, "month", PERIODS[text])
    if text == "this_quarter":
        return Period(quarter_start, today, "month", PERIODS[text])
    if text == "last_quarter":
        start = add_months(quarter_start, -3)
        return Period(start, quarter_start - dt.timedelta(days=1), "month", PERIODS[text])
    if text == "all_time":
        return Period(min(first.replace(day=1), month), today, "month", PERIODS[text])
    return period_of(DEFAULT_PERIOD, today, first, quarter_start)


def choose(*names: str) -> Filters:
    """Draw the filters that a page obeys into the side bar, keep them in the address, and give the choice."""
    options = choices()
    state = _state(options)
    with st.sidebar:
        if names:
            st.html('<h2 class="fh-side">Filters</h2>')
        for name in names:
            if name == "period":
                _period(state)
            else:
                _select(name, options[name], state[name])
    _write_address(state, names)
    return _filters(state)


def describe(chosen: Filters, names: tuple[str, ...]) -> str:
    """The choice in one line, for the head of a page: the side bar is closed on a telephone."""
    said = {
        "period": f"{chosen.period.label} ({chosen.period})"
        if ".." not in chosen.period.label
        else str(chosen.period),
        "channel": chosen.channel or "all channels",
        "country": chosen.country or "all countries",
        "funnel": f"{formats.words(chosen.funnel)} funnel",
        "conversion": f"conversions of type {formats.words(chosen.conversion)}",
        "model": f"{formats.words(chosen.model)} model",
        "date_basis": f"by {DATE_BASES[chosen.date_basis].lower()}",
    }
    return " · ".join(said[name] for name in names)


def choices() -> dict[str, list[str]]:
    """What can be chosen, from the published file; the first is the default."""
    models = data.query(
        "select substr(column_name, 8) as name from duckdb_columns() where schema_name = 'attribution'"
        " and table_name = 'fct_attribution' and starts_with(column_name, 'credit_') order by column_index"
    ).column("name")
    models.sort(key=lambda name: name != PREFERRED_MODEL)
    channels = data.query("select channel from core.dim_channels order by channel_order, channel")
    countries = data.query(
        "select segment_value from funnel.funnel_stage_conversion where segment = 'country'"
        " group by segment_value order by sum(entered) desc, segment_value"
    )
    funnels = data.query(
        "select funnel from funnel.funnel_stage_conversion group by funnel order by min(stage), funnel"
    ).column("funnel")
    kinds = data.query("select distinct conversion_type from core.fct_conversions").column("conversion_type")
    kinds.sort(key=lambda name: (name != PREFERRED_CONVERSION, name))
    return {
        "period": [DEFAULT_PERIOD, *(name for name in PERIODS if name != DEFAULT_PERIOD)],
        "channel": [ALL, *channels.column("channel")],
        "country": [ALL, *countries.column("segment_value")],
        "funnel": sorted(funnels) or [ALL],
        "conversion": kinds or [PREFERRED_CONVERSION],
        "model": models or [PREFERRED_MODEL],
        "date_basis": list(DATE_BASES),
    }


def _bounds() -> tuple[dt.date, dt.date, dt.date]:
    """Today, the first day with data, the first day of today's fiscal quarter."""
    today = data.settings().today
    first = data.one(
        "select min(first_day) as day from (select min(occurred_on) as first_day from core.fct_touchpoints"
        " union all select min(converted_on) from core.fct_conversions"
        " union all select min(date) from core.fct_ad_performance_daily) as days"
    )["day"]
    quarter = data.one("select fiscal_quarter_start as day from core.dim_dates where date = ?", [today])[
        "day"
    ]
    return today, first or today, quarter or add_months(today, -((today.month - 1) % 3))


def _filters(state: Mapping[str, str]) -> Filters:
    return Filters(
        period=period_of(state["period"], *_bounds()),
        channel=None if state["channel"] == ALL else state["channel"],
        country=None if state["country"] == ALL else state["country"],
        funnel=state["funnel"],
        conversion=state["conversion"],
        model=state["model"],
        date_basis=state["date_basis"],
    )


def _state(options: Mapping[str, list[str]]) -> dict[str, str]:
    """The session's choice, after the address has had its say."""
    address = {name: st.query_params[name] for name in NAMES if name in st.query_params}
    known: dict[str, str] | None = st.session_state.get(_STATE)
    if known is None or (address and address != st.session_state.get(_WRITTEN)):
        known = {name: _checked(name, address.get(name, ""), options) for name in NAMES}
    else:
        known = {name: _checked(name, known.get(name, ""), options) for name in NAMES}
    st.session_state[_STATE] = known
    return known


def _checked(name: str, value: str, options: Mapping[str, list[str]]) -> str:
    if value in options[name] or (name == "period" and _is_span(value)):
        return value
    return options[name][0]


def _is_span(text: str) -> bool:
    first, dots, last = text.partition("..")
    try:
        return bool(dots) and dt.date.fromisoformat(first) <= dt.date.fromisoformat(last)
    except ValueError:
        return False


def _write_address(state: Mapping[str, str], names: tuple[str, ...]) -> None:
    """The page's own filters, of the others what is not the default, and what a page keeps there besides."""
    defaults = {name: values[0] for name, values in choices().items()}
    wanted = {name: state[name] for name in NAMES if name in names or state[name] != defaults[name]}
    st.session_state[_WRITTEN] = wanted
    besides = {name: st.query_params[name] for name in st.query_params if name not in NAMES}
    if {name: st.query_params[name] for name in st.query_params} != {**wanted, **besides}:
        st.query_params.from_dict({**wanted, **besides})


def _key(name: str) -> str:
    return f"filter_{name}"


def _set(name: str) -> Callable[[], None]:
    def changed() -> None:
        st.session_state[_STATE] = {**st.session_state[_STATE], name: st.session_state[_key(name)]}

    return changed


def _select(name: str, options: list[str], value: str) -> None:
    st.session_state[_key(name)] = value
    st.selectbox(LABELS[name], options, key=_key(name), on_change=_set(name), format_func=_named(name))


def _named(name: str) -> Callable[[str], str]:
    def label(value: str) -> str:
        if value == ALL:
            return {"channel": "All channels", "country": "All countries"}.get(name, "All")
        if name == "date_basis":
            return DATE_BASES.get(value, value)
        return formats.words(value) if name in ("funnel", "conversion", "model") else value

    return label


def _period(state: Mapping[str, str]) -> None:
    name = "period"
    is_custom = ".." in state[name]
    st.session_state[_key(name)] = CUSTOM if is_custom else state[name]

    def changed() -> None:
        value = st.session_state[_key(name)]
        if value == CUSTOM:
            value = "{0.start}..{0.end}".format(period_of(state[name], *_bounds()))
        st.session_state[_STATE] = {**st.session_state[_STATE], name: value}

    st.selectbox(
        LABELS[name],
        [*PERIODS, CUSTOM],
        key=_key(name),
        on_change=changed,
        format_func=lambda value: PERIODS.get(value, "From month to month …"),
    )
    if is_custom:
        _months(name, state)


def _months(name: str, state: Mapping[str, str]) -> None:
    """From which month to which."""
    today, first, quarter = _bounds()
    months = [add_months(first, number) for number in range(months_between(first, today))]
    period = period_of(state[name], today, first, quarter)
    st.session_state["filter_from"] = period.start.replace(day=1)
    st.session_state["filter_to"] = period.end.replace(day=1)

    def changed() -> None:
        start, end = sorted((st.session_state["filter_from"], st.session_state["filter_to"]))
        st.session_state[_STATE] = {**st.session_state[_STATE], name: f"{start}..{month_end(end)}"}

    def label(day: dt.date) -> str:
        return f"{day:%b %Y}"

    st.selectbox("From", months, key="filter_from", on_change=changed, format_func=label)
    st.selectbox("To", months, key="filter_to", on_change=changed, format_func=label)
