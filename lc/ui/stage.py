"""What the stage and the tiles show of a session, as plain values for the browser: pictures, places, words.

The face is shown large, cut out of the finished photo; a picture that is only on the way, or only as large as a tile,
is blended into a small cut-out instead, which takes as long for a large photo as for a small one.
"""

from __future__ import annotations

import base64
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from lc.attributes import AttributeSet
from lc.editor import Edit, Reading
from lc.faces import Aligned, on_white, paste
from lc.faces.steering import Steering
from lc.ui import inputs, views
from lc.ui.pictures import Pictures, encoded
from lc.ui.session import Session, boxes_seen
from lc.witness import Seen

__all__ = ["Box", "Stage", "finished", "head"]

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels of the photo

_LARGE, _WHOLE, _TILE = 760, 1280, 144  # pixels of a side: the face, the longer side of the whole photo, a tile
_FINE = 92  # quality of JPEG for what is shown large
_ROOM, _CLOSE, _UP = 2.1, 1.75, 0.1  # of the face's side: around it on the stage and on a tile; further up, for hair


def head(reading: Reading, room: float = _ROOM) -> Box:
    """A square of the photo around the head, inside the photo as far as that goes.

    Args:
        reading: the photo; where no face was looked for, its middle square.
        room: the square's side, in sides of the face.
    """
    width, height = reading.photo.size
    side = float(min(width, height))
    x, y = width / 2, height / 2
    if reading.face is not None:
        left, top, right, bottom = reading.face.box
        side = min(side, room * max(right - left, bottom - top))
        x, y = (left + right) / 2, (top + bottom) / 2 - _UP * (bottom - top)
    left = min(max(x - side / 2, 0), width - side)
    top = min(max(y - side / 2, 0), height - side)
    return left, top, left + side, top + side


def finished(session: Session) -> Image.Image:
    """The photo with the edits of all its faces, at its own size, mode and colours; see `Edit.result`."""
    first, *others = session.edits
    result = first.result
    if not others:
        return result
    before = np.asarray(session.photo.pixels)
    pixels = np.array(result.convert("RGB"))
    for edit in others:
        after = np.asarray(edit.result.convert("RGB"))
        changed = (after != before).any(2)
        pixels[changed] = after[changed]
    picture = Image.fromarray(pixels)
    if session.photo.alpha is not None:
        picture.putalpha(session.photo.alpha)
    return picture


