"""A real browser for tests of pages, and how light its texts stand against their grounds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


@contextmanager
def opened() -> Iterator[Any]:
    """A headless Chromium."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


def check_opens_offline(browser: Any, address: str) -> None:
    """The page asks the network for nothing, complains of nothing, and all its pictures are there."""
    context = browser.new_context(offline=True)
    page = context.new_page()
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda r: requests.append(r.url))
    page.on("console", lambda m: complaints.append(m.text))
    page.on("pageerror", lambda e: complaints.append(str(e)))
    page.goto(address)
    page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert [r for r in requests if not r.startswith("data:")] == [address]
    assert complaints == []
    context.close()


def check_never_scrolls_sideways(browser: Any, address: str, width: int) -> None:
    """With everything unfolded, the page is as wide as the window."""
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.close()


CONTRASTS = """() => {
  const rgb = c => c.match(/[\\d.]+/g).map(Number);
  const linear = v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = c => { const [r, g, b] = rgb(c).map(v => linear(v / 255));
                       return .2126 * r + .7152 * g + .0722 * b; };
  const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
                        if (!(rgb(c).length === 4 && rgb(c)[3] === 0)) return c; } };
  const found = [];
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || e.closest("script")) continue;
    const style = getComputedStyle(e), svg = e.closest("svg");
    const both = [light(svg ? style.fill : style.color), light(ground(svg ? svg.parentElement : e))];
    const [a, b] = both.sort((x, y) => y - x);
    found.push([(a + .05) / (b + .05), e.tagName, e.textContent.slice(0, 30)]);
  }
  return found;
}"""
