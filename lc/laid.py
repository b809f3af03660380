"""Proposals made in pixels: what shows an attribute is laid onto the photo, and the result is encoded.

Where what an attribute shows depends on what it replaces, as a scalp does on the hair that was there, the move of
latents is that of this very photo: encode(photo with it) - encode(photo).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from lc.attributes import Strength
from lc.faces.align import FRAME_BOX, TEMPLATE, turn_of
from lc.faces.composites import Face, Floats
from lc.faces.detect import detector
from lc.faces.frames import turn_by_skin
from lc.faces.layers import LAYERS
from lc.faces.steering import MARGIN
from lc.generator import EncodingGenerator
from lc.later import Later
from lc.memory import Kept
from lc.model import Model
from lc.results import Reading
from lc.threads import each

__all__ = ["Laid", "Layer"]


_TURNED = 0.15  # sine of a turn below which it is not looked at twice


@dataclass(frozen=True, eq=False)
class Layer:
    """What is laid onto one photo.

    Attributes:
        pixels: (W, W, 4) on the photo's `wide_crop`, at this resolution or a finer one: RGB of 0..255, and the part
            of the photo that it covers.
        shifted: gives `shift`; all layers of photos that are read together are encoded when it is first asked for.
            None: the layer goes over what the generator draws, and stands for nothing.
    """

    pixels: Floats
    shifted: Callable[[], Tensor] | None = None

    @property
    def over(self) -> bool:
        """Whether the layer goes over what the generator draws."""
        return self.shifted is None

    @property
    def shift(self) -> Tensor:
        """(latent,), what a layer that is not `over` adds to the photo's latent."""
        assert self.shifted is not None
        return self.shifted()


# Of the photos edited last: whoever wears glasses wears the same while other things change. At most 15 MB each.
_KEPT: Kept[dict[str, Layer]] = Kept(8)


