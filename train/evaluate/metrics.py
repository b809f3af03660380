"""What can be measured in pixels of a finished photo, by the face parser's masks, and is therefore left to no reader.

Photo and edit are cut out at one place, parsed, and compared: areas of glasses, hat, hair and mouth, the colour of the
hair, the tone of the cheeks, the background. What counts as glasses, a hat, a head of hair or blond is learned from
labelled photos (`Ranges`), in the same units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from lc.faces import Aligned
from lc.faces.masks import shrunk
from lc.faces.steering import MARGIN, beyond, wide_crop
from lc.faces.tone import to_lab
from lc.parser import Parser

__all__ = ["COLOURS", "WORN", "Parsed", "Ranges", "compare", "parse_faces"]

_Floats: TypeAlias = npt.NDArray[np.float32]

#: Attributes that are the colour of the hair.
COLOURS: tuple[str, ...] = ("Black_Hair", "Blond_Hair", "Brown_Hair")
#: Attributes that are an area of the crop: the class, and whether having the attribute means more or less of it.
WORN: dict[str, tuple[str, bool]] = {
    "Eyeglasses": ("glasses", True),
    "Wearing_Hat": ("hat", True),
    "Bald": ("hair", False),
}

BALD = 1 / 3  #: bald is who keeps at most this part of the hair's area
GREY = 2.0  #: mean chroma below which a photo is a grey one
_LEAST = 0.005  # part of the crop below which a mask says nothing of its colour
_BORDER = 5  # pixels, at the parser's size: the side of the square by half of which a background is narrowed
_BATCH = 8
# Cheeks in parts of the crop's side: beside the nose, below the eyes. Left, top, right, bottom.
_CHEEKS = ((0.26, 0.60, 0.40, 0.75), (0.60, 0.60, 0.74, 0.75))


@dataclass(frozen=True, eq=False)
class Parsed:
    """A photo around a face, `lc.faces.steering.MARGIN` of the crop's side included on every side.

    Attributes:
        rgb: (S, S, 3) in grey levels. lab: (S, S, 3), CIELAB.
        found: (S, S), the class of each pixel.
        there: (S, S), where the photo is: beyond its border the crop shows it mirrored.
        classes: the parser's.
        margin: pixels around the crop, on every side.
    """

    rgb: _Floats
    lab: _Floats
    found: npt.NDArray[np.int64]
    there: npt.NDArray[np.bool_]
    classes: Sequence[str]
    margin: int

    def mask(self, name: str, *, wide: bool = False) -> npt.NDArray[np.bool_]:
        """(S, S): where a class is; inside the crop alone unless `wide`."""
        mask = self.found == list(self.classes).index(name)
        return mask if wide else mask & self._inside()

    def _inside(self) -> npt.NDArray[np.bool_]:
        inside = np.zeros(self.found.shape, dtype=np.bool_)
        inside[self.margin : self.found.shape[0] - self.margin, self.margin : self.found.shape[1] - self.margin] = True
        return inside

    def area(self, name: str, *, wide: bool = False) -> float:
        """Of a class, in parts of the crop's area."""
        return float(self.mask(name, wide=wide).sum() / (self.found.shape[0] - 2 * self.margin) ** 2)

    def colour(self, name: str) -> _Floats | None:
        """Median L*, a* and b* of a class, (3,); None where there is too little of it."""
        if self.area(name) < _LEAST:
            return None
        return np.asarray(np.median(self.lab[self.mask(name)], axis=0), dtype=np.float32)

    def cheeks(self) -> npt.NDArray[np.bool_]:
        """(S, S): skin on the cheeks."""
        side, place = self.found.shape[0] - 2 * self.margin, np.zeros(self.found.shape, dtype=np.bool_)
        for box in _CHEEKS:
            left, top, right, bottom = (round(self.margin + part * side) for part in box)
            place[top:bottom, left:right] = True
        return place & self.mask("skin")

    def tone(self) -> float:
        """Median L* of the cheeks: how light the skin is, NaN where none is seen."""
        cheeks = self.cheeks()
        return float(np.median(self.lab[..., 0][cheeks])) if cheeks.any() else float("nan")

    def chroma(self) -> float:
        """Mean chroma."""
        return float(np.hypot(self.lab[..., 1], self.lab[..., 2]).mean())


