"""Crops as pictures and as tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

__all__ = ["to_pictures", "to_tensor"]


def to_tensor(pictures: Sequence[Image.Image], device: torch.device) -> Tensor:
    """RGB pictures of S x S pixels -> (B, 3, S, S) in [0, 1]."""
    pixels = np.stack([np.asarray(picture) for picture in pictures])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device).float() / 255


def to_pictures(images: Tensor) -> list[Image.Image]:
    """(B, 3, S, S) in [0, 1] -> RGB pictures of S x S pixels."""
    pixels = (images * 255).round().clamp(0, 255).byte()
    return [Image.fromarray(array) for array in pixels.permute(0, 2, 3, 1).cpu().numpy()]
