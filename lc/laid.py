"""Proposals made in pixels: what a generated face has is laid onto the photo, and the result is encoded.

Where what an attribute shows depends on what it replaces, as a scalp does on the hair that was there, the move of
latents is that of this very photo: encode(photo with it) - encode(photo).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lc.attributes import Strength
from lc.exemplars import Move
from lc.faces.align import warp
from lc.faces.composites import COMPOSITES, Face, turned
from lc.generator import EncodingGenerator
from lc.results import Reading
from lc.weights import Model

__all__ = ["Laid"]


class Laid:
    """Lays the styles of a model's exemplars onto photos.

    Args:
        model: with a parser and a generator that has an encoder, or nothing is laid on.
    """

    def __init__(self, model: Model) -> None:
        self._model = model

    @cached_property
    def _donors(self) -> dict[str, list[Face]]:
        """The faces decoded of each move's styles, and their mirror images."""
        exemplars, found = self._model.exemplars, dict[str, list[Face]]()
        for name, move in exemplars.moves.items() if exemplars else ():
            assert isinstance(move, Move)
            if move.config.lays in COMPOSITES:
                pictures = self._model.generator.decode(move.styles)
                found[name] = [self._face(one) for picture in pictures for one in (picture, picture.flip(2))]
        return found

    def _face(self, picture: Tensor) -> Face:
        """(3, S, S) in [0, 1] at the parser's size, parsed."""
        parser = self._model.parser
        assert parser is not None
        side = parser.config.image_size
        x = F.interpolate(picture[None], (side, side), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        maps = parser.parse(x)[0].cpu().numpy()
        rgb = np.ascontiguousarray((x[0] * 255).permute(1, 2, 0).cpu().numpy(), dtype=np.float32)
        return Face(rgb, dict(zip(parser.config.classes, maps, strict=True)))

    @torch.inference_mode()
    def shifts(self, reading: Reading, changes: Mapping[str, Strength]) -> dict[str, Tensor]:
        """What laying on what was asked for adds to a photo's latent: change's name -> (latent,). A change that cannot
        be laid onto this photo is left out."""
        generator, parser, exemplars = self._model.generator, self._model.parser, self._model.exemplars
        if parser is None or exemplars is None or not isinstance(generator, EncodingGenerator):
            return {}
        found: dict[str, Tensor] = {}
        for name, wanted in changes.items():
            move = exemplars.get(name, bool(wanted)) if isinstance(wanted, bool) else None
            if move is None or move.config.lays not in COMPOSITES:
                continue
            onto, compose = self._onto(reading), COMPOSITES[move.config.lays]
            donors = sorted(self._donors[f"{name}={int(wanted)}"], key=lambda face: abs(turned(face) - turned(onto)))
            laid = next((one for donor in donors if (one := compose(donor, onto)) is not None), None)
            if laid is not None:
                both = torch.from_numpy(np.stack([onto.rgb, laid])).permute(0, 3, 1, 2).to(reading.z) / 255
                side = generator.image_size
                both = F.interpolate(both, (side, side), mode="bicubic", antialias=True, align_corners=False)
                before, after = generator.encode(both.clamp(0, 1)).mean
                found[name] = after - before
        return found

    def _onto(self, reading: Reading) -> Face:
        """The photo's face at the parser's size; its maps are what was found when it was read."""
        parser = self._model.parser
        assert parser is not None
        assert reading.maps is not None
        side, aligned = parser.config.image_size, reading.aligned
        matrix = aligned.matrix.copy()
        matrix[:, :2] *= aligned.crop.width / side
        with reading.photo.held():
            rgb = np.asarray(warp(reading.photo.rgb, matrix, side), dtype=np.float32)
        edge = (reading.maps.shape[-1] - side) // 2
        maps = reading.maps[:, edge : edge + side, edge : edge + side].astype(np.float32) / 255
        return Face(rgb, dict(zip(parser.config.classes, maps, strict=True)))
