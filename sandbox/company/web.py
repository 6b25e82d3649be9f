"""Web and product events: what the tag on the pages records of every visit.

What belongs here: sessions, cookies, devices, consent, URLs with their utm parameters and mistakes,
events.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sandbox.company import advertising, facts, names
from sandbox.company.advertising import Catalogue, Clicks
from sandbox.company.frames import (
    DAY,
    HOUR,
    MINUTE,
    NEVER,
    SECOND,
    Bools,
    Floats,
    Ints,
    codes,
    mix,
    moments,
    numbers,
    only,
    pick,
    rank_in_group,
    stream,
    table,
    text,
    uniform,
    weighted,
)
from sandbox.company.journeys import Outcome
from sandbox.company.people import CART_REMINDER, World, cart_depth

DEVICE_CATEGORIES = ("mobile", "desktop", "tablet")
EVENTS = (
    "session_start",
    "page_view",
    "view_item",
    "add_to_cart",
    "begin_checkout",
    "purchase",
    "newsletter_sign_up",
    "chat_started",
    "generate_lead",
    "sign_up",
    "start_trial",
    "login",
    "activation_complete",
    "pql_reached",
    "invite_sent",
    "referral_sign_up",
)
E = {name: code for code, name in enumerate(EVENTS)}

SHOP_URL, WWW, APP, HELP = (
    "https://shop.fjordlight.example",
    "https://www.fjordlight.example",
    "https://app.fjordlight.example",
    "https://help.fjordlight.example",
)
TOOLS = ("site", "app", "help")
SITE_TOOL, APP_TOOL, HELP_TOOL = range(3)
BLOG = (
    "/blog/light-for-a-home-office",
    "/blog/how-many-lumens",
    "/blog/warm-or-cold-white",
    "/blog/lighting-plan-in-ten-steps",
    "/blog/choosing-light-for-a-hotel-lobby",
    "/blog/office-lighting-regulations",
)
_PRODUCT_PAGES = tuple(f"{SHOP_URL}/products/{sku.lower()}" for sku, *_ in facts.PRODUCTS)
_CATEGORY_PAGES = tuple(
    f"{SHOP_URL}/collections/{name}" for name in ("desk", "floor", "pendant", "outdoor", "accessories")
)
_HELP_ARTICLES = ("import-a-floor-plan", "invite-your-team", "export-a-quote")
PAGES: tuple[tuple[str, str], ...] = (
    (f"{WWW}/", "Fjordlight"),
    (f"{SHOP_URL}/", "Fjordlight Shop"),
    (f"{WWW}/studio", "Fjordlight Studio"),
    (f"{WWW}/studio/pricing", "Studio pricing"),
    (f"{WWW}/business", "Fjordlight for business"),
    (f"{WWW}/business/projects", "Projects"),
    (f"{WWW}/business/contact", "Ask for a quote"),
    (f"{SHOP_URL}/cart", "Cart"),
    (f"{SHOP_URL}/checkout", "Checkout"),
    (f"{SHOP_URL}/checkout/thank-you", "Thank you"),
    (f"{APP}/signup", "Sign up"),
    (f"{APP}/app", "Studio"),
    (f"{WWW}/newsletter", "Newsletter"),
    *((f"{WWW}{path}", path.rsplit("/", 1)[1].replace("-", " ").capitalize()) for path in BLOG),
    *((url, url.rsplit("/", 1)[1].capitalize()) for url in _CATEGORY_PAGES),
    *((url, name) for url, (_, name, *_) in zip(_PRODUCT_PAGES, facts.PRODUCTS, strict=True)),
    *((f"{HELP}/articles/{path}", path.replace("-", " ").capitalize()) for path in _HELP_ARTICLES),
)
(
    P_HOME,
    P_SHOP,
    P_STUDIO,
    P_PRICING,
    P_BUSINESS,
    P_PROJECTS,
    P_CONTACT,
    P_CART,
    P_CHECKOUT,
    P_THANKS,
    P_SIGNUP,
    P_APP,
) = range(12)
P_NEWSLETTER, P_BLOG = 12, 13
P_CATEGORY = P_BLOG + len(BLOG)
P_PRODUCT = P_CATEGORY + len(_CATEGORY_PAGES)
P_HELP = P_PRODUCT + len(_PRODUCT_PAGES)

REFERRAL_SITES = (
    "https://www.interior-journal.example/best-desk-lamps",
    "https://www.archidaily-review.example/tools",
    "https://forum.lightfans.example/t/4711",
    "https://www.partner-studio.example/",
)
_NO = -1
SESSIONS_AT_ONCE = 150_000  # bounds the memory of a large company
KIOSK_CLIENT_ID = "777000001.1735725600"  # the tablet in the Amsterdam showroom


@dataclass(frozen=True)
class Sessions:
    """Every session in the window, of people, machines and colleagues."""

    person: Ints  # -1 for machines and colleagues
    touch: Ints  # -1 for sessions that are no touch (in the app, machines, colleagues)
    at: Ints
    acts_at: Ints
    number: Ints  # lasting number for stateless draws
    device: Ints  # category
    second: Bools  # on the person's second device
    logged_in: Bools
    is_app: Bools
    bot: Bools
    internal: Bools
    client_id: pa.Array
    consent_analytics: Ints  # 0 granted, 1 denied, 2 not answered
    consent_ads: Ints

    def part(self, rows: slice) -> Sessions:
        """Some of them, in order."""
        return Sessions(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def touch_devices(world: World) -> tuple[Ints, Bools]:
    """The device category of each touch, and whether it is the person's second device."""
    touches = world.touches
    person = touches.person
    first = weighted(uniform(np.arange(world.people), 101), (0.58, 0.36, 0.06))
    work = weighted(uniform(np.arange(world.people), 101), (0.22, 0.76, 0.02))
    primary = np.where(world.kind == facts.SHOP, first, work)
    has_second = uniform(np.arange(world.people), 102) < facts.SECOND_DEVICE_SHARE
    second = has_second[person] & (uniform(touches.number, 103) < 0.35)
    return np.where(second, np.where(primary[person] == 0, 1, 0), primary[person]), second


