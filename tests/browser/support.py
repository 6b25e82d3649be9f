"""What tests do on a page: wait until it is drawn, choose, go on, and read what stands there."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Locator, Page, expect

DESKTOP, PHONE = (1440, 900), (390, 844)
SPAN = ["2026-04-01", "2026-06-30"]  # the default: the last three months before the run

# Counts the runs of the page's script whose end the server has told: a short one is over before it shows.
# That is field 6 of Streamlit's message; fields are told apart as protobuf writes them.
WATCH = """
window.runs = 0;
const endsRun = bytes => {
  let place = 0;
  const number = () => {
    let value = 0, scale = 1, byte;
    do { byte = bytes[place++]; value += (byte & 127) * scale; scale *= 128; } while (byte > 127);
    return value;
  };
  while (place < bytes.length) {
    const tag = number();
    if (tag >> 3 === 6) return true;
    if ((tag & 7) === 2) { const length = number(); place += length; }
    else if ((tag & 7) === 0) number();
    else place += (tag & 7) === 1 ? 8 : 4;
  }
  return false;
};
window.WebSocket = class extends window.WebSocket {
  constructor(...said) {
    super(...said);
    this.addEventListener('message', event => {
      if (event.data instanceof ArrayBuffer && endsRun(new Uint8Array(event.data)))
        setTimeout(() => { window.runs += 1; });
    });
  }
};
"""
# Nothing runs, nothing is still to come, every chart is drawn, and for three frames nothing changed its size.
DRAWN = """
runs => {
  const app = document.querySelector('[data-testid="stApp"][data-test-script-state="notRunning"]');
  const waits = !app || window.runs < runs || document.querySelector('[data-testid="stSkeleton"]')
    || !document.querySelector('[data-testid="chosen"], .fh-empty')
    || [...document.querySelectorAll('[class*="st-key-chart_"]')].some(one =>
      !one.querySelector('.main-svg'));
  const size = waits ? '' : [...document.querySelectorAll('.main-svg, [data-testid="stMain"]')]
    .map(one => `${one.clientWidth} ${one.scrollHeight}`).join();
  window.still = size && size === window.size ? window.still + 1 : 0;
  window.size = size;
  return window.still >= 2;
}
"""


def settle(page: Page, runs: int = 0) -> None:
    """Wait until a page has been drawn, at least `runs` times; it must not have failed."""
    page.wait_for_function(DRAWN, arg=runs, polling=40)
    expect(page.locator('[data-testid="stException"]')).to_have_count(0)


@contextmanager
def drawn_anew(page: Page) -> Iterator[None]:
    """What the block does makes the page's script run; go on when the page shows its answer."""
    runs = page.evaluate("() => window.runs")
    yield
    settle(page, runs + 1)


def go_to(page: Page, name: str) -> None:
    """Follow a link of the side bar to another page, by its title."""
    with drawn_anew(page):
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()


def choose(page: Page, label: str, option: str) -> None:
    """Choose an option of a filter in the side bar, as a person does, and wait for the page."""
    _take(page, page.get_by_role("combobox", name=label), option)


def pick(page: Page, name: str, option: str) -> None:
    """Choose in a page's own list or row of buttons, as a person does, and wait for the page."""
    widget = page.locator(f".st-key-option_{name}")
    if widget.locator("input").count():
        _take(page, widget.locator("input"), option)
        return
    with drawn_anew(page):
        widget.get_by_role("radio", name=option, exact=True).or_(
            widget.get_by_role("button", name=option, exact=True)
        ).click()


def _bring(page: Page, place: Locator) -> None:
    """Scroll to a place, and let the scrolling be over: it closes a list that is open."""
    place.scroll_into_view_if_needed()
    page.wait_for_timeout(50)


def _take(page: Page, box: Locator, option: str) -> None:
    """An option of a list that opens; what is chosen already stays so, and nothing is drawn anew."""
    _bring(page, box)
    box.click()
    page.keyboard.type(option)  # a long list draws only what is in sight
    found = page.get_by_role("option", name=option, exact=True)
    if found.get_attribute("aria-selected") == "true":
        page.keyboard.press("Escape")
        return
    with drawn_anew(page):
        found.click()


def offered(page: Page, name: str) -> list[str]:
    """What a page's own list or row of buttons offers; of a long list what is in sight."""
    widget = page.locator(f".st-key-option_{name}")
    if not widget.locator("input").count():
        return [text.strip() for text in widget.locator("button").all_inner_texts()]
    _bring(page, widget)
    widget.locator("input").press("ArrowDown")  # a click does not open a list that has the focus
    page.get_by_role("option").first.wait_for()
    found = [text.strip() for text in page.get_by_role("option").all_inner_texts()]
    page.keyboard.press("Escape")
    return found


def address(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def figure(page: Page, label: str) -> float | None:
    """The exact value behind a card; None where it has none."""
    card = page.locator(f'.fh-card[data-figure="{label}"]')
    expect(card).to_have_count(1)
    value = card.get_attribute("data-value")
    return float(value) if value else None


def title(page: Page, panel: str) -> str:
    return page.locator(f".st-key-panel_{panel} .fh-title").inner_text().removesuffix("?").strip()


def table(page: Page, key: str) -> list[list[str]]:
    """A table's cells as they are written."""
    rows: list[list[str]] = page.locator(f'[data-testid="table-{key}"] tbody tr').evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"
    )
    return rows


def trace(page: Page, chart: str, number: int = 0) -> dict[str, Any]:
    """What plotly draws: one trace of a chart."""
    drawn = page.locator(f".st-key-chart_{chart} .js-plotly-plot")
    expect(drawn).to_have_count(1)
    found: dict[str, Any] = drawn.evaluate(
        """(plot, number) => {
          const trace = plot._fullData[number];
          const one = value => value && value.length && typeof value !== 'string' ? Array.from(value) : value;
          const plain = values => values && Array.from(values, one);
          return {x: plain(trace.x), y: plain(trace.y), z: plain(trace.z), base: plain(trace.base)};
        }""",
        number,
    )
    return found


def download(page: Page, key: str) -> str:
    """What a panel's CSV button gives."""
    with page.expect_download() as waiting:
        page.locator(f".st-key-csv_{key} button").first.click()
    return Path(waiting.value.path()).read_bytes().decode("utf-8-sig")


def csv_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def written(value: float) -> str:
    return f"{round(value):,}"


def money(value: float) -> str:
    return f"{'−' if round(value) < 0 else ''}€{abs(value):,.0f}"
