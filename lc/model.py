"""What a weights folder holds, in memory; `lc.weights` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from lc.actor import Actor
from lc.attributes import AttributeSet
from lc.classifier import Classifier
from lc.critics import AttributeCritic, Critic, LatentStatistics
from lc.exemplars import Exemplars
from lc.flow import Flow
from lc.generator import Generator
from lc.identity import Calibration
from lc.learned import LearnedRule
from lc.parser import Parser
from lc.regions import RegionVAE
from lc.reliability import Reliability
from lc.tuning import Tuning
from lc.upsampler import Upsampler

__all__ = ["Model"]


@dataclass(frozen=True)
class Model:
    """Everything in a weights folder, on one device, frozen.

    Attributes:
        attributes: which there are, in the order of label vectors and logits.
        generator: an nn.Module that implements `Generator`.
        label_vectors: (K, A) in {0, 1}, the distinct attribute vectors of the training photos.
        label_counts: (K,), how many photos have each.
        lambda_dist: the distance weights that the ends 0 and 1 of the actor's identity input stand for.
        calibration: what the identity slider means.
        reliability: what seldom works on whom.
        tuning: the numbers that were measured on these weights.
        config: config.json as it is.
        perceptual: what photos and decoded pictures are compared by, beside their pixels, where there is one.
        guidance: the guidance classifier, which corrects edits, where there is one (the folder's part "guide");
            `perceptual` where it is the only one.
        witness: a classifier that takes no part in edits and reads what has come of them, where there is one.
        parser: the face parser, which steers the blend, where there is one.
        flow: where generated faces come from, where there is one; else the actor leads there from the prior.
        upsampler: gives what goes into photos twice the resolution, where there is one.
        enlarger: gives whole pictures twice the resolution, where there is one; `upsampler` where it is the only one.
        finishers: what makes layers look like photos, by what it does, see `lc.finish`.
        regions: nets that draw one region of a face at that resolution, by region.
        contrast: (K, latent), latents of a sample of the training photos, where there is one: what an attribute that is
            taught from a few photos is contrasted with.
        exemplars: moves learned from pairs, which take the actor's place, where there are some.
        rules: what was measured of rules on these weights, by their names, see `lc.learned`.
    """

    attributes: AttributeSet
    generator: Generator
    actor: Actor
    critic: Critic
    attribute_critic: AttributeCritic
    statistics: LatentStatistics
    label_vectors: Tensor
    label_counts: Tensor
    lambda_dist: tuple[float, float]
    calibration: Calibration
    reliability: Reliability
    tuning: Tuning
    config: dict[str, Any]
    perceptual: Classifier | None = None
    guidance: Classifier | None = None
    witness: Classifier | None = None
    parser: Parser | None = None
    flow: Flow | None = None
    upsampler: Upsampler | None = None
    enlarger: Upsampler | None = None
    finishers: Mapping[str, Upsampler] = field(default_factory=dict)
    regions: Mapping[str, RegionVAE] = field(default_factory=dict)
    contrast: Tensor | None = None
    exemplars: Exemplars | None = None
    rules: Mapping[str, LearnedRule] = field(default_factory=dict)

    def distance_weight(self, identity: float) -> float:
        """lambda_dist at a place of the actor's identity input, in [0, 1]: it grows geometrically."""
        low, high = self.lambda_dist
        return low * (high / low) ** identity