class Stage:
    """Makes those values.

    Args:
        pictures: writes pictures where the browser can fetch them.
        attributes: which the model knows.
    """

    def __init__(self, pictures: Pictures, attributes: AttributeSet) -> None:
        self._pictures, self._attributes = pictures, attributes
        self._before: weakref.WeakKeyDictionary[Reading, dict[str, Any]] = weakref.WeakKeyDictionary()
        self._small: weakref.WeakKeyDictionary[Edit, str] = weakref.WeakKeyDictionary()
        self._cuts: weakref.WeakKeyDictionary[Reading, dict[tuple[float, int], tuple[Image.Image, Aligned]]]
        self._cuts = weakref.WeakKeyDictionary()

    def view(self, session: Session, asked: float = 0) -> dict[str, Any]:
        """All that the stage shows.

        Args:
            session: the visitor's.
            asked: when the browser asked for it, which tells it an old answer from a new one.
        """
        photo, now = session.photo, session.now
        with photo.held():
            after = photo.to_srgb(on_white(finished(session)))
            before = self._photo(session.reading)
            box = head(session.reading)
            shown = {
                "after": _as_data(_resized(after, box, _LARGE), _FINE),
                "whole_after": self._whole(after),
                "history": [self.thumbnail(moment.edit) for moment in session.moments],
            }
        return {
            **before,
            **shown,
            "asked": asked,
            "face_key": session.key,
            "at": session.at,
            "faces": self._faces(session),
            "boxes": list(now.boxes),
            "identity": now.identity,
            "strength": now.strength,
            "method": now.method,
            "more": dict(now.more),
            "style": now.style,
            "undo": session.can_undo,
            "redo": session.can_redo,
            "animation": bool(session.walk),
            "keep": session.kept(),
        }

    def on_the_way(
        self, session: Session, preview: Image.Image, energies: Sequence[Mapping[str, float]], asked: float
    ) -> dict[str, Any]:
        """What changes with each step of the optimiser: the face and its energies."""
        after = _as_data(self.blended(session.reading, preview, _ROOM, 480), _FINE)
        return {"step": len(energies) - 1, "after": after, "asked": asked, "energies": views.trace(energies)}

    def after(self, edit: Edit) -> str:
        """The face of an edit as large as on the stage, as a file: what all visitors see."""
        photo = edit.reading.photo
        return self._cut(photo.to_srgb(on_white(edit.result)), head(edit.reading), _LARGE)

    def tile(self, edit: Edit) -> tuple[str, Mapping[str, float]]:
        """A thumbnail of an edit as data, for it travels inside the answer; and what is read in it, by the witness
        where there is one."""
        image, aligned = self._blended(edit.reading, edit.drawn, _CLOSE, _TILE, edit.steering)
        if edit.witness is None:
            return _as_data(image), edit.after
        before = edit.witness.first_look(edit.reading.photo, edit.reading.aligned)
        return _as_data(image), Seen.between(before, edit.witness.look(image, aligned, edit.changes)).after

    def thumbnail(self, edit: Edit) -> str:
        """An edit as large as a tile, drawn once, from the finished photo."""
        if edit not in self._small:
            small = _resized(edit.result, head(edit.reading, _CLOSE), _TILE)
            self._small[edit] = _as_data(edit.reading.photo.to_srgb(on_white(small)))
        return self._small[edit]

    def blended(self, reading: Reading, edited: Image.Image, room: float, side: int) -> Image.Image:
        """A face blended into a small cut-out of its photo.

        Args:
            reading: the photo.
            edited: the model's picture.
            room: see `head`.
            side: pixels of the cut-out, or as many as the photo has.
        """
        return self._blended(reading, edited, room, side, None)[0]

    def _blended(
        self, reading: Reading, edited: Image.Image, room: float, side: int, steering: Steering | None
    ) -> tuple[Image.Image, Aligned]:
        """The cut-out, and the face's place in it."""
        small, aligned = self._cut_out(reading, room, side)
        return paste(small, edited, aligned, reading.reconstruction, steering), aligned

    def _cut_out(self, reading: Reading, room: float, side: int) -> tuple[Image.Image, Aligned]:
        """A small cut-out of the photo, and the face's place in it; the same for every edit."""
        cuts = self._cuts.setdefault(reading, {})
        if (room, side) in cuts:
            return cuts[room, side]
        box = head(reading, room)
        with reading.photo.held():
            small = _resized(reading.photo.rgb, box, side)
        zoom = small.width / (box[2] - box[0])
        matrix = reading.aligned.matrix.copy()
        matrix[:, 2] -= box[:2]
        aligned = Aligned(reading.aligned.crop, matrix * zoom, reading.aligned.scale * zoom)
        cuts[room, side] = small, aligned
        return small, aligned

    def _photo(self, reading: Reading) -> dict[str, Any]:
        """What stays as long as the photo and the face do."""
        if (known := self._before.get(reading)) and all(
            self._pictures.refresh(known[name]) for name in ("before", "whole_before")
        ):
            return known
        rgb, box, (width, height) = reading.photo.rgb, head(reading), reading.photo.size
        seen = boxes_seen(self._attributes, reading)
        known = self._before[reading] = {
            "before": self._cut(rgb, box, _LARGE),
            "whole_before": self._whole(rgb),
            "crop": [box[0] / width, box[1] / height, box[2] / width, box[3] / height],
            "size": [width, height],
            "name": reading.photo.name,
            "seen": list(seen),
        }
        return known

    def _faces(self, session: Session) -> list[dict[str, Any]]:
        """Where each face is, in parts of the photo, and what it is called."""
        width, height = session.photo.size
        names = inputs.face_names(len(session.reading.faces))
        return [
            {
                "box": [face.box[0] / width, face.box[1] / height, face.box[2] / width, face.box[3] / height],
                "name": name,
                "value": value,
                "chosen": number == session.number,
                "edited": number in session.edited,
            }
            for number, (face, (name, value)) in enumerate(zip(session.reading.faces, names, strict=True))
        ]

    def _cut(self, image: Image.Image, box: Box, side: int) -> str:
        return self._pictures.jpeg(_resized(image, box, side))

    def _whole(self, image: Image.Image) -> str:
        scale = min(1.0, _WHOLE / max(image.size))
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        return self._pictures.jpeg(image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0))


def _as_data(image: Image.Image, quality: int = 82) -> str:
    """A picture inside the answer itself: what somebody waits for need not be asked for once more."""
    return "data:image/jpeg;base64," + base64.b64encode(encoded(image, "JPEG", quality=quality)).decode()


def _resized(image: Image.Image, box: Box, side: int) -> Image.Image:
    """A square of an image at up to `side` pixels."""
    side = max(1, min(side, round(box[2] - box[0])))
    return image.resize((side, side), Image.Resampling.BICUBIC, box=box, reducing_gap=2.0)
