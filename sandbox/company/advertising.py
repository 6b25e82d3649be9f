"""Campaigns, ads and clicks: which ad a paid touch came through, and what the platforms report.

What belongs here: everything about advertising platforms except how they restate their figures
(restatement.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sandbox.company import facts
from sandbox.company.frames import (
    DAY,
    HOUR,
    Bools,
    Floats,
    Ints,
    codes,
    days,
    moments,
    numbers,
    pick,
    stream,
    table,
    text,
    uniform,
    weighted,
)
from sandbox.company.journeys import Outcome
from sandbox.company.people import World

DEVICES = ("MOBILE", "DESKTOP", "TABLET")
PLATFORMS = ("google_ads", "meta", "linkedin")
CLICK_ID_TYPES = ("gclid", "gbraid", "wbraid", "fbclid", "li_fat_id")
NETWORKS = ("SEARCH", "SEARCH_PARTNERS", "CONTENT", "YOUTUBE", "MIXED", "facebook", "instagram", None)
LANDING_URLS = {
    "home": "https://www.fjordlight.example/",
    "shop": "https://shop.fjordlight.example/",
    "studio": "https://www.fjordlight.example/studio",
    "business": "https://www.fjordlight.example/business",
}
KEYWORDS = (
    "fjordlight",
    "desk lamp",
    "pendant lamp scandinavian",
    "lighting design software",
    "project lighting",
    "office lighting supplier",
)


@dataclass(frozen=True)
class Catalogue:
    """Every ad of every campaign and market as one flat list; Performance Max has one entry without an ad."""

    plan: Ints  # position in CAMPAIGN_PLANS
    market: Ints
    group: Ints  # -1 for none
    ad: Ints  # -1 for none
    campaign_id: pa.Array
    group_id: pa.Array
    ad_id: pa.Array
    ad_name: pa.Array
    account: Ints  # position in the list of accounts


ACCOUNTS = (*facts.GOOGLE_ACCOUNTS, facts.META_ACCOUNT, facts.LINKEDIN_ACCOUNT)
_META, _LINKEDIN = 3, 4


def catalogue() -> Catalogue:
    """All ads, in a lasting order."""
    rows = []
    for plan_number, plan in enumerate(facts.CAMPAIGN_PLANS):
        for market in range(3):
            if not plan.groups:
                rows.append((plan_number, market, -1, -1))
            for group, (_, count) in enumerate(plan.groups):
                rows.extend((plan_number, market, group, ad) for ad in range(count))
    plan_, market_, group_, ad_ = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    platform = np.array([PLATFORMS.index(plan.platform) for plan in facts.CAMPAIGN_PLANS])[plan_]
    lengths = np.array([20_000_000_000, 120_200_000_000_000_000, 600_000_000])[platform]
    campaign = lengths + 1_000 * (plan_ + 1) + 10 * market_
    group_id = lengths * 7 // 2 + 10_000 * (plan_ + 1) + 100 * market_ + group_
    ad_id = lengths * 33 // 2 + 100_000 * (plan_ + 1) + 1_000 * market_ + 10 * group_ + ad_
    has_ad = group_ >= 0
    slug = pick([plan.utm for plan in facts.CAMPAIGN_PLANS], plan_)
    return Catalogue(
        plan_,
        market_,
        group_,
        ad_,
        numbers(campaign),
        pick(numbers(group_id), np.arange(len(plan_)), has_ad),
        pick(numbers(ad_id), np.arange(len(plan_)), has_ad),
        text(slug, "_", pick(["g1", "g2"], np.maximum(group_, 0)), "_", pick(["a", "b"], np.maximum(ad_, 0))),
        np.where(platform == 0, market_, np.where(platform == 1, _META, _LINKEDIN)),
    )


def _network(plan: Ints, u: Floats) -> Ints:
    """The network on which an ad of a plan was shown: position in NETWORKS."""
    kinds = [plan.campaign_type for plan in facts.CAMPAIGN_PLANS]
    platforms = [plan.platform for plan in facts.CAMPAIGN_PLANS]
    fixed = {"PERFORMANCE_MAX": 4, "DISPLAY": 2, "VIDEO": 3}
    base = np.array(
        [fixed.get(kind, 5 if p == "meta" else 7) for kind, p in zip(kinds, platforms, strict=True)]
    )
    search = np.array([kind == "SEARCH" for kind in kinds])
    meta = np.array([p == "meta" for p in platforms])
    network = base[plan]
    network = np.where(search[plan], np.where(u < 0.9, 0, 1), network)
    return np.where(meta[plan] & (u > 0.55), 6, network)


@dataclass(frozen=True)
class Clicks:
    """For every touch the ad that it came through; -1 and null for touches that are no ad click."""

    entry: Ints  # position in the catalogue
    network: Ints
    id_type: Ints  # position in CLICK_ID_TYPES
    click_id: pa.Array


def assign(world: World, ads: Catalogue) -> Clicks:
    """Choose the ad of each paid touch: by channel, interest and market."""
    touches = world.touches
    kind, market = world.kind[touches.person], world.market[touches.person]
    entry = np.full(len(touches.person), -1, dtype=np.int64)
    u = uniform(touches.number, 21)
    plan_channel = np.array([facts.CHANNEL[plan.channel] for plan in facts.CAMPAIGN_PLANS])
    plan_weights = np.array([plan.weights for plan in facts.CAMPAIGN_PLANS])
    ads_of_plan = np.bincount(ads.plan, minlength=len(plan_channel)) / 3
    for channel in range(facts.PAID_CHANNELS):
        for code in range(3):
            for place in range(3):
                entries = np.flatnonzero((plan_channel[ads.plan] == channel) & (ads.market == place))
                weights = (plan_weights[:, code] / ads_of_plan)[ads.plan[entries]]
                chosen = (touches.channel == channel) & (kind == code) & (market == place)
                entry[chosen] = entries[weighted(u[chosen], weights)]
    clicked = entry >= 0
    plan = ads.plan[np.maximum(entry, 0)]
    network = np.where(clicked, _network(plan, uniform(touches.number, 22)), 7)
    platform = np.array([PLATFORMS.index(p.platform) for p in facts.CAMPAIGN_PLANS])[plan]
    google_type = weighted(uniform(touches.number, 23), (0.9, 0.05, 0.05))
    id_type = np.where(~clicked, -1, np.where(platform == 0, google_type, platform + 2))
    return Clicks(entry, network, id_type, click_ids(touches.number, id_type))


def click_ids(number: Ints, id_type: Ints) -> pa.Array:
    """Click ids as the platforms write them; null where the type is -1."""
    prefix = pick(["CjwKCAjw", "0AAAAA", "CkAKCQjw", "IwAR", "li-"], np.maximum(id_type, 0), id_type >= 0)
    return text(prefix, codes(number, 24, 20))


def tables(
    world: World, outcome: Outcome, ads: Catalogue, clicks: Clicks, device: Ints
) -> dict[str, pa.Table]:
    """The tables of advertising. `device` is each touch's position in DEVICES."""
    result = _structure(world, ads)
    touches = world.touches
    tracked = np.flatnonzero((clicks.entry >= 0) & outcome.active & (touches.at >= world.start - DAY))
    # Clicks that never became a visit: copies of tracked ones, some minutes before or after.
    extra = tracked[uniform(touches.number[tracked], 25) < facts.UNTRACKED_CLICK_SHARE]
    rows = np.r_[tracked, extra]
    is_extra = np.r_[np.zeros(len(tracked), dtype=bool), np.ones(len(extra), dtype=bool)]
    number = touches.number[rows] + np.where(is_extra, 1 << 50, 0)
    shift = (uniform(number, 26) * 12 * HOUR).astype(np.int64)
    at = np.where(is_extra, touches.at[rows] + shift, touches.at[rows] - 2_000_000)
    entry, places = clicks.entry[rows], device[rows]
    id_type = clicks.id_type[rows]
    visible = at + 3 * HOUR + (uniform(number, 27) * 3 * HOUR).astype(np.int64)
    in_window = at >= world.start
    listed = np.flatnonzero(in_window)
    listed = listed[np.argsort(at[listed], kind="stable")]
    platform = np.array([PLATFORMS.index(p.platform) for p in facts.CAMPAIGN_PLANS])[ads.plan]
    is_search = np.array([p.campaign_type == "SEARCH" for p in facts.CAMPAIGN_PLANS])[ads.plan]
    e = entry[listed]
    keyword = np.array([0, 1, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0])[ads.plan[e]] + (ads.group[e] == 1)
    result["ad_clicks"] = table(
        "ad_clicks",
        click_id=click_ids(number, id_type).take(pa.array(listed)),
        click_id_type=pick(CLICK_ID_TYPES, id_type[listed]),
        platform=pick(PLATFORMS, platform[e]),
        clicked_at=moments(at[listed]),
        visible_at=moments(visible[listed]),
        account_id=pick([account[0] for account in ACCOUNTS], ads.account[e]),
        campaign_id=ads.campaign_id.take(pa.array(e)),
        ad_group_id=ads.group_id.take(pa.array(e)),
        ad_id=ads.ad_id.take(pa.array(e)),
        network_type=pick(NETWORKS, clicks.network[rows][listed]),
        country=pick(facts.MARKETS, ads.market[e]),
        device=pick(DEVICES, places[listed]),
        keyword=pick(KEYWORDS, keyword, is_search[e]),
    )
    network = clicks.network[rows]
    claims, values = _claims(world, outcome, ads, clicks)
    result["ad_performance"] = _performance(
        world,
        ads,
        at,
        entry,
        network,
        places,
        np.r_[claims[tracked], np.zeros(len(extra))],
        np.r_[values[tracked], np.zeros(len(extra))],
    )
    return result


