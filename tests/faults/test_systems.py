"""Rows 5 to 11, 14 to 16 and 23, system by system: each resource is read from the sandbox while it
misbehaves.

The rule of all: the same records as without the fault, or one clear error; never success with fewer.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ingestion.errors import BadAnswer, FunnelhouseError, Unreachable
from ingestion.http import ApiClient
from sandbox.app import running
from sandbox.company import generate
from sandbox.environment import environment
from sandbox.servers import vendors
from tests.faults.readings import (
    AS_OF,
    FIRST_DAY,
    IDS,
    NAMES,
    SYSTEMS,
    Reading,
    reading_of,
    small_pages,
)
from tests.faults.server import fault_server

Find = Callable[[str, str], Reading]
each_resource = pytest.mark.parametrize(("name", "resource"), NAMES, ids=IDS)


@pytest.fixture(scope="module")
def find() -> Iterator[Find]:
    """Readings against one running sandbox, each read once without faults; all lists have several pages."""
    known: dict[tuple[str, str], Reading] = {}
    with pytest.MonkeyPatch.context() as patch, running(generate("small"), AS_OF) as base_url:
        for variable, value in environment(base_url).items():
            patch.setenv(variable, value)
        for name in SYSTEMS:
            patch.setenv(f"SOURCES__{name.upper()}__START_DATE", FIRST_DAY)
        for module, constant, value in small_pages():
            patch.setattr(module, constant, value)

        def make(name: str, resource: str) -> Reading:
            if (name, resource) not in known:
                known[name, resource] = reading_of(base_url, name, resource)
            return known[name, resource]

        yield make


class Clock:
    """Time in which nobody waits: a sleep moves it on. Servers that count calls a second go by it too."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.ahead += seconds
        self.slept.append(seconds)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def slept(find: Find, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waiting times that were asked for, none of them waited."""
    clock.slept.clear()
    for module in vendors().values():
        if hasattr(module, "time"):
            monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(time, "sleep", clock.sleep)
    return clock.slept


@pytest.fixture
def optional_data(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each answer that was looked at: whether its vendor leaves the list out where it is empty."""
    require, found = ApiClient.require, []

    def noting(self: ApiClient, document: Any, data: str, **options: Any) -> None:
        found.append(bool(options.get("optional")))
        require(self, document, data, **options)

    monkeypatch.setattr(ApiClient, "require", noting)
    return found


@each_resource
def test_row_05_a_limit_is_waited_for(find: Find, slept: list[float], name: str, resource: str) -> None:
    reading = find(name, resource)
    for place in reading.places():
        if "token" in place.path:
            continue  # a limit is a matter of the API
        already = len(slept)
        assert reading.outcome(place.hit("rate_limit", times=2, retry_after=2)) == reading.items
        assert reading.faulted() == 2, "twice refused, answered the third time"
        assert sum(seconds >= 2 for seconds in slept[already:]) >= 2


@each_resource
def test_row_06_an_outage_ends_after_the_set_tries(find: Find, name: str, resource: str) -> None:
    reading = find(name, resource)
    place = reading.places()[-1]
    failure = reading.outcome(place.and_all_after("server_error", status=503))
    assert isinstance(failure, Unreachable)
    tries = re.search(r"failed (\d+) times; the last time: status 503", str(failure))
    assert tries is not None, failure
    assert reading.faulted() % int(tries[1]) == 0
    assert int(tries[1]) >= 3


@each_resource
def test_row_07_broken_answers_once_each(find: Find, name: str, resource: str) -> None:
    reading = find(name, resource)
    for place in reading.places():
        rules = [place.hit(kind) for kind in ("truncated", "reset", "html")]
        assert reading.outcome(*rules) == reading.items
        assert reading.faulted() == 3


@each_resource
def test_row_07_broken_answers_for_ever(find: Find, name: str, resource: str) -> None:
    reading = find(name, resource)
    place = reading.places()[-1]
    for kind in ("truncated", "reset", "html", "no_content"):
        failure = reading.outcome(place.and_all_after(kind))
        assert isinstance(failure, FunnelhouseError), kind
        assert "\n" not in str(failure)


@each_resource
def test_row_08_success_that_is_none(find: Find, optional_data: list[bool], name: str, resource: str) -> None:
    reading = find(name, resource)
    optional_data.clear()
    assert reading.read() == reading.items
    faults: list[tuple[str, dict[str, Any]]] = [
        ("body", {"body": {"errors": [{"message": "internal"}]}}),
        ("body", {"body": None}),
        ("null_data", {}),
    ]
    if not any(optional_data):  # else nothing is how the vendor says that there is nothing
        faults += [("missing_data", {}), ("body", {"body": []})]
    for place in reading.places():
        for kind, params in faults:
            found = reading.outcome(place.hit(kind, **params))
            assert isinstance(found, FunnelhouseError) or found == reading.items, (kind, params, place)


@each_resource
def test_row_09_an_empty_page_in_the_middle(find: Find, name: str, resource: str) -> None:
    reading = find(name, resource)
    for place in reading.places(following=True):
        found = reading.outcome(place.hit("empty_page"))
        assert isinstance(found, FunnelhouseError) or found == reading.items


@each_resource
def test_row_09_a_wrong_total(find: Find, name: str, resource: str) -> None:
    reading = find(name, resource)
    for add in (3, -3):
        found = reading.outcome({"kind": "wrong_total", "times": None, "params": {"add": add}})
        assert isinstance(found, FunnelhouseError) or found == reading.items


@each_resource
def test_row_10_a_repeated_page_or_cursor(find: Find, name: str, resource: str) -> None:
    reading = find(name, resource)
    for place in reading.places(following=True):
        page = reading.outcome(place.hit("repeat_page", later=1))
        assert isinstance(page, BadAnswer), page
        assert "twice" in str(page)
        cursor = reading.outcome(place.hit("repeat_cursor", times=None, later=1))
        assert isinstance(cursor, FunnelhouseError) or cursor == reading.items, "or it pages by other means"


@pytest.mark.parametrize("name", SYSTEMS)
def test_row_11_a_dripping_answer(find: Find, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    resource = next(resource for system, resource in NAMES if system == name)
    reading = find(name, resource)
    prepare = ApiClient.__post_init__

    def impatient(self: ApiClient) -> None:
        prepare(self)
        self.deadline = 0.3

    monkeypatch.setattr(ApiClient, "__post_init__", impatient)
    started = time.monotonic()
    failure = reading.outcome(reading.places()[-1].and_all_after("drip", seconds=0.05))
    assert isinstance(failure, Unreachable)
    assert "did not finish its answer within 0 s" in str(failure)
    assert time.monotonic() - started < 3


@each_resource
def test_row_14_no_redirect_is_followed(find: Find, name: str, resource: str) -> None:
    reading = find(name, resource)
    with fault_server() as thief:
        for place in reading.places():
            failure = reading.outcome(place.hit("redirect", location=f"{thief.url}/x"))
            assert isinstance(failure, BadAnswer)
            assert "redirected to another origin" in str(failure)
        for place in reading.places(following=True):
            found = reading.outcome(place.hit("foreign_next", origin=thief.url))
            assert isinstance(found, BadAnswer) or found == reading.items, "or links are not used"
        assert thief.asked == []


@each_resource
def test_row_15_a_poisoned_record_costs_no_other(find: Find, name: str, resource: str) -> None:
    reading = find(name, resource)
    before = reading.converted()
    params = {"name": "surprise", "value": "surrogate", "record": 0}
    after = reading.converted({"kind": "bad_value", "times": None, "params": params})
    refused = {table: counts.refused for table, counts in after.items() if counts.refused}
    for table, clean in before.items():
        assert after[table].rows_in == clean.rows_in, "none vanished"
        assert after[table].good.num_rows + refused.get(table, 0) == clean.good.num_rows
    assert refused or reading.is_asked_by_field or not reading.changed()


@each_resource
def test_row_16_a_new_field_is_kept_and_reported(find: Find, name: str, resource: str) -> None:
    reading = find(name, resource)
    before = reading.converted()
    after = reading.converted({"kind": "new_field", "times": None, "params": {"name": "surprise"}})
    for table, clean in before.items():
        assert after[table].good.equals(clean.good)
    reported = [table for table, counts in after.items() if counts.unknown.get("surprise")]
    assert reported or reading.is_asked_by_field or not reading.changed()


@pytest.mark.parametrize("name", SYSTEMS)
def test_row_23_no_secret_in_errors_or_logs(find: Find, caplog: pytest.LogCaptureFixture, name: str) -> None:
    caplog.set_level(logging.DEBUG)
    resource = next(resource for system, resource in NAMES if system == name)
    reading = find(name, resource)
    connection = reading.context.connection
    secrets = [connection.get(setting.key) or "" for setting in reading.system.settings if setting.secret]
    texts = []
    for kind in ("expired_token", "server_error", "redirect", "html", "reset"):
        fault = {
            "kind": kind,
            "times": None,
            "params": {"location": "https://other.example/?key=" + os.urandom(4).hex()},
        }
        found = reading.outcome(fault)
        assert isinstance(found, FunnelhouseError), kind
        texts += [str(found), repr(found), str(found.__cause__), str(found.__context__)]
    texts.append(caplog.text)
    for secret in filter(None, secrets):
        assert secret not in "\n".join(texts)
