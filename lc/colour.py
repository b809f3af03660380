"""What colour a part of a photo has where an attribute holds: a mean and how far people differ from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

__all__ = ["Colour"]


@dataclass(frozen=True)
class Colour:
    """What colour a part of a photo has that shows an attribute, in CIELAB.

    Attributes:
        mean: the median L*, a*, b* of the part, averaged over photos.
        spread: standard deviation of those medians, in L*, a*, b*; positive.
        contrast: standard deviation of L* within one photo's part.
    """

    mean: tuple[float, float, float]
    spread: tuple[float, float, float]
    contrast: float

    def narrowed(self, part: float) -> Colour:
        """The same with a part of its spread, in (0, 1]."""
        light, red, yellow = self.spread
        return replace(self, spread=(part * light, part * red, part * yellow))

    def nearest(self, lab: Sequence[float]) -> tuple[float, ...]:
        """The colour nearest to `lab`, (3,), on the way to the mean, within one standard deviation of it."""
        return tuple(b + (a - b) / max(1.0, self.distance(lab)) for a, b in zip(lab, self.mean, strict=True))

    def distance(self, lab: Sequence[float]) -> float:
        """How many standard deviations `lab`, (3,), is from the mean: their root mean square."""
        return (sum(((a - b) / c) ** 2 for a, b, c in zip(lab, self.mean, self.spread, strict=True)) / 3) ** 0.5