def _structure(world: World, ads: Catalogue) -> dict[str, pa.Table]:
    """Accounts, campaigns, ad groups and ads."""
    plans = facts.CAMPAIGN_PLANS
    platform_of_account = [0, 0, 0, 1, 2]
    accounts = table(
        "ad_accounts",
        platform=pick(PLATFORMS, np.array(platform_of_account)),
        account_id=pa.array([a[0] for a in ACCOUNTS]),
        account_name=pa.array([a[1] for a in ACCOUNTS]),
        currency=pa.array([a[2] for a in ACCOUNTS]),
        time_zone=pa.array([a[3] for a in ACCOUNTS]),
    )
    platform = np.array([PLATFORMS.index(p.platform) for p in plans])
    first = np.flatnonzero((np.maximum(ads.group, 0) == 0) & (np.maximum(ads.ad, 0) == 0))
    plan, market, account = ads.plan[first], ads.market[first], ads.account[first]
    size = facts.SCALES[world.scale]
    budget = np.array([p.cpc_eur for p in plans])[plan] * 60 * size.visitors / 60_000
    budget *= np.array([facts.CURRENCY_PER_EUR[facts.CURRENCIES.index(ACCOUNTS[a][2])] for a in account])
    # One campaign of the past: the winter video of the United States was stopped halfway.
    stopped = (plan == _plan("video_winter_light")) & (market == 2)
    halfway = size.first_day + (size.last_day - size.first_day) // 2
    end_dates = np.full(len(first), (halfway - timedelta(days=1) - _EPOCH).days)
    campaigns = table(
        "ad_campaigns",
        platform=pick(PLATFORMS, platform[plan]),
        account_id=pick([a[0] for a in ACCOUNTS], account),
        campaign_id=ads.campaign_id.take(pa.array(first)),
        campaign_name=text(pick(facts.MARKETS, market), " | ", pick([p.name for p in plans], plan)),
        campaign_type=pick([p.campaign_type for p in plans], plan),
        objective=pick([p.objective for p in plans], plan),
        channel=pick([p.channel for p in plans], plan),
        country=pick(facts.MARKETS, market),
        status=pick(["ENABLED", "PAUSED"], stopped),
        start_date=days(np.full(len(first), (size.first_day - _EPOCH).days - 30)),
        end_date=days(end_dates, stopped),
        daily_budget_minor=np.maximum(budget * 100, 500).astype(np.int64),
        utm_campaign=text(pick([p.utm for p in plans], plan), "_", pick(["nl", "se", "us"], market)),
    )
    with_group = np.flatnonzero((ads.group >= 0) & (ads.ad == 0))
    with_ad = np.flatnonzero(ads.ad >= 0)
    flat_groups = [name for p in plans for name, _ in p.groups]
    group_base = np.cumsum([0] + [len(p.groups) for p in plans])[:-1]
    type_of_ad = {"SEARCH": "RESPONSIVE_SEARCH_AD", "DISPLAY": "RESPONSIVE_DISPLAY_AD", "VIDEO": "VIDEO_AD"}
    landing = pick([LANDING_URLS[p.landing] for p in plans], ads.plan[with_ad])
    groups = table(
        "ad_groups",
        platform=pick(PLATFORMS, platform[ads.plan[with_group]]),
        account_id=pick([a[0] for a in ACCOUNTS], ads.account[with_group]),
        campaign_id=ads.campaign_id.take(pa.array(with_group)),
        ad_group_id=ads.group_id.take(pa.array(with_group)),
        ad_group_name=pick(flat_groups, group_base[ads.plan[with_group]] + ads.group[with_group]),
        status="ENABLED",
    )
    sources = pick([UTM_OF_PLAN[i][0] for i in range(len(plans))], ads.plan[with_ad])
    mediums = pick([UTM_OF_PLAN[i][1] for i in range(len(plans))], ads.plan[with_ad])
    ad_table = table(
        "ads",
        platform=pick(PLATFORMS, platform[ads.plan[with_ad]]),
        account_id=pick([a[0] for a in ACCOUNTS], ads.account[with_ad]),
        campaign_id=ads.campaign_id.take(pa.array(with_ad)),
        ad_group_id=ads.group_id.take(pa.array(with_ad)),
        ad_id=ads.ad_id.take(pa.array(with_ad)),
        ad_name=ads.ad_name.take(pa.array(with_ad)),
        ad_type=pick(
            [
                type_of_ad.get(p.campaign_type, "VIDEO" if p.utm == "meta_lamps_prospecting" else "IMAGE")
                for p in plans
            ],
            ads.plan[with_ad],
        ),
        final_url=text(
            landing,
            "?utm_source=",
            sources,
            "&utm_medium=",
            mediums,
            "&utm_campaign=",
            campaign_tag(ads, with_ad),
            "&utm_content=",
            ads.ad_name.take(pa.array(with_ad)),
        ),
        status="ENABLED",
    )
    return {"ad_accounts": accounts, "ad_campaigns": campaigns, "ad_groups": groups, "ads": ad_table}


