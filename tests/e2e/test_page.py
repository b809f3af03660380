"""The real page in Chromium, served by `python app.py`: what a visitor does, and what must never happen."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
from driving import PHONE, act, after, differs, picture, sync_api, tile, upload
from PIL import Image


def test_first_paint_is_a_large_edited_face(page: sync_api.Page) -> None:
    assert page.evaluate("lc.state.before !== lc.state.after")
    stage = page.locator(".lc-frame").bounding_box()
    assert stage
    left, _, right, _ = page.evaluate("lc.state.faces[0].box")
    a, _, c, _ = page.evaluate("lc.state.crop")
    assert (right - left) / (c - a) > 0.35  # of the stage's width
    assert stage["width"] * stage["height"] > 0.3 * 1280 * 900
    split = int(page.locator(".lc-divider").get_attribute("aria-valuenow") or 100)
    assert split < 100 * (left - a) / (c - a)  # left of the face
    assert page.locator(".lc-tile img[src]").count() == 10
    assert page.locator(".lc-tile[aria-pressed=true]").count() == 1
    assert page.locator(".lc-tag").all_inner_texts() == ["Before", "After"]
    page.locator(".lc-divider").focus()
    page.keyboard.press("Home")  # the change fills the stage
    page.wait_for_timeout(300)
    edited = page.locator(".lc-frame").screenshot()
    page.keyboard.press("End")
    page.wait_for_timeout(300)
    assert differs(edited, page.locator(".lc-frame").screenshot()) > 1


def test_before_is_seen_while_the_picture_is_held(page: sync_api.Page) -> None:
    frame = page.locator(".lc-frame")
    act(page, lambda: tile(page, "Black_Hair").click())
    page.wait_for_timeout(900)  # the wipe
    edited = frame.screenshot()
    box = frame.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 3)
    page.mouse.down()
    held = frame.screenshot()
    page.mouse.up()
    assert differs(edited, held) > 1
    page.locator(".lc-divider").focus()
    page.keyboard.press("End")
    page.wait_for_timeout(300)
    assert page.locator(".lc-divider").get_attribute("aria-valuenow") == "100"
    assert differs(frame.screenshot(), edited) > 1


def test_space_shows_before_the_divider_is_dragged_and_the_whole_photo_is_one_click_away(page: sync_api.Page) -> None:
    frame, divider, inset = (page.locator(one) for one in (".lc-frame", ".lc-divider", ".lc-inset"))
    act(page, lambda: tile(page, "Black_Hair").click())
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(900)  # the wipe
    edited = frame.screenshot()
    page.keyboard.down("Space")
    assert differs(edited, frame.screenshot()) > 1
    page.keyboard.up("Space")
    box, handle = frame.bounding_box(), divider.bounding_box()
    assert box
    assert handle
    page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2, steps=3)
    page.mouse.up()
    assert 85 < int(divider.get_attribute("aria-valuenow") or 0) < 95
    assert differs(edited, frame.screenshot()) > 1  # nearly all of it is before
    inset.click()
    page.wait_for_function("document.querySelector('.lc-after').naturalWidth === 512")  # the example's own size
    sync_api.expect(inset).to_have_attribute("aria-pressed", "true")
    page.wait_for_timeout(300)
    assert differs(edited, frame.screenshot()) > 5
    inset.click()
    sync_api.expect(inset).to_have_attribute("aria-pressed", "false")


def test_an_upload_is_read_and_a_tile_edits_it(page: sync_api.Page, astronaut: Path, tmp_path: Path) -> None:
    photo = tmp_path / "mine.png"
    with Image.open(astronaut) as image:
        image.resize((400, 400)).save(photo)
    upload(page, photo)
    sync_api.expect(page.locator("#status")).to_contain_text("your photo as it is")
    sync_api.expect(page.locator(".lc-tile img:not([hidden])")).to_have_count(10)
    old = after(page)
    new = act(page, lambda: tile(page, "Eyeglasses").click())
    assert new != old
    sync_api.expect(tile(page, "Eyeglasses")).to_have_attribute("aria-pressed", "true")
    for undo, redo in (
        (lambda: page.keyboard.press("Control+z"), lambda: page.keyboard.press("Control+Shift+z")),
        (lambda: page.locator("[data-do=undo]").click(), lambda: page.locator("[data-do=redo]").click()),
    ):
        assert act(page, undo) == old
        assert act(page, redo) == new
    assert act(page, lambda: page.locator("[data-do=reset]").click()) == old
    assert act(page, lambda: page.locator(".lc-history button").nth(1).click()) == new


def test_keys_and_quick_taps_change_the_picture(page: sync_api.Page) -> None:
    page.locator("[data-slider=identity]").focus()
    old = after(page)
    assert act(page, lambda: page.keyboard.press("ArrowRight")) != old
    first = page.locator(".lc-tile").first
    pressed = first.get_attribute("aria-pressed")
    act(page, lambda: page.keyboard.press("1"))
    assert first.get_attribute("aria-pressed") != pressed
    names = ["Male", "Black_Hair"]
    act(
        page,
        lambda: page.evaluate(
            "names => names.forEach((n) => document.querySelector(`[data-name=${n}]`).click())", names
        ),
    )
    page.wait_for_function("lc.state.boxes.includes('Male') && lc.state.boxes.includes('Black_Hair')")


def test_a_tile_says_what_is_asked_for_and_a_slider_when_it_moves_nothing(page: sync_api.Page) -> None:
    small, drawn = tile(page, "Smiling").locator("small"), page.locator("#lc-drawn")
    act(page, lambda: page.locator("[data-do=reset]").click())
    sync_api.expect(small).to_have_text("now: yes")
    act(page, lambda: tile(page, "Smiling").click())
    sync_api.expect(small).to_have_text("now: no")
    sync_api.expect(drawn).to_be_hidden()
    act(page, lambda: tile(page, "Smiling").click())
    act(page, lambda: tile(page, "Eyeglasses").click())
    sync_api.expect(drawn).to_be_visible()
    slider = page.locator("[data-slider=identity]")
    assert slider.get_attribute("aria-describedby") == "lc-drawn"
    shown = picture(page)
    act(page, lambda: slider.fill("0.8"))
    assert np.array_equal(picture(page), shown)  # as it says
    act(page, lambda: tile(page, "Black_Hair").click())
    sync_api.expect(drawn).to_be_visible()  # a colour takes no generator either
    act(page, lambda: tile(page, "Smiling").click())
    sync_api.expect(drawn).to_be_hidden()


def test_the_stage_takes_what_is_dropped_and_pasted(page: sync_api.Page, astronaut: Path) -> None:
    data = base64.b64encode(astronaut.read_bytes()).decode()
    events = {"drop": "DragEvent('drop', {dataTransfer", "paste": "ClipboardEvent('paste', {clipboardData"}
    for way, event in events.items():
        script = f"""async (data) => {{
          const blob = await (await fetch("data:image/jpeg;base64," + data)).blob(), transfer = new DataTransfer();
          transfer.items.add(new File([blob], "{way}.jpg", {{ type: "image/jpeg" }}));
          document.querySelector(".lc-frame").dispatchEvent(new {event}: transfer, bubbles: true, cancelable: true}}));
        }}"""
        act(page, lambda script=script: page.evaluate(script, data))  # type: ignore[misc]
        assert page.evaluate("lc.state.name") == f"{way}.jpg"


def test_a_bad_upload_is_one_sentence_on_the_stage(page: sync_api.Page, astronaut: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("These are notes, not a picture.")
    (tmp_path / "cut.jpg").write_bytes(astronaut.read_bytes()[:5000])
    Image.new("1", (20_000, 20_000)).save(tmp_path / "huge.png")
    Image.new("RGB", (200, 200), "grey").save(tmp_path / "nobody.png")
    old = after(page)
    for name in ("notes.jpg", "cut.jpg", "huge.png", "nobody.png"):
        page.locator(".lc-actions input[type=file]").set_input_files(tmp_path / name)
        sync_api.expect(page.locator(".lc-fault")).to_contain_text(name)
        assert page.get_by_text(name).locator("visible=true").count() == 1
        assert page.evaluate("lc.state.after") == old


@pytest.mark.slow
def test_two_people_are_edited_and_come_back_after_a_reload(
    page: sync_api.Page, two_faces: Path, tmp_path: Path
) -> None:
    upload(page, two_faces)
    sync_api.expect(page.locator(".lc-face")).to_have_count(2)  # outlined on the photo itself
    act(page, lambda: tile(page, "Black_Hair").click())
    act(page, lambda: page.get_by_role("button", name="Face 2").click())
    act(page, lambda: tile(page, "Eyeglasses").click())
    kept = page.evaluate("JSON.stringify(lc.state.keep)")
    with page.expect_download() as download:
        page.keyboard.press("d")
    download.value.save_as(tmp_path / "both.png")
    with Image.open(tmp_path / "both.png") as image, Image.open(two_faces) as photo:
        changed = (np.asarray(image.convert("RGB")) != np.asarray(photo.convert("RGB"))).any(2)
    half = changed.shape[1] // 2
    assert changed[:, :half].any()
    assert changed[:, half:].any()
    page.reload()
    page.wait_for_function("kept => JSON.stringify(window.lc?.state?.keep) === kept", arg=kept)


def test_a_link_carries_the_settings_and_no_photo(page: sync_api.Page, address: str) -> None:
    act(page, lambda: tile(page, "Black_Hair").click())
    page.locator(".lc-details summary").click()
    page.locator("[data-do=link]").click()
    link = page.evaluate("location.href")
    assert "Black_Hair" in link
    assert len(link) < 300
    other = page.context.browser.new_page()  # type: ignore[union-attr]
    other.goto(link)
    other.wait_for_function("window.lc?.state?.boxes?.includes('Black_Hair')")
    other.close()


def pixels(page: sync_api.Page, rows: slice) -> np.ndarray:
    """The edited picture between two heights of the face's box, in parts of it."""
    shown = picture(page).mean(2)
    (left, top, right, bottom), (a, b, c, d) = page.evaluate("[lc.state.faces[0].box, lc.state.crop]")
    x, y = len(shown) / (c - a), len(shown) / (d - b)
    first, last = (int(y * (top + part * (bottom - top) - b)) for part in (rows.start, rows.stop))
    return shown[first:last, int(x * (left - a)) : int(x * (right - a))]


