"""Training data: the same framing as the app's, at any resolution."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from processes import ROOT, environment, finish

from lc.faces import align, detector, frame_crop, read_photo
from train.attributes import ATTRIBUTES
from train.data import MARGIN, Crops, augment, centre, load_celeba, load_packed, save_packed


def grey_levels(a: torch.Tensor, b: Image.Image) -> float:
    """Mean difference between a crop (3, 64, 64) in [0, 1] and a picture, in grey levels."""
    return float(np.abs(a.permute(1, 2, 0).numpy() * 255 - np.asarray(b, float)).mean())


def test_training_sees_what_the_app_sees(celeba: Path) -> None:
    crops = load_celeba(celeba, "validation")
    for name, image in zip(crops.names, centre(crops.images), strict=True):
        with Image.open(celeba / "img_align_celeba" / name) as photo:
            assert grey_levels(image, frame_crop(photo.convert("RGB"), 64).crop) < 1.5


def test_full_size_celeba_is_framed_like_half_size(celeba: Path, tmp_path: Path) -> None:
    shutil.copytree(celeba, tmp_path / "full")
    for path in (tmp_path / "full" / "img_align_celeba").iterdir():
        with Image.open(path) as photo:
            photo.resize((178, 218), Image.Resampling.BICUBIC).save(path, quality=95)
    half, full = (centre(load_celeba(folder, "train").images) for folder in (celeba, tmp_path / "full"))
    assert (half - full).abs().mean() < 3 / 255


def test_labels_and_parts_are_celebas(celeba: Path) -> None:
    parts = {part: load_celeba(celeba, part) for part in ("train", "validation", "test")}
    assert {part: len(crops) for part, crops in parts.items()} == {"train": 30, "validation": 6, "test": 4}
    lines = (celeba / "list_attr_celeba.txt").read_text().splitlines()
    columns, last = lines[1].split(), lines[-1].split()
    labels = parts["test"].labels
    assert labels is not None
    assert labels[-1].tolist() == [float(int(last[columns.index(name) + 1]) > 0) for name in ATTRIBUTES]


def test_augmenting_flips_and_shifts_and_nothing_else() -> None:
    size = 64 + 2 * MARGIN
    across = torch.arange(size, dtype=torch.uint8).expand(40, 3, size, size)
    x = augment(across, torch.Generator().manual_seed(0)) * 255
    assert x.shape == (40, 3, 64, 64)
    steps = x.diff(dim=3).round()
    flipped = (steps == -1).flatten(1).all(1)
    assert ((steps == 1).flatten(1).all(1) | flipped).all()
    assert 5 < int(flipped.sum()) < 35
    starts = torch.where(flipped, x[:, 0, 0, -1], x[:, 0, 0, 0]).round().unique().tolist()
    assert starts == list(range(2 * MARGIN + 1))
    assert torch.equal(x, augment(across, torch.Generator().manual_seed(0)) * 255)


def test_augmenting_can_vary_colour_and_scale_within_bounds() -> None:
    size = 64 + 2 * MARGIN
    grey = torch.full((50, 3, size, size), 128, dtype=torch.uint8)
    x = augment(grey, torch.Generator().manual_seed(0), colour=0.09)
    change = x.mean((2, 3)) / (128 / 255) - 1
    assert 0.05 < change.abs().max() <= 0.09 * 4 / 3
    assert (change.max(1).values - change.min(1).values).max() <= 0.06 + 1e-6
    across = torch.arange(size, dtype=torch.uint8).expand(8, 3, size, size)
    scales = set()
    for seed in range(40):
        x = augment(across, torch.Generator().manual_seed(seed), zoom=0.5) * 255
        slopes = x[:, 0, 32].diff(dim=1)[:, 10:50].abs().mean(1)
        assert torch.allclose(slopes[4:], torch.ones(4), atol=1e-3)
        scales.add(round(float(slopes[0]) * 32) - 32)
    assert scales == {-2, -1, 0, 1, 2}


def test_packed_crops_come_back(tmp_path: Path) -> None:
    crops = Crops(torch.randint(0, 256, (3, 3, 68, 68), dtype=torch.uint8), None, ["a.jpg", "b/c d.jpg", "e.png"])
    save_packed(tmp_path / "deep" / "crops.safetensors", crops)
    loaded = load_packed(tmp_path / "deep" / "crops.safetensors")
    assert torch.equal(loaded.images, crops.images)
    assert loaded.names == crops.names


def test_preparing_a_folder_aligns_as_the_app_does_and_names_what_it_leaves_out(
    astronaut: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    (photos / "more").mkdir(parents=True)
    shutil.copy(astronaut, photos / "more" / "astronaut.jpg")
    Image.new("RGB", (200, 200), "grey").save(photos / "wall.png")
    (photos / "broken.jpg").write_bytes(b"no picture")
    out = tmp_path / "crops.safetensors"
    assert "1 crops in" in finish(["train.prepare", "--photos", str(photos), "--out", str(out)])
    crops = load_packed(out)
    assert crops.names == ["more/astronaut.jpg"]
    rgb = read_photo(astronaut).rgb
    expected = align(rgb, detector().detect(rgb)[0].landmarks, 64).crop
    assert grey_levels(centre(crops.images)[0], expected) < 1.5


def test_a_part_that_celeba_does_not_have(celeba: Path) -> None:
    with pytest.raises(KeyError):
        load_celeba(celeba, "holdout")


def test_a_folder_without_a_usable_photo_is_a_sentence(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "wall.png")
    (tmp_path / "phone.heic").write_bytes(b"anything")
    command = ["train.prepare", "--photos", str(tmp_path), "--out", str(tmp_path / "out.safetensors")]
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 2
    assert "phone.heic: HEIC files cannot be read here" in done.stdout
    assert "There is no photo in" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.safetensors").exists()
