"""Every page at 1440 and 390 pixels, light and dark: taken, and looked at by a machine for what people would
call ugly. The pictures go to FUNNELHOUSE_PICTURES (default: pytest's own folder).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page

from dashboard.app_pages import PAGES
from tests.browser.conftest import Open
from tests.browser.support import DESKTOP, PHONE, drawn_anew, settle

# Labels of one axis that lie upon each other, and what reaches beyond the window or its own box.
UGLY = r"""
() => {
  const found = [];
  const wide = document.querySelector('[data-testid="stMain"]');
  if (wide.scrollWidth > window.innerWidth + 1) found.push(`the page is ${wide.scrollWidth} wide`);
  for (const text of document.querySelectorAll('.fh-label, .fh-value, .fh-title, .fh-todo h3'))
    if (text.scrollWidth > text.clientWidth + 1 && getComputedStyle(text).display !== 'inline')
      found.push(`cut off: ${text.innerText}`);
  for (const panel of document.querySelectorAll('[class*="st-key-panel_"]')) {
    const frame = panel.getBoundingClientRect();
    for (const axis of ['xtick', 'ytick'])
      for (const plot of panel.querySelectorAll('.js-plotly-plot')) {
        // Tilted labels lie beside each other although their boxes do not.
        const level = text => !/rotate\(-?(?!0[ ,)])[0-9]/.test(text.getAttribute('transform') || '');
        const boxes = [...plot.querySelectorAll(`.${axis} text`)].filter(level).map(text =>
          [text.textContent, text.getBoundingClientRect()]).filter(([, box]) => box.width > 0);
        boxes.forEach(([one, a], index) => {
          if (a.left < frame.left - 1 || a.right > frame.right + 1) found.push(`outside its panel: ${one}`);
          for (const [other, b] of boxes.slice(index + 1)) {
            const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
            const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
            if (across > 2 && down > 3) found.push(`upon each other: ${one} and ${other}`);
          }
        });
      }
  }
  return found;
}
"""
IS_DARK = """() => {
  const colour = getComputedStyle(document.querySelector('[data-testid="stApp"]')).backgroundColor;
  return colour.match(/\\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) < 200;
}"""


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    given = os.environ.get("FUNNELHOUSE_PICTURES")
    folder = Path(given).resolve() if given else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# What should say what it means, and does not; what should be there to download, and is not.
UNSAID = r"""
() => {
  const found = [];
  for (const panel of document.querySelectorAll('[class*="st-key-panel_"]:not(:has(.fh-empty))')) {
    const called = panel.querySelector('.fh-title').innerText;
    if (!panel.querySelector('.fh-title .fh-help .fh-tip')?.textContent.trim())
      found.push(`no definition: ${called}`);
    if (panel.querySelectorAll('[class*="st-key-csv_"]').length !== 1)
      found.push(`no download: ${called}`);
  }
  for (const card of document.querySelectorAll('.fh-card'))
    if (!card.querySelector('.fh-tip')?.textContent.trim())
      found.push(`no definition: ${card.dataset.figure}`);
  return found;
}
"""


def take(page: Page, file: Path) -> None:
    """The whole page, not only what fits into the window."""
    width, height = page.evaluate(
        "() => [window.innerWidth, document.querySelector('[data-testid=\"stMain\"]').scrollHeight]"
    )
    page.set_viewport_size({"width": width, "height": min(height + 24, 7000)})
    settle(page)
    page.screenshot(path=file)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["1440", "390"])
@pytest.mark.parametrize("name", PAGES)
def test_page_looks_right(open_page: Open, pictures: Path, name: str, size: tuple[int, int]) -> None:
    page = open_page(name, size=size)
    assert page.evaluate(UNSAID) == []
    for scheme in ("light", "dark"):
        if scheme == "dark":
            page.emulate_media(color_scheme=scheme)
            page.wait_for_function(IS_DARK)
            with drawn_anew(page):  # its charts, in the colours of the dark
                page.keyboard.press("r")
        assert page.evaluate(IS_DARK) == (scheme == "dark")
        take(page, pictures / f"{name}_{size[0]}_{scheme}.png")
        assert page.evaluate(UGLY) == [], scheme
        if (name, size, scheme) == ("overview", DESKTOP, "light") and os.environ.get("FUNNELHOUSE_PICTURES"):
            shutil.copy(pictures / "overview_1440_light.png", pictures / "dashboard.png")  # README's