_EPOCH = np.datetime64("1970-01-01").astype(object)


def _plan(utm: str) -> int:
    return next(number for number, plan in enumerate(facts.CAMPAIGN_PLANS) if plan.utm == utm)


def _tags(plan: facts.CampaignPlan) -> tuple[str, str]:
    """utm_source and utm_medium of a well-tagged campaign."""
    if plan.platform == "meta":
        return "facebook", "paid_social"
    if plan.platform == "linkedin":
        return "linkedin", "paid_social"
    return {"DISPLAY": ("google", "display"), "VIDEO": ("youtube", "paid_video")}.get(
        plan.campaign_type, ("google", "cpc")
    )


UTM_OF_PLAN = tuple(_tags(plan) for plan in facts.CAMPAIGN_PLANS)


def campaign_tag(ads: Catalogue, entry: Ints) -> pa.Array:
    """utm_campaign of the ads."""
    names = pick([plan.utm for plan in facts.CAMPAIGN_PLANS], ads.plan[entry])
    return text(names, "_", pick(["nl", "se", "us"], ads.market[entry]))


def _claims(world: World, outcome: Outcome, ads: Catalogue, clicks: Clicks) -> tuple[Floats, Floats]:
    """What platforms claim, per touch: each platform credits its own last click before a conversion."""
    touches = world.touches
    m = len(touches.person)
    # Conversions: orders, sign-ups and leads, as touches at which they happened.
    firsts = outcome.first_touch[(outcome.first_touch >= 0) & (world.kind != facts.SHOP)]
    converting = np.zeros(m, dtype=bool)
    converting[outcome.order_touch] = True
    converting[firsts] = True
    position = np.flatnonzero(converting)
    nearest = np.searchsorted(position, np.arange(m))
    target = np.where(nearest < len(position), position[np.minimum(nearest, len(position) - 1)], -1)
    paid = (clicks.entry >= 0) & (target >= 0) & outcome.active
    paid &= touches.person[np.maximum(target, 0)] == touches.person
    platform = np.array([PLATFORMS.index(p.platform) for p in facts.CAMPAIGN_PLANS])[
        ads.plan[np.maximum(clicks.entry, 0)]
    ]
    window = np.array([facts.CLAIM_WINDOW_DAYS[name] for name in PLATFORMS])[platform] * DAY
    paid &= touches.at[np.maximum(target, 0)] - touches.at <= window
    rows = np.flatnonzero(paid)
    key = target[rows] * 4 + platform[rows]
    order = np.lexsort((touches.at[rows], key))
    last = np.r_[key[order][1:] != key[order][:-1], True] if len(rows) else np.empty(0, dtype=bool)
    claimed = rows[order][last]
    factor = np.array([facts.VIEW_CLAIM_FACTOR[name] for name in PLATFORMS])[platform[claimed]]
    count, value = np.zeros(m), np.zeros(m)
    count[claimed] = factor
    worth_eur = np.array([95.0, 40.0, 150.0])[world.kind[touches.person[claimed]]]
    currency = np.array([facts.CURRENCIES.index(account[2]) for account in ACCOUNTS])[
        ads.account[clicks.entry[claimed]]
    ]
    value[claimed] = factor * worth_eur * np.array(facts.CURRENCY_PER_EUR)[currency]
    return count, value


