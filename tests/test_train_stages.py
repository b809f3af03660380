"""The stages after the VAE, one feeding the next, on made-up pictures and a tiny model."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import get_args

import pytest
import torch
from processes import finish, kill_in_the_middle, logged, reached, same
from safetensors.torch import load_file, save_file

from lc.editor import FaceEditor
from lc.weights import load_classifier
from train.attributes import ATTRIBUTES
from train.classifier import SHARP, Kind, load_guidance, own_seed, part
from train.data import Crops, centre, load_celeba, save_packed
from train.latents import DIRECTIONS, toggle_goals

HOW = ["--device", "cpu", "--threads", "1", "--log-steps", "1"]
SMALL = ["--model.widths", "8", "8", "8", "8"]
NETS = [
    option
    for net in ("actor", "critic", "attribute-critic")
    for option in (f"--{net}.latent", "24", f"--{net}.width", "16", f"--{net}.layers", "2")
]


@pytest.fixture(scope="module")
def trained(celeba: Path, tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All four classifiers, trained for an epoch into one folder."""
    folder = tmp_path_factory.mktemp("classifiers")
    for kind in get_args(Kind):
        vae = [] if kind in SHARP else ["--vae", str(tiny_weights)]
        options = ["--kind", kind, "--celeba", str(celeba), *vae, "--epochs", "1", "--batch", "8", *SMALL]
        out = str(folder / f"run-{kind}")
        printed = finish(["train.classifier", *options, "--out", out, "--weights", str(folder), *HOW])
        assert "held-out accuracy" in printed
        assert ("reconstructions" in printed) == (kind not in SHARP)
    return folder


@pytest.mark.slow
def test_classifiers_share_a_folder(trained: Path) -> None:
    classifiers = [load_classifier(trained, part(kind)) for kind in get_args(Kind)]
    images = torch.rand(3, 3, 64, 64)
    assert all(classifier.read(images).shape == (3, len(ATTRIBUTES)) for classifier in classifiers)
    assert not any(torch.equal(a(images), b(images)) for a, b in itertools.combinations(classifiers, 2))


@pytest.mark.slow
def test_a_classifier_starts_from_published_weights(celeba: Path, trained: Path, tmp_path: Path) -> None:
    # A learning rate of zero leaves what it started from.
    options = ["--kind", "realism", "--celeba", str(celeba), "--epochs", "1", "--batch", "8", "--lr", "0"]
    finish(["train.classifier", *options, "--init", str(trained), "--out", str(tmp_path), *HOW])
    before, after = (
        dict(load_classifier(folder, "realism").named_parameters()) for folder in (trained, tmp_path / "weights")
    )
    assert before.keys() == after.keys()
    assert all(torch.allclose(before[name], after[name], atol=1e-3) for name in before)


@pytest.mark.slow
def test_a_classifier_learns_what_its_teachers_say(
    celeba: Path, tiny_weights: Path, trained: Path, tmp_path: Path
) -> None:
    more = tmp_path / "more.safetensors"
    save_packed(more, Crops(load_celeba(celeba, "validation").images, None, ["?"] * 4))
    options = ["--kind", "guidance", "--seed", "7", "--celeba", str(celeba), "--extra", str(more), "--batch", "8"]
    taught = [
        "--teachers",
        str(trained),
        "--vae",
        str(tiny_weights),
        "--epochs",
        "25",
        "--out",
        str(tmp_path / "run"),
    ]
    finish(["train.classifier", *options, *taught, *SMALL, *HOW])
    photos = centre(load_celeba(celeba, "train").images)
    # The teachers have learned little in their epoch: labels would lead elsewhere.
    with torch.inference_mode():
        said = torch.sigmoid(load_guidance(trained)(photos))
        learned = torch.sigmoid(load_classifier(tmp_path / "run" / "weights", "guide")(photos))
        labels = load_celeba(celeba, "train").labels
    assert labels is not None
    assert (learned - said).abs().mean() < 0.5 * (labels - said).abs().mean()
    with pytest.raises(AssertionError, match="name --teachers"):
        finish(["train.classifier", *options, "--out", str(tmp_path / "alone"), *HOW])


def test_no_two_classifiers_draw_alike() -> None:
    kinds = get_args(Kind)
    seeds = [own_seed(kind, seed) for kind in kinds for seed in range(50)]
    assert len(set(seeds)) == len(kinds) * 50


def critics(celeba: Path, weights: Path, trained: Path, out: Path, *options: str) -> list[str]:
    where = [
        "--celeba",
        str(celeba),
        "--vae",
        str(weights),
        "--guidance",
        str(trained),
        str(trained),
        "--out",
        str(out),
    ]
    return ["train.critics", *where, "--steps", "30", "--batch", "12", *NETS, *HOW, *options]


@pytest.mark.slow
def test_killed_critics_go_on_as_if_nothing_had_happened(
    celeba: Path, tiny_weights: Path, trained: Path, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("whole", "killed")]
    for folder in folders:
        shutil.copytree(tiny_weights, folder / "weights")
    whole, killed = (critics(celeba, f / "weights", trained, f / "run", "--save-minutes", "0.002") for f in folders)
    finish(whole)
    kill_in_the_middle(killed, folders[1] / "run")
    finish([*killed, "--resume"])
    states = [reached(folder / "run") for folder in folders]
    assert states[0]["step"] == 30
    assert same(*states)
    editors = [FaceEditor.load(folder / "weights", device="cpu") for folder in folders]
    assert editors[0].sample(1)[0].z.equal(editors[1].sample(1)[0].z)


