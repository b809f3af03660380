"""train.vae as a process: killed and resumed, and spread over two processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lc.attributes import ATTRIBUTES
from lc.generator import VAEConfig
from lc.weights import load_generator, load_statistics

ROOT = Path(__file__).parent.parent
STEPS, BATCH = 60, 4
MODEL = VAEConfig(latent=16, widths=(8, 8, 8, 8), bottleneck=8)
SIZES = ["--model.latent", "16", "--model.widths", "8", "8", "8", "8", "--model.bottleneck", "8"]

# CelebA's other thirty attributes only have to be there.
COLUMNS = sorted([*ATTRIBUTES, *(f"Other_{i}" for i in range(30))])


@pytest.fixture(scope="module")
def celeba(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty made-up pictures in CelebA's official layout, half size."""
    root = tmp_path_factory.mktemp("celeba")
    (root / "img_align_celeba").mkdir()
    draw = np.random.default_rng(0)
    attributes, partition = ["40", " ".join(COLUMNS)], []
    for i in range(40):
        name = f"{i + 1:06}.jpg"
        pixels = draw.integers(0, 255, (6, 5, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels).resize((89, 109), Image.Resampling.BICUBIC)
        picture.save(root / "img_align_celeba" / name)
        attributes.append(f"{name} " + " ".join(str(value) for value in draw.choice([-1, 1], 40)))
        partition.append(f"{name} {int(i >= 30) + int(i >= 36)}")
    (root / "list_attr_celeba.txt").write_text("\n".join(attributes) + "\n")
    (root / "list_eval_partition.txt").write_text("\n".join(partition) + "\n")
    return root


def command(celeba: Path, out: Path, *options: str) -> list[str]:
    images = str(STEPS * BATCH)
    data = ["--celeba", str(celeba), "--out", str(out), "--images", images, "--batch", str(BATCH)]
    how = ["--device", "cpu", "--threads", "1", "--log-steps", "1", "--warmup", "5", "--beta-warmup", "10"]
    return ["train.vae", *data, *how, *SIZES, *options]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def finish(arguments: list[str]) -> str:
    """Run to the end, and return what was printed."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def equal(a: Any, b: Any) -> bool:
    """Bit for bit, through nested dictionaries and lists."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)


def kill_in_the_middle(arguments: list[str], out: Path) -> int:
    """Start a run and SIGKILL it right after its first checkpoint; returns how many rows it had logged."""
    run = [sys.executable, "-m", *arguments]
    process = subprocess.Popen(run, cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not (out / "checkpoint.pt").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
    finally:
        process.kill()
    assert process.wait() == -9, "the run was over before it could be killed"
    return len((out / "log.csv").read_text().splitlines()) - 1


def test_a_killed_run_goes_on_as_if_nothing_had_happened(celeba: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(command(celeba, whole))
    # Checkpoints rarer than rows, so that rows after the last checkpoint have to be forgotten.
    rows = kill_in_the_middle(command(celeba, killed, "--save-minutes", "0.002"), killed)
    assert 0 < rows < STEPS
    started = torch.load(killed / "checkpoint.pt", weights_only=True)["step"]
    assert 0 < started < STEPS
    finish(command(celeba, killed, "--resume"))

    assert (killed / "log.csv").read_text() == (whole / "log.csv").read_text()
    assert len((whole / "log.csv").read_text().splitlines()) == STEPS + 1
    states = [torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (whole, killed)]
    assert states[0]["step"] == STEPS
    assert equal(*states)
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
