"""Calls, meetings, e-mails, tasks and messages of the sales team.

What belongs here: activities, as a consequence of outbound touches, MQLs, SQLs and deals.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from sandbox.company import facts
from sandbox.company.contacts import Contacts, first_call, qualified
from sandbox.company.crm import (
    COMPANY,
    CONTACT,
    DEAL,
    object_ids,
    owner_of,
)
from sandbox.company.deals import Deals
from sandbox.company.frames import (
    DAY,
    HOUR,
    MINUTE,
    NEVER,
    Ints,
    mix,
    moments,
    numbers,
    only,
    pick,
    table,
    uniform,
    weighted,
)
from sandbox.company.journeys import Outcome
from sandbox.company.people import World

CALL_OUTCOMES = ("CONNECTED", "NO_ANSWER", "BUSY", "LEFT_VOICEMAIL")
ACTIVITY_TYPES = ("call", "meeting", "email", "task", "social_message")
OUTCOMES = (
    *CALL_OUTCOMES,
    "SCHEDULED",
    "COMPLETED",
    "NO_SHOW",
    "RESCHEDULED",
    "CANCELED",
    "NOT_STARTED",
    "SENT",
    "REPLIED",
    "BOUNCED",
)
_O = {name: code for code, name in enumerate(OUTCOMES)}
SUBJECTS = ("Intro call", "Meeting: light plan", "Your request", "Follow up", "Hi from Fjordlight 💡")


def activities(world: World, outcome: Outcome, contacts: Contacts, deals: Deals, number_of: Ints) -> pa.Table:
    """Outbound touches, calls after MQL, meetings before SQL, and the work on deals."""
    columns: dict[str, list[Ints]] = {}

    def add(
        kind: Ints | int,
        at: Ints,
        created: Ints,
        outbound: Ints | int,
        initial: Ints | int,
        final: Ints | int,
        final_at: Ints,
        owner: Ints,
        person: Ints,
        company: Ints,
        deal: Ints | int,
        automated: Ints | int,
        key: Ints,
    ) -> None:
        block = {
            "kind": kind,
            "at": at,
            "created": created,
            "outbound": outbound,
            "initial": initial,
            "final": final,
            "final_at": final_at,
            "owner": owner,
            "person": person,
            "company": company,
            "deal": deal,
            "automated": automated,
            "key": key,
        }
        for name, value in block.items():
            columns.setdefault(name, []).append(
                np.broadcast_to(np.asarray(value, dtype=np.int64), (len(at),))
            )

    touches = world.touches
    # Outbound touches are calls, mails and messages of the sales team.
    rows = np.flatnonzero(outcome.active & (touches.channel == facts.CHANNEL["Outbound Sales"]))
    rows = rows[number_of[touches.person[rows]] >= 0]
    person, number, at = touches.person[rows], touches.number[rows], touches.at[rows] + HOUR
    company = world.company[person]
    kind = np.array([2, 0, 4])[weighted(uniform(number, 601), (0.6, 0.25, 0.15))]
    answered = outcome.first_touch[person] == rows
    call = np.where(answered, _O["CONNECTED"], weighted(uniform(number, 602), (0.25, 0.5, 0.1, 0.15)))
    final = np.where(kind == 0, call, np.where((kind == 2) & answered, _O["REPLIED"], _O["SENT"]))
    owner = owner_of(world.market[person], np.maximum(company, 0))
    add(
        kind,
        at,
        at,
        1,
        np.where(kind == 0, call, _O["SENT"]),
        final,
        at + 20 * HOUR,
        owner,
        person,
        company,
        -1,
        (kind == 2) & (uniform(number, 603) < 0.7),
        number,
    )

    # Calls to MQLs, and the meeting that makes an SQL (or that nobody came to).
    kept = contacts.person[contacts.kept]
    owner_by_person = np.zeros(world.people, dtype=np.int64)
    owner_by_person[contacts.person] = contacts.owner
    qualified_at = qualified(world, outcome)
    called_at = np.full(world.people, NEVER)
    called_at[kept] = first_call(kept, qualified_at[kept], outcome.sql_at[kept])
    mqls = kept[called_at[kept] < NEVER]
    tries = 1 + weighted(uniform(mqls, 604), (0.35, 0.3, 0.2, 0.15))
    who = np.repeat(mqls, tries)
    turn = np.arange(len(who)) - np.repeat(np.cumsum(tries) - tries, tries)
    key = who * 8 + turn + (1 << 46)
    at = called_at[who] + (turn * (0.8 + 1.4 * uniform(key, 605)) * DAY).astype(np.int64)
    last = turn == np.repeat(tries, tries) - 1
    reached = last & (uniform(key, 606) < 0.7)
    result = np.where(reached, _O["CONNECTED"], 1 + weighted(uniform(key, 607), (0.6, 0.1, 0.3)))
    add(
        0,
        at,
        at + 10 * MINUTE,
        1,
        result,
        result,
        at + 10 * MINUTE,
        owner_by_person[who],
        who,
        world.company[who],
        -1,
        0,
        key,
    )
    mqls = kept[qualified_at[kept] < NEVER]
    meets = np.flatnonzero((outcome.sql_at[mqls] < NEVER) | (uniform(mqls, 608) < 0.25))
    who = mqls[meets]
    held = outcome.sql_at[who] < NEVER
    at = np.where(held, outcome.sql_at[who] - HOUR * held, qualified_at[who] + 6 * DAY)
    add(
        1,
        at,
        at - np.minimum(2 * DAY, np.maximum(at - qualified_at[who], MINUTE)),
        -1,
        _O["SCHEDULED"],
        np.where(held, _O["COMPLETED"], np.where(uniform(who, 609) < 0.6, _O["NO_SHOW"], _O["CANCELED"])),
        at + HOUR,
        owner_by_person[who],
        who,
        world.company[who],
        -1,
        0,
        who + (1 << 47),
    )

    # Work on deals: mails both ways, calls, meetings, tasks, evenly over the deal's time.
    real = deals.take(deals.kept)
    count = 3 + (mix(real.number, 610) % np.uint64(8)).astype(np.int64)
    deal = np.repeat(np.arange(len(real.number)), count)
    turn = np.arange(len(deal)) - np.repeat(np.cumsum(count) - count, count)
    key = real.number[deal] * 16 + turn + (1 << 48)
    span = np.minimum(real.closed_at[deal], world.end) - real.created_at[deal]
    at = real.created_at[deal] + ((turn + uniform(key, 611)) / count[deal] * span).astype(np.int64)
    kind = weighted(uniform(key, 612), (0.25, 0.2, 0.4, 0.15))
    inbound = (kind != 3) & (uniform(key, 613) < 0.35)
    call = weighted(uniform(key, 614), (0.55, 0.3, 0.05, 0.1))
    meeting = np.array([_O["COMPLETED"], _O["NO_SHOW"], _O["RESCHEDULED"], _O["CANCELED"]])[
        weighted(uniform(key, 615), (0.78, 0.08, 0.08, 0.06))
    ]
    mail = np.where(~inbound & (uniform(key, 616) < 0.3), _O["REPLIED"], _O["SENT"])
    final = np.select([kind == 0, kind == 1, kind == 3], [call, meeting, _O["COMPLETED"]], mail)
    initial = np.select(
        [kind == 0, kind == 1, kind == 3], [call, _O["SCHEDULED"], _O["NOT_STARTED"]], _O["SENT"]
    )
    created = np.where(
        np.isin(kind, (1, 3)), np.maximum(at - 3 * DAY, real.created_at[deal]), at + 5 * MINUTE
    )
    undone = (kind == 3) & (uniform(key, 617) < 0.15)
    final_at = np.where(kind == 1, at + HOUR, np.where(kind == 3, at + 4 * HOUR, at + DAY))
    outbound = np.where(np.isin(kind, (1, 3)), -1, ~inbound)
    add(
        kind,
        at,
        created,
        outbound,
        initial,
        np.where(undone, _O["NOT_STARTED"], final),
        final_at,
        real.owner[deal],
        real.person[deal],
        real.company[deal],
        real.number[deal],
        0,
        key,
    )

    c = {name: np.concatenate(parts) for name, parts in columns.items()}
    recent = (c["created"] >= world.start - 365 * DAY) & (c["created"] < world.end)
    rows = np.flatnonzero(recent & (number_of[c["person"]] >= 0))
    rows = rows[np.lexsort((c["key"][rows], c["created"][rows]))]
    c = {name: column[rows] for name, column in c.items()}
    u = uniform(c["key"], 618)
    is_call, is_meeting = c["kind"] == 0, c["kind"] == 1
    spoken = is_call & (c["final"] == _O["CONNECTED"])
    return table(
        "crm_activities",
        activity_id=numbers(41_000_000_000 + np.arange(len(rows))),
        activity_type=pick(ACTIVITY_TYPES, c["kind"]),
        created_at=moments(c["created"]),
        occurred_at=moments(c["at"]),
        ended_at=moments(c["at"] + 45 * MINUTE, is_meeting),
        direction=pick(["inbound", "outbound"], np.maximum(c["outbound"], 0), c["outbound"] >= 0),
        subject=pick(SUBJECTS, np.where(is_meeting, 1, np.where(is_call, 0, 2 + (u * 3).astype(np.int64)))),
        body=pick(["Spoke about the light plan.", "Left a note."], u < 0.5, u < 0.6),
        duration_seconds=pa.array(np.where(spoken, 60 + (u * 1500).astype(np.int64), 0), mask=~is_call),
        initial_outcome=pick(OUTCOMES, c["initial"]),
        outcome=pick(OUTCOMES, c["final"]),
        outcome_at=moments(np.maximum(c["final_at"], c["created"])),
        owner_id=pick([row[0] for row in facts.OWNERS], c["owner"]),
        contact_id=object_ids(world, CONTACT, c["person"]),
        company_id=only(object_ids(world, COMPANY, np.maximum(c["company"], 0)), c["company"] >= 0),
        deal_id=only(object_ids(world, DEAL, np.maximum(c["deal"], 0)), c["deal"] >= 0),
        is_automated=c["automated"] == 1,
    )
