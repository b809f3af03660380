"""lc.generator: one matrix of tests over the generators, and two of them in one process."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_editor import crops, same
from tiny import write_tiny_weights
from torch import Tensor, nn

from lc.attributes import Attribute, AttributeSet
from lc.constraints import Rule
from lc.editor import FaceEditor
from lc.errors import UnknownAttributeError, WeightsError
from lc.gan import GAN, GANConfig
from lc.generator import (
    EncodingGenerator,
    Generator,
    Posterior,
    PriorGenerator,
    from_prior,
    name_of,
    register,
    registered,
    to_noise,
)
from lc.invert import invert, measured_statistics
from lc.losses import pixel_nll
from lc.tuning import Tuning
from lc.vae import VAE, VAEConfig
from lc.weights import load_generator, load_model, save_generator, save_tuning
from train.metrics import psnr
from train.tuning import LEGACY_TUNING

THREE = AttributeSet(
    (
        Attribute("Rosy", "Rosy cheeks"),
        Attribute("Smiling", "Smiling"),
        Attribute("No_Freckles", "Freckles", inverted=True),
    )
)
TUNING = Tuning.from_dict(LEGACY_TUNING)


@dataclass(frozen=True)
class SheetConfig:
    """Sizes of a `Sheet`."""

    latent: int = 12
    image_size: int = 32


@register("Sheet", SheetConfig, parts=("draw",))
class Sheet(nn.Module):
    """A generator of another kind: smooth pictures, a linear map and no encoder. The last dimension draws nothing."""

    def __init__(self, config: SheetConfig) -> None:
        super().__init__()
        self.config, self.latent, self.image_size = config, config.latent, config.image_size
        self.draw = nn.Linear(config.latent, 3 * 4 * 4)
        with torch.no_grad():
            self.draw.weight[:, -1] = 0
            self.draw.weight.mul_(3)

    def decode(self, z: Tensor) -> Tensor:
        """(B, latent) -> (B, 3, S, S) in [0, 1]."""
        small = self.draw(z).unflatten(1, (3, 4, 4))
        large = nn.functional.interpolate(small, size=self.image_size, mode="bilinear", align_corners=False)
        return large.sigmoid()


@register("Shifted", SheetConfig, parts=("draw",))
class Shifted(Sheet):
    """The same with another prior than N(0, I)."""

    @property
    def prior(self) -> Posterior:
        return Posterior(torch.full((self.latent,), 3.0), torch.full((self.latent,), 0.5))


def small_vae(patch: int) -> Any:
    return VAE(VAEConfig(latent=9, widths=(4, 4, 6, 6), bottleneck=4, patch=patch))


MAKERS: dict[str, Callable[[], Any]] = {
    "VAE of 64 pixels": lambda: small_vae(2),
    "VAE of 128 pixels": lambda: small_vae(4),
    "GAN": lambda: GAN(GANConfig(latent=10, widths=(8, 8, 6, 6))),
    "without an encoder": lambda: Sheet(SheetConfig()),
    "with a prior": lambda: Shifted(SheetConfig(latent=5, image_size=48)),
}


@pytest.fixture(params=MAKERS.values(), ids=list(MAKERS))
def generator(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    return request.param().eval().requires_grad_(False)


def pictures_of(generator: Generator, rows: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    noise = torch.randn(rows, generator.latent, generator=torch.Generator().manual_seed(seed))
    z = from_prior(generator, noise)
    return z, generator.decode(z)


# --- the matrix ----------------------------------------------------------------------------------------------------


def test_it_is_what_a_generator_must_be(generator: Any) -> None:
    assert isinstance(generator, Generator)
    z, pictures = pictures_of(generator)
    assert pictures.shape == (3, 3, generator.image_size, generator.image_size)
    assert 0 <= pictures.min() <= pictures.max() <= 1
    assert torch.equal(pictures, generator.decode(z))
    torch.testing.assert_close(generator.decode(z[1:2])[0], pictures[1])
    assert registered(name_of(generator)).build is type(generator)


def test_it_can_be_descended(generator: Any) -> None:
    z, _ = pictures_of(generator)
    z.requires_grad_(True)
    (gradient,) = torch.autograd.grad(generator.decode(z).sum(), z)
    assert gradient.isfinite().all()
    assert (gradient != 0).any(1).all()


def test_an_encoder_is_optional(generator: Any) -> None:
    assert isinstance(generator, EncodingGenerator) == isinstance(generator, VAE)
    if isinstance(generator, EncodingGenerator):
        mean, std = generator.encode(pictures_of(generator)[1])
        assert mean.shape == std.shape == (3, generator.latent)
        assert (std > 0).all()


def test_a_prior_is_optional(generator: Any) -> None:
    z = from_prior(generator, torch.randn(2000, generator.latent, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(from_prior(generator, to_noise(generator, z)), z)
    if isinstance(generator, PriorGenerator):
        torch.testing.assert_close(z.mean(0), generator.prior.mean, atol=0.1, rtol=0)
        torch.testing.assert_close(z.std(0), generator.prior.std, atol=0.1, rtol=0)


def test_it_comes_back_from_a_folder(generator: Any, tmp_path: Path) -> None:
    save_generator(tmp_path, generator)
    back = load_generator(tmp_path)
    assert type(back) is type(generator)
    assert back.config == generator.config
    z, pictures = pictures_of(generator)
    torch.testing.assert_close(back.decode(z), pictures, atol=0.01, rtol=0)  # fp16 holds 11 bits


def test_its_statistics_can_be_measured(generator: Any) -> None:
    statistics = measured_statistics(generator, sigma_x=0.08, draws=16, probes=4)
    prior = (
        from_prior(generator, torch.ones(1, generator.latent))[0]
        - from_prior(generator, torch.zeros(1, generator.latent))[0]
    )
    torch.testing.assert_close(statistics.std, prior)
    assert (statistics.sigma_bar > 0).all()
    assert (statistics.sigma_bar <= prior * 1.001).all()
    again = measured_statistics(generator, sigma_x=0.08, draws=16, probes=4)
    assert all(torch.equal(a, b) for a, b in zip(statistics, again, strict=True))


def test_a_picture_is_found_again(generator: Any) -> None:
    statistics = measured_statistics(generator, TUNING.sigma_x)
    _, pictures = pictures_of(generator)
    first, found = (
        invert(generator, pictures, TUNING, statistics=statistics, steps=steps, contrast=0.0) for steps in (0, 150)
    )

    def energy(z: Tensor, drawn: Tensor) -> Tensor:
        return pixel_nll(pictures, drawn, TUNING.sigma_x) + to_noise(generator, z).square().sum(1) / 2

    assert (energy(*found) <= energy(*first) + 1e-3).all()
    assert (psnr(found[1], pictures) > 30).all()
    alone, _ = invert(generator, pictures[1:2], TUNING, statistics=statistics, contrast=0.0)
    together, _ = invert(generator, pictures, TUNING, statistics=statistics, contrast=0.0)
    torch.testing.assert_close(alone[0], together[1], atol=1e-3, rtol=1e-3)


# --- the stand-ins for an encoder ----------------------------------------------------------------------------------


def test_the_measured_sigma_bar_is_the_posteriors_of_a_linear_decoder() -> None:
    """There Laplace's approximation is exact: precision 1 + |column|^2 / sigma_x^2 for columns that do not overlap."""

    class Blocks(nn.Module):
        latent, image_size = 3, 4
        slopes = torch.tensor([0.0, 0.1, 0.4])

        def decode(self, z: Tensor) -> Tensor:
            return 0.5 + (self.slopes * z)[:, :, None, None].expand(-1, 3, 4, 4)

    found = measured_statistics(Blocks(), sigma_x=0.2, draws=4, probes=400)
    expected = (1 + 16 * Blocks.slopes.square() / 0.2**2).rsqrt()
    torch.testing.assert_close(found.sigma_bar, expected, atol=0, rtol=0.1)
    assert found.sigma_bar[0] == 1  # as wide as the prior
    assert found.gain[0] == 0  # so the nets do not see what the decoder ignores


