"""What a visitor is teaching: the faces found in photos with something, and without it. Never changed, always replaced.

Of a photo only the crop around its face is kept, so that hundreds of them take a few megabytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, get_args

from PIL import Image

from lc.teach import FEWEST, MOST, Examples
from lc.ui.texts import text

__all__ = ["SIDES", "Lesson", "Pupil", "Side"]

Side: TypeAlias = Literal["with", "without"]
SIDES: tuple[Side, ...] = get_args(Side)

_NAMES = 10  # of photos that could not be used, which are said


@dataclass(frozen=True, eq=False)
class Pupil:
    """A face to learn from.

    Attributes:
        name: the photo's.
        crop: S x S pixels.
    """

    name: str
    crop: Image.Image

    @property
    def print(self) -> str:
        """The same for the same picture."""
        return hashlib.sha256(self.crop.tobytes()).hexdigest()


@dataclass(frozen=True, eq=False)
class Lesson:
    """The two sides.

    Attributes:
        pupils: by side, at most `lc.teach.MOST` each.
        left_out: sentences on photos that could not be used, the latest last.
    """

    pupils: dict[Side, tuple[Pupil, ...]] = field(default_factory=lambda: dict.fromkeys(SIDES, ()))
    left_out: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """Memory, in bytes."""
        return sum(3 * one.crop.width * one.crop.height + 500 for side in self.pupils.values() for one in side)

    def room(self, side: Side) -> int:
        """How many more fit on a side."""
        return MOST - len(self.pupils[side])

    def add(self, side: Side, pupil: Pupil) -> Lesson:
        """With one more, unless the same picture is there already or the side is full, which is said."""
        if not self.room(side):
            return self.refuse(text("teach.full", name=pupil.name, most=MOST))
        for where in SIDES:
            if any(pupil.print == other.print for other in self.pupils[where]):
                twice = where == side
                return self.refuse(
                    text("teach.twice", name=pupil.name) if twice else text("teach.both_sides", name=pupil.name)
                )
        return replace(self, pupils={**self.pupils, side: (*self.pupils[side], pupil)})

    def refuse(self, sentence: str) -> Lesson:
        """With a sentence on a photo that could not be used."""
        return replace(self, left_out=(*self.left_out, sentence)[-_NAMES:])

    def drop(self, side: Side, place: int) -> Lesson:
        """Without one of the faces."""
        kept = self.pupils[side]
        return replace(self, pupils={**self.pupils, side: kept[:place] + kept[place + 1 :]})

    def missing(self) -> str:
        """What is still needed before something can be learned; empty where nothing is."""
        few = len(self.pupils["with"])
        if few < FEWEST:
            return text("teach.few_with", fewest=FEWEST, missing=FEWEST - few)
        other = len(self.pupils["without"])
        if 0 < other < FEWEST:
            return text("teach.few_without", fewest=FEWEST, missing=FEWEST - other)
        return ""

    def examples(self, side: Side) -> Examples:
        """One side, as `lc.teach` takes it."""
        pupils: Sequence[Pupil] = self.pupils[side]
        return Examples(crops=[one.crop for one in pupils], names=[one.name for one in pupils])