def test_another_one_has_other_glasses_and_they_are_kept(page: sync_api.Page, address: str) -> None:
    page.set_viewport_size(PHONE)
    button = page.get_by_role("button", name="Another one")
    if page.evaluate("lc.state.boxes.includes('Eyeglasses')"):
        act(page, lambda: tile(page, "Eyeglasses").click())
    sync_api.expect(button).to_be_hidden()  # there is one smile, and one photo as it is
    first = act(page, lambda: tile(page, "Eyeglasses").click())
    sync_api.expect(button).to_be_visible()
    box = button.bounding_box()
    assert box
    assert min(box["width"], box["height"]) >= 44
    assert page.evaluate("window.scrollY") + box["y"] + box["height"] < 2 * 844
    eyes, chin = (pixels(page, rows) for rows in (slice(0.15, 0.55), slice(0.8, 1)))
    second = act(page, button.click)
    assert np.abs(pixels(page, slice(0.15, 0.55)) - eyes).mean() > 2
    assert np.abs(pixels(page, slice(0.8, 1)) - chin).mean() < 0.5
    assert act(page, lambda: page.keyboard.press("Control+z")) == first
    assert act(page, lambda: page.keyboard.press("Control+Shift+z")) == second
    button.focus()
    third = act(page, lambda: page.keyboard.press("Enter"))
    assert third not in (first, second)
    assert page.evaluate("document.activeElement.dataset.do") == "another"
    kept = page.evaluate("JSON.stringify(lc.state.keep)")
    page.reload()
    page.wait_for_function("kept => JSON.stringify(window.lc?.state?.keep) === kept", arg=kept)
    assert after(page) == third
    sync_api.expect(button).to_be_visible()
    page.locator(".lc-details summary").click()
    page.locator("[data-do=link]").click()
    assert "style=2" in page.evaluate("location.hash")
    act(page, lambda: tile(page, "Eyeglasses").click())
    sync_api.expect(button).to_be_hidden()


