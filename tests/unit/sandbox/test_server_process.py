"""The sandbox as a process of its own: it comes up, writes the file drop, follows the clock, and goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import requests

from sandbox.app import free_port, launched, wait_until_ready
from tests.unit.sandbox.conftest import Client

STARTER = """
import sys, time
from sandbox.app import launched
with launched("small", port=int(sys.argv[1])):
    print("up", flush=True)
    time.sleep(60)
"""


def _answers(base: str) -> bool:
    try:
        return requests.get(f"{base}/_sandbox/clock", timeout=5).status_code == 200
    except requests.exceptions.ConnectionError:
        return False


def test_a_launched_sandbox_serves_writes_the_drop_and_ends_with_the_block(tmp_path: Path) -> None:
    with launched("small", as_of="2026-06-20T03:00:00Z", drop=tmp_path) as base:
        client = Client(base)
        assert client.control("GET", "clock") == {"as_of": "2026-06-20T03:00:00Z"}
        assert client.billing("/v1/customers").json()["data"]
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
        assert tmp_path / "manifest.yml" in before
        client.control("POST", "clock", {"as_of": "2026-06-22T03:00:00Z"})
        after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
        assert any(after[path] != before.get(path) for path in after)
    assert not _answers(base)


def test_a_launched_sandbox_ends_when_its_starter_is_killed() -> None:
    port = free_port()
    starter = subprocess.Popen([sys.executable, "-c", STARTER, str(port)], stdout=subprocess.PIPE)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", 120, starter)
        os.kill(starter.pid, signal.SIGKILL)
        starter.wait(timeout=10)
        deadline = time.monotonic() + 15
        while _answers(f"http://127.0.0.1:{port}") and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not _answers(f"http://127.0.0.1:{port}")
    finally:
        starter.kill()
        starter.wait()
        assert starter.stdout is not None
        starter.stdout.close()
