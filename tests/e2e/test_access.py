"""Who hears the page, or steers it by keys, gets all of it: axe-core in every tab and state, and keys alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driving import PHONE, act, after, differs, open_tab, sync_api, tile, upload

from lc.ui.texts import texts

#: The other language on a phone alone: its words are what differs, and there they have least room.
THEMES = [("light", "en"), ("dark", "en"), ("phone", "en"), ("phone", "de")]

#: Words that no German sentence has.
ENGLISH = re.compile(r"\b(the|this|that|your|of|and|with|is|are|not|faces?|photos?)\b", re.IGNORECASE)
#: All that the page says; the model card is in its author's language, and Gradio speaks the browser's.
SAID = """() => { const page = document.body.cloneNode(true);
  page.querySelectorAll(".lc-card, .lc-footer, footer, script, style").forEach((one) => one.remove());
  const marked = [...page.querySelectorAll("[aria-label], [alt], [title]")];
  return [page.textContent, ...marked.flatMap((one) => [one.ariaLabel, one.alt, one.title])].join("\\n"); }"""


def states(page: sync_api.Page, two_faces: Path, tmp_path: Path, language: str) -> Iterator[str]:
    """Take the page through all that it can show, and say what that is."""
    yield "first paint"
    page.locator(".lc-details summary").click()
    yield "details"
    page.locator("[name=lc-method][value=optimise]").check(force=True)
    page.wait_for_function("lc.state.step >= 1")
    yield "on the way"
    page.wait_for_function("!lc.state.walking && !lc.state.step")
    yield "walked"
    (tmp_path / "notes.jpg").write_text("These are notes.")
    page.locator(".lc-actions input[type=file]").set_input_files(tmp_path / "notes.jpg")
    sync_api.expect(page.locator(".lc-fault")).to_contain_text("notes.jpg")
    yield "a fault"
    upload(page, two_faces)
    yield "two faces"
    sync_api.expect(page.locator(".lc-tile img:not([hidden])")).to_have_count(10)
    act(page, lambda: page.locator(".lc-tile").first.click())
    yield "a tile is on"
    act(page, lambda: tile(page, "Eyeglasses").click())
    sync_api.expect(page.locator("[data-do=another]")).to_be_visible()
    yield "another one can be had"
    for tab in page.get_by_role("tab").all():
        tab.click()
        page.wait_for_timeout(1500)
        yield f"tab {tab.inner_text()}"
    open_tab(page, "page.card_tab", language)
    page.get_by_role("button", name=texts(language)["card.whole"]).click()
    page.wait_for_timeout(500)
    yield "the whole card"


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "language"), THEMES)
def test_axe_finds_nothing_serious(
    page: sync_api.Page, address: str, theme: str, language: str, two_faces: Path, tmp_path: Path
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    if theme == "phone":
        page.set_viewport_size(PHONE)
    else:
        page.goto(f"{address}?__theme={theme}")
        page.wait_for_selector(".lc-tile img[src]")
    found: dict[str, list[Any]] = {}
    for state in states(page, two_faces, tmp_path, language):
        page.wait_for_timeout(800)  # what fades in has faded in
        violations = axe.run(page).response["violations"]
        for one in violations:
            if one["impact"] in ("serious", "critical"):
                found.setdefault(one["id"], []).append((state, [node["html"][:160] for node in one["nodes"]][:3]))
        if language != "en" and (english := ENGLISH.findall(page.evaluate(SAID))):
            found.setdefault("English", []).append((state, sorted(set(english))))
    assert not found


def to(page: sync_api.Page, selector: str, key: str = "Tab") -> None:
    """Press Tab until the focus is where it is wanted."""
    for _ in range(90):
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press(key)
    raise AssertionError(f"no key leads to {selector}")


@pytest.mark.slow
def test_keys_alone_do_all_of_it(page: sync_api.Page, astronaut: Path) -> None:
    # Choosers are caught from here on: asked for beside the key, a busy page can take the key first, and no one hears.
    page.on("filechooser", lambda _: None)
    to(page, ".lc-actions input[type=file]")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    act(page, lambda: chooser.value.set_files(astronaut))
    old = after(page)
    to(page, "[data-name=Black_Hair]")
    new = act(page, lambda: page.keyboard.press("Enter"))
    assert new != old
    to(page, "[data-do=undo]", "Shift+Tab")
    assert act(page, lambda: page.keyboard.press("Enter")) == old
    to(page, "[data-do=redo]")
    assert act(page, lambda: page.keyboard.press("Space")) == new
    to(page, ".lc-divider", "Shift+Tab")
    place = page.locator(".lc-divider").get_attribute("aria-valuenow")
    page.keyboard.press("ArrowRight")
    assert page.locator(".lc-divider").get_attribute("aria-valuenow") != place
    to(page, "[data-slider=strength]")
    assert act(page, lambda: page.keyboard.press("ArrowLeft")) != new
    to(page, "[name=lc-method]")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("lc.state.step >= 1")
    to(page, "[data-live=stop]")
    act(page, lambda: page.keyboard.press("Enter"))
    assert page.evaluate("lc.state.method") == "optimise"
    to(page, "[data-example]")
    act(page, lambda: page.keyboard.press("Enter"))
    with page.expect_download():
        page.keyboard.press("d")
    to(page, "[role=tab][aria-selected=false]", "Shift+Tab")
    page.keyboard.press("Enter")
    sync_api.expect(page.locator(".lc-frame")).to_be_hidden()


@pytest.mark.slow
def test_where_the_focus_is_can_be_seen(page: sync_api.Page) -> None:
    """Each stop of the Tab key looks another way with the focus than without."""
    stops: list[tuple[str, dict[str, float], bytes]] = []
    unseen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        page.wait_for_timeout(60)
        if stops:
            name, clip, focused = stops[-1]
            if differs(page.screenshot(clip=clip, full_page=True), focused) < 0.05:  # type: ignore[arg-type]
                unseen.append(name)
        place = page.evaluate(
            """() => {
              const one = document.activeElement, box = (one.matches(".lc-divider") ? one.querySelector("i")
                : one.matches(".lc-actions input, .lc-method input") ? one.parentElement : one).getBoundingClientRect();
              return one === document.body ? null : [one.outerHTML.slice(0, 90), {
                x: Math.max(0, box.x + scrollX - 6), y: Math.max(0, box.y + scrollY - 6),
                width: box.width + 12, height: box.height + 12 }];
            }"""
        )
        if place is None:
            break
        stops.append((place[0], place[1], page.screenshot(clip=place[1], full_page=True)))
    assert len(stops) > 25
    assert not unseen
