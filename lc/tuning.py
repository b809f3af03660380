"""Every number that was measured on one set of weights and fits no other: a section of their config.json."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lc.errors import WeightsError

__all__ = ["Tuning"]


def _number(low: float, high: float) -> Any:
    """A field whose value lies in [low, high]."""
    return field(metadata={"range": (low, high)})


@dataclass(frozen=True)
class Tuning:
    """Settings that belong to a set of weights. There are no defaults: numbers of other weights do not fit.

    A logit is one of the guidance classifier's or of D_attr's, as said; lengths in sigma_bar are root mean squares over
    dimensions.
    """

    # From a photo to its latent, see lc.invert
    inversion_steps: int = _number(0, 10_000)  # steps of descent to a photo's latent; 0: the encoder's guess
    inversion_contrast: float = _number(0, 10)  # amount of unsharp masking of a photo before it is descended to
    inversion_rate: float = _number(1e-6, 10)  # first size of a step, in variances of the posterior
    inversion_momentum: float = _number(0, 0.999)  # share of the last step that is taken again
    sigma_x: float = _number(1e-4, 1)  # standard deviation of p(x|z), of pixels in [0, 1]
    perceptual_weight: float = _number(0, 1e9)  # what a unit of feature distance counts, in nats

    # The actor's proposal, see lc.edit.actor
    strength_furthest: float = _number(0, 10)  # a strength is looked for up to this step scale; 1 is the proposal
    strength_places: int = _number(2, 10_000)  # places that are tried up to there

    # Classifier-guided correction, see lc.edit.correct
    correction_steps: int = _number(0, 1000)  # steps per edit, one more where several changes are made
    target_margin: float = _number(0, 100)  # logits beyond the boundary that are asked of a change, at least
    target_margin_several: float = _number(0, 100)  # the most logits that are asked of each of several changes
    unasked_weight: float = _number(0, 1e6)  # of a squared logit that changed unasked, in squared sigma_bar
    undone_weight: float = _number(0, 1e6)  # of a squared logit that a change falls short by, in squared sigma_bar
    correction_decay: float = _number(0, 1)  # of both weights, from one step to the next
    sure_logits: float = _number(1e-3, 1e3)  # so many logits from the boundary, an unasked change counts 1 / e
    surer_share: float = _number(0, 1)  # of the weight that counts where a logit only moves away from the boundary
    logit_slope: float = _number(0, 1e3)  # mean squared length of a logit's gradient, per squared sigma_bar

    # The optimiser, see lc.edit.optimiser
    optimiser_steps: int = _number(1, 100_000)  # at most so many
    optimiser_rate: float = _number(1e-6, 10)  # Adam's step, in sigma_bar per dimension
    optimiser_stride: float = _number(1e-3, 1e3)  # length of a step towards the proposal, in sigma_bar
    optimiser_radius: float = _number(0, 1e6)  # how far descent may lead from where it began, in sigma_bar
    refinement_steps: int = _number(0, 100_000)  # after an actor's proposal, for constraints that it does not serve
    margin: float = _number(0, 100)  # logits of D_attr beyond the boundary that meet a wanted attribute
    sample_margin: float = _number(0, 100)  # the same for samples without the realism constraint
    tolerance: float = _number(1e-6, 1)  # a strength is met within this probability
    realism_weight: float = _number(0, 1e6)  # of -log D(z), against an edited attribute's cross-entropy
    realism_level: float = _number(0, 1)  # D(z) above this is real enough
    preservation_weight: float = _number(0, 1e6)  # of a preserved attribute after a proposal, which preserves already
    preservation_weight_alone: float = _number(0, 1e6)  # of a preserved attribute where no proposal precedes

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Tuning:
        """Read what `to_dict` gives.

        Raises:
            WeightsError: a name is missing or unknown, or a value is no number or out of range.
        """
        if not isinstance(values, Mapping):
            raise WeightsError("The section 'tuning' of config.json is no table of numbers: fetch the weights again.")
        fields = {one.name: one for one in dataclasses.fields(cls)}
        if wrong := sorted(fields.keys() ^ values.keys()):
            state = "is missing from" if wrong[0] in fields else "is unknown in"
            raise WeightsError(
                f"{wrong[0]!r} {state} the section 'tuning' of config.json: it was made for another version of this "
                "program."
            )
        numbers: dict[str, Any] = {}
        for name, one in fields.items():
            low, high = one.metadata["range"]
            numbers[name] = _checked(name, values[name], low, high, whole=one.type == "int")
        return cls(**numbers)

    def to_dict(self) -> dict[str, float]:
        """The numbers by name, as they stand in config.json."""
        return dataclasses.asdict(self)


def _checked(name: str, value: object, low: float, high: float, whole: bool) -> float:
    """The value, a number of the right kind in [low, high]; raises WeightsError."""
    number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:  # type: ignore[arg-type, operator]
        kind = "a whole number" if whole else "a number"
        raise WeightsError(
            f"{name!r} in the section 'tuning' of config.json is {value!r}: it must be {kind} from {low:g} to {high:g}."
        )
    return value if whole else float(value)  # type: ignore[return-value, arg-type]
