"""What goes wrong on the command line is one clear line and a non-zero exit, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from ingestion.settings import PROJECT_ROOT

TOKEN = "canary-token-us21"


def funnelhouse(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command line with a data folder of its own and nothing of the developer's settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SOURCES__")}
    return subprocess.run(
        [sys.executable, "-m", "orchestration.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=PROJECT_ROOT,
        env={**inherited, "FUNNELHOUSE_DATA_DIR": str(folder), **settings},
        timeout=300,
        check=False,
    )


def the_one_line(result: subprocess.CompletedProcess[str]) -> str:
    """The error line of a refused command; asserts that there is exactly one, and no traceback anywhere."""
    assert result.returncode == 1, result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


class Refusing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"title": "API Key Invalid", "status": 401}).encode()
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        return None


@pytest.fixture(scope="module")
def refusing_server() -> Iterator[str]:
    """A server that refuses every token."""
    server = HTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("run", "--systems", "nonsense"), "no system called 'nonsense'"),
        (("run", "--systems", "files", "--manifest", "/does/not/exist.yml"), "/does/not/exist.yml"),
        (("run", "--systems", ","), "at least one name"),
        (("publish",), "nothing to publish"),
        (("demo", "--scale", "gigantic"), "no scale 'gigantic'"),
        (("backfill", "--system", "files", "--from", "yesterday", "--to", "2026-06-01"), "no date"),
    ],
)
def test_wrong_use_is_one_line(tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
    line = the_one_line(funnelhouse(tmp_path / "data", *arguments))
    assert expected in line
    assert not (tmp_path / "data" / "warehouse.duckdb").exists()


def test_an_invalid_manifest_is_one_line(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.yml"
    manifest.write_text("version: 1\nentities:\n  no_such_entity:\n    files: '*.csv'\n")
    result = funnelhouse(tmp_path / "data", "run", "--systems", "files", "--manifest", str(manifest))
    assert "manifest.yml" in the_one_line(result)


def test_a_wrong_token_and_an_unreachable_host_are_one_line(tmp_path: Path, refusing_server: str) -> None:
    folder = tmp_path / "data"
    wrong = funnelhouse(
        folder,
        "run",
        "--systems",
        "mailchimp",
        SOURCES__MAILCHIMP__BASE_URL=refusing_server,
        SOURCES__MAILCHIMP__API_KEY=TOKEN,
    )
    line = the_one_line(wrong)
    assert "mailchimp" in line
    assert TOKEN not in wrong.stdout + wrong.stderr
    away = funnelhouse(
        folder,
        "run",
        SOURCES__MAILCHIMP__BASE_URL="http://127.0.0.1:9",
        SOURCES__MAILCHIMP__API_KEY=TOKEN,
    )
    assert "mailchimp" in the_one_line(away)  # the choice of systems was recorded by the run before
    assert TOKEN not in away.stdout + away.stderr
    hits = [path for path in folder.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert hits == []
    assert not (folder / "published" / "funnelhouse.duckdb").exists()


def test_doctor_says_what_is_missing(tmp_path: Path, refusing_server: str) -> None:
    (tmp_path / "data").mkdir()
    entries = [
        {"system": "mailchimp", "connection": "main", "accounts": ["us21"], "entities": ["email_events"]}
    ]
    (tmp_path / "data" / "settings.json").write_text(json.dumps({"systems": entries}))
    unset = funnelhouse(tmp_path / "data", "doctor")
    assert unset.returncode == 1
    assert "SOURCES__MAILCHIMP__API_KEY" in unset.stdout
    refused = funnelhouse(
        tmp_path / "data",
        "doctor",
        SOURCES__MAILCHIMP__BASE_URL=refusing_server,
        SOURCES__MAILCHIMP__API_KEY=TOKEN,
    )
    assert refused.returncode == 1
    assert "mend" in refused.stdout
    assert TOKEN not in refused.stdout + refused.stderr


def test_help_answers_at_once() -> None:
    code = (
        "import sys; import orchestration.cli;"
        "print([m for m in ('dagster', 'dbt', 'dlt', 'duckdb', 'great_expectations') if m in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT_ROOT, check=True
    )
    assert loaded.stdout.strip() == "[]"
