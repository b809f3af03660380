"""Layers for a photo: what an attribute shows where a generator of few pixels cannot draw it, made of the photo itself.

Bald heads are in `lc.faces.scalps`, glasses in `lc.faces.frames`, hats in `lc.faces.hats`, beards in
`lc.faces.beards`, the lines of age in `lc.faces.wrinkles`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lc.faces import beards
from lc.faces.beards import beard
from lc.faces.composites import Face, Floats
from lc.faces.frames import STYLES, frames
from lc.faces.hats import COLOURS, beanie
from lc.faces.scalps import scalp
from lc.faces.wrinkles import wrinkles

__all__ = ["LAYERS", "Overlay"]


@dataclass(frozen=True)
class Overlay:
    """One kind of layer.

    Attributes:
        make: a face and a style, counted from 0 and going round -> (S, S, 4), or None where it cannot be laid on.
        styles: how many there are.
        finisher: the net of `lc.finish` that finishes what is painted, where there is one; empty: none does.
        like: a layer of which it is a weaker form: whoever has that, or is asked about it, gets none of this.
    """

    make: Callable[[Face, int], Floats | None]
    styles: int = 1
    finisher: str = ""
    like: str = ""


#: What is laid onto photos, by name, lowest first.
LAYERS: dict[str, Overlay] = {
    "scalp": Overlay(lambda onto, _: scalp(onto), finisher="barber"),
    "wrinkles": Overlay(lambda onto, _: wrinkles(onto)),
    "beard": Overlay(beard, len(beards.STYLES), finisher="finisher"),
    "stubble": Overlay(lambda onto, _: beard(onto, beards.STUBBLE), finisher="finisher", like="beard"),
    "beanie": Overlay(beanie, len(COLOURS)),
    "frames": Overlay(frames, len(STYLES)),
}
