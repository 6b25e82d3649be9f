"""One published file, one server of the dashboard and one browser for all tests here.

The file is that of FUNNELHOUSE_BROWSER_DATA (a data folder; `make test` leaves its own where
FUNNELHOUSE_KEEP_BUILT says), else a small company's is built first, which takes most of a minute.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import duckdb
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from dashboard import launch, sandbox_truth
from ingestion.settings import Paths

Sql = Callable[..., list[tuple[Any, ...]]]
Open = Callable[..., Page]
DESKTOP, PHONE = (1440, 900), (390, 844)
SETTLED = '[data-testid="stApp"][data-test-script-state="notRunning"]'
LAST_DAY = dt.datetime(2026, 7, 1, 3, 0, 0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a published file."""
    given = os.environ.get("FUNNELHOUSE_BROWSER_DATA")
    if given and Paths(Path(given)).published.is_file():
        folder = Path(given).resolve()
    else:
        folder = _build(tmp_path_factory.mktemp("dashboard"))
    working = sandbox_truth.prepare(Paths(folder))
    if working is not None:
        working.join()
    return folder


def _build(folder: Path) -> Path:
    from orchestration import demo, transform
    from orchestration.console import make_console
    from tests.integration.support import run_day

    paths = Paths(folder).create()
    demo.claim(paths, "small", 7)
    with demo.company(paths, "small", 7, make_console()):
        transform.prepare(paths)
        run_day(paths, LAST_DAY, tests=True)
    return folder


@pytest.fixture(scope="session")
def sql(data_folder: Path) -> Sql:
    """Ask the published file: `sql("select …", [parameters])` gives rows."""

    def ask(query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(Paths(data_folder).published), read_only=True) as connection:
            return connection.execute(query, list(parameters)).fetchall()

    return ask


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def server(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The dashboard as `funnelhouse dashboard` starts it; gives its address."""
    with serving(data_folder, tmp_path_factory.mktemp("server") / "log") as address:
        yield address


class serving:
    """The dashboard on a data folder, up for the time of a block."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder, self.log, self.port = folder, log, _free_port()

    def __enter__(self) -> str:
        self.sink = self.log.open("w")
        self.process = subprocess.Popen(
            launch.command(self.port),
            cwd=launch.FOLDER,
            env=launch.environment(self.folder),
            stdout=self.sink,
            stderr=subprocess.STDOUT,
        )
        address = f"http://127.0.0.1:{self.port}"
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5) as answer:
                    if answer.status == 200:
                        return address
            except (urllib.error.URLError, OSError):
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(f"The dashboard did not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.2)

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)
        self.sink.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise RuntimeError("No Chromium: apt-get install chromium, or set CHROMIUM to its path.")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def outside() -> list[str]:
    """Addresses beyond 127.0.0.1 that a page has asked for; must stay empty."""
    return []


@pytest.fixture
def open_page(server: str, browser: Browser, outside: list[str]) -> Iterator[Open]:
    """`open_page("attribution", country="NL")` gives the page, settled; `size` and `scheme` say on what.

    At the end no page may have asked for anything outside, or have failed in the browser.
    """
    contexts, failures = [], []

    def note(url: str) -> None:
        if urlsplit(url).scheme in ("http", "https", "ws", "wss") and urlsplit(url).hostname != "127.0.0.1":
            outside.append(url)

    def opened(
        name: str, *, size: tuple[int, int] = DESKTOP, scheme: str = "light", base: str = "", **chosen: str
    ) -> Page:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
            accept_downloads=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("request", lambda request: note(request.url))
        page.on("pageerror", lambda error: failures.append(str(error)))
        path = "" if name == "overview" else name  # the first page has no path
        page.goto(f"{base or server}/{path}" + (f"?{urlencode(chosen)}" if chosen else ""))
        settle(page)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert outside == []
    assert failures == []


def settle(page: Page) -> None:
    """Wait until a page has been drawn; it must not have failed."""
    page.wait_for_selector('[data-testid="chosen"], .fh-empty', state="attached")
    page.wait_for_selector(SETTLED)
    page.wait_for_function("() => !document.querySelector('[data-testid=\"stSkeleton\"]')")
    expect(page.locator('[data-testid="stException"]')).to_have_count(0)


def choose(page: Page, label: str, option: str) -> None:
    """Choose an option of a filter in the side bar, as a person does, and wait for the page."""
    page.get_by_role("combobox", name=label).click()
    page.keyboard.type(option)  # a long list draws only what is in sight
    page.get_by_role("option", name=option, exact=True).click()
    expect(page.get_by_role("combobox", name=label)).to_have_count(1)
    page.wait_for_timeout(250)  # the browser tells the server first
    settle(page)


def figure(page: Page, label: str) -> float | None:
    """The exact value behind a card; None where it has none."""
    card = page.locator(f'.fh-card[data-figure="{label}"]')
    expect(card).to_have_count(1)
    value = card.get_attribute("data-value")
    return float(value) if value else None


def table(page: Page, key: str) -> list[list[str]]:
    """A table's cells as they are written."""
    rows: list[list[str]] = page.locator(f'[data-testid="table-{key}"] tbody tr').evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"
    )
    return rows


def download(page: Page, key: str) -> str:
    """What a panel's CSV button gives."""
    with page.expect_download() as waiting:
        page.locator(f".st-key-csv_{key} button").first.click()
    return Path(waiting.value.path()).read_bytes().decode("utf-8-sig")
