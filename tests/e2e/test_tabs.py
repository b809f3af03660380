"""The tabs beside the first, and the tiles that they and the rules add to it, in Chromium.

Whole flows are slow; quick ones, without a browser, are in test_teaching, test_ui, test_ui_pieces and test_rules.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from driving import PATIENCE, act, after, differs, open_tab, sync_api, tile
from PIL import Image, ImageEnhance, ImageOps

EXAMPLES = Path(__file__).parents[2] / "lc" / "ui" / "examples"


@pytest.fixture(scope="module")
def lit(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Photos in warm light and in cold light."""
    folder = tmp_path_factory.mktemp("lit")
    found: dict[str, list[Path]] = {"with": [], "without": []}
    for side, (red, blue) in (("with", (1.3, 0.6)), ("without", (0.7, 1.3))):
        for example in sorted(EXAMPLES.iterdir())[:3]:
            with Image.open(example) as image:
                whole = image.convert("RGB")
            for i, picture in enumerate((whole, ImageOps.mirror(whole))):
                channels = np.asarray(ImageEnhance.Brightness(picture).enhance(0.9), dtype=float) * (red, 1, blue)
                path = folder / f"{side}-{example.stem}-{i}.png"
                Image.fromarray(channels.clip(0, 255).astype("uint8")).save(path)
                found[side].append(path)
    return found


def warmth(picture: bytes) -> float:
    """Red minus blue of a screenshot, in grey levels."""
    with Image.open(io.BytesIO(picture)) as image:
        red, _, blue = np.asarray(image.convert("RGB"), dtype=float).reshape(-1, 3).mean(0)
    return float(red - blue)


def face(page: sync_api.Page) -> bytes:
    """The edited face alone, without the photo before it."""
    page.locator(".lc-divider").focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(900)
    return page.locator(".lc-frame").screenshot()


# --- teach ------------------------------------------------------------------------------------------------------------


def add(page: sync_api.Page, side: str, photos: list[Path]) -> None:
    page.locator(f"[data-side={side}] input[type=file]").set_input_files(photos)
    sync_api.expect(page.locator(f"[data-side={side}] .lc-pupils button")).to_have_count(
        len(photos), timeout=4 * PATIENCE
    )
    sync_api.expect(page.locator(".lc-progress")).to_be_hidden()


@pytest.mark.slow
def test_something_is_taught_tried_saved_and_used_again(
    page: sync_api.Page,
    lit: dict[str, list[Path]],
    tmp_path: Path,
) -> None:
    open_tab(page, "page.teach_tab")
    page.get_by_label("What is it called?").fill("Warm light")
    for side, photos in lit.items():
        add(page, side, photos)
    page.get_by_role("button", name="Teach it", exact=True).click()
    card = page.locator(".lc-card-taught")
    sync_api.expect(card).to_contain_text("times in 100")
    with page.expect_download() as download:
        card.get_by_role("button", name="Save as a file").click()
    assert download.value.suggested_filename == "Warm_light.safetensors"
    download.value.save_as(tmp_path / "mine.safetensors")
    open_tab(page, "page.edit_tab")
    plain = face(page)
    open_tab(page, "page.teach_tab")
    act(page, lambda: card.get_by_role("button", name="Try it on your photo").click())
    sync_api.expect(page.locator("[data-more=Warm_light]")).to_have_attribute("aria-pressed", "true")
    sync_api.expect(page.locator("#status")).to_contain_text("Warm light")
    assert warmth(face(page)) > warmth(plain) + 1
    act(page, lambda: tile(page, "Black_Hair").click())  # beside another change
    assert page.evaluate("lc.state.more.Warm_light") == "require"
    page.reload()
    sync_api.expect(page.locator("[data-more=Warm_light]")).to_be_visible()  # this browser has kept it
    open_tab(page, "page.teach_tab")
    page.get_by_role("button", name="Forget it").click()
    sync_api.expect(page.locator(".lc-card-taught")).to_have_count(0)
    open_tab(page, "page.edit_tab")
    sync_api.expect(page.locator("[data-more=Warm_light]")).to_have_count(0)
    drop(page, ".lc-frame", [(tmp_path / "mine.safetensors").read_bytes()], "mine.safetensors")
    sync_api.expect(page.locator("[data-more=Warm_light] img:not([hidden])")).to_have_count(1)


