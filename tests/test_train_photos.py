"""train.evaluate.photos: its figures say what they claim to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("train.identity", exc_type=ImportError)

from lc.classifier import Classifier, ClassifierConfig
from lc.editor import FaceEditor
from lc.faces import Aligned
from lc.faces.blend import REACH as SHARE
from lc.weights import save_classifier
from train.evaluate.photos import (
    Evaluator,
    Measurement,
    PhotosConfig,
    grid,
    kinds,
    large_photo,
    markdown,
    missed,
    outside,
    seam,
)
from train.evaluate.report import write_part

REACH = round(64 * SHARE)  # in pixels of these tests' crops


def photo() -> Image.Image:
    noise = np.random.default_rng(0).integers(90, 110, (120, 160, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def test_a_pixel_changed_outside_is_seen() -> None:
    aligned = Aligned(Image.new("RGB", (64, 64)), np.array([[1.0, 0, 40], [0, 1, 30]]), 1.0)
    changed = photo()
    changed.putpixel((40, 30), (0, 0, 0))
    changed.putpixel((40 - REACH, 30), (0, 0, 0))
    assert outside(photo(), changed, aligned) == 0
    changed.putpixel((40 - REACH - 1, 30), (0, 0, 0))
    assert outside(photo(), changed, aligned) >= 90


def test_a_seam_is_told_from_a_soft_border() -> None:
    pixels = np.asarray(photo(), dtype=float)
    hard, soft = pixels.copy(), pixels.copy()
    hard[40:80, 50:90] += 60
    x = np.clip(1 - np.abs(np.arange(160) - 70) / 60, 0, 1)
    y = np.clip(1 - np.abs(np.arange(120) - 60) / 50, 0, 1)
    soft += 60 * (y[:, None] * x)[..., None]
    ratios = [seam(photo(), Image.fromarray(p.round().astype(np.uint8))) for p in (hard, soft)]
    assert ratios[0] is not None
    assert ratios[1] is not None
    assert ratios[0] > 3
    assert 0.9 < ratios[1] < 1.2
    assert seam(photo(), photo()) is None


def test_targets_missed_are_named() -> None:
    rows = {"Smiling/change": {"same_person": 0.9, "read": 0.9}, "Smiling/crop": {"same_person": 0.1}}
    assert missed(rows) == ["Smiling/change: same_person is 0.900, at least 0.97 wanted"]
    assert missed({"nothing": {"unchanged": 1.0}}) != []


def test_pictures() -> None:
    assert grid([(photo(), photo())] * 7, columns=3).size == (6 * 160, 3 * 120)
    assert large_photo(0.5, 0)[:2] == b"\xff\xd8"


def test_evaluation_md_gets_the_table_and_keeps_the_rest(tmp_path: Path) -> None:
    row = {"same_person": 0.97, "distance": 0.3, "read": 0.9, "seam_median": 1.0, "seam_95": 1.05, "outside": 0.0}
    row |= {"moved": 6.0, "moved_after_return": 3.0}
    edits = {"nothing": {"photos": 3.0, "unchanged": 0.0}, "Hair_Colour/change": row, "Hair_Colour/crop": row}
    report = {"identity": 0.5, "method": "actor", "refused": ["x.jpg: no face."], "edits": edits}
    card = tmp_path / "evaluation.md"
    parts = "<!-- evaluation -->\nkept\n<!-- /evaluation -->\n<!-- photos -->\nold\n<!-- /photos -->\n"
    card.write_text(f"# Measured\n\n{parts}")
    write_part(card, markdown(report), "photos")
    text = card.read_text()
    assert "kept" in text
    assert "old" not in text
    assert "| Hair Colour | 0.97 | 0.3 | 0.9 | 1 | 1.05 | 0 | 6 | 3 |" in text
    assert text.count("Hair Colour") == 1
    assert "1 more were refused" in text
    assert "megapixels" not in text
    large = {"megapixels": 12.0, "seconds": 0.5, "peak_gigabytes": 0.1}
    assert "12 megapixels takes 0.50 s" in markdown(report | {"large": large})


def test_a_photo_is_put_through_all_its_edits(tiny_editor: FaceEditor, astronaut: Path, tmp_path: Path) -> None:
    for seed, kind in enumerate(("reader", "realism")):
        torch.manual_seed(seed)
        save_classifier(tmp_path, kind, Classifier(ClassifierConfig(widths=(8, 8, 8, 8))).eval())
    config = PhotosConfig(photos=tmp_path, compare=1)
    measurement = Measurement(tiny_editor, Evaluator(tmp_path), config)
    reading = tiny_editor.read(astronaut)
    measurement.photo(reading)
    asked = kinds(reading)
    assert sorted(asked.values()) == ["Eyeglasses", "Hair_Colour", "No_Beard", "Smiling"]
    assert all((reading.attributes[name] >= 0.5) != wanted for name, wanted in asked)
    table = measurement.summary()
    assert table["nothing"]["unchanged"] == 0
    for kind in asked.values():
        change, crop = table[f"{kind}/change"], table[f"{kind}/crop"]
        assert change["outside"] == crop["outside"] == 0
        assert 0 <= change["distance"] < 2
        assert {"moved", "moved_after_return", "read"} <= set(change)  # there and back, and read on the way
