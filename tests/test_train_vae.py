"""train.vae as a process: killed and resumed, and spread over two processes."""

from __future__ import annotations

from pathlib import Path

import torch
from processes import finish, kill_in_the_middle, same

from lc.generator import VAEConfig
from lc.weights import load_generator, load_statistics

STEPS, BATCH = 60, 4
MODEL = VAEConfig(latent=16, widths=(8, 8, 8, 8), bottleneck=8)
SIZES = ["--model.latent", "16", "--model.widths", "8", "8", "8", "8", "--model.bottleneck", "8"]


def command(celeba: Path, out: Path, *options: str) -> list[str]:
    images = str(STEPS * BATCH)
    data = ["--celeba", str(celeba), "--out", str(out), "--images", images, "--batch", str(BATCH)]
    how = ["--device", "cpu", "--threads", "1", "--log-steps", "1", "--warmup", "5", "--beta-warmup", "10"]
    return ["train.vae", *data, *how, *SIZES, *options]


def test_a_killed_run_goes_on_as_if_nothing_had_happened(celeba: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(command(celeba, whole))
    kill_in_the_middle(command(celeba, killed, "--save-minutes", "0"), killed)
    step = torch.load(killed / "checkpoint.pt", weights_only=True)["step"]
    assert 0 < step < STEPS
    with (killed / "log.csv").open("a") as log:  # as if it had been killed after this row and before its checkpoint
        log.write(f"{step + 1},0,0,0\n")
    finish(command(celeba, killed, "--resume"))

    assert (killed / "log.csv").read_text() == (whole / "log.csv").read_text()
    assert len((whole / "log.csv").read_text().splitlines()) == STEPS + 1
    states = [torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (whole, killed)]
    assert states[0]["step"] == STEPS
    assert same(*states)
    for file in sorted((whole / "weights").iterdir()):
        assert (killed / "weights" / file.name).read_bytes() == file.read_bytes()


def test_two_processes_train_one_model(celeba: Path, tmp_path: Path) -> None:
    launch = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
    printed = finish([*launch, *command(celeba, tmp_path, "--no-bf16")])
    assert printed.count("held-out reconstruction") == 1  # only one of them reports
    # The same number of photos takes half the steps.
    assert len((tmp_path / "log.csv").read_text().splitlines()) == STEPS // 2 + 1
    weights = tmp_path / "weights"
    vae = load_generator(weights)
    assert vae.config == MODEL
    assert vae.encode(torch.rand(1, 3, 64, 64)).mean.isfinite().all()
    assert load_statistics(weights).sigma_bar.shape == (16,)