@pytest.mark.slow
def test_an_actor_is_trained_in_the_background_cancelled_and_trained_again(
    page: sync_api.Page, lit: dict[str, list[Path]]
) -> None:
    open_tab(page, "page.teach_tab")
    page.get_by_label("What is it called?").fill("Warm light")
    for side, photos in lit.items():
        add(page, side, photos)
    teach, card = page.get_by_role("button", name="Teach it", exact=True), page.locator(".lc-card-taught")
    teach.click()
    training = card.locator(".lc-training")
    sync_api.expect(training).to_contain_text("meanwhile", timeout=4 * PATIENCE)
    sync_api.expect(training.locator("progress[value]")).to_have_count(1)
    # What was taught is there to be used, and the photos to be changed.
    act(page, lambda: card.get_by_role("button", name="Try it on your photo").click())
    sync_api.expect(page.locator("#status")).to_contain_text("Warm light")
    open_tab(page, "page.teach_tab")
    page.locator("[data-side=without] .lc-pupils button").first.click()
    sync_api.expect(page.locator("[data-side=without] .lc-pupils button")).to_have_count(len(lit["without"]) - 1)
    training.get_by_role("button", name="Cancel").click()
    sync_api.expect(training).to_have_count(0)
    teach.click()
    sync_api.expect(training).to_contain_text("meanwhile", timeout=4 * PATIENCE)
    sync_api.expect(card).to_contain_text("It has practised", timeout=30 * PATIENCE)
    sync_api.expect(training).to_have_count(0)
    act(page, lambda: card.get_by_role("button", name="Try it on your photo").click())
    sync_api.expect(page.locator("[data-more=Warm_light]")).to_have_attribute("aria-pressed", "true")


def drop(page: sync_api.Page, selector: str, files: list[bytes], name: str) -> None:
    script = """([selector, files, name]) => {
      const transfer = new DataTransfer();
      for (const data of files) {
        transfer.items.add(new File([Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0))], name,
          { type: name.endsWith("png") ? "image/png" : "" }));
      }
      document.querySelector(selector).dispatchEvent(new DragEvent("drop",
        { dataTransfer: transfer, bubbles: true, cancelable: true }));
    }"""
    page.evaluate(script, [selector, [base64.b64encode(data).decode() for data in files], name])


@pytest.mark.slow
def test_bad_photos_and_names_are_sentences_and_lose_nothing(
    page: sync_api.Page,
    lit: dict[str, list[Path]],
    tmp_path: Path,
) -> None:
    open_tab(page, "page.teach_tab")
    said, left = page.locator(".lc-said"), page.locator(".lc-left-out")
    drop(page, "[data-side=with]", [b""] * 10_000, "face.png")
    sync_api.expect(said).to_contain_text("10,000 photos")
    add(page, "with", lit["with"][:1])
    page.get_by_role("button", name="Teach it", exact=True).click()
    sync_api.expect(said).to_contain_text("name first")
    page.get_by_label("What is it called?").fill("Snow")
    page.get_by_role("button", name="Teach it", exact=True).click()
    sync_api.expect(said).to_contain_text("4 more")
    Image.new("RGB", (200, 200), "grey").save(tmp_path / "nobody.png")
    page.locator("[data-side=with] input[type=file]").set_input_files([tmp_path / "nobody.png", lit["with"][0]])
    sync_api.expect(left).to_contain_text("nobody.png")
    sync_api.expect(left).to_contain_text("counts once")
    page.locator("[data-side=without] input[type=file]").set_input_files(lit["with"][0])
    sync_api.expect(left).to_contain_text("other side")
    page.locator("[data-side=with] input[type=file]").set_input_files(lit["with"][1:])
    sync_api.expect(page.locator("[data-side=with] .lc-pupils button")).to_have_count(6)
    page.get_by_label("What is it called?").fill("\u2603 snow")
    page.get_by_role("button", name="Teach it", exact=True).click()
    sync_api.expect(said).to_contain_text("cannot be a name")
    (tmp_path / "odd.safetensors").write_bytes(b"not what it says")
    page.locator("[data-use]").set_input_files(tmp_path / "odd.safetensors")
    sync_api.expect(said).to_contain_text("odd.safetensors is no file that was saved here")
    sync_api.expect(page.locator("[data-side=with] .lc-pupils button")).to_have_count(6)


# --- rules, and one of several ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_rule_is_a_tile_whose_change_is_to_be_seen(page: sync_api.Page) -> None:
    act(page, lambda: page.locator("[data-do=reset]").click())
    plain = face(page)
    page.get_by_text("More changes").click()
    sync_api.expect(page.locator("[data-more=warmer] img:not([hidden])")).to_have_count(1, timeout=3 * PATIENCE)
    act(page, lambda: page.locator("[data-more=warmer]").click())
    assert warmth(face(page)) > warmth(plain) + 3
    sync_api.expect(page.locator("#status")).to_contain_text("Warmer")
    act(page, lambda: page.keyboard.press("Control+z"))
    sync_api.expect(page.locator("[data-more=warmer]")).to_have_attribute("aria-pressed", "false")


