"""The parts of the actor's and the decoder's losses that are formulas of their own."""

from __future__ import annotations

import torch

from train.sharpness import checkerboard
from train.tasks import energy_distance


def test_energy_distance_is_zero_for_one_distribution_and_grows_with_the_shift() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(800, 6), torch.randn(900, 6)
    near, shifted, far = (float(energy_distance(a, b + shift)) for shift in (0.0, 0.5, 2.0))
    assert abs(near) < 0.02
    assert near + 0.1 < shifted < far


def test_energy_distance_sees_a_collapse_that_keeps_the_mean() -> None:
    torch.manual_seed(0)
    a = torch.randn(500, 6)
    assert energy_distance(0.3 * torch.randn(500, 6), a) > 0.2


def test_energy_distance_pulls_a_batch_towards_the_other() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(32, 4).requires_grad_(True), torch.randn(64, 4) + 3
    (gradient,) = torch.autograd.grad(energy_distance(a, b), a)
    assert (gradient.mean(0) < 0).all()


def test_checkerboard_is_seen_and_texture_is_not() -> None:
    torch.manual_seed(0)
    photos = torch.rand(4, 3, 64, 64)
    noise = 0.1 * torch.randn(4, 3, 64, 64)
    pattern = 0.1 * torch.randn(4, 3, 4, 4).repeat(1, 1, 16, 16)
    assert checkerboard(photos + pattern, photos) > 8 * checkerboard(photos + noise, photos)
    assert checkerboard(photos + 0.2, photos) < 1e-6
    # It shows where the photo is smooth.
    assert checkerboard(0.1 * photos + pattern, 0.1 * photos) > 2 * checkerboard(photos + pattern, photos)
