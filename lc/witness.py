"""The witness: a classifier that took no part in making an edit reads the finished photo."""

from __future__ import annotations

import weakref
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from lc.attributes import AttributeSet
from lc.classifier import Classifier
from lc.faces import Aligned
from lc.faces.align import warp

__all__ = ["Seen", "Witness"]

_TURNED = 0.3  # a probability that crosses one half by less than this has not changed to speak of


@dataclass(frozen=True)
class Seen:
    """What the witness reads.

    Attributes:
        before, after: attribute name -> probability, in the photo and in the finished edit; one half is where the
            classifier says yes as often as photos have the attribute.
    """

    before: dict[str, float]
    after: dict[str, float]

    def turned(self, name: str) -> bool:
        """Whether an attribute reads the other way round than before."""
        before, after = self.before[name], self.after[name]
        return (before >= 0.5) != (after >= 0.5) and abs(after - before) >= _TURNED


class Witness:
    """Reads attributes of a face in a photo.

    Args:
        classifier: one that was in no loss, guidance or calibration.
        attributes: what its logits are, in order.
    """

    def __init__(self, classifier: Classifier, attributes: AttributeSet) -> None:
        self._classifier, self.attributes = classifier, attributes
        self._known: weakref.WeakKeyDictionary[Aligned, dict[str, float]] = weakref.WeakKeyDictionary()

    def read_once(self, rgb: Image.Image, aligned: Aligned) -> dict[str, float]:
        """As `read`, of the photo as it was aligned: every edit of a face is held against the same reading."""
        known = self._known.get(aligned)
        if known is None:
            known = self._known[aligned] = self.read(rgb, aligned)
        return known

    @torch.inference_mode()
    def read(self, rgb: Image.Image, aligned: Aligned) -> dict[str, float]:
        """Attribute name -> probability.

        Args:
            rgb: the photo or an edit of it, sRGB.
            aligned: the face's place in it.
        """
        side = self._classifier.config.image_size
        matrix = aligned.matrix.copy()
        matrix[:, :2] *= aligned.crop.width / side
        crop = torch.from_numpy(np.array(warp(rgb, matrix, side))).permute(2, 0, 1)[None].float() / 255
        place = next(self._classifier.parameters()).device
        probabilities: list[float] = torch.sigmoid(self._classifier.beyond(crop.to(place)))[0].tolist()
        return self.attributes.named(probabilities)
