"""What comes out of the office: costs, budgets, quotas, rates, offline touches, consent, surveys, tests.

What belongs here: everything that no vendor's API carries and that arrives as files, or that the company
plans.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sandbox.company import advertising, facts, mailing, names, web
from sandbox.company.crm import COMPANY, CONTACT, object_ids
from sandbox.company.frames import (
    DAY,
    HOUR,
    MINUTE,
    Ints,
    codes,
    days,
    group_first,
    mix,
    moments,
    numbers,
    only,
    pick,
    stream,
    table,
    text,
    uniform,
    weighted,
)
from sandbox.company.journeys import Outcome, behave
from sandbox.company.people import World, microseconds
from sandbox.company.sales import Book
from sandbox.company.shop import Orders

TESTED_CHANNELS = ("Paid Search", "Paid Social", "Cross-network", "Email")
OFFLINE_TYPES = ("event", "webinar", "direct_mail", "partner_referral")
EVENT_NAMES = ("Light Expo Amsterdam", "Stockholm Design Fair", "NY Interiors Show")
NPS_ORDER_SHARE, HEARD_ORDER_SHARE, NPS_CUSTOMER_SHARE, HEARD_SIGN_UP_SHARE = 0.10, 0.12, 0.5, 0.25
CSAT_ORDER_SHARE, NPS_USER_SHARE = 0.07, 0.06
SURVEYS = ("nps", "how_did_you_hear", "csat")
_ANSWERS = {
    "Paid Search": "Google",
    "Cross-network": "Google",
    "Display": "an ad somewhere",
    "Paid Video": "YouTube",
    "Paid Social": "instagram",
    "Organic Search": "Google",
    "Organic Social": "Instagram",
    "Referral": "a friend",
    "AI Assistant": "ChatGPT",
    "Email": "newsletter",
    "Affiliates": "coupon site",
    "Direct": "don't remember",
    "Event": "trade fair",
    "Webinar": "webinar",
    "Direct Mail": "letter",
    "Partner": "our contractor",
    "Outbound Sales": "you called me",
}


def months(first: date, last: date) -> list[tuple[date, date]]:
    """First and last day of each month that touches the period."""
    result = []
    day = first.replace(day=1)
    while day <= last:
        following = (day + timedelta(days=32)).replace(day=1)
        result.append((day, following - timedelta(days=1)))
        day = following
    return result


def size_factor(world: World) -> float:
    """Visitors a day relative to the medium scale: what the plans are scaled with."""
    size, medium = facts.SCALES[world.scale], facts.SCALES["medium"]
    per_day = size.visitors / ((size.last_day - size.first_day).days + 1)
    return per_day / (medium.visitors / ((medium.last_day - medium.first_day).days + 1))


def tables(
    world: World, outcome: Outcome, book: Book, orders: Orders, performance: pa.Table, passing: pa.Array
) -> dict[str, pa.Table]:
    """All of it. `passing`: client id of everybody's first session where consent was refused, else null."""
    return {
        "costs": _costs(world, performance),
        "offline_touches": _offline_touches(world, outcome, book),
        "consent_events": _consent(world, passing),
        "survey_responses": _surveys(world, outcome, book, orders),
        "incrementality_tests": _tests(world, outcome),
        "fx_rates": _rates(world),
        "plan_quotas": _quotas(world),
        "plan_budgets": _budgets(world, performance),
    }


def _days(values: list[date]) -> Ints:
    return np.array([(value - date(1970, 1, 1)).days for value in values], dtype=np.int64)


def _spend(world: World, performance: pa.Table) -> tuple[list[tuple[date, date]], np.ndarray]:
    """Media spend in EUR by paid channel and month."""
    size = facts.SCALES[world.scale]
    periods = months(size.first_day, size.last_day)
    starts = _days([first for first, _ in periods])
    day = performance["date"].cast(pa.int32()).to_numpy()
    month = np.searchsorted(starts, day, side="right") - 1
    catalogue = advertising.catalogue()
    channel_of_plan = np.array([facts.CHANNEL[plan.channel] for plan in facts.CAMPAIGN_PLANS])
    campaign = catalogue.campaign_id.to_pylist()
    channel_by_campaign = {
        name: int(code) for name, code in zip(campaign, channel_of_plan[catalogue.plan], strict=True)
    }
    encoded = performance["campaign_id"].combine_chunks().dictionary_encode()
    of_code = np.array([channel_by_campaign[name] for name in encoded.dictionary.to_pylist()])
    channel = of_code[encoded.indices.to_numpy()]
    currency = performance["currency"].combine_chunks().dictionary_encode()
    per_eur = dict(zip(facts.CURRENCIES, facts.CURRENCY_PER_EUR, strict=True))
    rate = np.array([per_eur[name] for name in currency.dictionary.to_pylist()])[currency.indices.to_numpy()]
    eur = performance["spend_minor"].to_numpy() / rate / 100
    total = np.zeros((facts.PAID_CHANNELS, len(periods)))
    np.add.at(total, (channel, month), eur)
    return periods, total


