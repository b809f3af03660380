"""On a phone of 390x844 pixels."""

from __future__ import annotations

from pathlib import Path

import pytest
from driving import GERMAN, PHONE, TABS, act, after, differs, open_tab, sync_api, tile, upload

#: The words of what reaches out of the page's column, or out of its own frame; what scrolls by itself may.
REACHES_OUT = """() => { const page = document.querySelector(".lc-intro").getBoundingClientRect();
  return [...document.querySelectorAll(".lc-root :is(button, label, summary, select, p, small, b, th, td), .lc-tag")]
    .filter((one) => one.checkVisibility() && !one.closest(".lc-tiles, .lc-examples, .lc-history")).filter((one) => {
      const box = one.getBoundingClientRect(), wide = one.clientWidth && one.scrollWidth > one.clientWidth + 1;
      return wide || box.left < page.left - 4 || box.right > page.right + 4;
    }).map((one) => one.textContent.trim()); }"""


@pytest.mark.parametrize("language", ["en", GERMAN])
def test_a_phone_scrolls_one_way_only(page: sync_api.Page, language: str) -> None:
    page.set_viewport_size(PHONE)
    page.locator(".lc-details summary").first.click()
    for tab in TABS:
        open_tab(page, tab, language)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert not page.evaluate(REACHES_OUT)


@pytest.mark.parametrize("language", ["en", GERMAN])
def test_on_a_phone_everything_is_within_one_scroll_and_large_enough(page: sync_api.Page, language: str) -> None:
    page.set_viewport_size(PHONE)
    for selector in (".lc-actions label", ".lc-tile", ".lc-frame", "[data-do=export]"):
        box = page.locator(selector).first.bounding_box()
        assert box
        assert box["y"] < 2 * 844
        assert min(box["width"], box["height"]) >= 44
    controls = ("#desk :is(button, select):visible",)
    controls += (
        "#random :is(button, label.lc-button, summary):visible",
        "#teach :is(button, label.lc-button, summary):visible",
    )
    for tab, selector in zip(TABS, controls, strict=False):  # the last tab has none
        open_tab(page, tab, language)
        page.wait_for_timeout(1000)
        for control in page.locator(selector).all():
            box = control.bounding_box()
            assert box
            assert min(box["width"], box["height"]) >= 44


@pytest.mark.slow
def test_upload_tile_before_after_and_download_are_within_one_scroll(page: sync_api.Page, astronaut: Path) -> None:
    page.set_viewport_size(PHONE)
    upload(page, astronaut)
    sync_api.expect(page.locator(".lc-tile img:not([hidden])")).to_have_count(10)
    page.evaluate("window.scrollTo(0, 0)")
    old = after(page)
    assert act(page, lambda: tile(page, "Black_Hair").click()) != old
    page.wait_for_timeout(1000)  # the wipe
    places = [".lc-actions label", ".lc-tile", ".lc-frame", ".lc-divider", "[data-do=export]"]
    boxes = [page.locator(selector).first.bounding_box() for selector in places]
    assert all(boxes)
    top = min(box["y"] for box in boxes if box)
    bottom = max(box["y"] + box["height"] for box in boxes if box)
    assert bottom - top < 844, dict(zip(places, boxes, strict=True))
    assert page.evaluate("window.scrollY") + bottom < 2 * 844
    page.locator(".lc-frame").scroll_into_view_if_needed()
    edited = page.locator(".lc-frame").screenshot()
    box = page.locator(".lc-frame").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 3)
    page.mouse.down()
    held = page.locator(".lc-frame").screenshot()
    page.mouse.up()
    assert differs(edited, held) > 1
    with page.expect_download() as download:
        page.locator("[data-do=export]").click()
    assert download.value.suggested_filename.endswith("-edited.png")
