"""`funnelhouse doctor`: what it finds at a server that answers as told, and that the page on connecting names
everything that it asks for."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Iterator

import pytest

import ingestion.registry
from ingestion.http import ApiClient, BearerAuth
from ingestion.registry import systems
from ingestion.settings import PROJECT_ROOT, Connection, Paths, Setting, project, write_settings
from ingestion.sources import System
from orchestration.doctor import Finding, findings
from tests.faults.server import FaultServer, Reply, fault_server

TOKEN = "canary-doctor-4d11"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server() as running:
        yield running


@pytest.fixture
def found(server: FaultServer, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> object:
    """Run doctor over two connections of one system; the findings by what was looked at."""

    def check(connection: Connection) -> str:
        client = ApiClient(
            "shop", server.url, auth=BearerAuth(connection.require("TOKEN")), tries=2, backoff=0.01
        )
        return f"shop {client.get('/me').at('name')}"

    help_ = "Of an app with the scope orders:read."
    system = System(
        "shop", (), check, settings=(Setting("TOKEN", secret=True, help=help_),), api_version="v7"
    )
    monkeypatch.setattr(ingestion.registry, "systems", lambda: {"shop": system})
    entries = [{"system": "shop", "connection": name, "accounts": ["1"]} for name in ("main", "second")]
    write_settings(paths, {"systems": entries})
    monkeypatch.setenv("SOURCES__SHOP__MAIN__TOKEN", TOKEN)

    def look() -> dict[str, Finding]:
        return {finding.subject: finding for finding in findings(paths)}

    return look


def test_each_connection_is_asked_and_missing_variables_are_named(found: object, server: FaultServer) -> None:
    server.script(Reply({"name": "Fjord"}))
    seen = found()  # type: ignore[operator]
    assert (seen["shop (main)"].fine, seen["shop (main)"].text) == (True, "shop Fjord")
    assert seen["shop (main): API version"].text == "v7"
    assert not seen["shop (second)"].fine
    assert "SOURCES__SHOP__TOKEN" in seen["shop (second)"].text
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("reply", "subject", "text"),
    [
        (
            Reply({}, 401),
            "shop (main)",
            "wrong or have expired. Needed: TOKEN: Of an app with the scope orders:read",
        ),
        (
            Reply({}, 403),
            "shop (main)",
            "lack a permission. Needed: TOKEN: Of an app with the scope orders:read",
        ),
        (Reply({}, 503), "shop (main)", "failed 2 times"),
        (Reply({}, headers={"Date": "{late}"}), "shop (main): clock", "s ahead of the server. Set its clock"),
        (Reply({}, headers={"Date": "{early}"}), "shop (main): clock", "s behind the server. Set its clock"),
        (
            Reply({}, headers={"Sunset": "Sat, 31 Oct 2026 23:59:59 GMT"}),
            "shop (main): API version",
            "v7: the answers announce its end (Sunset: Sat, 31 Oct 2026 23:59:59 GMT)",
        ),
    ],
    ids=["401", "403", "503", "clock ahead", "clock behind", "version ends"],
)
def test_what_is_wrong_is_said_with_its_remedy(
    found: object, server: FaultServer, reply: Reply, subject: str, text: str
) -> None:
    moments = {"late": time.time() - 900, "early": time.time() + 900}
    for name, value in reply.headers.items():
        dates = {key: email.utils.formatdate(moment, usegmt=True) for key, moment in moments.items()}
        reply.headers[name] = value.format(**dates)
    server.script(reply)
    seen = found()  # type: ignore[operator]
    assert not seen[subject].fine
    assert text in seen[subject].text
    assert all(TOKEN not in finding.text and "\n" not in finding.text for finding in seen.values())


def test_the_page_on_connecting_has_a_section_for_each_system_and_names_each_setting() -> None:
    page = (PROJECT_ROOT / "docs" / "connect.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## [^\n]*\(`(\w+)`\)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert set(systems()) <= set(sections)
    assert {entry["system"] for entry in project()["vars"]["systems"]} <= set(sections)
    for name, system in systems().items():
        assert "**Permissions.**" in sections[name], name
        for setting in system.settings:
            assert f"`SOURCES__{name.upper()}__{setting.key}`" in sections[name], (name, setting.key)
