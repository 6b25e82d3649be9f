"""One published file, one server of the dashboard, one browser and one window for all tests of a process.

The file is that of FUNNELHOUSE_BROWSER_DATA (a data folder; `make test` leaves its own where
FUNNELHOUSE_KEEP_BUILT says), else a small company's is built first, which takes most of a minute.
"""

from __future__ import annotations

import datetime as dt
import fcntl
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
from playwright.sync_api import BrowserContext, Page, sync_playwright

from dashboard import launch, sandbox_truth
from ingestion.settings import Paths
from tests.browser.support import DESKTOP, WATCH, settle

Sql = Callable[..., list[tuple[Any, ...]]]
Open = Callable[..., Page]
LAST_DAY = dt.datetime(2026, 7, 1, 3, 0, 0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a published file and, of a simulated company, its answer key."""
    given = os.environ.get("FUNNELHOUSE_BROWSER_DATA")
    if given and Paths(Path(given)).published.is_file():
        folder = Path(given).resolve()
    else:
        folder = _build(tmp_path_factory.mktemp("dashboard"))
    with (tmp_path_factory.getbasetemp().parent / "answer_key.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the first process works it out, the others wait for it
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
def sql(data_folder: Path) -> Iterator[Sql]:
    """Ask the published file: `sql("select …", [parameters])` gives rows."""
    with duckdb.connect(str(Paths(data_folder).published), read_only=True) as connection:

        def ask(query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
            return connection.execute(query, list(parameters)).fetchall()

        yield ask


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
            time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)
        self.sink.close()


class Window:
    """Chromium, unseen. Its pages share what they have loaded; each is a visit of its own, and goes with its
    test: a page behind another one draws nothing, and may wait for ever.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.outside: list[str] = []  # addresses beyond 127.0.0.1 that a page has asked for
        self.failures: list[str] = []  # what went wrong in a page
        context.set_default_timeout(30_000)
        context.add_init_script(WATCH)
        context.on("request", lambda request: self.note(request.url))
        context.on("weberror", lambda error: self.failures.append(str(error.error)))

    def note(self, url: str) -> None:
        if urlsplit(url).scheme in ("http", "https", "ws", "wss") and urlsplit(url).hostname != "127.0.0.1":
            self.outside.append(url)


@pytest.fixture(scope="session")
def window() -> Iterator[Window]:
    """The Chromium of CHROMIUM, else the machine's, else the one that `playwright install` brought."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield Window(browser.new_context(reduced_motion="reduce", accept_downloads=True))
        browser.close()


@pytest.fixture
def open_page(server: str, window: Window) -> Iterator[Open]:
    """`open_page("attribution", country="NL")` gives the page, settled; `size` and `scheme` say on what.

    At the end no page may have asked for anything outside, or have failed in the browser.
    """
    pages: list[Page] = []
    window.outside.clear()
    window.failures.clear()

    def opened(
        name: str, *, size: tuple[int, int] = DESKTOP, scheme: str = "light", base: str = "", **chosen: str
    ) -> Page:
        page = window.context.new_page()
        pages.append(page)
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        path = "" if name == "overview" else name  # the first page has no path
        page.goto(f"{base or server}/{path}" + (f"?{urlencode(chosen)}" if chosen else ""))
        settle(page)
        return page

    yield opened
    for page in pages:
        page.close()
    assert window.outside == []
    assert window.failures == []
