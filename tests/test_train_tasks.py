"""The parts of the actor's and the decoder's losses that are formulas of their own."""

from __future__ import annotations

import torch

from lc.attributes import ATTRIBUTES
from train.critics import CriticsTraining
from train.draw import Draw
from train.latents import DIRECTIONS
from train.sharpen import hatching
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


def test_hatching_is_seen_and_texture_is_not() -> None:
    torch.manual_seed(0)
    photos = torch.rand(4, 3, 64, 64)
    noise = 0.1 * torch.randn(4, 3, 64, 64)
    pattern = 0.1 * torch.randn(4, 3, 4, 4).repeat(1, 1, 16, 16)
    assert hatching(photos + pattern, photos) > 8 * hatching(photos + noise, photos)
    assert hatching(photos + 0.2, photos) < 1e-6
    # It shows where the photo is smooth.
    assert hatching(0.1 * photos + pattern, 0.1 * photos) > 2 * hatching(photos + pattern, photos)


def test_what_a_direction_takes_along_counts_more() -> None:
    """Of Smiling=1, which makes everyone blond, the hair is held harder than anything else; of other directions not."""
    draw = object.__new__(Draw)
    draw.config, draw.device = CriticsTraining(hold=0.5, leaking=4.0, failing=1.0), torch.device("cpu")
    draw.failing, draw.leaking = torch.zeros(20), torch.zeros(20, 10)
    smiling, blond = DIRECTIONS.index(("Smiling", True)), ATTRIBUTES.index("Blond_Hair")
    before, after = torch.full((2, 10), 0.2), torch.full((2, 10), 0.2)
    after[0, [ATTRIBUTES.index("Smiling"), blond]] = 0.9
    for _ in range(200):
        draw.learn(torch.tensor([smiling, -1]), before, after)
    assert draw.failing.sum() < 0.1
    mask = torch.zeros(3, 10)
    mask[0, ATTRIBUTES.index("Smiling")] = 1
    counts = draw.counts(torch.tensor([smiling, smiling + 1, -1]), mask)
    assert counts[0, ATTRIBUTES.index("Smiling")] == 1
    assert counts[0, blond] > 2.4  # hold x (1 + leaking x nearly always)
    assert (counts[0] == 0.5).sum() == 8
    assert (counts[1:] == 0.5).all()
