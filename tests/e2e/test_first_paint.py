"""What a visitor sees before the page's programs have run, and that nothing moves while they do."""

from __future__ import annotations

import numpy as np
import pytest
from driving import PATIENCE, PHONE, picture, sync_api, tile

DESK = {"width": 1280, "height": 900}

_SHIFTS = """window.shifts = 0;
new PerformanceObserver((list) => list.getEntries().forEach((one) => { window.shifts += one.value; }))
  .observe({ type: "layout-shift", buffered: true });"""


def test_an_edited_face_is_seen_before_any_program_has_run(browser: sync_api.Browser, address: str) -> None:
    page = browser.new_page(viewport=DESK)
    page.route("**/*.js", lambda route: route.abort())
    page.goto(address)
    page.wait_for_function("document.querySelector('#lc-first img').naturalWidth > 200")
    picture = page.locator("#lc-first img").bounding_box()
    assert picture
    assert picture["width"] * picture["height"] > 0.3 * DESK["width"] * DESK["height"]
    assert page.locator("#lc-first p").inner_text().strip()  # what is to be seen in it
    shown = page.evaluate("new URL(document.querySelector('#lc-first img').src).pathname")
    find = "gradio_config.components.find((one) => one.props.elem_id === 'stage')"
    stage = page.evaluate(f"JSON.parse({find}.props.value)")
    assert shown.endswith(stage["after"])
    assert stage["after"] != stage["before"]
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_the_first_face_goes_through_changes_unless_somebody_wants_no_motion(
    browser: sync_api.Browser, address: str, motion: str
) -> None:
    page = browser.new_page(viewport=DESK, reduced_motion=motion)  # type: ignore[arg-type]
    page.goto(address)
    page.wait_for_selector("#lc-first", state="detached", timeout=PATIENCE)
    first = picture(page)
    page.wait_for_timeout(4000)
    changed = np.abs(picture(page) - first).mean()
    assert changed > 0.5 if motion == "no-preference" else changed == 0
    tile(page, "Male").click()  # and stops as soon as somebody does something
    page.wait_for_function("lc.state.boxes.includes('Male')", timeout=PATIENCE)
    edited = picture(page)
    page.wait_for_timeout(4000)
    assert np.array_equal(picture(page), edited)
    page.close()


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_nothing_moves_while_the_page_comes(browser: sync_api.Browser, address: str, size: dict[str, int]) -> None:
    page = browser.new_page(viewport=size)  # type: ignore[arg-type]
    page.add_init_script(_SHIFTS)
    page.goto(address)
    page.wait_for_selector("#lc-first", state="detached", timeout=PATIENCE)
    sync_api.expect(tile(page, "Smiling")).to_be_visible()
    page.wait_for_timeout(1000)
    assert page.evaluate("window.shifts") < 0.05
    page.close()


def test_a_page_that_nobody_touches_comes_to_rest(browser: sync_api.Browser, address: str) -> None:
    page = browser.new_page(viewport=DESK, reduced_motion="reduce")
    page.add_init_script("""window.drawn = 0; const draw = requestAnimationFrame;
        window.requestAnimationFrame = (call) => { window.drawn += 1; return draw(call); };""")
    page.goto(address)
    page.wait_for_selector("#lc-first", state="detached", timeout=PATIENCE)
    for _ in range(20):  # Gradio's own animations run out after a few seconds
        page.evaluate("window.drawn = 0")
        page.wait_for_timeout(1000)
        if not page.evaluate("window.drawn"):
            break
    else:
        pytest.fail("frames are drawn on and on")
    page.close()
