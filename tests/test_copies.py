"""Measuring what a generator makes of photos."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from processes import finish_here

from lc.classifier import Classifier, ClassifierConfig
from lc.vae import VAE, VAEConfig
from lc.weights import save_classifier, save_generator
from train.data import centre, load_celeba
from train.evaluate.copies import CopiesConfig, copies, measure
from train.linear import fit


@pytest.fixture(scope="module")
def measured(celeba: Path, tmp_path_factory: pytest.TempPathFactory) -> CopiesConfig:
    """A generator that knows these photos and one that knows nothing, and a judge who says yes to everything."""
    place = tmp_path_factory.mktemp("copies")
    torch.manual_seed(0)
    for name in ("reader", "realism"):
        judge = Classifier(ClassifierConfig((8, 8, 8, 8)))
        judge.thresholds.zero_()
        save_classifier(place / "judges", name, judge)
    sizes = VAEConfig(latent=6, widths=(8, 8, 8, 8), bottleneck=8, linear=16)
    nothing, photos = VAE(sizes), VAE(replace(sizes, patch=4))
    fit(photos, load_celeba(celeba, "train", image_size=128).images, 0.05, 0.0)
    save_generator(place / "nothing", nothing)
    save_generator(place / "photos", photos)
    return CopiesConfig(
        (place / "photos", place / "nothing"),
        parser=place / "nothing",
        evaluators=place / "judges",
        celeba=celeba,
        vgg=None,
        outside=False,
        out=place / "copies.json",
    )


def test_copies_have_the_photos_size(measured: CopiesConfig) -> None:
    photos = centre(load_celeba(measured.celeba, "validation", 2, image_size=128).images, 128)
    for folder in measured.weights:  # one of 128 pixels and one of 64
        made = copies(folder, photos)
        assert made.shape == photos.shape
        assert 0 <= made.min() <= made.max() <= 1
        assert ((made * 255) - (made * 255).round()).abs().max() < 1e-3


def test_who_knows_the_photos_is_nearer_to_them(measured: CopiesConfig) -> None:
    figures = measure(measured)
    assert figures["photos"]["PSNR, dB"] > figures["nothing"]["PSNR, dB"] + 3
    assert all(row["attributes read right, less photos"] == 0 for row in figures.values())  # the judge says yes to all


def test_the_command_writes_what_it_prints(measured: CopiesConfig) -> None:
    where = ["--parser", str(measured.parser), "--evaluators", str(measured.evaluators), "--vgg", "None"]
    more = ["--celeba", str(measured.celeba), "--limit", "2", "--no-outside", "--out", str(measured.out)]
    printed = finish_here(["train.evaluate.copies", "--weights", *map(str, measured.weights), *where, *more])
    assert "| photos | nothing |" in printed
    assert "PSNR, dB" in json.loads(measured.out.read_text())["photos"]
