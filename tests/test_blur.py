"""lc.blur."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2.functional import gaussian_blur as torchvisions

from lc.blur import gaussian_blur


@pytest.mark.parametrize(("side", "deviation"), [(7, 1.2), (3, 0.7), (13, 2.9)])
@pytest.mark.parametrize("shape", [(2, 3, 64, 64), (1, 1, 16, 33)])
def test_a_blur_is_torchvisions_to_the_last_bit(side: int, deviation: float, shape: tuple[int, ...]) -> None:
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(gaussian_blur(images, side, deviation), torchvisions(images, [side] * 2, [deviation] * 2))
