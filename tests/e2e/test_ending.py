"""What runs ends with whatever changes the state; a walk can be stopped, and be saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from driving import act, entry, sync_api
from PIL import Image


def walk(page: sync_api.Page) -> None:
    """Set the optimiser off, and wait until the face is on its way."""
    page.locator("[name=lc-method][value=optimise]").check(force=True)
    page.wait_for_function("lc.state.step >= 2")


WALKS = {
    "undo": "document.querySelector('[data-do=undo]').click()",
    "reset": "document.querySelector('[data-do=reset]').click()",
    "history": "document.querySelector('.lc-history button').click()",
    "example": "document.querySelector('[data-example=\"1\"]').click()",
    "method": "document.querySelector('[name=lc-method][value=actor]').click()",
    "tile": "document.querySelector('[name=lc-method][value=actor]').checked = true, lc.wish.method = 'actor', "
    "document.querySelector('[data-name=Black_Hair]').click()",
}


@pytest.mark.slow  # test_ui_ending is quick, and has all of them without a browser
@pytest.mark.parametrize("what", WALKS)
def test_a_walk_ends_with_whatever_changes_the_state(page: sync_api.Page, what: str) -> None:
    walk(page)
    act(page, lambda: page.evaluate(WALKS[what]))
    settled = None
    while settled != (settled := entry(page)):  # the end of the walk and what ended it arrive one after the other
        page.wait_for_timeout(1500)
    page.wait_for_timeout(3000)
    assert entry(page) == settled
    assert page.evaluate("lc.state.method") == "actor"


def test_stop_keeps_the_face_and_the_walk_is_saved(page: sync_api.Page, tmp_path: Path) -> None:
    page.locator("[name=lc-method][value=optimise]").check(force=True)
    page.wait_for_function("lc.state.step >= 3")
    assert page.locator(".lc-energies polyline").count() >= 2
    act(page, lambda: page.locator("[data-live=stop]").click())
    assert page.evaluate("lc.state.method") == "optimise"
    with page.expect_download() as download:
        page.locator("[data-live=film]").click()
    download.value.save_as(tmp_path / "walk.webp")
    with Image.open(tmp_path / "walk.webp") as film:
        assert film.n_frames >= 3  # type: ignore[attr-defined]


@pytest.mark.slow
def test_another_tab_ends_a_walk_and_the_face_is_as_it_was(page: sync_api.Page) -> None:
    settled = entry(page)
    walk(page)
    page.get_by_role("tab", name="How good is it").click()
    page.wait_for_timeout(3000)
    page.get_by_role("tab", name="Edit", exact=True).click()
    page.wait_for_timeout(1500)
    assert entry(page) == settled
    assert page.evaluate("[lc.state.walking, lc.wish.method]") == [False, "actor"]
    sync_api.expect(page.locator("[data-live=stop]")).to_be_hidden()


def seconds(process: Any) -> float:
    """Of the processor, that a process has had."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the processor's time is read from /proc")
def test_closing_the_page_ends_a_walk(page: sync_api.Page, served: Any, browser: sync_api.Browser) -> None:
    other = browser.new_page()
    other.goto(served.address)
    other.wait_for_selector(".lc-tile img[src]")
    # Slow steps: without an end this walk would keep the server busy for long.
    other.locator("[name=lc-method][value=optimise]").check(force=True)
    other.wait_for_function("lc.state.step >= 1")
    other.close()
    page.wait_for_timeout(2500)
    begun = seconds(served.process)
    page.wait_for_timeout(3000)
    assert seconds(served.process) - begun < 0.5
