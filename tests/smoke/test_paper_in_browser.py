"""The reproduction's page in a real browser: quiet, narrow enough for a phone, legible in both schemes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import fake_paper
from browsing import CHROMIUM, CONTRASTS, check_never_scrolls_sideways, check_opens_offline, opened

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (Debian: apt install chromium)"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fake_paper.write(fake_paper.make(tmp_path_factory.mktemp("browser") / "paper")).as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with opened() as browser:
        yield browser


def test_opens_offline_without_a_request_or_a_complaint(browser: Any, address: str) -> None:
    check_opens_offline(browser, address)


@pytest.mark.parametrize("width", [320, 360, 768, 1200])
def test_never_scrolls_sideways(browser: Any, address: str, width: int) -> None:
    check_never_scrolls_sideways(browser, address, width)


def test_the_verdicts_stand_on_a_phone_without_scrolling(browser: Any, address: str) -> None:
    shown = browser.new_page(viewport={"width": 360, "height": 800})
    shown.goto(address)
    boxes = shown.evaluate(
        "[...document.querySelectorAll('.stack')].map(t => [t.parentElement.scrollWidth, t.parentElement.clientWidth])"
    )
    assert len(boxes) > 9
    assert [box for box in boxes if box[0] > box[1]] == []
    shown.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_contrast(browser: Any, address: str, scheme: str) -> None:
    shown = browser.new_page(color_scheme=scheme)
    shown.goto(address)
    shown.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    found = [f for f in shown.evaluate(CONTRASTS) if f[1] != "text"]
    assert len(found) > 500
    assert [f for f in found if f[0] < 4.5] == []  # WCAG 2.2, AA
    shown.close()