def consent_of(world: World) -> tuple[Ints, Ints]:
    """Everybody's answers to the consent banner (analytics, ads): 0 granted, 1 denied, 2 not answered."""
    people = np.arange(world.people)
    denied, unanswered = facts.CONSENT_DENIED_SHARE, facts.CONSENT_UNANSWERED_SHARE
    analytics = weighted(uniform(people, 104), (1 - denied - unanswered, denied, unanswered))
    refuses_ads = uniform(people, 105) < facts.CONSENT_ADS_DENIED_SHARE
    return analytics, np.where(analytics == 0, refuses_ads.astype(np.int64), analytics)


def withdrawn_at(world: World) -> Ints:
    """When people took back their consent to analytics; NEVER for most."""
    people = np.arange(world.people)
    analytics, _ = consent_of(world)
    takes_back = (analytics == 0) & (uniform(people, 112) < facts.CONSENT_WITHDRAWN_SHARE)
    return np.where(
        takes_back, world.first_at + ((3 + 60 * uniform(people, 113)) * DAY).astype(np.int64), NEVER
    )


def cookie_owner(world: World) -> Ints:
    """Whose cookie everybody uses: their own, or for a few that of somebody who came by just before.

    Customers and users share with one another, so that two log-ins meet on one cookie.
    """
    people = np.arange(world.people)
    owner = people.copy()
    u = uniform(people, 106)
    shares_by_group = (
        (~world.converts, facts.SHARED_DEVICE_SHARE),
        (world.converts, facts.SHARED_LOGIN_SHARE),
    )
    for group, share in shares_by_group:
        order = np.flatnonzero(group & (world.company < 0))
        order = order[np.lexsort((order, world.first_at[order], world.kind[order]))]
        previous = np.r_[order[:1], order[:-1]]
        shares = (u[order] < share) & (world.kind[order] == world.kind[previous])
        owner[order[shares]] = previous[shares]
    return owner


