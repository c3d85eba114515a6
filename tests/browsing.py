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
