"""Proposals made in pixels: what shows an attribute is laid onto the photo, and the result is encoded.

Where what an attribute shows depends on what it replaces, as a scalp does on the hair that was there, the move of
latents is that of this very photo: encode(photo with it) - encode(photo).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lc.attributes import Strength
from lc.faces.composites import Face, Floats
from lc.faces.layers import LAYERS
from lc.faces.steering import MARGIN, wide_crop
from lc.generator import EncodingGenerator
from lc.results import Reading
from lc.weights import Model

__all__ = ["Laid", "Layer"]


@dataclass(frozen=True, eq=False)
class Layer:
    """What is laid onto one photo.

    Attributes:
        pixels: (W, W, 4) on the photo's `wide_crop`: RGB of 0..255, and the part of the photo that it covers.
        shift: (latent,), what that adds to the photo's latent.
    """

    pixels: Floats
    shift: Tensor


class Laid:
    """Lays onto photos what attributes name, see `lc.faces.layers`.

    Args:
        model: with a parser and a generator that has an encoder, or nothing is laid on.
    """

    def __init__(self, model: Model) -> None:
        self._model = model

    @torch.inference_mode()
    def on(self, reading: Reading, changes: Mapping[str, Strength]) -> dict[str, Layer]:
        """What is laid onto a photo for each change that asks for it, by name. A change for which nothing can be laid
        on is left out."""
        if reading.maps is None or not isinstance(self._model.generator, EncodingGenerator):
            return {}
        found: dict[str, Layer] = {}
        for name, wanted in changes.items():
            layer = LAYERS.get(self._model.attributes[name].lays) if wanted is True else None
            if layer is None:
                continue
            onto = self._onto(reading)
            if (pixels := layer(onto)) is not None:
                after = onto.rgb + pixels[..., 3:] * (pixels[..., :3] - onto.rgb)
                before, moved = self._encoded(onto.rgb, after)
                found[name] = Layer(pixels, moved - before)
        return found

    def _encoded(self, *pictures: Floats) -> Tensor:
        """Wide crops, floats of 0..255 -> the means of their crops' posteriors, (B, latent)."""
        generator, parser = self._model.generator, self._model.parser
        assert isinstance(generator, EncodingGenerator)
        assert parser is not None
        inner, side = parser.config.image_size, generator.image_size
        edge = (pictures[0].shape[0] - inner) // 2
        x = (
            torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)[..., edge : edge + inner, edge : edge + inner]
            / 255
        )
        if side != inner:
            x = F.interpolate(x, (side, side), mode="bicubic", antialias=True, align_corners=False)
        return generator.encode(x.clamp(0, 1).to(self._model.statistics.mean.device)).mean

    def _onto(self, reading: Reading) -> Face:
        """The photo's face and what is around it; its maps are what was found when it was read."""
        parser = self._model.parser
        assert parser is not None
        assert reading.maps is not None
        with reading.photo.held():
            wide = wide_crop(reading.photo.rgb, reading.aligned, parser.config.image_size)
        maps = reading.maps.astype(np.float32) / 255
        names = parser.config.classes
        return Face(np.asarray(wide, dtype=np.float32), dict(zip(names, maps, strict=True)), 1 / (1 + 2 * MARGIN))
