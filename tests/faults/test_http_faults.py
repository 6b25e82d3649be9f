"""Rows 5 to 11, 14 and 23 of the acceptance table: what a source may do on the wire, and what must come of
it."""

from __future__ import annotations

import logging
import time
from datetime import datetime
from pathlib import Path

import pytest

from ingestion.errors import BadAnswer, FunnelhouseError, Unauthorized, Unreachable
from ingestion.http import next_link, offset
from ingestion.settings import Paths
from ingestion.warehouse import load
from tests.faults.server import Asked, FaultServer, Reply, fault_server
from tests.faults.toy import AS_OF, CONNECTION, TOKEN, contact, content, rows, system_over_http


def pages(*groups: list[dict]) -> list[dict]:
    """The groups as pages that point to each other by cursor."""
    made = []
    for number, group in enumerate(groups):
        following = {"paging": {"next": {"after": str(number + 1)}}} if number + 1 < len(groups) else {}
        made.append({"results": group, **following})
    return made


def by_cursor(documents: list[dict]) -> object:
    return lambda asked: Reply(documents[int(asked.params.get("after", 0))])


def count(paths: Paths) -> int:
    return rows(paths, "select count(*) from raw_toy.contacts")[0][0]


def run(paths: Paths, server: FaultServer, **options: object) -> None:
    load(paths, CONNECTION, system=system_over_http(server.url, **options), as_of=AS_OF)


def test_row_05_a_limit_is_waited_for(paths: Paths, server: FaultServer) -> None:
    limited = Reply({"message": "slow down"}, 429, {"Retry-After": "2"})
    server.script(limited, limited, Reply({"results": [contact(1), contact(2)]}))
    run(paths, server)
    gaps = [later.at - earlier.at for earlier, later in zip(server.asked, server.asked[1:], strict=False)]
    assert len(server.asked) == 3
    assert min(gaps) >= 2
    assert count(paths) == 2


def test_a_limit_beyond_patience_fails_at_once(paths: Paths, server: FaultServer) -> None:
    server.script(Reply({}, 429, {"Retry-After": "86400"}))
    with pytest.raises(Unreachable, match="limited for another 86400 s"):
        run(paths, server)
    assert len(server.asked) == 1


def test_row_06_an_outage_fails_after_the_set_tries(paths: Paths, server: FaultServer) -> None:
    server.script(Reply({"results": [contact(1)]}))
    run(paths, server)
    before = content(paths, with_load_ids=True)
    server.asked.clear()
    server.script(Reply({"message": "unavailable"}, 503))
    with pytest.raises(Unreachable, match="failed 3 times; the last time: status 503"):
        run(paths, server)
    assert len(server.asked) == 3
    assert content(paths, with_load_ids=True) == before


BROKEN = {
    "reset": Reply(reset=True),
    "cut off": Reply({"results": [contact(1)]}, cut=20),
    "half JSON": Reply(b'{"results": [{"id": "1"'),
    "HTML with 200": Reply(b"<html><body>Maintenance</body></html>", kind="text/html"),
    "nothing": Reply(b""),
}


def test_row_07_broken_answers_once_each(paths: Paths, server: FaultServer) -> None:
    documents = pages(*[[contact(number)] for number in range(len(BROKEN))])
    broken = list(BROKEN.values())
    seen: set[str] = set()

    def answer(asked: Asked) -> Reply:
        page = asked.params.get("after", "0")
        if page not in seen:
            seen.add(page)
            return broken[int(page)]
        return Reply(documents[int(page)])

    server.answer = answer
    run(paths, server)
    assert count(paths) == len(BROKEN)
    assert len(server.asked) == 2 * len(BROKEN)


@pytest.mark.parametrize("name", BROKEN)
def test_row_07_broken_for_ever(paths: Paths, server: FaultServer, name: str) -> None:
    server.script(Reply({"results": [contact(1, day=2)]}))
    run(paths, server)
    server.script(BROKEN[name])
    with pytest.raises(Unreachable):
        run(paths, server)
    server.asked.clear()
    server.script(Reply({"results": []}))
    run(paths, server)
    assert server.asked[0].params["since"] == "2026-06-02T09:00:00+00:00", "the cursor did not move"
    assert count(paths) == 1


@pytest.mark.parametrize(
    "document",
    [
        {"errors": [{"message": "internal"}], "results": []},
        {"error": {"code": 500}},
        {"results": None},
        {"data": []},
        {"results": {"0": "x"}},
        [],
    ],
)
def test_row_08_success_that_is_none(paths: Paths, server: FaultServer, document: object) -> None:
    server.script(Reply({"results": [contact(1)]}))
    run(paths, server)
    before = content(paths, with_load_ids=True)
    server.script(Reply(document))
    with pytest.raises(BadAnswer):
        run(paths, server)
    assert content(paths, with_load_ids=True) == before


def test_row_09_an_empty_page_in_the_middle(paths: Paths, server: FaultServer) -> None:
    server.answer = by_cursor(pages([contact(1)], [], [], [contact(2)]))  # type: ignore[assignment]
    run(paths, server)
    assert count(paths) == 2


