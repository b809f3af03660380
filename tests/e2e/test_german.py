"""A visitor of the German page reads German, whoever says it: the page, or the library below it."""

from __future__ import annotations

from pathlib import Path

import pytest
from driving import after, open_tab, status, sync_api, tile
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("language", ["de"])]


def test_what_is_wrong_with_a_photo_is_said_in_german(page: sync_api.Page, astronaut: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("These are notes, not a picture.")
    (tmp_path / "cut.jpg").write_bytes(astronaut.read_bytes()[:5000])
    Image.new("RGB", (9, 9)).save(tmp_path / "small.png")
    Image.new("RGB", (200, 200), "grey").save(tmp_path / "nobody.png")
    nobody = (
        "In nobody.png wurde kein Gesicht gefunden: ein Foto nehmen, auf dem eines zur Kamera blickt, gut beleuchtet "
        "und mindestens 40 Pixel breit ist."
    )
    old = after(page)
    for name, said in (
        ("nobody.png", nobody),
        ("notes.jpg", "notes.jpg ist kein Bild, das dieses Programm lesen kann: als JPEG oder PNG sichern."),
        ("cut.jpg", "cut.jpg ist beschädigt oder unvollständig: noch einmal exportieren oder herunterladen."),
        ("small.png", "small.png hat nur 9\u00d79 Pixel: ein Foto nehmen, das mindestens 24 Pixel breit und hoch ist."),
    ):
        page.locator(".lc-actions input[type=file]").set_input_files(tmp_path / name)
        sync_api.expect(page.locator(".lc-fault")).to_have_text(said)
        assert after(page) == old
    open_tab(page, "page.teach_tab", "de")
    page.locator("[data-side=with] input[type=file]").set_input_files(tmp_path / "nobody.png")
    sync_api.expect(page.locator("#teach")).to_contain_text(nobody)


def test_what_an_edit_and_a_seed_are_doubted_for_is_said_in_german(page: sync_api.Page) -> None:
    tile(page, "No_Beard").click()
    page.wait_for_function("lc.state.boxes.includes('No_Beard')")
    sync_api.expect(page.locator("#status")).to_contain_text(
        "Beim Lernen gab es fast keine Fotos von Frauen mit Bart, darum wirkt diese Änderung vielleicht unecht."
    )
    assert "training" not in status(page)
    open_tab(page, "page.random_tab", "de")
    page.locator("#random [data-field=seed]").fill("1e3")
    page.locator("#random [data-field=seed]").press("Enter")
    sync_api.expect(page.locator("#random")).to_contain_text(
        "Startzahl: '1e3' ist keine ganze Zahl von 0 bis 9223372036854775807."
    )
