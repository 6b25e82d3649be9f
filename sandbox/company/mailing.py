"""E-mail marketing: audiences, members, mailings, and what recipients did with them.

What belongs here: the e-mail tool's records. Clicks are the touches that people.py decided; opens,
bounces and complaints follow here.
"""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sandbox.company import facts, names
from sandbox.company.frames import (
    DAY,
    HOUR,
    MINUTE,
    NEVER,
    SECOND,
    Ints,
    codes,
    days,
    mix,
    moments,
    numbers,
    only,
    pick,
    table,
    text,
    uniform,
)
from sandbox.company.journeys import Outcome
from sandbox.company.people import CART_REMINDER, World, quarters

LISTS = ("Fjordlight Shop", "Fjordlight Studio & Business")
# Who mails whom: the shop's customers get their mail from a tool of the shop's own, everybody else from
# another.
SHOP, BUSINESS = MAILERS = ("shop", "business")
SUBJECTS = (
    "Light for longer evenings ✨",
    "Five ideas for your desk",
    "New in: pendant lamps",
    "Last days: 15% off 💡",
    "How Atelier Vista planned its light",
    "Studio: what is new",
)
SOFT_BOUNCE_SHARE = 0.006
CLEANED_SHARE = 0.012  # of members: the address stops working
HUMAN_OPEN_SHARE = 0.24
COMPLAINT_SHARE = 0.0003
WELCOME_OPEN_SHARE = 0.5
_SENT, _BOUNCED, _OPENED, _CLICKED, _UNSUBSCRIBED, _COMPLAINED = range(6)
_TYPES = ("sent", "bounced", "opened", "clicked", "unsubscribed", "complained")
_WELCOME = 1_000_000  # campaign numbers from here on are welcome mails
_REMINDER = 2_000_000  # and from here on cart reminders: a new text each quarter
REMINDER_OPEN_SHARE = 0.45


def audience(world: World, person: Ints) -> Ints:
    """The list of each person."""
    return (world.kind[person] != facts.SHOP).astype(np.int64)