@pytest.mark.slow
def test_one_of_several_is_asked_for(page: sync_api.Page) -> None:
    act(page, lambda: page.locator("[data-do=reset]").click())
    page.get_by_text("Must, must not, either of").click()
    for name in ("Wearing_Hat", "Eyeglasses"):
        chip = page.locator(f".lc-beside [data-chip={name}]")
        for word in ("must", "either of"):
            act(page, chip.click)
            sync_api.expect(chip).to_contain_text(word)
    assert page.evaluate("Object.values(lc.state.more).join()") == "either,either"
    sync_api.expect(page.locator("#status")).to_contain_text("either of")


# --- random faces -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_random_faces_are_made_morphed_saved_and_edited(page: sync_api.Page, tmp_path: Path) -> None:
    open_tab(page, "page.random_tab")
    tiles = page.locator(".lc-face-tile")
    sync_api.expect(tiles).to_have_count(8)  # nobody meets an empty tab
    shown = tiles.first.locator("img").get_attribute("src") or ""
    page.locator("#random [data-chip=Smiling]").click()
    sync_api.expect(tiles.first.locator("img")).not_to_have_attribute("src", shown)  # redrawn at once
    sync_api.expect(page.locator(".lc-line")).to_contain_text("of 8 as asked: smiling")
    sync_api.expect(tiles.locator("i")).to_have_count(8)
    page.get_by_role("button", name="Morph").click()
    picture, slider = page.locator(".lc-between"), page.locator("[data-field=way]")
    sync_api.expect(picture).to_be_visible()
    seen = []
    for place in (0, 0.5, 1):
        slider.fill(str(place))
        page.wait_for_timeout(400)
        seen.append(picture.screenshot())
    assert min(differs(seen[0], seen[1]), differs(seen[1], seen[2])) > 1
    assert differs(seen[0], seen[2]) > 3
    with page.expect_download() as download:
        page.locator("[data-do=film]").click()
    download.value.save_as(tmp_path / "morph.webp")
    with Image.open(tmp_path / "morph.webp") as film:
        assert film.n_frames > 10  # type: ignore[attr-defined]
    page.get_by_role("button", name="Morph").click()
    tiles.nth(2).click()
    with page.expect_download() as download:
        page.locator("#random [data-do=save]").click()
    assert download.value.suggested_filename == "face.png"
    act(page, lambda: page.get_by_role("button", name="Edit this one").click())
    sync_api.expect(page.locator("#status")).to_contain_text("your photo as it is")
    old = after(page)
    assert act(page, lambda: tile(page, "Eyeglasses").click()) != old


@pytest.mark.slow
def test_realism_on_and_off_stand_side_by_side(page: sync_api.Page) -> None:
    open_tab(page, "page.random_tab")
    sync_api.expect(page.locator(".lc-face-tile")).to_have_count(8)
    page.locator("[data-field=count]").fill("3")
    sync_api.expect(page.locator(".lc-face-tile")).to_have_count(3)
    page.locator("[name=lc-realism][value=both]").check(force=True)
    sync_api.expect(page.locator(".lc-pair")).to_have_count(3)
    left, right = (page.locator(".lc-pair img").nth(i).screenshot() for i in (0, 1))
    assert differs(left, right) > 3


@pytest.mark.slow
def test_what_cannot_be_made_is_a_sentence_and_the_faces_stay(page: sync_api.Page) -> None:
    open_tab(page, "page.random_tab")
    sync_api.expect(page.locator(".lc-face-tile")).to_have_count(8)
    for seed in ("-5", "1e16", "many"):
        page.locator("[data-field=seed]").fill(seed)
        page.get_by_role("button", name="Make faces").click()
        sync_api.expect(page.locator(".lc-line .error")).to_contain_text(f"Seed: '{seed}' is not a whole number")
        sync_api.expect(page.locator(".lc-face-tile")).to_have_count(8)
    page.locator("[data-field=seed]").fill(str(2**63 - 1))
    page.get_by_role("button", name="Make faces").click()
    sync_api.expect(page.locator(".lc-line")).to_contain_text("8 faces")
    for name in ("Black_Hair", "Blond_Hair"):
        page.locator(f"#random [data-chip={name}]").click()
    sync_api.expect(page.locator(".lc-line .error")).to_contain_text("Nobody has both")
    sync_api.expect(page.locator(".lc-face-tile")).to_have_count(8)
