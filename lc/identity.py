"""What the identity slider means for one set of weights: measured by `train.calibrate`, kept beside them as JSON.

Both backends follow the line from a latent to the actor's proposal at identity 1: the step scale says how far. (A
larger lambda_dist with a larger step scale was confirmed more often, at equal similarity, than a smaller one.)
Similarity to the person along the line is measured, and the slider is laid out so that equal steps of it are equal
steps of measured similarity, the same for both. Some changes need a larger step than others before they are visible (a
bald head) and some a smaller one (a smile): the step scale of each single change is measured too, and its target margin
for the guidance classifier.
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
        step_scales: of each change relative to others, as "Bald=1"; 1 where nothing is said, and where several are
            corrected together.
        target_margins: of a change, the logit that the guidance classifier must at least read, where that is not
            `Tuning.target_margin`.
        uncorrected: changes that classifier-guided correction leaves alone, and what is corrected beside them begins
            where they lead: those that the actor learned from how photos look (`train.matching`). A classifier would
            take back part of what people see.
    """

    slider: tuple[float, ...] = (0.0, 1.0)
    actor: tuple[float, ...] = (1.6, 1.0)
    optimiser: tuple[float, ...] = (1.6, 1.0)
    distance: tuple[float, ...] = ()
    similarity: tuple[float, ...] = ()
    step_scales: Mapping[str, float] = field(default_factory=dict)
    target_margins: Mapping[str, float] = field(default_factory=dict)
    uncorrected: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (
            len(self.slider) == len(self.actor) == len(self.optimiser) >= 2
            and len(self.distance) == len(self.similarity)
            and _ascending(self.slider)
            and _ascending(self.distance)
            and (self.slider[0], self.slider[-1]) == (0, 1)
            and all(0 < value < 10 for value in (*self.actor, *self.optimiser, *self.step_scales.values()))
            and all(0 < value < 100 for value in self.target_margins.values())
        ):
            raise ValueError("tables of unequal sizes, out of order or out of range")

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
        WeightsError: damaged, of an earlier version, or not the one that config.json describes.
    """
    if not is_listed(folder, FILE):
        return Calibration()
    data = read_file(folder, FILE)
    try:
        found = parse_json(data)
        names = ("slider", "actor", "optimiser", "distance", "similarity")
        tables: dict[str, Any] = {name: tuple(map(float, found[name])) for name in names}
        for name in ("step_scales", "target_margins"):
            tables[name] = {str(change): float(value) for change, value in found.get(name, {}).items()}
        uncorrected = tuple(map(str, found.get("uncorrected", ())))
        if unknown := found.keys() - tables.keys() - {"uncorrected", "measured"}:
            raise ValueError(f"{min(unknown)!r} is unknown")
        if not all(math.isfinite(v) for t in tables.values() for v in (t.values() if isinstance(t, dict) else t)):
            raise ValueError("not finite")
        return Calibration(**tables, uncorrected=uncorrected)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(
            f"{folder / FILE} is damaged, or of an earlier version: fetch it again, or run python -m train.migrate "
            f"{folder} NEW_FOLDER."
        ) from error


def save_calibration(folder: Path, calibration: Calibration, **measured: object) -> None:
    """Write calibration.json; `measured` is kept beside the tables for whoever wants to see what they rest on."""
    text = json.dumps({**dataclasses.asdict(calibration), "measured": measured}, indent=2)
    save_files(folder, {FILE: f"{text}\n".encode()})
