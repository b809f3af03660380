"""The real page in Chromium, served by `python app.py`: what a visitor does, and what must never happen."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None and os.environ.get("LC_REQUIRE_BROWSER"):
    raise RuntimeError("LC_REQUIRE_BROWSER is set, and there is no chromium on the path")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path: apt-get install chromium")

PATIENCE = 40_000  # milliseconds: a machine that also trains is slow


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("app") / "log"
    command = [sys.executable, "app.py", "--port", str(port), "--device", "cpu"]
    with log.open("w") as output:
        server = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 120
        while "http" not in log.read_text():
            assert server.poll() is None, f"app.py ended: {log.read_text()}"
            assert time.monotonic() < deadline, "app.py does not start"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/"
        assert "Traceback" not in log.read_text(), log.read_text()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    sync_api.expect.set_options(timeout=PATIENCE)
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: sync_api.Browser, address: str) -> Iterator[sync_api.Page]:
    """A fresh visitor. Whatever the test does, the console stays clean and nothing is asked from outside."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE)
    complaints: list[str] = []
    outside: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    local = (address, "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(local) else outside.append(request.url))
    page.goto(address)
    page.wait_for_selector("#pair img")
    yield page
    assert not outside
    assert not complaints
    page.close()


def after(page: sync_api.Page) -> str:
    """The address of the edited picture: it holds a hash of the content."""
    source = page.locator("#pair img").last.get_attribute("src")
    assert source
    return source


def wait_for_change(page: sync_api.Page, old: str) -> str:
    page.wait_for_function("old => [...document.querySelectorAll('#pair img')].at(-1)?.src !== old", arg=old)
    return after(page)


def ticked(page: sync_api.Page) -> set[str]:
    return set(page.locator("#boxes input:checked").evaluate_all("boxes => boxes.map((box) => box.name)"))


def upload(page: sync_api.Page, path: Path) -> None:
    """Through the file chooser of the photo box, once it is emptied."""
    page.locator("#photo").get_by_label("Remove Image").click()
    with page.expect_file_chooser() as chooser:
        page.locator("#photo").get_by_label("Drop an image file here to upload").click()
    chooser.value.set_files(path)


def status(page: sync_api.Page) -> str:
    return page.locator("#status").inner_text()


def test_first_paint_shows_an_edited_face(page: sync_api.Page) -> None:
    before = page.locator("#pair img").first.get_attribute("src")
    assert before != after(page)
    assert ticked(page)
    assert page.locator("#stages img").count() == 4
    assert page.locator("#bars tbody tr").count() == 10


def test_an_upload_is_read_and_a_box_edits_it(page: sync_api.Page, astronaut: Path, tmp_path: Path) -> None:
    photo = tmp_path / "mine.png"
    with Image.open(astronaut) as image:
        image.resize((400, 400)).save(photo)
    upload(page, photo)
    sync_api.expect(page.locator("#status")).to_contain_text("the photo as it is")
    seen, old = ticked(page), after(page)
    page.locator("#boxes").get_by_label("Eyeglasses").click()
    new = wait_for_change(page, old)
    assert ticked(page) ^ seen == {"Eyeglasses"}
    sync_api.expect(page.locator("#bars")).to_contain_text("asked")

    page.get_by_role("button", name="Undo").last.click()
    assert wait_for_change(page, new) == old
    assert ticked(page) == seen
    page.get_by_role("button", name="Redo").click()
    assert wait_for_change(page, old) == new
    page.get_by_role("button", name="Reset").click()
    assert wait_for_change(page, new) == old


def test_the_slider_edits_and_one_of_a_group_clears_the_others(page: sync_api.Page) -> None:
    for colour in ("Blond hair", "Brown hair"):
        if not page.locator("#boxes").get_by_label(colour).is_checked():
            old = after(page)
            page.locator("#boxes").get_by_label(colour).click()
            wait_for_change(page, old)
    sync_api.expect(page.locator("#boxes input[name=Blond_Hair]")).not_to_be_checked()
    sync_api.expect(page.locator("#boxes input[name=Brown_Hair]")).to_be_checked()
    old = after(page)
    slider = page.locator("#identity input[type=range]")
    slider.fill("0.05")
    slider.dispatch_event("pointerup")
    wait_for_change(page, old)


@pytest.mark.parametrize("name", ["notes.jpg", "cut.jpg", "huge.png", "nobody.png"])
def test_a_bad_upload_is_a_sentence_and_the_picture_stays(
    page: sync_api.Page, astronaut: Path, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    if name == "notes.jpg":
        path.write_text("These are notes, not a picture.")
    elif name == "cut.jpg":
        path.write_bytes(astronaut.read_bytes()[:5000])
    elif name == "huge.png":
        Image.new("1", (20_000, 20_000)).save(path)
    else:
        Image.new("RGB", (200, 200), "grey").save(path)
    old = after(page)
    upload(page, path)
    sync_api.expect(page.locator("#status .error")).to_contain_text(name)
    assert after(page) == old
    sync_api.expect(page.locator("#photo img")).to_have_attribute("src", re.compile("astronaut"))


def test_several_faces_are_outlined_and_one_can_be_chosen(page: sync_api.Page, two_faces: Path) -> None:
    assert not page.locator("#choice").is_visible()
    upload(page, two_faces)
    sync_api.expect(page.locator("#choice").get_by_label("Face 1")).to_be_checked()
    first = page.locator("#stages img").first.get_attribute("src")
    page.locator("#choice").get_by_label("Face 2").check()
    page.wait_for_function("old => document.querySelector('#stages img').src !== old", arg=first)
    # A click on the outlined photo leads back: the larger face is left of the middle.
    box = page.locator("#outline img").bounding_box()
    assert box
    page.locator("#outline img").click(position={"x": box["width"] * 0.25, "y": box["height"] * 0.2})
    page.wait_for_function("old => document.querySelector('#stages img').src === old", arg=first)
    sync_api.expect(page.locator("#choice").get_by_label("Face 1")).to_be_checked()


def test_two_quick_ticks_both_count(page: sync_api.Page) -> None:
    before = ticked(page)
    names = ["Young", "Male", "Smiling"]
    page.evaluate("names => names.forEach((n) => document.querySelector(`#boxes input[name=${n}]`).click())", names)
    asked = page.locator("#bars small")
    sync_api.expect(asked).to_have_count(1 + len(names))  # beside what was asked for at first paint
    assert ticked(page) == before ^ set(names)


# Counts what a visitor sees move: the edited picture, the lines of the energies, the number of steps.
WATCH = """() => {
  window.seen = {};
  const look = () => {
    const now = {
      picture: [...document.querySelectorAll("#stages img")].at(-1)?.src,
      energies: document.querySelector("#trace polyline")?.getAttribute("points"),
      steps: document.querySelector("#status")?.innerText.match(/step (\\d+)/)?.[1],
    };
    for (const key in now) if (now[key]) (window.seen[key] ??= new Set()).add(now[key]);
  };
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true, attributes: true });
}"""


def test_the_optimiser_is_watched_and_its_walk_saved(page: sync_api.Page, tmp_path: Path) -> None:
    page.evaluate(WATCH)
    page.locator("#method").get_by_label("Optimiser").click()
    sync_api.expect(page.locator("#status")).to_contain_text("Optimiser,")
    moved = page.evaluate("Object.fromEntries(Object.entries(seen).map(([key, values]) => [key, values.size]))")
    assert min(moved["picture"], moved["energies"], moved["steps"]) >= 5, moved
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the walk").click()
    download.value.save_as(tmp_path / "walk.webp")
    with Image.open(tmp_path / "walk.webp") as film:
        assert film.n_frames >= 5  # type: ignore[attr-defined]


def test_stop_keeps_the_face_on_show(page: sync_api.Page) -> None:
    page.evaluate(
        """() => new MutationObserver((_, observer) => {
          if (!document.querySelector("#trace polyline")) return;
          observer.disconnect();
          document.querySelector("#stop").click();
        }).observe(document.querySelector("#trace"), { childList: true, subtree: true })"""
    )
    page.locator("#method").get_by_label("Optimiser").click()
    sync_api.expect(page.locator("#status")).to_contain_text("Optimiser,")
    steps = int(re.search(r"Optimiser, (\d+) step", status(page)).group(1))  # type: ignore[union-attr]
    polyline = page.locator("#trace polyline").first.get_attribute("points") or ""
    assert len(polyline.split()) >= steps + 1  # the walk ended there, and shows that face
    page.get_by_role("button", name="Undo").last.click()
    sync_api.expect(page.locator("#status")).to_contain_text("Actor")


def test_many_toggles_in_a_row_leave_one_walk_to_wait_for(page: sync_api.Page) -> None:
    page.locator("#method").get_by_label("Optimiser").click()
    sync_api.expect(page.locator("#status")).to_contain_text("Optimiser,")
    before = ticked(page)
    names = ["Smiling", "Male", "Young", "No_Beard"]
    for name in names:
        page.evaluate("name => document.querySelector(`#boxes input[name=${name}]`).click()", name)
        page.wait_for_timeout(60)
    sync_api.expect(page.locator("#bars small")).to_have_count(1 + len(names))  # the last wish was carried out
    sync_api.expect(page.locator("#status")).to_contain_text("Optimiser,")
    assert ticked(page) == before ^ set(names)


def test_download_is_a_full_size_png(page: sync_api.Page, tmp_path: Path) -> None:
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    with Image.open(path) as image:
        assert (image.format, image.size) == ("PNG", (512, 512))


def test_download_in_another_format(page: sync_api.Page, tmp_path: Path) -> None:
    page.locator("#kind input").click()
    page.get_by_role("option", name="JPEG").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename.endswith("-edited.jpg")
    download.value.save_as(tmp_path / "edited.jpg")
    with Image.open(tmp_path / "edited.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (512, 512))
        assert b"Edited with" in image.info["xmp"]


def test_random_faces_are_made_and_one_is_edited(page: sync_api.Page) -> None:
    page.get_by_role("tab", name="Random faces").click()
    sync_api.expect(page.locator("#faces .thumbnail-item")).to_have_count(8)  # nobody meets an empty gallery
    page.locator("#choices").get_by_label("Smiling").get_by_label("yes").check()
    page.locator("#count input[type=number]").fill("5")
    page.get_by_role("button", name="Make faces").click()
    sync_api.expect(page.locator("#faces .thumbnail-item")).to_have_count(5)
    page.get_by_role("button", name="Show the faces between").click()
    sync_api.expect(page.locator("#between .thumbnail-item")).to_have_count(8)
    page.locator("#faces .thumbnail-item").nth(2).click()
    page.get_by_role("button", name="Edit this one").click()
    sync_api.expect(page.locator("#status")).to_contain_text("the photo as it is")
    old = after(page)
    page.locator("#boxes").get_by_label("Eyeglasses").click()
    wait_for_change(page, old)


def test_a_wrong_seed_is_a_sentence_and_the_faces_stay(page: sync_api.Page) -> None:
    page.get_by_role("tab", name="Random faces").click()
    sync_api.expect(page.locator("#faces .thumbnail-item")).to_have_count(8)
    for seed in ("-5", "1e16", "many"):
        page.locator("#seed").get_by_label("Seed").fill(seed)
        page.get_by_role("button", name="Make faces").click()
        sync_api.expect(page.locator("#made-status .error")).to_contain_text(f"Seed: '{seed}' is not a whole number")
        sync_api.expect(page.locator("#faces .thumbnail-item")).to_have_count(8)
    page.locator("#seed").get_by_label("Seed").fill(str(2**63 - 1))
    page.get_by_role("button", name="Make faces").click()
    sync_api.expect(page.locator("#made-status .ok")).to_contain_text("8 faces")


def test_a_snapshot_of_the_camera_is_taken(page: sync_api.Page) -> None:
    """Chromium's fake camera shows no face: the sentence says so."""
    page.locator("#photo").get_by_label("Remove Image").click()
    page.locator("#photo").get_by_label("Capture from camera").click()
    page.locator("#photo").get_by_text("Click to Access Webcam").click()
    page.wait_for_function("document.querySelector('#photo video')?.readyState > 2")
    page.locator("#photo").get_by_label("capture photo").click()
    sync_api.expect(page.locator("#status .error")).to_contain_text("No face")


def test_a_phone_scrolls_one_way_only(page: sync_api.Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for tab in ("Edit a photo", "Random faces", "How good is it"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") == 390


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
