"""Pictures of what each attribute's change looks like, on generated faces: `python -m benchmarks.card_pictures`.

Each change is made on the same faces, those that the witness reads as being without it, and the finished pictures are
ranked by how surely the witness sees it there: the middle one is typical, and the last one is the worst. Both are
written, before and after side by side, into the weights folder, where the page's last tab finds them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from lc.editor import DEFAULT_WEIGHTS, Edit, FaceEditor
from lc.errors import NoFaceError
from lc.results import Reading
from lc.ui.card import PICTURES

SIDE = 160  # pixels of each of the two


def main() -> None:
    """Make them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", type=Path, default=DEFAULT_WEIGHTS, help="(default: %(default)s)")
    parser.add_argument("--count", type=int, default=24, help="of faces (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=5, help="of faces (default: %(default)s)")
    arguments = parser.parse_args()
    editor = FaceEditor.load(arguments.weights, "cpu")
    readings = _faces(editor, arguments.count, arguments.seed)
    folder = arguments.weights / PICTURES
    folder.mkdir(exist_ok=True)
    for name in editor.attributes.names:
        ranked = _ranked(editor, readings, name)
        for place, (sure, edit) in (("typical", ranked[len(ranked) // 2]), ("worst", ranked[0])):
            _pair(edit).save(folder / f"{name}-{place}.jpg", quality=85)
            print(f"{name} {place}: {sure:.2f}, of {len(ranked)}", flush=True)


def _faces(editor: FaceEditor, count: int, seed: int) -> list[Reading]:
    """Generated faces, read as photos are."""
    readings = []
    for sample in editor.sample(count, seed=seed):
        picture = sample.image.resize((2 * SIDE, 2 * SIDE), Image.Resampling.BICUBIC)
        try:
            readings.append(editor.read(picture))
        except NoFaceError:
            continue
    return readings


def _ranked(editor: FaceEditor, readings: list[Reading], name: str) -> list[tuple[float, Edit]]:
    """How surely the change that the attribute's title names is seen, and its edit, the least sure first."""
    wanted = not editor.attributes[name].inverted
    found = []
    for reading in readings:
        edit = editor.edit(reading, {name: wanted})
        seen = edit.seen
        if seen is None:
            raise SystemExit("These weights have no witness that could say what is typical.")
        before, after = (side[name] if wanted else 1 - side[name] for side in (seen.before, seen.after))
        if before < 0.5:
            found.append((after, edit))
    return sorted(found, key=lambda pair: pair[0])


def _pair(edit: Edit) -> Image.Image:
    pair = Image.new("RGB", (2 * SIDE, SIDE))
    for place, picture in enumerate((edit.reading.photo.rgb, edit.result.convert("RGB"))):
        pair.paste(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (place * SIDE, 0))
    return pair


if __name__ == "__main__":
    main()
