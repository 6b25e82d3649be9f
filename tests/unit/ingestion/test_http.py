"""Authentication, paging and settings of the client; its behaviour under faults is tested in tests/faults."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs

import pytest

from ingestion.errors import RequestRefused, SourceError, Unauthorized
from ingestion.http import (
    ApiClient,
    BasicAuth,
    RefreshTokenAuth,
    Request,
    after_in_body,
    after_last,
    redact,
)
from tests.faults.server import Asked, FaultServer, Reply, fault_server


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server() as running:
        yield running


def oauth(server: FaultServer) -> RefreshTokenAuth:
    return RefreshTokenAuth(
        f"{server.url}/token", "client-1", "client-secret", "refresh-secret", {"X-Key": "developer"}
    )


def test_a_refresh_token_becomes_an_access_token_once(server: FaultServer) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.path == "/token":
            return Reply({"access_token": "access-1", "expires_in": 3600})
        return Reply({"ok": asked.headers.get("Authorization"), "key": asked.headers.get("X-Key")})

    server.answer = answer
    client = ApiClient("toy", server.url, auth=oauth(server))
    assert client.get("/a").json() == {"ok": "Bearer access-1", "key": "developer"}
    client.get("/b")
    assert [asked.path for asked in server.asked] == ["/token", "/a", "/b"]
    form = parse_qs(server.asked[0].body.decode())
    assert form["grant_type"] == ["refresh_token"]
    assert form["refresh_token"] == ["refresh-secret"]


def test_an_expired_access_token_is_renewed_once(server: FaultServer) -> None:
    tokens = iter(["old", "new", "never"])

    def answer(asked: Asked) -> Reply:
        if asked.path == "/token":
            return Reply({"access_token": next(tokens), "expires_in": 3600})
        good = asked.headers.get("Authorization") == "Bearer new" and asked.path == "/a"
        return Reply({"ok": True}) if good else Reply({"error": "expired"}, 401)

    server.answer = answer
    client = ApiClient("toy", server.url, auth=oauth(server))
    assert client.get("/a").json() == {"ok": True}
    with pytest.raises(Unauthorized):
        client.get("/b")


def test_a_refused_refresh_token_is_one_clear_line(server: FaultServer) -> None:
    server.script(Reply({"error": "invalid_grant", "error_description": "refresh-secret is bad"}, 400))
    with pytest.raises(
        Unauthorized,
        match=r"^toy: the token endpoint refused the refresh "
        r"token \(400\)",
    ) as failure:
        ApiClient("toy", server.url, auth=oauth(server)).get("/a")
    assert "refresh-secret" not in str(failure.value)


def test_basic_authentication(server: FaultServer) -> None:
    server.script(Reply({}))
    ApiClient("toy", server.url, auth=BasicAuth("key", "x")).get("/a")
    assert server.asked[0].headers["Authorization"] == "Basic a2V5Ong="


def test_paging_by_body_and_by_last_record(server: FaultServer) -> None:
    import json

    def by_body(asked: Asked) -> Reply:
        token = json.loads(asked.body).get("pageToken")
        return Reply({"rows": [1], "next": "2"} if token is None else {"rows": [2]})

    server.answer = by_body
    client = ApiClient("toy", server.url)
    request = Request("/search", "POST", json={"query": "q"})
    found = [
        answer.at("rows")
        for answer in client.pages(request, next_request=after_in_body("next", "pageToken"), data="rows")
    ]
    assert found == [[1], [2]]

    def by_last(asked: Asked) -> Reply:
        start = int(asked.params.get("starting_after", 0))
        return Reply({"data": [{"id": start + 1}, {"id": start + 2}], "has_more": start < 2})

    server.answer = by_last
    answers = client.pages(
        "/list", next_request=after_last("data", "id", "starting_after", "has_more"), data="data"
    )
    assert [record["id"] for answer in answers for record in answer.at("data")] == [1, 2, 3, 4]


def test_a_vendors_own_limit_signal(server: FaultServer) -> None:
    server.script(Reply({"status": "BUSY"}, 200), Reply({"status": "OK"}))
    client = ApiClient("toy", server.url, limit_wait=lambda _s, _h, body: 0.01 if b"BUSY" in body else None)
    assert client.get("/a").at("status") == "OK"
    assert len(server.asked) == 2


def test_a_refusal_quotes_the_answer_without_secrets(server: FaultServer) -> None:
    server.script(Reply({"message": "unknown field x for ann@customer.example"}, 400))
    with pytest.raises(RequestRefused, match="unknown field x") as failure:
        ApiClient("toy", server.url).get("/a", params={"key": "query-secret"})
    assert failure.value.status == 400
    assert "customer.example" not in str(failure.value)
    assert "query-secret" not in str(failure.value)


def test_only_loopback_may_be_unencrypted() -> None:
    with pytest.raises(SourceError, match="its base URL is no https address"):
        ApiClient("toy", "http://api.example.com")
    assert ApiClient("toy", "https://api.example.com").origin == ("https", "api.example.com", 443)


def test_redaction() -> None:
    text = "GET https://user:pw@x.example/a?token=abc#f with secret123"
    assert redact(text, ("secret123",)) == "GET https://[secret]@x.example/a?[query] with [secret]"
