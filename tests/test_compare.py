"""The comparison of models: the same faces through each, and no photo of a data set among them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import finish_here

from lc.editor import FaceEditor
from train.compare import CompareConfig, editors, faces, measured, page, read, sheet


def test_faces_go_in_as_they_are(tiny_editor: FaceEditor) -> None:
    crops = faces(tiny_editor, CompareConfig(count=2))
    assert len(crops) == 3
    readings = read(tiny_editor, crops)
    assert all(np.array_equal(r.aligned.crop, crop) for r, crop in zip(readings, crops, strict=True))
    again = faces(tiny_editor, CompareConfig(count=2))
    assert all(np.array_equal(a, b) for a, b in zip(crops, again, strict=True))


def test_a_face_of_another_size_is_resampled_for_the_model(tiny_editor: FaceEditor) -> None:
    large = Image.fromarray(np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8))
    (reading,) = read(tiny_editor, [large])
    assert reading.aligned.crop.size == (64, 64)
    assert reading.aligned.scale == 2
    assert measured([large], [large], None)["PSNR"] == 100
    small = [reading.reconstruction]
    assert measured([large], small, None)["PSNR"] < 100


def test_a_sheet_has_a_row_for_each_title() -> None:
    red, blue = (Image.new("RGB", (64, 64), colour) for colour in ("red", "blue"))
    picture = sheet({"one": [red, blue], "two": [blue]}, side=64)
    assert picture.size == (128, 2 * 84)
    colours = [picture.getpixel(place) for place in ((32, 52), (96, 52), (32, 136), (96, 136))]
    assert colours == [(255, 0, 0), (0, 0, 255), (0, 0, 255), (255, 255, 255)]


def test_the_page_names_models_figures_and_command() -> None:
    figures = {"a": {"PSNR": 20.0}, "b": {"PSNR": 25.0}}
    text = page(CompareConfig(seed=3), "python -m train.compare", figures, {"b": {"samples_f1_ratio": 1.0}})
    assert "| a | 20.000 |" in text
    assert "seed 3" in text
    assert "    python -m train.compare\n" in text
    assert "| samples_f1_ratio | 1.000 |" in text


def test_the_command_shows_every_model(tiny_weights: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_weights, other)
    (other / "evaluation.json").write_text(json.dumps({"reach": {"psnr": 21.5, "worst": "Bald=1"}}))
    options = ["--models", str(tiny_weights), str(other), "--plain", str(other), "--count", "2", "--device", "cpu"]
    finish_here(["train.compare", *options, "--out", str(tmp_path / "docs"), "--threads", "1"])
    text = (tmp_path / "docs" / "compare.md").read_text()
    assert all(f"| {name} | " in text for name in (tiny_weights.name, "other", "plain decoder"))
    assert "| psnr | 21.500 |" in text
    with Image.open(tmp_path / "docs" / "compare.png") as picture:
        assert picture.size == (3 * 64, (1 + 3 * 4) * 84)


def test_two_folders_of_one_name_are_refused(tiny_weights: Path, tmp_path: Path) -> None:
    twin = tmp_path / tiny_weights.name
    shutil.copytree(tiny_weights, twin)
    with pytest.raises(SystemExit, match="one name"):
        editors(CompareConfig((tiny_weights, twin), device="cpu"))
