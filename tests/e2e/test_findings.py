"""What was once found wrong with the page, where no other test looks at it.

W1 the first paint: test_page.test_first_paint_is_a_large_edited_face; W2 what ends a walk: test_ending;
W3 two people: test_page.test_two_people_are_edited_and_come_back_after_a_reload; W4 wheel, keys, focus:
test_page.test_the_wheel_over_the_picture_scrolls_the_page, test_access; W5 reload: as W3, and below; W6 seeds:
test_tabs.test_what_cannot_be_made_is_a_sentence_and_the_faces_stay; W7 random faces:
test_tabs.test_random_faces_are_made_morphed_saved_and_edited, and test_ui_pieces; W8, W9, W11 below; W9 drop and paste:
test_page.test_the_stage_takes_what_is_dropped_and_pasted; W10 errors and phones:
test_page.test_a_bad_upload_is_one_sentence_on_the_stage, test_phone.
"""

from __future__ import annotations

import io
import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from driving import act, differs, picture, sync_api, tile, upload
from PIL import Image


@pytest.mark.slow
def test_more_strength_is_more_change(page: sync_api.Page) -> None:
    """W8."""
    act(page, lambda: tile(page, "Smiling").click())
    slider = page.locator("[data-slider=strength]")
    moved = []
    for value in ("0.55", "0.7", "0.85", "1"):
        if slider.input_value() != value:
            act(page, lambda value=value: slider.fill(value))  # type: ignore[misc]
        moved.append(float(np.abs(picture(page) - picture(page, "before")).mean()))
    assert moved[-1] > 1.05 * moved[0]
    assert all(more >= 0.97 * less for less, more in itertools.pairwise(moved)), moved


@pytest.mark.slow
def test_a_walk_on_a_photo_of_twelve_megapixels_moves(page: sync_api.Page, astronaut: Path, tmp_path: Path) -> None:
    """W9."""
    photo = tmp_path / "large.jpg"
    with Image.open(astronaut) as image:
        image.convert("RGB").resize((3500, 3500)).save(photo)
    upload(page, photo)
    act(page, lambda: tile(page, "Black_Hair").click())
    page.wait_for_timeout(1000)
    page.locator("[name=lc-method][value=optimise]").check(force=True)
    page.wait_for_function("lc.state.step >= 1")
    early = page.locator(".lc-frame").screenshot()
    page.wait_for_function("lc.state.step >= 6 || !lc.state.walking")
    assert differs(early, page.locator(".lc-frame").screenshot()) > 0.05


@pytest.mark.slow
def test_a_new_photo_keeps_method_and_sliders(page: sync_api.Page, astronaut: Path) -> None:
    """W5."""
    act(page, lambda: tile(page, "Black_Hair").click())
    act(page, lambda: page.locator("[data-slider=identity]").fill("0.8"))
    act(page, lambda: page.locator("[data-slider=strength]").fill("0.8"))
    upload(page, astronaut)
    assert page.locator("[data-slider=identity]").input_value() == "0.8"
    assert page.locator("[data-slider=strength]").input_value() == "0.8"
    old = picture(page)
    act(page, lambda: tile(page, "Eyeglasses").click())
    assert page.evaluate("[lc.state.identity, lc.state.strength]") == [0.2, 0.8]
    assert np.abs(picture(page) - old).mean() > 0.1


def test_no_word_is_jargon_and_the_figures_are_few(page: sync_api.Page) -> None:
    """W11."""
    for tab in page.get_by_role("tab").all():
        tab.click()
        page.wait_for_timeout(500)
        words = page.locator("[role=tabpanel]:visible").first.inner_text()
        assert not re.search(
            r"critic|sigma|\N{GREEK SMALL LETTER SIGMA}|likeness|\bwalk|no beard", words, re.IGNORECASE
        )
    page.get_by_role("tab", name="How good is it").click()
    assert page.locator("#figures li").count() <= 3
    shown = page.locator("[role=tabpanel]:visible").first
    assert len(shown.inner_text().split()) < 150
    pictures = page.locator(".lc-pairs img")
    assert pictures.count() == 20  # typical and worst, of each attribute
    pictures.last.scroll_into_view_if_needed()
    page.wait_for_function("[...document.querySelectorAll('.lc-pairs img')].at(-1).naturalWidth === 400")
    assert page.locator(".lc-curve circle").count() >= 3
    figures = page.locator("#figures").screenshot()
    assert np.asarray(Image.open(io.BytesIO(figures)).convert("L"), dtype=float).std() > 5  # large figures, to be seen
