"""The few figures that say how far a model reaches, from the rows that `train.evaluate` measured of its crops."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from train.attributes import ATTRIBUTES

__all__ = ["METHODS", "PERSON", "SWEEPS", "ratio", "reach", "samples_row"]

Figures = Mapping[str, Any]

METHODS = {"edits_actor": "actor", "edits_optimise": "optimiser"}
# The edited face against the photo in three ways; of each there is a distance too.
PERSON = {
    "same_person_pasted": "put into the photo, as the app does it",
    "same_person_to_reconstruction": "against the reconstruction, what the edit itself does",
    "same_person": "the decoded face, with all that the reconstruction lost",
}
SWEEPS = {"sweep": "actor", "sweep_optimise": "optimiser"}


def samples_row(figures: Figures) -> str:
    """Which row is of faces as `FaceEditor.sample` makes them."""
    return "flow" if "flow" in figures else "actor"


def reach(figures: Figures) -> dict[str, Any]:
    """The few figures that say how far it reaches, by name; those of identity only where it was measured."""
    real, copies, samples = figures["real"], figures["reconstruction"], figures[samples_row(figures)]
    result: dict[str, Any] = {
        "samples_accuracy_ratio": ratio(samples["accuracy"], real["accuracy"]),
        "samples_f1_ratio": ratio(samples["f1"], real["f1"]),
    }
    ratios = {n: ratio(samples["per_attribute"][n]["f1"], real["per_attribute"][n]["f1"]) for n in ATTRIBUTES}
    known: dict[str, float | None] = {name: value for name, value in ratios.items() if value is not None}
    known = known or {"": None}
    worst = min(known, key=lambda name: known[name] or 0)
    result |= {"samples_attribute_f1_ratio_min": known[worst], "samples_attribute_f1_ratio_min_attribute": worst}
    result |= {
        "samples_frechet_ratio_to_prior": ratio(samples["frechet"], figures["prior"]["frechet"]),
        "samples_diversity_ratio": samples["diversity"],
    }
    for key, method in METHODS.items():
        result |= {f"{method}_{name}": value for name, value in _edits_reach(figures[key]).items()}
    for key, method in SWEEPS.items():
        result |= {f"{method}_{name}": value for name, value in _slider_reach(figures[key]).items()}
    for prefix, row, made in (
        ("", copies, samples),
        ("plain_", figures.get("plain_reconstruction"), figures.get("plain_actor")),
    ):
        if row and made:
            result |= {f"{prefix}{name}": value for name, value in _decoder_reach(real, row, made).items()}
    return result


def ratio(value: float, reference: float) -> float | None:
    """A quotient; None where there is nothing to divide by."""
    return value / reference if reference else None  # among few photos an attribute may never be read


def _edits_reach(edits: Figures) -> dict[str, Any]:
    directions = edits["directions"]
    worst = min(directions, key=lambda name: directions[name]["success"])
    return {
        "edits_success": edits["success"],
        "edits_success_min": directions[worst]["success"],
        "edits_success_min_direction": worst,
        "edits_held": edits["held"],
    }


def _slider_reach(sweep: Figures) -> dict[str, Any]:
    """At the end of the slider that keeps the person, and whether the way there is monotone."""
    places = sorted(sweep, key=float)
    kept = sweep[places[-1]]["same_person_edits"]
    names = ("success", "success_pasted", *PERSON)
    result: dict[str, Any] = {"kept_identity": float(places[-1])}
    result |= {f"kept_{name}": kept[name] for name in names if name in kept}
    for name in ("z_distance", "embedding_distance_pasted", "success"):
        values = [sweep[place][name] for place in places if name in sweep[place]]
        if values:  # each should fall on the way; the largest step upwards says how wrong it is
            rises = [round(after - before, 9) for before, after in pairwise(values)]  # rounding is no rise
            result |= {f"monotone_{name}": all(rise <= 0 for rise in rises), f"rise_{name}": max([0.0, *rises])}
    return result


def _decoder_reach(real: Figures, copies: Figures, samples: Figures) -> dict[str, Any]:
    gaps = {n: copies["per_attribute"][n]["accuracy"] - real["per_attribute"][n]["accuracy"] for n in ATTRIBUTES}
    result = {
        "psnr": copies["psnr"],
        "gradient_energy": copies["gradient_energy"],
        "reconstruction_frechet": copies["frechet"],
        "samples_frechet": samples["frechet"],
        "reader_gap": copies["accuracy"] - real["accuracy"],
        "reader_gap_per_attribute": gaps,
    }
    if "embedding_distance" in copies:
        result["reconstruction_embedding_distance"] = copies["embedding_distance"]
        result["reconstruction_same_person"] = copies["same_person"]
    return result
