"""Pictures of what each attribute's change looks like, on faces that are free: `python -m benchmarks.card_pictures`.

Each change, or its opposite where nearly all have it already, is made on the page's examples, those that the witness
reads as being without it. The finished pictures are ranked by how surely the witness sees it there: the middle one is
typical, and the last one is the worst. Both are written, before and after side by side, into the weights folder, where
the page's last tab finds them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from lc.editor import DEFAULT_WEIGHTS, Edit, FaceEditor
from lc.results import Reading
from lc.ui.card import PICTURES
from lc.ui.photos import examples
from lc.ui.stage import head

SIDE = 200  # pixels of each of the two
_FEW = 2  # faces
_ROOM = 1.75  # of the face's side: around it


def main() -> None:
    """Make them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", type=Path, default=DEFAULT_WEIGHTS, help="(default: %(default)s)")
    parser.add_argument("--photos", type=Path, nargs="*", help="faces (default: the page's examples)")
    arguments = parser.parse_args()
    editor = FaceEditor.load(arguments.weights, "cpu")
    readings = [editor.read(photo) for photo in arguments.photos or examples()]
    folder = arguments.weights / PICTURES
    folder.mkdir(exist_ok=True)
    for name in editor.attributes.names:
        wanted = not editor.attributes[name].inverted
        ranked = _ranked(editor, readings, name, wanted)
        if len(ranked) < _FEW:
            wanted = not wanted
            ranked = _ranked(editor, readings, name, wanted)
        for place, (sure, edit) in (("typical", ranked[len(ranked) // 2]), ("worst", ranked[0])):
            _pair(edit).save(folder / f"{name}-{wanted:d}-{place}.jpg", quality=85)
            print(f"{name}={wanted:d} {place}: {sure:.2f}, of {len(ranked)}", flush=True)


def _ranked(editor: FaceEditor, readings: list[Reading], name: str, wanted: bool) -> list[tuple[float, Edit]]:
    """How surely a change is seen where it was not, and its edit, the least sure first."""
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
        small = picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS, box=head(edit.reading, _ROOM))
        pair.paste(small, (place * SIDE, 0))
    return pair


if __name__ == "__main__":
    main()
