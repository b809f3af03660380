"""Pseudo-labels: masks for photos that have none, by the parser's own average, as far as the photos' labels allow them.

Nine hundred faces with masks hold thirty hats; CelebA-HQ's training part holds nine hundred more that are only known to
be there. The average of the parser's weights reads a photo (mean teacher, Tarvainen and Valpola 2017); what its labels
deny is struck out, what they affirm counts for more, and what remains in doubt is unknown.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from train.data import load_celeba

__all__ = ["UNKNOWN", "Unmasked", "pseudo_labels"]

UNKNOWN = 255  # no mask says what this pixel is: no loss there
_MARGIN = 1 / 16  # of the crops of CelebA-HQ on every side, in parts of their side


class Unmasked:
    """Photos that have attribute labels and no masks.

    Args:
        root: CelebA in a layout that `train.layouts.find` knows; its training part is used.
        size: side of the crops, in pixels.
        worn: class of the parser -> the attribute that says whether it is there.
        rare: share of a draw that wears something.
    """

    def __init__(self, root: Path, size: int, worn: dict[int, str], rare: float) -> None:
        self.margin = round(_MARGIN * size)  # pixels around the crops, on every side
        crops = load_celeba(root, "train", attributes=tuple(worn.values()), image_size=size, margin=self.margin)
        assert crops.labels is not None
        self.images, self.labels, self.classes, self.rare = crops.images, crops.labels > 0, tuple(worn), rare
        self.wearers = [column.nonzero()[:, 0] for column in self.labels.T]

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Photos (B, 3, S, S) in [0, 1] with their margin, and what is worn, (B, classes worn) of bool."""
        rows = torch.randint(len(self.images), (count,), generator=generator)
        for i in range(round(self.rare * count)):
            among = self.wearers[i % len(self.wearers)]
            if len(among):
                rows[i] = among[torch.randint(len(among), (), generator=generator)]
        return self.images[rows].float() / 255, self.labels[rows]


def pseudo_labels(
    probabilities: Tensor, classes: tuple[int, ...], worn: Tensor, sure: float = 0.8, boost: float = 4.0
) -> Tensor:
    """What a photo shows, as far as parser and labels agree.

    Args:
        probabilities: (B, C, S, S), what the parser finds.
        classes: those that `worn` speaks of.
        worn: (B, len(classes)) of bool.
        sure: the least probability of a pixel that is not `UNKNOWN`.
        boost: how many times as probable a class is that is said to be there.

    Returns:
        (B, S, S) of long.
    """
    weight = torch.ones(probabilities.shape[:2], device=probabilities.device)
    weight[:, list(classes)] = torch.where(worn, boost, 0.0).to(weight)
    found = F.normalize(probabilities * weight[..., None, None], p=1, dim=1)
    value, label = found.max(1)
    return torch.where(value >= sure, label, UNKNOWN)