@pytest.mark.parametrize(("total", "expected"), [(3, 3), (2, 3), (5, None)])
def test_row_09_a_wrong_total(paths: Paths, server: FaultServer, total: int, expected: int | None) -> None:
    records = [contact(number) for number in range(3)]

    def answer(asked: Asked) -> Reply:
        start = int(asked.params.get("offset", 0))
        return Reply({"results": records[start : start + 1], "total": total})

    server.answer = answer
    next_request = offset("results", "total", size=1)
    if expected is None:
        with pytest.raises(BadAnswer, match="5 records were announced"):
            run(paths, server, next_request=next_request)
        return
    run(paths, server, next_request=next_request)
    assert count(paths) == expected


def test_row_10_a_repeated_cursor(paths: Paths, server: FaultServer) -> None:
    server.answer = lambda asked: Reply(
        {"results": [contact(len(server.asked))], "paging": {"next": {"after": "1"}}}
    )
    with pytest.raises(BadAnswer, match="same cursor twice"):
        run(paths, server)
    assert len(server.asked) == 2


def test_row_10_a_repeated_page(paths: Paths, server: FaultServer) -> None:
    documents = pages([contact(1)], [contact(2)], [contact(3)])
    documents[2] = documents[1]
    documents[1] = {**documents[1], "paging": {"next": {"after": "2"}}}
    documents[2] = documents[1]
    server.answer = by_cursor(documents)  # type: ignore[assignment]
    with pytest.raises(BadAnswer, match=r"same (page|cursor) twice"):
        run(paths, server)
    assert len(server.asked) == 3


def test_row_11_a_dripping_answer(paths: Paths, server: FaultServer) -> None:
    server.script(Reply({"results": [contact(1)]}, drip=0.5))
    started = time.monotonic()
    with pytest.raises(Unreachable, match="did not finish its answer within 1 s"):
        run(paths, server, deadline=1.0)
    assert time.monotonic() - started < 15  # the whole answer would take a minute
    assert len(server.asked) == 1


def test_row_14_a_next_link_to_another_origin(paths: Paths, server: FaultServer) -> None:
    with fault_server() as thief:
        server.script(Reply({"results": [contact(1)], "next": f"{thief.url}/contacts?page=2"}))
        with pytest.raises(BadAnswer, match="another origin"):
            run(paths, server, next_request=next_link("next"))
        assert thief.asked == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_row_14_a_redirect_to_another_origin(paths: Paths, server: FaultServer, status: int) -> None:
    with fault_server() as thief:
        server.script(Reply({}, status, {"Location": f"{thief.url}/contacts"}))
        with pytest.raises(BadAnswer, match="redirected to another origin"):
            run(paths, server)
        assert thief.asked == []


def test_row_23_no_token_in_errors_logs_or_files(
    paths: Paths, server: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    query = "canary-query-77aa"
    messages = []
    answers = [
        Reply({"message": f"bad token {TOKEN}"}, 401),
        Reply({"message": f"no {TOKEN}, see https://x.example/?key={query}"}, 400),
        Reply({"message": TOKEN}, 503),
        Reply({}, 302, {"Location": f"https://other.example/?token={query}"}),
        Reply(reset=True),
    ]
    for answer in answers:
        server.script(answer)
        with pytest.raises(FunnelhouseError) as failure:
            run(paths, server)
        messages.append(str(failure.value))
    with pytest.raises(FunnelhouseError) as failure:
        load(paths, CONNECTION, system=system_over_http(f"http://127.0.0.1:9/{TOKEN}"), as_of=AS_OF)
    messages.append(str(failure.value))
    assert all("\n" not in message for message in messages)
    everything = "\n".join([*messages, caplog.text]).encode()
    for file in Path(paths.data_dir).rglob("*"):
        if file.is_file():
            everything += file.read_bytes()
    assert TOKEN.encode() not in everything
    assert query.encode() not in everything


def test_wrong_credentials_are_one_clear_line(paths: Paths, server: FaultServer) -> None:
    server.script(Reply({"message": "unauthorised"}, 401))
    with pytest.raises(Unauthorized, match=r"^toy: GET .* was refused \(401\).*funnelhouse doctor"):
        run(paths, server)
    assert len(server.asked) == 1


def test_row_12_records_that_move_while_paging(paths: Paths, server: FaultServer) -> None:
    """Contact 2 is updated while page 1 is read, so that offset paging skips contact 3; the next lagged run
    finds it."""
    order = [contact(number, day=10) for number in range(1, 5)]

    def answer(asked: Asked) -> Reply:
        since = asked.params.get("since", "")[:19]
        found = [record for record in order if record["updatedAt"][:19] >= since]
        start = int(asked.params.get("after", 0))
        document: dict = {"results": found[start : start + 2]}
        if start + 2 < len(found):
            document["paging"] = {"next": {"after": str(start + 2)}}
        if start == 0 and len(server.asked) == 1:
            moved = order.pop(1)
            moved["updatedAt"] = datetime(2026, 6, 10, 10, 30).isoformat() + "Z"
            moved["properties"]["amount"] = "99"
            order.append(moved)
        return Reply(document)

    server.answer = answer
    run(paths, server)
    assert count(paths) < 4 or rows(paths, "select count(*) from raw_toy.contacts where amount = 99") == [
        (0,)
    ]
    run(paths, server)
    expected = sorted((record["id"], record["properties"]["amount"]) for record in order)
    found = sorted(rows(paths, "select contact_id, amount from raw_toy.contacts"))
    assert [(key, float(amount)) for key, amount in found] == [
        (key, float(amount)) for key, amount in expected
    ]