@pytest.mark.slow
@pytest.mark.parametrize("perceptual", [False, True])
def test_sharpening_changes_the_decoder_alone(
    celeba: Path, tiny_weights: Path, trained: Path, tmp_path: Path, perceptual: bool
) -> None:
    weights = tmp_path / "weights"
    shutil.copytree(tiny_weights, weights)
    options = ["--images", "64", "--batch", "8", "--width", "8", "--detail", "4", *HOW]
    options += ["--perceptual", str(trained)] if perceptual else []
    options += ["--out", str(tmp_path / "run")]
    finish(["train.sharpen", "--celeba", str(celeba), "--vae", str(weights), "--weights", str(weights), *options])
    before, after = (FaceEditor.load(folder, device="cpu").model for folder in (tiny_weights, weights))
    images, z = torch.rand(2, 3, 64, 64), torch.randn(2, 24)
    assert torch.equal(before.generator.encode(images).mean, after.generator.encode(images).mean)
    assert not torch.equal(before.generator.decode(z), after.generator.decode(z))
    assert after.generator.config.detail == 4
    assert after.generator.config.crispness > 0


@pytest.mark.slow
def test_a_decoder_of_other_sizes_learns_from_edits_too(
    celeba: Path, tiny_weights: Path, trained: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "weights"
    shutil.copytree(tiny_weights, weights)
    options = ["--images", "40", "--batch", "8", "--width", "8", "--blend", "1", "--imagined", "8", *HOW]
    options += ["--decoder-widths", "8", "8", "8", "12", "--decoder-bottleneck", "6", "--perceptual", str(trained)]
    options += ["--editor", str(tiny_weights), "--out", str(tmp_path / "run"), "--weights", str(weights)]
    printed = finish(["train.sharpen", "--celeba", str(celeba), "--vae", str(tiny_weights), *options])
    assert "decoder in" in printed
    before, after = (FaceEditor.load(folder, device="cpu").model for folder in (tiny_weights, weights))
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(before.generator.encode(images).mean, after.generator.encode(images).mean)
    assert after.generator.decoder.project.out_features == 6 * 16
    assert all(line["alike"] > 0 for line in logged(tmp_path / "run"))  # there were edits, and they were compared


@pytest.mark.slow
def test_the_actor_learns_where_correction_ended(
    celeba: Path, tiny_weights: Path, trained: Path, tmp_path: Path
) -> None:
    weights, run = tmp_path / "weights", tmp_path / "run"
    shutil.copytree(tiny_weights, weights)
    found = [str(tmp_path / "first.safetensors"), str(tmp_path / "second.safetensors")]
    options = ["--celeba", str(celeba), "--weights", str(weights), "--out", str(run), "--photos", "12", "--rows", "4"]
    options += ["--searches", "10", "--batch", "16", *HOW]
    finish(["train.distil", *options, "--found", found[0], "--steps", "0"])
    finish(["train.distil", *options, "--found", found[1], "--steps", "0", "--seed", "1", "--teachers", str(trained)])
    before, untouched = (FaceEditor.load(folder, device="cpu").model for folder in (tiny_weights, weights))
    assert all(torch.equal(*pair) for pair in zip(before.actor.parameters(), untouched.actor.parameters(), strict=True))
    # An untrained actor hardly moves, nor does correction move it: say that it went somewhere.
    parts = [load_file(path) for path in found]
    assert not torch.equal(parts[0]["z"][:4], parts[1]["z"][:4])
    for path, tensors in zip(found, parts, strict=True):
        save_file({**tensors, "move": torch.full_like(tensors["z"], 0.3)}, path)
    finish(["train.distil", *options, "--found", *found, "--steps", "60", "--lr", "1e-2"])
    after = FaceEditor.load(weights, device="cpu").model.actor
    z, y, mask = (torch.cat([part[name] for part in parts]) for name in ("z", "y", "mask"))
    with torch.inference_mode():
        missed = [(actor(z, y, mask, torch.ones(len(z))) - z - 0.3).abs().mean() for actor in (before.actor, after)]
        faces, everything = torch.randn(32, z.shape[1]), torch.ones(32, len(ATTRIBUTES))
        made = [actor(faces, everything, everything, torch.zeros(32)) - faces for actor in (before.actor, after)]
    assert missed[1] < 0.5 * missed[0]
    assert made[1].abs().mean() < 0.5 * 0.3  # made-up faces stay where they were


def test_a_toggle_asks_what_the_app_asks() -> None:
    before = torch.full((3, 10), 0.2)
    before[:, ATTRIBUTES.index("Black_Hair")] = 0.9
    blond = DIRECTIONS.index(("Blond_Hair", True))
    goals = toggle_goals(before, torch.tensor([blond, -1, DIRECTIONS.index(("Smiling", False))]))
    pushed = [{ATTRIBUTES[i] for i in row.nonzero()[:, 0].tolist()} for row in goals.mask]
    assert pushed == [{"Blond_Hair", "Black_Hair"}, set(), {"Smiling"}]
    assert torch.equal(goals.target[1], before[1])
    assert goals.target[0, ATTRIBUTES.index("Blond_Hair")] == 1
    assert goals.target[0, ATTRIBUTES.index("Black_Hair")] == 0