def parse_faces(parser: Parser, faces: Sequence[tuple[Image.Image, Aligned]]) -> list[Parsed]:
    """Parse pictures, RGB, around the places given."""
    size = parser.config.image_size
    device = next(parser.parameters()).device
    found: list[Parsed] = []
    for first in range(0, len(faces), _BATCH):
        pictures = [np.asarray(wide_crop(*face, size), dtype=np.float32) for face in faces[first : first + _BATCH]]
        images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(device) / 255
        masks = parser.parse(images, resample=False).argmax(1).cpu().numpy()
        margin = round(MARGIN * size)
        classes = parser.config.classes
        for (picture, aligned), rgb, mask in zip(faces[first : first + _BATCH], pictures, masks, strict=True):
            found.append(Parsed(rgb, to_lab(rgb), mask, ~beyond(picture.size, aligned, size), classes, margin))
    return found


# --- ranges, learned from labelled photos ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Ranges:
    """What counts as having an attribute, learned from labelled photos.

    An area's threshold is the one at which the labels of both kinds are told best, in the mean of their two shares. A
    hair colour's range: nearest, by Mahalanobis distance under the colours' pooled covariance, of the mean colours of
    hair labelled so, and no further from its mean than `share` of the photos that are labelled so.

    Attributes:
        area: attribute -> threshold, in parts of the crop's area.
        mean: attribute -> mean L*, a*, b* of the hair.
        precision: (3, 3), the inverse of the pooled covariance.
        radius: attribute -> the furthest that counts.
        agreement: attribute -> (share of those labelled so that are read so, share of the others that are not), where
            anything is read.
        photos: how many it was learned from.
    """

    area: dict[str, float] = field(default_factory=dict)
    mean: dict[str, tuple[float, ...]] = field(default_factory=dict)
    precision: tuple[tuple[float, ...], ...] = ()
    radius: dict[str, float] = field(default_factory=dict)
    agreement: dict[str, tuple[float, float]] = field(default_factory=dict)
    photos: int = 0

    def distance(self, colour: _Floats, name: str) -> float:
        """Mahalanobis distance of a colour, (3,), from a hair colour's mean."""
        off = np.asarray(colour, dtype=np.float64) - np.array(self.mean[name])
        return float(np.sqrt(off @ np.array(self.precision) @ off))

    def has(self, face: Parsed, name: str) -> bool | None:
        """Whether a face has an attribute; None where masks do not say."""
        if name in self.area:
            kind, more = WORN[name]
            return (face.area(kind) >= self.area[name]) == more
        if name not in self.mean:
            return None
        colour = face.colour("hair")
        if colour is None:
            return None
        distances = {other: self.distance(colour, other) for other in self.mean}
        return min(distances, key=distances.__getitem__) == name and distances[name] <= self.radius[name]

    @classmethod
    def fit(cls, faces: Sequence[Parsed], labels: Mapping[str, Sequence[bool]], share: float = 0.95) -> Ranges:
        """Learn from faces and the labels of each attribute, in the faces' order.

        An attribute that fewer than two of the faces have, or lack, is left out.
        """
        known = {n: np.array(v, dtype=np.bool_) for n, v in labels.items() if 2 <= sum(v) <= len(v) - 2}
        area = {n: _threshold(faces, n, known[n]) for n in WORN if n in known}
        colours = [face.colour("hair") for face in faces]
        seen = np.array([colour is not None for colour in colours], dtype=np.bool_)
        groups = {
            name: np.stack([c for c, of in zip(colours, known[name] & seen, strict=True) if of and c is not None])
            for name in COLOURS
            if name in known and (known[name] & seen).sum() >= 2
        }
        ranges = cls(area, photos=len(faces))
        if groups:
            mean = {name: tuple(map(float, group.mean(0))) for name, group in groups.items()}
            rest = np.concatenate([group - group.mean(0) for group in groups.values()]).astype(np.float64)
            precision = np.linalg.inv(rest.T @ rest / len(rest) + np.eye(3))  # one level of L*a*b* is nobody's colour
            ranges = cls(area, mean, tuple(tuple(map(float, row)) for row in precision), photos=len(faces))
            radius = {n: float(np.quantile([ranges.distance(c, n) for c in g], share)) for n, g in groups.items()}
            ranges = cls(area, mean, ranges.precision, radius, photos=len(faces))
        agreement = {name: _agreement(ranges, faces, name, known[name]) for name in [*area, *ranges.mean]}
        return cls(ranges.area, ranges.mean, ranges.precision, ranges.radius, agreement, len(faces))


