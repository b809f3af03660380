"""train.vae as a process: killed and resumed, and spread over two processes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from processes import finish, kill_in_the_middle, logged, reached, same
from torch import nn

from lc.classifier import Classifier, ClassifierConfig
from lc.vae import VAE, VAEConfig
from lc.weights import load_generator, load_statistics
from train.vae import Trainee, VAETraining, focus_map, grow

STEPS, BATCH = 60, 4
MODEL = VAEConfig(latent=16, widths=(8, 8, 8, 8), bottleneck=8)
SIZES = ["--model.latent", "16", "--model.widths", "8", "8", "8", "8", "--model.bottleneck", "8"]


def command(celeba: Path, out: Path, *options: str) -> list[str]:
    images = str(STEPS * BATCH)
    data = ["--celeba", str(celeba), "--out", str(out), "--images", images, "--batch", str(BATCH)]
    how = ["--device", "cpu", "--threads", "1", "--log-steps", "1", "--warmup", "5", "--beta-warmup", "10"]
    return ["train.vae", *data, *how, *SIZES, *options]


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_nothing_had_happened(celeba: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(command(celeba, whole))
    kill_in_the_middle(command(celeba, killed, "--save-minutes", "0"), killed)
    step = torch.load(killed / "checkpoint.pt", weights_only=True)["step"]
    assert 0 < step < STEPS
    with (killed / "log.jsonl").open("a") as log:  # as if it had been killed after this line, before its checkpoint
        log.write(json.dumps({"step": step + 1, "nll": 0}) + "\n")
    finish(command(celeba, killed, "--resume", "--save-minutes", "3"))

    assert logged(killed) == logged(whole)
    assert [line["step"] for line in logged(whole)] == list(range(1, STEPS + 1))
    states = [reached(folder) for folder in (whole, killed)]
    assert states[0]["step"] == STEPS
    assert same(*states)
    for file in sorted((whole / "weights").iterdir()):
        assert (killed / "weights" / file.name).read_bytes() == file.read_bytes()


@pytest.mark.slow
def test_two_processes_train_one_model(celeba: Path, tmp_path: Path) -> None:
    launch = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
    printed = finish([*launch, *command(celeba, tmp_path, "--no-bf16")])
    assert printed.count("held-out reconstruction") == 1  # only one of them reports
    # The same number of photos takes half the steps.
    assert len(logged(tmp_path)) == STEPS // 2
    weights = tmp_path / "weights"
    vae = load_generator(weights)
    assert vae.config == MODEL
    assert vae.encode(torch.rand(1, 3, 64, 64)).mean.isfinite().all()
    assert load_statistics(weights).sigma_bar.shape == (16,)


def test_a_grown_vae_computes_what_the_small_one_did() -> None:
    small = VAE(replace(MODEL, decoder_blocks=1)).eval()
    large = grow(small, replace(MODEL, encoder_blocks=2, decoder_blocks=2, detail=4)).eval()
    x = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(large.encode(x).mean, small.encode(x).mean)
    torch.testing.assert_close(large.decode(small.encode(x).mean), small.decode(small.encode(x).mean))
    without = grow(large, replace(large.config, detail=0)).eval()
    torch.testing.assert_close(without.encode(x).mean, large.encode(x).mean)
    narrow = grow(small, replace(MODEL, decoder_blocks=1, decoder_widths=(8, 8, 8, 6), decoder_bottleneck=5))
    kept = narrow.decoder.state_dict()
    assert kept["project.weight"].shape == (5 * 16, MODEL.latent)
    same = [n for n, value in small.decoder.state_dict().items() if n in kept and value.equal(kept[n])]
    assert any("features" in name and kept[name].ndim == 4 for name in same)  # what fits is still there
    with pytest.raises(RuntimeError, match="size"):
        grow(small, replace(MODEL, widths=(8, 8, 8, 4)))


def test_a_vae_grows_to_more_pixels_and_channels() -> None:
    torch.manual_seed(0)
    small = VAE(replace(MODEL, decoder_blocks=1)).eval()
    wide = replace(MODEL, decoder_blocks=1, widths=(8, 8, 12, 16), decoder_widths=(12, 8, 8, 8), patch=4, fine_blocks=1)
    large = grow(small, wide).eval()
    x = torch.rand(2, 3, 128, 128)
    z = small.encode(F.avg_pool2d(x, 2)).mean
    torch.testing.assert_close(large.encode(x).mean, z)
    torch.testing.assert_close(large.decode(z), F.interpolate(small.decode(z), scale_factor=2.0))


class Darkness(nn.Module):
    """What stands for VGG: how far pictures differ in their darkest colour."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        assert x.shape == y.shape == (2, 3, 64, 64)
        return (x.amin((1, 2, 3)) - y.amin((1, 2, 3))).abs()


@pytest.mark.parametrize(("beside", "patch"), [("classifier", 2), ("vgg", 4)])  # VGG sees a part of larger pictures
def test_a_learned_similarity_teaches_the_encoder_and_learns_nothing(beside: str, patch: int) -> None:
    torch.manual_seed(0)
    classifier = Classifier(ClassifierConfig((8, 8, 8, 8))).eval().requires_grad_(False)
    nets = (classifier, None) if beside == "classifier" else (None, Darkness())
    vae = VAE(replace(MODEL, patch=patch))
    images = torch.rand(4, 3, vae.image_size, vae.image_size)
    trainee = Trainee(vae, VAETraining(lpips=7.0, vgg_weight=7.0), *nets)
    _, unlike, _ = trainee.losses(images)
    assert unlike[:2].eq(0).all()
    assert unlike[2:].gt(0).all()
    assert len(list(trainee.parameters())) == len(list(vae.parameters()))
    unlike.sum().backward()
    gradients = [p.grad for p in vae.encoder.parameters() if p.grad is not None]
    assert sum(float(g.abs().sum()) for g in gradients) > 0
    assert Trainee(vae, VAETraining()).losses(images)[1].eq(0).all()


def test_the_focus_favours_the_face_and_keeps_the_total() -> None:
    weight = focus_map(1.0)
    assert torch.allclose(weight.mean(), torch.tensor(1.0))
    assert weight[38, 32] > 1.2 * weight[2, 2]
    assert torch.equal(weight, weight.flip(1))
    assert torch.equal(focus_map(0.0), torch.ones(64, 64))
    halved = F.avg_pool2d(focus_map(1.0, 128)[None], 2)[0]
    torch.testing.assert_close(halved, weight, rtol=0.01, atol=0.0)