def mailing_tags(world: World) -> pa.Array:
    """utm_campaign of each regular mailing."""
    m = world.mailings
    day = days(m.at // DAY).cast(pa.string())
    return text(pick(["nl", "se", "us"], m.market), pick(["_lamps_news_", "_studio_news_"], m.audience), day)


def reminder_tags() -> pa.Array:
    """utm_campaign of cart reminders by market."""
    return pa.array([f"{market}_cart_reminder" for market in ("nl", "se", "us")])


def list_ids(which: Ints) -> pa.Array:
    """Ids of audiences."""
    return codes(which, 701, 10, hexadecimal=True)


def campaign_ids(number: Ints) -> pa.Array:
    """Ids of mailings."""
    return codes(number, 702, 10, hexadecimal=True)


def member_ids(addresses: pa.Array) -> pa.Array:
    """md5 of the lower-case address."""
    source = pa.table({"address": addresses})
    with duckdb.connect() as connection:
        connection.execute("set threads = 1")
        connection.register("source", source)
        hashed = connection.sql("select md5(lower(trim(address))) as id from source").to_arrow_table()
    return hashed["id"].combine_chunks().cast(pa.string())


def tables(world: World, outcome: Outcome) -> dict[str, pa.Table]:
    """Everything the e-mail tool delivers."""
    m = world.mailings
    person = np.flatnonzero(world.member_from < world.end)
    person = person[np.lexsort((person, world.member_from[person]))]
    joined = world.member_from[person]
    left = joined + world.unsubscribe_after[person]
    addresses = names.emails(world, person)
    ids = member_ids(addresses)

    regular_click = (world.touches.mailing >= 0) & (world.touches.mailing != CART_REMINDER)
    clicked_people = np.unique(world.touches.person[regular_click & outcome.active])
    breaks = (uniform(person, 703) < CLEANED_SHARE * 2) & ~np.isin(person, clicked_people)
    broken_at = np.where(breaks, joined + (uniform(person, 704) * 300 * DAY).astype(np.int64), NEVER)

    # Every member against every mailing of its audience and language.
    recent = np.flatnonzero(m.at >= world.start)
    group_of_member = audience(world, person) * 3 + world.market[person]
    rows_, sent_ = [], []
    cleaned_at = np.full(len(person), NEVER)
    bounce_rows, bounce_mailing = [], []
    for group in range(6):
        mailing = recent[(m.audience * 3 + m.market)[recent] == group]
        member = np.flatnonzero(group_of_member == group)
        if len(mailing) == 0 or len(member) == 0:
            continue
        at = m.at[mailing][None, :]
        active = (at > joined[member][:, None]) & (at < left[member][:, None])
        dead = at > broken_at[member][:, None]
        first_dead = active & dead & (np.cumsum(active & dead, axis=1) == 1)
        row, column = np.nonzero(active & (~dead | first_dead))
        rows_.append(member[row])
        sent_.append(mailing[column])
        row, column = np.nonzero(first_dead)
        cleaned_at[member[row]] = m.at[mailing[column]] + 10 * MINUTE
        bounce_rows.append(member[row])
        bounce_mailing.append(mailing[column])
    row, mailing = np.concatenate(rows_), np.concatenate(sent_)
    hard_row, hard_mailing = np.concatenate(bounce_rows), np.concatenate(bounce_mailing)
    key = person[row] * 4096 + mailing
    hard_key = person[hard_row] * 4096 + hard_mailing
    sent_at = m.at[mailing] + (uniform(key, 705) * 10 * MINUTE).astype(np.int64)
    is_hard = np.isin(key, hard_key)
    soft = ~is_hard & (uniform(key, 706) < SOFT_BOUNCE_SHARE)
    reached = ~is_hard & ~soft
    machine = reached & (uniform(person[row], 707) < facts.MACHINE_OPEN_SHARE)
    # A clicker has opened before.
    touches = world.touches
    click = np.flatnonzero(regular_click & outcome.active & (touches.at >= world.start))
    click = click[np.isin(touches.person[click] * 4096 + touches.mailing[click], key)]
    click_key = touches.person[click] * 4096 + touches.mailing[click]
    opens = reached & (uniform(key, 708) < HUMAN_OPEN_SHARE) & ~np.isin(key, click_key)
    complains = reached & (uniform(key, 709) < COMPLAINT_SHARE)
    member_of = np.full(world.people, -1, dtype=np.int64)
    member_of[person] = np.arange(len(person))

    # Unsubscribing is done from the last mailing before.
    leaver = np.flatnonzero((left < world.end) & (left >= world.start))
    last_mailing = _last_mailing(world, group_of_member[leaver], joined[leaver], left[leaver])
    leaver, last_mailing = leaver[last_mailing >= 0], last_mailing[last_mailing >= 0]

    # Welcome mails.
    welcome = np.flatnonzero(joined >= world.start)
    greets = _WELCOME + group_of_member[welcome]
    wkey = person[welcome] * 4096 + 4095
    wopen = uniform(wkey, 710) < WELCOME_OPEN_SHARE

    # Cart reminders that went out, and what became of them.
    cart = world.reminders
    going = outcome.reminded & (cart.sent_at >= world.start) & (cart.sent_at < world.end)
    visit, reminded_at, back = cart.touch[going], cart.sent_at[going], cart.click[going]
    reminded = member_of[touches.person[visit]]
    reminder = _REMINDER + quarters(touches.at[visit]) * 3 + world.market[touches.person[visit]]
    rkey = touches.number[visit] + (1 << 44)
    returns = back >= 0
    ropen = ~returns & (uniform(rkey, 720) < REMINDER_OPEN_SHARE)
    rmachine = uniform(touches.person[visit], 707) < facts.MACHINE_OPEN_SHARE
    ropen_at = reminded_at + (2 * MINUTE + uniform(rkey, 721) ** 2 * 30 * HOUR).astype(np.int64)

    open_at = sent_at + (MINUTE + uniform(key, 711) ** 3 * 50 * HOUR).astype(np.int64)
    blocks: list[tuple[int, Ints, Ints, Ints, int]] = [  # type, member, campaign, moment, machine
        (_SENT, row, mailing, sent_at, 0),
        (_BOUNCED, row[is_hard], mailing[is_hard], sent_at[is_hard] + 20 * SECOND, 0),
        (_BOUNCED, row[soft], mailing[soft], sent_at[soft] + 30 * SECOND, 1),
        (_OPENED, row[machine], mailing[machine], sent_at[machine] + 40 * SECOND, 1),
        (_OPENED, row[opens], mailing[opens], open_at[opens], 0),
        (
            _OPENED,
            member_of[touches.person[click]],
            touches.mailing[click],
            touches.at[click] - 20 * SECOND,
            0,
        ),
        (
            _CLICKED,
            member_of[touches.person[click]],
            touches.mailing[click],
            touches.at[click] - 2 * SECOND,
            0,
        ),
        (_COMPLAINED, row[complains], mailing[complains], open_at[complains] + MINUTE, 0),
        (_UNSUBSCRIBED, leaver, last_mailing, left[leaver], 0),
        (_SENT, welcome, greets, joined[welcome] + 2 * MINUTE, 0),
        (_OPENED, welcome[wopen], greets[wopen], joined[welcome][wopen] + 30 * MINUTE, 0),
        (_SENT, reminded, reminder, reminded_at, 0),
        (_OPENED, reminded[rmachine], reminder[rmachine], reminded_at[rmachine] + 40 * SECOND, 1),
        (_OPENED, reminded[ropen], reminder[ropen], ropen_at[ropen], 0),
        (_OPENED, reminded[returns], reminder[returns], touches.at[back[returns]] - 20 * SECOND, 0),
        (_CLICKED, reminded[returns], reminder[returns], touches.at[back[returns]] - 2 * SECOND, 0),
    ]
    kind = np.concatenate([np.full(len(b[1]), b[0]) for b in blocks])
    member = np.concatenate([b[1] for b in blocks])
    campaign = np.concatenate([b[2] for b in blocks])
    at = np.concatenate([b[3] for b in blocks])
    mark = np.concatenate([np.full(len(b[1]), b[4]) for b in blocks])
    order = np.lexsort((mark, kind, campaign, member, at))
    order = order[at[order] < world.end]
    kind, member, campaign, at, mark = kind[order], member[order], campaign[order], at[order], mark[order]
    number = (person[member] * 4096 + campaign % 4096) * 16 + kind * 2 + mark
    late = uniform(number, 712) < facts.LATE_EVENT_SHARE
    delay = np.where(
        late,
        HOUR + (uniform(number, 713) * (3 * DAY - 2 * HOUR)).astype(np.int64),
        SECOND + (uniform(number, 714) * 5 * MINUTE).astype(np.int64),
    )
    who = person[member]
    place = pa.array(member)
    list_of = audience(world, who)
    regular = campaign < _WELCOME
    tag = mailing_tags(world).take(pa.array(np.where(regular, campaign, 0)))
    site = pick(["https://shop.fjordlight.example/", "https://www.fjordlight.example/studio"], list_of)
    reminds = campaign >= _REMINDER
    tag = pc.if_else(pa.array(reminds), pick(reminder_tags(), world.market[who]), tag)
    site = pc.if_else(pa.array(reminds), pa.scalar("https://shop.fjordlight.example/cart"), site)
    url = text(site, "?utm_source=newsletter&utm_medium=email&utm_campaign=", tag)
    octet = (mix(who, 715) % np.uint64(250)).astype(np.int64) + 1
    third = (mix(who, 716) % np.uint64(250)).astype(np.int64)
    first = pick(["84.26.", "17.58."], mark == 1)
    opened, bounced = kind == _OPENED, kind == _BOUNCED
    events = table(
        "email_events",
        event_id=codes(number, 717, 16, hexadecimal=True),
        campaign_id=campaign_ids(campaign),
        list_id=list_ids(list_of),
        member_id=ids.take(place),
        email=addresses.take(place),
        event_type=pick(_TYPES, kind),
        occurred_at=moments(at),
        visible_at=moments(at + delay),
        url=only(url, kind == _CLICKED),
        bounce_type=pick(["hard", "soft"], mark, bounced),
        ip=only(text(first, numbers(third), ".", numbers(octet)), opened | (kind == _CLICKED)),
        is_machine_open=pa.array(mark == 1, mask=~opened),
    )
    kinds = audience(world, person)
    members = table(
        "email_members",
        list_id=list_ids(kinds),
        member_id=ids,
        unique_email_id=codes(person, 718, 10, hexadecimal=True),
        email=names.typed(addresses, person + (1 << 43)),
        first_name=names.first_names(world, person),
        last_name=names.last_names(world, person),
        country=pick(facts.MARKETS, world.market[person]),
        language=pick(facts.LANGUAGES, world.market[person]),
        source=pick(
            ["API (orders)", "Signup Form", "API (app)"],
            np.where(world.newsletter[person], 1, np.where(kinds == 0, 0, 2)),
        ),
        subscribed_at=moments(joined),
        unsubscribed_at=moments(np.where((left < world.end) & (cleaned_at == NEVER), left, NEVER)),
        cleaned_at=moments(cleaned_at),
    )
    return {
        "email_lists": table(
            "email_lists",
            list_id=list_ids(np.arange(2)),
            name=pa.array(LISTS),
            mailer=pa.array(MAILERS),
            created_at=moments(np.full(2, world.dawn - 60 * DAY)),
        ),
        "email_members": members,
        "email_campaigns": _campaigns(world),
        "email_events": events,
    }


def _last_mailing(world: World, group: Ints, joined: Ints, left: Ints) -> Ints:
    """The last mailing that went to a member's group between joining and leaving, -1 for none."""
    m = world.mailings
    result = np.full(len(group), -1, dtype=np.int64)
    for code in range(6):
        mine = np.flatnonzero(group == code)
        mailing = np.flatnonzero((m.audience * 3 + m.market == code) & (m.at >= world.start))
        if len(mailing) == 0:
            continue
        position = np.searchsorted(m.at[mailing], left[mine] - 11 * MINUTE) - 1
        found = (position >= 0) & (m.at[mailing][np.maximum(position, 0)] > joined[mine])
        result[mine[found]] = mailing[position[found]]
    return result


def _campaigns(world: World) -> pa.Table:
    """Regular mailings in the window, a welcome mail per audience and language, a reminder per quarter."""
    m = world.mailings
    regular = np.flatnonzero(m.at >= world.start)
    group = np.arange(6)
    first, last = quarters(np.array([world.start, world.end - 1]))
    quarter: Ints = np.repeat(np.arange(first, last + 1), 3)
    opened = (quarter * 3).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) * DAY
    place: Ints = np.tile(np.arange(3), len(quarter) // 3)
    number = np.r_[regular, _WELCOME + group, _REMINDER + quarter * 3 + place]
    list_of = np.r_[m.audience[regular], group // 3, np.zeros_like(place)]
    market = np.r_[m.market[regular], group % 3, place]
    sent = np.r_[m.at[regular], np.full(6, world.dawn), opened]
    is_regular = number < _WELCOME
    what = np.where(is_regular, 0, np.where(number < _REMINDER, 1, 2))
    day = days(sent // DAY).cast(pa.string())
    tags = pa.concat_arrays(
        [
            mailing_tags(world).take(pa.array(regular)),
            pa.array(["welcome"] * 6),
            reminder_tags().take(pa.array(place)),
        ]
    )
    return table(
        "email_campaigns",
        campaign_id=campaign_ids(number),
        list_id=list_ids(list_of),
        title=text(
            pick(facts.MARKETS, market),
            " ",
            pick(LISTS, list_of),
            " ",
            pick(["News", "Welcome", "Cart Reminder"], what),
            " ",
            day,
        ),
        subject_line=pick(
            (*SUBJECTS, "You left something in the dark 💡"),
            np.where(
                is_regular, (mix(number, 719) % np.uint64(6)).astype(np.int64), np.where(what == 2, 6, 0)
            ),
        ),
        type=pick(["automation", "regular"], is_regular),
        created_at=moments(sent - np.where(is_regular, 2 * DAY, 0)),
        sent_at=moments(sent),
        utm_campaign=tags,
        from_name=pick(["Fjordlight", "Fjordlight Studio"], list_of),
        language=pick(facts.LANGUAGES, market),
    )
