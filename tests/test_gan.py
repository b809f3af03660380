"""The GAN: its training, the latents that critics learn from without an encoder, and a whole folder made so."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from processes import finish, kill_in_the_middle, logged, reached, same

from lc.classifier import Classifier, ClassifierConfig
from lc.editor import DEFAULT_WEIGHTS, FaceEditor
from lc.errors import WeightsError
from lc.gan import GAN, GANConfig
from lc.generator import EncodingGenerator
from lc.weights import load_generator, load_statistics, save_classifier, save_generator
from train.data import centre, load_celeba
from train.decoded import DecodedConfig, latents_to_read, photolike, read
from train.gan import Discriminator, DiscriminatorTask, GANTraining, GeneratorTask, maps_of, principal_components
from train.inputs import load_generator_of

LATENT = 12
SIZES = ["--model.latent", str(LATENT), "--model.widths", "8", "8", "8", "8", "--width", "8"]
HOW = ["--device", "cpu", "--threads", "1", "--log-steps", "1"]
NETS = {"latent": str(LATENT), "width": "16", "layers": "2"}


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder with the two classifiers that training sees by, untrained."""
    folder = tmp_path_factory.mktemp("classifiers")
    torch.manual_seed(0)
    for name in ("guide", "perceptual"):
        save_classifier(folder, name, Classifier(ClassifierConfig((8, 8, 8, 8))))
    return folder


def command(celeba: Path, classifiers: Path, out: Path, *options: str) -> list[str]:
    where = ["--celeba", str(celeba), "--perceptual", str(classifiers), "--out", str(out)]
    return ["train.gan", *where, "--images", "80", "--batch", "4", *SIZES, *HOW, *options]


def faces(count: int = 40) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 68, 68), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_codes_are_white_whichever_way_round_a_photo_is() -> None:
    photos = centre(faces())
    codes = principal_components(photos, 8)
    both = codes(torch.cat([photos, photos.flip(3)]))
    torch.testing.assert_close(both.mean(0), torch.zeros(8), atol=1e-2, rtol=0)
    torch.testing.assert_close(both.T @ both / len(both), torch.eye(8), atol=5e-2, rtol=0)


def test_a_discriminator_learns_to_tell_photos() -> None:
    torch.manual_seed(0)
    classifier = Classifier(ClassifierConfig((8, 8, 8, 8))).eval().requires_grad_(False)
    discriminator = Discriminator((8, 8, 8, 8), 8)
    task = DiscriminatorTask(discriminator, 0.1)
    optimiser = torch.optim.Adam(discriminator.parameters(), lr=1e-2)
    smooth, rough = torch.rand(8, 3, 1, 1).expand(8, 3, 64, 64), torch.rand(8, 3, 64, 64)
    for step in range(30):
        losses = task(classifier.maps(smooth), classifier.maps(rough), step % 8 == 0)
        optimiser.zero_grad()
        losses[0].backward()
        optimiser.step()
    assert (losses[1:] > 0.95).all()


def test_photos_are_drawn_at_their_codes() -> None:
    torch.manual_seed(0)
    classifier = Classifier(ClassifierConfig((8, 8, 8, 8))).eval().requires_grad_(False)
    config = GANTraining(model=GANConfig(LATENT, (8, 8, 8, 8)), adversarial=0.0, features=0.0)
    gan = GAN(config.model)
    task = GeneratorTask(gan, Discriminator((8, 8, 8, 8), 8), classifier, config)
    optimiser = torch.optim.Adam(gan.parameters(), lr=1e-2)
    photos, z = torch.rand(4, 3, 1, 1).expand(4, 3, 64, 64), torch.randn(6, LATENT)
    missed = []
    for _ in range(40):
        chance = torch.Generator().manual_seed(1)
        losses = task(z, photos, maps_of(classifier, photos, 4), chance)
        optimiser.zero_grad()
        losses[0].backward()
        optimiser.step()
        missed.append(float(losses[2].detach()))
    assert missed[-1] < 0.3 * missed[0], missed[::10]
    assert len(list(task.parameters())) == len(list(gan.parameters()))  # it trains neither of the others


def test_what_looks_most_like_photos_is_kept() -> None:
    chance = torch.Generator().manual_seed(0)
    pictures, photos = torch.randn(300, 5, generator=chance), torch.randn(300, 5, generator=chance)
    photos[:, 2] += 5
    pictures[:30, 2] += 5  # a tenth of the pictures lies where photos do
    best = photolike(pictures, photos).argsort(descending=True)[:30]
    assert (best < 30).float().mean() > 0.8


def test_draws_repeat_themselves(classifiers: Path) -> None:
    torch.manual_seed(0)
    gan = GAN(GANConfig(LATENT, (8, 8, 8, 8))).eval()
    classifier = Classifier(ClassifierConfig((8, 8, 8, 8))).eval()
    here = torch.device("cpu")
    one, two = (
        read(gan, classifier, classifier, latents_to_read(DecodedConfig(draws=20, seed=3), gan, here), batch)
        for batch in (8, 8)
    )
    assert all(a.equal(b) for a, b in zip(vars(one).values(), vars(two).values(), strict=True))
    assert one.z.shape == (20, LATENT)
    assert one.labels.shape == (20, 10)


