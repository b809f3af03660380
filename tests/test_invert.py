"""lc.invert: the encoder's guess, finished by descent."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from lc.classifier import feature_distance
from lc.editor import FaceEditor
from lc.invert import descend, invert
from lc.tuning import Tuning
from lc.vae import VAE, VAEConfig
from train.metrics import psnr
from train.tuning import LEGACY_TUNING

TUNING = Tuning.from_dict(LEGACY_TUNING)
HOW = {"rate": 0.1, "momentum": 0.5}


def energy(vae: VAE, images: Tensor, z: Tensor) -> Tensor:
    """-log p(x, z) but for a constant, (B,)."""
    with torch.no_grad():
        missed = (vae.decode(z) - images).square().sum((1, 2, 3))
    return missed / (2 * TUNING.sigma_x**2) + z.square().sum(1) / 2


def tiny(seed: int) -> VAE:
    torch.manual_seed(seed)
    vae = VAE(VAEConfig(latent=12, widths=(8, 8, 8, 8), bottleneck=8)).eval().requires_grad_(False)
    # Steeper than any trained decoder: a step of fixed length would climb out of the valley.
    vae.decoder.project.weight *= 30
    return vae


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 6))
def test_no_latent_is_less_likely_than_the_first(seed: int, steps: int) -> None:
    vae, images = tiny(seed), torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(seed))
    first = vae.encode(images).mean
    found = energy(vae, images, invert(vae, images, TUNING, steps=steps, contrast=0.0)[0])
    assert (found <= energy(vae, images, first) * (1 + 1e-5)).all()


def test_a_photo_does_not_depend_on_those_beside_it() -> None:
    vae, images = tiny(0), torch.rand(4, 3, 64, 64)
    together, _ = invert(vae, images, TUNING)
    alone = torch.cat([invert(vae, image[None], TUNING)[0] for image in images])
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=1e-3)


@example(45, 367.0)
@given(st.integers(0, 1000), st.floats(0.01, 1000.0))
def test_descent_never_ends_higher_than_it_began(seed: int, steepness: float) -> None:
    start = torch.randn(5, 7, generator=torch.Generator().manual_seed(seed))

    def bowl(z: Tensor) -> Tensor:
        return steepness * (z.sin() * z).sum(1)

    def decode(z: Tensor) -> Tensor:
        return 2 * z[:, :, None, None]  # what is exact to the last digit, however far out a step leads

    def energy(_: Tensor, pictures: Tensor) -> Tensor:
        return bowl(pictures[..., 0, 0] / 2)

    found, pictures = descend(decode, energy, start, torch.ones(7), 6, **HOW)
    assert (bowl(found) <= bowl(start) + 1e-4 * steepness).all()
    torch.testing.assert_close(pictures, decode(found))
    torch.testing.assert_close(descend(decode, energy, start, torch.ones(7), 0, **HOW)[0], start)


def test_no_step_is_the_encoders_mean() -> None:
    vae, images = tiny(1), torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(invert(vae, images, TUNING, steps=0)[0], vae.encode(images).mean)


def test_it_works_where_gradients_are_off() -> None:
    vae = tiny(2)
    with torch.inference_mode():
        images = torch.rand(2, 3, 64, 64)
        assert (
            energy(vae, images, invert(vae, images, TUNING, contrast=0.0)[0])
            < energy(vae, images, vae.encode(images).mean)
        ).all()


@pytest.mark.parametrize("steps", [2, 5])
def test_a_face_comes_back_clearer_with_the_committed_weights(editor: FaceEditor, steps: int) -> None:
    generator = editor.model.generator
    with torch.inference_mode():
        z = torch.stack([sample.z for sample in editor.sample(4, seed=3)])
        images = generator.decode(z)
        guess, found = (invert(generator, images, TUNING, steps=n)[1] for n in (0, steps))
    assert (psnr(found, images) > psnr(guess, images) + 0.5).all()


def test_a_face_comes_back_more_alike_where_features_are_compared(editor: FaceEditor) -> None:
    generator, perceptual = editor.model.generator, editor.model.perceptual
    assert perceptual is not None
    with torch.inference_mode():
        # Mirrored, no latent holds them exactly.
        images = generator.decode(torch.stack([sample.z for sample in editor.sample(6, seed=4)])).flip(3)
        by_pixels, by_both = (invert(generator, images, TUNING, perceptual=p)[1] for p in (None, perceptual))
        apart = [feature_distance(perceptual.maps(x), perceptual.maps(images)) for x in (by_pixels, by_both)]
    assert (apart[1] < apart[0]).all()
    assert psnr(by_both, images).mean() > psnr(by_pixels, images).mean() - 0.2