def _threshold(faces: Sequence[Parsed], name: str, labels: npt.NDArray[np.bool_]) -> float:
    kind, more = WORN[name]
    areas = np.array([face.area(kind) for face in faces])
    high = labels if more else ~labels
    places = np.unique(areas)
    places = np.concatenate([places[:1], (places[1:] + places[:-1]) / 2])
    right = [(areas[high] >= place).mean() + (areas[~high] < place).mean() for place in places]
    return max(float(places[int(np.argmax(right))]), _LEAST / 10)  # no area at all is never enough


def _agreement(
    ranges: Ranges, faces: Sequence[Parsed], name: str, labels: npt.NDArray[np.bool_]
) -> tuple[float, float]:
    found = [ranges.has(face, name) for face in faces]
    read, said = (
        np.array(values, dtype=np.bool_) for values in ([bool(f) for f in found], [f is not None for f in found])
    )
    has, lacks = labels & said, ~labels & said  # of hair that is not seen nothing is said
    return float(read[has].mean()), float((~read[lacks]).mean())


# --- before and after ------------------------------------------------------------------------------------------------


def compare(before: Parsed, after: Parsed, name: str, wanted: bool, ranges: Ranges) -> dict[str, float]:
    """Measure one edit; NaN where nothing can be said.

    Returns:
        masks: 1 where the change is there, 0 where not, of those that lacked it before. cheek: change of the cheeks'
        median L*. background: mean change in grey levels of what is background before and after, in the photo and not
        on its border with hair, whose pixels show some of both. mouth: its area, over that before. chroma: mean, of a
        photo that was grey. hair: its area, over that before.
    """
    cheeks = before.cheeks() & after.cheeks()
    still = before.mask("background", wide=True) & after.mask("background", wide=True) & before.there
    still = shrunk(still, _BORDER)
    lightness = [np.median(face.lab[..., 0][cheeks]) if cheeks.any() else np.nan for face in (before, after)]
    figures: dict[str, Any] = {
        "masks": _success(before, after, name, wanted, ranges),
        "cheek": lightness[1] - lightness[0],
        "background": np.abs(after.rgb - before.rgb).mean(2)[still].mean() if still.any() else np.nan,
        "mouth": _ratio(after.area("mouth"), before.area("mouth")),
        "hair": _ratio(after.area("hair", wide=True), before.area("hair", wide=True)),
        "chroma": after.chroma() if before.chroma() < GREY else np.nan,
    }
    return {name: float(value) for name, value in figures.items()}


def _success(before: Parsed, after: Parsed, name: str, wanted: bool, ranges: Ranges) -> float:
    had, has = ranges.has(before, name), ranges.has(after, name)
    if had is None or had == wanted:
        return float("nan")
    if name == "Bald" and wanted:
        return float(_ratio(after.area("hair", wide=True), before.area("hair", wide=True)) <= BALD)
    return float(bool(has) == wanted)


def _ratio(value: float, reference: float) -> float:
    return value / reference if reference > 0 else float("nan")
