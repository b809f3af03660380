"""lc.generator: the VAE's shapes, gradients and determinism."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lc.generator import Posterior
from lc.losses import kl_divergence, pixel_nll
from lc.vae import VAE, VAEConfig
from train.metrics import gradient_energy

SMALL = VAEConfig(latent=12, widths=(4, 6, 8, 10), bottleneck=5)
BLOCKS = VAEConfig(latent=7, widths=(4, 4, 8, 8), bottleneck=4, encoder_blocks=1, decoder_blocks=2)
LINEAR = replace(BLOCKS, linear=8, fine_blocks=1)
CONFIGS = [SMALL, BLOCKS, replace(BLOCKS, decoder_widths=(6, 4, 5, 7), decoder_bottleneck=3), LINEAR]


@pytest.fixture(scope="module")
def vae() -> VAE:
    torch.manual_seed(0)
    return VAE(SMALL).eval().requires_grad_(False)


@pytest.mark.parametrize("config", CONFIGS, ids=["plain", "blocks", "two sizes", "linear"])
def test_every_parameter_gets_a_gradient(config: VAEConfig) -> None:
    torch.manual_seed(0)
    vae, images = VAE(config), torch.rand(4, 3, 64, 64)
    posterior = vae.encode(images)
    loss = pixel_nll(images, vae.decode(posterior.sample()), 0.1) + kl_divergence(posterior)
    loss.mean().backward()
    idle = [name for name, p in vae.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


@settings(max_examples=15, deadline=None)
@given(batch=st.integers(1, 5), level=st.floats(0, 1))
def test_shapes_and_ranges(vae: VAE, batch: int, level: float) -> None:
    mean, std = vae.encode(torch.full((batch, 3, 64, 64), level))
    assert mean.shape == std.shape == (batch, SMALL.latent)
    assert (std > 0).all()
    pictures = vae.decode(mean)
    assert pictures.shape == (batch, 3, 64, 64)
    assert pictures.min() >= 0
    assert pictures.max() <= 1


def test_latents_of_any_size_decode_into_range(vae: VAE) -> None:
    pictures = vae.decode(1e4 * torch.randn(3, SMALL.latent))
    assert pictures.isfinite().all()
    assert 0 <= pictures.min() <= pictures.max() <= 1


def test_a_picture_is_coded_the_same_alone_and_in_a_batch(vae: VAE) -> None:
    images = torch.rand(5, 3, 64, 64)
    together = vae.encode(images)
    for i in range(5):
        alone = vae.encode(images[i : i + 1])
        torch.testing.assert_close(alone.mean[0], together.mean[i])
        torch.testing.assert_close(alone.std[0], together.std[i])
    torch.testing.assert_close(vae.decode(together.mean)[2:3], vae.decode(together.mean[2:3]))


def test_coding_draws_nothing_by_chance(vae: VAE) -> None:
    images = torch.rand(2, 3, 64, 64)
    first, second = vae.encode(images), vae.encode(images)
    assert torch.equal(first.mean, second.mean)
    assert torch.equal(vae.decode(first.mean), vae.decode(second.mean))


def test_pictures_and_latents_matter(vae: VAE) -> None:
    mean = vae.encode(torch.rand(2, 3, 64, 64)).mean
    assert not torch.allclose(mean[0], mean[1])
    pictures = vae.decode(torch.randn(2, SMALL.latent))
    assert not torch.allclose(pictures[0], pictures[1])


def test_a_posterior_draws_from_its_gaussian() -> None:
    mean, std = torch.tensor([[-2.0, 5.0]]), torch.tensor([[0.5, 3.0]])
    many = Posterior(mean.expand(20_000, 2), std.expand(20_000, 2)).sample(torch.Generator().manual_seed(0))
    torch.testing.assert_close(many.mean(0), mean[0], atol=0.1, rtol=0)
    torch.testing.assert_close(many.std(0), std[0], atol=0.1, rtol=0)


def test_a_posterior_draws_the_same_from_the_same_seed() -> None:
    posterior = Posterior(torch.zeros(2, 4), torch.ones(2, 4))
    one, same, other = (posterior.sample(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    "sizes",
    [
        {"latent": 0},
        {"widths": (8, 8, 8)},
        {"widths": (8, 8, 8, 0)},
        {"bottleneck": -1},
        {"decoder_blocks": -1},
        {"decoder_widths": (8, 8, 8)},
        {"decoder_widths": (8, 8, 8, 0)},
        {"decoder_bottleneck": -1},
        {"linear": -1},
        {"linear": 65},
    ],
    ids=str,
)
def test_impossible_sizes_are_refused(sizes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="sizes"):
        VAEConfig(**sizes)  # type: ignore[arg-type]


def test_a_crisp_decoder_draws_the_same_with_more_contrast() -> None:
    torch.manual_seed(0)
    plain, z = VAE(SMALL).eval(), 3 * torch.randn(4, SMALL.latent)
    crisp = VAE(replace(SMALL, crispness=0.5)).eval()
    crisp.load_state_dict(plain.state_dict())
    with torch.no_grad():
        before, after = plain.decode(z), crisp.decode(z)
    assert after.min() >= 0
    assert after.max() <= 1
    assert (gradient_energy(after) > gradient_energy(before)).all()
    torch.testing.assert_close(after.mean((2, 3)), before.mean((2, 3)), atol=0.01, rtol=0)
