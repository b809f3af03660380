"""How D_attr and the face parser tell together whether a photo shows glasses or a hat, see `train.evidence`."""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["LEAST_SHARE", "Evidence", "logit_of"]

#: What is added to a share before its logarithm is taken.
LEAST_SHARE = 1e-3


class Evidence(NamedTuple):
    """Logistic regression: what the logit of D_attr counts, and the logarithm of the share of a crop that the parser
    finds; and what is added."""

    latent: float
    seen: float
    offset: float

    def read(self, probability: float, share: float) -> float:
        """How probable it is, in [0, 1], by what D_attr says and the share that is found, both in [0, 1]."""
        logit = self.latent * logit_of(probability) + self.seen * math.log(share + LEAST_SHARE) + self.offset
        return 1 / (1 + math.exp(-logit))


def logit_of(probability: float) -> float:
    """Of a probability in [0, 1], kept finite."""
    probability = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(probability / (1 - probability))