def local_days(at: Ints, time_zone: str) -> Ints:
    """The day, since 1970, of moments in a time zone."""
    local = pc.local_timestamp(
        pa.array(at).cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us", time_zone))
    )
    return local.cast(pa.date32(), safe=False).cast(pa.int32()).to_numpy().astype(np.int64)


def day_ends(day: Ints, time_zone: str) -> Ints:
    """The moment in UTC at which local days end."""
    midnight = pa.array((day + 1) * DAY).cast(pa.timestamp("us"))
    return pc.assume_timezone(midnight, time_zone).cast(pa.int64()).to_numpy()


def _performance(
    world: World,
    ads: Catalogue,
    at: Ints,
    entry: Ints,
    network: Ints,
    device: Ints,
    claims: Floats,
    values: Floats,
) -> pa.Table:
    """Daily figures by ad, network, country and device: clicks that happened, and impressions around them."""
    size = facts.SCALES[world.scale]
    first_day = (size.first_day - _EPOCH).days
    day_count = (size.last_day - size.first_day).days + 1
    account_of = ads.account[entry]
    day = np.empty(len(at), dtype=np.int64)
    for number, account in enumerate(ACCOUNTS):
        mine = account_of == number
        day[mine] = local_days(at[mine], account[3])
    day -= first_day
    keep = (day >= 0) & (day < day_count)
    entries = len(ads.plan)
    shape = (entries, len(NETWORKS), len(DEVICES), day_count)
    cell = np.ravel_multi_index((entry[keep], network[keep], device[keep], day[keep]), shape)
    cells = int(np.prod(shape))
    clicks = np.bincount(cell, minlength=cells)
    claimed = np.bincount(cell, weights=claims[keep], minlength=cells)
    worth = np.bincount(cell, weights=values[keep], minlength=cells)

    # Impressions: what the clicks stand for, and days on which nobody clicked on an ad that was shown.
    rng = stream(world.seed, "ads")
    plan = ads.plan[:, None, None, None]
    rate = np.array([p.click_rate for p in facts.CAMPAIGN_PLANS])[plan]
    base = clicks.reshape(shape).sum(axis=3, keepdims=True) / day_count
    base = np.where(base > 0, base, 0.0) * np.ones(shape)
    expected = (0.5 * clicks.reshape(shape) + 0.5 * base) / rate
    stopped = (ads.plan == _plan("video_winter_light")) & (ads.market == 2)
    expected[stopped, :, :, day_count // 2 :] *= clicks.reshape(shape)[stopped, :, :, day_count // 2 :] > 0
    shown = np.maximum(rng.poisson(expected).ravel(), clicks)
    rows = np.flatnonzero(shown > 0)
    e, n, d, t = np.unravel_index(rows, shape)

    # Cost: clicks at a price that wanders, plus a little for impressions where they are sold by the thousand.
    account_of_row = ads.account[e]
    currency = np.array([facts.CURRENCIES.index(a[2]) for a in ACCOUNTS])[account_of_row]
    price = np.array([p.cpc_eur for p in facts.CAMPAIGN_PLANS])[ads.plan[e]]
    price *= np.array(facts.CPC_MARKET_FACTOR)[ads.market[e]] * np.array(facts.CURRENCY_PER_EUR)[currency]
    price *= np.exp(0.15 * (2 * uniform(ads.plan[e] * 10_000 + t, 28) - 1))
    per_thousand = np.where(np.isin(n, (2, 3, 5, 6, 7)), 0.25, 0.0) * price * rate.ravel()[e]
    spend = np.round((clicks[rows] * price + shown[rows] * per_thousand) * 100).astype(np.int64)
    visible = np.empty(len(rows), dtype=np.int64)
    for number, (_, _, _, time_zone) in enumerate(ACCOUNTS):
        mine = account_of_row == number
        visible[mine] = day_ends(t[mine] + first_day, time_zone) + HOUR
    order = np.lexsort((d, n, e, t))
    e, n, d, t, rows = e[order], n[order], d[order], t[order], rows[order]
    platform = np.array([PLATFORMS.index(p.platform) for p in facts.CAMPAIGN_PLANS])[ads.plan[e]]
    return table(
        "ad_performance",
        platform=pick(PLATFORMS, platform),
        date=days(t + first_day),
        account_id=pick([a[0] for a in ACCOUNTS], ads.account[e]),
        campaign_id=ads.campaign_id.take(pa.array(e)),
        ad_group_id=ads.group_id.take(pa.array(e)),
        ad_id=ads.ad_id.take(pa.array(e)),
        network_type=pick(NETWORKS, n),
        country=pick(facts.MARKETS, ads.market[e]),
        device=pick(DEVICES, d),
        impressions=shown[rows].astype(np.int64),
        clicks=clicks[rows].astype(np.int64),
        spend_minor=spend[order],
        conversions=np.round(claimed[rows], 6),
        conversions_value_minor=np.round(worth[rows] * 100).astype(np.int64),
        currency=pick([a[2] for a in ACCOUNTS], ads.account[e]),
        visible_at=moments(visible[order]),
    )


def is_click_id_shown(number: Ints) -> Bools:
    """Whether the browser left the click id in the URL."""
    return uniform(number, 29) >= facts.CLICK_ID_MISSING_SHARE
