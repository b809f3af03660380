"""The tuning of weights/celeba-64, measured on it: where a new set of weights begins, until it is measured anew."""

from __future__ import annotations

from pathlib import Path

from lc.tuning import Tuning
from lc.weights import load_config, load_tuning

__all__ = ["LEGACY_TUNING", "tuning_of"]

#: See `lc.tuning.Tuning` for meaning and units.
LEGACY_TUNING: dict[str, float] = {
    # The first three steps gain four fifths, in decibels, of what forty would.
    "inversion_steps": 4,
    # Squares reward a fainter line over one that is a pixel off: without this, descent takes back the contrast that the
    # decoder was sharpened for.
    "inversion_contrast": 0.42,
    "inversion_rate": 0.1,
    "inversion_momentum": 0.5,
    "sigma_x": 0.08,  # what the VAE was trained with
    "perceptual_weight": 1000.0,  # up to here it costs no decibel
    "strength_furthest": 1.5,
    "strength_places": 25,
    "correction_steps": 3,
    "target_margin": 3.5,  # another classifier sees less than the guidance classifier does
    "target_margin_several": 5.0,
    "unasked_weight": 20.0,
    "undone_weight": 16.0,
    "correction_decay": 0.7,  # further steps would else follow the guidance classifier's own errors
    "sure_logits": 4.0,
    "surer_share": 0.5,
    "logit_slope": 0.06,  # the average over logits and edits
    "optimiser_steps": 300,
    "optimiser_rate": 0.1,
    "optimiser_stride": 0.15,
    "optimiser_radius": 2.0,  # as far as a proposal is long; descent needs a tenth of that
    "refinement_steps": 60,
    "margin": 1.0,
    "sample_margin": 2.0,
    "tolerance": 0.05,
    "realism_weight": 0.3,
    "realism_level": 0.3,  # the paper's notebook's
    # With ten times as much, descent wins back youth and hair by undoing a bald head.
    "preservation_weight": 0.03,
    "preservation_weight_alone": 0.3,
}


def tuning_of(folder: Path) -> Tuning:
    """The tuning of a weights folder, or `LEGACY_TUNING` where it has none yet."""
    return load_tuning(folder) if "tuning" in load_config(folder) else Tuning.from_dict(LEGACY_TUNING)