def _costs(world: World, performance: pa.Table) -> pa.Table:
    """Agency fees by channel, tools, salaries and events, a month at a time."""
    periods, spend = _spend(world, performance)
    factor = size_factor(world)
    rows: list[tuple[date, date, str, float, str, str | None, str | None, str]] = []
    for number, (first, last) in enumerate(periods):
        for channel in range(facts.PAID_CHANNELS):
            name = facts.CHANNELS[channel]
            rows.append(
                (
                    first,
                    last,
                    "agency",
                    spend[channel, number] * facts.AGENCY_SHARE + 120 * factor,
                    "EUR",
                    name,
                    None,
                    f"Agency fee {name}",
                )
            )
        rows.append((first, last, "tools", 1450 * factor, "EUR", None, None, "CRM, analytics, web shop"))
        rows.append((first, last, "tools", 390 * factor, "USD", "Email", None, "E-mail tool"))
        rows.append((first, last, "salaries", 8200 * factor, "EUR", None, None, "Marketing"))
        rows.append(
            (first, last, "salaries", 31000 * factor, "SEK", "Outbound Sales", None, "Sales development")
        )
        rows.append((first, last, "salaries", 2600 * factor, "EUR", "Organic Search", None, "Content"))
        market = number % 3
        amount = 2400 * factor * facts.CURRENCY_PER_EUR[market]
        rows.append(
            (
                first,
                last,
                "events",
                amount,
                facts.CURRENCIES[market],
                "Event",
                f"event-{facts.MARKETS[market].lower()}-{first:%Y-%m}",
                EVENT_NAMES[market],
            )
        )
        rows.append(
            (first, last, "events", 350 * factor, "EUR", "Webinar", f"webinar-{first:%Y-%m}", "Webinar")
        )
        rows.append(
            (
                first,
                last,
                "events",
                420 * factor,
                "EUR",
                "Direct Mail",
                f"mail-{first:%Y-%m}",
                "Print and post",
            )
        )
    booked = [microseconds(row[1] + timedelta(days=1)) + 9 * HOUR for row in rows]
    # Tools and salaries are known beforehand.
    booked = [
        microseconds(row[0]) + 9 * HOUR if row[2] in ("tools", "salaries") else at
        for row, at in zip(rows, booked, strict=True)
    ]
    return table(
        "costs",
        cost_id=text("cost-", numbers(np.arange(len(rows)) + 1)),
        period_start=days(_days([row[0] for row in rows])),
        period_end=days(_days([row[1] for row in rows])),
        cost_type=pa.array([row[2] for row in rows]),
        amount_minor=np.array([round(row[3] * 100) for row in rows], dtype=np.int64),
        currency=pa.array([row[4] for row in rows]),
        channel=pa.array([row[5] for row in rows], type=pa.string()),
        campaign_id=pa.array([row[6] for row in rows], type=pa.string()),
        description=pa.array([row[7] for row in rows]),
        visible_at=moments(np.array(booked, dtype=np.int64)),
    )


