"""What the identity slider means for one set of weights: measured by `train.calibrate`, kept beside them as JSON.

Both backends follow the move that the actor makes when it is told to keep the person: the actor jumps to a point on
its line, the optimiser walks to one and descends from there. (A larger lambda_dist made up for by a longer way was
confirmed more often, at equal likeness, than a smaller one.) How far a person is still that person at a point can only
be measured, so it is, and the slider is laid out so that equal steps of it are equal steps of measured similarity, the
same for both. Some changes need a longer way than others before an eye sees them (a bald head) and some a shorter one
(a smile): the length of each of the twenty is measured too, and how sure of it the guide must be.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from lc.errors import WeightsError

__all__ = ["FILE", "Calibration", "load_calibration", "save_calibration"]

FILE = "calibration.json"


@dataclass(frozen=True)
class Calibration:
    """Piecewise linear tables. The defaults serve weights that nobody has calibrated.

    Attributes:
        slider: places of the slider, from 0 to 1.
        actor: how far along the actor's line its jump goes at each of them; 1 is its own proposal.
        optimiser: how far the walk goes before it descends.
        distance: ascending distances moved, root mean square in sigma_bar, from 0.
        similarity: how similar the person is found at each distance: 1 the same picture, 0 two strangers. Empty where
            it was not measured.
        lengths: how much longer than others the move of each change is where it is made alone, as "Bald=1"; 1 where
            nothing is said.
        shown: the logit that the guide must at least read for a change, where that is not `Tuning.target_margin`.
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
        """How far the actor jumps along its line at a place of the slider.

        >>> Calibration().for_actor(0.5)
        1.3
        """
        return float(np.interp(identity, self.slider, self.actor))

    def for_optimiser(self, identity: float) -> float:
        """How far the walk follows that line at a place of the slider.

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
        WeightsError: damaged.
    """
    try:
        found = json.loads((folder / FILE).read_text())
        names = ("slider", "actor", "optimiser", "distance", "similarity")
        tables: dict[str, Any] = {name: tuple(map(float, found[name])) for name in names}
        for name in ("lengths", "shown"):
            tables[name] = {str(change): float(value) for change, value in found.get(name, {}).items()}
        return Calibration(**tables)
    except FileNotFoundError:
        return Calibration()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(f"{folder / FILE} is damaged: fetch it again, or run python -m train.calibrate.") from error


def save_calibration(folder: Path, calibration: Calibration, **measured: object) -> None:
    """Write calibration.json; `measured` is kept beside the tables for whoever wants to see what they rest on."""
    (folder / FILE).write_text(json.dumps({**dataclasses.asdict(calibration), "measured": measured}, indent=2) + "\n")