def test_what_draws_nothing_is_not_moved() -> None:
    torch.manual_seed(0)
    generator: Any = Sheet(SheetConfig()).requires_grad_(False)
    statistics = measured_statistics(generator, 0.08)
    assert statistics.sigma_bar[-1] == 1
    assert (statistics.sigma_bar[:-1] < 0.5).all()


def test_without_an_encoder_statistics_are_needed() -> None:
    generator: Any = Sheet(SheetConfig()).requires_grad_(False)
    with pytest.raises(ValueError, match="statistics"):
        invert(generator, torch.rand(1, 3, 32, 32), TUNING)


# --- folders -------------------------------------------------------------------------------------------------------


def test_a_name_that_is_not_registered_is_a_sentence(tiny_weights: Path, tmp_path: Path) -> None:
    for name in ("GAN", "cli", "os.path", 3, None):
        config = json.loads((tiny_weights / "config.json").read_text())
        config["generator"]["class"] = name
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(WeightsError, match=r"generator.*\.$"):
            load_generator(tmp_path)
    with pytest.raises(LookupError, match="no registered"):
        name_of(nn.Linear(1, 1))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def sheets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder of the generator without an encoder, 32 pixels, which knows other attributes."""
    torch.manual_seed(3)
    generator: Any = Sheet(SheetConfig()).requires_grad_(False)
    statistics = measured_statistics(generator, 0.08)
    folder = write_tiny_weights(tmp_path_factory.mktemp("sheets"), generator, statistics, THREE)
    save_tuning(folder, dataclasses.replace(TUNING, inversion_steps=40, optimiser_steps=30))
    return folder


def test_two_models_edit_in_one_process(tiny_weights: Path, sheets: Path, astronaut: Path) -> None:
    """Of different image size, attributes and generator: batch by batch, and neither changes what the other does."""
    model, other = load_model(tiny_weights, "cpu"), FaceEditor.load(sheets, "cpu")
    # Untrained critics are never met: thirty steps show as much as three hundred.
    one = FaceEditor(dataclasses.replace(model, tuning=dataclasses.replace(model.tuning, optimiser_steps=30)))
    assert type(one.model.generator) is not type(other.model.generator)
    wanted = {one: {"Smiling": True, "Eyeglasses": True}, other: {"Smiling": True, "freckles": False}}
    before = {editor: editor.edit(astronaut, changes).z_edited for editor, changes in wanted.items()}
    for editor, size in ((other, 32), (one, 64), (other, 32), (one, 64)):
        changes = wanted[editor]
        readings = [editor.read(crop, aligned=True) for crop in crops(2)] + [editor.read(astronaut)]
        assert {reading.aligned.crop.size for reading in readings} == {(size, size)}
        for method in ("actor", "optimise"):
            for edit in editor.edit_many(readings, changes, method=method):  # type: ignore[arg-type]
                assert edit.edited.size == (size, size)
                assert edit.result.size == edit.reading.photo.rgb.size
                assert edit.z_distance > 0
                assert tuple(edit.after) == tuple(edit.before) == editor.attributes.names
                assert set(edit.changes) < set(editor.attributes.names)
        for sample in editor.sample(3, changes, seed=1):
            assert sample.image.size == (size, size)
            assert tuple(sample.wanted) == editor.attributes.names
    for editor, changes in wanted.items():
        assert torch.equal(editor.edit(astronaut, changes).z_edited, before[editor])
    with pytest.raises(UnknownAttributeError, match="Rosy, Smiling, No_Freckles"):
        other.edit(astronaut, wanted[one])


def test_a_photo_comes_back_without_an_encoder(sheets: Path) -> None:
    editor = FaceEditor.load(sheets, "cpu")
    (crop,) = crops(1)
    reading = editor.read(crop, aligned=True)
    assert torch.equal(reading.z, editor.read(crop, aligned=True).z)
    photo, copy = (np.asarray(image, float) for image in (reading.aligned.crop, reading.reconstruction))
    assert np.square(photo - copy).mean() < 0.75 * np.square(photo - photo.mean()).mean()
    assert same(editor.edit(reading, {}).result, reading.photo.rgb)


def test_a_rule_is_met_without_an_encoder(sheets: Path) -> None:
    model = load_model(sheets, "cpu")
    # The untrained realism critic is no guide, and a latent of 12 dimensions has to go further in each.
    tuning = dataclasses.replace(model.tuning, realism_level=0.0, optimiser_steps=400, optimiser_radius=20.0)
    editor = FaceEditor(dataclasses.replace(model, tuning=tuning))
    reading = editor.read(*crops(1), aligned=True)
    with torch.no_grad():
        level = float(model.generator.decode(reading.z[None]).mean()) + 0.05
    rule = Rule(model.generator.decode, lambda pictures: pictures.mean((1, 2, 3)), level, scale=0.01)
    assert editor.edit(reading, constraints=[rule], identity=0.0, method="optimise").converged
