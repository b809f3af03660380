"""Takes README's pictures: `python -m benchmarks.page_pictures`. They show the astronaut.

docs/edits.png is the photo and its edits, docs/walk.webp the optimiser's way to one, the others the page in Chromium.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from benchmarks.browser import ROOT, opened
from lc.editor import FaceEditor
from lc.faces import paste
from lc.results import animated
from lc.ui.stage import head

#: Of each picture: width and height of the window, and light or dark.
PICTURES = {"page": (1280, 900, "light"), "page-dark": (1280, 900, "dark"), "page-phone": (390, 844, "light")}

#: What is written below each edit, what it changes, and in which style.
EDITS: dict[str, tuple[dict[str, bool], int]] = {
    "the photo": ({}, 0),
    "glasses": ({"Eyeglasses": True}, 0),
    "round ones": ({"Eyeglasses": True}, 1),
    "dark ones": ({"Eyeglasses": True}, 3),
    "a hat": ({"Wearing_Hat": True}, 0),
    "bald": ({"Bald": True}, 0),
    "black hair": ({"Black_Hair": True}, 0),
    "brown hair": ({"Brown_Hair": True}, 0),
    "blond hair": ({"Blond_Hair": True}, 0),
    "no smile": ({"Smiling": False}, 0),
    "younger": ({"Young": True}, 0),
    "more male": ({"Male": True}, 0),
}
WALK = {"Male": True, "Smiling": False}
_COLUMNS, _SIDE, _LINE = 6, 220, 28  # pictures side by side; pixels of one, and of the words below


def edits(path: Path) -> None:
    """Write the astronaut's edits, with the shipped weights and what is set when nothing is, in rows."""
    editor = FaceEditor.load()
    reading = editor.read(ROOT / "lc" / "ui" / "examples" / "astronaut.jpg")
    rows = -(-len(EDITS) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * _SIDE, rows * (_SIDE + _LINE)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for i, (words, (changes, style)) in enumerate(EDITS.items()):
        picture = editor.edit(reading, changes, style=style).result
        left, top = i % _COLUMNS * _SIDE, i // _COLUMNS * (_SIDE + _LINE)
        sheet.paste(picture.crop(head(reading)).resize((_SIDE, _SIDE), Image.Resampling.LANCZOS), (left, top))
        draw.text((left + _SIDE / 2, top + _SIDE + _LINE / 2), words, "black", font, "mm")
    sheet.save(path)


def walk(path: Path) -> None:
    """Write the optimiser's way to an edit, as the page shows and saves it: an animated WebP."""
    editor = FaceEditor.load()
    reading = editor.read(ROOT / "lc" / "ui" / "examples" / "astronaut.jpg")
    pictures = []
    for step in editor.edit_live(reading, WALK):
        if step.edit is not None:
            pictures.append(step.edit.result)
        elif step.preview is not None:
            pictures.append(paste(reading.photo.rgb, step.preview, reading.aligned, reading.reconstruction))
    path.write_bytes(animated([picture.crop(head(reading)) for picture in pictures], side=320, pause=150))


def main() -> None:
    """Serve the page, open it in each way, and write docs/NAME.png."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder (default: %(default)s)")
    parser.add_argument("--port", type=int, default=7869, help="for the page (default: %(default)s)")
    arguments = parser.parse_args()
    edits(arguments.out / "edits.png")
    walk(arguments.out / "walk.webp")
    with opened(arguments.port) as (address, chromium):
        for name, (width, height, theme) in PICTURES.items():
            page = chromium.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
            page.goto(f"{address}?__theme={theme}")
            page.wait_for_selector(".lc-tile img[src]")
            page.wait_for_timeout(1000)  # pictures fade in
            page.screenshot(path=arguments.out / f"{name}.png")
            page.close()


if __name__ == "__main__":
    main()
