"""The report in a real browser: quiet, narrow enough for a phone, legible in both schemes, whole in print."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from browsing import CHROMIUM, CONTRASTS, check_never_scrolls_sideways, check_opens_offline, opened
from fake_study import STEPS, make
from triptych import report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (Debian: apt install chromium)"),
]


FRAMEWORKS = ("vae", "gan", "vaegan", "pkg.mod:AVeryLongFrameworkName<b>")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("browser") / "study"
    make(folder, frameworks=FRAMEWORKS, diverged=("gan", 1))
    return report.write(folder).as_uri()


@pytest.fixture(scope="module")
def translated(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A study with two conditions, whose page has the table of translation, too."""
    folder = tmp_path_factory.mktemp("browser") / "study"
    make(folder, frameworks=FRAMEWORKS, seeds=2, conditions=({"training.translate": 0.0}, {"training.translate": 0.2}))
    return report.write(folder).as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with opened() as browser:
        yield browser


def test_opens_offline_without_a_request_or_a_complaint(browser: Any, address: str) -> None:
    check_opens_offline(browser, address)


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_never_scrolls_sideways(browser: Any, address: str, width: int) -> None:
    check_never_scrolls_sideways(browser, address, width)


def test_tables_of_scores_stand_on_a_phone_without_scrolling(browser: Any, translated: str) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 800})
    page.goto(translated)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    boxes = page.evaluate(
        "[...document.querySelectorAll('.stack')].map(t => [t.parentElement.scrollWidth, t.parentElement.clientWidth])"
    )
    assert len(boxes) > 10
    assert [box for box in boxes if box[0] > box[1]] == []
    page.close()


def test_a_notes_number_leads_to_the_note(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    page.locator("#scores details:has(sup)").first.evaluate("d => d.open = true")
    link = page.locator("#scores sup a:visible").first
    note = page.locator(link.get_attribute("href"))
    assert not note.is_visible()
    link.click()
    assert note.is_visible()
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_contrast(browser: Any, address: str, scheme: str) -> None:
    page = browser.new_page(color_scheme=scheme)
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    found = page.evaluate(CONTRASTS)
    assert any(tag == "text" for _, tag, _ in found)  # figures too
    assert [f for f in found if f[0] < 4.5] == []  # WCAG 2.2, AA
    page.close()


def test_slider_walks_through_training(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    assert page.locator(".step:visible").count() == 1
    slider = page.get_by_label("Training images", exact=True)
    slider.focus()
    page.keyboard.press("Home")
    assert page.locator(".step:visible").get_attribute("data-label") == f"{STEPS[0]} images"
    assert page.locator(".development output").inner_text() == f"{STEPS[0]} images"
    page.close()


def test_is_whole_without_scripts(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert page.locator(".step:visible").count() == len(STEPS)
    assert not page.locator(".control").is_visible()
    context.close()


def test_print_opens_every_detail(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    closed = page.locator("details:not([open])").count()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert closed > 3
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() == closed
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator(".step:visible").count() == len(STEPS)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.close()