def test_codes_of_another_generator_are_refused(tmp_path: Path) -> None:
    gan, here = GAN(GANConfig(LATENT, (8, 8, 8, 8))), torch.device("cpu")
    for name, tensors in (("other", {"z": torch.zeros(4, LATENT + 1)}), ("none", {"mean": torch.zeros(4, LATENT)})):
        safetensors.torch.save_file(tensors, tmp_path / name)
    (tmp_path / "torn").write_bytes(b"{")
    for name, wrong in (("other", "beside"), ("none", "no file of codes"), ("torn", "no file"), ("gone", "no file")):
        with pytest.raises(WeightsError, match=wrong) as caught:
            latents_to_read(DecodedConfig(codes=tmp_path / name), gan, here)
        assert "\n" not in str(caught.value)


def test_critics_say_what_a_generator_without_an_encoder_needs(tmp_path: Path) -> None:
    save_generator(tmp_path, GAN(GANConfig(LATENT, (8, 8, 8, 8))))
    with pytest.raises(WeightsError, match=r"no encoder: draw latents by python -m train\.decoded") as caught:
        load_generator_of(tmp_path, tmp_path / "none", torch.device("cpu"))
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def trained(celeba: Path, classifiers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing stopped."""
    whole = tmp_path_factory.mktemp("gan") / "whole"
    finish(command(celeba, classifiers, whole))
    return whole


@pytest.mark.slow
def test_a_killed_gan_goes_on_as_if_nothing_had_happened(
    celeba: Path, classifiers: Path, trained: Path, tmp_path: Path
) -> None:
    whole, killed = trained, tmp_path / "killed"
    kill_in_the_middle(command(celeba, classifiers, killed, "--save-minutes", "0"), killed)
    finish(command(celeba, classifiers, killed, "--resume"))
    assert logged(killed) == logged(whole)
    assert same(*(reached(folder) for folder in (whole, killed)))
    for file in sorted((whole / "weights").iterdir()):
        assert (killed / "weights" / file.name).read_bytes() == file.read_bytes()


@pytest.mark.slow
def test_a_gan_becomes_a_folder_that_edits_photos(
    celeba: Path, classifiers: Path, trained: Path, tmp_path: Path, astronaut: Path
) -> None:
    weights = shutil.copytree(trained / "weights", tmp_path / "weights")  # which is added to
    assert not isinstance(load_generator(weights), EncodingGenerator)
    assert load_statistics(weights).sigma_bar.shape == (LATENT,)
    where = ["--weights", str(weights), "--classifiers", str(classifiers), "--celeba", str(celeba)]
    counts = ["--draws", "120", "--contrast", "20", "--threads", "1"]
    codes = ["--codes", str(trained / "codes.safetensors"), "--kept", "1"]
    for options, count in (([], 60), (codes, len(load_celeba(celeba, "train").images) * 2)):
        printed = finish(["train.decoded", *where, *counts, *options, "--out", str(tmp_path)])
        assert f"{count} latents" in printed
        kept = safetensors.torch.load_file(tmp_path / "latents.safetensors")
        assert kept["mean"].shape == kept["std"].shape == (count, 1, LATENT)
    nets = ("actor", "critic", "attribute-critic")
    flags = [word for net in nets for key, value in NETS.items() for word in (f"--{net}.{key}", value)]
    options = ["--vae", str(weights), "--guidance", str(weights), "--latents", str(tmp_path / "latents.safetensors")]
    finish(
        ["train.critics", *options, "--out", str(tmp_path / "critics"), "--steps", "4", "--batch", "12", *flags, *HOW]
    )
    editor = FaceEditor.load(weights, device="cpu")
    assert editor.model.contrast is not None
    edit = editor.edit(editor.read(astronaut), {"Smiling": False})
    assert edit.edited.size == (64, 64)
    assert len(editor.sample(2, {"Eyeglasses": True})) == 2


def test_the_gan_that_ships_edits_photos_and_makes_faces_as_the_vae_does(astronaut: Path) -> None:
    editor = FaceEditor.load(DEFAULT_WEIGHTS.parent / "gan-64", device="cpu")
    assert not isinstance(editor.model.generator, EncodingGenerator)
    edit = editor.edit(editor.read(astronaut), {"Black_Hair": True})
    assert edit.after["Black_Hair"] > 0.5 > edit.before["Black_Hair"]
    assert np.abs(np.asarray(edit.result, np.int32) - np.asarray(edit.reading.photo.rgb, np.int32)).max() > 30
    faces = editor.sample(24, {"Smiling": True})
    assert sum(face.attributes["Smiling"] > 0.5 for face in faces) >= 22
