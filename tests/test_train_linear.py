"""train.linear: probabilistic PCA in closed form, as an encoder and as what its decoder begins with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from processes import finish
from torch import Tensor

from lc.errors import LatentConstraintsError
from lc.vae import VAE, LinearEncoder, VAEConfig
from lc.weights import load_generator, load_statistics
from train.data import centre, load_celeba
from train.linear import fit
from train.loop import train
from train.metrics import psnr
from train.vae import VAEStage, VAETraining, grow, reconstruction_psnr

LATENT, SIDE = 12, 16
MODEL = VAEConfig(latent=LATENT, widths=(8, 8, 8, 8), bottleneck=8, patch=4, linear=SIDE)


def blobs(count: int, dimensions: int, seed: int = 0) -> Tensor:
    """Smooth pictures that `dimensions` numbers make, (N, 3, 128, 128) uint8, never dark or burnt."""
    chance = torch.Generator().manual_seed(seed)
    basis = torch.randn(dimensions, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    strength = torch.randn(count, dimensions, generator=chance) / (1 + torch.arange(dimensions))
    small = torch.einsum("nd,dchw->nchw", strength, basis)
    pictures = 0.5 + 0.4 * torch.tanh(F.interpolate(small, size=128, mode="bicubic", align_corners=False) / 3)
    return (pictures * 255).round().to(torch.uint8)


@pytest.fixture(scope="module")
def fitted() -> VAE:
    torch.manual_seed(0)
    vae = VAE(MODEL).eval()
    fit(vae, blobs(200, 6), sigma_x=0.02, focus=1.0)
    return vae.requires_grad_(False)


def test_pictures_of_a_few_numbers_come_back(fitted: VAE) -> None:
    others = centre(blobs(40, 6, seed=5), 128)  # made of the same, and not learned from
    assert reconstruction_psnr(fitted, others) > 30
    mean = others.mean(0, keepdim=True).expand_as(others)
    assert float((psnr(fitted.decode(fitted.encode(others).mean), others) - psnr(mean, others)).min()) > 6


def test_latents_have_the_priors_spread_and_the_noise_says_what_is_sure(fitted: VAE) -> None:
    seen = centre(blobs(200, 6), 128)
    posterior = fitted.encode(torch.cat([seen, seen.flip(3)]))
    spread = (posterior.mean.var(0, correction=0) + posterior.std[0].square()).sqrt()
    torch.testing.assert_close(spread, torch.ones(LATENT), atol=0.05, rtol=0)
    assert (posterior.std == posterior.std[0]).all()
    assert (posterior.std[0].diff() > -1e-6).all()  # of leading dimensions it is the surest
    assert float(posterior.std[0, 0]) < 0.1


def test_more_noise_in_photos_leaves_less_to_be_sure_of() -> None:
    torch.manual_seed(0)
    stds = []
    for sigma_x in (0.01, 0.05, 1000):
        vae = VAE(MODEL)
        fit(vae, blobs(60, 6), sigma_x, focus=0.0)
        assert isinstance(vae.encoder, LinearEncoder)
        stds.append(F.softplus(vae.encoder.raw_std))
    assert (stds[0] < stds[1]).all()
    torch.testing.assert_close(stds[2], torch.ones(LATENT))  # nothing is known: the prior
    assert vae.encode(centre(blobs(3, 6), 128)).mean.abs().max() == 0


def test_a_mirrored_picture_is_coded_as_well(fitted: VAE) -> None:
    others = centre(blobs(40, 6, seed=7), 128)
    straight, mirrored = (reconstruction_psnr(fitted, x) for x in (others, others.flip(3)))
    assert abs(straight - mirrored) < 1.5


def test_an_encoder_that_is_not_linear_is_refused() -> None:
    with pytest.raises(ValueError, match="not linear"):
        fit(VAE(VAEConfig(latent=8, widths=(4, 4, 4, 4), bottleneck=4)), blobs(20, 3), 0.1, 0.0)


def test_a_decoder_grows_and_the_encoder_stays(fitted: VAE) -> None:
    z = torch.randn(3, LATENT)
    larger = grow(fitted, replace(MODEL, detail=4, fine_blocks=1)).eval()
    torch.testing.assert_close(larger.decode(z), fitted.decode(z), atol=1e-5, rtol=0)
    x = centre(blobs(2, 6), 128)
    torch.testing.assert_close(larger.encode(x).mean, fitted.encode(x).mean)


def test_a_deep_encoder_does_not_become_linear(fitted: VAE) -> None:
    for small, wanted in ((VAE(replace(MODEL, linear=0)), MODEL), (fitted, replace(MODEL, linear=8))):
        with pytest.raises(RuntimeError, match="linear in"):
            grow(small, wanted)


def test_a_linear_encoder_is_not_begun_at_random(celeba: Path, tmp_path: Path) -> None:
    with pytest.raises(LatentConstraintsError, match=r"run python -m train\.linear"):
        train(VAEStage, VAETraining(tmp_path, celeba=celeba, model=MODEL, images=8, batch=4, threads=1, device="cpu"))


@pytest.mark.slow
def test_the_decoder_learns_on_and_the_latents_stay(celeba: Path, tmp_path: Path) -> None:
    sizes = ["--model.latent", str(LATENT), "--model.widths", "8", "8", "8", "8", "--model.bottleneck", "8"]
    sizes += ["--model.linear", str(SIDE), "--model.patch", "2", "--model.fine-blocks", "1"]
    sizes += ["--model.decoder-widths", "8", "8", "8", "8", "--model.decoder-bottleneck", "8"]
    first, second = tmp_path / "linear", tmp_path / "vae"
    printed = finish(["train.linear", "--celeba", str(celeba), "--out", str(first), "--threads", "1", *sizes])
    assert "held-out reconstruction" in printed
    learned = ["--images", "96", "--batch", "8", "--device", "cpu", "--threads", "1", "--warmup", "2", "--no-bf16"]
    start = ["--init", str(first / "weights"), "--out", str(second)]
    finish(["train.vae", "--celeba", str(celeba), *start, *learned, *sizes])
    before, after = (load_generator(folder / "weights") for folder in (first, second))
    x = centre(load_celeba(celeba, "validation", 4).images)
    torch.testing.assert_close(after.encode(x), before.encode(x))
    for one, other in zip(after.decoder.colours.parameters(), before.decoder.colours.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    assert not torch.equal(after.decoder.patches.weight, before.decoder.patches.weight)
    for one, other in zip(*(load_statistics(folder / "weights") for folder in (first, second)), strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-2)  # weights are kept in half precision