def client_ids(world: World, person: Ints, second: Bools) -> pa.Array:
    """The cookie of a person's first or second device."""
    owner = cookie_owner(world)[person]
    key = owner * 2 + second
    random = (mix(key, 107) % np.uint64(2_000_000_000)).astype(np.int64) + 100_000_000
    return text(numbers(random), ".", numbers(world.first_at[owner] // SECOND + second * 86_400))


def sessions(
    world: World,
    outcome: Outcome,
    app_person: Ints,
    app_at: Ints,
    app_acts_at: Ints,
    user_since: Ints,
    kiosk: Bools,
) -> Sessions:
    """All sessions: visits, use of the app, machines, colleagues.

    `user_since` is the moment from which a person has an account, NEVER for none; `kiosk` marks the touches
    that happen on the tablet in the showroom.
    """
    touches = world.touches
    device, second = touch_devices(world)
    visit = np.flatnonzero(
        outcome.active & (touches.channel < facts.FIRST_OFFLINE) & (touches.at >= world.start)
    )
    app = np.flatnonzero((app_at >= world.start) & (app_acts_at < world.end))
    app_number = app.astype(np.int64) + (1 << 44)
    visits = len(visit)
    bots = int(visits * facts.BOT_SESSION_SHARE)
    staff = int(visits * facts.INTERNAL_SESSION_SHARE)
    rng = stream(world.seed, "machines")
    strange_at = world.start + (rng.random(bots + staff) * (world.end - world.start - HOUR)).astype(np.int64)
    strange_number = np.arange(bots + staff, dtype=np.int64) + (1 << 45)

    person = np.r_[touches.person[visit], app_person[app], np.full(bots + staff, _NO)]
    at = np.r_[touches.at[visit], app_at[app], strange_at]
    acts_at = np.r_[touches.acts_at[visit], app_acts_at[app], strange_at + 3 * MINUTE]
    number = np.r_[touches.number[visit], app_number, strange_number]
    is_bot = np.r_[np.zeros(visits + len(app), bool), np.arange(bots + staff) < bots]
    is_staff = np.r_[np.zeros(visits + len(app), bool), np.arange(bots + staff) >= bots]
    is_app = np.r_[np.zeros(visits, bool), np.ones(len(app), bool), np.zeros(bots + staff, bool)]
    on_second = np.r_[second[visit], np.zeros(len(app) + bots + staff, bool)]
    category = np.r_[device[visit], np.ones(len(app) + bots + staff, dtype=np.int64)]

    someone = person >= 0
    analytics, ads = consent_of(world)
    safe = np.maximum(person, 0)
    gone = at > withdrawn_at(world)[safe]
    consent_analytics = np.where(someone, np.where(gone, 1, analytics[safe]), 2 * is_bot)
    consent_ads = np.where(someone, np.where(gone, 1, ads[safe]), 2 * is_bot)
    cookie = client_ids(world, safe, on_second)
    # Without consent there is no lasting cookie: a new one each time.
    passing = text(
        numbers((mix(number, 108) % np.uint64(2_000_000_000)).astype(np.int64) + 100_000_000),
        ".",
        numbers(at // SECOND),
    )
    office = text(numbers(555_000_001 + mix(number, 109).astype(np.int64) % 6), ".", "1735689600")
    cookie = pc.if_else(pa.array((consent_analytics == 1) | is_bot), passing, cookie)
    cookie = pc.if_else(pa.array(is_staff), office, cookie)
    touch = np.r_[visit, np.full(len(app) + bots + staff, _NO)]
    on_kiosk = (touch >= 0) & kiosk[np.maximum(touch, 0)]
    cookie = pc.if_else(pa.array(on_kiosk), pa.scalar(KIOSK_CLIENT_ID), cookie)
    has_account = someone & (at >= user_since[safe])
    # In the app people are logged in; on the site some are, on the device that they mostly use.
    logged_in = is_app | (has_account & ~on_second & (uniform(number, 110) < 0.5))
    order = np.lexsort((number, at))
    return Sessions(
        person[order],
        touch[order],
        at[order],
        acts_at[order],
        number[order],
        category[order],
        on_second[order],
        logged_in[order],
        is_app[order],
        is_bot[order],
        is_staff[order],
        cookie.take(pa.array(order)),
        consent_analytics[order],
        consent_ads[order],
    )


# ------------------------------------------------------------------------------------------- how they came
@dataclass(frozen=True)
class Arrivals:
    """How each session came: landing page, referrer, tags and click ids (null for none)."""

    landing: Ints
    referrer: pa.Array
    tags: dict[str, pa.Array]
    click_ids: dict[str, pa.Array]
    query: pa.Array

    def part(self, rows: slice) -> Arrivals:
        """Some of them, in order."""
        return Arrivals(
            self.landing[rows],
            self.referrer[rows],
            {name: column[rows] for name, column in self.tags.items()},
            {name: column[rows] for name, column in self.click_ids.items()},
            self.query[rows],
        )


def arrivals(
    world: World, s: Sessions, ads: Catalogue, clicks: Clicks, mailing_tags: pa.Array, reminder_tags: pa.Array
) -> Arrivals:
    """Landing pages with the parameters that visitors' URLs carry, mistakes included."""
    n = len(s.at)
    touches = world.touches
    is_touch = s.touch >= 0
    touch = np.maximum(s.touch, 0)
    channel = np.where(is_touch, touches.channel[touch], facts.CHANNEL["Direct"])
    kind = np.where(s.person >= 0, world.kind[np.maximum(s.person, 0)], facts.SHOP)
    entry = np.where(is_touch, clicks.entry[touch], -1)
    u, v = uniform(s.number, 120), uniform(s.number, 121)

    def on(name: str) -> Bools:
        return is_touch & (channel == facts.CHANNEL[name])

    # utm values as planned.
    plan = ads.plan[np.maximum(entry, 0)]
    paid = entry >= 0
    source = pick([tag[0] for tag in advertising.UTM_OF_PLAN], plan, paid)
    medium = pick([tag[1] for tag in advertising.UTM_OF_PLAN], plan, paid)
    campaign = only(advertising.campaign_tag(ads, np.maximum(entry, 0)), paid)
    content = only(pick(ads.ad_name, np.maximum(entry, 0)), paid & (ads.ad[np.maximum(entry, 0)] >= 0))
    term = pick(
        [name.replace(" ", "+") for name in advertising.KEYWORDS],
        np.array([0, 1, 3, 4] + [0] * 9)[plan],
        on("Paid Search"),
    )
    mailing = np.where(is_touch, touches.mailing[touch], -1)
    regular = (mailing >= 0) & (mailing != CART_REMINDER)
    market = world.market[np.maximum(s.person, 0)]
    fixed = (
        (on("Email"), "newsletter", "email", pick(mailing_tags, np.where(regular, mailing, 0))),
        (on("Email") & ~regular, "newsletter", "email", pick(reminder_tags, np.maximum(market, 0))),
        (on("Affiliates"), "couponclub", "affiliate", pick(["evergreen_coupons"], np.zeros(n, int))),
        (on("Organic Social") & (u < 0.3), "instagram", "social", pick(["bio_link"], np.zeros(n, int))),
        (on("AI Assistant") & (u < 0.42), "chatgpt.com", None, None),
        (on("Referral") & (u < 0.15), "interior-journal", "referral", None),
    )
    for chosen, a, b, c in fixed:
        mask = pa.array(chosen)
        source = pc.if_else(mask, pa.scalar(a), source)
        if b is not None:
            medium = pc.if_else(mask, pa.scalar(b), medium)
        if c is not None:
            campaign = pc.if_else(mask, c, campaign)

    # Mistakes: tags lost, miswritten, in another case, with blanks.
    lost = pa.array(v < facts.UTM_MISSING_SHARE)
    tags = {
        "utm_source": source,
        "utm_medium": medium,
        "utm_campaign": campaign,
        "utm_content": content,
        "utm_term": term,
    }
    tags = {name: pc.if_else(lost, pa.scalar(None, pa.string()), column) for name, column in tags.items()}
    mistake = np.where(
        uniform(s.number, 122) < facts.UTM_MISWRITTEN_SHARE,
        weighted(uniform(s.number, 123), (4, 2, 2, 1)),
        _NO,
    )
    source, medium, campaign = tags["utm_source"], tags["utm_medium"], tags["utm_campaign"]
    misspelt = source
    for right, wrong in facts.UTM_TYPOS.items():
        misspelt = pc.if_else(pc.equal(source, right), pa.scalar(wrong), misspelt)
    source = pc.if_else(pa.array(mistake == 0), pc.utf8_capitalize(source), source)
    medium = pc.if_else(pa.array(mistake == 0), pc.utf8_upper(medium), medium)
    source = pc.if_else(pa.array(mistake == 1), misspelt, source)
    source = pc.if_else(pa.array(mistake == 2), text(source, " "), source)
    campaign = pc.if_else(pa.array(mistake == 3), pc.replace_substring(campaign, "_", " "), campaign)
    tags |= {"utm_source": source, "utm_medium": medium, "utm_campaign": campaign}

    id_type = np.where(is_touch & advertising.is_click_id_shown(s.number), clicks.id_type[touch], -1)
    shown_ids = clicks.click_id.take(pa.array(touch))
    click_ids = {
        name: only(shown_ids, id_type == code) for code, name in enumerate(advertising.CLICK_ID_TYPES)
    }

    landing = _landing_pages(s, ads, kind, channel, entry)
    landing = np.where(mailing == CART_REMINDER, P_CART, landing)
    parts = [
        pc.fill_null(text(f"&{name}=", pc.replace_substring(column, " ", "%20")), "")
        for name, column in (tags | click_ids).items()
    ]
    joined = text(*parts)
    query = pc.if_else(
        pc.greater(pc.utf8_length(joined), 0), text("?", pc.utf8_slice_codeunits(joined, 1)), pa.scalar("")
    )
    return Arrivals(landing, _referrers(s, channel, plan, u), tags, click_ids, query)


def _landing_pages(s: Sessions, ads: Catalogue, kind: Ints, channel: Ints, entry: Ints) -> Ints:
    """The page that a session starts on: position in PAGES."""
    u, w = uniform(s.number, 124), mix(s.number, 125)
    home = np.array([P_SHOP, P_STUDIO, P_BUSINESS])[kind]
    blog = P_BLOG + np.array([0, 3, 4])[kind] + (w % np.uint64(3)).astype(np.int64) % (len(BLOG) - 4)
    product = P_PRODUCT + (w % np.uint64(len(facts.PRODUCTS))).astype(np.int64)
    category = P_CATEGORY + (w % np.uint64(5)).astype(np.int64)
    shelf = np.where(u < 0.5, product, category)
    named = {"home": P_HOME, "shop": P_SHOP, "studio": P_STUDIO, "business": P_BUSINESS}
    ad_page = np.array([named[p.landing] for p in facts.CAMPAIGN_PLANS])[ads.plan[np.maximum(entry, 0)]]
    ad_page = np.where((ad_page == P_SHOP) & (kind == facts.SHOP), shelf, ad_page)
    editorial = np.isin(
        channel, [facts.CHANNEL[c] for c in ("Organic Search", "AI Assistant", "Organic Social")]
    )
    page = np.where(editorial & (u < 0.4), blog, np.where((kind == facts.SHOP) & (u > 0.6), shelf, home))
    page = np.where(entry >= 0, ad_page, page)
    page = np.where((channel == facts.CHANNEL["Direct"]) & (u < 0.5), P_HOME, page)
    return np.where(s.is_app, P_APP, page)


def _referrers(s: Sessions, channel: Ints, plan: Ints, u: Floats) -> pa.Array:
    """The external page that a session came from, null for none."""
    choices: list[str | None] = [
        None,
        "https://www.google.com/",
        "https://www.bing.com/",
        "https://duckduckgo.com/",
        "https://www.facebook.com/",
        "https://www.instagram.com/",
        "https://www.linkedin.com/",
        "https://www.youtube.com/",
        "https://chatgpt.com/",
        "https://www.perplexity.ai/",
        "https://www.couponclub.example/fjordlight",
        *REFERRAL_SITES,
    ]
    position = np.zeros(len(s.at), dtype=np.int64)
    touch = s.touch >= 0

    def where(name: str) -> Bools:
        return touch & (channel == facts.CHANNEL[name])

    position[where("Organic Search")] = 1 + weighted(u, (0.88, 0.08, 0.04))[where("Organic Search")]
    position[where("Paid Search")] = 1
    position[where("Cross-network") & (u < 0.5)] = 1
    position[where("Paid Video")] = 7
    position[where("Organic Social")] = 4 + weighted(u, (0.2, 0.6, 0.2))[where("Organic Social")]
    position[where("Paid Social")] = np.where(np.isin(plan, (8, 9, 10)), 4, 6)[where("Paid Social")]
    position[where("AI Assistant")] = np.where(u < 0.7, 8, 9)[where("AI Assistant")]
    position[where("Affiliates")] = 10
    position[where("Referral")] = 11 + weighted(u, (0.4, 0.3, 0.15, 0.15))[where("Referral")]
    return pick(choices, position)


# -------------------------------------------------------------------------------------------------- events
@dataclass(frozen=True)
class Marks:
    """What is known to happen in sessions, by touch and by app session."""

    order_of_touch: Ints  # order number or -1, by touch
    newsletter_touch: Bools
    lead_touch: Bools
    sign_up_touch: Bools
    trial_touch: Bools  # the trial starts right at the sign-up
    account_touch: Bools  # a shop account is made: login
    referred: Bools  # by person
    app_event: Ints  # code of the event that an app session is about, by app session


@dataclass(frozen=True)
class OrderFacts:
    """What a purchase event carries, by order number."""

    order_id: pa.Array
    items: pa.Array
    value: Ints
    currency: Ints
    coupon: pa.Array
    product: Ints  # the first line's product


def events(
    world: World, s: Sessions, how: Arrivals, marks: Marks, orders: OrderFacts, referral_codes: pa.Array
) -> pa.Table:
    """The table web_events: in the order of time within every SESSIONS_AT_ONCE sessions."""
    numbers_in_cookie = _session_numbers(s)
    parts = []
    for start in range(0, len(s.at), SESSIONS_AT_ONCE):
        rows = slice(start, start + SESSIONS_AT_ONCE)
        part = _events(
            world, s.part(rows), how.part(rows), marks, orders, referral_codes, numbers_in_cookie[rows]
        )
        parts.append(part)
    return pa.concat_tables(parts)


def _events(
    world: World,
    s: Sessions,
    how: Arrivals,
    marks: Marks,
    orders: OrderFacts,
    referral_codes: pa.Array,
    numbers_in_cookie: Ints,
) -> pa.Table:
    """The events of some sessions."""
    n = len(s.at)
    touch = np.maximum(s.touch, 0)
    is_touch = s.touch >= 0
    human = s.person >= 0
    person = np.maximum(s.person, 0)
    kind = np.where(human, world.kind[person], facts.SHOP)
    order = np.where(is_touch, marks.order_of_touch[touch], -1)
    ordered = order >= 0
    app_row = np.where(s.is_app, s.number - (1 << 44), -1)
    app_event = np.where(s.is_app, marks.app_event[np.maximum(app_row, 0)], -1)

    def flag(by_touch: Bools) -> Bools:
        return is_touch & by_touch[touch]

    # How deep shoppers go who do not buy; buyers go all the way.
    depth = cart_depth(s.number)
    shopper = (kind == facts.SHOP) & human & ~s.is_app
    views = shopper & ((depth < facts.PRODUCT_VIEW_SHARE) | ordered)
    carts = shopper & ((depth < facts.CART_SHARE) | ordered)
    checkouts = shopper & ((depth < facts.CHECKOUT_SHARE) | ordered)
    lead, sign_up = flag(marks.lead_touch), flag(marks.sign_up_touch)
    referred = sign_up & marks.referred[person]
    pages = 1 + np.minimum((-np.log(1 - uniform(s.number, 131)) * 1.0).astype(np.int64), 8)
    pages = np.where(s.bot, 1 + (mix(s.number, 132) % np.uint64(10)).astype(np.int64), pages) + lead + sign_up
    logs_in = (
        (s.is_app & (app_event == E["login"]))
        | (s.is_app & (uniform(s.number, 133) < 0.5))
        | flag(marks.account_touch)
    )
    # Each session is one tool's: nothing is collected twice. Some plain log-ins are to the help centre.
    reads_help = (app_event == E["login"]) & (uniform(s.number, 155) < facts.HELP_CENTRE_SHARE)
    tool = np.where(reads_help, HELP_TOOL, np.where(s.is_app, APP_TOOL, SITE_TOOL))
    counts = np.zeros((n, len(EVENTS)), dtype=np.int64)
    counts[:, E["session_start"]] = ~s.is_app  # an event of the site's tool only
    counts[:, E["page_view"]] = np.where(s.is_app, 1, pages)
    counts[:, E["view_item"]] = views * (1 + (mix(s.number, 134) % np.uint64(2)).astype(np.int64))
    counts[:, E["add_to_cart"]] = carts
    counts[:, E["begin_checkout"]] = checkouts
    counts[:, E["purchase"]] = ordered
    counts[:, E["newsletter_sign_up"]] = flag(marks.newsletter_touch)
    counts[:, E["chat_started"]] = (
        human & ~s.is_app & (uniform(s.number, 135) < np.array([0.006, 0.012, 0.03])[kind])
    )
    counts[:, E["generate_lead"]] = lead
    counts[:, E["sign_up"]] = sign_up
    counts[:, E["referral_sign_up"]] = referred
    counts[:, E["start_trial"]] = flag(marks.trial_touch) | (app_event == E["start_trial"])
    counts[:, E["login"]] = logs_in
    for name in ("activation_complete", "pql_reached", "invite_sent"):
        counts[:, E[name]] = app_event == E[name]

    flat = counts.ravel()
    cells = np.repeat(np.arange(n * len(EVENTS)), flat)
    session, event = np.divmod(cells, len(EVENTS))
    copy = rank_in_group(cells)
    rank = rank_in_group(session)
    total = counts.sum(axis=1)[session]
    number = s.number[session] * 64 + rank
    is_point = np.isin(event, [E[name] for name in POINTS])

    # Browsing fills the time up to the visit's point; what the visit was for happens right there.
    length = (s.acts_at - s.at)[session]
    share = (rank + 0.8 * uniform(number, 136) * (rank > 1)) / (total + 1)
    at = s.at[session] + np.where(is_point, length, (share * length).astype(np.int64))
    at += np.where(event == E["start_trial"], np.where(app_event[session] < 0, 90 * SECOND, 0), 0)
    at += np.where(event == E["referral_sign_up"], SECOND, 0)
    at = np.where(rank == 0, s.at[session], np.where(rank == 1, s.at[session] + 200_000, at))

    product = np.where(
        ordered[session] & (copy == 0),
        orders.product[np.maximum(order[session], 0)],
        weighted(uniform(number, 137), [p[5] for p in facts.PRODUCTS]),
    )
    page = _pages(event, rank, how.landing[session], kind[session], product, number, tool[session])
    commerce = np.isin(event, [E[x] for x in ("view_item", "add_to_cart", "begin_checkout", "purchase")])
    purchase = event == E["purchase"]
    market = np.where(human, world.market[person], (mix(s.number, 138) % np.uint64(3)).astype(np.int64))
    price = _local_prices()[market[session], product]
    order_row = np.maximum(order[session], 0)
    value = np.where(purchase, orders.value[order_row], price)
    trial = event == E["start_trial"]
    item = pick(
        _item_texts().ravel().tolist(), market[session] * len(facts.PRODUCTS) + product, commerce & ~purchase
    )
    items = pc.if_else(pa.array(purchase), orders.items.take(pa.array(order_row)), item)

    url = pick([page_url for page_url, _ in PAGES], page)
    url = pc.if_else(pa.array(rank <= 1), text(url, how.query.take(pa.array(session))), url)
    before = np.r_[0, page[:-1]]
    inner = pick([page_url for page_url, _ in PAGES], before)
    referrer = pc.if_else(pa.array(rank <= 1), how.referrer.take(pa.array(session)), inner)

    late = uniform(number, 139) < facts.LATE_EVENT_SHARE
    delay = np.where(
        late,
        HOUR + (uniform(number, 140) * (3 * DAY - 2 * HOUR)).astype(np.int64),
        2 * SECOND + (uniform(number, 141) * 10 * MINUTE).astype(np.int64),
    )
    sess = pa.array(session)

    def of_session(column: pa.Array) -> pa.Array:
        return column.take(sess)

    logged = s.logged_in & human
    with_user = (
        logged[session] | (event == E["sign_up"]) | (event == E["start_trial"]) | (event == E["login"])
    )
    with_user &= human[session]
    user_id = pick(names.user_ids(np.arange(world.people)), person[session], with_user)
    # Where people log in to the app or the help centre, their address is told to its tool.
    told = (event == E["login"]) & s.is_app[session] & human[session]
    tellers, teller = np.unique(person[session[told]], return_inverse=True)
    position = np.zeros(len(session), dtype=np.int64)
    position[told] = teller
    email = pick(names.emails(world, tellers), position, told)
    consents = ("granted", "denied", None)
    operating_systems, browsers = _software(s)
    languages = [x for pair in facts.BROWSER_LANGUAGES for x in pair]
    cities = [city for group in facts.CITIES for city in group]
    place = uniform(s.number, 142) >= facts.COUNTRY_MISSING_SHARE
    city = market * 5 + (mix(person + 1, 143) % np.uint64(5)).astype(np.int64)
    result = table(
        "web_events",
        event_id=codes(number, 144, 16, hexadecimal=True),
        occurred_at=moments(at),
        visible_at=moments(at + delay),
        event_name=pick(EVENTS, event),
        client_id=of_session(s.client_id),
        ga_session_id=(s.at // SECOND)[session],
        session_number=numbers_in_cookie[session],
        user_id=user_id,
        email=email,
        tool=pick(TOOLS, tool[session]),
        page_location=url,
        page_title=pick([title for _, title in PAGES], page),
        page_referrer=referrer,
        **{name: of_session(column) for name, column in (how.tags | how.click_ids).items()},
        device_category=pick(DEVICE_CATEGORIES, s.device[session]),
        operating_system=of_session(operating_systems),
        browser=of_session(browsers),
        language=of_session(pick(languages, market * 2 + (uniform(person, 145) < 0.2))),
        country=pick(facts.MARKETS, market[session], place[session]),
        city=pick(cities, city[session], place[session] & human[session]),
        engagement_time_msec=np.where(
            s.bot[session], 0, (uniform(number, 146) ** 2 * 90_000).astype(np.int64)
        ),
        consent_analytics=of_session(pick(consents, s.consent_analytics)),
        consent_ads=of_session(pick(consents, s.consent_ads)),
        traffic_type=pick(["internal"], np.zeros(len(session), int), s.internal[session]),
        transaction_id=only(orders.order_id.take(pa.array(order_row)), purchase),
        value_minor=pa.array(np.where(commerce, value, 0), mask=~(commerce | trial)),
        currency=pick(facts.CURRENCIES, market[session], commerce | trial),
        coupon=only(orders.coupon.take(pa.array(order_row)), purchase),
        items=items,
        form_id=pick(
            ["quote-request", "newsletter-footer"],
            event == E["newsletter_sign_up"],
            (event == E["newsletter_sign_up"]) | (event == E["generate_lead"]),
        ),
        method=pick(
            ["email", "google"],
            uniform(person[session], 147) < 0.3,
            (event == E["sign_up"]) | (event == E["login"]),
        ),
        plan=pick(facts.PLANS, plan_of(person)[session], trial),
        referral_code=only(
            of_session(pick(referral_codes, person)),
            (event == E["invite_sent"]) | (event == E["referral_sign_up"]),
        ),
        is_bot=s.bot[session],
    )
    repeated = np.flatnonzero(uniform(number, 148) < facts.REPEATED_EVENT_SHARE)
    again = result.take(pa.array(repeated))
    later = (at + delay)[repeated] + MINUTE + (uniform(number[repeated], 149) * 6 * HOUR).astype(np.int64)
    later = np.minimum(later, at[repeated] + 3 * DAY - 30 * MINUTE)  # repeats are no later than late events
    again = again.set_column(2, "visible_at", moments(later))
    result = pa.concat_tables([result, again]).combine_chunks()
    occurred = np.r_[at, at[repeated]]
    keep = np.flatnonzero(occurred < world.end)
    return result.take(pa.array(keep[np.argsort(occurred[keep], kind="stable")]))


POINTS = (
    "purchase",
    "newsletter_sign_up",
    "generate_lead",
    "sign_up",
    "start_trial",
    "activation_complete",
    "pql_reached",
    "invite_sent",
    "referral_sign_up",
)


def plan_of(person: Ints) -> Ints:
    """The plan that a person tries."""
    return weighted(uniform(person, 150), facts.PLAN_WEIGHTS)


def _session_numbers(s: Sessions) -> Ints:
    """1 for the cookie's first session in the window, and so on."""
    cookie = s.client_id.dictionary_encode().indices.to_numpy().astype(np.int64)
    order = np.lexsort((s.at, cookie))
    result = np.empty(len(order), dtype=np.int64)
    result[order] = rank_in_group(cookie[order]) + 1
    return result


def _software(s: Sessions) -> tuple[pa.Array, pa.Array]:
    """Operating system and browser of each session's device."""
    who = np.where(s.person >= 0, s.person * 2 + s.second, s.number)
    u = uniform(who, 151)
    system = np.select(
        [s.device == 0, s.device == 1],
        [weighted(u, (0.55, 0.45)), 2 + weighted(u, (0.6, 0.35, 0.05))],
        weighted(u, (0.7, 0.3)),
    )
    browser = np.where(
        system == 0,
        1,
        np.where(
            system == 1,
            weighted(uniform(who, 152), (0.75, 0, 0, 0.05, 0.2)),
            weighted(uniform(who, 152), (0.65, 0.08, 0.17, 0.1)),
        ),
    )
    browser = np.where(s.bot, 5 + weighted(uniform(s.number, 153), (0.6, 0.25, 0.15)), browser)
    browsers = (
        "Chrome",
        "Safari",
        "Edge",
        "Firefox",
        "Samsung Internet",
        "HeadlessChrome",
        "Googlebot",
        "AhrefsBot",
    )
    return pick(("iOS", "Android", "Windows", "Macintosh", "Linux"), np.where(s.bot, 4, system)), pick(
        browsers, browser
    )


def _pages(
    event: Ints, rank: Ints, landing: Ints, kind: Ints, product: Ints, number: Ints, tool: Ints
) -> Ints:
    """The page of each event."""
    w = mix(number, 154)
    wander = np.select(
        [kind == facts.SHOP, kind == facts.SAAS],
        [
            np.where(
                w % np.uint64(3) == 0,
                P_CATEGORY + (w % np.uint64(5)).astype(np.int64),
                P_PRODUCT + (w % np.uint64(len(facts.PRODUCTS))).astype(np.int64),
            ),
            np.array([P_PRICING, P_STUDIO, P_BLOG + 3, P_HOME])[(w % np.uint64(4)).astype(np.int64)],
        ],
        np.array([P_PROJECTS, P_BUSINESS, P_BLOG + 4, P_CONTACT])[(w % np.uint64(4)).astype(np.int64)],
    )
    fixed = {
        "add_to_cart": P_CART,
        "begin_checkout": P_CHECKOUT,
        "purchase": P_THANKS,
        "newsletter_sign_up": P_NEWSLETTER,
        "generate_lead": P_CONTACT,
        "sign_up": P_SIGNUP,
        "referral_sign_up": P_SIGNUP,
        "start_trial": P_APP,
        "activation_complete": P_APP,
        "pql_reached": P_APP,
        "invite_sent": P_APP,
    }
    page = np.where(rank <= 1, landing, wander)
    page = np.where(event == E["view_item"], P_PRODUCT + product, page)
    for name, code in fixed.items():
        page = np.where(event == E[name], code, page)
    article = P_HELP + (w % np.uint64(len(_HELP_ARTICLES))).astype(np.int64)
    return np.select([tool == APP_TOOL, tool == HELP_TOOL], [np.full(len(page), P_APP), article], page)


def _local_prices() -> np.ndarray:
    """List prices by market and product, in minor units of the market's currency."""
    prices = np.array([p[3] for p in facts.PRODUCTS])
    return np.round(prices[None, :] * np.array(facts.CURRENCY_PER_EUR)[:, None] / 100).astype(np.int64) * 100


def _item_texts() -> np.ndarray:
    """One item as JSON text, by market and product."""
    prices = _local_prices()
    rows = [
        [
            f'[{{"item_id":"{sku}","item_name":"{name}","item_category":"{category}",'
            f'"price_minor":{prices[market, number]},"quantity":1}}]'
            for number, (sku, name, category, *_) in enumerate(facts.PRODUCTS)
        ]
        for market in range(3)
    ]
    return np.array(rows, dtype=object)


def first_touch_of(world: World, flags: Ints) -> Bools:
    """Marks the touches with these positions."""
    result = np.zeros(len(world.touches.person), dtype=bool)
    result[flags[flags >= 0]] = True
    return result
