"""Layers for a photo: what an attribute shows where a generator of few pixels cannot draw it, made of the photo itself.

Bald heads are in `lc.faces.scalps`, glasses in `lc.faces.frames`, hats in `lc.faces.hats`, beards in
`lc.faces.beards`, the lines of age in `lc.faces.wrinkles`, and grey hair in `lc.faces.greys`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lc.faces import beards
from lc.faces.beards import beard
from lc.faces.composites import Face, Floats
from lc.faces.frames import STYLES, frames
from lc.faces.greys import greys
from lc.faces.hats import COLOURS, beanie
from lc.faces.heads import face_of, hair_of, head_of
from lc.faces.masks import grown, smooth_step, soft
from lc.faces.scalps import scalp
from lc.faces.wrinkles import wrinkles

__all__ = ["LAYERS", "Overlay", "kind_of"]

# Probability of hair, or of glasses, from which on there may be some; in pixels, the brush about hair in whose width
# strands lie, and how softly that ends.
_STRAND, _ABOUT, _SOFT = 0.2, 17, 2.0
_RIM = 8.0  # pixels over which a finished head gives way to its painted rim


@dataclass(frozen=True)
class Overlay:
    """One kind of layer.

    Attributes:
        make: a face and a style, counted from 0 and going round -> (S, S, 4), or None where it cannot be laid on.
        styles: how many there are.
        finished: where what is painted is finished by a net, where there is one, (S, S) in [0, 1], see `lc.finish`.
        clears: the region of `lc.regions` that lay behind what it takes away, and where that was, of a face and the
            layer, (S, S) in [0, 1]; see `lc.redrawn.cleared`.
        removes: the parser's class that nothing is left of.
        like: a layer of which it is a weaker form: whoever has that, or is asked about it, gets none of this.
    """

    make: Callable[[Face, int], Floats | None]
    styles: int = 1
    finished: Callable[[Face], Floats] | None = None
    clears: tuple[str, Callable[[Face, Floats], Floats]] | None = None
    removes: str = ""
    like: str = ""


def _on_the_head(onto: Face) -> Floats:
    """Not behind it: what that is no net has learned."""
    head = head_of(onto, face_of(onto))
    return smooth_step(head.depth * head.width, 0.0, _RIM)


def _wherever(onto: Face) -> Floats:
    return np.ones(onto.rgb.shape[:2], np.float32)


def _strands(onto: Face, _: Floats) -> Floats:
    """Where strands of hair may lie over a face, but for glasses, which stay."""
    return soft(grown(hair_of(onto) > _STRAND, _ABOUT) & ~grown(onto.maps["glasses"] > _STRAND, 3), _SOFT)


#: What is laid onto photos, by name, lowest first.
LAYERS: dict[str, Overlay] = {
    "scalp": Overlay(lambda onto, _: scalp(onto), finished=_on_the_head, clears=("eyes", _strands)),
    "wrinkles": Overlay(lambda onto, _: wrinkles(onto)),
    "greys": Overlay(lambda onto, _: greys(onto)),
    "beard": Overlay(beard, len(beards.STYLES), finished=_wherever),
    "stubble": Overlay(lambda onto, _: beard(onto, beards.STUBBLE), finished=_wherever, like="beard"),
    "beanie": Overlay(beanie, len(COLOURS)),
    "frames": Overlay(frames, len(STYLES)),
}


def kind_of(layer: str) -> str:
    """What a layer is a form of, by name."""
    return (LAYERS[layer].like if layer in LAYERS else "") or layer
