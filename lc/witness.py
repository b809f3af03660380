"""The witness: a classifier that took no part in making an edit reads the finished photo."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lc.attributes import Attribute, AttributeSet
from lc.classifier import Classifier
from lc.faces import Aligned, Photo
from lc.faces.align import warp
from lc.faces.steering import MARGIN, wide_crop
from lc.faces.tone import to_lab
from lc.parser import Parser

__all__ = ["Look", "Seen", "Witness"]

# Shares of a crop that show a part: of what is taken for it, and of what is it for sure.
_SHARES = {"glasses": (0.002, 0.01), "hat": (0.03, 0.09), "hair": (0.04, 0.12)}
_SHARE = (0.01, 0.04)
_OF_A_COLOUR = 2.0  # standard deviations from a colour's mean within which something has it
_TURNED = 0.3  # a probability that crosses one half by less than this has not changed to speak of


@dataclass(frozen=True)
class Look:
    """One look at a face.

    Attributes:
        read: attribute name -> probability, by the classifier.
        shown: of those that are the presence, the absence or the colour of a part: 1 where it is seen in the pixels, 0
            where not.
        coloured: those of them that are a colour.
    """

    read: dict[str, float]
    shown: dict[str, float]
    coloured: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Seen:
    """What the witness reads.

    Attributes:
        before, after: attribute name -> probability, in the photo and in the finished edit; one half is where the
            classifier says yes as often as photos have the attribute.
    """

    before: dict[str, float]
    after: dict[str, float]

    @classmethod
    def between(cls, before: Look, after: Look) -> Seen:
        """What two looks say: where a part has come or gone in the pixels, that counts as much as the classifier, and
        so does a colour that is there, and was before."""
        both = before.shown.keys() & after.shown.keys()
        there = {name for name in both & after.coloured if after.shown[name] > 0.5}
        turned = there | {name for name in both if abs(after.shown[name] - before.shown[name]) > 0.5}
        return cls(
            *(
                look.read | {name: (look.read[name] + look.shown[name]) / 2 for name in turned}
                for look in (before, after)
            )
        )

    def turned(self, name: str) -> bool:
        """Whether an attribute reads the other way round than before."""
        before, after = self.before[name], self.after[name]
        return (before >= 0.5) != (after >= 0.5) and abs(after - before) >= _TURNED


class Witness:
    """Reads attributes of a face in a photo.

    What is the presence, the absence or the colour of a part, as glasses, a bald head and blond hair are, is looked for
    in the pixels as well: a classifier of few of them knows the glasses, hats and bald heads that are common, and no
    others, and blond men hardly; see `Seen`.

    Args:
        classifier: one that was in no loss, guidance or calibration.
        attributes: what its logits are, in order.
        parser: finds parts, where there is one.
    """

    def __init__(self, classifier: Classifier, attributes: AttributeSet, parser: Parser | None = None) -> None:
        self._classifier, self.attributes, self._parser = classifier, attributes, parser
        self._known: weakref.WeakKeyDictionary[Aligned, Look] = weakref.WeakKeyDictionary()

    def first_look(self, photo: Photo, aligned: Aligned) -> Look:
        """As `look`, at the photo as it was aligned: every edit of a face is held against the same one."""
        known = self._known.get(aligned)
        if known is None:
            known = self._known[aligned] = self.look(photo.rgb, aligned, self.attributes.names)
        return known

    def look(self, rgb: Image.Image, aligned: Aligned, names: Collection[str] = ()) -> Look:
        """Look at a face.

        Args:
            rgb: the photo or an edit of it, sRGB.
            aligned: the face's place in it.
            names: attributes whose parts are looked for, too.
        """
        coloured = frozenset(name for name in names if self.attributes[name].colour)
        return Look(self._read(rgb, aligned), self._shown(rgb, aligned, names), coloured)

    @torch.inference_mode()
    def _read(self, rgb: Image.Image, aligned: Aligned) -> dict[str, float]:
        """What the classifier says."""
        side = self._classifier.config.image_size
        matrix = aligned.matrix.copy()
        matrix[:, :2] *= aligned.crop.width / side
        crop = self._tensor(warp(rgb, matrix, side))
        probabilities: list[float] = torch.sigmoid(self._classifier.beyond(crop))[0].tolist()
        return self.attributes.named(probabilities)

    @torch.inference_mode()
    def _shown(self, rgb: Image.Image, aligned: Aligned, names: Collection[str]) -> dict[str, float]:
        """What the parser finds of those that are the presence, the absence or the colour of a part, in [0, 1]."""
        entries = [self.attributes[name] for name in names]
        shown = [(entry, entry.part or entry.lacks) for entry in entries if entry.part or entry.lacks]
        coloured = [entry for entry in entries if entry.colour and entry.recolours]
        if self._parser is None or not (shown or coloured):
            return {}
        size, classes = self._parser.config.image_size, self._parser.config.classes
        edge = round(MARGIN * size)
        inside = slice(edge, edge + size)
        wide = wide_crop(rgb, aligned, size)
        parts = self._parser.parse(self._tensor(wide), resample=False)[0, :, inside, inside] > 0.5
        shares = parts.float().mean((1, 2)).tolist()
        found = {}
        for entry, part in shown:
            low, high = _SHARES.get(part, _SHARE)
            there = min(max((shares[classes.index(part)] - low) / (high - low), 0.0), 1.0)
            found[entry.name] = 1 - there if entry.lacks else there
        lab = to_lab(np.asarray(wide, dtype=np.float32)[inside, inside])
        for entry in coloured:
            column = classes.index(entry.recolours)
            found[entry.name] = 0.0  # what is not there has no colour: a bald head is not blond
            if shares[column] > _SHARES.get(entry.recolours, _SHARE)[0]:
                found[entry.name] = self._of_a_colour(entry, np.median(lab[parts[column].cpu().numpy()], 0).tolist())
        return found

    def _of_a_colour(self, entry: Attribute, lab: Sequence[float]) -> float:
        """Whether a colour, L*, a*, b*, is an attribute's rather than any other's of the same part."""
        others = [one for one in self.attributes.attributes if one.colour and one.recolours == entry.recolours]
        away = {one.name: one.colour.distance(lab) for one in others if one.colour}
        return float(away[entry.name] == min(away.values()) and away[entry.name] < _OF_A_COLOUR)

    def _tensor(self, picture: Image.Image) -> Tensor:
        place = next(self._classifier.parameters()).device
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].to(place).float() / 255
