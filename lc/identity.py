"""What the identity slider means for one set of weights: measured by `train.calibrate`, kept beside them as JSON.

Both backends follow the line of the actor's proposal when it is told to keep the person: the step scale says how far.
(A larger lambda_dist with a larger step scale was confirmed more often, at equal likeness, than a smaller one.) How far
a person is still that person at a point can only be measured, so it is, and the slider is laid out so that equal steps
of it are equal steps of measured similarity, the same for both. Some changes need a larger step than others before an
eye sees them (a bald head) and some a smaller one (a smile): the step scale of each of the twenty is measured too, and
the target margin that the guidance classifier must read.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from lc.checksums import is_listed, parse_json, read_file, save_files
from lc.errors import WeightsError

__all__ = ["FILE", "Calibration", "load_calibration", "save_calibration"]

FILE = "calibration.json"


@dataclass(frozen=True)
class Calibration:
    """Piecewise linear tables. The defaults serve weights that nobody has calibrated.

    Attributes:
        slider: places of the slider, from 0 to 1.
        actor: step scale of the actor's edits at each of them; 1 is its own proposal.
        optimiser: step scale of the proposal that the optimiser descends from.
        distance: ascending distances moved, root mean square in sigma_bar, from 0.
        similarity: how similar the person is found at each distance: 1 the same picture, 0 two strangers. Empty where
            it was not measured.
        lengths: step scale of each change relative to others, where it is made alone, as "Bald=1"; 1 where nothing is
            said.
        shown: target margin of a change: the logit that the guidance classifier must at least read, where that is not
            `Tuning.target_margin`.
    """

    slider: tuple[float, ...] = (0.0, 1.0)
    actor: tuple[float, ...] = (1.6, 1.0)
    optimiser: tuple[float, ...] = (1.6, 1.0)
    distance: tuple[float, ...] = ()
    similarity: tuple[float, ...] = ()
    lengths: Mapping[str, float] = field(default_factory=dict)
    shown: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (
            len(self.slider) == len(self.actor) == len(self.optimiser) >= 2
            and len(self.distance) == len(self.similarity)
            and _ascending(self.slider)
            and _ascending(self.distance)
            and (self.slider[0], self.slider[-1]) == (0, 1)
            and all(0 < value < 10 for value in (*self.actor, *self.optimiser, *self.lengths.values()))
            and all(0 < value < 100 for value in self.shown.values())
        ):
            raise ValueError("tables of unequal lengths, out of order or out of range")

    def for_actor(self, identity: float) -> float:
        """The actor's step scale at a place of the slider.

        >>> Calibration().for_actor(0.5)
        1.3
        """
        return float(np.interp(identity, self.slider, self.actor))

    def for_optimiser(self, identity: float) -> float:
        """The optimiser's step scale at a place of the slider.

        >>> Calibration().for_optimiser(0.5)
        1.3
        """
        return float(np.interp(identity, self.slider, self.optimiser))

    def similar(self, distance: float) -> float | None:
        """How similar a person is, as a rule, after a move of `distance` (in sigma_bar); None where nobody knows."""
        return float(np.interp(distance, self.distance, self.similarity)) if self.distance else None


def _ascending(values: Sequence[float]) -> bool:
    return all(a < b for a, b in pairwise(values))


def load_calibration(folder: Path) -> Calibration:
    """Read calibration.json; where there is none, the defaults.

    Raises:
        WeightsError: damaged, or not the one that config.json describes.
    """
    if not is_listed(folder, FILE):
        return Calibration()
    data = read_file(folder, FILE)
    try:
        found = parse_json(data)
        names = ("slider", "actor", "optimiser", "distance", "similarity")
        tables: dict[str, Any] = {name: tuple(map(float, found[name])) for name in names}
        for name in ("lengths", "shown"):
            tables[name] = {str(change): float(value) for change, value in found.get(name, {}).items()}
        if not all(math.isfinite(v) for t in tables.values() for v in (t.values() if isinstance(t, dict) else t)):
            raise ValueError("not finite")
        return Calibration(**tables)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(f"{folder / FILE} is damaged: fetch it again, or run python -m train.calibrate.") from error


def save_calibration(folder: Path, calibration: Calibration, **measured: object) -> None:
    """Write calibration.json; `measured` is kept beside the tables for whoever wants to see what they rest on."""
    text = json.dumps({**dataclasses.asdict(calibration), "measured": measured}, indent=2)
    save_files(folder, {FILE: f"{text}\n".encode()})
