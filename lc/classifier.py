"""A pixel classifier of attributes, and a perceptual distance between pictures by its features.

Source: LPIPS (Zhang et al. 2018): distances between a network's features agree with people's judgement of similarity
better than distances between pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Classifier", "ClassifierConfig", "feature_distance"]


@dataclass(frozen=True)
class ClassifierConfig:
    """Sizes of a classifier, saved as JSON beside its weights."""

    widths: tuple[int, ...] = (48, 96, 192, 256)  # channels at 32x32, 16x16, 8x8, 4x4
    blocks: int = 1  # residual blocks at each size
    dropout: float = 0.3
    patch: int = 2  # pixels per place of the 32x32 maps, each way
    attributes: int = 10  # logits

    def __post_init__(self) -> None:
        if not self.widths or min(*self.widths, self.attributes) < 1 or self.blocks < 0 or self.patch not in (2, 4):
            raise ValueError(f"classifier sizes must be positive, with a patch of 2 or 4: {self}")

    @property
    def image_size(self) -> int:
        """Side of the square pictures, in pixels."""
        return 32 * self.patch


class Block(nn.Module):
    """Residual block, the second half of a stage (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


class Classifier(nn.Module):
    """A small ResNet: photos to logits. `thresholds` are the probabilities at which each attribute is called true."""

    thresholds: Tensor

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        channels = 3
        for level, width in enumerate(config.widths):
            # The first convolution strides over patches that overlap by half.
            stride, kernel = (config.patch, 2 * config.patch) if level == 0 else (2, 3)
            layers += [nn.Conv2d(channels, width, kernel, stride, stride // 2, bias=False)]
            layers += [nn.BatchNorm2d(width)]
            layers += [nn.ReLU(inplace=True), *(Block(width) for _ in range(config.blocks))]
            channels = width
        self.stage = 3 + config.blocks  # modules in each stage of `body`
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(channels, config.attributes))
        self.register_buffer("thresholds", torch.full((config.attributes,), 0.5))

    def _sized(self, images: Tensor) -> Tensor:
        """Pictures at the classifier's own size: one of smaller pictures reads larger ones shrunk."""
        side = self.config.image_size
        return images if images.shape[-1] == side else F.interpolate(images, (side, side), mode="area")

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> (B, last width)."""
        features: Tensor = self.body(self._sized(images) * 2 - 1)
        return features.float()

    def maps(self, images: Tensor) -> list[Tensor]:
        """Each stage's features, scaled to unit norm in each place, for `feature_distance`.

        (B, 3, S, S) in [0, 1] -> (B, width, side, side) at 32x32 down to 4x4.
        """
        found, x = [], self._sized(images) * 2 - 1
        for level in range(len(self.config.widths)):
            x = self.body[level * self.stage : (level + 1) * self.stage](x)
            found.append(F.normalize(x.float(), dim=1))
        return found

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> logits (B, A)."""
        logits: Tensor = self.head(self.features(images))
        return logits.float()

    def beyond(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> (B, A): how far beyond its threshold each logit is."""
        logits: Tensor = self(images)
        return logits - torch.logit(self.thresholds)

    def read(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> bool (B, A)."""
        return torch.sigmoid(self(images)) >= self.thresholds


def feature_distance(copies: Sequence[Tensor], photos: Sequence[Tensor]) -> Tensor:
    """Squared distance between features, averaged over places, summed over stages: (B,).

    LPIPS (Zhang et al. 2018, equation 1) with weights of one.

    Args:
        copies, photos: `Classifier.maps` of each.
    """
    pairs = zip(copies, photos, strict=True)
    return torch.stack([(copy - photo).square().sum(1).mean((1, 2)) for copy, photo in pairs]).sum(0)
