"""train.evaluate.census: a face that is found the wrong way up is told from one that is found right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lc.faces import Face
from lc.faces.align import TEMPLATE
from train.evaluate.census import judged, main

UPRIGHT = Face((0, 0, 1, 1), TEMPLATE, 1.0)


def turned(degrees: float) -> Face:
    """The face in a photo that was turned against the clock; y points down."""
    angle = -np.deg2rad(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return Face((0, 0, 1, 1), TEMPLATE @ rotation.T, 1.0)


@pytest.mark.parametrize("degrees", [0, 51.4, 180, 334.3])
@pytest.mark.parametrize(("error", "kind"), [(0, "right"), (-20, "right"), (40, "askew"), (180, "upside down")])
def test_what_is_found_is_judged_by_the_turn(degrees: float, error: float, kind: str) -> None:
    assert judged(UPRIGHT, [turned(degrees + error)], degrees) == kind


def test_a_photo_whose_face_is_refused_is_no_error() -> None:
    assert judged(UPRIGHT, [], 90) == "refused"


def test_pillow_turns_as_is_counted(
    astronaut: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    Image.open(astronaut).crop((100, 0, 356, 256)).save(tmp_path / "photos" / "a.png")
    options = ["--photos", str(tmp_path / "photos"), "--angles", "4", "--out", str(tmp_path / "census.json")]
    monkeypatch.setattr("sys.argv", ["census", *options])
    main()
    assert json.loads((tmp_path / "census.json").read_text())["right"] == 4
    assert "| 4 | 0 | 0 | 0 |" in capsys.readouterr().out