def test_the_wheel_over_the_picture_scrolls_the_page(page: sync_api.Page) -> None:
    page.evaluate("window.scrollTo(0, 0)")
    page.locator(".lc-frame").hover()
    page.mouse.wheel(0, 300)
    page.wait_for_function("window.scrollY > 100")


def test_a_download_has_full_size_in_either_format(page: sync_api.Page, tmp_path: Path) -> None:
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    with Image.open(path) as image:
        assert (image.format, image.size) == ("PNG", (512, 512))
    page.locator(".lc-actions select").select_option("JPEG")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename.endswith("-edited.jpg")
    download.value.save_as(tmp_path / "edited.jpg")
    with Image.open(tmp_path / "edited.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (512, 512))
        assert b"Edited with" in image.info["xmp"]


def test_a_snapshot_of_the_camera_is_taken(page: sync_api.Page) -> None:
    """Chromium's fake camera shows no face: the sentence says so."""
    page.locator("[data-do=camera]").click()
    page.wait_for_function("document.querySelector('.lc-snap video')?.readyState > 2")
    page.locator("[data-do=snap]").click()
    sync_api.expect(page.locator(".lc-fault")).to_contain_text("No face")


def test_programs_can_edit_read_and_sample(address: str, astronaut: Path, tmp_path: Path) -> None:
    client_module = pytest.importorskip("gradio_client")
    client = client_module.Client(address, verbose=False, download_files=str(tmp_path))
    photo = client_module.handle_file(str(astronaut))
    described = client.predict(photo, api_name="/describe")
    assert len(described["attributes"]) == 10
    assert len(described["faces"]) == 1
    result, report = client.predict(photo, {"Eyeglasses": True}, 0.5, "actor", api_name="/edit")
    with Image.open(result) as image:
        assert image.size == (512, 512)
    assert set(report["after"]) == set(described["attributes"])
    files, _ = client.predict(3, {"Smiling": True}, 1, True, api_name="/sample")
    assert len(files) == 3
    with pytest.raises(Exception, match="no attribute 'Wings'"):
        client.predict(photo, {"Wings": True}, 0.5, "actor", api_name="/edit")


def test_the_page_can_be_installed(page: sync_api.Page) -> None:
    chrome = page.context.new_cdp_session(page)
    manifest = chrome.send("Page.getAppManifest")
    assert not manifest["errors"]
    wrong = {error["errorId"] for error in chrome.send("Page.getInstallabilityErrors")["installabilityErrors"]}
    assert wrong <= {"in-incognito"}  # as all pages of tests are