def _offline_touches(world: World, outcome: Outcome, book: Book) -> pa.Table:
    """Events, webinars, mailings and referrals of the window."""
    touches = world.touches
    code = touches.channel - facts.CHANNEL["Event"]
    rows = np.flatnonzero(
        outcome.active & (code >= 0) & (code < len(OFFLINE_TYPES)) & (touches.at >= world.start)
    )
    rows = rows[np.lexsort((touches.number[rows], touches.at[rows]))]
    person, number, at, what = touches.person[rows], touches.number[rows], touches.at[rows], code[rows]
    market, company = world.market[person], world.company[person]
    month = pc.utf8_slice_codeunits(days(at // DAY).cast(pa.string()), 0, 7)
    place = pick([m.lower() for m in facts.MARKETS], market)
    ids = [
        text("event-", place, "-", month),
        text("webinar-", month),
        text("mail-", month),
        text("partner-", numbers(number % 5)),
    ]
    labels = [
        text(pick(EVENT_NAMES, market), " ", month),
        text("Webinar: plan light in an hour ", month),
        text("Letter to architects ", month),
        pick(["Partner referral"], np.zeros(len(rows), int)),
    ]
    u = uniform(number, 901)
    converted = outcome.first_touch[person] == rows
    came = np.where((u < 0.72) | converted, 0, np.where(u < 0.9, 2, 1))
    status = np.select([what <= 1, what == 2], [came, 3], 4)
    contact = book.contact_number_of_person[person]
    known = (contact >= 0) & (uniform(number, 902) < 0.7)
    has_mail = (uniform(number, 903) < 0.85) | ~known
    return table(
        "offline_touches",
        touch_id=text("T", codes(number, 904, 12, hexadecimal=True)),
        occurred_at=moments(at),
        visible_at=moments(at + 6 * HOUR + (uniform(number, 905) * 3 * DAY).astype(np.int64)),
        touch_type=pick(OFFLINE_TYPES, what),
        contact_id=only(object_ids(world, CONTACT, person), known),
        email=only(names.typed(names.emails(world, person), number), has_mail),
        company_id=only(object_ids(world, COMPANY, np.maximum(company, 0)), known & (company >= 0)),
        campaign_id=_choose(ids, what),
        campaign_name=_choose(labels, what),
        status=pick(["attended", "registered", "no_show", "sent", "referred"], status),
        country=pick(facts.MARKETS, market),
    )


def _choose(choices: list[pa.Array], which: Ints) -> pa.Array:
    """Row by row from one of several columns."""
    n = len(which)
    return pa.concat_arrays(choices).take(pa.array(which * n + np.arange(n)))


def _consent(world: World, passing: pa.Array) -> pa.Table:
    """Answers to the banner, withdrawals, and consent to marketing mail."""
    analytics, ads = web.consent_of(world)
    opening = group_first(world.touches.person)
    person = world.touches.person[opening]
    asked = world.touches.at[opening] + 8_000_000
    visit = world.touches.channel[opening] < facts.FIRST_OFFLINE
    answered = visit & (analytics[person] < 2) & (asked >= world.start)
    person, asked = person[answered], asked[answered]
    on_second = web.touch_devices(world)[1][opening[answered]]
    cookie = pc.coalesce(passing.take(pa.array(person)), web.client_ids(world, person, on_second))
    withdrawn = web.withdrawn_at(world)[person]
    members = np.flatnonzero((world.member_from < world.end) & (world.member_from >= world.start))
    left = world.member_from[members] + world.unsubscribe_after[members]
    mail = names.emails(world, members)
    w = np.flatnonzero(withdrawn < world.end)
    blocks: list[tuple[Ints, Ints, int, pa.Array, int, Ints, int]] = [
        (person, asked, 0, cookie, 0, analytics[person], 1),
        (person, asked, 0, cookie, 1, ads[person], 2),
        (person[w], withdrawn[w], 0, cookie.take(pa.array(w)), 0, np.full(len(w), 2), 3),
        (members, world.member_from[members], 1, mail, 2, np.zeros(len(members), dtype=np.int64), 4),
        (members, left, 1, mail, 2, np.full(len(members), 2), 5),
    ]
    number = np.concatenate([b[0] * 8 + b[6] for b in blocks])
    at = np.concatenate([b[1] for b in blocks])
    kind = np.concatenate([np.full(len(b[0]), b[2]) for b in blocks])
    identifier = pa.concat_arrays([b[3] for b in blocks])
    purpose = np.concatenate([np.full(len(b[0]), b[4]) for b in blocks])
    state = np.concatenate([b[5] for b in blocks])
    told = mailing.audience(world, np.concatenate([b[0] for b in blocks]))
    order = np.lexsort((number, at))
    order = order[at[order] < world.end]
    return table(
        "consent_events",
        consent_event_id=text("ce_", codes(number, 910, 14, hexadecimal=True)).take(pa.array(order)),
        occurred_at=moments(at[order]),
        visible_at=moments(at[order] + HOUR),
        identifier_type=pick(["cookie", "email"], kind[order]),
        identifier=identifier.take(pa.array(order)),
        purpose=pick(["analytics", "ads", "marketing_email"], purpose[order]),
        state=pick(["granted", "denied", "withdrawn"], state[order]),
        mailer=pick(mailing.MAILERS, told[order], purpose[order] == 2),
    )


def _surveys(world: World, outcome: Outcome, book: Book, orders: Orders) -> pa.Table:
    """Promoter scores, 'how did you hear about us' and satisfaction, of buyers, users and customers."""
    deals = book.deals
    won = deals.kept & deals.won & (deals.closed_at < world.end)
    users = np.flatnonzero((world.kind == facts.SAAS) & (outcome.first_at < world.end))
    payers = np.flatnonzero(outcome.paid_at < world.end)
    blocks = (
        (orders.person, orders.at + 14 * DAY, orders.touch, NPS_ORDER_SHARE, 0),
        (orders.person, orders.at + 5 * MINUTE, orders.touch, HEARD_ORDER_SHARE, 1),
        (users, outcome.first_at[users] + DAY, users, HEARD_SIGN_UP_SHARE, 1),
        (payers, outcome.paid_at[payers] + 30 * DAY, payers, NPS_CUSTOMER_SHARE, 0),
        (deals.person[won], deals.closed_at[won] + 45 * DAY, deals.number[won], 0.7, 0),
        (orders.person, orders.at + 9 * DAY, orders.touch, CSAT_ORDER_SHARE, 2),
        (users, outcome.first_at[users] + 21 * DAY, users, NPS_USER_SHARE, 0),
    )
    person = np.concatenate([b[0] for b in blocks])
    at = np.concatenate([b[1] for b in blocks])
    key = np.concatenate([b[2] * 8 + n + (1 << 30) for n, b in enumerate(blocks)])
    share = np.concatenate([np.full(len(b[0]), b[3]) for b in blocks])
    survey = np.concatenate([np.full(len(b[0]), b[4]) for b in blocks])
    rows = np.flatnonzero((uniform(key, 920) < share) & (at >= world.start) & (at < world.end))
    rows = rows[np.lexsort((key[rows], at[rows]))]
    person, at, key, survey = person[rows], at[rows], key[rows], survey[rows]
    heard = survey == 1
    score = np.array([10, 9, 8, 7, 6, 5, 3, 1, 0])[
        weighted(uniform(key, 921), (24, 22, 18, 14, 8, 5, 4, 3, 2))
    ]
    stars = 1 + weighted(uniform(key, 921), (4, 5, 12, 34, 45))
    score = np.where(survey == 2, stars, score)
    opening = group_first(world.touches.person)
    first_channel = np.full(world.people, facts.CHANNEL["Direct"])
    first_channel[world.touches.person[opening]] = world.touches.channel[opening]
    # Two in three remember the first touch.
    said = np.where(
        uniform(key, 922) < 0.66, first_channel[person], (mix(key, 923) % np.uint64(17)).astype(np.int64)
    )
    answer = pick([_ANSWERS[name] for name in facts.CHANNELS], said)
    remark = pick(
        ["Great light!", "Delivery took long 😕", "ok"],
        (mix(key, 924) % np.uint64(3)).astype(np.int64),
        uniform(key, 925) < 0.25,
    )
    contact = book.contact_number_of_person[person]
    return table(
        "survey_responses",
        response_id=text("sv_", codes(key, 926, 12, hexadecimal=True)),
        occurred_at=moments(at),
        visible_at=moments(at + 2 * HOUR),
        email=names.typed(names.emails(world, person), key),
        contact_id=only(object_ids(world, CONTACT, person), contact >= 0),
        survey=pick(SURVEYS, survey),
        score=pa.array(score.astype(np.float64), mask=heard),
        answer=pc.if_else(pa.array(heard), answer, remark),
    )


def _tests(world: World, outcome: Outcome) -> pa.Table:
    """One past test per big channel: the truth of its days, measured with noise."""
    rng = stream(world.seed, "tests")
    size = facts.SCALES[world.scale]
    length = (size.last_day - size.first_day).days + 1
    rows = []
    base = outcome.moments(world)["purchase"]
    for number, channel in enumerate(TESTED_CHANNELS):
        first = size.first_day + timedelta(days=int(length * (0.30 + 0.1 * number)))
        last = first + timedelta(days=max(int(length * 0.12), 13))
        low, high = microseconds(first), microseconds(last + timedelta(days=1))
        off = behave(world, channel).moments(world)["purchase"]
        truth = int(((base >= low) & (base < high)).sum()) - int(((off >= low) & (off < high)).sum())
        error = max(1.0, 0.25 * truth)
        estimate = round(truth + float(rng.normal(0, error)), 1)
        rows.append(
            (
                f"test-{number + 1}",
                channel,
                first,
                last,
                estimate,
                round(estimate - 1.96 * error, 1),
                round(estimate + 1.96 * error, 1),
            )
        )
    return table(
        "incrementality_tests",
        test_id=pa.array([r[0] for r in rows]),
        channel=pa.array([r[1] for r in rows]),
        conversion_type="purchase",
        date_from=days(_days([r[2] for r in rows])),
        date_to=days(_days([r[3] for r in rows])),
        method=pa.array(["geo_holdout", "conversion_lift", "geo_holdout", "switch_off"]),
        incremental_conversions=pa.array([r[4] for r in rows]),
        ci_low=pa.array([r[5] for r in rows]),
        ci_high=pa.array([r[6] for r in rows]),
        visible_at=moments(np.array([microseconds(r[3] + timedelta(days=8)) for r in rows], dtype=np.int64)),
    )


def _rates(world: World) -> pa.Table:
    """Reference rates of business days: EUR to SEK and USD, and back."""
    rng = stream(world.seed, "rates")
    day = np.arange(world.dawn // DAY - 10, world.end // DAY)
    day = day[(day + 3) % 7 < 5]
    columns = []
    for currency in (1, 2):
        steps = rng.normal(0, 0.003, len(day))
        level = np.zeros(len(day))
        drift = 0.0
        for number, step in enumerate(steps):  # a few hundred business days
            drift = 0.985 * drift + step
            level[number] = drift
        rate = np.round(facts.CURRENCY_PER_EUR[currency] * np.exp(level), 4)
        columns.append((currency, rate))
    date_, source, target, rate_ = [], [], [], []
    for currency, rate in columns:
        for origin, goal, values in ((0, currency, rate), (currency, 0, np.round(1 / rate, 8))):
            date_.append(day)
            source.append(np.full(len(day), origin))
            target.append(np.full(len(day), goal))
            rate_.append(values)
    every_day, every_source = np.concatenate(date_), np.concatenate(source)
    every_target, every_rate = np.concatenate(target), np.concatenate(rate_)
    order = np.lexsort((every_target, every_source, every_day))
    return table(
        "fx_rates",
        date=days(every_day[order]),
        currency_from=pick(facts.CURRENCIES, every_source[order]),
        currency_to=pick(facts.CURRENCIES, every_target[order]),
        rate=every_rate[order],
        visible_at=moments(every_day[order] * DAY + 14 * HOUR + 15 * MINUTE),
    )


def _quotas(world: World) -> pa.Table:
    """Bookings a month, by owner and by team."""
    size = facts.SCALES[world.scale]
    factor = size_factor(world)
    rows: list[tuple[str, str, date, date, int, int]] = []
    for first, last in months(size.first_day, size.last_day + timedelta(days=facts.PLANNED_AHEAD_DAYS)):
        for team, market in (("Sales NL", 0), ("Sales SE", 1), ("Sales US", 2)):
            people = [row for row in facts.OWNERS if row[4] == team and not row[7]]
            amount = round(facts.MONTHLY_QUOTA_EUR * factor * facts.CURRENCY_PER_EUR[market] / 100) * 100
            rows.extend(("owner", row[0], first, last, amount, market) for row in people)
            rows.append(("team", team, first, last, amount * len(people), market))
    return table(
        "plan_quotas",
        holder_type=pa.array([r[0] for r in rows]),
        holder_id=pa.array([r[1] for r in rows]),
        period_start=days(_days([r[2] for r in rows])),
        period_end=days(_days([r[3] for r in rows])),
        metric="bookings",
        amount_minor=np.array([r[4] * 100 for r in rows], dtype=np.int64),
        currency=pick(facts.CURRENCIES, np.array([r[5] for r in rows])),
    )


def _budgets(world: World, performance: pa.Table) -> pa.Table:
    """Planned media spend by paid channel and month: near what was spent, as plans go; then as last month."""
    periods, spend = _spend(world, performance)
    rng = stream(world.seed, "budgets")
    factor = 0.9 + 0.25 * rng.random(spend.shape)
    planned = np.maximum(np.round(spend * factor / 50) * 50, 50)
    size = facts.SCALES[world.scale]
    ahead = size.last_day + timedelta(days=facts.PLANNED_AHEAD_DAYS)
    coming = [period for period in months(size.first_day, ahead) if period not in periods]
    planned = np.hstack([planned, np.repeat(planned[:, -1:], len(coming), axis=1)])
    periods = [*periods, *coming]
    channel, month = (
        grid.ravel()
        for grid in np.meshgrid(np.arange(facts.PAID_CHANNELS), np.arange(len(periods)), indexing="ij")
    )
    return table(
        "plan_budgets",
        channel=pick(facts.CHANNELS, channel),
        period_start=days(_days([periods[i][0] for i in month])),
        period_end=days(_days([periods[i][1] for i in month])),
        amount_minor=(planned.ravel() * 100).astype(np.int64),
        currency="EUR",
    )