class Laid:
    """Lays onto photos what attributes name, see `lc.faces.layers`.

    Args:
        model: with a parser and a generator that has an encoder, or nothing is laid on.
    """

    def __init__(self, model: Model) -> None:
        self._model = model

    def on(
        self, readings: Sequence[Reading], changes: Mapping[str, Strength], style: int = 0
    ) -> list[dict[str, Layer]]:
        """What is laid onto each photo for each change that asks for it, by name, lowest first.

        A change for which nothing can be laid on is left out. Each is made for the photo as those below leave it.
        """
        entries = [self._model.attributes[name] for name, wanted in changes.items()]
        lays = {entry.name: entry.laid(changes[entry.name]) for entry in entries}
        asked = {name: layer for layer in LAYERS for name, wanted in lays.items() if wanted == layer}
        others = {layer for entry in entries for layer in (entry.lays, *entry.adds) if layer}
        asked = {name: layer for name, layer in asked.items() if LAYERS[layer].like not in others}
        if not asked or not self._possible:
            return [{} for _ in readings]
        if len(readings) > 1:
            return self._made(readings, asked, style)
        (reading,), form = readings, (tuple(asked.items()), style)
        return [_KEPT.get((self._model.generator, reading), form, lambda: self._made([reading], asked, style)[0])]

    @torch.inference_mode()
    def _made(self, readings: Sequence[Reading], asked: Mapping[str, str], style: int) -> list[dict[str, Layer]]:
        """Layers of each photo, by attribute, made anew."""
        found: list[dict[str, Layer]] = [{} for _ in readings]
        faces = {row: self._onto(reading) for row, reading in enumerate(readings) if reading.maps is not None}
        crops: list[Tensor] = []
        places: dict[int, int] = {}  # of the photos as they are so far, among the crops
        latents = Later(lambda: self._encoded(crops))

        def shifted(before: int, after: int) -> Callable[[], Tensor]:
            return lambda: latents()[after] - latents()[before]

        for name, layer in asked.items():
            over, like = not self._model.attributes[name].lays, LAYERS[layer].like
            some = {row: face for row, face in faces.items() if not (over and like and self.has(readings[row], layer))}
            drawn = _drawn(layer, some, style)
            if over:
                for row, pixels in drawn.items():
                    found[row][name] = Layer(pixels)
                continue
            fresh = [row for row in drawn if row not in places]
            after = {row: _under(faces[row], pixels) for row, pixels in drawn.items()}
            places.update(zip(fresh, range(len(crops), len(crops) + len(fresh)), strict=True))
            crops += self._crops([faces[row].rgb for row in fresh] + [face.rgb for face in after.values()])
            for place, (row, pixels) in enumerate(drawn.items(), len(crops) - len(drawn)):
                found[row][name] = Layer(pixels, shifted(places[row], place))
                places[row] = place
            faces.update(after)
        return found

    def has(self, reading: Reading, layer: str) -> bool:
        """Whether a person has what a layer shows, or is like, as far as attributes say."""
        kind, entries = LAYERS[layer].like or layer, self._model.attributes.attributes
        return any(entry.laid(reading.attributes[entry.name] > 0.5) == kind for entry in entries)

    def styles(self, name: str, wanted: bool) -> int:
        """How many styles what is laid on for a change has; 0: nothing is."""
        layer = LAYERS.get(self._model.attributes[name].laid(wanted))
        return layer.styles if layer and self._possible else 0

    @property
    def _possible(self) -> bool:
        return self._model.parser is not None and isinstance(self._model.generator, EncodingGenerator)

    @torch.inference_mode()
    def _encoded(self, crops: Sequence[Tensor]) -> Tensor:
        """The means of crops' posteriors, (B, latent)."""
        generator = self._model.generator
        assert isinstance(generator, EncodingGenerator)
        return generator.encode(torch.stack(list(crops)).to(self._model.statistics.mean.device)).mean

    def _crops(self, pictures: Sequence[Floats]) -> list[Tensor]:
        """Wide crops, floats of 0..255 -> their crops as the generator takes them, (3, S, S) each."""
        if not pictures:
            return []
        assert self._model.parser is not None
        inner, side = self._model.parser.config.image_size, self._model.generator.image_size
        edge = (pictures[0].shape[0] - inner) // 2
        x = (
            torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)[..., edge : edge + inner, edge : edge + inner]
            / 255
        )
        if side != inner:
            x = F.interpolate(x, (side, side), mode="bicubic", antialias=True, align_corners=False)
        return list(x.clamp(0, 1))

    def _onto(self, reading: Reading) -> Face:
        """The photo's face and what is around it, as they were found when it was read."""
        assert self._model.parser is not None
        assert reading.wide is not None
        assert reading.maps is not None
        maps = reading.maps.astype(np.float32) / 255
        classes = self._model.parser.config.classes
        inner = 1 / (1 + 2 * MARGIN)
        face = Face(reading.wide.astype(np.float32), dict(zip(classes, maps, strict=True)), inner)
        return replace(face, turn=_turn(reading, face))


def _drawn(layer: str, faces: Mapping[int, Face], style: int) -> dict[int, Floats]:
    """A layer for each of the faces that it can be laid onto, by row."""

    def make(face: Face) -> Floats | None:
        return LAYERS[layer].make(face, style)

    made = each(make, list(faces.values()))
    return {row: pixels for row, pixels in zip(faces, made, strict=True) if pixels is not None}


def _turn(reading: Reading, onto: Face) -> float | None:
    """How far the head is turned, by its landmarks: as they were found; in an aligned crop they are looked for where
    the skin says that it may be, which hair and hats cover unevenly too."""
    if reading.face is not None:
        return turn_of(reading.face.landmarks)
    assert reading.wide is not None
    if abs(turn_by_skin(onto)) < _TURNED:
        return None
    crop = (TEMPLATE - FRAME_BOX[:2]) / (FRAME_BOX[2] - FRAME_BOX[0])
    places = (crop + MARGIN) * len(reading.wide) / (1 + 2 * MARGIN)
    return turn_of(detector().landmarks(Image.fromarray(reading.wide), places))


def _under(face: Face, pixels: Floats) -> Face:
    """The face under a layer, which hides what hair there was."""
    layer = cv2.resize(pixels, face.rgb.shape[:2], interpolation=cv2.INTER_AREA)
    rest = 1 - layer[..., 3]
    maps = {name: values * rest if name in ("hair", "hat") else values for name, values in face.maps.items()}
    return replace(face, rgb=face.rgb + layer[..., 3:] * (layer[..., :3] - face.rgb), maps=maps)
