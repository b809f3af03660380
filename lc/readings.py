"""Photos whose faces were found, read: latents, attributes, and what the face parser sees."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from lc.crops import to_pictures, to_tensor
from lc.edit.space import LatentSpace
from lc.invert import guess, invert
from lc.later import Later, one_of
from lc.results import Located, Reading
from lc.steer import Steerer
from lc.threads import each

__all__ = ["Reader"]

_BATCH = 32


class Reader:
    """Reads photos.

    Args:
        space: of the model.
        steerer: of the same; parses them.
        inversion_steps: see `lc.editor.FaceEditor`.
    """

    def __init__(self, space: LatentSpace, steerer: Steerer, inversion_steps: int) -> None:
        self._space, self._steerer, self._steps = space, steerer, inversion_steps

    def __call__(self, located: Sequence[Located]) -> list[Reading]:
        """A reading of each, in their order."""
        count = max(1, math.ceil(len(located) / _BATCH))
        size = max(1, math.ceil(len(located) / count))  # even, or one thread waits for another
        batches = [located[first : first + size] for first in range(0, len(located), size)]
        # One computes where another waits for Python or for memory.
        return [reading for some in each(self._read, batches) for reading in some]

    @torch.inference_mode()
    def _read(self, located: Sequence[Located]) -> list[Reading]:
        """The same of so many as go through the nets together."""
        model = self._space.model
        images = to_tensor([aligned.crop for *_, aligned in located], model.statistics.mean.device)
        z, pictures = self._inverted(images)
        attributes, parsed = self._space.probabilities(z), self._steerer.parsed(located)
        for row, seen in enumerate(parsed):
            if seen:
                attributes[row] = self._steerer.told(seen[1], attributes[row])
        return [
            Reading(*one, z[row].cpu(), one_of(pictures, row), attributes[row], *(parsed[row] or ()))
            for row, one in enumerate(located)
        ]

    def _inverted(self, images: Tensor) -> tuple[Tensor, Later[Sequence[Image.Image]]]:
        """Latents of crops, (B, latent), and their reconstructions, which a guess alone does not lead to."""
        model = self._space.model
        if self._steps:
            z, decoded = invert(
                model.generator,
                images,
                model.tuning,
                statistics=model.statistics,
                steps=self._steps,
                perceptual=model.perceptual,
            )
            pictures = to_pictures(decoded)
            return z, Later(lambda: pictures)
        z = guess(model.generator, images, model.statistics)

        @torch.inference_mode()
        def decode() -> Sequence[Image.Image]:
            return to_pictures(model.generator.decode(z))

        return z, Later(decode)
