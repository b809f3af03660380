"""A density of the latents: what was fitted comes out again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from processes import finish_here

from lc.errors import WeightsError
from lc.weights import save_config
from train.density import DensityTraining, fit
from train.mixture import Density, DensityConfig, load_density


def two_blobs(count: int) -> torch.Tensor:
    """Draws around -3 and +3 along a slanted line in five dimensions."""
    side = torch.where(torch.arange(count) % 3 == 0, -3.0, 3.0)[:, None]
    return side * torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0]) + 0.3 * torch.randn(count, 5) + 1


def test_fitting_finds_the_shape_of_the_latents() -> None:
    torch.manual_seed(0)
    z = two_blobs(3000)
    config = DensityTraining(components=2, leading=2)
    density = fit(z, torch.zeros_like(z), z.mean(0), z.std(0), config)
    drawn = density.sample(3000, torch.Generator().manual_seed(1))
    torch.testing.assert_close(drawn.mean(0), z.mean(0), atol=0.15, rtol=0)
    torch.testing.assert_close(torch.cov(drawn.T), torch.cov(z.T), atol=0.4, rtol=0)
    along = (drawn[:, 0] + drawn[:, 1]) / 2 - 1
    assert (along.abs() < 1.5).float().mean() < 0.01  # nothing between the blobs, where one Gaussian would be densest
    assert 0.28 < (along < 0).float().mean() < 0.39


def test_the_encoders_own_noise_is_part_of_the_density() -> None:
    torch.manual_seed(0)
    mean, std = torch.zeros(2000, 4), torch.tensor([0.1, 1.0, 2.0, 0.5]).expand(2000, 4)
    density = fit(mean, std, torch.zeros(4), torch.ones(4), DensityTraining(components=1, leading=2))
    drawn = density.sample(4000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.std(0), std[0], rtol=0.1, atol=0.02)


def test_the_same_seed_gives_the_same_draws() -> None:
    density = Density(DensityConfig(latent=8, components=3, leading=2))
    first, again, other = (density.sample(5, torch.Generator().manual_seed(seed)) for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_weights_folder_may_hold_a_density(celeba: Path, weights_copy: Path) -> None:
    assert load_density(weights_copy, 24) is None
    how = ["--vae", str(weights_copy), "--celeba", str(celeba), "--components", "2", "--leading", "4"]
    finish_here(["train.density", *how])
    density = load_density(weights_copy, 24)
    assert density is not None
    assert density.sample(3).shape == (3, 24)
    assert density.sample(200).std(0).isfinite().all()
    save_config(weights_copy, density={"latent": 3, "components": 2, "leading": 2})
    with pytest.raises(WeightsError, match="another generator"):
        load_density(weights_copy, 24)
    save_config(weights_copy, density={"latent": 3})
    with pytest.raises(WeightsError, match="density"):
        load_density(weights_copy, 24)
