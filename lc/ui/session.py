"""What the page remembers of one visitor: the photo read once, and every edit of it, to go back and forth between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import numpy as np
from PIL import Image

from lc.attributes import AttributeSet, Strength
from lc.editor import Edit, Method, Reading, Sample
from lc.faces import Aligned, Photo
from lc.taught import TaughtAttribute
from lc.ui.wishes import More

__all__ = ["Moment", "Session", "boxes_seen", "changes_of", "enlarge", "reading_of", "tick"]

HISTORY = 60  # edits kept per visitor, a few dozen kB each
# Bytes: of a photo as read, with what Gradio remembers of a page; of an edit; of a 64x64 picture.
_READING, _EDIT, _FACE = 600_000, 60_000, 17_000
SHOWN = 256  # side at which a 64x64 picture is shown


@dataclass(frozen=True, eq=False)
class Moment:
    """One edit and the settings that led to it."""

    boxes: tuple[str, ...]
    identity: float
    method: Method
    edit: Edit
    strength: float = 1.0
    more: More = field(default_factory=dict)  # wishes beyond the boxes
    taught: tuple[TaughtAttribute, ...] = ()  # the visitor's at that time
    style: int = 0  # which of several forms, of glasses say

    def settings(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "boxes": list(self.boxes),
            "identity": self.identity,
            "strength": self.strength,
            "method": self.method,
            "more": dict(self.more),
            "style": self.style,
        }


@dataclass(frozen=True, eq=False)
class Session:
    """A visitor's photo and its edits; never changed, always replaced.

    Attributes:
        reading: the photo, found and encoded once.
        source: the example's name where the photo is one; else None.
        moments: the edits, oldest first; the first is the photo as it was read.
        at: the one on show.
        walk: the faces on the optimiser's way to the latest edit, 64x64; empty where the actor made it.
        parked: the same of the photo's other faces that were edited, by their number; each with nothing parked.
        key: tells the browser this face, as read this once, from every other; its tiles are kept by it.
    """

    reading: Reading
    source: str | None
    moments: tuple[Moment, ...]
    at: int = 0
    walk: tuple[Image.Image, ...] = ()
    parked: Mapping[int, Session] = field(default_factory=dict)
    key: str = field(default_factory=lambda: uuid4().hex)

    @property
    def nbytes(self) -> int:
        """Memory that this session takes, in bytes: the photo's file, a few dozen kB for each edit, and what is laid
        onto the photo, glasses or a hat, which edits share and which takes megabytes."""
        faces = [self, *self.parked.values()]
        steering = [moment.edit.steering for face in faces for moment in face.moments]
        laid = {id(layer): layer.nbytes for one in steering if one for layer in one.laid}
        edits = sum(_READING + _EDIT * len(face.moments) + _FACE * len(face.walk) for face in faces)
        return self.photo.nbytes + edits + sum(laid.values())

    @property
    def photo(self) -> Photo:
        return self.reading.photo

    @property
    def number(self) -> int:
        """Of the face that is being edited, from 0; 0 too where none was looked for."""
        return next((i for i, face in enumerate(self.reading.faces) if face is self.reading.face), 0)

    @property
    def edits(self) -> list[Edit]:
        """The edit on show of every face that has one, this one's last."""
        return [*(other.now.edit for other in self.parked.values()), self.now.edit]

    @property
    def edited(self) -> set[int]:
        """The numbers of the faces that differ from the photo."""
        faces = {self.number: self, **self.parked}
        return {number for number, session in faces.items() if session.now.edit.changes or session.now.more}

    def kept(self) -> list[dict[str, Any]]:
        """What a browser keeps, to come back to: of each face its boxes and sliders; the one that is edited last."""
        faces = {**self.parked, self.number: self}
        return [{"face": number, **session.now.settings()} for number, session in faces.items()]

    @property
    def now(self) -> Moment:
        return self.moments[self.at]

    @property
    def can_undo(self) -> bool:
        return self.at > 0

    @property
    def can_redo(self) -> bool:
        return self.at + 1 < len(self.moments)

    def add(self, moment: Moment, walk: Iterable[Image.Image] = ()) -> Session:
        """Put `moment` on show; what had been undone is gone. The first moment stays, however long the history."""
        kept = (*self.moments[: self.at + 1], moment)
        kept = (kept[0], *kept[1:][1 - HISTORY :])
        return replace(self, moments=kept, at=len(kept) - 1, walk=tuple(walk))

    def park(self) -> Mapping[int, Session]:
        """The edits of all faces, this one's too."""
        return {**self.parked, self.number: replace(self, parked={})}

    def go(self, at: int) -> Session:
        """Show an edit of the history by its place, or the nearest there is."""
        return replace(self, at=min(max(at, 0), len(self.moments) - 1))

    def move(self, steps: int) -> Session:
        """Undo (-1) or redo (1), as far as there is something."""
        return self.go(self.at + steps)


def boxes_seen(attributes: AttributeSet, reading: Reading) -> tuple[str, ...]:
    """The boxes that the attribute critic would tick: of one-of attributes only the likeliest.

    A box is named by its attribute, and is ticked in the sense of the attribute's title.
    """
    shown = {name: attributes.title_probability(name, p) for name, p in reading.attributes.items()}
    seen = {name for name, p in shown.items() if p >= 0.5}
    for group in attributes.one_of:
        seen -= set(sorted(seen.intersection(group), key=lambda name: -shown[name])[1:])
    return tuple(name for name in attributes.names if name in seen)


def tick(attributes: AttributeSet, before: Iterable[str], after: Iterable[str]) -> tuple[str, ...]:
    """The boxes once the one-of groups are heeded: what was newly ticked clears what it excludes.

    Args:
        attributes: which there are.
        before: the boxes that were ticked.
        after: those ticked now, the latest last: several may be new where an edit takes longer than a click.
    """
    after, old = list(after), set(before)
    ticked = set(after)
    for name in after:
        if name not in old:
            implied = attributes.changes({name: not attributes[name].inverted}).resolved
            for other, value in implied.items():
                (ticked.add if value != attributes[other].inverted else ticked.discard)(other)
    return tuple(name for name in attributes.names if name in ticked)


def changes_of(
    attributes: AttributeSet, reading: Reading, boxes: Iterable[str], strength: float = 1.0
) -> dict[str, Strength]:
    """Only the boxes that differ from what was read; the rest is held by the critic's own value.

    Args:
        attributes: which there are.
        reading: the photo's.
        boxes: those ticked.
        strength: in [0.5, 1], how likely the critic is to find each change; 1 is all the way.
    """
    ticked, seen = set(boxes), set(boxes_seen(attributes, reading))
    changed = [name for name in attributes.names if (name in ticked) != (name in seen)]
    shown = {name: strength if name in ticked else 1 - strength for name in changed}
    return dict(attributes.changes({name: attributes.title_probability(name, p) for name, p in shown.items()}).wanted)


def reading_of(sample: Sample) -> Reading:
    """A made-up face as a photo to edit. Its latent is known, and it is framed: nothing to detect or encode."""
    photo = Photo(enlarge(sample.image), "face")
    scale = SHOWN / sample.decoded.width
    aligned = Aligned(sample.decoded, np.array([[scale, 0.0, 0.0], [0.0, scale, 0.0]]), scale)
    return Reading(photo, [], None, aligned, sample.z, lambda: sample.decoded, sample.attributes)


def enlarge(image: Image.Image, side: int = SHOWN) -> Image.Image:
    """A 64x64 picture, smoothly, at a size to look at."""
    return image.resize((side, side), Image.Resampling.BICUBIC)
