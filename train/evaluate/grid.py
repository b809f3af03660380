"""Lay edits out to be looked at: unchosen people, every change, at the photo's own size. No figure replaces this.

    python -m train.evaluate.grid --weights weights/celeba-64 --photos data/lfw --count 12 --out runs/grid

Writes a sheet for each person: the photo, then each change that this person lacks, the face with its surroundings,
under the name of the change. The people are drawn by chance from the seed; nobody is left out but those whom the editor
refuses, who are named. runs/ is not committed: photos of a data set belong to nobody here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from lc.editor import FaceEditor, Method, Reading
from lc.files import whole
from train.attributes import ATTRIBUTE_SET, ATTRIBUTES
from train.engine import parse, program
from train.evaluate import edits as editing
from train.evaluate.edits import Direction
from train.layouts import say

__all__ = ["GridConfig", "around", "sheet", "title"]

_TITLE = 18  # pixels above each picture
_REACH = 0.6  # of the crop's side that is shown around it, on every side


@dataclass(frozen=True)
class GridConfig:
    """Lay edits out to be looked at."""

    photos: Path
    """Folder of whole photos."""
    weights: Path = Path("weights/celeba-64")
    part: str = "validation"
    """Of a folder that has a list of parts."""
    count: int = 12
    """People."""
    seed: int = 0
    changes: tuple[str, ...] = ()
    """Such as Bald=1; without any, all twenty."""
    identity: float = 0.5
    method: Method = "actor"
    side: int = 320
    """Most pixels that a photo is shown at; a smaller one is shown at its own size."""
    columns: int = 4
    out: Path = Path("runs/grid")
    device: str = "auto"
    threads: int = 0


def title(direction: Direction) -> str:
    """What a change is called on the page.

    >>> title(("Eyeglasses", False))
    'Eyeglasses: off'
    """
    name, wanted = direction
    entry = ATTRIBUTE_SET[name]
    return (entry.on if wanted else entry.off) or f"{name.replace('_', ' ')}: {'on' if wanted else 'off'}"


def around(picture: Image.Image, reading: Reading, side: int) -> Image.Image:
    """The part of a photo around the face, upright as in the photo, never enlarged: at most side x side."""
    aligned = reading.aligned
    size = aligned.crop.width
    x, y = aligned.matrix @ (size / 2, size / 2, 1)
    half = aligned.scale * size * (0.5 + _REACH)
    left, top, right, bottom = (round(value) for value in (x - half, y - half, x + half, y + half))
    part = picture.crop((max(0, left), max(0, top), min(picture.width, right), min(picture.height, bottom)))
    part.thumbnail((side, side), Image.Resampling.LANCZOS)
    return part


def sheet(pictures: Sequence[tuple[str, Image.Image]], columns: int) -> Image.Image:
    """Pictures under their titles, row by row."""
    width, height = (max(picture.size[axis] for _, picture in pictures) for axis in (0, 1))
    height += _TITLE
    rows = -(-len(pictures) // columns)
    page = Image.new("RGB", (columns * width, rows * height), "white")
    draw = ImageDraw.Draw(page)
    for i, (text, picture) in enumerate(pictures):
        left, top = i % columns * width, i // columns * height
        draw.text((left + 4, top + 3), text, "black", font_size=12)
        page.paste(picture, (left, top + _TITLE))
    return page


def person(editor: FaceEditor, reading: Reading, config: GridConfig) -> Image.Image:
    """The sheet of one person."""
    has = torch.tensor([[reading.attributes[name] >= 0.5 for name in ATTRIBUTES]])
    wanted = set(ATTRIBUTE_SET.parse(config.changes).wanted.items())
    rows = {direction: row for direction, row in editing.lacking(has).items() if not wanted or direction in wanted}
    pictures = [("photo", around(reading.photo.rgb, reading, config.side))]
    for batch in editing.make(editor, [reading], rows, config.identity, config.method, reading.photo.name):
        after = editing.finished(batch.edits[0], redetect=False)
        pictures.append((title(batch.direction), around(after.picture, reading, config.side)))
    return sheet(pictures, config.columns)


@program
def main() -> None:
    config = parse(GridConfig)
    if config.threads:
        torch.set_num_threads(config.threads)
    editor = FaceEditor.load(config.weights, config.device)
    readings, refused = editing.read_photos(editor, config.photos, config.count, config.seed, config.part)
    for sentence in refused:
        say(sentence)
    config.out.mkdir(parents=True, exist_ok=True)
    for number, reading in enumerate(readings):
        with whole(config.out / f"{number:02}-{Path(reading.photo.name).stem}.png") as file:
            person(editor, reading, config).save(file, "PNG")
    print(f"{config.out}: {len(readings)} people, identity {config.identity:g}, {config.method}.")


if __name__ == "__main__":
    main()
